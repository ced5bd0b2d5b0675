"""``dockreg import v1-tree``: trees as the old registry wrote them, in whatever state, and pulled through v1 and v2."""

import json
from pathlib import Path
from typing import Any

from attrs import asdict

from dockreg.cli.moving.importing import Choice
from dockreg.cli.moving.names import parse_repository
from dockreg.cli.moving.treecommand import import_tree
from dockreg.cli.moving.treeimport import TreeChoice
from dockreg.testing.oldtree import OldTree, checksums_of
from dockreg.testing.samples import V1Image, gzip_layer, image_json, layered_image, make_image, make_tar
from tests.integration.movingcase import MovingCase, Silence
from tests.integration.v2case import digest_of
from tests.processes import Daemon


class TreeCase(MovingCase):
    """A tree, and a daemon that serves what is imported."""

    def setUp(self) -> None:
        super().setUp()
        self.tree = OldTree(self.folder / "registry")
        self.namespace, self.short = self.name.split("/")

    def add(self, images: tuple[V1Image, ...]) -> None:
        """Images, each of which may be built upon those before it."""
        for image in images:
            self.tree.image(image, images)

    async def taken(self, daemon: Daemon | None = None, *, dry_run: bool = False, **asked: Any) -> dict[str, Any]:
        """``dockreg import v1-tree``, in this process; problems by what they are of."""
        from twisted.internet import reactor

        choice = TreeChoice(**asked)
        done = await import_tree(self.config(daemon), reactor, self.tree.path, choice, Silence(), dry_run=dry_run)
        told = asdict(done)
        told["problems"] = {each["what"]: each["why"] for each in told["problems"]}
        return told

    def v1_tags(self, name: str | None = None) -> Any:
        """The tags of a repository and their image ids."""
        return self.ask("GET", f"/v1/repositories/{name or self.name}/tags").document


