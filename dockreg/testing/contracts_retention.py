"""What every metadata store promises of pulls and of what goes by retention rules, as tests."""

from collections.abc import Collection

from attrs import evolve
from zope.interface.verify import verifyObject

from dockreg.errors import ManifestUnknown, NameUnknown, TagUnknown
from dockreg.interfaces import IMetadataStore
from dockreg.interfaces_retention import IRetentionStore
from dockreg.model.collection import Kind, LeaseWanted
from dockreg.model.digest import Digest
from dockreg.model.manifest import Manifest
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import Sparse
from dockreg.model.retention import BlobUse, ManifestState, Pull, RepositoryContents, TagState
from dockreg.model.v1 import TagClient
from dockreg.testing.contracts_manifests import described, some_index
from dockreg.testing.contracts_metadata import MetadataContract, some_blob
from dockreg.testing.contracts_repositories import BUSYBOX, LATEST, OTHER, push, some_id, some_manifest

HOUR, DAY = 3600.0, 86400.0
LAYER, SECOND, CONFIG = (Digest.sha256(content) for content in (b"layer", b"second", b"config"))
IMAGE, NEXT = some_manifest([LAYER]), some_manifest([LAYER, SECOND])
STABLE = Tag("stable")


class _RetentionContract(MetadataContract):
    async def with_blobs(self) -> IMetadataStore:
        """A store whose repository has two layers and a config."""
        metadata = await self.opened()
        for content in (b"layer", b"second", b"config"):
            await metadata.blobs.record_in(BUSYBOX, some_blob(content), None, None, 1.0, 100.0)
        return metadata

    async def put(
        self, metadata: IMetadataStore, manifest: Manifest, *tags: Tag, now: float = 1.0, name: RepositoryName = BUSYBOX
    ) -> None:
        """Push a manifest."""
        await metadata.manifests.put(name, manifest, tags, None, now, Sparse.NONE, overwrite=True)

    async def tag(self, metadata: IMetadataStore, tag: Tag = LATEST) -> TagState:
        """A tag, as it is seen now."""
        (found,) = [each for each in (await metadata.retention.contents(BUSYBOX)).tags if each.tag == tag]
        return found

    async def manifest(self, metadata: IMetadataStore, digest: Digest = IMAGE.digest) -> ManifestState:
        """A manifest, as it is seen now."""
        found = {each.digest: each for each in (await metadata.retention.contents(BUSYBOX)).manifests}
        return found[str(digest)]

    async def digests(self, metadata: IMetadataStore) -> Collection[str]:
        """The manifests that are there."""
        return {each.digest for each in (await metadata.retention.contents(BUSYBOX)).manifests}


