"""Tests of :mod:`benchmarks.content`."""

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.content import KIB, MIB, Content, Image
from benchmarks.messages import FilePart, Part, joined_chunks, size_of


def joined(parts: Sequence[Part]) -> bytes:
    """All bytes of a body."""
    return b"".join(bytes(part.file.view[: part.size]) if isinstance(part, FilePart) else part for part in parts)


class SourceTests(SynchronousTestCase):
    """Blobs in memory, and blobs in files."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.content = Content(folder)
        self.addCleanup(self.content.close)

    def test_digest_and_size(self) -> None:
        """Both are those of the bytes that are sent, and a chunked body has the same bytes."""
        for size in (4 * KIB, 9 * MIB):
            blob = self.content.source(size).blob()
            content = joined(blob.parts)
            self.assertEqual(f"sha256:{hashlib.sha256(content).hexdigest()}", blob.digest)
            self.assertEqual((size, size, size), (blob.size, len(content), size_of(blob.parts)))
            self.assertEqual(content, joined_chunks(joined(blob.framed)))

    def test_each_is_another_one(self) -> None:
        """No two blobs of a source are the same."""
        source = self.content.source(4 * KIB)
        self.assertEqual(50, len({source.blob().digest for _ in range(50)}))

    def test_is_a_layer(self) -> None:
        """A blob is a sound archive, whatever its size."""
        for size in (4 * KIB, MIB):
            with tarfile.open(fileobj=io.BytesIO(joined(self.content.source(size).blob().parts))) as archive:
                self.assertEqual(["file"], archive.getnames())

    def test_hash_into(self) -> None:
        """All of a blob is fed to a hasher."""
        source = self.content.source(MIB)
        blob, hasher = source.blob(), hashlib.sha256()
        source.hash_into(hasher, blob)
        self.assertEqual(blob.digest, f"sha256:{hasher.hexdigest()}")

    def test_one_source_for_a_size(self) -> None:
        """The file of a size is made once."""
        self.assertIs(self.content.source(MIB), self.content.source(MIB))


class ImageTests(SynchronousTestCase):
    """Tests of :class:`Image`."""

    def test_manifest(self) -> None:
        """The manifest names its configuration and its layers, and the configuration the layers once more."""
        source = Content(Path()).source(4 * KIB)
        layers = [source.blob(), source.blob()]
        image = Image.of(layers)
        manifest = json.loads(image.manifest)
        self.assertEqual(image.config.digest, manifest["config"]["digest"])
        self.assertEqual([layer.digest for layer in layers], [layer["digest"] for layer in manifest["layers"]])
        config = json.loads(joined(image.config.parts))
        self.assertEqual([layer.digest for layer in layers], config["rootfs"]["diff_ids"])

    def test_each_is_another_one(self) -> None:
        """Two images of the same layers have two manifests."""
        layers = [Content(Path()).source(4 * KIB).blob()]
        self.assertNotEqual(Image.of(layers).digest, Image.of(layers).digest)
