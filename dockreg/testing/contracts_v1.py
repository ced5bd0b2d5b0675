"""What every metadata store promises of v1 images, as tests."""

from dockreg.errors import ImageConflict, LayerMissing, NameUnknown
from dockreg.interfaces import IMetadataStore
from dockreg.model.digest import Digest
from dockreg.model.v1 import AnnouncedImage, Checksums, LayerFacts, PushScope, StagedImage, V1Image
from dockreg.testing.contracts_metadata import MetadataContract, some_blob
from dockreg.testing.contracts_repositories import BUSYBOX, OTHER, push, some_id, some_json, stage

SCOPE = PushScope(BUSYBOX, None)
FACTS = LayerFacts("none", None, None, None)
SUMS = Checksums("sha256:1", frozenset({"tarsum+sha256:2"}))


class _V1Contract(MetadataContract):
    async def with_repositories(self) -> IMetadataStore:
        """A store with two empty repositories."""
        metadata = await self.opened()
        for name in (BUSYBOX, OTHER):
            await metadata.repositories.create(name, None, 1.0)
        return metadata


class AnnouncementsContract(_V1Contract):
    """What every IV1ImageStore promises of image lists."""

    async def test_order(self) -> None:
        """The list keeps the order in which images came; of an image that is announced twice there is one entry."""
        images = (await self.with_repositories()).images
        await images.announce(BUSYBOX, None, [AnnouncedImage(some_id(number)) for number in (3, 1, 3)], 1.0)
        await images.announce(BUSYBOX, "alice", [AnnouncedImage(some_id(number)) for number in (2, 1)], 2.0)
        listed = await images.list_images(BUSYBOX)
        self.assertEqual([AnnouncedImage(some_id(number)) for number in (3, 1, 2)], list(listed))
        self.assertEqual([], list(await images.list_images(OTHER)))

    async def test_checksum(self) -> None:
        """A later checksum replaces an earlier one, none does not."""
        images = (await self.with_repositories()).images
        for checksum, expected in ((None, None), ("one", "one"), (None, "one"), ("two", "two")):
            await images.announce(BUSYBOX, None, [AnnouncedImage(some_id(1), checksum)], 1.0)
            self.assertEqual([AnnouncedImage(some_id(1), expected)], list(await images.list_images(BUSYBOX)))

    async def test_checksum_in_one_list(self) -> None:
        """Of several entries for an image the one with a checksum counts."""
        images = (await self.with_repositories()).images
        announced = [
            AnnouncedImage(some_id(1), "one"),
            AnnouncedImage(some_id(1)),
            AnnouncedImage(some_id(2), "\ud800\0"),
        ]
        await images.announce(BUSYBOX, None, announced, 1.0)
        listed = [image.checksum for image in await images.list_images(BUSYBOX)]
        self.assertEqual(["one", "??"], listed)

    async def test_checksum_of_complete(self) -> None:
        """Of a complete image the store tells its own checksum: a tarsum, or else that of the payload."""
        metadata = await self.with_repositories()
        await metadata.images.announce(BUSYBOX, None, [AnnouncedImage(some_id(1), "claimed")], 1.0)
        await push(metadata, some_id(1))
        scope = PushScope(BUSYBOX, None)
        await metadata.images.stage_json(scope, some_json(some_id(2)), None, 1.0)
        (staged,) = await metadata.images.staged(scope, some_id(2))
        await metadata.images.stage_layer(some_blob(), FACTS, [(staged, Checksums("sha256:7"))], 1.0, 1.0)
        (layer,) = await metadata.images.staged_layers(scope, some_id(2))
        await metadata.images.complete(layer, some_id(2), scope, [BUSYBOX], 1.0)
        listed = [image.checksum for image in await metadata.images.list_images(BUSYBOX)]
        self.assertEqual(["tarsum+sha256:a", "sha256:7"], listed)

    async def test_many(self) -> None:
        """A list of ten thousand images can be announced, and announced again."""
        images = (await self.with_repositories()).images
        announced = [AnnouncedImage(some_id(number)) for number in range(10_000)]
        for _ in range(2):
            await images.announce(BUSYBOX, None, announced, 1.0)
        self.assertEqual(announced, list(await images.list_images(BUSYBOX)))

    async def test_announced_by(self) -> None:
        """The repositories to which a principal announced an image lately are told, newest first."""
        images = (await self.with_repositories()).images
        announced = [AnnouncedImage(some_id(1))]
        await images.announce(BUSYBOX, "alice", announced, 1.0)
        await images.announce(OTHER, "alice", announced, 2.0)
        await images.announce(OTHER, None, announced, 9.0)
        self.assertEqual([OTHER, BUSYBOX], list(await images.announced_by("alice", some_id(1), 1.0)))
        self.assertEqual([OTHER], list(await images.announced_by("alice", some_id(1), 1.5)))
        self.assertEqual([], list(await images.announced_by("alice", some_id(2), 0.0)))
        self.assertEqual([OTHER], list(await images.announced_by(None, some_id(1), 0.0)))
        await images.announce(BUSYBOX, "alice", announced, 3.0)
        self.assertEqual([BUSYBOX, OTHER], list(await images.announced_by("alice", some_id(1), 0.0)))

    async def test_is_listed(self) -> None:
        """Each repository knows which images it lists: those that were announced to it, and those that it holds."""
        metadata = await self.with_repositories()
        await metadata.images.announce(BUSYBOX, "alice", [AnnouncedImage(some_id(1))], 1.0)
        await push(metadata, some_id(2))
        for name, number, expected in ((BUSYBOX, 1, True), (OTHER, 1, False), (BUSYBOX, 2, True), (OTHER, 2, False)):
            self.assertEqual(expected, await metadata.images.is_listed(name, some_id(number)))


