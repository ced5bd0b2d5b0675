"""
What every blob store promises, as tests.

Import the module and subclass a contract in a test module of your own: trial would collect an imported class too. What
a blob store promises of uploads over several requests is in ``contracts_uploads``. The contracts of metadata stores
are in ``contracts_metadata``, ``contracts_repositories``, ``contracts_v1`` and ``contracts_accounts``.
"""

import re
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from twisted.trial.unittest import SkipTest, TestCase
from zope.interface.verify import verifyObject

from dockreg.callables import Piece
from dockreg.errors import BlobUnknown, DigestInvalid, RangeInvalid, StorageFull
from dockreg.interfaces import IBlobStore
from dockreg.interfaces_blobs import IBlobReader, IUpload
from dockreg.model.blobs import Received, StoredBlob
from dockreg.model.digest import Digest

E = TypeVar("E", bound=Exception)

CONTENT = b"0123456789"


class Contract(TestCase):
    """Tests that are coroutines; they end at once where the provider's Deferreds have fired already."""

    async def raises(self, kind: type[E], promise: Awaitable[object]) -> E:
        """The exception of type ``kind`` that ``promise`` ends in; a failure if it does not."""
        try:
            result = await promise
        except kind as expected:
            return expected
        raise self.failureException(f"{kind.__name__} was not raised, but returned {result!r}")


