"""What is known of the bytes of blobs."""

from collections.abc import Sequence

from sqlalchemy import Connection, Integer, bindparam, func, select, update
from zope.interface import implementer

from dockreg.interfaces_blobs import IConditionStore
from dockreg.model.blobs import LostBlob, StoredBlob
from dockreg.model.conditions import Condition, ScrubState
from dockreg.providers.metadata.rows import STORED_COLUMNS, AnyRow, stored_of
from dockreg.providers.metadata.tables import blobs
from dockreg.providers.metadata.tables_conditions import scrubs
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

    async def scrub_state(self) -> ScrubState:
        """See :class:`~dockreg.interfaces_blobs.IConditionStore`."""
        return _state_of(await self._database.read(_scrub))

    async def hold_scrub(self, holder: str, now: float, hold_seconds: float) -> ScrubState | None:
        """See :class:`~dockreg.interfaces_blobs.IConditionStore`."""
        row = await self._database.read(_scrub)
        if row.holder == holder and now + hold_seconds / 2 < row.held_until <= now + hold_seconds:
            return _state_of(row)
        return await self._database.note(_hold_scrub, holder, now, hold_seconds)

    async def note_scrub(self, holder: str, state: ScrubState, held_until: float) -> None:
        """See :class:`~dockreg.interfaces_blobs.IConditionStore`."""
        await self._database.note(_note_scrub, holder, state, held_until)


def _scrub(connection: Connection) -> AnyRow:
    return connection.execute(select(scrubs)).one()


def _state_of(row: AnyRow) -> ScrubState:
    return ScrubState(row.position, row.begun_at, row.finished_at)


def _hold_scrub(connection: Connection, holder: str, now: float, hold_seconds: float) -> ScrubState | None:
    row = connection.execute(select(scrubs).with_for_update()).one()
    # A time that is further away than anybody may hold it was noted by a clock that was wrong.
    held = row.holder != holder and now < row.held_until <= now + hold_seconds
    if held:
        return None
    connection.execute(update(scrubs), {"holder": holder, "held_until": now + hold_seconds})
    return _state_of(row)


def _note_scrub(connection: Connection, holder: str, state: ScrubState, held_until: float) -> None:
    values = {"position": state.position, "begun_at": state.begun_at, "finished_at": state.finished_at}
    mine = scrubs.c.holder == holder
    connection.execute(update(scrubs).where(mine), {**values, "held_until": held_until})


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
