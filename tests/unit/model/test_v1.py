"""Tests for dockreg.model.v1."""

import json

from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import ImageJSONInvalid, ImageUnknown
from dockreg.model.v1 import Checksums, ClaimedChecksums, ImageID, ImageJSON, ancestry_document

A, B = "a" * 64, "b" * 64


class ImageIDTests(SynchronousTestCase):
    """Tests for ImageID."""

    def test_forms(self) -> None:
        """64 or 16 lowercase hexadecimal digits are an image id, nothing else is."""
        for text in (A, "0123456789abcdef"):
            self.assertEqual(text, str(ImageID.parse(text)))
        for text in ("", "a", A.upper(), A + "\n", A[:-1], A + "a", "../" + A, "g" * 64, "٣" * 64):
            with self.assertRaises(ImageUnknown, msg=text):
                ImageID.parse(text)


class ImageJSONTests(SynchronousTestCase):
    """Tests for ImageJSON."""

    def test_parse(self) -> None:
        """Id and parent are read, and the bytes are kept as they came."""
        content = f' {{"parent": "{B}",\n "id": "{A}", "Size": 0, "x": {{"y": [1.50]}} }} '.encode()
        document = ImageJSON.parse(content)
        self.assertEqual(content, document.content)
        self.assertEqual(ImageID(A), document.image_id)
        self.assertEqual(ImageID(B), document.parent)

    def test_base_image(self) -> None:
        """An image without a parent, or with an empty one, is a base image."""
        for parent in ({}, {"parent": ""}, {"parent": None}):
            self.assertIsNone(ImageJSON.parse(json.dumps({"id": A, **parent}).encode()).parent)

    def test_refused(self) -> None:
        """Without a usable id or parent it is no image json."""
        documents: tuple[object, ...] = (
            {}, [], "x", {"id": 1}, {"id": None}, {"id": "x"}, {"ID": A}, {"id": A, "parent": 5},
            {"id": A, "parent": "x"}, {"id": A, "parent": [B]}, {"id": A.upper()},
        )  # fmt: skip
        for document in documents:
            with self.assertRaises(ImageJSONInvalid, msg=str(document)):
                ImageJSON.parse(json.dumps(document).encode())
        for content in (b"", b"{", b"\xff", b'{"id": "' + A.encode() + b'", "x": ' + b"[" * 1000):
            with self.assertRaises(ImageJSONInvalid):
                ImageJSON.parse(content)


class ChecksumsTests(SynchronousTestCase):
    """Tests for Checksums."""

    def test_one_match_is_enough(self) -> None:
        """Payload or tarsum may match: engine 0.9 sends a payload value that nobody can compute."""
        ours = Checksums("sha256:1", frozenset({"tarsum+sha256:2", "tarsum+sha256:3"}))
        for payload, tarsum in (
            ("sha256:1", None), ("sha256:1", "tarsum+sha256:9"), (None, "tarsum+sha256:3"), ("sha256:9", "tarsum+sha256:2"),
        ):  # fmt: skip
            self.assertTrue(ours.matches(ClaimedChecksums(payload, tarsum)))

    def test_no_match(self) -> None:
        """Nothing else matches, nothing claimed does not match nothing known."""
        for claimed in (
            ClaimedChecksums("sha256:9", None), ClaimedChecksums(None, "tarsum+sha256:9"), ClaimedChecksums(None, None),
            ClaimedChecksums("tarsum+sha256:2", "sha256:1"),
        ):  # fmt: skip
            self.assertFalse(Checksums("sha256:1", frozenset({"tarsum+sha256:2"})).matches(claimed))
            self.assertFalse(Checksums("sha256:1").matches(claimed))

    def test_tarsums_that_nobody_knows(self) -> None:
        """They may match what looks like one, unless the payload fits already."""
        unknown, tarsum = Checksums("sha256:1", None), "tarsum+sha256:" + "a" * 64
        for claimed, expected in (
            (ClaimedChecksums("sha256:1", tarsum), (True, False)), (ClaimedChecksums("sha256:9", tarsum), (False, True)),
            (ClaimedChecksums(None, tarsum), (False, True)), (ClaimedChecksums(None, tarsum + "a"), (False, False)),
            (ClaimedChecksums("sha256:9", None), (False, False)),
        ):  # fmt: skip
            self.assertEqual(expected, (unknown.matches(claimed), unknown.may_match(claimed)))
        self.assertFalse(Checksums("sha256:1").may_match(ClaimedChecksums(None, tarsum)))


class AncestryTests(SynchronousTestCase):
    """Tests for ancestry_document."""

    def test_order(self) -> None:
        """The document lists ids in the order given."""
        self.assertEqual([A, B], json.loads(ancestry_document([ImageID(A), ImageID(B)])))
