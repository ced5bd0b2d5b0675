"""Exports of a registry that has lost something or is changed meanwhile, and imports of a part of an archive."""

import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from dockreg.model.mediatypes import OCI_MANIFEST
from dockreg.providers.metadata.manifests import SQLManifestStore
from dockreg.providers.metadata.repositories import SQLRepositoryStore
from tests.integration.movingcase import MovingCase
from tests.integration.v2case import IN_FILES, digest_of, make_sample


class LossyExportTests(MovingCase):
    """What is lost is left out before anything of it is written, and the rest is taken."""

    CONFIG: ClassVar[str] = IN_FILES

    @contextmanager
    def lost(self, content: bytes) -> Iterator[None]:
        """The file of a blob is not where it should be meanwhile."""
        encoded = digest_of(content)[7:]
        (stored,) = (self.daemon.data / "blobs/sha256").glob(f"*/{encoded}.*")
        away = stored.rename(self.folder / "away")
        try:
            yield
        finally:
            away.rename(stored)

    async def test_layout(self) -> None:
        """An image with a lost layer is left out, under each of its names; what there is of others is imported."""
        whole, broken = make_sample(self.name), make_sample(f"{self.name} broken")
        self.push(broken, "a")
        self.push(broken, "b")
        self.push(whole, "c")
        archive = self.folder / "layout"
        with self.lost(broken.blobs[1]):
            told = await self.exported(archive)
        named = [f"{self.name}:a", f"{self.name}:b"]
        self.assertEqual(named, [each for each in told["lost"] if each.startswith(self.name)])
        sentences = [f"{each}: the registry has lost blob {digest_of(broken.blobs[1])}" for each in named]
        self.assertEqual(sentences, [each for each in told["left_out"] if each.startswith(f"{self.name}:")])
        self.assertEqual(["c"], told["repositories"][self.name])
        for content in (*broken.blobs, broken.config, broken.manifest):
            self.assertFalse((archive / "blobs/sha256" / digest_of(content)[7:]).exists())
        told = await self.imported(archive, into=f"{self.name}/back", only=[self.name])
        self.assertEqual({f"{self.name}/back": ["c"]}, told["repositories"])
        self.same_blobs(self.daemon, f"{self.name}/back", whole)

    async def test_parts(self) -> None:
        """A lost layer of one platform is one of the index; a lost signature is left out alone."""
        index, one, two = self.push_index()
        sbom = self.push_referrer(one.manifest, OCI_MANIFEST, f"{self.name} sbom")
        archive = self.folder / "one"
        with self.lost(one.blobs[0]):
            told = await self.exported(archive, self.name)
        expected = [f"{self.name}:multi", f"{self.name}@{one.digest}"]
        self.assertEqual(sorted(expected), sorted(told["lost"]))
        self.assertEqual([], told["repositories"][self.name])
        written = {each.name for each in (archive / "blobs/sha256").iterdir()}
        self.assertIn(two.digest[7:], written)
        self.assertFalse({one.digest[7:], digest_of(index)[7:]} & written)
        archive = self.folder / "two"
        with self.lost(f"{self.name} sbom".encode()):
            told = await self.exported(archive, f"{self.name}:multi")
        self.assertEqual(
            ([f"{self.name}@{digest_of(sbom)}"], ["multi"]), (told["lost"], told["repositories"][self.name])
        )
        listed = json.loads((archive / "index.json").read_bytes())["manifests"]
        self.assertEqual([digest_of(index)], [each["digest"] for each in listed])

    async def test_saved(self) -> None:
        """So it is in an archive of docker save, for a layer and for a config."""
        whole, broken = make_sample(self.name), make_sample(f"{self.name} broken")
        self.push(broken, "a")
        self.push(whole, "b")
        for content in (broken.blobs[1], broken.config):
            with self.lost(content):
                told = await self.exported(self.folder / "saved.tar", self.name, form="docker")
            self.assertEqual([f"{self.name}:a"], told["lost"])
            self.assertEqual({self.name: ["b"]}, told["repositories"])
            with tarfile.open(self.folder / "saved.tar") as members:
                # Those of the other image: the layer below the lost one is not there.
                self.assertEqual(2, sum(each.name.endswith("/layer.tar") for each in members))
            await self.imported(self.folder / "saved.tar", into=f"{self.name}/back")

    async def test_nothing_left(self) -> None:
        """There is no archive of nothing but lost images."""
        sample = make_sample(self.name)
        self.push(sample, "1")
        for form in ("oci", "docker"):
            with self.lost(sample.blobs[0]):
                problem = await self.fails(self.exported(self.folder / "x.tar", f"{self.name}:1", form=form))
            self.assertIn(f"{self.name}:1: the registry has lost blob", problem)
            self.assertEqual([], list(self.folder.iterdir()))

    def test_command(self) -> None:
        """The exit status is 1, and a sentence names repository and image; the archive is there."""
        whole, broken = make_sample(self.name), make_sample(f"{self.name} broken")
        self.push(broken, "a")
        self.push(whole, "b")
        archive = self.folder / "all.tar"
        with self.lost(broken.blobs[0]):
            status, said = self.daemon.said("export", "--all", "-o", str(archive))
        self.assertEqual(1, status)
        self.assertIn(f"left out: {self.name}:a: the registry has lost blob {digest_of(broken.blobs[0])}", said)
        self.assertIn(f"Error: the registry has lost blobs of 1 images: {self.name}:a", said)
        self.assertEqual(
            0, self.daemon.command("import", str(archive), "--only", self.name, "--into", f"{self.name}/x")
        )

    async def test_damaged(self) -> None:
        """A blob that is not what it was any more ends the export, and no archive is left."""
        sample = make_sample(self.name)
        self.push(sample)
        digest = digest_of(sample.blobs[0])
        (stored,) = (self.daemon.data / "blobs/sha256").glob(f"*/{digest[7:]}.*")
        content = stored.read_bytes()
        stored.write_bytes(bytes(len(content)))
        for name in ("folder", "archive.tar"):
            self.assertIn("damaged", await self.fails(self.exported(self.folder / name, self.name)))
        self.assertEqual([], list(self.folder.iterdir()))
        stored.write_bytes(content)


