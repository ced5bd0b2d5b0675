"""
What every store promises of blobs whose bytes are lost, as tests.

Import the module and subclass the contract: trial would collect an imported class too.
"""

from attrs import evolve
from zope.interface.verify import verifyObject

from dockreg.errors import BlobInUse, BlobUnknown, ReferencesUnknown
from dockreg.errors_blobs import BlobLost
from dockreg.interfaces import IBlobStore
from dockreg.interfaces_blobs import IConditionStore
from dockreg.model.blobs import LostBlob, StoredBlob
from dockreg.model.conditions import Condition
from dockreg.model.names import RepositoryName
from dockreg.model.repositories import Sparse
from dockreg.testing.contracts import CONTENT, Contract, content_of, store
from dockreg.testing.contracts_metadata import MetadataContract, some_blob
from dockreg.testing.contracts_repositories import some_manifest

ONE, TWO = RepositoryName("lost/one"), RepositoryName("lost/two")
MISSING, DAMAGED = Condition.MISSING, Condition.DAMAGED


class ExaminationContract(Contract):
    """What every IBlobStore promises of objects that are looked at."""

    def make_blob_store(self) -> IBlobStore:
        """A new, empty store."""
        raise NotImplementedError

    async def examined(self, blobs: IBlobStore, blob: StoredBlob) -> int:
        """Examine an object; return how many bytes were passed."""
        sizes: list[int] = []

        async def passed(size: int) -> None:
            sizes.append(size)

        await blobs.examine(blob, passed)
        return sum(sizes)

    async def test_whole(self) -> None:
        """An object that is whole is read, in pieces that are told, and stays what it was."""
        blobs = self.make_blob_store()
        blob = await store(blobs)
        self.assertEqual(len(CONTENT), await self.examined(blobs, blob))
        large = await store(blobs, [b"x" * (1 << 20)] * 3)
        self.assertEqual(3 << 20, await self.examined(blobs, large))
        self.assertEqual(CONTENT, await content_of(blobs, blob))

    async def test_missing(self) -> None:
        """One that is not there is missing."""
        blobs = self.make_blob_store()
        await store(blobs)
        problem = await self.raises(BlobLost, self.examined(blobs, some_blob()))
        self.assertEqual((MISSING, str(some_blob().digest)), (problem.condition, problem.digest))

    async def test_damaged(self) -> None:
        """One that has another size or digest is damaged."""
        blobs = self.make_blob_store()
        blob = await store(blobs)
        problem = await self.raises(BlobLost, self.examined(blobs, evolve(blob, size=blob.size + 1)))
        self.assertEqual(DAMAGED, problem.condition)
        problem = await self.raises(BlobLost, blobs.open(evolve(blob, size=blob.size + 1)))
        self.assertEqual(DAMAGED, problem.condition)

    async def test_quarantine(self) -> None:
        """One in quarantine is not there any more, and can be stored again; to put it there twice is harmless."""
        blobs = self.make_blob_store()
        blob = await store(blobs)
        await blobs.quarantine(blob)
        await blobs.quarantine(blob)
        problem = await self.raises(BlobLost, blobs.open(blob))
        self.assertEqual(MISSING, problem.condition)
        self.assertEqual(CONTENT, await content_of(blobs, await store(blobs)))


