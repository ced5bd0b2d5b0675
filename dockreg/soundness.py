"""
Whether the bytes of blobs are what they were.

Whoever opens a blob and does not find it tells all processes so, and from then on it is a blob that nobody has. With
verification nobody is given all of a blob, or any of a part of it, before its bytes have been seen to have its digest.
"""

from collections import OrderedDict
from collections.abc import Callable
from math import nan

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from dockreg.callables import InThread
from dockreg.derived import open_blob
from dockreg.errors_blobs import BlobLost
from dockreg.interfaces import IBlobStore, IMetadataStore
from dockreg.interfaces_blobs import IBlobOpener, IBlobReader
from dockreg.model.blobs import Blob, StoredBlob, object_of
from dockreg.model.conditions import Condition
from dockreg.model.digest import Digest, Hasher

log = Logger()

_PIECE_BYTES = 1 << 20
#: A blob that was whole is not read again for each of the parts that a client asks for.
_VERIFIED_SECONDS = 600.0
_MOST_VERIFIED = 4096
_MOST_NAMED = 5


@implementer(IBlobOpener)
@define(eq=False)
class Soundness:
    """
    Opens blobs, and says so when they are lost.

    :param blobs: the store that is in use now.
    :param verify: whether what is read is digested.
    """

    _metadata: IMetadataStore
    _blobs: Callable[[], IBlobStore]
    _clock: IReactorTime
    _in_thread: InThread
    verify: bool = False
    #: How many blobs were lost when that was counted the last time.
    lost: float = field(default=nan, init=False)
    # When blobs were seen to be whole.
    _verified: OrderedDict[tuple[Digest, str], float] = field(factory=OrderedDict, init=False)

    async def open(self, blob: StoredBlob, start: int = 0) -> IBlobReader:
        """
        Open an object.

        :raises BlobLost: it is not what it was; everybody knows that now.
        :raises RangeInvalid: ``start`` lies beyond the end.
        """
        try:
            return await self._blobs().open(blob, start)
        except BlobLost as problem:
            await self.report(blob, problem.condition)
            raise

    async def open_blob(self, blob: Blob, start: int = 0, *, whole: bool = True) -> IBlobReader:
        """
        Open a blob for a client, whether it has bytes of its own or not. Raises what :meth:`open` raises.

        :param whole: whether the client wants all of it from ``start`` on, which is its beginning then.
        """
        if not self.verify:
            return await self._opened(blob, start)
        if start or not whole:
            await self._verify(blob)
            return await self._opened(blob, start)
        return _VerifyingReader(await self._opened(blob), blob, self)

    async def _opened(self, blob: Blob, start: int = 0) -> IBlobReader:
        reader = await open_blob(self, self._in_thread, blob, start)
        return reader if isinstance(blob, StoredBlob) else _TellingReader(reader, blob.source, self)

    async def require(self, blob: Blob) -> None:
        """
        Refuse a blob that is known to be lost. One that was not there is looked for again: perhaps a disk was missing.

        :raises BlobLost: it is lost.
        """
        if blob.lost is None:
            return
        stored = object_of(blob)
        if blob.lost is Condition.MISSING:
            try:
                (await self._blobs().open(stored)).close()
            except BlobLost as problem:
                await self.report(stored, problem.condition)
            else:
                await self.report(stored, None)
                return
        raise BlobLost(str(blob.digest), blob.lost)

    async def report(self, blob: StoredBlob, condition: Condition | None) -> bool:
        """Let everybody know what has become of an object; whether that is news."""
        self._verified.pop((blob.digest, blob.generation), None)
        if not await self._metadata.conditions.note(blob, condition, self._clock.seconds()):
            return False
        holders = await self._metadata.blobs.holders(blob.digest, _MOST_NAMED)
        names = ", ".join(map(str, holders)) or "no repository"
        if condition is None:
            log.info("blob {digest} of {repositories} is well again", digest=blob.digest, repositories=names)
        else:
            log.error(
                "blob {digest} of {repositories} is {condition}: a push of it to one of them repairs it; dockreg fsck finds"
                " out what else is wrong",
                digest=blob.digest,
                repositories=names,
                condition=condition.value,
            )
        return True

    async def count(self) -> None:
        """Count the blobs that are lost."""
        self.lost = await self._metadata.conditions.count_lost()

    async def judge(self, blob: Blob, hasher: Hasher) -> None:
        """
        See that bytes which were read are those of the blob.

        :raises BlobLost: they are not.
        """
        stored = object_of(blob)
        if hasher.digest == blob.digest:
            self._verified[stored.digest, stored.generation] = self._clock.seconds()
            self._verified.move_to_end((stored.digest, stored.generation))
            if len(self._verified) > _MOST_VERIFIED:
                self._verified.popitem(last=False)
            return
        await self.report(stored, Condition.DAMAGED)
        raise BlobLost(str(blob.digest), Condition.DAMAGED)

    async def digest(self, hasher: Hasher, data: bytes) -> None:
        """Digest bytes in a thread."""
        await self._in_thread(hasher.update, data)

    async def _verify(self, blob: Blob) -> None:
        stored = object_of(blob)
        at = self._verified.get((stored.digest, stored.generation))
        if at is not None and 0 <= self._clock.seconds() - at < _VERIFIED_SECONDS:
            return
        reader = _VerifyingReader(await self._opened(blob), blob, self)
        try:
            while await reader.read(_PIECE_BYTES):
                pass
        finally:
            reader.close()


@implementer(IBlobReader)
class _TellingReader:
    """Of a blob that is uncompressed while it is read: bytes that can not be are told to be damaged."""

    size: int

    def __init__(self, reader: IBlobReader, source: StoredBlob, soundness: Soundness) -> None:
        self.size = reader.size
        self._reader = reader
        self._source = source
        self._soundness = soundness

    async def read(self, limit: int) -> bytes:
        """
        See :class:`~dockreg.interfaces.IBlobReader`.

        :raises BlobLost: the stored bytes do not uncompress to what was recorded.
        """
        try:
            return await self._reader.read(limit)
        except BlobLost as problem:
            await self._soundness.report(self._source, problem.condition)
            raise

    def close(self) -> None:
        """See :class:`~dockreg.interfaces.IBlobReader`."""
        self._reader.close()


@implementer(IBlobReader)
class _VerifyingReader:
    """Gives the last bytes only when all of them are right."""

    size: int

    def __init__(self, reader: IBlobReader, blob: Blob, soundness: Soundness) -> None:
        self.size = blob.size
        self._reader = reader
        self._blob = blob
        self._soundness = soundness
        self._hasher = Hasher(blob.digest.algorithm)
        self._left = blob.size

    async def read(self, limit: int) -> bytes:
        """
        See :class:`~dockreg.interfaces.IBlobReader`.

        :raises BlobLost: the bytes are not those of the blob.
        """
        data: bytes = await self._reader.read(limit)
        await self._soundness.digest(self._hasher, data)
        self._left -= len(data)
        if not self._left or not data:
            await self._soundness.judge(self._blob, self._hasher)
        return data

    def close(self) -> None:
        """See :class:`~dockreg.interfaces.IBlobReader`."""
        self._reader.close()
