"""What every metadata store promises of the collection of v1 images, and of reconciliation, as tests."""

from attrs import evolve

from dockreg.interfaces import IMetadataStore
from dockreg.model.collection import (
    CollectionPolicy,
    Kind,
    LeaseWanted,
    Sweep,
)
from dockreg.model.names import RepositoryName
from dockreg.model.v1 import PushScope, TagClient, V1Image
from dockreg.testing.contracts_leases import (
    DEFAULT,
    EXPIRING,
    MANIFEST,
    CollectionCase,
)
from dockreg.testing.contracts_metadata import some_blob
from dockreg.testing.contracts_repositories import BUSYBOX, LATEST, OTHER, push, some_id, some_json, stage


class V1CollectionContract(CollectionCase):
    """What every ICollection promises of v1 images."""

    async def with_images(self, principal: str | None = None) -> tuple[IMetadataStore, V1Image, V1Image]:
        """A store with an image upon another one; leases end at 101."""
        metadata = await self.opened()
        await metadata.repositories.create(BUSYBOX, principal, 1.0)
        base = await push(metadata, some_id(1), content=b"base", principal=principal)
        return metadata, base, await push(metadata, some_id(2), base, content=b"top", principal=principal)

    async def is_there(self, metadata: IMetadataStore, *images: V1Image) -> list[bool]:
        """Whether there are images, somewhere."""
        wanted = [LeaseWanted(Kind.IMAGE, None, str(image.key)) for image in images]
        return [await metadata.leases.leased_until(each) is not None for each in wanted]

    async def test_untagged(self) -> None:
        """Images without a tag stay; by a rule they go, the topmost first, when their leases are over."""
        metadata, base, top = await self.with_images()
        await self.collect(metadata, 1.0)
        await self.collect(metadata, 5000.0)
        self.assertEqual([True, True], await self.is_there(metadata, base, top))
        metadata, base, top = await self.with_images()
        for now in (1.0, 100.0):
            await self.collect(metadata, now, EXPIRING)
            self.assertEqual([True, True], await self.is_there(metadata, base, top))
        for now in (102.0, 160.0, 220.0):
            await self.collect(metadata, now, EXPIRING)
        self.assertEqual([False, False], await self.is_there(metadata, base, top))
        self.assertIsNone(await metadata.blobs.find(base.layer.digest))

    async def test_tagged(self) -> None:
        """A tag keeps an image with its ancestors; when it goes, they go."""
        metadata, base, top = await self.with_images()
        await metadata.repositories.tag_image(BUSYBOX, LATEST, top, None, TagClient(), 2.0)
        for now in (1.0, 200.0, 300.0):
            await self.collect(metadata, now, EXPIRING)
        self.assertEqual([True, True], await self.is_there(metadata, base, top))
        await metadata.repositories.delete_tag(BUSYBOX, LATEST, 1.0)
        for now in (400.0, 460.0, 520.0):
            await self.collect(metadata, now, EXPIRING)
        self.assertEqual([False, False], await self.is_there(metadata, base, top))

    async def test_deleted_repository(self) -> None:
        """What a deleted repository held stays for a push by its owner, and goes after that time."""
        metadata, base, top = await self.with_images("alice")
        await metadata.repositories.delete(BUSYBOX, 300.0)
        for now in (400.0, 420.0, 1299.0):
            await self.collect(metadata, now)
            self.assertEqual([True, True], await self.is_there(metadata, base, top))
        await self.collect(metadata, 1300.0)
        self.assertEqual([False, False], await self.is_there(metadata, base, top))
        self.assertIsNone(await metadata.blobs.find(base.layer.digest))

    async def test_repository_again(self) -> None:
        """What is pushed again within that time stays."""
        metadata, base, top = await self.with_images("alice")
        await metadata.repositories.delete(BUSYBOX, 300.0)
        await self.collect(metadata, 400.0)
        await metadata.repositories.create(BUSYBOX, "alice", 450.0)
        await self.collect(metadata, 5000.0)
        self.assertEqual([True, True], await self.is_there(metadata, base, top))

    async def test_other_owner(self) -> None:
        """When somebody else takes the name, it is garbage after the grace time."""
        metadata, base, top = await self.with_images("alice")
        await metadata.repositories.delete(BUSYBOX, 300.0)
        await metadata.repositories.create(BUSYBOX, "bob", 310.0)
        await self.collect(metadata, 400.0)
        await self.collect(metadata, 410.0)
        self.assertEqual([False, False], await self.is_there(metadata, base, top))

    async def test_unannounced(self) -> None:
        """An image that was pushed to no repository stays for its pusher, and goes after that time."""
        metadata = await self.opened()
        image = await push(metadata, some_id(1), repositories=())
        for now in (1.0, 20.0, 1001.0):
            await self.collect(metadata, now)
            self.assertEqual([True], await self.is_there(metadata, image))
        await self.collect(metadata, 1002.0)
        self.assertEqual([False], await self.is_there(metadata, image))

    async def test_staged(self) -> None:
        """A layer that waits for its checksum stays, and so does the parent of an image that is being pushed."""
        metadata = await self.opened()
        parent = await push(metadata, some_id(1), repositories=(), content=b"base")
        scope = PushScope(OTHER, None)
        layer = await stage(metadata, scope, some_json(some_id(2), parent), parent, content=b"top")
        for now in (1.0, 20.0, 2000.0, 2070.0):
            await self.collect(metadata, now)
        self.assertEqual([True], await self.is_there(metadata, parent))
        self.assertEqual(layer.blob, await metadata.blobs.find(layer.blob.digest))
        self.assertEqual(1, await metadata.images.expire_staged(2100.0))
        for now in (2100.0, 2200.0, 2300.0):
            await self.collect(metadata, now)
        self.assertEqual([False], await self.is_there(metadata, parent))
        self.assertIsNone(await metadata.blobs.find(layer.blob.digest))


