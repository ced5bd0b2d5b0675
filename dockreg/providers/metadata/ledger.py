"""
What a transaction changes of what namespaces take up: noted on the way, and settled at its end.

The rows of namespaces are the last that a transaction locks, in the order of their names, so that two transactions never
wait for each other there; what a namespace takes up is exact however many push to it at once. Whether anything is
counted at all is told by the query that locks a repository, which is made anyway: without quotas this costs nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from attrs import define, field
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from dockreg.errors_quotas import QuotaExceeded
from dockreg.model.names import RepositoryName
from dockreg.providers.metadata.rows import AnyRow
from dockreg.providers.metadata.tables import blobs
from dockreg.providers.metadata.tables_quotas import namespace_blobs, namespace_usage, quota_state

T = TypeVar("T")

#: Whether blobs are counted, for queries that are made anyway.
COUNTING = select(quota_state.c.counting).scalar_subquery().label("counting")

_KEY = "dockreg_ledger"
#: SQLite takes so many parameters in one statement.
_BATCH = 900
_USAGE = select(namespace_usage).where(namespace_usage.c.namespace == bindparam("wanted")).with_for_update()


@define(eq=False)
class Ledger:
    """What one transaction changes."""

    #: The namespaces of the repositories that it has locked, as far as they are counted.
    namespaces: dict[int, str] = field(factory=dict)
    #: By namespace: for each digest, how many repositories more have it.
    links: defaultdict[str, Counter[str]] = field(factory=lambda: defaultdict(Counter))
    #: By namespace: how many bytes more are reserved.
    reserved: Counter[str] = field(factory=Counter)
    #: The namespaces in which an upload begins: there has to be room for a byte at least.
    entered: set[str] = field(factory=set)
    #: What is made for a reader is never refused.
    refuses: bool = True


def of(connection: Connection) -> Ledger:
    """The ledger of the transaction."""
    ledger: Ledger | None = connection.info[_KEY]
    if ledger is None:
        ledger = connection.info[_KEY] = Ledger()
    return ledger


def note_repository(connection: Connection, key: int, name: RepositoryName, counting: bool | None) -> None:
    """A repository was locked. :param counting: what :data:`COUNTING` told."""
    if counting:
        of(connection).namespaces[key] = name.namespace


def note_links(connection: Connection, repository: int, digests: Collection[str], change: int) -> None:
    """Blobs became part of a locked repository (1), or are no longer (-1)."""
    ledger = of(connection)
    namespace = ledger.namespaces.get(repository)
    if namespace is not None:
        for digest in digests:
            ledger.links[namespace][digest] += change


def is_counted(connection: Connection, repository: int) -> bool:
    """Whether :func:`note_links` has to be told of a locked repository."""
    return repository in of(connection).namespaces


@define(eq=False)
class Accounting:
    """
    Settles the ledger of each transaction.

    :param default: how many bytes a namespace may have that has no quota of its own; 0 for any amount.
    """

    default: int = 0
    #: How many transactions were refused.
    refused: int = field(default=0, init=False)

    def around(self, change: Callable[[Connection], T]) -> Callable[[Connection], T]:
        """The same change, which settles at its end."""

        def settled(connection: Connection) -> T:
            # Kept at hand: a connection that was cut meanwhile can not even be asked for it.
            info = connection.info
            # Most changes note nothing, and need no ledger.
            info[_KEY] = None
            try:
                result = change(connection)
                ledger = info[_KEY]
                if ledger is not None:
                    self._settle(connection, ledger)
            finally:
                info.pop(_KEY, None)
            return result

        return settled

    def limit(self, row: AnyRow | None) -> int:
        """What the namespace of a row may have, 0 for any amount."""
        return self.default if row is None or row.quota is None else int(row.quota)

    def _settle(self, connection: Connection, ledger: Ledger) -> None:
        for namespace in sorted({*ledger.links, *ledger.reserved, *ledger.entered}):
            self._settle_one(connection, ledger, namespace)

    def _settle_one(self, connection: Connection, ledger: Ledger, namespace: str) -> None:
        changes = {digest: change for digest, change in ledger.links[namespace].items() if change}
        reserved = ledger.reserved[namespace]
        least = 1 if namespace in ledger.entered else 0
        if not changes and not reserved and not least:
            return
        row = locked(connection, namespace)
        grown = _count(connection, namespace, changes)
        new = {"used": row.used + grown, "reserved": row.reserved + reserved}
        limit = self.limit(row)
        wanted = max(grown + reserved, least)
        if ledger.refuses and wanted > 0 and 0 < limit < row.used + row.reserved + wanted:
            self.refused += 1
            raise QuotaExceeded(namespace, limit, row.used, row.reserved, wanted)
        if grown or reserved:
            this = namespace_usage.c.namespace == namespace
            connection.execute(update(namespace_usage).where(this), new)


def locked(connection: Connection, namespace: str) -> AnyRow:
    """The row of a namespace, which no other transaction changes until this one ends; made if it is not there."""
    row = connection.execute(_USAGE, {"wanted": namespace}).one_or_none()
    if row is None:
        connection.execute(insert(namespace_usage), {"namespace": namespace, "used": 0, "reserved": 0})
        row = connection.execute(_USAGE, {"wanted": namespace}).one()
    return row


def has_blob(connection: Connection, namespace: str, digest: str) -> bool:
    """Whether a locked namespace takes up a blob already."""
    return next(_known(connection, namespace, [digest]), None) is not None


def _count(connection: Connection, namespace: str, changes: Mapping[str, int]) -> int:
    """Change how often blobs are part of a locked namespace; return how many bytes it takes up more."""
    grown = 0
    known = dict(_known(connection, namespace, sorted(changes)))
    new = [digest for digest, change in changes.items() if change > 0 and digest not in known]
    sizes = dict(_sizes(connection, sorted(new)))
    for digest, change in sorted(changes.items()):
        this = (namespace_blobs.c.namespace == namespace) & (namespace_blobs.c.digest == digest)
        if digest in sizes:
            values = {"namespace": namespace, "digest": digest, "links": change, "size": sizes[digest]}
            connection.execute(insert(namespace_blobs), values)
            grown += sizes[digest]
        elif digest in known:
            links, size = known[digest]
            if links + change > 0:
                connection.execute(update(namespace_blobs).where(this), {"links": links + change})
            else:
                connection.execute(delete(namespace_blobs).where(this))
                grown -= size
    return grown


def _known(connection: Connection, namespace: str, digests: Sequence[str]) -> Iterator[tuple[str, tuple[int, int]]]:
    query = select(namespace_blobs).where(namespace_blobs.c.namespace == namespace)
    for batch in _batches(digests):
        for row in connection.execute(query.where(namespace_blobs.c.digest.in_(batch))):
            yield row.digest, (row.links, row.size)


def _sizes(connection: Connection, digests: Sequence[str]) -> Iterator[tuple[str, int]]:
    for batch in _batches(digests):
        for row in connection.execute(select(blobs.c.digest, blobs.c.size).where(blobs.c.digest.in_(batch))):
            yield row.digest, row.size


def _batches(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for first in range(0, len(values), _BATCH):
        yield values[first : first + _BATCH]
