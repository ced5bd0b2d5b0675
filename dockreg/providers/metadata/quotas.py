"""What namespaces take up, and how much they may."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, case, delete, func, insert, literal, select, text, update
from zope.interface import implementer

from dockreg.interfaces_quotas import IQuotaStore
from dockreg.model.quotas import Recounted, Usage
from dockreg.providers.metadata.ledger import Accounting, locked
from dockreg.providers.metadata.rows import AnyRow
from dockreg.providers.metadata.tables import blobs, repositories, repository_blobs, uploads
from dockreg.providers.metadata.tables_quotas import namespace_blobs, namespace_usage, quota_state
from dockreg.providers.metadata.transactions import Database

_usage, _blobs = namespace_usage, namespace_blobs


@implementer(IQuotaStore)
class SQLQuotaStore:
    """See :class:`~dockreg.interfaces_quotas.IQuotaStore`."""

    def __init__(self, database: Database, accounting: Accounting) -> None:
        self._database = database
        self._accounting = accounting

    @property
    def refused(self) -> int:
        """See :class:`~dockreg.interfaces_quotas.IQuotaStore`."""
        return self._accounting.refused

    async def is_counting(self) -> bool:
        """See :class:`~dockreg.interfaces_quotas.IQuotaStore`."""
        return await self._database.find_lasting(_is_counting)

    async def settle(self) -> bool:
        """See :class:`~dockreg.interfaces_quotas.IQuotaStore`."""
        wanted = await self._database.read(self._is_wanted)
        if wanted != await self._database.read(_is_counting):
            await self._database.write(self._settle)
        return wanted

    async def usage(self, namespace: str) -> Usage:
        """See :class:`~dockreg.interfaces_quotas.IQuotaStore`."""
        return await self._database.read(self._get, namespace)

    async def list_usage(self) -> Sequence[Usage]:
        """See :class:`~dockreg.interfaces_quotas.IQuotaStore`."""
        return await self._database.read(self._list)

    async def set_quota(self, namespace: str, quota: int | None) -> Usage:
        """See :class:`~dockreg.interfaces_quotas.IQuotaStore`."""
        return await self._database.write(self._set_quota, namespace, quota)

    async def recount(self, namespace: str | None) -> Sequence[Recounted]:
        """See :class:`~dockreg.interfaces_quotas.IQuotaStore`."""
        return await self._database.write(_recount, namespace)

    def _is_wanted(self, connection: Connection) -> bool:
        if self._accounting.default:
            return True
        return connection.execute(select(_usage.c.namespace).where(_usage.c.quota > 0).limit(1)).first() is not None

    def _settle(self, connection: Connection) -> None:
        _exclude_others(connection)
        wanted = self._is_wanted(connection)
        if wanted == _is_counting(connection):
            return
        connection.execute(delete(quota_state))
        connection.execute(insert(quota_state), {"only": 1, "counting": wanted})
        if wanted:
            _recount(connection, None)
            return
        connection.execute(delete(_blobs))
        connection.execute(delete(_usage).where(_usage.c.quota.is_(None)))
        connection.execute(update(_usage), {"used": 0, "reserved": 0})
        connection.execute(update(uploads).where(uploads.c.reserved > 0), {"reserved": 0})

    def _set_quota(self, connection: Connection, namespace: str, quota: int | None) -> Usage:
        begins = bool(quota) and not _is_counting(connection)
        if begins:
            _exclude_others(connection)
        locked(connection, namespace)
        connection.execute(update(_usage).where(_usage.c.namespace == namespace), {"quota": quota})
        if begins:
            self._settle(connection)
        return self._get(connection, namespace)

    def _get(self, connection: Connection, namespace: str) -> Usage:
        row = connection.execute(select(_usage).where(_usage.c.namespace == namespace)).one_or_none()
        return Usage(namespace, 0, 0, None, self._accounting.default) if row is None else self._made(row)

    def _list(self, connection: Connection) -> Sequence[Usage]:
        found = [self._made(row) for row in connection.execute(select(_usage).order_by(_usage.c.namespace))]
        return [each for each in found if each.used or each.reserved or each.own is not None]

    def _made(self, row: AnyRow) -> Usage:
        return Usage(row.namespace, row.used, row.reserved, row.quota, self._accounting.limit(row))


def _is_counting(connection: Connection) -> bool:
    return bool(connection.execute(select(quota_state.c.counting)).scalar_one_or_none())


def _exclude_others(connection: Connection) -> None:
    """
    Wait for the end of all transactions that change what is counted, and let no other begin.

    Those lock a repository before anything else, and the row of a namespace last.
    """
    if connection.dialect.name == "postgresql":
        for table in (repositories, _usage):
            connection.execute(text(f"LOCK TABLE {table.name} IN EXCLUSIVE MODE"))


def _recount(connection: Connection, namespace: str | None) -> Sequence[Recounted]:
    if not _is_counting(connection):
        return []
    _exclude_others(connection)
    ours = [] if namespace is None else [namespace]
    before = {row.namespace: row for row in connection.execute(_only(select(_usage), _usage.c.namespace, ours))}
    connection.execute(_only(delete(_blobs), _blobs.c.namespace, ours))
    _link(connection, ours)
    used = dict(_sums(connection, _blobs.c.namespace, _blobs.c.size, ours))
    reserved = dict(_sums(connection, _namespace_of(connection, uploads.c.repository), uploads.c.reserved, ours))
    found = []
    for name in sorted({*before, *used, *reserved}):
        row = before.get(name)
        counted = Recounted(
            name, row.used if row else 0, row.reserved if row else 0, used.get(name, 0), reserved.get(name, 0)
        )
        locked(connection, name)
        values = {"used": counted.real_used, "reserved": counted.real_reserved}
        connection.execute(update(_usage).where(_usage.c.namespace == name), values)
        found.append(counted)
    return found


def _link(connection: Connection, ours: Sequence[str]) -> None:
    """Fill the empty list of the blobs of namespaces."""
    namespace = _namespace_of(connection, repositories.c.name)
    query = (
        select(namespace, repository_blobs.c.digest, func.count(), func.max(blobs.c.size))
        .select_from(
            repository_blobs.join(repositories, repositories.c.key == repository_blobs.c.repository_key).join(
                blobs, blobs.c.digest == repository_blobs.c.digest
            )
        )
        .group_by(namespace, repository_blobs.c.digest)
    )
    connection.execute(
        insert(_blobs).from_select(("namespace", "digest", "links", "size"), _only(query, namespace, ours))
    )


def _sums(connection: Connection, namespace: Any, amount: Any, ours: Sequence[str]) -> Iterator[tuple[str, int]]:
    query = select(namespace.label("namespace"), func.sum(amount).label("amount")).group_by(namespace)
    for row in connection.execute(_only(query, namespace, ours)):
        yield row.namespace, int(row.amount)


def _only(statement: Any, namespace: Any, ours: Sequence[str]) -> Any:
    return statement.where(namespace.in_(ours)) if ours else statement


def _namespace_of(connection: Connection, name: Any) -> Any:
    """As :attr:`.RepositoryName.namespace` has it."""
    if connection.dialect.name == "postgresql":
        return case((func.strpos(name, "/") == 0, literal("library")), else_=func.split_part(name, "/", 1))
    slash = func.instr(name, "/")
    return case((slash == 0, literal("library")), else_=func.substr(name, 1, slash - 1))