class ChangedExportTests(MovingCase):
    """What is deleted while an export runs is left out, and the rest is taken."""

    def after(self, kind: type, method: str, act: Callable[[], object]) -> None:
        """Do something when the export has read a list that holds something, and not what is in the list."""
        original, waiting = getattr(kind, method), [act]

        async def read(store: object, *arguments: object) -> Any:
            found = await original(store, *arguments)
            if found and waiting:
                waiting.pop()()
            return found

        self.patch(kind, method, read)

    def delete(self, *references: str) -> None:
        """Tags or digests."""
        for each in references:
            self.assertEqual(202, self.ask("DELETE", f"manifests/{each}").status)

    def delete_repository(self) -> None:
        self.assertEqual(200, self.ask("DELETE", f"/v1/repositories/{self.name}/").status)

    async def check(self, path: Path, *left_out: str, tags: list[str]) -> None:
        """Export the repository, into an archive that can be imported."""
        told = await self.exported(path, self.name)
        self.assertEqual([f"{each} was deleted meanwhile" for each in left_out], told["left_out"])
        self.assertEqual(([], tags), (told["lost"], told["repositories"][self.name]))
        if tags:
            told = await self.imported(path, into=f"{self.name}/back")
            self.assertEqual({f"{self.name}/back": tags}, told["repositories"])

    async def test_tag(self) -> None:
        """A tag, and the manifest under another one."""
        gone = make_sample(f"{self.name} gone")
        for sample, tag in ((gone, "a"), (make_sample(self.name), "b"), (make_sample(self.name), "c")):
            self.push(sample, tag)
        self.after(SQLRepositoryStore, "list_tags", lambda: self.delete("c", gone.digest))
        await self.check(self.folder / "x", f"{self.name}:a", f"{self.name}:c", tags=["b"])

    async def test_referrer(self) -> None:
        """A signature, after it was listed."""
        sample = make_sample(self.name, OCI_MANIFEST)
        self.push(sample, "1")
        sbom = digest_of(self.push_referrer(sample.manifest, OCI_MANIFEST))
        self.after(SQLManifestStore, "list_referrers", lambda: self.delete(sbom))
        await self.check(self.folder / "x", f"{self.name}@{sbom}", tags=["1"])

    async def test_untagged(self) -> None:
        """A manifest that has no tag, after it was listed."""
        self.push(make_sample(self.name), "1")
        untagged = make_sample(f"{self.name} untagged")
        self.push(untagged, untagged.digest)
        self.after(SQLManifestStore, "pushed", lambda: self.delete(untagged.digest))
        await self.check(self.folder / "x", f"{self.name}@{untagged.digest}", tags=["1"])

    async def test_in_the_middle(self) -> None:
        """A repository, while an image of it is looked at: its blobs are not part of it any more."""
        gone = [f"{self.name}:1 was deleted meanwhile", f"{self.name} was deleted meanwhile"]
        self.push(make_sample(self.name), "1")
        self.after(SQLManifestStore, "get", self.delete_repository)
        told = await self.exported(self.folder / "x", self.name)
        self.assertEqual((gone, []), (told["left_out"], told["lost"]))
        self.push(make_sample(self.name), "1")
        self.after(SQLManifestStore, "get", self.delete_repository)
        problem = await self.fails(self.exported(self.folder / "x.tar", self.name, form="docker"))
        self.assertEqual(f"there is no image to export: {gone[0]}", problem)

    async def test_repository(self) -> None:
        """A repository, after it was listed, while all is exported; the others are taken."""
        other = f"{self.name}-other"
        self.push(make_sample(self.name), "1")
        self.push(make_sample(other), "1", other)
        self.after(SQLRepositoryStore, "search", self.delete_repository)
        told = await self.exported(self.folder / "x")
        self.assertIn(f"{self.name} was deleted meanwhile", told["left_out"])
        self.assertEqual(["1"], told["repositories"][other])


