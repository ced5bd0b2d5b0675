"""``dockreg export`` and ``dockreg import`` beside a daemon, and between two of them."""

import gzip
import io
import json
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from dockreg.model.mediatypes import OCI_MANIFEST, SCHEMA2_MANIFEST
from dockreg.testing.samples import layered_image, make_tar
from tests.commands import run_command
from tests.integration.movingcase import MovingCase
from tests.integration.v2case import Sample, compact, described, digest_of, make_sample
from tests.unit.cli.saved import v1_members, write_tar


class ExportTests(MovingCase):
    """What is exported is imported as it was."""

    async def test_all(self) -> None:
        """A whole registry goes into another one: indexes with their children, referrers, what has no tag, privacy."""
        index, one, two = self.push_index()
        sbom = self.push_referrer(one.manifest, OCI_MANIFEST)
        signature = self.push_referrer(sbom, OCI_MANIFEST, "signature")
        untagged = make_sample(f"{self.name} untagged")
        self.push(untagged, untagged.digest)
        self.ask("PUT", f"/v1/repositories/{self.name}/properties", b'{"access": "private"}')
        other = f"{self.name}/below"
        self.push(make_sample(other), "1", other)
        archive = self.folder / "all.tar"
        told = await self.exported(archive)
        self.assertEqual((["multi"], ["1"]), (told["repositories"][self.name], told["repositories"][other]))
        target = self.another()
        told = await self.imported(archive, daemon=target)
        self.assertEqual((["multi"], ["1"]), (told["repositories"][self.name], told["repositories"][other]))
        again = await self.imported(archive, daemon=target)
        self.assertEqual((0, 0, []), (again["blobs"], again["bytes"], again["moved"]))
        target.start()
        self.assertEqual(index, self.pulled(target, self.name, "multi"))
        for sample in (one, two, untagged):
            self.assertEqual(sample.manifest, self.pulled(target, self.name, sample.digest))
            self.same_blobs(target, self.name, sample)
        self.assertEqual(signature, self.pulled(target, self.name, digest_of(signature)))
        found = json.loads(target.request("GET", f"/v2/{self.name}/referrers/{one.digest}")[1])
        self.assertEqual([digest_of(sbom)], [each["digest"] for each in found["manifests"]])
        for name, access in ((self.name, "private"), (other, "public")):
            told = json.loads(target.request("GET", f"/v1/repositories/{name}/properties")[1])
            self.assertEqual(access, told["access"])

    async def test_folder(self) -> None:
        """A name without .tar makes a layout in a folder, as the specification has it; nothing else is left."""
        sample = make_sample(self.name, OCI_MANIFEST)
        self.push(sample, "1.0")
        target = self.folder / "layout"
        await self.exported(target, f"{self.name}:1.0")
        self.assertEqual(["layout"], [each.name for each in self.folder.iterdir()])
        self.assertEqual({"imageLayoutVersion": "1.0.0"}, json.loads((target / "oci-layout").read_bytes()))
        (entry,) = json.loads((target / "index.json").read_bytes())["manifests"]
        self.assertEqual((sample.digest, OCI_MANIFEST), (entry["digest"], entry["mediaType"]))
        self.assertEqual("1.0", entry["annotations"]["org.opencontainers.image.ref.name"])
        self.assertEqual(f"docker.io/{self.name}:1.0", entry["annotations"]["io.containerd.image.name"])
        blobs = {each.name for each in (target / "blobs/sha256").iterdir()}
        expected = {digest_of(each)[7:] for each in (*sample.blobs, sample.config, sample.manifest)}
        self.assertEqual(expected, blobs)
        self.assertIn("is there already", await self.fails(self.exported(target, self.name)))

    async def test_types_of_docker(self) -> None:
        """An image of docker's types is there as it was pushed, and under its tag with those of OCI."""
        sample = make_sample(self.name)
        self.push(sample, "1.0")
        layout = self.folder / "layout"
        await self.exported(layout, self.name)
        (view,) = json.loads((layout / "index.json").read_bytes())["manifests"]
        self.assertEqual(sample.digest, view["annotations"]["org.dockreg.view-of"])
        self.assertEqual("1.0", view["annotations"]["org.opencontainers.image.ref.name"])
        self.assertEqual(sample.manifest, (layout / "blobs/sha256" / sample.digest[7:]).read_bytes())
        content = (layout / "blobs/sha256" / view["digest"][7:]).read_bytes()
        self.assertEqual((OCI_MANIFEST, digest_of(content)), (json.loads(content)["mediaType"], view["digest"]))
        await self.imported(layout, into=f"{self.name}/back")
        self.assertEqual(sample.manifest, self.pulled(self.daemon, f"{self.name}/back", "1.0"))

    async def test_same_bytes(self) -> None:
        """The same content makes the same archive."""
        self.push_index()
        for form in ("oci", "docker"):
            one, two = self.folder / "one.tar", self.folder / "two.tar"
            for path in (one, two):
                await self.exported(path, self.name, form=form)
            self.assertEqual(one.read_bytes(), two.read_bytes())

    async def test_docker_save(self) -> None:
        """An archive as docker save writes it has the config that was pushed, and comes back as the same image."""
        sample = make_sample(self.name)
        self.push(sample, "1")
        self.push(sample, "2")
        archive = self.folder / "saved.tar"
        told = await self.exported(archive, self.name, form="docker", host="r.example")
        self.assertEqual(["1", "2"], told["repositories"][self.name])
        with tarfile.open(archive) as members:
            contents = {each.name: members.extractfile(each) for each in members if each.isfile()}
            read = {name: file.read() for name, file in contents.items() if file}
        (entry,) = json.loads(read["manifest.json"])
        self.assertEqual([f"r.example/{self.name}:1", f"r.example/{self.name}:2"], entry["RepoTags"])
        self.assertEqual(sample.config, read[entry["Config"]])
        self.assertEqual(list(sample.layers), [read[name] for name in entry["Layers"]])
        top = entry["Config"].removesuffix(".json")
        self.assertEqual({f"r.example/{self.name}": {"1": top, "2": top}}, json.loads(read["repositories"]))
        self.assertEqual(top, json.loads(read[f"{top}/json"])["id"])
        into = f"{self.name}/back"
        await self.imported(archive, into=into)
        back = json.loads(self.pulled(self.daemon, into, "2"))
        self.assertEqual(digest_of(sample.config), back["config"]["digest"])
        self.assertEqual([digest_of(each) for each in sample.layers], [each["digest"] for each in back["layers"]])

    async def test_v1_only(self) -> None:
        """A tag of a v1 image that has no manifest is left out, and that is said."""
        path = write_tar(self.folder / "v1.tar", {"repositories": b"{}"})
        image = "f" * 64
        members = {
            f"{image}/json": compact({"id": image}),
            f"{image}/layer.tar": b"this is no tar, and engines of v1 do not mind",
            "repositories": compact({self.name: {"odd": image}}),
        }
        write_tar(path, members)
        # It has no checksum, and can not be read as a tar, so the import does not trust it; a push may.
        self.assertIn("no whole tar", await self.fails(self.imported(path)))
        daemon = self.daemon
        push = {"X-Docker-Token": "true"}
        self.assertEqual(
            200, daemon.request("PUT", f"/v1/repositories/{self.name}/", compact([{"id": image}]), push)[0]
        )
        self.assertEqual(200, daemon.request("PUT", f"/v1/images/{image}/json", members[f"{image}/json"])[0])
        layer = members[f"{image}/layer.tar"]
        self.assertEqual(200, daemon.request("PUT", f"/v1/images/{image}/layer", layer)[0])
        checksum = {"X-Docker-Checksum-Payload": digest_of(members[f"{image}/json"] + b"\n" + layer)}
        self.assertEqual(200, daemon.request("PUT", f"/v1/images/{image}/checksum", b"", checksum)[0])
        path = f"/v1/repositories/{self.name}/tags/odd"  # type: ignore[assignment]
        self.assertEqual(200, daemon.request("PUT", str(path), compact(image))[0])
        told = await self.exported(self.folder / "layout", self.name)
        self.assertEqual([[], f"{self.name}:odd"], [told["repositories"][self.name], told["left_out"][0].split()[0]])
        self.assertIn("v1 pull", await self.fails(self.exported(self.folder / "one", f"{self.name}:odd")))

    async def test_unknown(self) -> None:
        """What is not there is said, and what the command line lacks."""
        out = self.folder / "x.tar"
        self.assertIn("not/there", await self.fails(self.exported(out, "not/there")))
        self.push(make_sample(self.name), "1")
        self.assertIn("nope", await self.fails(self.exported(out, f"{self.name}:nope")))
        self.assertEqual(2, self.daemon.command("export", "-o", str(out)))
        self.assertEqual(2, self.daemon.command("export", "--all", self.name, "-o", str(out)))
        self.assertEqual([], list(self.folder.iterdir()))


