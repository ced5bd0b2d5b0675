"""Small blobs that are kept in the metadata, beside those of another store."""

from attrs import evolve
from zope.interface.verify import verifyObject

from dockreg.errors import RangeInvalid
from dockreg.errors_blobs import BlobLost
from dockreg.interfaces import IBlobStore
from dockreg.interfaces_readers import IBlobInMemory
from dockreg.model.blobs import NOTHING_RECEIVED, StoredBlob
from dockreg.model.conditions import Condition
from dockreg.model.digest import Digest
from dockreg.providers.blobs.memory import MemoryBlobStore
from dockreg.providers.blobs.remembering import RememberingBlobStore
from dockreg.providers.blobs.small import DividedBlobStore, SmallObjects
from dockreg.testing import contracts, contracts_conditions, contracts_uploads

CONTENT = contracts.CONTENT


class Contents:
    """Stands for the metadata."""

    def __init__(self) -> None:
        self.kept: dict[StoredBlob, bytes] = {}
        self.asked = 0

    async def content(self, blob: StoredBlob) -> bytes | None:
        self.asked += 1
        return self.kept.get(blob)

    def record(self, content: bytes = CONTENT) -> StoredBlob:
        """A blob as the metadata tells of it."""
        made = SmallObjects(lambda: "a-name").make(Digest.sha256(content), content)
        self.kept[made] = content
        return evolve(made, content=None)


class DividedBlobStoreTests(contracts.BlobStoreContract):
    """The promises of every blob store, and what is kept elsewhere."""

    def setUp(self) -> None:
        self.contents = Contents()
        self.behind = MemoryBlobStore()

    def make_blob_store(self) -> IBlobStore:
        return DividedBlobStore(self.behind, self.contents.content)

    def make_full_blob_store(self) -> IBlobStore:
        return DividedBlobStore(MemoryBlobStore(room=1 << 20), self.contents.content)

    async def test_kept(self) -> None:
        """A blob of the metadata is read from there, from any byte on."""
        blobs, blob = self.make_blob_store(), self.contents.record()
        verifyObject(IBlobInMemory, await blobs.open(blob))
        for start in (0, 4, len(CONTENT)):
            self.assertEqual(CONTENT[start:], await contracts.content_of(blobs, blob, start, 3))
        for start in (-1, len(CONTENT) + 1):
            await self.raises(RangeInvalid, blobs.open(blob, start))
        self.assertEqual([], await contracts.pages_of(blobs, 10))

    async def test_remembered(self) -> None:
        """It is asked for once by who reads it often."""
        blobs, blob = RememberingBlobStore(self.make_blob_store()), self.contents.record()
        for _ in range(3):
            self.assertEqual(CONTENT, await contracts.content_of(blobs, blob))
        self.assertEqual(1, self.contents.asked)

    async def test_gone(self) -> None:
        """One whose bytes are not there is missing, and one that has others is damaged."""
        blobs, blob = self.make_blob_store(), self.contents.record()
        for kept, condition in ((CONTENT + b"0", Condition.DAMAGED), (None, Condition.MISSING)):
            self.contents.kept.pop(blob)
            if kept is not None:
                self.contents.kept[blob] = kept
            self.assertEqual(condition, (await self.raises(BlobLost, blobs.open(blob))).condition)
            self.assertEqual(condition, (await self.raises(BlobLost, self.examined(blobs, blob))).condition)

    async def test_examined(self) -> None:
        """Its bytes are digested when it is looked at."""
        blobs, blob = self.make_blob_store(), self.contents.record()
        self.assertEqual([len(CONTENT)], await self.examined(blobs, blob))
        self.contents.kept[blob] = CONTENT[::-1]
        problem = await self.raises(BlobLost, self.examined(blobs, blob))
        self.assertEqual((Condition.DAMAGED, str(blob.digest)), (problem.condition, problem.digest))

    async def examined(self, blobs: IBlobStore, blob: StoredBlob) -> list[int]:
        sizes: list[int] = []

        async def passed(size: int) -> None:
            sizes.append(size)

        await blobs.examine(blob, passed)
        return sizes

    async def test_nothing_to_do(self) -> None:
        """There is nothing to confirm, to remove or to put aside: its row does all that."""
        blobs, blob = self.make_blob_store(), self.contents.record()
        for each in (blobs.confirm, blobs.delete, blobs.quarantine):
            await each(blob)
        await blobs.reopen(blob, "upload-" * 3)
        self.assertEqual(0, await blobs.upload_size("upload-" * 3))
        self.assertEqual(CONTENT, await contracts.content_of(blobs, blob))

    async def test_reopened(self) -> None:
        """One that could not be recorded is the upload again that it was."""
        blobs = self.make_blob_store()
        upload = await blobs.resume_upload("upload-" * 3, NOTHING_RECEIVED, later=True)
        blob = await upload.commit(Digest.sha256(CONTENT), [CONTENT], None, len(CONTENT))
        await blobs.reopen(blob, upload.upload_id)
        again = await blobs.resume_upload(upload.upload_id, NOTHING_RECEIVED)
        self.assertEqual(len(CONTENT), again.size)
        self.assertEqual(CONTENT, await contracts.content_of(blobs, await again.commit(blob.digest)))

    async def test_not_reopened(self) -> None:
        """Where another one has begun it meanwhile, or there is no room, its bytes are not kept."""
        blobs = self.make_blob_store()
        upload = await blobs.resume_upload("upload-" * 3, NOTHING_RECEIVED, later=True)
        blob = await upload.commit(Digest.sha256(CONTENT), [CONTENT], None, len(CONTENT))
        other = await blobs.resume_upload(upload.upload_id, NOTHING_RECEIVED)
        await other.write([b"other"])
        await blobs.reopen(blob, upload.upload_id)
        await other.suspend()
        await blobs.reopen(blob, upload.upload_id)
        self.assertEqual(5, await blobs.upload_size(upload.upload_id))
        full = DividedBlobStore(MemoryBlobStore(room=5), self.contents.content)
        await full.reopen(blob, upload.upload_id)
        self.assertEqual(0, await full.upload_size(upload.upload_id))


class DividedUploadTests(contracts_uploads.UploadContract):
    """The promises of uploads over several requests, through it."""

    def make_blob_store(self) -> IBlobStore:
        return DividedBlobStore(MemoryBlobStore(), Contents().content)


class DividedExaminationTests(contracts_conditions.ExaminationContract):
    """The promises about objects that are looked at, of those that are elsewhere."""

    def make_blob_store(self) -> IBlobStore:
        return DividedBlobStore(MemoryBlobStore(), Contents().content)