class RetentionStoreContract(_RetentionContract):
    """What every IRetentionStore promises of what there is, and of pulls."""

    def test_interface(self) -> None:
        """It has all that IRetentionStore declares."""
        verifyObject(IRetentionStore, self.make_metadata_store().retention)

    async def test_contents(self) -> None:
        """A repository is seen with its tags and manifests, and how these belong together."""
        metadata = await self.with_blobs()
        await self.put(metadata, IMAGE, LATEST, now=2.0)
        index = some_index([described(IMAGE)])
        await self.put(metadata, index, now=3.0)
        referrer = evolve(NEXT, subject=described(index))
        await self.put(metadata, referrer, now=4.0)
        found = await metadata.retention.contents(BUSYBOX)
        (tag,) = found.tags
        self.assertEqual(
            (LATEST, (str(IMAGE.digest),), 2.0, None), (tag.tag, tag.digests, tag.updated_at, tag.pulled_at)
        )
        seen = {each.digest: each for each in found.manifests}
        self.assertEqual({str(each.digest) for each in (IMAGE, index, referrer)}, set(seen))
        self.assertEqual({str(IMAGE.digest)}, seen[str(index.digest)].children)
        self.assertEqual(str(index.digest), seen[str(referrer.digest)].subject)
        self.assertEqual([2.0, 3.0, 4.0], sorted(each.created_at for each in found.manifests))
        await self.raises(NameUnknown, metadata.retention.contents(OTHER))

    async def test_names(self) -> None:
        """Repositories with something in them are listed in the order of their names."""
        metadata = await self.with_blobs()
        await metadata.repositories.create(OTHER, None, 1.0)
        self.assertEqual([], list(await metadata.retention.names("", 10)))
        await self.put(metadata, IMAGE)
        self.assertEqual([BUSYBOX], list(await metadata.retention.names("", 10)))
        self.assertEqual([], list(await metadata.retention.names("busybox", 10)))
        image = await push(metadata, some_id(1), repositories=[OTHER])
        await metadata.repositories.tag_image(OTHER, LATEST, image, None, TagClient(), 3.0)
        self.assertEqual([OTHER], list(await metadata.retention.names("", 1)))

    async def test_untagged(self) -> None:
        """It is noted when a tag was moved away from a manifest, or removed, and not when it stays."""
        metadata = await self.with_blobs()
        await self.put(metadata, IMAGE, LATEST, STABLE, now=2.0)
        self.assertIsNone((await self.manifest(metadata)).untagged_at)
        await self.put(metadata, IMAGE, LATEST, now=3.0)
        self.assertEqual(
            (None, 3.0), ((await self.manifest(metadata)).untagged_at, (await self.tag(metadata)).updated_at)
        )
        await self.put(metadata, NEXT, LATEST, now=4.0)
        self.assertEqual(4.0, (await self.manifest(metadata)).untagged_at)
        await metadata.repositories.delete_tag(BUSYBOX, STABLE, 5.0)
        self.assertEqual(5.0, (await self.manifest(metadata)).untagged_at)
        self.assertIsNone((await self.manifest(metadata, NEXT.digest)).untagged_at)

    async def test_pulls(self) -> None:
        """The last pull of a tag and of a digest is kept; a tag was pulled, too, when its manifest was by digest."""
        metadata = await self.with_blobs()
        await self.put(metadata, IMAGE, LATEST, STABLE)
        record = metadata.retention.record_pulls
        await record([Pull(BUSYBOX, LATEST, 10.0)])
        await record([Pull(BUSYBOX, LATEST, 20.0), Pull(OTHER, LATEST, 30.0), Pull(BUSYBOX, Tag("gone"), 30.0)])
        pulled = [(await self.tag(metadata, each)).pulled_at for each in (LATEST, STABLE)]
        self.assertEqual(([20.0, None], None), (pulled, (await self.manifest(metadata)).pulled_at))
        await record([Pull(BUSYBOX, str(IMAGE.digest), 15.0), Pull(BUSYBOX, str(CONFIG), 30.0)])
        pulled = [(await self.tag(metadata, each)).pulled_at for each in (LATEST, STABLE)]
        self.assertEqual(([20.0, 15.0], 15.0), (pulled, (await self.manifest(metadata)).pulled_at))

    async def test_pulls_of_views(self) -> None:
        """A pull of another form of an image is one of the image."""
        metadata = await self.with_blobs()
        await self.put(metadata, IMAGE, LATEST)
        await metadata.manifests.add_view(BUSYBOX, IMAGE.digest, NEXT, 2.0)
        await metadata.retention.record_pulls([Pull(BUSYBOX, str(NEXT.digest), 15.0)])
        self.assertEqual([str(IMAGE.digest)], [*await self.digests(metadata)])
        self.assertEqual(15.0, (await self.manifest(metadata)).pulled_at)

    async def test_pulls_of_images(self) -> None:
        """A pull of a v1 image is one of the tags that point to it, in this repository."""
        metadata = await self.with_blobs()
        image = await push(metadata, some_id(1))
        await metadata.repositories.tag_image(BUSYBOX, LATEST, image, None, TagClient(), 3.0)
        seen = await self.tag(metadata)
        self.assertEqual(((), None), (seen.digests, seen.pulled_at))
        await metadata.retention.record_pulls([Pull(BUSYBOX, some_id(1), 9.0), Pull(OTHER, some_id(1), 99.0)])
        self.assertEqual(9.0, (await self.tag(metadata)).pulled_at)
        self.assertFalse(await metadata.retention.remove_tag(BUSYBOX, seen, 20.0))
        self.assertTrue(await metadata.retention.remove_tag(BUSYBOX, await self.tag(metadata), 20.0))

    async def test_blob_uses(self) -> None:
        """Blobs are told with their sizes, and how many manifests of all repositories hold them."""
        metadata = await self.with_blobs()
        await self.put(metadata, IMAGE)
        await self.put(metadata, NEXT)
        await metadata.blobs.mount(OTHER, BUSYBOX, SECOND, None, 1.0, 2.0)
        await self.put(metadata, some_manifest([SECOND], b"second"), name=OTHER)
        uses = await metadata.retention.blob_uses(BUSYBOX, [str(NEXT.digest), str(CONFIG)])
        self.assertEqual([str(NEXT.digest)], [*uses])
        expected = {BlobUse(str(CONFIG), 6, 2), BlobUse(str(LAYER), 5, 2), BlobUse(str(SECOND), 6, 3)}
        self.assertEqual(expected, set(uses[str(NEXT.digest)]))


