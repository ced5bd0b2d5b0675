"""
What every blob store promises of uploads that fetch their bytes, or have them all at once, as tests.

They are a part of :class:`dockreg.testing.contracts_uploads.UploadContract`.
"""

import mmap
from collections import deque
from collections.abc import Callable, Sequence

from dockreg.callables import Ending, Piece
from dockreg.errors import DigestInvalid
from dockreg.interfaces import IBlobStore
from dockreg.model.blobs import NOTHING_RECEIVED, StoredBlob
from dockreg.model.digest import Digest
from dockreg.testing.contracts import Contract, content_of, pages_of


def fetching(pieces: Sequence[Piece]) -> Callable[[], Piece]:
    """Gives these, and then nothing."""
    return iter([*pieces, b""]).__next__


class InPlace:
    """
    Gives the bytes of some content, which lie in memory as in the file where a store wants that.

    :param sizes: of the pieces, the last of which has all that is left.
    """

    def __init__(self, content: bytes, sizes: Sequence[int]) -> None:
        self._content = content
        self._sizes = deque(sizes)
        self._position = 0
        self._buffers = deque(mmap.mmap(-1, len(content) + mmap.PAGESIZE) for _ in range(2))

    def align(self, position: int) -> None:
        """See :meth:`.IUpload.receive`."""
        self._position = position

    def __call__(self) -> memoryview:
        """The next piece."""
        self._buffers.rotate()
        begin = self._position % mmap.PAGESIZE
        size = self._sizes.popleft() if self._sizes else len(self._content)
        piece, self._content = self._content[:size], self._content[size:]
        self._buffers[0][:] = bytes(len(self._buffers[0]))
        self._buffers[0][begin : begin + len(piece)] = piece
        self._position += len(piece)
        return memoryview(self._buffers[0])[begin : begin + len(piece)]


class ReceivingContract(Contract):
    """What every IBlobStore promises of bytes that come from elsewhere, and of few that come as a whole."""

    def make_blob_store(self) -> IBlobStore:
        """A new, empty store."""
        raise NotImplementedError

    async def test_received_from_elsewhere(self) -> None:
        """What a function returns until it returns nothing is appended, each piece while it is there."""
        blobs = self.make_blob_store()
        upload = await blobs.start_upload()
        await upload.write([b"0"])
        pieces = [bytes([number]) * (150_000 * (1 + number // 8 % 2) - number) for number in range(1, 40)]
        buffers = deque(bytearray(300_000) for _ in range(3))
        coming = iter([*pieces, b""])

        def fetch() -> memoryview:
            piece = next(coming)
            buffers.rotate()
            buffers[0][:] = piece.ljust(300_000)
            return memoryview(buffers[0])[: len(piece)]

        await upload.receive(fetch)
        expected = b"".join([b"0", *pieces])
        self.assertEqual(len(expected), upload.size)
        await upload.write([b"1"])
        blob = await upload.commit(Digest.sha256(expected + b"1"))
        self.assertEqual(expected + b"1", await content_of(blobs, blob))

    async def test_received_in_place(self) -> None:
        """The same of bytes that lie in memory as in a file, wherever they begin, of whichever sizes they are."""
        blobs = self.make_blob_store()
        content = bytes(range(256)) * 4096
        for before, sizes in (
            (b"", [1 << 19, 1 << 18]),
            (b"0", [300_000, 300_001, 1, 262_144]),
            (b"0" * 4096, [4095, 270_000]),
            (b"0" * 5000, [262_143, 400_000]),
        ):
            upload = await blobs.start_upload()
            await upload.write([before])
            await upload.receive(InPlace(content, sizes))
            self.assertEqual(len(before) + len(content), upload.size)
            await upload.receive(InPlace(content, sizes))
            blob = await upload.commit(Digest.sha256(before + content + content))
            self.assertEqual(before + content + content, await content_of(blobs, blob))

    async def test_received_to_the_end(self) -> None:
        """When all bytes have come that are awaited they are the blob at once, behind what was there."""
        blobs = self.make_blob_store()
        for before in ([], [b"before"]):
            upload = await blobs.resume_upload("an-Ended_session-0001", NOTHING_RECEIVED)
            await upload.write(before)
            told: list[StoredBlob] = []

            def then(blob: StoredBlob, told: list[StoredBlob] = told) -> bool:
                told.append(blob)
                return True

            content = b"".join([*before, b"abc", b"defg"])
            blob = await upload.receive(fetching([b"abc", b"defg"]), Ending(7, Digest.sha256(content), then))
            assert blob is not None
            self.assertEqual([blob], told)
            self.assertEqual((Digest.sha256(content), len(content)), (blob.digest, blob.size))
            self.assertEqual(content, await content_of(blobs, blob))
            await upload.abort()
            self.assertEqual(content, await content_of(blobs, blob))

    async def test_received_partly(self) -> None:
        """When other bytes have come than are awaited nothing is done, and the upload goes on."""
        blobs = self.make_blob_store()
        for awaited in (5, 7):
            upload = await blobs.start_upload()
            await upload.write([b"0"])
            ending = Ending(awaited, Digest.sha256(b"0abcdef1"), self.fail)
            self.assertIsNone(await upload.receive(fetching([b"abc", b"def"]), ending))
            self.assertEqual(7, upload.size)
            blob = await upload.commit(ending.expected, [b"1"])
            self.assertEqual(b"0abcdef1", await content_of(blobs, blob))

    async def test_received_with_another_digest(self) -> None:
        """Bytes with another digest are no blob, and nothing is left of them."""
        blobs = self.make_blob_store()
        upload = await blobs.start_upload()
        receiving = upload.receive(fetching([b"abc"]), Ending(3, Digest.sha256(b"other"), self.fail))
        await self.raises(DigestInvalid, receiving)
        self.assertEqual(0, await blobs.upload_size(upload.upload_id))

    async def test_small(self) -> None:
        """
        What comes as a whole and is small is left to who records it, if he wants that: nothing is kept, and its generation is
        no other's.
        """
        blobs = self.make_blob_store()
        generations = set()
        for number, then in enumerate((None, lambda _blob: True, lambda _blob: False)):
            upload_id = f"small-{number:020}"
            upload = await blobs.resume_upload(upload_id, NOTHING_RECEIVED, later=True)
            await self.raises(DigestInvalid, upload.commit(Digest.sha256(b"other"), [b"abc"], then, 3))
            upload = await blobs.resume_upload(upload_id, NOTHING_RECEIVED, later=True)
            blob = await upload.commit(Digest.sha256(b"abc"), [b"ab", b"c"], then, 3)
            self.assertEqual((b"abc", 3, True), (blob.content, blob.size, blob.in_metadata))
            await upload.abort()
            self.assertEqual(0, await blobs.upload_size(upload_id))
            generations.add(blob.generation)
        self.assertEqual((3, []), (len(generations), await pages_of(blobs, 10)))

    async def test_not_small(self) -> None:
        """What is larger, or came before, is kept by the store."""
        blobs = self.make_blob_store()
        large = await blobs.resume_upload("large-" * 4, NOTHING_RECEIVED, later=True)
        begun = await blobs.resume_upload("begun-" * 4, NOTHING_RECEIVED)
        await begun.write([b"a"])
        for each, last in ((large, b"abcd"), (begun, b"bcd")):
            blob = await each.commit(Digest.sha256(b"abcd"), [last], None, 3)
            self.assertEqual((None, False), (blob.content, blob.in_metadata))
            self.assertEqual(b"abcd", await content_of(blobs, blob))
