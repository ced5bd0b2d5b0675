"""What is known of the bytes of blobs."""

from collections.abc import Sequence

from sqlalchemy import Connection, Integer, bindparam, func, select, update
from zope.interface import implementer

from dockreg.interfaces_blobs import IConditionStore
from dockreg.model.blobs import LostBlob, StoredBlob
from dockreg.model.conditions import Condition
from dockreg.providers.metadata.rows import STORED_COLUMNS, stored_of
from dockreg.providers.metadata.tables import blobs
from dockreg.providers.metadata.transactions import Database

_PAGE = (
    select(*STORED_COLUMNS, blobs.c.condition_at)
    .where(blobs.c.digest > bindparam("after"))
    .order_by(blobs.c.digest)
    .limit(bindparam("limit", type_=Integer))
)
_OBJECTS = _PAGE.where(blobs.c.generation.is_not(None))
_LOST = _PAGE.where(blobs.c.condition.is_not(None))
_COUNT = select(func.count()).select_from(blobs).where(blobs.c.condition.is_not(None))


@implementer(IConditionStore)
class SQLConditionStore:
    """See :class:`~dockreg.interfaces_blobs.IConditionStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, blob: StoredBlob, condition: Condition | None, now: float) -> bool:
        """See :class:`~dockreg.interfaces_blobs.IConditionStore`."""
        return await self._database.write(_note, blob, condition, now)

    async def list_lost(self, after: str, limit: int) -> Sequence[LostBlob]:
        """See :class:`~dockreg.interfaces_blobs.IConditionStore`."""
        return await self._database.read(_list_lost, after, limit)

    async def count_lost(self) -> int:
        """See :class:`~dockreg.interfaces_blobs.IConditionStore`."""
        return await self._database.read(_count_lost)

    async def list_objects(self, after: str, limit: int) -> Sequence[StoredBlob]:
        """See :class:`~dockreg.interfaces_blobs.IConditionStore`."""
        return await self._database.read(_list_objects, after, limit)


def _note(connection: Connection, blob: StoredBlob, condition: Condition | None, now: float) -> bool:
    this = (blobs.c.digest == str(blob.digest)) & (blobs.c.generation == blob.generation)
    text = None if condition is None else condition.value
    known = blobs.c.condition.is_not_distinct_from(text)
    values = {"condition": text, "condition_at": None if condition is None else now}
    return connection.execute(update(blobs).where(this, ~known), values).rowcount > 0


def _list_lost(connection: Connection, after: str, limit: int) -> Sequence[LostBlob]:
    rows = connection.execute(_LOST, {"after": after, "limit": limit})
    return [LostBlob(stored_of(row), Condition(row.condition), row.condition_at) for row in rows]


def _count_lost(connection: Connection) -> int:
    return int(connection.execute(_COUNT).scalar_one())


def _list_objects(connection: Connection, after: str, limit: int) -> Sequence[StoredBlob]:
    return [stored_of(row) for row in connection.execute(_OBJECTS, {"after": after, "limit": limit})]