class RetentionClockContract(_RetentionContract):
    """What every IRetentionStore promises of runs and of time."""

    async def test_one_leads(self) -> None:
        """Of processes that would begin a run at about the same time, one does; the next run goes on where it stopped."""
        retention = (await self.opened()).retention
        first = await retention.begin_run(1000.0, HOUR)
        assert first is not None
        self.assertEqual((1000.0, ""), (first[0].since, first[1]))
        self.assertIsNone(await retention.begin_run(1000.0, HOUR))
        self.assertIsNone(await retention.begin_run(1000.0 + HOUR / 3, HOUR))
        await retention.end_run("busybox")
        second = await retention.begin_run(1000.0 + HOUR, HOUR)
        assert second is not None
        self.assertEqual((1000.0, "busybox", HOUR), (second[0].since, second[1], second[0].age(0.0)))

    async def test_nothing_known(self) -> None:
        """As long as nobody has begun to note pulls, nothing has an age."""
        retention = (await self.opened()).retention
        self.assertEqual(0.0, (await retention.look_at_clock(5 * DAY)).age(0.0))

    async def test_gap(self) -> None:
        """Time in which nobody was there makes nothing older, of what was before it."""
        retention = (await self.opened()).retention
        await retention.begin_run(0.0, HOUR)
        await retention.begin_run(HOUR, HOUR)
        later = 1000 * DAY
        asked = await retention.look_at_clock(later)
        claimed = await retention.begin_run(later, HOUR)
        assert claimed is not None
        for time in (asked, claimed[0]):
            self.assertEqual([HOUR, 0.0, -5.0], [time.age(each) for each in (0.0, HOUR, later + 5)])
        claimed = await retention.begin_run(later + 2 * HOUR, HOUR)
        assert claimed is not None
        self.assertEqual([3 * HOUR, 2 * HOUR, HOUR], [claimed[0].age(each) for each in (0.0, HOUR, later + HOUR)])

    async def test_clock_put_right(self) -> None:
        """A clock that was ahead for a while, and is put right, has made nothing older, and nothing younger in the end."""
        retention = (await self.opened()).retention
        await retention.begin_run(0.0, HOUR)
        await retention.begin_run(1000 * DAY, HOUR)
        claimed = await retention.begin_run(2 * HOUR, HOUR)
        assert claimed is not None
        self.assertEqual(2 * HOUR, claimed[0].age(0.0))


