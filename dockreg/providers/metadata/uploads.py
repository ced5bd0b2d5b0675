"""Upload sessions."""

from collections.abc import Callable, Sequence

from attrs import evolve
from sqlalchemy import Connection, Integer, bindparam, delete, func, insert, literal, select, text, update
from zope.interface import implementer

from dockreg.errors import UploadUnknown
from dockreg.interfaces_uploads import IUploadStore
from dockreg.model.blobs import Received
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName
from dockreg.model.uploads import UploadSession, first_proven, proven_end
from dockreg.providers.metadata import ledger
from dockreg.providers.metadata.ledger import Accounting
from dockreg.providers.metadata.rows import AnyRow, account_column, account_name, digest_of
from dockreg.providers.metadata.tables import uploads
from dockreg.providers.metadata.tables_uploads import uploads_ended, uploads_horizon
from dockreg.providers.metadata.transactions import Database

_DOOR = "v2"
_START = insert(uploads)
_RECORD = update(uploads).where(uploads.c.upload_id == bindparam("wanted"))
_RESERVED = (
    select(uploads.c.repository, uploads.c.reserved).where(uploads.c.upload_id == bindparam("wanted")).with_for_update()
)
_KNOWN = select(uploads.c.upload_id).where(uploads.c.upload_id == bindparam("wanted"))
_EXPIRED = (
    select(uploads.c.upload_id)
    .where(uploads.c.leased_until < bindparam("now"))
    .order_by(uploads.c.leased_until)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True)
)
_HORIZON = select(uploads_horizon.c.ended_before).where(uploads_horizon.c.only == 1)
_STANDING = select(
    select(uploads_ended.c.upload_id)
    .where(uploads_ended.c.upload_id == bindparam("wanted"))
    .scalar_subquery()
    .label("ended"),
    _HORIZON.scalar_subquery().label("horizon"),
)
# One row, also where there is none of the session.
_GET = select(uploads, *_STANDING.selected_columns).select_from(
    select(literal(1).label("one"))
    .subquery("one")
    .outerjoin(uploads, (uploads.c.upload_id == bindparam("wanted")) & (uploads.c.repository == bindparam("name")))
)
_MOVE_HORIZON = update(uploads_horizon).where(uploads_horizon.c.only == 1)
_SET_HORIZON = insert(uploads_horizon)
# The same for SQLite and PostgreSQL.
_REMEMBER = text("INSERT INTO uploads_ended (upload_id) VALUES (:ended) ON CONFLICT (upload_id) DO NOTHING")
_OVER = (
    select(uploads_ended.c.upload_id)
    .where(uploads_ended.c.upload_id < bindparam("first"))
    .order_by(uploads_ended.c.upload_id)
    .limit(bindparam("limit", type_=Integer))
)
_FORGET = delete(uploads_ended).where(uploads_ended.c.upload_id.in_(_OVER))
_MOST_FORGOTTEN = 100_000
#: What has ended is remembered longer than its session would have lasted: clocks of several machines differ.
_CLOCK_SKEW_SECONDS = 3600.0