class ImportTests(MovingCase):
    """Archives of other programs, and bad ones."""

    CONFIG: ClassVar[str] = ""

    def members(self, sample: Sample, **annotations: str) -> dict[str, bytes]:
        """An OCI layout."""
        entry = described(sample.media_type, sample.manifest, annotations=annotations)
        blobs = (*sample.blobs, sample.config, sample.manifest)
        return {
            "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
            "index.json": compact({"schemaVersion": 2, "manifests": [entry]}),
            **{f"blobs/sha256/{digest_of(each)[7:]}": each for each in blobs},
        }

    def archive(self, members: Mapping[str, bytes], **links: str) -> Path:
        return write_tar(self.folder / "archive.tar", members, links)

    def tags(self) -> Any:
        """The tags of the repository, None when it is not there."""
        reply = self.ask("GET", "tags/list")
        return reply.document["tags"] if reply.status == 200 else None

    async def test_layout(self) -> None:
        """A layout is imported beside the daemon, as a tar, compressed, or as a folder, and is served at once."""
        sample = make_sample(self.name, OCI_MANIFEST)
        plain = self.archive(self.members(sample, **{"org.opencontainers.image.ref.name": "3"}))
        packed = self.folder / "archive.tar.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        folder = self.folder / "layout"
        with tarfile.open(plain) as members:
            members.extractall(folder, filter="data")
        self.assertIn("--into", await self.fails(self.imported(plain)))
        for number, path in enumerate((plain, packed, folder)):
            name = f"{self.name}/{number}"
            told = await self.imported(path, into=name)
            self.assertEqual({name: ["3"]}, told["repositories"])
            self.assertEqual(sample.manifest, self.pulled(self.daemon, name, "3"))
            self.same_blobs(self.daemon, name, sample)
            # What the registry has in any repository is not read again.
            self.assertEqual(0 if number else 3, told["blobs"])

    async def test_named(self) -> None:
        """The name of containerd is taken without its host, and an archive can be imported in part."""
        sample, other = make_sample(self.name, OCI_MANIFEST), make_sample(f"{self.name} other", OCI_MANIFEST)
        members = {**self.members(other), **self.members(sample)}
        entries = [
            described(
                each.media_type, each.manifest, annotations={"io.containerd.image.name": f"r.example:5000/{name}"}
            )
            for each, name in ((sample, f"{self.name}:1"), (other, f"{self.name}:2"))
        ]
        members["index.json"] = compact({"schemaVersion": 2, "manifests": entries})
        path = self.archive(members)
        await self.imported(path, only=[f"{self.name}:2"])
        self.assertEqual(["2"], self.tags())
        await self.imported(path)
        self.assertEqual(["1", "2"], self.tags())
        self.assertIn("none of these images", await self.fails(self.imported(path, only=["nothing"])))

    async def test_moved(self) -> None:
        """A tag that was something else is moved, and that is said."""
        old, new = make_sample(f"{self.name} old"), make_sample(f"{self.name} new")
        self.push(old, "1")
        path = self.archive(self.members(new, **{"org.opencontainers.image.ref.name": f"{self.name}:1"}))
        told = await self.imported(path)
        self.assertEqual([f"{self.name}:1 was {old.digest}"], told["moved"])
        self.assertEqual(new.manifest, self.pulled(self.daemon, self.name, "1"))

    async def test_saved(self) -> None:
        """manifest.json of docker 1.10 to 24: plain and compressed layers, links, the id of the image."""
        sample = make_sample(self.name)
        members = {"config.json": sample.config, "one/layer.tar": sample.layers[0], "two.tar": sample.blobs[1]}
        entry = {"Config": "config.json", "RepoTags": [f"{self.name}:1"], "Layers": ["one/layer.tar", "two/layer.tar"]}
        members["manifest.json"] = compact([entry])
        path = self.archive(members, **{"two/layer.tar": "../two.tar"})
        await self.imported(path)
        found = json.loads(self.pulled(self.daemon, self.name, "1"))
        self.assertEqual(digest_of(sample.config), found["config"]["digest"])
        expected = [digest_of(sample.layers[0]), digest_of(sample.blobs[1])]
        self.assertEqual(expected, [each["digest"] for each in found["layers"]])
        self.assertEqual(0, (await self.imported(path))["blobs"])

    async def test_docker_25(self) -> None:
        """A layout with manifest.json, where only that tells the names."""
        sample = make_sample(self.name, OCI_MANIFEST)
        members = self.members(sample)
        config = f"blobs/sha256/{digest_of(sample.config)[7:]}"
        members["manifest.json"] = compact([{"Config": config, "RepoTags": [f"{self.name}:1"], "Layers": []}])
        await self.imported(self.archive(members))
        self.assertEqual(sample.manifest, self.pulled(self.daemon, self.name, "1"))

    async def test_first_form(self) -> None:
        """An archive of docker up to 1.9 becomes v1 images with their ids, and manifests of them."""
        images = layered_image(self.name)
        path = self.archive(v1_members(images, {self.name: {"1": images[-1].id, "base": images[0].id}}))
        told = await self.imported(path)
        self.assertEqual((3, ["1", "base"]), (told["blobs"], sorted(told["repositories"][self.name])))
        again = await self.imported(path)
        self.assertEqual((0, 4, []), (again["blobs"], again["present"], again["moved"]))
        tags = self.ask("GET", f"/v1/repositories/{self.name}/tags").document
        self.assertEqual({"1": images[-1].id, "base": images[0].id}, tags)
        self.assertEqual(images[0].json, self.ask("GET", f"/v1/images/{images[0].id}/json").content)
        self.assertEqual(SCHEMA2_MANIFEST, json.loads(self.pulled(self.daemon, self.name, "1"))["mediaType"])

    async def test_bad(self) -> None:
        """Bad archives end in a sentence, and nothing of them is to be seen."""
        sample = make_sample(self.name, OCI_MANIFEST)
        good = self.members(sample, **{"org.opencontainers.image.ref.name": f"{self.name}:1"})
        layer, config, manifest = (
            f"blobs/sha256/{digest_of(each)[7:]}" for each in (sample.blobs[0], sample.config, sample.manifest)
        )
        cases: list[tuple[str, dict[str, bytes], dict[str, str]]] = [
            ("has other content in", {**good, layer: bytes(len(good[layer]))}, {}),
            ("bytes in", {**good, layer: b"short"}, {}),
            ("misses", {name: content for name, content in good.items() if name != config}, {}),
            ("has other content in", {**good, manifest: good[manifest].replace(b"layers", b"Layers")}, {}),
            ("is not JSON", {**good, "index.json": b"{"}, {}),
            ("should be a short document", {**good, "index.json": bytes(17 * 2**20)}, {}),
            ("leads out of the archive", {**good, "../../etc/cron.d/x": b""}, {}),
            ("leads out of the archive", good, {"blobs/sha256/x": "/etc/passwd"}),
            ("holds no image", {"index.json": b'{"manifests":[]}'}, {}),
        ]
        for sentence, members, links in cases:
            with self.subTest(sentence=sentence):
                path = self.archive(members, **links)
                self.assertIn(sentence, await self.fails(self.imported(path)))
                self.assertIn(self.tags(), (None, []))
        path = self.archive(good)
        with tarfile.open(path, "a") as appended:
            member = tarfile.TarInfo("index.json")
            appended.addfile(member, io.BytesIO(b""))
        self.assertIn("twice", await self.fails(self.imported(path)))
        path = self.archive(good)
        path.write_bytes(path.read_bytes()[:-12000])
        self.assertIn("archive.tar", await self.fails(self.imported(path)))
        path.write_bytes(b"this is no tar" * 100)
        self.assertIn("is no archive", await self.fails(self.imported(path)))
        self.assertIn(self.tags(), (None, []))

    async def test_wrong_layer(self) -> None:
        """A layer that is not the one that the config names is refused, whether it is compressed or not."""
        sample = make_sample(self.name)
        entry = {"Config": "config.json", "RepoTags": [f"{self.name}:1"], "Layers": ["1.tar", "2.tar"]}
        for wrong in (make_tar({"other": b"x"}), gzip.compress(make_tar({"other": b"x"}))):
            members = {"config.json": sample.config, "1.tar": sample.layers[0], "2.tar": wrong}
            path = self.archive({**members, "manifest.json": compact([entry])})
            self.assertIn("2.tar", await self.fails(self.imported(path)))
            self.assertIn(self.tags(), (None, []))

    async def test_link_out_of_folder(self) -> None:
        """A link in a folder leads to what is in it, or nowhere."""
        sample = make_sample(self.name, OCI_MANIFEST)
        members = self.members(sample, **{"org.opencontainers.image.ref.name": f"{self.name}:1"})
        folder, outside = self.folder / "layout", self.folder / "outside"
        for name, content in members.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        blob = folder / f"blobs/sha256/{digest_of(sample.config)[7:]}"
        shutil.move(blob, outside)
        blob.symlink_to(outside)
        self.assertIn("misses", await self.fails(self.imported(folder)))
        blob.unlink()
        shutil.move(outside, folder / "elsewhere")
        blob.symlink_to(folder / "elsewhere")
        await self.imported(folder)
        self.same_blobs(self.daemon, self.name, sample)

    def test_audited(self) -> None:
        """Who looks at the audit log finds what was exported and imported."""
        self.push(make_sample(self.name), "1")
        path = self.folder / "one.tar"
        self.assertEqual(0, self.daemon.command("export", self.name, "-o", str(path)))
        told = self.daemon.told("import", str(path), "--into", f"{self.name}/copy")
        self.assertEqual({f"{self.name}/copy": ["1"]}, told["repositories"])
        lines = (self.daemon.folder / "audit.log").read_text().splitlines()
        events = [json.loads(line) for line in lines if str(path) in line]
        self.assertEqual(["repository.export", "repository.import"], [each["action"] for each in events])
        self.assertEqual({"command line"}, {each["who"] for each in events})

    def test_help(self) -> None:
        """The options of the import of archives are told where somebody looks for them."""
        for arguments, text in ((["--help"], "archive"), (["archive", "--help"], "--into")):
            done = run_command(["import", *arguments])
            self.assertEqual(0, done.returncode)
            self.assertIn(text, done.stdout.decode())
