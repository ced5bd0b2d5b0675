"""Blobs in memory, for tests and for registries that may forget."""

from collections.abc import Awaitable, Callable, Sequence
from itertools import count

from zope.interface import implementer

from dockreg.callables import ByteObserver
from dockreg.errors import BlobUnknown, DigestInvalid, RangeInvalid, StorageFull
from dockreg.interfaces import IBlobReader, IBlobStore, IUpload
from dockreg.model.blobs import StoredBlob
from dockreg.model.digest import Digest, Hasher


def _numbers() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"memory-{next(numbers)}"


@implementer(IBlobStore)
class MemoryBlobStore:
    """
    Objects in a dictionary; there is one process, so nothing is ever left behind.

    :param new_id: names uploads and generations.
    :param room: how many bytes it takes, in objects and uploads together; None for no limit.
    """

    def __init__(self, new_id: Callable[[], str] | None = None, room: int | None = None) -> None:
        self._new_id = new_id if new_id is not None else _numbers()
        self._room = room
        self._objects: dict[StoredBlob, bytes] = {}

    async def start_upload(self, observers: Sequence[ByteObserver] = ()) -> IUpload:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        return _MemoryUpload(self, self._new_id(), observers)

    async def confirm(self, blob: StoredBlob) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""

    async def open(self, blob: StoredBlob, start: int = 0) -> IBlobReader:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        content = self._objects.get(blob)
        if content is None:
            raise BlobUnknown(str(blob.digest))
        if not 0 <= start <= blob.size:
            raise RangeInvalid(blob.size)
        return _MemoryReader(content, start)

    async def delete(self, blob: StoredBlob) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        if self._objects.pop(blob, None) is not None:
            self.give_back(blob.size)

    async def recover(self, is_recorded: Callable[[StoredBlob], Awaitable[bool]]) -> int:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        return 0

    async def check(self) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""

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

    def keep(self, digest: Digest, content: bytes) -> StoredBlob:
        """Make ``content`` an object."""
        blob = StoredBlob(digest, self._new_id(), len(content))
        self._objects[blob] = content
        return blob


@implementer(IUpload)
class _MemoryUpload:
    upload_id: str
    size: int

    def __init__(self, store: MemoryBlobStore, upload_id: str, observers: Sequence[ByteObserver]) -> None:
        self.upload_id = upload_id
        self.size = 0
        self._store = store
        self._hasher = Hasher()
        self._observers = (self._hasher, *observers)
        self._chunks: list[bytes] = []
        self._ended = False
        self._failure: BaseException | None = None

    async def write(self, chunks: Sequence[bytes]) -> None:
        self._require_open()
        try:
            for chunk in chunks:
                self._store.take(len(chunk))
                self._chunks.append(chunk)
                self.size += len(chunk)
                for observer in self._observers:
                    observer.update(chunk)
        except BaseException as failure:
            self._failure = failure
            raise

    async def commit(self, expected: Digest | None = None) -> StoredBlob:
        self._require_open()
        digest = self._hasher.digest
        if expected is not None and digest != expected:
            await self.abort()
            raise DigestInvalid(str(expected), f"the bytes received have {digest}")
        self._ended = True
        return self._store.keep(digest, b"".join(self._chunks))

    async def abort(self) -> None:
        if not self._ended:
            self._ended = True
            self._store.give_back(sum(map(len, self._chunks)))
            self._chunks.clear()

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