@implementer(IUploadStore)
class SQLUploadStore:
    """See :class:`~dockreg.interfaces_uploads.IUploadStore`."""

    def __init__(self, database: Database, accounting: Accounting) -> None:
        self._database = database
        self._accounting = accounting

    async def begins_after(self) -> float:
        """See :class:`~dockreg.interfaces_uploads.IUploadStore`."""
        return await self._database.find_lasting(_begins_after)

    async def start(self, session: UploadSession, leased_until: float, reserved: int | None = None) -> None:
        """See :class:`~dockreg.interfaces_uploads.IUploadStore`."""
        await self._database.note(_start, session, leased_until, reserved)

    async def reserve(self, upload_id: str, least: int, most: int, digest: Digest | None = None) -> int:
        """See :class:`~dockreg.interfaces_uploads.IUploadStore`."""
        return await self._database.note(_reserve, upload_id, least, most, digest, self._accounting)

    async def get(self, name: RepositoryName, upload_id: str, proven: UploadSession | None = None) -> UploadSession:
        """See :class:`~dockreg.interfaces_uploads.IUploadStore`."""
        return await self._database.look(_get, name, upload_id, proven)

    async def record(
        self,
        upload_id: str,
        received: Received,
        now: float,
        leased_until: float,
        reserves: bool = False,
        proven: UploadSession | None = None,
    ) -> None:
        """See :class:`~dockreg.interfaces_uploads.IUploadStore`."""
        await self._database.note(_record, upload_id, received, now, leased_until, reserves=reserves, proven=proven)

    def recorder(
        self,
        upload_id: str,
        now: float,
        leased_until: float,
        reserves: bool = False,
        proven: UploadSession | None = None,
    ) -> Callable[[Received], None]:
        """See :class:`~dockreg.interfaces_uploads.IUploadStore`."""

        def record(received: Received) -> None:
            def change(connection: Connection) -> None:
                _record(connection, upload_id, received, now, leased_until, reserves=reserves, proven=proven)

            self._database.write_here(change, durable=False)

        return record

    async def end(self, upload_id: str) -> None:
        """See :class:`~dockreg.interfaces_uploads.IUploadStore`."""
        await self._database.write(_end, upload_id)

    async def is_known(self, upload_id: str) -> bool:
        """See :class:`~dockreg.interfaces_uploads.IUploadStore`."""
        return await self._database.read(_is_known, upload_id)

    async def expire(self, now: float, limit: int) -> Sequence[str]:
        """See :class:`~dockreg.interfaces_uploads.IUploadStore`."""
        return await self._database.write(_expire, now, limit)


def _begins_after(connection: Connection) -> float:
    return float(connection.execute(_HORIZON).scalar() or 0.0)


def _start(connection: Connection, session: UploadSession, leased_until: float, reserved: int | None) -> None:
    values = {
        "upload_id": session.upload_id,
        "repository": session.repository.value,
        "principal": account_column(session.principal),
        "door": _DOOR,
        "algorithm": session.algorithm,
        "started_at": session.started_at,
        "last_write": session.started_at,
        "leased_until": leased_until,
        "reserved": reserved or 0,
        **_received(session.received),
    }
    connection.execute(_START, values)
    if reserved is not None:
        changes, namespace = ledger.of(connection), session.repository.namespace
        changes.entered.add(namespace)
        changes.reserved[namespace] += reserved


def _reserve(
    connection: Connection, upload_id: str, least: int, most: int, digest: Digest | None, accounting: Accounting
) -> int:
    row = connection.execute(_RESERVED, {"wanted": upload_id}).one_or_none()
    if row is None:
        raise UploadUnknown(upload_id)
    namespace = RepositoryName(row.repository).namespace
    if row.reserved >= least:
        return int(row.reserved)
    usage = ledger.locked(connection, namespace)
    if digest is not None and ledger.has_blob(connection, namespace, str(digest)):
        return most
    limit = accounting.limit(usage)
    room = limit - usage.used - usage.reserved + row.reserved if limit else most
    granted = min(most, max(room, least))
    connection.execute(_RECORD, {"wanted": upload_id, "reserved": granted})
    ledger.of(connection).reserved[namespace] += granted - row.reserved
    return granted


def remember_ended(connection: Connection, upload_id: str) -> bool:
    """
    A session that ends here whose id proves itself is not to be taken for a new one.

    :return: False when it was known to have ended; of one whose id proves nothing that is not known.
    """
    if proven_end(upload_id) is None:
        return True
    _take_turns(connection, upload_id)
    remembered: int = connection.execute(_REMEMBER, {"ended": upload_id}).rowcount
    return remembered > 0


def may_have_expired(connection: Connection, upload_id: str) -> bool:
    """Whether a session that has ended, whose id proves itself, may have ended because it had lasted for too long."""
    return (proven_end(upload_id) or 0) <= _begins_after(connection)


