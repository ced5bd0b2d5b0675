"""Tests of reading docker-save archives."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dockreg.bridge.schema2_to_v1 import v1_images_from_config
from dockreg.cli.archives import Archive, ArchivedImage, open_archive
from dockreg.cli.members import ArchiveInvalid
from dockreg.testing.samples import image_json, layered_image, make_image, sample_id
from tests.unit.cli.saved import blob_path, image_config, layout_members, sha256, two_layers, v1_members, write_tar


class OpenArchiveTests(SynchronousTestCase):
    """Every form of archive."""

    def write(self, members: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> Path:
        return write_tar(Path(self.mktemp()), members, links)

    def opened(self, path: Path) -> Archive:
        archive = open_archive(path)
        self.addCleanup(archive.close)
        return archive

    def layer(self, archive: Archive, image: ArchivedImage) -> bytes:
        """The bytes of a layer, read in small pieces."""
        content = b""
        while image.layer is not None and (piece := archive.read(image.layer, len(content), 1000)):
            content += piece
        return content

    def check_v1(self, archive: Archive, references: list[str]) -> None:
        """Whether an archive holds the sample image, byte for byte."""
        images = layered_image()
        (chain,) = archive.chains
        self.assertEqual(references, list(chain.references))
        self.assertEqual([image.id for image in images], [image.image_id.value for image in chain.images])
        self.assertEqual([image.json for image in images], [image.json for image in chain.images])
        self.assertEqual([image.layer for image in images], [self.layer(archive, image) for image in chain.images])

    def test_first_form(self) -> None:
        """The images of ``repositories`` come base first, byte for byte, with their names."""
        images = layered_image()
        members = v1_members(images, {"demo/app": {"1.0": images[-1].id, "latest": images[-1].id}})
        self.check_v1(self.opened(self.write(members)), ["demo/app:1.0", "demo/app:latest"])

    def test_without_names(self) -> None:
        """Where nothing is named, the image that is no other's parent is the one."""
        self.check_v1(self.opened(self.write(v1_members(layered_image()))), [])

    def test_several_images(self) -> None:
        """Two named images are two chains, which may share what lies below."""
        base, middle, top = layered_image()
        members = v1_members((base, middle, top), {"a": {"1": top.id, "2": middle.id}})
        chains = {tuple(chain.references): len(chain.images) for chain in self.opened(self.write(members)).chains}
        self.assertEqual({("a:1",): 3, ("a:2",): 2}, chains)

    def test_leading_dots(self) -> None:
        """Members may be called ``./name``, as ``tar -c .`` calls them."""
        members = {f"./{name}": content for name, content in v1_members(layered_image()).items()}
        self.check_v1(self.opened(self.write(members)), [])

    def test_compressed_archive(self) -> None:
        """An archive that is compressed as a whole is read like a plain one."""
        plain = self.write(v1_members(layered_image())).read_bytes()
        for compress in (gzip.compress, bz2.compress, lzma.compress):
            with self.subTest(compress=compress):
                path = Path(self.mktemp())
                path.write_bytes(compress(plain))
                self.check_v1(self.opened(path), [])

    def test_linked_layers(self) -> None:
        """A layer may be a symbolic link to another member, as podman and docker since 1.10 write them."""
        images = layered_image()
        members = v1_members(images, {"demo/app": {"1.0": images[-1].id}})
        links = {}
        for image in images:
            name = f"{image.id}/layer.tar"
            members[f"{image.id[:5]}.tar"] = members.pop(name)
            links[name] = f"../{image.id[:5]}.tar"
        self.check_v1(self.opened(self.write(members, links)), ["demo/app:1.0"])

    def test_last_member_counts(self) -> None:
        """Of several members with one name the last counts, be they files or links, as for tar."""
        image = make_image("one")
        members = v1_members([image])
        members["real"] = members.pop(f"{image.id}/layer.tar")
        path = self.write({f"{image.id}/layer.tar": b"stale", **members}, {f"{image.id}/layer.tar": "../real"})
        archive = self.opened(path)
        self.assertEqual(image.layer, self.layer(archive, archive.chains[0].images[0]))

    def test_v1_json_preferred(self) -> None:
        """Where an archive has both forms, the ids are those of its v1 jsons."""
        images = layered_image()
        members = v1_members(images, {"demo/app": {"1.0": images[-1].id}})
        config = image_config([image.layer for image in images])
        entry = {"Config": "c.json", "RepoTags": ["x:y"], "Layers": [f"{image.id}/layer.tar" for image in images]}
        members.update({"c.json": config, "manifest.json": json.dumps([entry]).encode()})
        self.check_v1(self.opened(self.write(members)), ["demo/app:1.0"])

    def check_derived(self, archive: Archive, config: bytes, references: list[str]) -> None:
        """Whether an archive holds the image of this config and :func:`two_layers`."""
        (chain,) = archive.chains
        derived = v1_images_from_config(config)
        self.assertEqual(references, list(chain.references))
        self.assertEqual([image.image_id for image in derived], [image.image_id for image in chain.images])
        self.assertEqual([image.json for image in derived], [image.json for image in chain.images])
        self.assertEqual(list(two_layers()), [self.layer(archive, image) for image in chain.images])
        self.assertEqual([sha256(layer) for layer in two_layers()], [str(image.diff_id) for image in chain.images])

    def test_manifest(self) -> None:
        """Without v1 jsons the images are made from the config that ``manifest.json`` names."""
        layers, config = two_layers(), image_config(two_layers())
        entry = {"Config": "c.json", "RepoTags": ["demo/app:1.0"], "Layers": ["1/layer.tar", "2/layer.tar"]}
        members = {"1/layer.tar": layers[0], "2/layer.tar": layers[1], "c.json": config}
        members["manifest.json"] = json.dumps([entry]).encode()
        self.check_derived(self.opened(self.write(members)), config, ["demo/app:1.0"])

    def test_docker_25(self) -> None:
        """An OCI layout with ``manifest.json`` is read by that, though ``repositories`` names ids that are not there."""
        config = image_config(two_layers())
        members = layout_members(config, two_layers())
        paths = [blob_path(layer) for layer in two_layers()]
        entry = {"Config": blob_path(config), "RepoTags": ["demo/app:1.0"], "Layers": paths}
        members["manifest.json"] = json.dumps([entry]).encode()
        members["repositories"] = json.dumps({"demo/app": {"1.0": "a" * 64}}).encode()
        self.check_derived(self.opened(self.write(members)), config, ["demo/app:1.0"])

    def test_layout(self) -> None:
        """An OCI layout on its own is read by its index."""
        config = image_config(two_layers())
        members = layout_members(config, two_layers(), **{"io.containerd.image.name": "demo/app:1.0"})
        self.check_derived(self.opened(self.write(members)), config, ["demo/app:1.0"])

    def test_layout_for_several_platforms(self) -> None:
        """Of an image for several platforms, the one for linux on amd64 is taken."""
        config = image_config(two_layers())
        members = layout_members(config, two_layers())
        (descriptor,) = json.loads(members["index.json"])["manifests"]
        other = {"digest": "sha256:" + "0" * 64, "platform": {"os": "linux", "architecture": "arm64"}}
        inner = json.dumps({"manifests": [other, {**descriptor, "platform": {"os": "linux", "architecture": "amd64"}}]})
        members[blob_path(inner.encode())] = inner.encode()
        members["index.json"] = json.dumps({"manifests": [{"digest": sha256(inner.encode())}]}).encode()
        self.check_derived(self.opened(self.write(members)), config, [])

    def test_no_layers(self) -> None:
        """An image without layers is one v1 image whose layer the archive does not hold."""
        entry = {"Config": "c.json", "RepoTags": None, "Layers": None}
        members = {"c.json": image_config([]), "manifest.json": json.dumps([entry]).encode()}
        ((image,),) = [chain.images for chain in self.opened(self.write(members)).chains]
        self.assertIsNone(image.layer)