class SweepContract(CollectionCase):
    """What every ICollection promises of reconciliation."""

    async def empty_queue(self, metadata: IMetadataStore) -> None:
        """Lose the queue, as a mistake would."""
        raise NotImplementedError

    async def sweep(self, metadata: IMetadataStore, policy: CollectionPolicy = DEFAULT) -> list[str]:
        """Do all of it but the objects; the phases that something was found in."""
        found = []
        state = await metadata.collection.sweep_state(policy)
        while state.phase != "objects":
            phase = state.phase
            state, count = await metadata.collection.sweep(state, 2)
            found += [phase] * bool(count)
        await metadata.collection.advance_sweep(evolve(state, phase=""))
        return found

    async def test_first(self) -> None:
        """It begins by itself in a new database, and is over when it is said to be."""
        metadata = await self.with_image(tag=False)
        self.assertEqual("repositories", (await metadata.collection.sweep_state(DEFAULT)).phase)
        await self.sweep(metadata)
        self.assertEqual("", (await metadata.collection.sweep_state(DEFAULT)).phase)
        await metadata.collection.begin_sweep()
        self.assertEqual("repositories", (await metadata.collection.sweep_state(DEFAULT)).phase)

    async def test_moved_on(self) -> None:
        """Who looks at rows that another one has looked at meanwhile does not set it back, and queues nothing again."""
        metadata = await self.with_image(tag=False)
        for number in range(3):
            await metadata.blobs.record(some_blob(b"%d" % number), None, 1.0)
        await self.empty_queue(metadata)
        collection, first = metadata.collection, Sweep("blobs")
        await collection.sweep_state(DEFAULT)
        await collection.advance_sweep(first)
        second, _ = await collection.sweep(first, 2)
        third, _ = await collection.sweep(second, 2)
        await self.empty_queue(metadata)
        self.assertEqual((third, 0), await collection.sweep(first, 2))
        self.assertEqual(third, await collection.sweep_state(DEFAULT))
        self.assertEqual([], list(await collection.queued(None, 10)))
        await collection.begin_sweep()
        self.assertEqual((Sweep("repositories"), 0), await collection.sweep(third, 2))

    async def test_other_rules(self) -> None:
        """With other rules about what has no tag it begins again."""
        metadata = await self.with_image(tag=False)
        await self.sweep(metadata)
        self.assertEqual("repositories", (await metadata.collection.sweep_state(EXPIRING)).phase)
        await self.sweep(metadata, EXPIRING)
        self.assertEqual("", (await metadata.collection.sweep_state(EXPIRING)).phase)

    async def test_finds(self) -> None:
        """What nothing refers to is queued though nobody has queued it, and nothing else is."""
        metadata = await self.with_image(tag=False)
        await self.put(metadata, MANIFEST)
        await metadata.blobs.record(some_blob(b"alone"), None, 1.0)
        await push(metadata, some_id(1), content=b"v1")
        await push(metadata, some_id(2), repositories=(), content=b"own")
        await metadata.blobs.record_in(OTHER, some_blob(b"unused"), None, None, 0.0, 1.0)
        await metadata.repositories.create(RepositoryName("gone"), None, 1.0)
        await metadata.repositories.delete(RepositoryName("gone"), 2.0)
        await self.empty_queue(metadata)
        found = await self.sweep(metadata)
        self.assertEqual({"repositories", "manifests", "image-links", "images", "links", "blobs"}, set(found))
        kinds = [each.item.kind for each in await metadata.collection.queued(None, 100)]
        self.assertEqual(sorted([kind.value for kind in Kind]), sorted(kind.value for kind in kinds))