class TreeImportTests(TreeCase):
    """Everything that is whole is taken as it was; what is not is told."""

    async def test_pulled(self) -> None:
        """What was in the tree is pulled through v1 byte for byte, and through v2 as the image that it is."""
        images = layered_image(self.name)
        self.add(images)
        folder = self.tree.repository(self.namespace, self.short)
        self.tree.tag(folder, "latest", images[-1].id, kernel="3.13.0", arch="arm")
        self.tree.tag(folder, "base", images[0].id)
        told = await self.taken()
        self.assertEqual(
            ({self.name: ["base", "latest"]}, 3, {}), (told["repositories"], told["images"], told["problems"])
        )
        self.assertEqual({"latest": images[-1].id, "base": images[0].id}, self.v1_tags())
        for image in images:
            self.assertEqual(image.json, self.ask("GET", f"/v1/images/{image.id}/json").content)
            self.assertEqual(gzip_layer(image.layer), self.ask("GET", f"/v1/images/{image.id}/layer").content)
        ancestry = self.ask("GET", f"/v1/images/{images[-1].id}/ancestry").document
        self.assertEqual([image.id for image in images[::-1]], ancestry)
        told = self.ask("GET", f"/v1/repositories/{self.name}/tags/latest/json").document
        self.assertEqual((1_400_000_000, "arm", "3.13.0"), (told["last_update"], told["arch"], told["kernel"]))
        manifest = json.loads(self.pulled(self.daemon, self.name, "latest"))
        layers = [gzip_layer(image.layer) for image in images[:2]]
        self.assertEqual([digest_of(layer) for layer in layers], [each["digest"] for each in manifest["layers"]])
        for layer in layers:
            self.assertEqual(layer, self.ask("GET", f"blobs/{digest_of(layer)}").content)

    async def test_again(self) -> None:
        """A second run reads no layer, and takes what is new; a tag that was moved here since is kept."""
        base, middle, top = layered_image(self.name)
        self.add((base, middle))
        folder = self.tree.repository(self.namespace, self.short)
        self.tree.tag(folder, "1", middle.id)
        await self.taken()
        for image in (base, middle):
            layer = self.tree.path / "images" / image.id / "layer"
            layer.write_bytes(bytes(layer.stat().st_size))  # nobody would take that now
        self.tree.image(top, (base, middle))
        self.tree.tag(folder, "2", top.id)
        told = await self.taken()
        self.assertEqual((1, 2, {}), (told["images"], told["present"], told["problems"]))
        self.assertEqual({"1": middle.id, "2": top.id}, self.v1_tags())
        self.tree.tag(folder, "2", base.id)
        told = await self.taken()
        self.assertEqual((["1"], 1), (told["repositories"][self.name], len(told["kept"])))
        self.assertEqual(top.id, self.v1_tags()["2"])
        told = await self.taken(overwrite=True)
        self.assertEqual((base.id, []), (self.v1_tags()["2"], told["kept"]))

    async def test_shared(self) -> None:
        """An image of two repositories is read once, and is in both; a private repository stays private."""
        images = layered_image(self.name)
        self.add(images)
        other = f"{self.short}-private"
        for short in (self.short, other):
            self.tree.tag(self.tree.repository(self.namespace, short), "1", images[-1].id)
        (self.tree.repository(self.namespace, other) / "_private").touch()
        told = await self.taken(choice=Choice(owner="anna"))
        self.assertEqual((3, 0), (told["images"], told["present"]))
        self.assertEqual({"1": images[-1].id}, self.v1_tags())
        # It is hers now, and this is nobody.
        self.assertEqual(401, self.ask("GET", f"/v1/repositories/{self.namespace}/{other}/tags").status)
        await self.exported(self.folder / "out", f"{self.namespace}/{other}:1")
        (facts,) = json.loads((self.folder / "out/dockreg.json").read_bytes())["repositories"]
        self.assertEqual(("anna", True), (facts["owner"], facts["private"]))

    async def test_names(self) -> None:
        """Names are read as both ages quoted them; one that can not be here is told, and can be given another name."""
        image = make_image(self.name)
        self.tree.image(image)
        for quoting, name in ((1, "a/b"), (2, "c/d")):
            self.tree.quoting = quoting
            self.tree.tag(self.tree.repository(self.namespace, f"{self.short}/{name}"), "1", image.id)
        self.tree.tag(self.tree.repository(self.namespace, "Odd+Name"), "1", image.id)
        told = await self.taken()
        self.assertEqual([f"{self.name}/a/b", f"{self.name}/c/d"], sorted(told["repositories"]))
        self.assertEqual([f"{self.namespace}/Odd Name"], list(told["problems"]))
        self.assertIn("--rename", told["problems"][f"{self.namespace}/Odd Name"])
        renamed = {f"{self.namespace}/Odd Name": parse_repository(f"{self.name}/odd")}
        told = await self.taken(renamed=renamed, only=frozenset(renamed))
        self.assertEqual({f"{self.name}/odd": ["1"]}, told["repositories"])

    async def test_tags_that_are_none(self) -> None:
        """Properties of a tag that begins with an underscore are no tag; a file that holds no image id is told."""
        image = make_image(self.name)
        self.tree.image(image)
        folder = self.tree.repository(self.namespace, self.short)
        self.tree.tag(folder, "_x", image.id)
        self.assertTrue((folder / "tag_x_json").exists())
        self.tree.tag(folder, "y_json", f"{image.id}\n")
        self.tree.tag(folder, "-bad", image.id)
        (folder / "tag_empty").write_bytes(b"")
        told = await self.taken()
        self.assertEqual({self.name: ["_x", "y_json"]}, told["repositories"])
        self.assertEqual({f"{self.name}:-bad", f"{self.name}:empty"}, set(told["problems"]))

    async def test_broken_images(self) -> None:
        """Each way in which an image is not whole is told, and what is whole is taken; so says a dry run."""
        images = self.tree.path / "images"
        reasons = {}

        def broken(tag: str, reason: str, parent: str | None = None) -> Path:
            seed = f"{self.name} {tag}"
            image = V1Image(made := make_image(seed).id, image_json(made, parent), make_image(seed).layer)
            folder = self.tree.image(image)
            self.tree.tag(self.tree.repository(self.namespace, self.short), tag, image.id)
            reasons[f"{self.name}:{tag}"] = reason
            return folder

        (broken("unfinished", "_inprogress") / "_inprogress").write_text("true")
        (broken("no-layer", "no layer") / "layer").unlink()
        (broken("no-json", "no json") / "json").unlink()
        (broken("bad-json", "damaged") / "json").write_bytes(b"{")
        (broken("other-json", "is that of image") / "json").write_bytes(make_image("else").json)
        (broken("checksum", "not those") / "layer").write_bytes(gzip_layer(make_tar({"other": b"x"})))
        cut = broken("cut", "cut short")
        (cut / "_checksum").unlink()
        (cut / "layer").write_bytes((cut / "layer").read_bytes()[:-30])
        lone = broken("orphan", "is not there", make_image("nobody").id)
        circle = broken("circle", "circle", lone.name)
        (lone / "json").write_bytes(image_json(lone.name, circle.name))
        reasons[f"{self.name}:orphan"] = "circle"
        broken("child", "its ancestor", cut.name)
        folder = self.tree.repository(self.namespace, self.short)
        self.tree.tag(folder, "gone", make_image("gone").id)
        reasons[f"{self.name}:gone"] = "is not there"
        broken("huge", "more than")
        huge = images / make_image(f"{self.name} huge").id / "json"
        huge.write_bytes(huge.read_bytes() + b" " * (4 * 2**20))
        mirrored = make_image(f"{self.name} mirrored")
        (self.tree.image(mirrored) / "_checksum").unlink()
        self.tree.tag(folder, "mirrored", mirrored.id)
        before = self.ask("GET", f"/v1/repositories/{self.name}/tags").status
        for dry_run in (True, False):
            told = await self.taken(dry_run=dry_run)
            self.assertEqual({self.name: ["mirrored"]}, told["repositories"])
            self.assertEqual(set(reasons), set(told["problems"]))
            for what, reason in reasons.items():
                self.assertIn(reason, told["problems"][what])
            if dry_run:
                self.assertEqual((404, before), (before, self.ask("GET", f"/v1/repositories/{self.name}/tags").status))
        self.assertEqual({"mirrored": mirrored.id}, self.v1_tags())

    async def test_checksums_of_both_ages(self) -> None:
        """What the old registry noted is a list, or one value as a client sent it: payload or tarsum."""
        folder = self.tree.repository(self.namespace, self.short)
        written = {}
        for number, form in enumerate(("payload", "tarsum", "list", "unknown", "wrong")):
            image = make_image(f"{self.name} {number}")
            payload, tarsum = checksums_of(image.json, gzip_layer(image.layer))
            wrong = "sha256:" + "0" * 64
            noted = {
                "payload": payload,
                "tarsum": tarsum,
                "list": json.dumps(["tarsum+sha256:" + "0" * 64, payload]),
                "unknown": json.dumps(["tarsum.v1+sha256:" + "0" * 64]),
                "wrong": wrong,
            }
            (self.tree.image(image) / "_checksum").write_text(noted[form])
            self.tree.tag(folder, form, image.id)
            written[form] = image.id
        told = await self.taken()
        self.assertEqual([f"{self.name}:wrong"], list(told["problems"]))
        told = await self.taken(unverified=True)
        self.assertEqual(({}, 1), (told["problems"], told["images"]))
        self.assertEqual(written, self.v1_tags())

    async def test_short_ids(self) -> None:
        """Images of 2013 have ids of 16 digits."""
        image = V1Image("27cf784147099545", image_json("27cf784147099545", None), make_image("short").layer)
        self.tree.image(image)
        self.tree.tag(self.tree.repository(self.namespace, self.short), "old", image.id)
        await self.taken()
        self.assertEqual({"old": image.id}, self.v1_tags())

    async def test_conflict(self) -> None:
        """A repository that holds another image under an id keeps it, and that is told."""
        image = make_image(self.name)
        self.tree.image(image)
        folder = self.tree.repository(self.namespace, self.short)
        self.tree.tag(folder, "1", image.id)
        await self.taken()
        other = V1Image(image.id, image_json(image.id, None, comment="another"), image.layer)
        self.tree.path = self.folder / "second"
        self.tree = OldTree(self.tree.path)
        self.tree.image(other)
        self.tree.tag(self.tree.repository(self.namespace, self.short), "2", image.id)
        for dry_run in (True, False):
            told = await self.taken(dry_run=dry_run)
            self.assertIn("another image", told["problems"][f"{self.name}:2"])
        self.assertEqual({"1": image.id}, self.v1_tags())

    def test_quota(self) -> None:
        """A namespace that is full takes no image, new or known, and that is told; the others take what it could not."""
        images = layered_image(self.name)
        self.add(images)
        start = self.name.replace("/", "-")
        names = [f"{start}-{each}" for each in ("a-full", "b-roomy", "c-full")]
        for name in names:
            self.tree.tag(self.tree.repository(name, "app"), "1", images[-1].id)
            if name.endswith("full"):
                self.daemon.told("namespace", "create", name, "--owner", "anna", "--quota", "10")
        status, said = self.daemon.said("import", "v1-tree", str(self.tree.path))
        self.assertEqual(1, status)
        for name in (names[0], names[2]):
            self.assertIn(f"broken: {name}/app:1: the quota of namespace {name} is 10 bytes", said)
            self.assertNotIn("1", self.v1_tags(f"{name}/app"))
        self.assertIn("2 things could not be taken", said)
        self.assertEqual({"1": images[-1].id}, self.v1_tags(f"{names[1]}/app"))

    async def test_without_registry(self) -> None:
        """A dry run makes no registry; what no tag reaches is counted."""
        image, lost, begun = make_image(self.name), make_image("lost"), make_image("begun")
        for each in (image, lost, begun):
            self.tree.image(each)
        (self.tree.path / "images" / begun.id / "_inprogress").write_text("true")
        self.tree.tag(self.tree.repository(self.namespace, self.short), "1", image.id)
        daemon = self.another()
        told = await self.taken(daemon, dry_run=True)
        self.assertEqual((1, 2, 1), (told["images"], told["untagged"], told["unfinished"]))
        self.assertFalse(daemon.data.exists())

    def test_command(self) -> None:
        """The exit status is 1 when something could not be taken."""
        image = make_image(self.name)
        self.tree.image(image)
        folder = self.tree.repository(self.namespace, self.short)
        self.tree.tag(folder, "1", image.id)
        told = self.daemon.told("import", "v1-tree", str(self.tree.path))
        self.assertEqual({self.name: ["1"]}, told["repositories"])
        self.tree.tag(folder, "2", make_image("gone").id)
        self.assertEqual(1, self.daemon.command("import", "v1-tree", str(self.tree.path)))
        self.assertEqual(1, self.daemon.command("import", "v1-tree", str(self.folder)))
