"""Stored attempts to log in."""

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, delete, func, insert, select, update
from zope.interface import implementer

from dockreg.interfaces_people import IAttemptStore
from dockreg.model.attempts import Count, Limit
from dockreg.providers.metadata.rows import AnyRow
from dockreg.providers.metadata.tables_people import login_attempts
from dockreg.providers.metadata.transactions import Database


@implementer(IAttemptStore)
class SQLAttemptStore:
    """See :class:`~dockreg.interfaces_people.IAttemptStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, keys: tuple[bytes, ...]) -> Mapping[bytes, Count]:
        """See :class:`~dockreg.interfaces_people.IAttemptStore`."""
        return await self._database.find(_find, keys)

    async def begin(self, limits: Mapping[bytes, Limit], now: float) -> float:
        """See :class:`~dockreg.interfaces_people.IAttemptStore`."""
        return await self._database.note(_begin, limits, now)

    async def fail(self, limits: Mapping[bytes, Limit], now: float) -> None:
        """See :class:`~dockreg.interfaces_people.IAttemptStore`."""
        await self._database.note(_fail, limits, now)

    async def succeed(self, key: bytes, now: float, until: float) -> None:
        """See :class:`~dockreg.interfaces_people.IAttemptStore`."""
        await self._database.note(_succeed, key, now, until)

    async def expire(self, now: float, most: int) -> None:
        """See :class:`~dockreg.interfaces_people.IAttemptStore`."""
        await self._database.note(_expire, now, most)


def _count(row: AnyRow) -> Count:
    return Count(row.failures, row.last_at, row.until, row.trusted_at)


def _find(connection: Connection, keys: tuple[bytes, ...]) -> Mapping[bytes, Count]:
    found = connection.execute(select(login_attempts).where(login_attempts.c.key.in_(keys)))
    return {bytes(row.key): _count(row) for row in found}


def _locked(connection: Connection, keys: Collection[bytes]) -> Mapping[bytes, AnyRow]:
    # In one order, or two of these could wait for each other.
    query = select(login_attempts).where(login_attempts.c.key.in_(sorted(keys))).order_by(login_attempts.c.key)
    return {bytes(row.key): row for row in connection.execute(query.with_for_update())}


def _put(connection: Connection, key: bytes, count: Count, expires_at: float, known: AnyRow | None) -> None:
    values = {
        "failures": count.failures,
        "last_at": count.last,
        "until": count.until,
        "trusted_at": count.trusted_at,
        "expires_at": expires_at,
    }
    if known is None:
        # Of two who count the first failure at once, one is told that the row is there, and begins again.
        connection.execute(insert(login_attempts), {"key": key, **values})
    else:
        connection.execute(update(login_attempts).where(login_attempts.c.key == key), values)


def _begin(connection: Connection, limits: Mapping[bytes, Limit], now: float) -> float:
    rows = _locked(connection, limits)
    counts = {key: _count(row) for key, row in rows.items()}
    wait = max((count.wait(limits[key], now) for key, count in counts.items()), default=0.0)
    if wait > 0:
        return wait
    for key, count in counts.items():
        begun = count.begun(limits[key], now)
        if begun != count:
            _put(connection, key, begun, rows[key].expires_at, rows[key])
    return 0.0


def _fail(connection: Connection, limits: Mapping[bytes, Limit], now: float) -> None:
    rows = _locked(connection, limits)
    for key in sorted(limits):
        limit = limits[key]
        row = rows.get(key)
        failed = (Count() if row is None else _count(row)).failed(limit, now)
        ends = now + limit.forget_seconds
        _put(connection, key, failed, ends if row is None else max(ends, row.expires_at), row)


def _succeed(connection: Connection, key: bytes, now: float, until: float) -> None:
    _put(connection, key, Count(trusted_at=now), until, _locked(connection, [key]).get(key))


def _expire(connection: Connection, now: float, most: int) -> None:
    connection.execute(delete(login_attempts).where(login_attempts.c.expires_at <= now))
    beyond = connection.execute(select(func.count()).select_from(login_attempts)).scalar_one() - most
    if beyond > 0:
        first = select(login_attempts.c.key).order_by(login_attempts.c.expires_at).limit(beyond)
        connection.execute(delete(login_attempts).where(login_attempts.c.key.in_(first)))
