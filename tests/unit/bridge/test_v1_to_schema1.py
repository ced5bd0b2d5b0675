"""Tests for dockreg.bridge.v1_to_schema1."""

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.bridge.v1_to_schema1 import Schema1Entry, schema1_payload
from dockreg.errors import RequestInvalid
from dockreg.model.digest import Digest
from dockreg.model.schema1 import parse_schema1
from tests.unit.model.test_schema1_libtrust import PAYLOAD

A, B = "a" * 64, "b" * 64
LAYER = Digest("sha256", "1" * 64)
EMPTY_TAR = Digest.parse("sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4")


class Schema1PayloadTests(SynchronousTestCase):
    """Tests for schema1_payload."""

    def test_as_docker(self) -> None:
        """The payload is, byte for byte, the one that docker/distribution writes for the same images."""
        top = f'{{"id":"{B}","parent":"{A}","author":"<me> & ä","container_config":{{"Cmd":["echo \\"x\\""]}},"throwaway":true}}'
        chain = [Schema1Entry(top.encode(), EMPTY_TAR), Schema1Entry(f'{{"id":"{A}"}}'.encode(), LAYER)]
        self.assertEqual(PAYLOAD, schema1_payload("library/demo", "latest", chain).decode())

    def test_architecture(self) -> None:
        """The architecture is that of the topmost image, amd64 if it says none."""
        base = Schema1Entry(b'{"id":"a","architecture":"arm"}', LAYER)
        for told, expected in (
            ({}, "amd64"),
            ({"architecture": ""}, "amd64"),
            ({"architecture": 5}, "amd64"),
            ({"architecture": "386"}, "386"),
        ):
            top = Schema1Entry(json.dumps({"id": "b", **told}).encode(), LAYER)
            self.assertEqual(expected, json.loads(schema1_payload("x", "y", [top, base]))["architecture"])

    def test_refused(self) -> None:
        """Without an image there is no manifest, nor with a json that is none."""
        self.assertRaises(RequestInvalid, schema1_payload, "x", "y", [])
        good = Schema1Entry(b'{"id":"a"}', LAYER)
        for content in (b"", b"[]", b'{"id":"\xe4"}', b"\xff\xfe{\0}\0"):
            wrong = Schema1Entry(content, LAYER)
            for chain in ([wrong], [good, wrong], [wrong, good]):
                self.assertRaises(RequestInvalid, schema1_payload, "x", "y", chain)

    @given(st.text(), st.text(alphabet="<>&\u2028\u2029\x7f\"\\'ä\U0001f600\n"), st.booleans())
    def test_exact_texts(self, name: str, value: str, ascii_only: bool) -> None:
        """Each entry is the exact json of its image, whatever is in it."""
        own = {"id": A, f"x{name}": value}
        content = json.dumps(own, ensure_ascii=ascii_only, indent=1).encode("utf-8", "replace")
        payload = schema1_payload("demo/one", "1.0", [Schema1Entry(content, LAYER)])
        parsed = parse_schema1(payload)
        self.assertEqual([content], [image.content for image in parsed.history])
        self.assertEqual(("demo/one", "1.0", [LAYER]), (parsed.name, parsed.tag, parsed.fs_layers))
        self.assertFalse(set(payload) & set(b"<>&"))