class StagingContract(_V1Contract):
    """What every IV1ImageStore promises of images that are being pushed."""

    async def test_stage_json(self) -> None:
        """A staged json keeps its bytes and its parent, and the same bytes are the same one."""
        metadata = await self.with_repositories()
        parent = await push(metadata, some_id(1))
        document = some_json(some_id(2), parent)
        for _ in range(2):
            await metadata.images.stage_json(SCOPE, document, parent, 1.0)
        (staged,) = await metadata.images.staged(SCOPE, some_id(2))
        self.assertEqual((document.content, parent.key), (staged.json, staged.parent_key))

    async def test_scopes(self) -> None:
        """What is staged is seen in its own scope only."""
        images = (await self.with_repositories()).images
        scopes = [PushScope(name, principal) for name in (BUSYBOX, OTHER, None) for principal in (None, "alice")]
        for scope in scopes:
            self.assertEqual([], list(await images.staged(scope, some_id(1))))
            await images.stage_json(scope, some_json(some_id(1)), None, 1.0)
            self.assertEqual(1, len(await images.staged(scope, some_id(1))))

    async def test_newest_first(self) -> None:
        """Of several jsons the newest come first, as many as are wanted; a json that comes again is new."""
        images = (await self.with_repositories()).images
        documents = [some_json(some_id(1), comment=comment) for comment in "abc"]
        for now, number in enumerate((0, 1, 2, 0)):
            await images.stage_json(SCOPE, documents[number], None, float(now))
        found = [image.json for image in await images.staged(SCOPE, some_id(1), limit=2)]
        self.assertEqual([documents[0].content, documents[2].content], found)

    async def test_is_staged(self) -> None:
        """Whether an image is being pushed is known for a repository, and for a principal."""
        images = (await self.with_repositories()).images
        await images.stage_json(PushScope(BUSYBOX, "alice"), some_json(some_id(1)), None, 1.0)
        for name, principal, number, expected in (
            (BUSYBOX, None, 1, True),
            (OTHER, "alice", 1, False),
            (BUSYBOX, "alice", 2, False),
            (None, "alice", 1, True),
            (None, None, 1, False),
        ):
            self.assertEqual(expected, await images.is_staged(name, principal, some_id(number)))

    async def test_stage_layer(self) -> None:
        """A layer is recorded for each json that it was checked against, with the checksums for that json."""
        metadata = await self.with_repositories()
        for comment in "ab":
            await metadata.images.stage_json(SCOPE, some_json(some_id(1), comment=comment), None, 1.0)
        newest, oldest = await metadata.images.staged(SCOPE, some_id(1))
        other = Checksums("sha256:3")
        checked = [(newest, SUMS), (oldest, other)]
        self.assertEqual(some_blob(), await metadata.images.stage_layer(some_blob(), FACTS, checked, 2.0, 9.0))
        layers = await metadata.images.staged_layers(SCOPE, some_id(1))
        self.assertEqual({newest.key: SUMS, oldest.key: other}, {layer.image_key: layer.checksums for layer in layers})
        self.assertEqual({some_blob()}, {layer.blob for layer in layers})
        self.assertEqual(some_blob(), await metadata.blobs.find(some_blob().digest))

    async def test_keep_tarsums(self) -> None:
        """Tarsums that nobody has computed are kept when somebody has, of a staged layer and of an image."""
        metadata = await self.with_repositories()
        images, unknown, known = metadata.images, Checksums("sha256:1", None), frozenset({"tarsum+sha256:2"})
        await images.stage_json(SCOPE, some_json(some_id(1)), None, 1.0)
        (staged,) = await images.staged(SCOPE, some_id(1))
        for sums in (frozenset[str](), known):
            await images.stage_layer(some_blob(), FACTS, [(staged, unknown)], 1.0, 9.0)
            (layer,) = await images.staged_layers(SCOPE, some_id(1))
            self.assertEqual(unknown, layer.checksums)
            await images.keep_tarsums(layer, sums)
            (kept,) = await images.staged_layers(SCOPE, some_id(1))
            self.assertEqual((layer.key, staged.json, sums), (kept.key, kept.json, kept.checksums.tarsums))
        image = await images.complete(layer, some_id(1), SCOPE, [BUSYBOX], 2.0)
        self.assertEqual(unknown, image.checksums)
        self.assertEqual(["sha256:1"], [listed.checksum for listed in await images.list_images(BUSYBOX)])
        await images.keep_tarsums(layer, frozenset({"too late"}))
        self.assertEqual(image, await images.find_in(BUSYBOX, some_id(1)))
        await images.keep_tarsums(image, known)
        found = await images.find_in(BUSYBOX, some_id(1))
        self.assertEqual(Checksums("sha256:1", known), found and found.checksums)
        self.assertEqual(["tarsum+sha256:2"], [listed.checksum for listed in await images.list_images(BUSYBOX)])

    async def test_layers_newest_first(self) -> None:
        """Of several layers for a json the newest comes first; a layer that comes again is new, and there once."""
        metadata = await self.with_repositories()
        await metadata.images.stage_json(SCOPE, some_json(some_id(1)), None, 1.0)
        (staged,) = await metadata.images.staged(SCOPE, some_id(1))
        first, second = some_blob(b"first"), some_blob(b"second")
        for now, blob in enumerate((first, second, first)):
            await metadata.images.stage_layer(blob, FACTS, [(staged, SUMS)], float(now), 9.0)
        layers = await metadata.images.staged_layers(SCOPE, some_id(1))
        self.assertEqual([first, second], [layer.blob for layer in layers])

    async def test_stage_known_layer(self) -> None:
        """A layer whose digest is recorded already is staged with the object that is recorded."""
        metadata = await self.with_repositories()
        await metadata.blobs.record(some_blob(), None, 1.0)
        await metadata.images.stage_json(SCOPE, some_json(some_id(1)), None, 1.0)
        (staged,) = await metadata.images.staged(SCOPE, some_id(1))
        again = some_blob(generation="second")
        self.assertEqual(some_blob(), await metadata.images.stage_layer(again, FACTS, [(staged, SUMS)], 1.0, 2.0))
        (layer,) = await metadata.images.staged_layers(SCOPE, some_id(1))
        self.assertEqual(some_blob(), layer.blob)

    async def test_stage_layer_too_late(self) -> None:
        """A json that is no longer staged is passed over, also when another one was staged since."""
        metadata = await self.with_repositories()
        layer = await stage(metadata, SCOPE, some_json(some_id(1)))
        await metadata.images.complete(layer, some_id(1), SCOPE, [BUSYBOX], 2.0)
        await metadata.images.stage_json(SCOPE, some_json(some_id(2)), None, 3.0)
        late = [(StagedImage(layer.image_key, b"", None), SUMS)]
        self.assertEqual(some_blob(), await metadata.images.stage_layer(some_blob(), FACTS, late, 3.0, 9.0))
        for number in (1, 2):
            self.assertEqual([], list(await metadata.images.staged_layers(SCOPE, some_id(number))))

    async def test_expire(self) -> None:
        """What was staged before a time is dropped, images with a younger layer are not."""
        metadata = await self.with_repositories()
        await stage(metadata, SCOPE, some_json(some_id(1)), now=1.0)
        await metadata.images.stage_json(SCOPE, some_json(some_id(2)), None, 1.0)
        await metadata.images.stage_json(SCOPE, some_json(some_id(3)), None, 5.0)
        layer = await stage(metadata, SCOPE, some_json(some_id(4)), now=1.0)
        await metadata.images.stage_layer(
            layer.blob, FACTS, [(StagedImage(layer.image_key, b"", None), SUMS)], 5.0, 9.0
        )
        self.assertEqual(2, await metadata.images.expire_staged(5.0))
        left = [number for number in range(1, 5) if await metadata.images.staged(SCOPE, some_id(number))]
        self.assertEqual([3, 4], left)
        self.assertEqual(0, await metadata.images.expire_staged(5.0))


