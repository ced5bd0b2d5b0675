from dockreg.interfaces import IBlobStore
from dockreg.providers.blobs.memory import MemoryBlobStore
from dockreg.testing import contracts, contracts_conditions, contracts_uploads


class MemoryBlobStoreTests(contracts.BlobStoreContract):
    """The promises of every blob store, kept in memory."""

    def make_blob_store(self) -> IBlobStore:
        return MemoryBlobStore()

    def make_full_blob_store(self) -> IBlobStore:
        return MemoryBlobStore(room=1 << 20)

    async def test_room_of_objects(self) -> None:
        """An object takes room until it is deleted."""
        blobs = MemoryBlobStore(room=10)
        blob = await contracts.store(blobs)
        await blobs.delete(blob)
        await contracts.store(blobs)

    async def test_room_of_uploads(self) -> None:
        """A suspended upload takes room until it is dropped."""
        blobs = MemoryBlobStore(room=10)
        upload_id, _ = await contracts_uploads.suspended(blobs, [contracts.CONTENT])
        await blobs.drop_upload(upload_id)
        await contracts.store(blobs)


class MemoryUploadTests(contracts_uploads.UploadContract):
    """The promises of uploads over several requests, kept in memory."""

    def make_blob_store(self) -> IBlobStore:
        return MemoryBlobStore()


class MemoryExaminationTests(contracts_conditions.ExaminationContract):
    """The promises about objects that are looked at, kept in memory."""

    def make_blob_store(self) -> IBlobStore:
        return MemoryBlobStore()
