"""
A whole database copied into a file, and from a file into an empty database.

The file is a SQLite database with the same tables, whatever the database is: so a registry moves from SQLite to
PostgreSQL and back. The copy is what one transaction sees, beside others that write.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from attrs import define, field, frozen
from sqlalchemy import Connection, Engine, Table, delete, exc, func, insert, make_url, select, text, update

from dockreg.callables import InThread
from dockreg.model.blobs import StoredBlob
from dockreg.model.v1 import LayerFacts
from dockreg.providers.metadata.failures import translated
from dockreg.providers.metadata.rows import ALL_BUT_CONTENT, STORED_COLUMNS, facts_of, stored_of
from dockreg.providers.metadata.schema import prepare
from dockreg.providers.metadata.tables import accounts, blobs, metadata, repositories, signing_keys, v1_images
from dockreg.providers.metadata.tables_access import account_groups, grants, namespaces
from dockreg.providers.metadata.tables_quotas import namespace_usage
from dockreg.providers.metadata.transactions import make_engine

T = TypeVar("T")

#: What is only about what goes on now: sessions, pushes that are not finished, logins that failed, how far the work is that
#: goes through everything, and what was read.
_TRANSIENT = ("uploads", "v1_staged_", "login_attempts", "collect", "scrubs", "lasting_version")
#: A registry that has none of these has nothing that anybody could miss; other tables may have rows from their beginning.
_DECISIVE = (repositories, v1_images, accounts, signing_keys, namespaces, account_groups, grants)
_ROWS = 500


@frozen
class CopiedBlob:
    """A blob in a copy: its object as it was there, and what was known of it as a layer."""

    blob: StoredBlob
    facts: LayerFacts | None


@define(eq=False)
class MetadataCopies:
    """Copies of one database. Open it first, and close it."""

    _url: str
    _in_thread: InThread
    _engine: Engine | None = field(default=None, init=False)

    async def open(self) -> None:
        """Connect, and bring the schema up to date."""
        self._engine = make_engine(self._url, is_sqlite=make_url(self._url).get_backend_name() == "sqlite")
        await self._in_thread(_told, prepare, self._engine)

    async def close(self) -> None:
        """Release the database."""
        if self._engine is not None:
            await self._in_thread(self._engine.dispose)

    async def dump(self, path: Path) -> None:
        """Copy everything into a new file of mode 0600, which is durable then."""
        await self._in_thread(_told, self.run, False, _dump, path)

    async def is_empty(self) -> bool:
        """Whether there is nothing in the database, or at most blobs that nothing refers to."""
        return await self._in_thread(_told, self.run, False, _is_empty)

    async def load(self, path: Path) -> None:
        """
        Copy everything from a file, all or nothing; the blobs that have bytes of their own are recorded already.

        :param path: of a copy that was brought up to date.
        """
        await self._in_thread(_told, self.run, True, _load, path)

    def run(self, writing: bool, job: Callable[..., T], *args: Any) -> T:
        """One transaction. Blocks."""
        assert self._engine is not None
        with self._engine.connect() as connection:
            if writing and self._engine.dialect.name == "sqlite":
                # One that reads first and writes later fails when another one wrote in between.
                cast("sqlite3.Connection", connection.connection.driver_connection).execute("BEGIN IMMEDIATE")
            result = job(connection, *args)
            if writing:
                connection.commit()
            return result


def _told(job: Callable[..., T], *args: Any) -> T:
    """:raises RegistryError: the database does not do it."""
    try:
        return job(*args)
    except exc.DBAPIError as problem:
        raise translated(problem) from problem


def bring_up_to_date(path: Path) -> None:
    """Give a copy that an older program made the tables of this one. Blocks."""
    engine = make_engine(f"sqlite:///{path}", is_sqlite=True)
    try:
        prepare(engine)
    finally:
        engine.dispose()


def blobs_of(path: Path) -> Iterator[CopiedBlob]:
    """The blobs in a copy that have bytes of their own, in the order of their digests. Blocks."""
    engine = make_engine(f"sqlite:///{path}", is_sqlite=True)
    try:
        with engine.connect() as connection:
            query = select(*STORED_COLUMNS).where(blobs.c.generation.is_not(None)).order_by(blobs.c.digest)
            for row in connection.execute(query.execution_options(yield_per=_ROWS)):
                yield CopiedBlob(stored_of(row), None if row.compression is None else facts_of(row))
    finally:
        engine.dispose()


def _tables() -> Sequence[Table]:
    return [table for table in metadata.sorted_tables if not table.name.startswith(_TRANSIENT)]


def _dump(source: Connection, path: Path) -> None:
    if source.dialect.name == "postgresql":
        source.execution_options(isolation_level="REPEATABLE READ")
    engine = make_engine(f"sqlite:///{path}", is_sqlite=True)
    try:
        prepare(engine)
        with engine.begin() as target:
            _copy(source, target)
        connection = engine.raw_connection()
        try:
            # One file, and nothing beside it.
            connection.cursor().execute("PRAGMA journal_mode=DELETE")
        finally:
            connection.close()
    finally:
        engine.dispose()
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load(target: Connection, path: Path) -> None:
    engine = make_engine(f"sqlite:///{path}", is_sqlite=True)
    try:
        with engine.connect() as source:
            _copy(source, target, derived_only=True)
    finally:
        engine.dispose()
    if target.dialect.name == "postgresql":
        for table in _tables():
            if table.autoincrement_column is not None:
                _go_on_counting(target, table)


def _copy(source: Connection, target: Connection, *, derived_only: bool = False) -> None:
    if target.dialect.name == "sqlite":
        target.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
    for table in reversed(_tables()):
        if table is not blobs:
            # What migrations have put there.
            target.execute(delete(table))
    for table in _tables():
        # What is stored of a blob is not copied, wherever it is.
        query = select(*(ALL_BUT_CONTENT if table is blobs else table.columns)).order_by(*_order(table))
        if derived_only and table is blobs:
            query = query.where(blobs.c.generation.is_(None))
        for rows in source.execute(query.execution_options(yield_per=_ROWS)).partitions():
            target.execute(insert(table), [dict(row._mapping) for row in rows])  # noqa: SLF001  # its documented name
    # It was reserved by uploads, which are not copied.
    target.execute(update(namespace_usage), {"reserved": 0})


def _order(table: Table) -> Iterator[Any]:
    """Of rows that refer to others of the same table, those first that do not; and then by age."""
    for key in table.foreign_keys:
        if key.column.table is table:
            yield key.parent.is_not(None)
    yield from table.primary_key.columns


def _go_on_counting(connection: Connection, table: Table) -> None:
    column = table.autoincrement_column
    assert column is not None
    last = connection.execute(select(func.max(column))).scalar()
    if last is not None:
        query = text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)")
        connection.execute(query, {"table": table.name, "column": column.name, "last": last})


def _is_empty(connection: Connection) -> bool:
    return all(connection.execute(select(table).limit(1)).first() is None for table in _DECISIVE)
