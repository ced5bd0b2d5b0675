"""Tests for dockreg.model.schema1, and for schema1 in dockreg.model.manifest."""

import hashlib
import json
from base64 import urlsafe_b64encode
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import ManifestInvalid
from dockreg.model.jws import MAX_SIGNATURES, signed_payload
from dockreg.model.manifest import Role, parse_manifest
from dockreg.model.schema1 import Schema1, new_schema1_key, parse_schema1, sign_schema1

PLAIN = "application/vnd.docker.distribution.manifest.v1+json"
PRETTY = "application/vnd.docker.distribution.manifest.v1+prettyjws"
EMPTY_TAR = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
KEY = new_schema1_key()


def image(letter: str, parent: str = "", **members: Any) -> str:
    """The text of an image json."""
    return json.dumps({"id": letter * 64, **({"parent": parent * 64} if parent else {}), **members})


def manifest(*history: Any, **members: Any) -> dict[str, Any]:
    """A manifest of these image jsons, newest first."""
    return {
        "schemaVersion": 1,
        "name": "demo/one",
        "tag": "latest",
        "architecture": "amd64",
        "fsLayers": [{"blobSum": f"sha256:{position:064x}"} for position in range(len(history))],
        "history": [{"v1Compatibility": text} for text in history],
        **members,
    }


def written(document: object) -> bytes:
    return json.dumps(document, indent=3).encode()


def signed(document: object) -> dict[str, Any]:
    """The signed document, to be changed."""
    made: dict[str, Any] = json.loads(sign_schema1(written(document), KEY))
    return made


