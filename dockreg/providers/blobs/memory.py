"""Blobs in memory, for tests and for registries that may forget."""

from collections.abc import Awaitable, Callable, Sequence
from itertools import count

from attrs import define, field
from zope.interface import implementer

from dockreg.callables import ByteObserver, Ending, Piece
from dockreg.errors import DigestInvalid, RangeInvalid, StorageFull, UploadBusy, UploadUnknown
from dockreg.errors_blobs import BlobLost
from dockreg.interfaces import IBlobStore
from dockreg.interfaces_blobs import IBlobReader, IUpload
from dockreg.model.blobs import NOTHING_RECEIVED, Received, StoredBlob
from dockreg.model.collection import Page
from dockreg.model.conditions import Condition
from dockreg.model.digest import Digest, Hasher
from dockreg.providers.blobs.names import is_upload_id
from dockreg.providers.blobs.small import SmallObjects, are_small


def _numbers() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"memory-{next(numbers):09}"


@implementer(IBlobStore)
class MemoryBlobStore:
    """
    Objects and uploads in dictionaries of one process.

    :param new_id: names uploads and generations, in 16 characters or more.
    :param room: how many bytes it takes, in objects and uploads together; None for no limit.
    """

    def __init__(self, new_id: Callable[[], str] | None = None, room: int | None = None) -> None:
        self._new_id = new_id if new_id is not None else _numbers()
        self._room = room
        self._small = SmallObjects(self._new_id)
        self._objects: dict[StoredBlob, bytes] = {}
        self._staged: dict[str, _Staged] = {}

    async def start_upload(self, observers: Sequence[ByteObserver] = (), algorithm: str = "sha256") -> IUpload:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        upload_id = self._new_id()
        self._staged[upload_id] = staged = _Staged()
        return _MemoryUpload(self, upload_id, staged, observers, algorithm)

    async def resume_upload(
        self,
        upload_id: str,
        received: Received,
        observers: Sequence[ByteObserver] = (),
        algorithm: str = "sha256",
        later: bool = False,
    ) -> IUpload:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        staged = self._staged.get(upload_id)
        if staged is None:
            if received.size or not is_upload_id(upload_id):
                raise UploadUnknown(upload_id)
            self._staged[upload_id] = staged = _Staged()
        elif staged.busy:
            raise UploadBusy(upload_id)
        elif staged.size < received.size:
            raise UploadUnknown(upload_id)
        return _MemoryUpload(self, upload_id, staged, observers, algorithm)

    async def upload_size(self, upload_id: str) -> int:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        staged = self._staged.get(upload_id)
        return 0 if staged is None else staged.size

    async def drop_upload(self, upload_id: str) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        staged = self._staged.get(upload_id)
        if staged is not None:
            if staged.busy:
                raise UploadBusy(upload_id)
            self.forget(upload_id)

    async def confirm(self, blob: StoredBlob) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""

    async def reopen(self, blob: StoredBlob, upload_id: str) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        if upload_id in self._staged:
            await self.delete(blob)
        elif blob in self._objects:
            self._staged[upload_id] = _Staged([self._objects.pop(blob)], blob.size)

    async def free(self) -> int | None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        return self._room

    async def open(self, blob: StoredBlob, start: int = 0) -> IBlobReader:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        content = self._objects.get(blob)
        if content is None:
            raise BlobLost(str(blob.digest), self._condition(blob))
        if not 0 <= start <= blob.size:
            raise RangeInvalid(blob.size)
        return _MemoryReader(content, start)

    async def delete(self, blob: StoredBlob) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        if self._objects.pop(blob, None) is not None:
            self.give_back(blob.size)

    async def examine(self, blob: StoredBlob, passed: Callable[[int], Awaitable[object]]) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        content = self._objects.get(blob)
        if content is None or Digest.of(blob.digest.algorithm, content) != blob.digest:
            raise BlobLost(str(blob.digest), self._condition(blob))
        await passed(len(content))

    async def quarantine(self, blob: StoredBlob) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`; nobody finds it in memory."""
        await self.delete(blob)

    def _condition(self, blob: StoredBlob) -> Condition:
        names = ((each.digest, each.generation) for each in self._objects)
        return Condition.DAMAGED if (blob.digest, blob.generation) in names else Condition.MISSING

    async def stored(self, after: str, limit: int) -> Page:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        named = sorted((f"{blob.digest} {blob.generation}", blob) for blob in self._objects)
        found = [(name, blob) for name, blob in named if name > after][:limit]
        return Page([blob for _, blob in found], found[-1][0] if len(found) == limit else None)

    async def recover(
        self, is_recorded: Callable[[StoredBlob], Awaitable[bool]], is_resumable: Callable[[str], Awaitable[bool]]
    ) -> int:
        """See :class:`~dockreg.interfaces.IBlobStore`; there may be suspended uploads that the metadata has forgotten."""
        dropped = 0
        for upload_id, staged in list(self._staged.items()):
            if not await is_resumable(upload_id) and not staged.busy and upload_id in self._staged:
                self.forget(upload_id)
                dropped += 1
        return dropped

    async def check(self) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""

    async def close(self) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`; there is no recovery."""

    def take(self, size: int) -> None:
        """Reserve room. :raises StorageFull: there is less."""
        if self._room is not None:
            if size > self._room:
                raise StorageFull
            self._room -= size

    def give_back(self, size: int) -> None:
        """Release what :meth:`take` reserved."""
        if self._room is not None:
            self._room += size

    def keep(self, upload_id: str, digest: Digest) -> StoredBlob:
        """Make the bytes of an upload an object."""
        content = b"".join(self._staged.pop(upload_id).chunks)
        blob = StoredBlob(digest, self._new_id(), len(content))
        self._objects[blob] = content
        return blob

    def leave(self, upload_id: str, digest: Digest) -> StoredBlob:
        """The bytes of an upload as an object that is kept in the metadata."""
        content = b"".join(self._staged[upload_id].chunks)
        self.forget(upload_id)
        return self._small.make(digest, content)

    def forget(self, upload_id: str) -> None:
        """Drop the bytes of an upload."""
        self.give_back(self._staged.pop(upload_id).size)


@define(eq=False)
class _Staged:
    """The bytes of an upload, suspended or not."""

    chunks: list[Piece] = field(factory=list)
    size: int = 0
    busy: bool = False
    #: Has seen all of them; None when nobody has.
    hasher: Hasher | None = None

    def hasher_of(self, algorithm: str) -> Hasher:
        """A hasher by ``algorithm`` that has seen all bytes."""
        if self.hasher is not None and self.hasher.digest.algorithm == algorithm:
            return self.hasher
        hasher = Hasher(algorithm)
        for chunk in self.chunks:
            hasher.update(chunk)
        return hasher


@implementer(IUpload)
class _MemoryUpload:
    upload_id: str

    def __init__(
        self, store: MemoryBlobStore, upload_id: str, staged: _Staged, observers: Sequence[ByteObserver], algorithm: str
    ) -> None:
        staged.busy = True
        staged.hasher = staged.hasher_of(algorithm)
        self.upload_id = upload_id
        self._store = store
        self._staged = staged
        self._algorithm = algorithm
        self._observers = (staged.hasher, *observers)
        self._ended = False
        self._failure: BaseException | None = None

    @property
    def size(self) -> int:
        return self._staged.size

    async def write(self, chunks: Sequence[Piece]) -> None:
        self._require_open()
        staged = self._staged
        for chunk in chunks:
            self._store.take(len(chunk))
            staged.chunks.append(chunk)
            staged.size += len(chunk)
            try:
                for observer in self._observers:
                    observer.update(chunk)
            except BaseException as failure:
                self._failure = failure
                raise

    async def receive(self, fetch: Callable[[], Piece], ending: Ending | None = None) -> StoredBlob | None:
        before = self.size
        while piece := fetch():
            await self.write([bytes(piece)])
        if ending is None or self.size - before != ending.size:
            return None
        return await self.commit(ending.expected, (), ending.then)

    async def suspend(self, then: Callable[[Received], object] | None = None, last: Sequence[Piece] = ()) -> Received:
        self._require_open()
        problem: StorageFull | None = None
        try:
            await self.write(last)
        except StorageFull as error:
            problem = error
        size = self._staged.size
        received = Received(size, self._staged.hasher_of(self._algorithm).digest) if size else NOTHING_RECEIVED
        if then is not None:
            then(received)
        self._ended = True
        self._staged.busy = False
        if problem is not None:
            raise problem
        return received

    async def commit(
        self,
        expected: Digest | None = None,
        last: Sequence[Piece] = (),
        then: Callable[[StoredBlob], bool] | None = None,
        small_bytes: int = 0,
    ) -> StoredBlob:
        is_small = bool(last) and not self.size and are_small(last, small_bytes)
        await self.write(last)
        digest = self._staged.hasher_of(self._algorithm if expected is None else expected.algorithm).digest
        if expected is not None and digest != expected:
            await self.abort()
            raise DigestInvalid(str(expected), f"the bytes received have {digest}")
        self._ended = True
        blob = self._store.leave(self.upload_id, digest) if is_small else self._store.keep(self.upload_id, digest)
        if then is not None and then(blob):
            await self._store.confirm(blob)
        return blob

    async def abort(self) -> None:
        if not self._ended:
            self._ended = True
            self._store.forget(self.upload_id)

    def _require_open(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._ended:
            raise ValueError("the upload has ended")


@implementer(IBlobReader)
class _MemoryReader:
    size: int

    def __init__(self, content: bytes, start: int) -> None:
        self.size = len(content)
        self._content = content
        self._position = start
        self._closed = False

    async def read(self, limit: int) -> bytes:
        if self._closed:
            raise ValueError("read of a closed blob")
        data = self._content[self._position : self._position + limit]
        self._position += len(data)
        return data

    def close(self) -> None:
        self._closed = True