class RemovalContract(_RetentionContract):
    """What every IRetentionStore promises of what is removed, and of what is spared."""

    async def test_tag(self) -> None:
        """A tag that is as it was seen goes; its manifest is without a tag since then."""
        metadata = await self.with_blobs()
        await self.put(metadata, IMAGE, LATEST)
        seen = await self.tag(metadata)
        self.assertTrue(await metadata.retention.remove_tag(BUSYBOX, seen, 50.0))
        await self.raises(TagUnknown, metadata.repositories.get_tag(BUSYBOX, LATEST))
        self.assertEqual(50.0, (await self.manifest(metadata)).untagged_at)
        self.assertFalse(await metadata.retention.remove_tag(BUSYBOX, seen, 50.0))
        self.assertFalse(await metadata.retention.remove_tag(OTHER, seen, 50.0))

    async def test_tag_spared(self) -> None:
        """A tag that was moved, pushed again or pulled since it was seen stays, whatever of its manifest was pulled."""
        metadata = await self.with_blobs()
        await self.put(metadata, IMAGE, LATEST)
        for change in (
            self.put(metadata, IMAGE, LATEST, now=2.0),
            self.put(metadata, NEXT, LATEST, now=2.0),
            metadata.retention.record_pulls([Pull(BUSYBOX, LATEST, 7.0)]),
            metadata.retention.record_pulls([Pull(BUSYBOX, str(NEXT.digest), 9.0)]),
        ):
            seen = await self.tag(metadata)
            await change
            self.assertFalse(await metadata.retention.remove_tag(BUSYBOX, seen, 50.0))
        self.assertTrue(await metadata.retention.remove_tag(BUSYBOX, await self.tag(metadata), 50.0))

    async def test_manifest(self) -> None:
        """A manifest that nobody needs goes."""
        metadata = await self.with_blobs()
        await self.put(metadata, IMAGE)
        found = await metadata.retention.contents(BUSYBOX)
        (seen,) = found.manifests
        self.assertTrue(await metadata.retention.remove_manifest(BUSYBOX, seen, found.latest, 50.0))
        await self.raises(ManifestUnknown, metadata.manifests.get(BUSYBOX, IMAGE.digest))
        self.assertFalse(await metadata.retention.remove_manifest(BUSYBOX, seen, found.latest, 50.0))

    async def spared(self, metadata: IMetadataStore, seen: ManifestState, latest: int) -> None:
        """Nothing is removed."""
        before = await self.digests(metadata)
        self.assertFalse(await metadata.retention.remove_manifest(BUSYBOX, seen, latest, 50.0))
        self.assertEqual(before, await self.digests(metadata))

    async def seen(self, metadata: IMetadataStore) -> tuple[ManifestState, RepositoryContents]:
        """The image without tags, and all that is there."""
        await self.put(metadata, IMAGE)
        return await self.manifest(metadata), await metadata.retention.contents(BUSYBOX)

    async def test_leased(self) -> None:
        """A manifest that a pusher was told of stays until its lease is over."""
        metadata = await self.with_blobs()
        seen, found = await self.seen(metadata)
        wanted = LeaseWanted(Kind.MANIFEST, BUSYBOX, str(IMAGE.digest))
        self.assertEqual([True], list(await metadata.leases.lease([wanted], 60.0)))
        await self.spared(metadata, seen, found.latest)
        self.assertTrue(await metadata.retention.remove_manifest(BUSYBOX, seen, found.latest, 61.0))

    async def test_tagged(self) -> None:
        """A manifest that has got a tag stays, also when it lost it again."""
        metadata = await self.with_blobs()
        seen, found = await self.seen(metadata)
        await self.put(metadata, IMAGE, LATEST)
        await self.spared(metadata, seen, found.latest)
        await metadata.repositories.delete_tag(BUSYBOX, LATEST, 3.0)
        await self.spared(metadata, seen, found.latest)

    async def test_pulled(self) -> None:
        """A manifest that was pulled by its digest stays."""
        metadata = await self.with_blobs()
        seen, found = await self.seen(metadata)
        await metadata.retention.record_pulls([Pull(BUSYBOX, str(IMAGE.digest), 7.0)])
        await self.spared(metadata, seen, found.latest)

    async def test_listed(self) -> None:
        """A manifest that an index lists stays, also when the index has no tag."""
        metadata = await self.with_blobs()
        seen, found = await self.seen(metadata)
        await self.put(metadata, some_index([described(IMAGE)]))
        await self.spared(metadata, seen, found.latest)

    async def test_subject(self) -> None:
        """What refers to a manifest stays while that is there; that goes, unless a referrer has a tag or is new."""
        metadata = await self.with_blobs()
        referrer = evolve(NEXT, subject=described(IMAGE))
        await self.put(metadata, IMAGE)
        await self.put(metadata, referrer, LATEST)
        found = await metadata.retention.contents(BUSYBOX)
        image = await self.manifest(metadata)
        await self.spared(metadata, image, found.latest)
        await metadata.repositories.delete_tag(BUSYBOX, LATEST, 3.0)
        await self.spared(metadata, image, found.latest - 1)
        attached = await self.manifest(metadata, referrer.digest)
        await self.spared(metadata, attached, found.latest)
        self.assertTrue(await metadata.retention.remove_manifest(BUSYBOX, image, found.latest, 50.0))
        self.assertTrue(await metadata.retention.remove_manifest(BUSYBOX, attached, found.latest, 50.0))
