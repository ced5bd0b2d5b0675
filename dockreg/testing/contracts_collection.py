"""What every metadata store promises of collection, as tests."""

from attrs import evolve
from zope.interface.verify import verifyObject

from dockreg.interfaces import IMetadataStore
from dockreg.interfaces_collection import ICollection
from dockreg.model.collection import (
    Backlog,
    Kind,
    LeaseWanted,
    Outcome,
    UntaggedRule,
    Verdict,
)
from dockreg.model.manifest import Manifest
from dockreg.model.patterns import RepositoryPattern
from dockreg.testing.contracts_leases import (
    BOTH,
    CONFIG,
    DEFAULT,
    EVERYTHING,
    EXPIRING,
    LAYER,
    MANIFEST,
    CollectionCase,
    index_of,
    referring,
)
from dockreg.testing.contracts_metadata import some_blob
from dockreg.testing.contracts_repositories import BUSYBOX, LATEST, OTHER, some_manifest


class CollectionContract(CollectionCase):
    """What every ICollection promises."""

    def test_interface(self) -> None:
        """It has all that ICollection declares."""
        verifyObject(ICollection, self.make_metadata_store().collection)

    async def test_pushed(self) -> None:
        """What was pushed and is referred to by nothing stays for its lease, and then goes."""
        metadata = await self.with_image(tag=False)
        self.assertEqual({}, await self.gone(metadata, 99.0))
        self.assertEqual(BOTH, await self.gone(metadata, 100.0))
        self.assertIsNone(await metadata.blobs.find(LAYER.digest))

    async def test_used(self) -> None:
        """What a manifest holds stays."""
        metadata = await self.with_image()
        self.assertEqual({}, await self.gone(metadata, 1e6))
        self.assertEqual(LAYER, await metadata.blobs.find_in(BUSYBOX, LAYER.digest))

    async def test_deleted_manifest(self) -> None:
        """What a manifest held goes when its grace time and its lease are over; the grace time begins when it is seen."""
        metadata = await self.with_image()
        await self.collect(metadata, 150.0)
        await metadata.manifests.delete(BUSYBOX, MANIFEST.digest)
        for now, expected in ((160.0, {}), (169.0, {}), (170.0, BOTH)):
            self.assertEqual(expected, await self.gone(metadata, now))

    async def test_renewed_lease(self) -> None:
        """A lease that was given while something waits to be removed counts."""
        metadata = await self.with_image(tag=False)
        wanted = [LeaseWanted(Kind.BLOB, BUSYBOX, str(LAYER.digest))]
        await metadata.leases.lease(wanted, 180.0)
        self.assertEqual({Kind.LINK: {"config"}, Kind.BLOB: {"config"}}, await self.gone(metadata, 120.0))
        self.assertEqual({Kind.LINK: {"layer"}, Kind.BLOB: {"layer"}}, await self.gone(metadata, 180.0))

    async def test_too_long_lease(self) -> None:
        """A lease from a clock that was wrong ends like one that is given when it is noticed."""
        metadata = await self.with_image(tag=False)
        await metadata.leases.lease([LeaseWanted(Kind.BLOB, BUSYBOX, str(LAYER.digest))], 1e9)
        await self.gone(metadata, 120.0)
        self.assertEqual({}, await self.gone(metadata, 219.0))
        self.assertEqual({Kind.LINK: {"layer"}, Kind.BLOB: {"layer"}}, await self.gone(metadata, 220.0))

    async def test_other_repository(self) -> None:
        """A blob stays for the repositories that need it, and is no longer part of those that do not."""
        metadata = await self.with_image(tag=False)
        for blob in (LAYER, CONFIG):
            await metadata.blobs.mount(OTHER, BUSYBOX, blob.digest, None, 1.0, 100.0)
        await self.put(metadata, MANIFEST, OTHER, tag=True)
        self.assertEqual({Kind.LINK: {"layer", "config"}}, await self.gone(metadata, 100.0))
        self.assertIsNone(await metadata.blobs.find_in(BUSYBOX, LAYER.digest))
        self.assertEqual(LAYER, await metadata.blobs.find_in(OTHER, LAYER.digest))

    async def test_unlinked(self) -> None:
        """A blob that a client removed from its last repository goes."""
        metadata = await self.with_image(tag=False)
        await metadata.blobs.unlink(BUSYBOX, LAYER.digest)
        for now in (150.0, 160.0):
            await self.collect(metadata, now)
        self.assertIsNone(await metadata.blobs.find(LAYER.digest))

    async def test_removed_objects(self) -> None:
        """The object of a row that is gone is remembered until it is said to be gone; a new one is another one."""
        metadata = await self.with_image(tag=False)
        await self.collect(metadata, 100.0)
        removed = await metadata.collection.removed_objects(None, 10)
        self.assertEqual({LAYER, CONFIG}, set(removed))
        self.assertEqual(removed[1:], await metadata.collection.removed_objects(removed[0], 10))
        again = evolve(LAYER, generation="second")
        self.assertEqual(again, await metadata.blobs.record_in(BUSYBOX, again, None, None, 1.0, 200.0))
        await metadata.collection.forget_objects([LAYER])
        self.assertEqual([CONFIG], list(await metadata.collection.removed_objects(None, 10)))

    async def test_untagged_stays(self) -> None:
        """A manifest that lost its tag stays, unless a rule says otherwise."""
        metadata = await self.with_image()
        await metadata.repositories.delete_tag(BUSYBOX, LATEST, 1.0)
        await self.collect(metadata, 200.0)
        self.assertEqual({}, await self.gone(metadata, 1e6))
        self.assertEqual([True], await self.has(metadata, MANIFEST))

    async def test_untagged_expires(self) -> None:
        """By a rule it goes when it has had no tag for so long, with its blobs."""
        metadata = await self.with_image()
        await metadata.repositories.delete_tag(BUSYBOX, LATEST, 1.0)
        for now in (200.0, 210.0, 249.0):
            self.assertEqual({}, await self.gone(metadata, now, EXPIRING))
        removed = await self.gone(metadata, 250.0, EXPIRING)
        self.assertEqual({Kind.MANIFEST, Kind.LINK, Kind.BLOB}, set(removed))
        self.assertEqual([False], await self.has(metadata, MANIFEST))

    async def test_moved_tag(self) -> None:
        """A manifest whose tag was moved is one without a tag; one that has a tag again stays."""
        metadata = await self.with_image()
        other = some_manifest([], b"config")
        await self.put(metadata, other, tag=True)
        await self.collect(metadata, 200.0, EXPIRING)
        await self.put(metadata, MANIFEST, tag=True)
        await self.collect(metadata, 300.0, EXPIRING)
        await self.collect(metadata, 400.0, EXPIRING)
        self.assertEqual([True, False], await self.has(metadata, MANIFEST, other))

    async def test_leased_manifest(self) -> None:
        """A manifest without a tag stays for its lease."""
        metadata = await self.with_image(tag=False)
        await self.put(metadata, MANIFEST)
        await metadata.leases.lease([LeaseWanted(Kind.MANIFEST, BUSYBOX, str(MANIFEST.digest))], 400.0)
        for now, expected in ((100.0, [True]), (399.0, [True]), (400.0, [False])):
            await self.collect(metadata, now, EXPIRING)
            self.assertEqual(expected, await self.has(metadata, MANIFEST))

    async def test_children(self) -> None:
        """The children of an index stay with it, and go with it."""
        metadata = await self.with_image(tag=False)
        index = index_of(MANIFEST)
        await self.put(metadata, MANIFEST)
        await self.put(metadata, index, tag=True)
        await self.collect(metadata, 1.0, EXPIRING)
        await self.collect(metadata, 500.0, EXPIRING)
        self.assertEqual([True, True], await self.has(metadata, MANIFEST, index))
        await metadata.repositories.delete_tag(BUSYBOX, LATEST, 1.0)
        for now in (600.0, 660.0, 720.0):
            await self.collect(metadata, now, EXPIRING)
        self.assertEqual([False, False], await self.has(metadata, MANIFEST, index))

    async def ripe_index(self) -> tuple[IMetadataStore, Manifest]:
        """A store with an index and what it lists, both without a tag for long enough; what it lists is reviewed first."""
        metadata, index = await self.with_image(tag=False), index_of(MANIFEST)
        await self.put(metadata, MANIFEST)
        await metadata.collection.review(EXPIRING, 1000.0, 50)
        await self.put(metadata, index)
        await metadata.collection.review(EXPIRING, 1001.0, 50)
        return metadata, index

    async def test_index_first(self) -> None:
        """When an index and what it lists may both go, the index goes first, whatever is reviewed first."""
        metadata, index = await self.ripe_index()
        seen = [[True, True]]
        while await metadata.collection.review(EXPIRING, 1100.0, 1):
            seen.append(await self.has(metadata, MANIFEST, index))
        self.assertNotIn([False, True], seen)
        self.assertEqual([True, False], seen[-1])
        # What an index has listed has a time of its own to wait for.
        await self.collect(metadata, 1150.0, EXPIRING)
        self.assertEqual([False, False], await self.has(metadata, MANIFEST, index))

    async def test_used_between(self) -> None:
        """An index that is leased, or gets a tag, between two reviews is whole."""
        for tag in (False, True):
            metadata, index = await self.ripe_index()
            for _ in range(20):
                if Kind.MANIFEST in {each.item.kind for each in await metadata.collection.review(EXPIRING, 1100.0, 1)}:
                    break
            if tag:
                await self.put(metadata, index, tag=True)
            else:
                wanted = LeaseWanted(Kind.MANIFEST, BUSYBOX, str(index.digest))
                self.assertEqual([True], list(await metadata.leases.lease([wanted], 1150.0)))
            await self.collect(metadata, 1100.0, EXPIRING)
            self.assertEqual([True, True], await self.has(metadata, MANIFEST, index))
            for now in (1150.0, 1200.0):
                await self.collect(metadata, now, EXPIRING)
            self.assertEqual([tag, tag], await self.has(metadata, MANIFEST, index))

    async def test_referrers(self) -> None:
        """A subject stays for a referrer with a tag, and a referrer for its subject; together they go."""
        metadata = await self.with_image(tag=False)
        referrer, second = referring(MANIFEST), referring(MANIFEST, "second")
        await self.put(metadata, MANIFEST)
        await self.put(metadata, second)
        await self.put(metadata, referrer, tag=True)
        for now in (1.0, 500.0):
            await self.collect(metadata, now, EXPIRING)
        self.assertEqual([True] * 3, await self.has(metadata, MANIFEST, referrer, second))
        await metadata.repositories.delete_tag(BUSYBOX, LATEST, 1.0)
        for now in (600.0, 660.0, 720.0, 780.0):
            await self.collect(metadata, now, EXPIRING)
        self.assertEqual([False] * 3, await self.has(metadata, MANIFEST, referrer, second))

    async def test_young_referrer(self) -> None:
        """A referrer that came later keeps its subject for its own time."""
        metadata = await self.with_image(tag=False)
        await self.put(metadata, MANIFEST)
        await self.collect(metadata, 1.0, EXPIRING)
        await self.put(metadata, referring(MANIFEST))
        await self.collect(metadata, 40.0, EXPIRING)
        await self.collect(metadata, 60.0, EXPIRING)
        self.assertEqual([True], await self.has(metadata, MANIFEST))
        await self.collect(metadata, 100.0, EXPIRING)
        self.assertEqual([False, False], await self.has(metadata, MANIFEST, referring(MANIFEST)))

    async def test_first_rule(self) -> None:
        """The first rule that matches a repository counts."""
        keep = UntaggedRule((RepositoryPattern("busybox"),), None)
        policy = evolve(EXPIRING, untagged=(keep, *EXPIRING.untagged))
        self.assertEqual([None, 50.0], [policy.expiry(name) for name in (BUSYBOX, OTHER)])

    async def test_without_grace(self) -> None:
        """What has just lost its use can be looked at behind each item, and in the order of items."""
        metadata = await self.with_image()
        await self.collect(metadata, 150.0)
        await metadata.manifests.delete(BUSYBOX, MANIFEST.digest)
        waiting = await metadata.collection.queued(None, 10)
        self.assertEqual([(None, 0.0)] * 2, [(each.since, each.due_at) for each in waiting])
        removed, after = list[Verdict](), EVERYTHING
        while found := await metadata.collection.queued(after, 1):
            removed += await metadata.collection.review(DEFAULT, 151.0, 1, after)
            after = found[-1].item
        self.assertEqual([Outcome.REMOVED] * 2, [each.outcome for each in removed])

    async def test_examine(self) -> None:
        """What would be found can be asked for, with what holds it, and changes nothing."""
        metadata = await self.with_image()
        queued = await metadata.collection.queued(None, 10)
        for _ in range(2):
            findings = await metadata.collection.examine(queued, DEFAULT, 150.0)
            self.assertEqual([Kind.MANIFEST] * 2, [each.holders[0].kind for each in findings])
            self.assertEqual([[Kind.BLOB]] * 2, [[item.kind for item in each.frees] for each in findings])
        self.assertEqual(queued, await metadata.collection.queued(None, 10))

    async def test_backlog(self) -> None:
        """What waits is counted: what is due and since when, what is not, and objects."""
        metadata = await self.with_image(tag=False)
        self.assertEqual(Backlog(0, 2, 0, 0.0), await metadata.collection.backlog(99.0))
        self.assertEqual(Backlog(2, 0, 0, 30.0), await metadata.collection.backlog(130.0))
        await self.collect(metadata, 130.0)
        self.assertEqual(Backlog(0, 0, 2, 0.0), await metadata.collection.backlog(130.0))

    async def test_orphans(self) -> None:
        """Objects that no row names are told from those that one does."""
        metadata = await self.with_image(tag=False)
        other = [evolve(LAYER, generation="other"), some_blob(b"unknown")]
        self.assertEqual(other, list(await metadata.collection.orphans([LAYER, *other, CONFIG])))

    async def test_many_orphans(self) -> None:
        """Of any number of objects those are told that no row names, in their order."""
        metadata = await self.with_image(tag=False)
        unknown = [some_blob(b"%d" % number) for number in range(1200)]
        asked = [LAYER, *unknown[:499], CONFIG, *unknown[499:], CONFIG]
        self.assertEqual(unknown, list(await metadata.collection.orphans(asked)))

    async def test_lead(self) -> None:
        """One process leads as long as it says so in time; then another one may."""
        collection = (await self.opened()).collection
        self.assertEqual(0.0, await collection.lead("one", 1000.0, 60.0, 500.0, 100.0))
        self.assertIsNone(await collection.lead("two", 1059.0, 60.0, 500.0, 100.0))
        self.assertEqual(0.0, await collection.lead("one", 1059.0, 60.0, 500.0, 100.0))
        self.assertEqual(0.0, await collection.lead("two", 1120.0, 60.0, 500.0, 100.0))
        self.assertIsNone(await collection.lead("one", 1121.0, 60.0, 500.0, 100.0))

    async def test_clock(self) -> None:
        """When the clock was set, forwards or backwards, nothing is to be removed for the time of a lease."""
        for now, expected in ((1501.0, 1601.0), (900.0, 1000.0), (950.0, 0.0), (1500.0, 0.0)):
            collection = (await self.opened()).collection
            await collection.lead("one", 1000.0, 60.0, 500.0, 100.0)
            self.assertEqual(expected, await collection.lead("one", now, 60.0, 500.0, 100.0))
