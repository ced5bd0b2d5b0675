"""Blobs that are the uncompressed form of stored ones: nothing of them is stored, they are made while they are read."""

from collections.abc import Callable, Iterator
from typing import Final, ParamSpec, TypeVar

from twisted.internet.defer import DeferredSemaphore
from zope.interface import implementer

from dockreg.callables import InThread
from dockreg.errors import RangeInvalid
from dockreg.errors_blobs import BlobLost
from dockreg.interfaces_blobs import IBlobOpener, IBlobReader
from dockreg.model.blobs import Blob, DerivedBlob, StoredBlob
from dockreg.model.compression import CompressionInvalid, Decompressor
from dockreg.model.conditions import Condition
from dockreg.model.layers import LayerInspector
from dockreg.model.v1 import LayerFacts

P = ParamSpec("P")
T = TypeVar("T")

#: What is read of a stored blob at once, in bytes.
_READ_BYTES: Final = 256 * 1024
#: A thread is given back after so many uncompressed bytes, whether they were wanted or passed over.
_STEP_BYTES: Final = 1024 * 1024
#: Decompression is work for a processor; a few steps at a time leave the others to pushes and pulls.
_AT_ONCE: Final = 2
_turn = DeferredSemaphore(_AT_ONCE)


async def open_blob(
    blobs: IBlobOpener, in_thread: InThread, blob: Blob, start: int = 0, *, turn: DeferredSemaphore = _turn
) -> IBlobReader:
    """
    Open a blob for reading, whether it has bytes of its own or not.

    A derived blob is uncompressed from its beginning, wherever reading starts. Its last bytes are given only when it is
    sure that nothing follows them, and that the compressed form ends well.

    :param start: the first byte wanted, counted from 0; ``blob.size`` is allowed.
    :param turn: how many readers uncompress at once. A reader that nobody reads from does not hold it.
    :raises BlobLost: the object, or that of the blob that this one is derived from, is not there.
    :raises RangeInvalid: ``start`` lies beyond the end.
    """
    if isinstance(blob, StoredBlob):
        return await blobs.open(blob, start)
    if not 0 <= start <= blob.size:
        raise RangeInvalid(blob.size)
    try:
        source = await blobs.open(blob.source)
    except BlobLost as problem:
        raise BlobLost(str(blob.digest), problem.condition) from None
    return _DerivedReader(blob, source, start, in_thread, turn)


@implementer(IBlobReader)
class _DerivedReader:
    """Holds a piece of the compressed bytes, and a piece of the uncompressed ones."""

    size: int

    def __init__(
        self, blob: DerivedBlob, source: IBlobReader, start: int, in_thread: InThread, turn: DeferredSemaphore
    ) -> None:
        self.size = blob.size
        self._blob = blob
        self._source = source
        self._in_thread = in_thread
        self._turn = turn
        self._decompressor = Decompressor()
        self._skip = start
        self._left = blob.size - start
        self._pieces: Iterator[bytes | memoryview] = iter(())
        self._rest = memoryview(b"")
        self._hungry = True
        self._finished = False
        self._closed = False

    async def read(self, limit: int) -> bytes:
        """
        See :class:`~dockreg.interfaces.IBlobReader`.

        :raises BlobLost: the stored bytes do not uncompress to what was recorded.
        """
        if self._closed:
            raise ValueError("read of a closed blob")
        wanted = min(limit, self._left)
        if not wanted:
            return b""
        data = await self._next(wanted)
        self._left -= len(data)
        if not data or (not self._left and await self._next(1)):
            raise self._damaged()
        return data

    def close(self) -> None:
        """See :class:`~dockreg.interfaces.IBlobReader`."""
        self._closed = True
        self._source.close()

    async def _next(self, limit: int) -> bytes:
        """The next bytes behind those to be passed over; none when there are no more."""
        while True:
            if self._hungry:
                if self._finished:
                    return b""
                await self._feed()
            data = await _in_turn(self._turn, self._in_thread, self._take, limit)
            if data:
                return data

    async def _feed(self) -> None:
        data = await self._source.read(_READ_BYTES)
        self._pieces = self._decompressor.feed(data) if data else self._decompressor.finish()
        self._finished = not data
        self._hungry = False

    def _take(self, limit: int) -> bytes:
        """Uncompress a step; runs in a thread."""
        parts: list[memoryview] = []
        wanted = min(limit, _STEP_BYTES)
        step = _STEP_BYTES
        while wanted and step > 0:
            piece = self._rest or self._uncompressed()
            if piece is None:
                self._hungry = True
                break
            step -= len(piece)
            passed_over = min(self._skip, len(piece))
            self._skip -= passed_over
            part = piece[passed_over : passed_over + wanted]
            self._rest = piece[passed_over + len(part) :]
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    def _uncompressed(self) -> memoryview | None:
        try:
            piece = next(self._pieces, None)
        except CompressionInvalid as error:
            raise self._damaged() from error
        return None if piece is None else memoryview(piece)

    def _damaged(self) -> BlobLost:
        return BlobLost(str(self._blob.digest), Condition.DAMAGED)


async def inspect_layer(
    blobs: IBlobOpener, in_thread: InThread, blob: StoredBlob, max_uncompressed: int, *, turn: DeferredSemaphore = _turn
) -> LayerFacts:
    """
    What is known of a stored blob as a layer, for which it is read once. Tarsums are not computed.

    :param max_uncompressed: in bytes.
    :param turn: as for :func:`open_blob`.
    :raises BlobLost: the object is not there.
    :raises LayerTooLarge: it unpacks to more than is allowed.
    """
    inspector = LayerInspector(max_uncompressed=max_uncompressed, max_entries=0)
    reader = await blobs.open(blob)
    try:
        while data := await reader.read(_STEP_BYTES):
            await _in_turn(turn, in_thread, inspector.update, data)
        return await _in_turn(turn, in_thread, inspector.finish)
    finally:
        inspector.stop()
        reader.close()


async def _in_turn(
    turn: DeferredSemaphore, in_thread: InThread, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    await turn.acquire()
    try:
        return await in_thread(job, *args, **kwargs)
    finally:
        turn.release()
