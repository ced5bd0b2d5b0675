"""Small blobs, whose bytes are kept in the row that names them: they are durable when that is."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import count

from dockreg.callables import Piece
from dockreg.errors import RangeInvalid, RegistryError
from dockreg.errors_blobs import BlobLost
from dockreg.interfaces import IBlobStore
from dockreg.interfaces_blobs import IBlobReader
from dockreg.model.blobs import IN_METADATA, NOTHING_RECEIVED, StoredBlob
from dockreg.model.conditions import Condition
from dockreg.model.digest import Digest
from dockreg.providers.blobs.around import AroundBlobStore
from dockreg.providers.blobs.remembering import MemoryReader


def are_small(chunks: Sequence[Piece], most: int) -> bool:
    """Whether these are ``most`` bytes or less; none are when that is 0."""
    return 0 < most >= sum(map(len, chunks))


class SmallObjects:
    """Makes objects that are to be recorded with their bytes, in any thread."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        """:param new_id: makes names that no other process makes."""
        self._new_id = new_id
        self._name: str | None = None
        self._numbers = count(1)

    def make(self, digest: Digest, content: bytes) -> StoredBlob:
        """A new one."""
        if self._name is None:
            # Two threads may do this at once: no number is given twice, so no generation is, either.
            self._name = self._new_id()
        return StoredBlob(digest, f"{IN_METADATA}{self._name}.{next(self._numbers):x}", len(content), content=content)


class DividedBlobStore(AroundBlobStore):
    """
    Another store, beside the small objects that are kept in the metadata.

    Their bytes come and go with the row that names them, so that there is nothing to confirm, to remove or to recover.

    :param content: see :meth:`.IBlobIndex.content`.
    """

    def __init__(self, store: IBlobStore, content: Callable[[StoredBlob], Awaitable[bytes | None]]) -> None:
        super().__init__(store)
        self._content = content

    async def open(self, blob: StoredBlob, start: int = 0) -> IBlobReader:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        if not blob.in_metadata:
            return await self._store.open(blob, start)
        content = await self._whole(blob)
        if not 0 <= start <= blob.size:
            raise RangeInvalid(blob.size)
        return MemoryReader(content, start)

    async def examine(self, blob: StoredBlob, passed: Callable[[int], Awaitable[object]]) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`; what is read is what the database has, in memory or not."""
        if not blob.in_metadata:
            await self._store.examine(blob, passed)
            return
        content = await self._whole(blob)
        await passed(len(content))
        if Digest.of(blob.digest.algorithm, content) != blob.digest:
            raise BlobLost(str(blob.digest), Condition.DAMAGED)

    async def confirm(self, blob: StoredBlob) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        if not blob.in_metadata:
            await self._store.confirm(blob)

    async def reopen(self, blob: StoredBlob, upload_id: str) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        if not blob.in_metadata:
            await self._store.reopen(blob, upload_id)
        elif blob.content is not None:
            # As with others: where that can not be done, or somebody else goes on already, its bytes are not kept.
            with suppress(RegistryError):
                await self._suspend(blob.content, upload_id)

    async def delete(self, blob: StoredBlob) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`: with its row."""
        if not blob.in_metadata:
            await self._store.delete(blob)

    async def quarantine(self, blob: StoredBlob) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`: its row keeps it, and says that it is lost, until it is pushed again."""
        if not blob.in_metadata:
            await self._store.quarantine(blob)

    async def _whole(self, blob: StoredBlob) -> bytes:
        content = await self._content(blob)
        if content is None:
            raise BlobLost(str(blob.digest), Condition.MISSING)
        if len(content) != blob.size:
            raise BlobLost(str(blob.digest), Condition.DAMAGED)
        return content

    async def _suspend(self, content: bytes, upload_id: str) -> None:
        upload = await self._store.resume_upload(upload_id, NOTHING_RECEIVED)
        try:
            await upload.suspend(None, () if upload.size else (content,))
        finally:
            # Harmless now, unless it was not suspended.
            await upload.abort()
