"""Small blobs, which are read often (configs, above all), kept in memory: blobs never change."""

from collections import OrderedDict

from zope.interface import implementer

from dockreg.errors import RangeInvalid
from dockreg.interfaces import IBlobStore
from dockreg.interfaces_blobs import IBlobReader
from dockreg.interfaces_readers import IBlobInMemory
from dockreg.model.blobs import StoredBlob
from dockreg.providers.blobs.around import AroundBlobStore

#: The largest blob that is kept, and all of them, in bytes.
LARGEST_BYTES = 64 * 1024
MOST_BYTES = 8 * 1024 * 1024
_ENTRY_BYTES = 512


@implementer(IBlobInMemory)
class MemoryReader:
    """Reads bytes that are there."""

    def __init__(self, content: bytes, start: int = 0) -> None:
        self.size = len(content)
        self._content = content
        self._position = start

    async def read(self, limit: int) -> bytes:
        """See :class:`~dockreg.interfaces.IBlobReader`."""
        start, self._position = self._position, min(self._position + limit, self.size)
        return self._content[start : self._position]

    def take(self, length: int) -> bytes:
        """See :class:`~dockreg.interfaces_readers.IBlobInMemory`."""
        start, self._position = self._position, min(self._position + length, self.size)
        return self._content[start : self._position]

    def close(self) -> None:
        """See :class:`~dockreg.interfaces.IBlobReader`; nothing is held."""


class RememberingBlobStore(AroundBlobStore):
    """
    Another store, whose small blobs are read from it once in a while.

    Whether a repository has a blob is the metadata's to say, before each read; which object it is, too. So what is
    kept here of an object that is gone is asked for by nobody.
    """

    def __init__(self, store: IBlobStore) -> None:
        super().__init__(store)
        self._kept: OrderedDict[StoredBlob, bytes] = OrderedDict()
        self._size = 0

    async def open(self, blob: StoredBlob, start: int = 0) -> IBlobReader:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        if blob.size > LARGEST_BYTES:
            return await self._store.open(blob, start)
        if not 0 <= start <= blob.size:
            raise RangeInvalid(blob.size)
        if blob.lost is not None:
            # Another process has found that out: what is remembered here is not what there is.
            self._forget(blob)
        content = self._kept.get(blob)
        if content is None:
            content = await self._read(blob)
            if len(content) != blob.size:
                # It breaks off when it is read, as it would without this.
                return await self._store.open(blob, start)
            self._keep(blob, content)
        else:
            self._kept.move_to_end(blob)
        return MemoryReader(content, start)

    async def delete(self, blob: StoredBlob) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        self._forget(blob)
        await self._store.delete(blob)

    async def quarantine(self, blob: StoredBlob) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        self._forget(blob)
        await self._store.quarantine(blob)

    def _forget(self, blob: StoredBlob) -> None:
        content = self._kept.pop(blob, None)
        if content is not None:
            self._size -= len(content) + _ENTRY_BYTES

    async def _read(self, blob: StoredBlob) -> bytes:
        reader = await self._store.open(blob)
        parts: list[bytes] = []
        try:
            while part := await reader.read(LARGEST_BYTES):
                parts.append(part)
        finally:
            reader.close()
        return b"".join(parts)

    def _keep(self, blob: StoredBlob, content: bytes) -> None:
        if blob in self._kept:  # read by two at once
            return
        self._kept[blob] = content
        self._size += len(content) + _ENTRY_BYTES
        while self._size > MOST_BYTES:
            _, dropped = self._kept.popitem(last=False)
            self._size -= len(dropped) + _ENTRY_BYTES