class DamagedArchiveTests(SynchronousTestCase):
    """Archives that can not be pushed are refused with a sentence, whatever is wrong with them."""

    def assert_refused(
        self, members: Mapping[str, bytes], sentence: str, links: Mapping[str, str] | None = None
    ) -> None:
        error = self.assertRaises(ArchiveInvalid, open_archive, write_tar(Path(self.mktemp()), members, links))
        self.assertIn(sentence, error.message)

    def test_no_archive(self) -> None:
        """Something else than a tar is refused, an empty file too."""
        for content in (b"", b"hello", b"\x1f\x8b\x08" + bytes(40), gzip.compress(b"x" * 5000)[:-4]):
            with self.subTest(content=content):
                path = Path(self.mktemp())
                path.write_bytes(content)
                self.assertRaises(ArchiveInvalid, open_archive, path)

    def test_cut_short(self) -> None:
        """An archive that ends in the middle of a layer is refused before anything is pushed."""
        path = write_tar(Path(self.mktemp()), v1_members(layered_image()))
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 3])
        self.assertRaises(ArchiveInvalid, open_archive, path)

    def test_nothing_in_it(self) -> None:
        """A tar without images is refused."""
        self.assert_refused({"README": b"hello"}, "holds no image")

    def test_missing_parts(self) -> None:
        """A missing parent, layer, config or blob is named."""
        base, middle, top = layered_image()
        self.assert_refused(v1_members((middle, top)), f"misses {base.id}/json")
        without_layer = v1_members((base,))
        del without_layer[f"{base.id}/layer.tar"]
        self.assert_refused(without_layer, f"misses {base.id}/layer.tar")
        self.assert_refused({"manifest.json": b'[{"Config":"c.json","Layers":["x"]}]'}, "misses x")
        self.assert_refused({"manifest.json": b'[{"Config":"c.json","Layers":[]}]'}, "misses c.json")

    def test_circles(self) -> None:
        """Links and parents that go in a circle come to an end."""
        one, other = sample_id("one"), sample_id("other")
        members = {
            f"{one}/layer.tar": b"",
            f"{other}/layer.tar": b"",
            "repositories": json.dumps({"a": {"b": one}}).encode(),
        }
        jsons = {f"{one}/json": image_json(one, other), f"{other}/json": image_json(other, one)}
        self.assert_refused({**members, **jsons}, "circle")
        image = make_image("linked")
        linked = {f"{image.id}/json": image.json}
        self.assert_refused(linked, "misses", {f"{image.id}/layer.tar": "../a", "a": "b", "b": "a"})

    def test_wrong_headers(self) -> None:
        """Headers of sparse files that the tar library stumbles over are told as a sentence."""
        for headers in ({"GNU.sparse.map": "a,b"}, {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}):
            path = Path(self.mktemp())
            with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
                member = tarfile.TarInfo("index.json")
                member.size, member.pax_headers = 2, {**headers, "GNU.sparse.name": "index.json"}
                archive.addfile(member, io.BytesIO(b"{}"))
            self.assertIn("is no archive of docker save", str(self.assertRaises(ArchiveInvalid, open_archive, path)))

    def test_wrong_json(self) -> None:
        """A json that is none, or another image's, is refused."""
        image = make_image("one")
        self.assert_refused({f"{image.id}/json": b"{"}, "broken")
        self.assert_refused({f"{'a' * 64}/json": image.json}, f"json of image {image.id}")

    def test_wrong_documents(self) -> None:
        """Broken lists and configs are refused, whatever they hold instead."""
        image = make_image("one")
        for content in (b"", b"null", b"[1]", b'[{"Layers":1}]', b'[{"Config":5}]', b'[{"Layers":[5]}]', b'"x"'):
            with self.subTest(content=content):
                self.assert_refused({"manifest.json": content}, "")
        for content in (b"[]", b'{"manifests":1}', b'{"manifests":[1]}', b'{"manifests":[{"digest":"x"}]}'):
            with self.subTest(content=content):
                self.assert_refused({"index.json": content}, "")
        self.assert_refused({**v1_members((image,)), "repositories": b'{"a":{"b":1}}'}, "broken repositories")
        entry = b'[{"Config":"c.json","Layers":[]}]'
        self.assert_refused({"manifest.json": entry, "c.json": b"{}"}, "something else than container images")
        self.assert_refused({"manifest.json": entry, "c.json": image_config([b"x"])}, "lists 0 layers")