class PartlyImportTests(MovingCase):
    """Parts of archives, and archives that are bad in the last of their parts."""

    async def test_only(self) -> None:
        """What refers to what was chosen, to a child of it or to what refers to it comes along, and nothing else does."""
        index, one, two = self.push_index()
        sbom = self.push_referrer(one.manifest, OCI_MANIFEST, "sbom")
        signature = self.push_referrer(sbom, OCI_MANIFEST, "signature")
        attached = self.push_referrer(index, "application/vnd.oci.image.index.v1+json", "attached")
        other, untagged = (
            make_sample(f"{self.name} other", OCI_MANIFEST),
            make_sample(f"{self.name} none", OCI_MANIFEST),
        )
        self.push(other, "other")
        self.push(untagged, untagged.digest)
        foreign = self.push_referrer(other.manifest, OCI_MANIFEST, "foreign")
        archive = self.folder / "layout"
        await self.exported(archive, self.name)
        into = f"{self.name}/back"
        told = await self.imported(archive, into=into, only=[f"{self.name}:multi"])
        self.assertEqual({into: ["multi"]}, told["repositories"])
        for content in (index, one.manifest, two.manifest, sbom, signature, attached):
            self.assertEqual(content, self.pulled(self.daemon, into, digest_of(content)))
        for content in (other.manifest, untagged.manifest, foreign):
            self.assertEqual(404, self.ask("GET", f"/v2/{into}/manifests/{digest_of(content)}").status)

    async def test_only_none(self) -> None:
        """What has no tag has no name to choose it by."""
        sample = make_sample(self.name, OCI_MANIFEST)
        self.push(sample, sample.digest)
        archive = self.folder / "layout"
        await self.exported(archive, self.name)
        problem = await self.fails(self.imported(archive, into=f"{self.name}/back", only=[f"{self.name}:None"]))
        self.assertIn("none of these images", problem)

    async def test_known_digest(self) -> None:
        """To know the digest of somebody's blob is no way to it: the archive has to hold its bytes."""
        sample = make_sample(self.name, OCI_MANIFEST)
        self.push(sample, "1")
        archive = self.folder / "layout"
        await self.exported(archive, self.name)
        stolen = archive / "blobs/sha256" / digest_of(sample.blobs[1])[7:]
        content = stolen.read_bytes()
        stolen.write_bytes(bytes(len(content)))
        into = f"{self.name}/mine"
        self.assertIn("has other content in", await self.fails(self.imported(archive, into=into)))
        self.assertEqual(404, self.ask("GET", f"/v2/{into}/blobs/{digest_of(content)}").status)
        stolen.write_bytes(content)
        told = await self.imported(archive, into=into)
        self.assertEqual((0, 3), (told["blobs"], told["present"]))
        self.same_blobs(self.daemon, into, sample)
        # What the repository has is its own, and not read again.
        stolen.write_bytes(bytes(len(content)))
        self.assertEqual(3, (await self.imported(archive, into=into))["present"])

    async def test_damaged_at_the_end(self) -> None:
        """Of an archive whose last layer is damaged no manifest is stored, of whatever repository and image."""
        first, last = make_sample(self.name, OCI_MANIFEST), make_sample(f"{self.name} last", OCI_MANIFEST)
        self.push(first, "1")
        sbom = digest_of(self.push_referrer(first.manifest, OCI_MANIFEST))
        other = f"{self.name}-other"
        self.push(last, "1", other)
        archive = self.folder / "layout"
        await self.exported(archive, self.name, other)
        damaged = archive / "blobs/sha256" / digest_of(last.blobs[1])[7:]
        damaged.write_bytes(bytes(damaged.stat().st_size))
        target = self.another()
        self.assertIn("has other content in", await self.fails(self.imported(archive, daemon=target)))
        target.start()
        for reference in ("1", first.digest, sbom):
            self.assertEqual(404, target.request("GET", f"/v2/{self.name}/manifests/{reference}")[0])
        found = target.request("GET", f"/v2/{self.name}/referrers/{first.digest}")
        self.assertEqual([], json.loads(found[1]).get("manifests", []))
        self.assertEqual([], json.loads(target.request("GET", "/v2/_catalog")[1])["repositories"])
        # What docs/moving.rst says: repositories without anything in them are what is left.
        listed = json.loads(target.request("GET", "/v1/search?q=test")[1])["results"]
        self.assertEqual([self.name, other], sorted(each["name"] for each in listed))
