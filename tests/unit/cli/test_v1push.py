"""Tests of layers on their way to a registry."""

import gzip
import json
from pathlib import Path

import zstandard
from twisted.trial.unittest import SynchronousTestCase

from dockreg.cli.archives import Archive, open_archive
from dockreg.cli.failures import CommandFailed
from dockreg.cli.v1push import LayerStream
from dockreg.testing.samples import bytes_of, gzip_layer, make_image, make_tar, odd_layers
from dockreg.testing.tarsums import payload_checksum, tarsum
from tests.unit.cli.saved import image_config, v1_members, write_tar


class LayerStreamTests(SynchronousTestCase):
    """What is sent of a layer, and what is said of it."""

    def archive(self, members: dict[str, bytes]) -> Archive:
        archive = open_archive(write_tar(Path(self.mktemp()), members))
        self.addCleanup(archive.close)
        return archive

    def stream(self, layer: bytes) -> tuple[LayerStream, bytes]:
        """A layer of an archive of the first form, and the json of its image."""
        image = make_image("one", layer=layer)
        archive = self.archive(v1_members([image]))
        self.read: list[int] = []
        return LayerStream(archive, archive.chains[0].images[0], self.read.append), image.json

    def test_compressed_while_sent(self) -> None:
        """A plain layer is sent as gzip, and read in pieces."""
        layer = make_tar({"data": bytes_of("data", 700_000)})
        stream, _ = self.stream(layer)
        self.assertEqual(layer, gzip.decompress(b"".join(stream.pieces())))
        self.assertEqual(len(layer), sum(self.read))
        self.assertGreater(len(self.read), 2)

    def test_same_bytes_each_time(self) -> None:
        """A layer that is sent again is sent as the same bytes."""
        layer = make_tar({"a": b"a" * 5000})
        self.assertEqual(b"".join(self.stream(layer)[0].pieces()), b"".join(self.stream(layer)[0].pieces()))

    def test_gzip_as_it_is(self) -> None:
        """A layer that is gzip in the archive is sent as it lies there."""
        packed = gzip_layer(make_tar({"a": b"a" * 5000}))
        self.assertEqual(packed, b"".join(self.stream(packed)[0].pieces()))

    def test_zstd(self) -> None:
        """A layer in a compression that engines can not read is sent as gzip."""
        layer = make_tar({"a": b"a" * 5000})
        stream, _ = self.stream(zstandard.compress(layer))
        self.assertEqual(layer, gzip.decompress(b"".join(stream.pieces())))

    def test_checksums(self) -> None:
        """Both checksums are those of what was sent, whatever is odd about the layer."""
        for name, layer in odd_layers().items():
            with self.subTest(name=name):
                stream, document = self.stream(layer)
                sent = b"".join(stream.pieces())
                headers = stream.checksums()
                self.assertEqual(payload_checksum(document, sent), headers["X-Docker-Checksum-Payload"])
                known = {tarsum(document, layer, rule) for rule in ("all", "last", "order")}
                self.assertIn(headers["X-Docker-Checksum"], known)

    def test_no_tar(self) -> None:
        """Of a layer that is no tar only the payload checksum is told."""
        stream, _ = self.stream(b"no tar" * 1000)
        list(stream.pieces())
        self.assertEqual(["X-Docker-Checksum-Payload"], list(stream.checksums()))

    def test_empty_layer(self) -> None:
        """An image without layers is sent with a gzip stream of no bytes."""
        entry: dict[str, object] = {"Config": "c.json", "RepoTags": None, "Layers": []}
        archive = self.archive({"c.json": image_config([]), "manifest.json": json.dumps([entry]).encode()})
        stream = LayerStream(archive, archive.chains[0].images[0], lambda _: None)
        self.assertEqual(b"", gzip.decompress(b"".join(stream.pieces())))

    def test_other_layer(self) -> None:
        """A layer that is not the one that its config names is not sent to its end."""
        config = image_config([make_tar({"a": b"a"})])
        entry = {"Config": "c.json", "RepoTags": None, "Layers": ["l"]}
        members = {"c.json": config, "manifest.json": json.dumps([entry]).encode(), "l": make_tar({"b": b"b"})}
        archive = self.archive(members)
        stream = LayerStream(archive, archive.chains[0].images[0], lambda _: None)
        self.assertRaises(CommandFailed, list, stream.pieces())

    def test_damaged_layer(self) -> None:
        """A layer whose compression is broken is told in a sentence."""
        stream, _ = self.stream(zstandard.compress(make_tar({"a": bytes_of("a", 5000)}))[:-100])
        error = self.assertRaises(CommandFailed, list, stream.pieces())
        self.assertIn("cut short", error.message)

    def test_archive_became_shorter(self) -> None:
        """An archive that was cut while it was read is told in a sentence."""
        image = make_image("one", layer=make_tar({"data": bytes_of("data", 700_000)}))
        archive = self.archive(v1_members([image]))
        pieces = LayerStream(archive, archive.chains[0].images[0], lambda _: None).pieces()
        next(pieces)
        with archive.path.open("r+b") as file:
            file.truncate(2000)
        error = self.assertRaises(CommandFailed, list, pieces)
        self.assertIn("ends in the middle", error.message)