def _take_turns(connection: Connection, upload_id: str) -> None:
    """Let nobody else begin or end this session before this transaction is over; a writer of SQLite is alone already."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(upload_id, 0))))


def end_sessions(connection: Connection, upload_ids: Sequence[str]) -> int:
    """End sessions, and forget what is reserved for them; return how many had rows."""
    for upload_id in upload_ids:
        remember_ended(connection, upload_id)
    return drop_rows(connection, upload_ids)


def drop_rows(connection: Connection, upload_ids: Sequence[str]) -> int:
    """Forget the rows of sessions, and what is reserved for them; return how many there were."""
    these = delete(uploads).where(uploads.c.upload_id.in_(upload_ids))
    rows = connection.execute(these.returning(uploads.c.repository, uploads.c.reserved)).all()
    for row in rows:
        if row.reserved:
            ledger.of(connection).reserved[RepositoryName(row.repository).namespace] -= row.reserved
    return len(rows)


def _received(received: Received) -> dict[str, object]:
    digest = None if received.digest is None else str(received.digest)
    return {"size": received.size, "received_digest": digest}


def _lasts(connection: Connection, upload_id: str) -> bool:
    """Whether a session without a row is one that has begun by its id."""
    return _stands(connection.execute(_STANDING, {"wanted": upload_id}).one(), upload_id)


def _stands(row: AnyRow, upload_id: str) -> bool:
    end = proven_end(upload_id)
    return end is not None and row.ended is None and end > (row.horizon or 0.0)


def _get(connection: Connection, name: RepositoryName, upload_id: str, proven: UploadSession | None) -> UploadSession:
    row = connection.execute(_GET, {"wanted": upload_id, "name": name.value}).one()
    if row.upload_id is None:
        if proven is None or not _stands(row, upload_id):
            raise UploadUnknown(upload_id)
        return proven
    digest = None if row.received_digest is None else digest_of(row.received_digest)
    return UploadSession(
        upload_id=row.upload_id,
        repository=name,
        principal=account_name(row.principal),
        algorithm=row.algorithm,
        received=Received(row.size, digest),
        started_at=row.started_at,
    )


def _record(
    connection: Connection,
    upload_id: str,
    received: Received,
    now: float,
    leased_until: float,
    *,
    reserves: bool,
    proven: UploadSession | None,
) -> None:
    values = {"last_write": now, "leased_until": leased_until, **_received(received)}
    row = connection.execute(_RESERVED, {"wanted": upload_id}).one_or_none() if reserves else None
    if row is not None and row.reserved > received.size:
        values["reserved"] = received.size
        namespace = RepositoryName(row.repository).namespace
        ledger.of(connection).reserved[namespace] -= row.reserved - received.size
    if connection.execute(_RECORD, {"wanted": upload_id, **values}).rowcount:
        return
    if proven is not None:
        _take_turns(connection, upload_id)
    if proven is None or not _lasts(connection, upload_id):
        raise UploadUnknown(upload_id)
    _start(connection, evolve(proven, received=received, started_at=now), leased_until, None)


def _end(connection: Connection, upload_id: str) -> None:
    lasted = proven_end(upload_id) is not None and _lasts(connection, upload_id)
    if not end_sessions(connection, [upload_id]) and not lasted:
        raise UploadUnknown(upload_id)


def _is_known(connection: Connection, upload_id: str) -> bool:
    return connection.execute(_KNOWN, {"wanted": upload_id}).one_or_none() is not None


def _expire(connection: Connection, now: float, limit: int) -> Sequence[str]:
    ids = connection.execute(_EXPIRED, {"now": now, "limit": limit}).scalars().all()
    if ids:
        end_sessions(connection, ids)
    # Not the latest of all such times: a clock that was wrong must not keep sessions from beginning when it is right again.
    if connection.execute(_MOVE_HORIZON, {"ended_before": now}).rowcount == 0:
        connection.execute(_SET_HORIZON, {"only": 1, "ended_before": now})
    connection.execute(_FORGET, {"first": first_proven(now - _CLOCK_SKEW_SECONDS), "limit": _MOST_FORGOTTEN})
    return ids
