"""Tests of writing docker-save archives."""

import gzip
import hashlib
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dockreg.bridge.v1_to_schema2 import schema2_view
from dockreg.cli.archives import open_archive
from dockreg.cli.failures import CommandFailed
from dockreg.cli.savedarchive import ArchiveWriter
from dockreg.model.blobs import StoredBlob
from dockreg.model.compression import CompressionInvalid
from dockreg.model.digest import Digest
from dockreg.model.layers import LayerInspector
from dockreg.model.v1 import Checksums, ImageID, ImageJSON
from dockreg.model.v1 import V1Image as CompleteImage
from dockreg.testing.samples import V1Image, bytes_of, gzip_layer, layered_image, make_image, make_tar


def write(path: Path, images: Sequence[V1Image], tags: Mapping[str, V1Image], packed: bool = True) -> Sequence[str]:
    """Write an archive as a pull does, each layer in two pieces."""
    writer = ArchiveWriter(path)
    try:
        for image in images:
            document = ImageJSON.parse(image.json)
            layer = writer.image(document)
            content = gzip_layer(image.layer) if packed else image.layer
            layer.write([content[:100], content[100:]])
            writer.keep(document, layer, len(content))
        return writer.publish("demo/app", {tag: ImageID(image.id) for tag, image in tags.items()})
    finally:
        writer.discard()


class ArchiveWriterTests(SynchronousTestCase):
    """What a pull leaves behind."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "image.tar"
        self.images = layered_image()

    def members(self) -> dict[str, bytes]:
        """The files of the archive."""
        with tarfile.open(self.path, "r:") as archive:
            found = {}
            for member in archive:
                content = archive.extractfile(member)
                if content is not None:
                    found[member.name] = content.read()
            return found

    def test_first_form(self) -> None:
        """Each image has a folder with its json as it came and its layer uncompressed, and is named."""
        write(self.path, self.images, {"1.0": self.images[-1]})
        members = self.members()
        for image in self.images:
            self.assertEqual(b"1.0", members[f"{image.id}/VERSION"])
            self.assertEqual(image.json, members[f"{image.id}/json"])
            self.assertEqual(image.layer, members[f"{image.id}/layer.tar"])
        self.assertEqual({"demo/app": {"1.0": self.images[-1].id}}, json.loads(members["repositories"]))

    def test_manifest(self) -> None:
        """``manifest.json`` names a config by its digest, and the layers with files, base first."""
        write(self.path, self.images, {"1.0": self.images[-1]})
        members = self.members()
        (entry,) = json.loads(members["manifest.json"])
        base, middle, _ = self.images
        self.assertEqual(["demo/app:1.0"], entry["RepoTags"])
        self.assertEqual([f"{base.id}/layer.tar", f"{middle.id}/layer.tar"], entry["Layers"])
        config = members[entry["Config"]]
        self.assertEqual(f"{hashlib.sha256(config).hexdigest()}.json", entry["Config"])
        digests = [str(Digest.sha256(members[name])) for name in entry["Layers"]]
        self.assertEqual(digests, json.loads(config)["rootfs"]["diff_ids"])

    def test_config_as_registry(self) -> None:
        """The config is the one that the registry shows of the same image, so that its id is the same everywhere."""
        chain = []
        for image in reversed(self.images):
            inspector = LayerInspector()
            content = gzip_layer(image.layer)
            inspector.update(content)
            stored = StoredBlob(Digest.sha256(content), "1", len(content))
            document = ImageJSON.parse(image.json)
            facts = inspector.finish()
            chain.append(
                CompleteImage(
                    1, document.image_id, image.json, None, document.parent, stored, facts, Checksums(""), None
                )
            )
        view = schema2_view(chain)
        assert view is not None
        write(self.path, self.images, {"1.0": self.images[-1]})
        self.assertIn(view.config, self.members().values())

    def test_read_again(self) -> None:
        """What is written is read again as the same images."""
        write(self.path, self.images, {"1.0": self.images[-1], "base": self.images[0]})
        archive = open_archive(self.path)
        self.addCleanup(archive.close)
        chains = {tuple(chain.references): [image.json for image in chain.images] for chain in archive.chains}
        jsons = [image.json for image in self.images]
        self.assertEqual({("demo/app:1.0",): jsons, ("demo/app:base",): jsons[:1]}, chains)

    def test_same_bytes(self) -> None:
        """The same images give the same archive, however their layers were compressed on the way."""
        write(self.path, self.images, {"1.0": self.images[-1]})
        first = self.path.read_bytes()
        write(self.path, self.images, {"1.0": self.images[-1]}, packed=False)
        self.assertEqual(first, self.path.read_bytes())

    def test_times_and_owners(self) -> None:
        """Members belong to root, have a time of 0 and modes that anybody may read."""
        write(self.path, self.images, {"1.0": self.images[-1]})
        with tarfile.open(self.path, "r:") as archive:
            seen = {(member.mtime, member.uid, member.gid, member.uname, oct(member.mode)) for member in archive}
        self.assertEqual({(0, 0, 0, "", "0o644"), (0, 0, 0, "", "0o755")}, seen)

    def test_restart(self) -> None:
        """A layer that comes again from its first byte replaces what came before."""
        image = make_image("one", layer=make_tar({"a": bytes_of("a", 5000)}))
        writer = ArchiveWriter(self.path)
        document = ImageJSON.parse(image.json)
        layer = writer.image(document)
        layer.write([gzip_layer(make_tar({"b": bytes_of("b", 90_000)}))[:50_000]])
        layer.restart()
        layer.write([gzip_layer(image.layer)])
        writer.keep(document, layer, 0)
        writer.publish("x", {"1": document.image_id})
        self.assertEqual(image.layer, self.members()[f"{image.id}/layer.tar"])

    def test_layer_that_is_no_tar(self) -> None:
        """A layer that is no tar is kept as it is; there is no config then, and the tag is reported."""
        image = make_image("odd", layer=b"no tar" * 200)
        self.assertEqual(["1.0"], write(self.path, [image], {"1.0": image}))
        members = self.members()
        self.assertEqual(image.layer, members[f"{image.id}/layer.tar"])
        self.assertNotIn("manifest.json", members)
        self.assertIn("repositories", members)

    def test_cut_layer(self) -> None:
        """A compressed layer without its end is an error."""
        image = self.images[0]
        writer = ArchiveWriter(self.path)
        self.addCleanup(writer.discard)
        document = ImageJSON.parse(image.json)
        layer = writer.image(document)
        layer.write([gzip.compress(image.layer)[:-20]])
        self.assertRaises(CompressionInvalid, writer.keep, document, layer, 0)

    def test_nothing_until_published(self) -> None:
        """Until it is complete the archive has another name; what is discarded leaves nothing behind."""
        self.path.write_bytes(b"an older archive")
        writer = ArchiveWriter(self.path)
        writer.image(ImageJSON.parse(self.images[0].json))
        self.assertEqual(b"an older archive", self.path.read_bytes())
        writer.discard()
        writer.discard()
        self.assertEqual([self.path], list(self.folder.iterdir()))

    def test_mode(self) -> None:
        """Who may read the archive is what the umask says."""
        old = os.umask(0o027)
        self.addCleanup(os.umask, old)
        write(self.path, self.images, {"1.0": self.images[-1]})
        self.assertEqual(0o640, self.path.stat().st_mode & 0o777)

    def test_no_folder(self) -> None:
        """A folder that is not there is told in a sentence."""
        error = self.assertRaises(CommandFailed, ArchiveWriter, self.folder / "none" / "image.tar")
        self.assertIn("can not be written", error.message)
