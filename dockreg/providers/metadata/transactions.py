"""Transactions in worker threads, and what a database says in the words of the registry."""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url
from twisted.logger import Logger

from dockreg.callables import InThread
from dockreg.errors import RegistryError, StorageFull, StoreUnavailable
from dockreg.providers.metadata.near import NearReads, NotNow

P = ParamSpec("P")
T = TypeVar("T")

_ATTEMPTS = 5
#: How long SQLite waits for a writer in another process, and PostgreSQL may take to accept a connection.
_WAIT_SECONDS = 15
_WRITING = "dockreg_writing"

_SQLITE_ERROR = 1
_SQLITE_FULL = 13
#: PostgreSQL: serialization_failure, deadlock_detected; unique_violation comes of two who inserted at once.
_REPEATABLE = frozenset({"40001", "40P01", "23505"})
_DISK_FULL = "53100"

log = Logger()


class Database:
    """
    One database and its pool of connections.

    A whole transaction is one job for a thread. Who waits for it may be cancelled; the job is not, and ends in a commit
    or a rollback in any case.
    """

    def __init__(self, url: str, in_thread: InThread) -> None:
        self.url = make_url(url)
        self._in_thread = in_thread
        # For transactions that read, and for those that write; both have the same connections.
        self._engines: tuple[Engine, Engine] | None = None
        # For point reads in the thread of the reactor; SQLite only, whose reads wait for no network.
        self._near: NearReads | None = None
        # SQLite lets a second writer poll for its turn; those of one process wait here instead.
        self._turn: AbstractContextManager[Any] = Lock() if self.is_sqlite else nullcontext()

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file of SQLite."""
        return self.url.get_backend_name() == "sqlite"

    async def open(self, prepare: Callable[[Engine], None]) -> None:
        """Make the engine, and let ``prepare`` bring its schema up to date."""
        if self._engines is None:
            engine = await self._job(self._make_engine, prepare)
            self._engines = (engine, engine.execution_options(**{_WRITING: True}))
            if self.is_sqlite:
                self._near = await self._job(self._make_near)

    async def close(self) -> None:
        """Close the connections that are not in use; the others follow when their transactions are over."""
        engines, self._engines = self._engines, None
        near, self._near = self._near, None
        if near is not None:
            near.close()
        if engines is not None:
            await self._in_thread(engines[False].dispose)

    async def read(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``query`` finds in one transaction that is rolled back."""
        return await self._job(self._repeat, False, lambda connection: query(connection, *args, **kwargs))

    async def find(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Like :meth:`read`, for reads of a few rows by their key; the result is shared, and so not to be changed.

        :param args: can be keys of a dictionary. There are none by name.
        """
        near = self._near
        if near is not None:
            try:
                return near.read(query, args)
            except NotNow:
                pass
        return await self.read(query, *args, **kwargs)

    async def write(self, change: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        The result of ``change``, which is committed and durable.

        ``change`` may run more than once, each time on what the last attempt did not change.
        """
        return await self._job(self._repeat, True, lambda connection: change(connection, *args, **kwargs))

    async def _job(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._in_thread(job, *args, **kwargs)
        except (StorageFull, StoreUnavailable) as problem:
            log.warn("metadata store: {reason}: {cause}", reason=str(problem), cause=_cause(problem))
            raise

    def _make_engine(self, prepare: Callable[[Engine], None]) -> Engine:
        engine = _engine(self.url.render_as_string(hide_password=False), is_sqlite=self.is_sqlite)
        try:
            prepare(engine)
        except BaseException as problem:
            engine.dispose()
            if isinstance(problem, exc.DBAPIError):
                raise _translated(problem) from problem
            if isinstance(problem, OSError | sqlite3.Error):
                raise StoreUnavailable("the metadata store can not be opened") from problem
            raise
        return engine

    def _make_near(self) -> NearReads:
        url = self.url.update_query_dict({"timeout": "0"})
        return NearReads(_engine(url.render_as_string(hide_password=False), is_sqlite=True))

    def _repeat(self, writing: bool, job: Callable[[Connection], T]) -> T:
        engines = self._engines
        if engines is None:
            raise StoreUnavailable("the metadata store is not open")
        attempt = 1
        while True:
            transaction = _Transaction(engines[writing], writing)
            try:
                with self._turn if writing else nullcontext():
                    return transaction.run(job)
            except exc.DBAPIError as problem:
                if attempt == _ATTEMPTS or not transaction.may_be_repeated(problem):
                    raise _translated(problem) from problem
            except exc.TimeoutError as problem:
                raise StoreUnavailable("the metadata store is busy") from problem
            attempt += 1


class _Transaction:
    """One attempt."""

    def __init__(self, engine: Engine, writing: bool) -> None:
        self._engine = engine
        self._writing = writing
        self._committing = False

    def run(self, job: Callable[[Connection], T]) -> T:
        with self._engine.connect() as connection:
            result = job(connection)
            if self._writing:
                self._committing = True
                connection.commit()
            return result

    def may_be_repeated(self, problem: exc.DBAPIError) -> bool:
        """Whether nothing was changed, and another attempt may do better."""
        if problem.connection_invalidated:
            # A connection of the pool may have died long ago. When it died in the commit, nobody knows what happened.
            return not self._committing
        return getattr(problem.orig, "sqlstate", None) in _REPEATABLE


def _engine(url: str, *, is_sqlite: bool) -> Engine:
    # Threads are few, so connections are too: their number needs no limit of its own. Values of parameters are secrets.
    if not is_sqlite:
        limits = {"connect_timeout": _WAIT_SECONDS, "tcp_user_timeout": _WAIT_SECONDS * 1000}
        return create_engine(url, max_overflow=-1, hide_parameters=True, connect_args=limits)
    waits = {} if "timeout" in make_url(url).query else {"timeout": _WAIT_SECONDS}
    engine = create_engine(url, max_overflow=-1, hide_parameters=True, connect_args=waits)

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins no transactions of its own
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and writes later fails when another one wrote in between.
        writing = connection.get_execution_options().get(_WRITING, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _translated(problem: exc.DBAPIError) -> Exception:
    """What to tell; a mistake of ours stays what it is."""
    code = getattr(problem.orig, "sqlite_errorcode", 0) & 0xFF
    if code == _SQLITE_FULL or getattr(problem.orig, "sqlstate", None) == _DISK_FULL:
        return StorageFull()
    if code == _SQLITE_ERROR or isinstance(problem, exc.IntegrityError | exc.ProgrammingError | exc.DataError):
        return problem
    return StoreUnavailable("the metadata store does not answer now")


def _cause(problem: RegistryError) -> str:
    cause = problem.__cause__
    return str(cause.orig if isinstance(cause, exc.DBAPIError) else cause)