class CompletionContract(_V1Contract):
    """What every IV1ImageStore promises of complete images."""

    async def test_complete(self) -> None:
        """A completed image is whole, is held by its repositories, and nothing of it stays staged."""
        metadata = await self.with_repositories()
        facts = LayerFacts("gzip", Digest.sha256(b"tar"), 3, 1)
        base = await push(metadata, some_id(1), facts=facts, principal="alice")
        document = some_json(some_id(2), base)
        await metadata.images.stage_json(SCOPE, some_json(some_id(2), comment="other"), None, 1.0)
        layer = await stage(metadata, SCOPE, document, base)
        image = await metadata.images.complete(layer, some_id(2), SCOPE, [BUSYBOX, OTHER], 2.0)
        expected = V1Image(
            key=image.key,
            image_id=some_id(2),
            json=document.content,
            parent_key=base.key,
            parent=some_id(1),
            layer=some_blob(),
            facts=facts,
            checksums=layer.checksums,
            pushed_by=None,
        )
        self.assertEqual(expected, image)
        self.assertEqual((None, None, "alice"), (base.parent, base.parent_key, base.pushed_by))
        for name in (BUSYBOX, OTHER):
            self.assertEqual(image, await metadata.images.find_in(name, some_id(2)))
            self.assertEqual(base, await metadata.images.find_in(name, some_id(1)))
        self.assertEqual([], list(await metadata.images.staged(SCOPE, some_id(2))))

    async def test_same_id_twice(self) -> None:
        """Two repositories hold different content under one id, and each gives its own."""
        metadata = await self.with_repositories()
        first = await push(metadata, some_id(1), content=b"one", comment="one")
        second = await push(metadata, some_id(1), content=b"two", comment="two", repositories=[OTHER])
        self.assertNotEqual(first.key, second.key)
        self.assertEqual(first, await metadata.images.find_in(BUSYBOX, some_id(1)))
        self.assertEqual(second, await metadata.images.find_in(OTHER, some_id(1)))
        self.assertEqual([BUSYBOX, OTHER], list(await metadata.images.holders(some_id(1))))

    async def test_lost_race(self) -> None:
        """Where an image of the id is held meanwhile, that one is returned, and only the staging changes."""
        metadata = await self.with_repositories()
        scope = PushScope(BUSYBOX, "alice")
        layer = await stage(metadata, scope, some_json(some_id(1), comment="mine"))
        winner = await push(metadata, some_id(1), comment="theirs")
        self.assertEqual(winner, await metadata.images.complete(layer, some_id(1), scope, [OTHER, BUSYBOX], 3.0))
        self.assertIsNone(await metadata.images.find_in(OTHER, some_id(1)))
        self.assertEqual([], list(await metadata.images.staged_layers(scope, some_id(1))))

    async def test_complete_again(self) -> None:
        """Completing a second time gives the same image."""
        metadata = await self.with_repositories()
        layer = await stage(metadata, SCOPE, some_json(some_id(1)))
        first = await metadata.images.complete(layer, some_id(1), SCOPE, [BUSYBOX], 2.0)
        self.assertEqual(first, await metadata.images.complete(layer, some_id(1), SCOPE, [BUSYBOX], 3.0))

    async def test_expired(self) -> None:
        """A layer that is no longer staged can not be completed."""
        metadata = await self.with_repositories()
        layer = await stage(metadata, SCOPE, some_json(some_id(1)))
        await metadata.images.expire_staged(1000.0)
        await self.raises(LayerMissing, metadata.images.complete(layer, some_id(1), SCOPE, [BUSYBOX], 2.0))

    async def test_without_repository(self) -> None:
        """A repository that is not there can hold nothing; the staging stays."""
        metadata = await self.with_repositories()
        await metadata.repositories.delete(OTHER, 1.0)
        layer = await stage(metadata, SCOPE, some_json(some_id(1)))
        completing = metadata.images.complete(layer, some_id(1), SCOPE, [BUSYBOX, OTHER], 2.0)
        self.assertEqual("alice/app", (await self.raises(NameUnknown, completing)).name)
        self.assertIsNone(await metadata.images.find_in(BUSYBOX, some_id(1)))
        self.assertEqual([layer], list(await metadata.images.staged_layers(SCOPE, some_id(1))))

    async def test_conflicting_ancestor(self) -> None:
        """Where other content is held under the id of an ancestor, nothing changes."""
        metadata = await self.with_repositories()
        base = await push(metadata, some_id(1))
        await push(metadata, some_id(1), comment="other", repositories=[OTHER])
        layer = await stage(metadata, SCOPE, some_json(some_id(2), base), base)
        completing = metadata.images.complete(layer, some_id(2), SCOPE, [BUSYBOX, OTHER], 2.0)
        self.assertEqual(some_id(1).value, (await self.raises(ImageConflict, completing)).image_id)
        self.assertEqual([], list(await metadata.images.holders(some_id(2))))
        self.assertIsNone(await metadata.images.find_own(some_id(2), None))
        self.assertEqual([layer], list(await metadata.images.staged_layers(SCOPE, some_id(2))))

    async def test_own(self) -> None:
        """An image for no repository is its pusher's own, whoever else pushes the same id."""
        metadata = await self.with_repositories()
        own = await push(metadata, some_id(1), repositories=(), principal="alice")
        anonymous = await push(metadata, some_id(1), repositories=(), comment="anonymous")
        self.assertEqual(own, await metadata.images.find_own(some_id(1), "alice"))
        self.assertEqual(anonymous, await metadata.images.find_own(some_id(1), None))
        self.assertIsNone(await metadata.images.find_own(some_id(1), "bobby"))
        self.assertEqual([], list(await metadata.images.holders(some_id(1))))
        again = await push(metadata, some_id(1), repositories=(), principal="alice", comment="again")
        self.assertEqual(own, again)

    async def test_own_and_held(self) -> None:
        """An image that is somebody's own and held by repositories is found each way."""
        metadata = await self.with_repositories()
        own = await push(metadata, some_id(1), repositories=(), principal="alice")
        child = await push(metadata, some_id(2), own, repositories=[BUSYBOX, OTHER])
        self.assertEqual(own, await metadata.images.find_own(some_id(1), "alice"))
        self.assertIsNone(await metadata.images.find_own(some_id(1), None))
        for image_id in (some_id(1), child.image_id):
            self.assertEqual([OTHER, BUSYBOX], list(await metadata.images.holders(image_id)))
        await metadata.repositories.delete(OTHER, 4.0)
        self.assertEqual([BUSYBOX], list(await metadata.images.holders(some_id(1))))

    async def test_find_nothing(self) -> None:
        """What is staged or unknown is not found."""
        metadata = await self.with_repositories()
        await stage(metadata, SCOPE, some_json(some_id(1)))
        for number in (1, 2):
            self.assertEqual([], list(await metadata.images.holders(some_id(number))))
            self.assertIsNone(await metadata.images.find_own(some_id(number), None))
            self.assertIsNone(await metadata.images.find_in(BUSYBOX, some_id(number)))

    async def test_chain(self) -> None:
        """A chain is the image and its ancestors, base last."""
        metadata = await self.with_repositories()
        images: list[V1Image] = []
        for number in range(5):
            images.insert(0, await push(metadata, some_id(number), images[0] if images else None))
        self.assertEqual(images, list(await metadata.images.chain(images[0])))
        self.assertEqual(images[3:], list(await metadata.images.chain(images[3])))
        ids = [image.image_id for image in images]
        self.assertEqual(ids, list(await metadata.images.ancestry(images[0])))
        self.assertEqual(ids[3:], list(await metadata.images.ancestry(images[3])))