class ConditionContract(MetadataContract):
    """What every IMetadataStore promises of blobs whose bytes are lost."""

    async def test_interface(self) -> None:
        """The store has all that its interface declares."""
        verifyObject(IConditionStore, self.make_metadata_store().conditions)

    async def test_note(self) -> None:
        """What is noted of an object is told wherever it is found, once as news, until it is noted to be well."""
        metadata = await self.opened()
        blob = some_blob()
        await metadata.blobs.record_in(ONE, blob, None, None, 1.0, 2.0)
        self.assertFalse(await metadata.conditions.note(blob, None, 3.0))
        for condition in (DAMAGED, MISSING, None):
            self.assertTrue(await metadata.conditions.note(blob, condition, 4.0))
            self.assertFalse(await metadata.conditions.note(blob, condition, 5.0))
            found = [await metadata.blobs.find(blob.digest), await metadata.blobs.find_in(ONE, blob.digest)]
            self.assertEqual([blob, blob], found)
            self.assertEqual([condition, condition], [each.lost for each in found if each is not None])
            lost = [] if condition is None else [LostBlob(evolve(blob, lost=condition), condition, 4.0)]
            self.assertEqual(lost, await metadata.conditions.list_lost("", 10))
            self.assertEqual(len(lost), await metadata.conditions.count_lost())

    async def test_another_object(self) -> None:
        """Nothing can be noted of an object that the metadata does not name."""
        metadata = await self.opened()
        await metadata.blobs.record(some_blob(), None, 1.0)
        self.assertFalse(await metadata.conditions.note(some_blob(generation="other"), MISSING, 2.0))
        self.assertFalse(await metadata.conditions.note(some_blob(b"other"), MISSING, 2.0))
        self.assertEqual([], await metadata.conditions.list_lost("", 10))

    async def test_lists(self) -> None:
        """Objects are listed in the order of their digests, page by page, lost ones also by themselves."""
        metadata = await self.opened()
        blobs = sorted((some_blob(b"%d" % number) for number in range(7)), key=lambda each: str(each.digest))
        for blob in blobs:
            await metadata.blobs.record(blob, None, 1.0)
        for blob in blobs[::2]:
            await metadata.conditions.note(blob, MISSING, 2.0)
        listed: list[StoredBlob] = []
        while page := await metadata.conditions.list_objects(str(listed[-1].digest) if listed else "", 3):
            self.assertLessEqual(len(page), 3)
            listed += page
        self.assertEqual(blobs, listed)
        lost = await metadata.conditions.list_lost("", 3)
        lost = [*lost, *await metadata.conditions.list_lost(str(lost[-1].blob.digest), 3)]
        self.assertEqual(blobs[::2], [each.blob for each in lost])

    async def test_repair(self) -> None:
        """A new object takes the place of a lost one, for every repository; what is not lost stays as it is."""
        metadata = await self.opened()
        first, second, third = (some_blob(generation=name) for name in ("first", "second", "third"))
        for name in (ONE, TWO):
            await metadata.blobs.record_in(name, first, None, None, 1.0, 2.0)
        await metadata.conditions.note(first, DAMAGED, 3.0)
        self.assertEqual(second, await metadata.blobs.record_in(ONE, second, None, None, 4.0, 5.0))
        for name in (ONE, TWO):
            found = await metadata.blobs.find_in(name, first.digest)
            self.assertEqual((second, None), (found, found and found.lost))
        self.assertEqual(second, await metadata.blobs.record(third, None, 6.0))
        self.assertEqual(0, await metadata.conditions.count_lost())

    async def test_no_repair(self) -> None:
        """To record the lost object again does not make it well."""
        metadata = await self.opened()
        await metadata.blobs.record(some_blob(), None, 1.0)
        await metadata.conditions.note(some_blob(), DAMAGED, 2.0)
        recorded = await metadata.blobs.record(some_blob(), None, 3.0)
        self.assertEqual((some_blob(), DAMAGED), (recorded, recorded.lost))

    async def test_mount(self) -> None:
        """A lost blob is not mounted."""
        metadata = await self.opened()
        blob = some_blob()
        await metadata.blobs.record_in(ONE, blob, None, None, 1.0, 2.0)
        await metadata.conditions.note(blob, MISSING, 3.0)
        self.assertIsNone(await metadata.blobs.mount(TWO, ONE, blob.digest, None, 4.0, 5.0))
        self.assertIsNone(await metadata.blobs.find_in(TWO, blob.digest))
        await metadata.conditions.note(blob, None, 6.0)
        self.assertEqual(blob, await metadata.blobs.mount(TWO, ONE, blob.digest, None, 7.0, 8.0))

    async def test_manifest(self) -> None:
        """A manifest is refused while what it refers to is lost, and accepted once that was pushed again."""
        metadata = await self.opened()
        layer = some_blob(b"layer")
        manifest = some_manifest([layer.digest])
        digests = {each.descriptor.digest for each in manifest.references}
        for digest in digests:
            await metadata.blobs.record_in(ONE, StoredBlob(digest, "first", 5), None, None, 1.0, 2.0)
        lost = StoredBlob(layer.digest, "first", 5)
        await metadata.conditions.note(lost, MISSING, 3.0)
        putting = metadata.manifests.put(ONE, manifest, [], None, 4.0, Sparse.INDEXES, overwrite=True)
        problem = await self.raises(ReferencesUnknown, putting)
        self.assertEqual((str(layer.digest),), problem.digests)
        await metadata.blobs.record_in(ONE, evolve(lost, generation="second"), None, None, 5.0, 6.0)
        await metadata.manifests.put(ONE, manifest, [], None, 7.0, Sparse.INDEXES, overwrite=True)
        # What a manifest refers to stays, lost or not.
        await metadata.conditions.note(evolve(lost, generation="second"), MISSING, 8.0)
        await self.raises(BlobInUse, metadata.blobs.unlink(ONE, layer.digest))

    async def test_unlink(self) -> None:
        """A lost blob can be taken out of a repository."""
        metadata = await self.opened()
        await metadata.blobs.record_in(ONE, some_blob(), None, None, 1.0, 2.0)
        await metadata.conditions.note(some_blob(), MISSING, 3.0)
        await metadata.blobs.unlink(ONE, some_blob().digest)
        await self.raises(BlobUnknown, metadata.blobs.unlink(ONE, some_blob().digest))