class Recorder:
    """An observer that keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def update(self, data: Piece, /) -> None:
        """Keep ``data``."""
        self.seen.append(bytes(data))


async def store(blobs: IBlobStore, chunks: Sequence[bytes] = (CONTENT,)) -> StoredBlob:
    """Push ``chunks`` and confirm them."""
    upload = await blobs.start_upload()
    await upload.write(chunks)
    blob = await upload.commit()
    await blobs.confirm(blob)
    return blob


async def pages_of(blobs: IBlobStore, limit: int) -> list[StoredBlob]:
    """All objects that a store tells of."""
    found: list[StoredBlob] = []
    after: str | None = ""
    while after is not None:
        page = await blobs.stored(after, limit)
        found += page.objects
        after = page.after
    return found


async def content_of(blobs: IBlobStore, blob: StoredBlob, start: int = 0, limit: int = 1 << 16) -> bytes:
    """What a reader gives, read by read."""
    reader = await blobs.open(blob, start)
    pieces = []
    while piece := await reader.read(limit):
        pieces.append(piece)
    reader.close()
    return b"".join(pieces)


async def nothing_recorded(_blob: StoredBlob) -> bool:
    """What an empty metadata store answers about an object."""
    return False


async def nothing_resumable(_upload_id: str) -> bool:
    """What an empty metadata store answers about an upload."""
    return False


class BlobStoreContract(Contract):
    """What every IBlobStore promises. Subclass it and say how to make one."""

    def make_blob_store(self) -> IBlobStore:
        """A new, empty store."""
        raise NotImplementedError

    def make_full_blob_store(self) -> IBlobStore:
        """A store where 1 MiB finds room once, and not twice; without one, the test of it is skipped."""
        raise SkipTest("this provider can not be made small")

    async def test_interfaces(self) -> None:
        """The store, its uploads and its readers have all that their interfaces declare."""
        blobs = self.make_blob_store()
        verifyObject(IBlobStore, blobs)
        upload = await blobs.start_upload()
        verifyObject(IUpload, upload)
        reader = await blobs.open(await upload.commit())
        verifyObject(IBlobReader, reader)
        reader.close()

    async def test_round_trip(self) -> None:
        """The bytes that were written come back, however many chunks they came in."""
        blobs = self.make_blob_store()
        chunks = [b"%d," % number for number in range(5000)] + [b"", b"x" * 100_000]
        blob = await store(blobs, chunks)
        self.assertEqual(b"".join(chunks), await content_of(blobs, blob))

    async def test_several_writes(self) -> None:
        """Writes are appended, and the upload knows how many bytes it has accepted."""
        blobs = self.make_blob_store()
        upload = await blobs.start_upload()
        self.assertEqual(0, upload.size)
        await upload.write([b"abc", b"de"])
        self.assertEqual(5, upload.size)
        await upload.write([b"f"])
        self.assertEqual(6, upload.size)
        self.assertEqual(b"abcdef", await content_of(blobs, await upload.commit()))

    async def test_committed(self) -> None:
        """A commit tells digest and size of the bytes."""
        blob = await store(self.make_blob_store())
        self.assertEqual((Digest.sha256(CONTENT), len(CONTENT)), (blob.digest, blob.size))

    async def test_empty(self) -> None:
        """A blob may have no bytes at all."""
        blobs = self.make_blob_store()
        blob = await store(blobs, [])
        self.assertEqual((Digest.sha256(b""), b""), (blob.digest, await content_of(blobs, blob)))

    async def test_observers(self) -> None:
        """Each observer sees every byte, in order."""
        first, second = Recorder(), Recorder()
        upload = await self.make_blob_store().start_upload([first, second])
        await upload.write([b"ab", b"c"])
        await upload.write([b"def"])
        await upload.commit()
        self.assertEqual((b"abcdef", b"abcdef"), (b"".join(first.seen), b"".join(second.seen)))

    async def test_expected_digest(self) -> None:
        """A commit that expects the digest of the bytes succeeds."""
        upload = await self.make_blob_store().start_upload()
        await upload.write([CONTENT])
        blob = await upload.commit(Digest.sha256(CONTENT))
        self.assertEqual(Digest.sha256(CONTENT), blob.digest)

    async def test_other_digest(self) -> None:
        """A commit that expects another digest fails, ends the upload, and can be followed by an abort."""
        upload = await self.make_blob_store().start_upload()
        await upload.write([CONTENT])
        problem = await self.raises(DigestInvalid, upload.commit(Digest.sha256(b"other")))
        self.assertEqual(str(Digest.sha256(b"other")), problem.digest)
        await upload.abort()
        await self.raises(ValueError, upload.commit())

    async def test_generations(self) -> None:
        """The same bytes pushed twice are two objects; removing one leaves the other."""
        blobs = self.make_blob_store()
        first, second = await store(blobs), await store(blobs)
        self.assertEqual(first.digest, second.digest)
        self.assertNotEqual(first.generation, second.generation)
        await blobs.delete(first)
        await self.raises(BlobUnknown, blobs.open(first))
        self.assertEqual(CONTENT, await content_of(blobs, second))

    async def test_abort(self) -> None:
        """An aborted upload can be aborted again, and takes nothing more."""
        upload = await self.make_blob_store().start_upload()
        await upload.write([CONTENT])
        await upload.abort()
        await upload.abort()
        await self.raises(ValueError, upload.write([CONTENT]))
        await self.raises(ValueError, upload.commit())

    async def test_abort_after_commit(self) -> None:
        """An abort after the commit leaves the blob alone."""
        blobs = self.make_blob_store()
        upload = await blobs.start_upload()
        await upload.write([CONTENT])
        blob = await upload.commit()
        await upload.abort()
        self.assertEqual(CONTENT, await content_of(blobs, blob))

    async def test_upload_id(self) -> None:
        """Upload ids differ, and are made of what needs no escape in a URL."""
        blobs = self.make_blob_store()
        ids = {(await blobs.start_upload()).upload_id for _ in range(3)}
        self.assertEqual(3, len(ids))
        for upload_id in ids:
            self.assertTrue(re.fullmatch("[A-Za-z0-9_-]+", upload_id))

    async def test_start(self) -> None:
        """A blob can be read from any byte on, and from its end."""
        blobs = self.make_blob_store()
        blob = await store(blobs)
        for start in (0, 1, len(CONTENT) - 1, len(CONTENT)):
            self.assertEqual(CONTENT[start:], await content_of(blobs, blob, start))

    async def test_start_beyond(self) -> None:
        """A start beyond the end is a RangeInvalid that tells the size."""
        blobs = self.make_blob_store()
        blob = await store(blobs)
        problem = await self.raises(RangeInvalid, blobs.open(blob, len(CONTENT) + 1))
        self.assertEqual(len(CONTENT), problem.size)

    async def test_limit(self) -> None:
        """A read gives at most what was asked for, and the reader goes on where it ended."""
        blobs = self.make_blob_store()
        reader = await blobs.open(await store(blobs), 2)
        first = await reader.read(3)
        self.assertTrue(1 <= len(first) <= 3)
        rest = await reader.read(100)
        self.assertTrue(CONTENT[2:].startswith(first + rest) and rest)
        reader.close()

    async def test_reader_size(self) -> None:
        """A reader tells the length of the whole blob, wherever it starts."""
        blobs = self.make_blob_store()
        reader = await blobs.open(await store(blobs), 4)
        self.assertEqual(len(CONTENT), reader.size)
        reader.close()
        reader.close()

    async def test_unknown(self) -> None:
        """A blob that was never stored is unknown."""
        blobs = self.make_blob_store()
        await store(blobs)
        await self.raises(BlobUnknown, blobs.open(StoredBlob(Digest.sha256(b"never"), "never", 5)))

    async def test_other_size(self) -> None:
        """An object that is not of the recorded size is not served."""
        blobs = self.make_blob_store()
        blob = await store(blobs)
        await self.raises(BlobUnknown, blobs.open(StoredBlob(blob.digest, blob.generation, blob.size + 1)))

    async def test_delete_again(self) -> None:
        """Removing what is gone is harmless."""
        blobs = self.make_blob_store()
        blob = await store(blobs)
        await blobs.delete(blob)
        await blobs.delete(blob)

    async def test_confirm_again(self) -> None:
        """A second confirmation is harmless."""
        blobs = self.make_blob_store()
        blob = await store(blobs)
        await blobs.confirm(blob)
        self.assertEqual(CONTENT, await content_of(blobs, blob))

    async def test_recover_leaves_the_living(self) -> None:
        """Recovery touches neither a running upload nor a commit that its process has yet to confirm."""
        blobs = self.make_blob_store()
        upload = await blobs.start_upload()
        await upload.write([b"half"])
        other = await blobs.start_upload()
        await other.write([CONTENT])
        unconfirmed = await other.commit()
        self.assertEqual(0, await blobs.recover(nothing_recorded, nothing_resumable))
        await upload.write([b" and half"])
        self.assertEqual(b"half and half", await content_of(blobs, await upload.commit()))
        self.assertEqual(CONTENT, await content_of(blobs, unconfirmed))

    async def test_recover_leaves_the_confirmed(self) -> None:
        """Recovery does not ask about objects that were confirmed."""
        blobs = self.make_blob_store()
        blob = await store(blobs)
        self.assertEqual(0, await blobs.recover(nothing_recorded, nothing_resumable))
        self.assertEqual(CONTENT, await content_of(blobs, blob))

    async def test_stored(self) -> None:
        """A store tells of its objects, some at a time; not of those whose commit is not confirmed, and of uploads."""
        blobs = self.make_blob_store()
        self.assertEqual([], await pages_of(blobs, 2))
        kept = {await store(blobs, [b"%d" % number]) for number in range(7)}
        running = await blobs.start_upload()
        await running.write([CONTENT])
        for limit in (1, 3, 100):
            found = await pages_of(blobs, limit)
            self.assertEqual((7, kept), (len(found), set(found)))
        await running.abort()

    async def test_check(self) -> None:
        """A store that works passes its check, and the check leaves nothing to recover."""
        blobs = self.make_blob_store()
        await blobs.check()
        self.assertEqual(0, await blobs.recover(nothing_recorded, nothing_resumable))

    async def test_full(self) -> None:
        """Without room a write fails, the upload has what was taken, and there is room again when it is aborted."""
        blobs = self.make_full_blob_store()
        much = b"x" * (3 << 18)
        upload = await blobs.start_upload()
        await upload.write([much])
        await self.raises(StorageFull, upload.write([b"y" * len(much)]))
        taken = (much + b"y" * len(much))[: upload.size]
        received = await upload.suspend()
        self.assertEqual(Received(len(taken), Digest.sha256(taken)), received)
        upload = await blobs.resume_upload(upload.upload_id, received)
        await upload.abort()
        self.assertEqual(much, await content_of(blobs, await store(blobs, [much])))

    async def test_full_and_committed(self) -> None:
        """What was taken before there was no room can become a blob."""
        blobs = self.make_full_blob_store()
        much = b"x" * (3 << 18)
        upload = await blobs.start_upload()
        await upload.write([much])
        await self.raises(StorageFull, upload.write([much]))
        taken = b"x" * upload.size
        self.assertEqual(taken, await content_of(blobs, await upload.commit(Digest.sha256(taken))))

    async def test_suspended_with_the_last(self) -> None:
        """The last bytes are written with the suspension; what finds no room is told when the others are suspended."""
        blobs = self.make_full_blob_store()
        much, seen = b"x" * (3 << 18), list[Received]()
        upload = await blobs.start_upload()
        self.assertEqual(
            Received(len(much), Digest.sha256(much)), await upload.suspend(seen.append, [much[:9], much[9:]])
        )
        upload = await blobs.resume_upload(upload.upload_id, seen.pop())
        await self.raises(StorageFull, upload.suspend(seen.append, [b"y" * len(much)]))
        taken = (much + b"y" * len(much))[: upload.size]
        self.assertEqual([Received(len(taken), Digest.sha256(taken))], seen)
        await upload.abort()
        upload = await blobs.resume_upload(upload.upload_id, seen.pop())
        self.assertEqual(taken, await content_of(blobs, await upload.commit(Digest.sha256(taken))))

    async def test_free(self) -> None:
        """The room that is left is a number, or not known."""
        free = await self.make_blob_store().free()
        self.assertTrue(free is None or free > 0)

    async def test_reopen(self) -> None:
        """A committed object that could not be recorded becomes the upload again that it was."""
        blobs = self.make_blob_store()
        upload = await blobs.start_upload()
        await upload.write([b"abc"])
        blob = await upload.commit()
        await blobs.reopen(blob, upload.upload_id)
        await self.raises(BlobUnknown, blobs.open(blob))
        self.assertEqual(3, await blobs.upload_size(upload.upload_id))
        upload = await blobs.resume_upload(upload.upload_id, Received(0, None))
        self.assertEqual(3, upload.size)
        await upload.write([b"d"])
        blob = await upload.commit(Digest.sha256(b"abcd"))
        await blobs.confirm(blob)
        self.assertEqual(b"abcd", await content_of(blobs, blob))

    async def test_reopen_too_late(self) -> None:
        """An upload that was begun anew meanwhile stays as it is; the object goes."""
        blobs = self.make_blob_store()
        upload = await blobs.start_upload()
        await upload.write([b"abc"])
        blob = await upload.commit()
        anew = await blobs.resume_upload(upload.upload_id, Received(0, None))
        await anew.write([b"other"])
        await blobs.reopen(blob, upload.upload_id)
        await self.raises(BlobUnknown, blobs.open(blob))
        self.assertEqual(b"other", await content_of(blobs, await anew.commit()))