def encoded(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


CHAIN = (image("c", "b", author="me"), image("b", "a"), image("a"))


class Schema1TestCase(SynchronousTestCase):
    def refused(self, content: bytes | dict[str, Any]) -> str:
        """The reason, which is one line."""
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        reason: str = self.assertRaises(ManifestInvalid, parse_schema1, raw).reason
        self.assertNotIn("\n", reason)
        self.assertLess(len(reason), 1000)
        return reason


class ParseSchema1Tests(Schema1TestCase):
    """Tests for parse_schema1."""

    def test_unsigned(self) -> None:
        """What nobody signed is its own payload."""
        content = written(manifest(*CHAIN))
        parsed = parse_schema1(content)
        self.assertEqual((content, False, PLAIN), (parsed.payload, parsed.signed, parsed.media_type))
        self.assertEqual("sha256:" + hashlib.sha256(content).hexdigest(), str(parsed.digest))
        self.assertEqual(("demo/one", "latest", "amd64"), (parsed.name, parsed.tag, parsed.architecture))
        self.assertEqual([0, 1, 2], [int(layer.encoded, 16) for layer in parsed.fs_layers])
        self.assertEqual(["c" * 64, "b" * 64, "a" * 64], [each.image_id.value for each in parsed.history])
        self.assertEqual([text.encode() for text in CHAIN], [each.content for each in parsed.history])

    def test_signed(self) -> None:
        """The digest is that of the payload, whoever signs it, by whichever algorithm."""
        payload = written(manifest(*CHAIN))
        for algorithm in ("sha256", "sha512"):
            parsed = parse_schema1(sign_schema1(payload, KEY), algorithm)
            self.assertEqual((payload, True, PRETTY), (parsed.payload, parsed.signed, parsed.media_type))
            self.assertEqual(f"{algorithm}:{hashlib.new(algorithm, payload).hexdigest()}", str(parsed.digest))

    def test_repeated_image(self) -> None:
        """An image may come twice in a row, as an engine of 2015 pushed it, but not apart."""
        parsed = parse_schema1(
            written(manifest(image("b", "a"), image("b", "a"), image("a"), image("a", "d"), image("a")))
        )
        self.assertEqual(5, len(parsed.history))
        apart = (image("b", "a"), image("a", "b"), image("b", "a"), image("a"))
        self.assertIn("more than once", self.refused(manifest(*apart)))

    def test_names(self) -> None:
        """Name, tag and architecture may be missing, but not be something else."""
        members = {
            name: value for name, value in manifest(*CHAIN).items() if name not in ("name", "tag", "architecture")
        }
        parsed = parse_schema1(written(members))
        self.assertEqual(("", "", ""), (parsed.name, parsed.tag, parsed.architecture))
        for name in ("name", "tag", "architecture"):
            self.assertIn(name, self.refused({**members, name: 5}))

    def test_chain(self) -> None:
        """The parent of each image is the next one, and the last one has none."""
        for history in (
            (image("c", "a"), image("b", "a"), image("a")),
            (image("c"), image("b")),
            (image("b", "a"), image("a", "d")),
            (image("a", "a"),),
        ):
            self.assertIn("parent", self.refused(manifest(*history)))

    def test_lists(self) -> None:
        """There is one entry of history for each layer, and at least one of them."""
        one = manifest(image("a"))
        members: Any
        for members in (
            {"fsLayers": []}, {"history": []}, {"fsLayers": [], "history": []}, {"fsLayers": None}, {"history": {}},
            {"fsLayers": one["fsLayers"] * 2}, {"history": one["history"] * 2},
            {"fsLayers": one["fsLayers"] * 2000, "history": one["history"] * 2000},
            {"fsLayers": [None]}, {"fsLayers": ["x"]}, {"fsLayers": [{}]}, {"fsLayers": [{"blobSum": 5}]},
            {"fsLayers": [{"blobSum": "tarsum.v1+sha256:" + "a" * 64}]}, {"fsLayers": [{"blobSum": "x" * 5000}]},
            {"fsLayers": [{"blobSum": EMPTY_TAR, "BlobSum": EMPTY_TAR}]},
            {"history": [None]}, {"history": [{}]}, {"history": [{"v1Compatibility": {"id": "a" * 64}}]},
            *({"history": [{"v1Compatibility": text}]} for text in ("", "[]", "{}", '{"id":"x"}', image("a", "b"), "\ud800")),
        ):  # fmt: skip
            with self.subTest(members=members):
                self.refused({**one, **members})

    def test_documents(self) -> None:
        """Only JSON objects of version 1 are schema1, with members that no client takes for others."""
        for version in (None, 2, True, "1", 1.0):
            self.assertIn("schemaVersion", self.refused(manifest(*CHAIN, schemaVersion=version)))
        for content in (b"", b"[]", b"{", b"\xff"):
            self.refused(content)
        for name in ("FSLayers", "fslayers", "Signatures", "\u017fignatures", "History"):
            self.assertIn("spelled", self.refused(manifest(*CHAIN, **{name: []})))


class SignatureTests(Schema1TestCase):
    """Which signatures are believed."""

    def test_none(self) -> None:
        """Signatures that are none are refused."""
        signatures: object
        for signatures in (None, {}, "x", 5):
            self.assertIn("list", self.refused(manifest(*CHAIN, signatures=signatures)))
        for listed in ([], [None] * (MAX_SIGNATURES + 1)):
            self.assertIn("1 to", self.refused(manifest(*CHAIN, signatures=listed)))

    def test_blocks(self) -> None:
        """Each part of a signature has to be there, and to be what it should be."""
        document = signed(manifest(*CHAIN))
        (block,) = document["signatures"]
        header, jwk = block["header"], block["header"]["jwk"]
        changed: object
        for changed in (
            None, [], {}, *({name: value for name, value in block.items() if name != gone} for gone in block),
            *({**block, "protected": text} for text in (5, "", "=", "a", "ä", encoded([]), encoded({}), "e30=")),
            *({**block, "signature": text} for text in (5, "", "AAAA", "*", block["signature"][:-2], "A" * 100_000)),
            *({**block, "header": {**header, "alg": name}} for name in (None, 5, "", "none", "HS256", "ES384", "RS256")),
            *({**block, "header": {**header, "jwk": value}} for value in (None, 5, {}, {"kty": "EC"}, {**jwk, "kty": "oct"})),
            *({**block, "header": {**header, "jwk": {**jwk, name: "AAAA"}}} for name in jwk),
            {**block, "header": {**header, "jwk": {**jwk, "x": jwk["y"], "y": jwk["x"]}}},
            *({**block, "header": {**header, "x5c": value}} for value in ("x", [5], ["x"], ["AAAA"], {"x": 1})),
            {**block, "header": {"alg": "RS256", "jwk": {"kty": "RSA", "e": "AQAB", "n": "_" * 2000}}},
            {**block, "header": {"alg": "RS256", "jwk": {"kty": "RSA", "e": "AQAB", "n": "AQ"}}},
            {**block, "header": {"alg": "RS256", "jwk": {"kty": "RSA", "e": "_" * 2000, "n": "_" * 400}}},
        ):  # fmt: skip
            with self.subTest(changed=changed):
                content = json.dumps({**document, "signatures": [changed]}, indent=3).encode()
                self.assertIn("signatures[0]: ", self.refused(content))

    def test_kid_is_optional(self) -> None:
        """A key needs no name of its own."""
        document = signed(manifest(*CHAIN))
        del document["signatures"][0]["header"]["jwk"]["kid"]
        self.assertTrue(parse_schema1(json.dumps(document, indent=3).encode()).signed)

    def test_padding(self) -> None:
        """Padding and line ends in what is encoded are skipped, as libtrust does."""
        document = signed(manifest(*CHAIN))
        block = document["signatures"][0]
        block["signature"] = "\n".join((block["signature"][:40], block["signature"][40:])) + "=="
        self.assertTrue(parse_schema1(json.dumps(document, indent=3).encode()).signed)

    def test_format(self) -> None:
        """What was signed is the manifest itself: neither shorter, nor with another end."""
        payload = written(manifest(*CHAIN))
        content = sign_schema1(payload, KEY)
        for protected in (
            {"formatLength": True, "formatTail": "Cn0"}, {"formatLength": 0, "formatTail": "Cn0"},
            {"formatLength": -2, "formatTail": "Cn0"}, {"formatLength": 10**9, "formatTail": "Cn0"},
            {"formatLength": 1.0, "formatTail": "Cn0"}, {"formatLength": len(payload) - 2},
            {"formatLength": len(payload) - 2, "formatTail": encoded({"x": 1})},
            {"formatLength": len(payload) - 2, "formatTail": ""},
        ):  # fmt: skip
            document = json.loads(content)
            document["signatures"][0]["protected"] = encoded(protected)
            with self.subTest(protected=protected):
                self.refused(json.dumps(document, indent=3).encode())

    def test_more_than_signed(self) -> None:
        """A member that was not signed is not believed, wherever it stands."""
        payload = written(manifest(*CHAIN))
        content = sign_schema1(payload, KEY)
        added = content.removesuffix(b"\n}") + b',\n   "more": 1\n}'
        self.assertIn("what was signed", self.refused(added))
        self.assertEqual(payload, signed_payload(added, json.loads(added)["signatures"]))
        before = content.replace(b'   "signatures"', b'   "more": 1,\n   "signatures"')
        self.assertIn("what was signed", self.refused(before))

    def test_too_much_work(self) -> None:
        """Many signatures of a large document are not verified at all."""
        document = signed(manifest(*CHAIN, more="x" * 1_000_000))
        document["signatures"] *= 20
        self.assertIn("for its size", self.refused(document))

    @settings(deadline=None)
    @given(
        st.dictionaries(
            st.text(), st.none() | st.integers() | st.text() | st.lists(st.text(max_size=3), max_size=3), max_size=4
        ),
        st.sampled_from([None, 1, 3, "\t", ""]),
        st.sampled_from(["", "\n", " \r\n\t"]),
    )
    def test_any_payload(self, members: dict[str, Any], indent: int | str | None, end: str) -> None:
        """However a document is written, what was signed is found again."""
        document = {**manifest(*CHAIN), "x": members}
        payload = (json.dumps(document, indent=indent) + end).encode()
        content = sign_schema1(payload, KEY)
        self.assertEqual({*document, "signatures"}, {*json.loads(content)})
        self.assertEqual(payload, parse_schema1(content).payload)

    def test_not_signable(self) -> None:
        """Only objects with members are signed, and only with a key of P-256."""
        for payload in (b"", b"{}", b"{ \n}", b"[]", b'{"a":1,}', b'{"a":1'):
            self.assertRaises(ValueError, sign_schema1, payload, KEY)
        self.assertRaises(ValueError, sign_schema1, b'{"a":1}', b"x")

    def test_keys_differ(self) -> None:
        """Each new key is another one."""
        self.assertTrue(KEY.startswith(b"-----BEGIN PRIVATE KEY-----"))
        self.assertNotEqual(KEY, new_schema1_key())


class ManifestOfSchema1Tests(SynchronousTestCase):
    """Schema1 among the manifests."""

    def test_types(self) -> None:
        """The type follows from the document, whatever engines and proxies say of it."""
        unsigned = written(manifest(*CHAIN))
        for content, media_type in ((unsigned, PLAIN), (sign_schema1(unsigned, KEY), PRETTY)):
            for said in (None, "", "application/json", "text/plain; charset=utf-8", PLAIN, PRETTY, PRETTY.upper()):
                parsed = parse_manifest(content, said)
                self.assertEqual((media_type, content), (parsed.media_type, parsed.content))
                self.assertEqual("sha256:" + hashlib.sha256(unsigned).hexdigest(), str(parsed.digest))
        for said in ("application/vnd.oci.image.manifest.v1+json", "text/html"):
            self.assertRaises(ManifestInvalid, parse_manifest, unsigned, said)
        declared = written(manifest(*CHAIN, mediaType=PLAIN))
        for said in (None, PLAIN, PRETTY, "text/plain"):
            self.assertEqual(PLAIN, parse_manifest(declared, said).media_type)

    def test_references(self) -> None:
        """It refers to its layers, of a size that is not known, and to nothing else."""
        layers = [{"blobSum": EMPTY_TAR}, {"blobSum": EMPTY_TAR}, {"blobSum": "sha256:" + "1" * 64}]
        parsed = parse_manifest(written(manifest(*CHAIN, fsLayers=layers)), None)
        self.assertEqual(
            [(Role.LAYER, layer["blobSum"], 0, True) for layer in layers],
            [
                (each.role, str(each.descriptor.digest), each.descriptor.size, each.required)
                for each in parsed.references
            ],
        )
        self.assertEqual(((), None, None), (tuple(parsed.children), parsed.subject, parsed.artifact_type))

    @settings(deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(["fsLayers", "history", "signatures", "name", "schemaVersion", "mediaType", "x"]),
            st.none()
            | st.integers()
            | st.text()
            | st.lists(st.dictionaries(st.text(), st.text(), max_size=2), max_size=3),
        )
    )
    def test_anything(self, members: dict[str, Any]) -> None:
        """Anything is either schema1 or refused as a manifest."""
        try:
            parsed = parse_schema1(written({**manifest(*CHAIN), **members}))
        except ManifestInvalid:
            return
        self.assertIsInstance(parsed, Schema1)
