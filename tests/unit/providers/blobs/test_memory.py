from dockreg.interfaces import IBlobStore
from dockreg.providers.blobs.memory import MemoryBlobStore
from dockreg.testing import contracts


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
