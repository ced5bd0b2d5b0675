"""Small blobs in memory."""

from typing import Any

from zope.interface.verify import verifyObject

from dockreg.errors import BlobUnknown
from dockreg.errors_blobs import BlobLost
from dockreg.interfaces import IBlobStore
from dockreg.interfaces_readers import IBlobInMemory
from dockreg.providers.blobs import remembering
from dockreg.providers.blobs.memory import MemoryBlobStore
from dockreg.providers.blobs.remembering import MemoryReader, RememberingBlobStore
from dockreg.testing import contracts, contracts_conditions, contracts_uploads


class RememberingBlobStoreTests(contracts.BlobStoreContract):
    """The promises of every blob store, and what is kept."""

    def make_blob_store(self) -> IBlobStore:
        return RememberingBlobStore(MemoryBlobStore())

    def make_full_blob_store(self) -> IBlobStore:
        return RememberingBlobStore(MemoryBlobStore(room=1 << 20))

    async def test_kept(self) -> None:
        """What was read once is not asked for again, and comes without waiting."""
        behind = MemoryBlobStore()
        blobs = RememberingBlobStore(behind)
        blob = await contracts.store(blobs)
        await contracts.content_of(blobs, blob)
        await behind.delete(blob)
        reader: Any = await blobs.open(blob, 4)
        verifyObject(IBlobInMemory, reader)
        self.assertIsInstance(reader, MemoryReader)
        self.assertEqual((b"45", b"6789", b""), (reader.take(2), reader.take(100), reader.take(1)))

    async def test_deleted(self) -> None:
        """What is deleted is forgotten."""
        blobs = RememberingBlobStore(MemoryBlobStore())
        blob = await contracts.store(blobs)
        await contracts.content_of(blobs, blob)
        await blobs.delete(blob)
        await self.raises(BlobUnknown, blobs.open(blob))

    async def test_large(self) -> None:
        """A larger blob is never kept."""
        behind = MemoryBlobStore()
        blobs = RememberingBlobStore(behind)
        blob = await contracts.store(blobs, [b"x" * (remembering.LARGEST_BYTES + 1)])
        await contracts.content_of(blobs, blob)
        await behind.delete(blob)
        await self.raises(BlobUnknown, blobs.open(blob))

    async def test_bound(self) -> None:
        """The least recently read goes when there is too much."""
        self.patch(remembering, "MOST_BYTES", 2 * (10 + 512))
        behind = MemoryBlobStore()
        blobs = RememberingBlobStore(behind)
        stored = [await contracts.store(blobs, [b"%010d" % number]) for number in range(3)]
        for each in (stored[0], stored[1], stored[0], stored[2]):
            await contracts.content_of(blobs, each)
        for each in stored:
            await behind.delete(each)
        self.assertEqual(b"0000000000", await contracts.content_of(blobs, stored[0]))
        self.assertEqual(b"0000000002", await contracts.content_of(blobs, stored[2]))
        await self.raises(BlobUnknown, blobs.open(stored[1]))


class RememberingUploadTests(contracts_uploads.UploadContract):
    """The promises of uploads over several requests, through it."""

    def make_blob_store(self) -> IBlobStore:
        return RememberingBlobStore(MemoryBlobStore())


class RememberingExaminationTests(contracts_conditions.ExaminationContract):
    """The promises about objects that are looked at: what is kept here is not what is on the disk."""

    def make_blob_store(self) -> IBlobStore:
        return RememberingBlobStore(MemoryBlobStore())

    async def test_kept(self) -> None:
        """An object that is gone is missing, even if its bytes are kept; in quarantine they are not kept."""
        behind = MemoryBlobStore()
        blobs = RememberingBlobStore(behind)
        blob = await contracts.store(blobs)
        await contracts.content_of(blobs, blob)
        await behind.delete(blob)
        await self.raises(BlobLost, self.examined(blobs, blob))
        await blobs.quarantine(blob)
        await self.raises(BlobLost, blobs.open(blob))
