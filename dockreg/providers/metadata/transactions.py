"""Transactions in worker threads, and what a database says in the words of the registry."""

import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url
from twisted.python.failure import Failure

from dockreg.callables import InThread
from dockreg.errors import StorageFull, StoreUnavailable
from dockreg.providers.metadata.bare import BareConnection, Statements, statements_of
from dockreg.providers.metadata.batches import Batches, Change, More, Outcomes, Wanted
from dockreg.providers.metadata.databasefile import DatabaseFile, connector, file_of
from dockreg.providers.metadata.failures import report, reported, translated
from dockreg.providers.metadata.kept import KeptConnection, is_read_only
from dockreg.providers.metadata.near import NearReads, NotNow
from dockreg.providers.metadata.together import NotTogether, Together

P = ParamSpec("P")
T = TypeVar("T")

_ATTEMPTS = 5
#: How long SQLite waits for a writer in another process, and PostgreSQL may take to accept a connection.
_WAIT_SECONDS = 15
#: The option of an engine of SQLAlchemy whose transactions will write.
WRITING = "dockreg_writing"
#: The disk has it some time later: with the next commit that waits for the disk, at the latest.
_SOON = "NORMAL"

#: PostgreSQL: serialization_failure, deadlock_detected; unique_violation comes of two who inserted at once, and
#: foreign_key_violation of one who refers to what another removes.
_REPEATABLE = frozenset({"40001", "40P01", "23505", "23503"})


def _same(change: Change) -> Change:
    return change


class Database:
    """
    One database and its pool of connections.

    A whole transaction is one job for a thread. Who waits for it may be cancelled; the job is not, and ends in a commit
    or a rollback in any case.
    """

    def __init__(self, url: str, in_thread: InThread, around: Callable[[Change], Change] = _same) -> None:
        """:param around: makes, of each change, what is done in a transaction."""
        self._around = around
        self.url = make_url(url)
        self._in_thread = in_thread
        self._engine: Engine | None = None
        #: What has to be where it was; SQLite only.
        self._file: DatabaseFile | None = None
        #: For point reads in the thread of the reactor. It is open for SQLite only, whose reads wait for no network.
        self.near = NearReads()
        # For all statements of SQLite.
        self._statements: Statements | None = None
        # For what Batches commit, which is one transaction at a time.
        self._writer: KeptConnection | None = None
        # SQLite lets a second writer poll for its turn; those of one process wait here instead, and share commits.
        self._batches: Batches | None = Batches(in_thread, self._commit) if self.is_sqlite else None

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file of SQLite."""
        return self.url.get_backend_name() == "sqlite"

    async def open(self, prepare: Callable[[Engine], None]) -> None:
        """Make the engine, and let ``prepare`` bring its schema up to date."""
        if self._engine is None:
            engine = self._engine = await self._job(self._make_engine, prepare)
            if self.is_sqlite:
                path = file_of(self.url)
                self._file = None if path is None else DatabaseFile(path)
                self._statements = statements_of(engine.dialect)
                await self._job(self._open_near)
                patience = float(str(self.url.query.get("timeout", _WAIT_SECONDS)))
                self._writer = KeptConnection(engine, self._statements, patience)

    async def close(self) -> None:
        """Close the connections that are not in use; the others follow when their transactions are over."""
        engine, self._engine = self._engine, None
        writer, self._writer = self._writer, None
        self.near.close()
        if writer is not None:
            await self._in_thread(writer.close)
        if engine is not None:
            await self._in_thread(engine.dispose)

    async def read(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``query`` finds in one transaction that is rolled back."""
        return await self._job(self._repeat, False, lambda connection: query(connection, *args, **kwargs))

    async def find(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Like :meth:`read`, for reads of a few rows by their key; the result is shared, and so not to be changed.

        :param args: can be keys of a dictionary. There are none by name.
        """
        try:
            return self.near.read(query, args)
        except NotNow:
            pass
        return await self.read(query, *args, **kwargs)

    async def find_lasting(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Like :meth:`find`, of what :mod:`~dockreg.providers.metadata.tables_lasting` says; None does not last."""
        try:
            return self.near.read_lasting(query, args)
        except NotNow:
            pass
        return await self.read(query, *args, **kwargs)

    async def look(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like :meth:`find`, for what is to take as long the second time: it is not remembered, and may be changed."""
        try:
            return self.near.look(query, args)
        except NotNow:
            pass
        return await self.read(query, *args, **kwargs)

    def write(
        self, change: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]:
        """
        The result of ``change``, which is committed and durable.

        ``change`` may run more than once, each time on what the last attempt did not change.
        """
        return self._change(Wanted(self._around(lambda connection: change(connection, *args, **kwargs))))

    def write_here(self, change: Callable[[Connection], T], *, durable: bool = True) -> T:
        """Like :meth:`write`, or :meth:`note`, for who is in a thread and blocks until it is committed."""
        wanted = Wanted(self._around(change), durable)
        with reported():
            return cast("T", self._batches.write_here(wanted) if self._batches else self._repeat(True, wanted.change))

    def note(
        self, change: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]:
        """
        The result of ``change``, which is committed, so that every process sees it.

        Unlike that of :meth:`write` it may be undone by a failure of power, as long as nothing was written after it.
        """
        return self._change(Wanted(self._around(lambda connection: change(connection, *args, **kwargs)), durable=False))

    async def _change(self, wanted: Wanted) -> Any:
        if self._batches is None:
            return await self._job(self._repeat, True, wanted.change)
        written = self._batches.write(wanted)
        if written.called:
            # Where jobs are done at once there was no wait that has ended the moment.
            self.near.end_moment()
        # Not `reported`, which costs some calls of functions each time.
        try:
            return await written
        except (StorageFull, StoreUnavailable) as problem:
            report(problem)
            raise

    async def _job(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with reported():
            return await self._in_thread(job, *args, **kwargs)

    def _make_engine(self, prepare: Callable[[Engine], None]) -> Engine:
        engine = make_engine(self.url.render_as_string(hide_password=False), is_sqlite=self.is_sqlite)
        try:
            prepare(engine)
        except BaseException as problem:
            engine.dispose()
            if isinstance(problem, exc.DBAPIError):
                raise translated(problem) from problem
            if isinstance(problem, OSError | sqlite3.Error):
                raise StoreUnavailable("the metadata store can not be opened") from problem
            raise
        return engine

    def _open_near(self) -> None:
        url = self.url.update_query_dict({"timeout": "0"})
        engine = make_engine(url.render_as_string(hide_password=False), is_sqlite=True)
        self.near.open(engine, statements_of(engine.dialect))

    def _repeat(self, writing: bool, job: Callable[[Connection], T], *, durable: bool = True) -> T:
        engine = self._engine
        if engine is None:
            raise StoreUnavailable("the metadata store is not open")
        if self._file is not None:
            self._file.require()
        attempt = 1
        while True:
            transaction = self._transaction(engine, writing, durable=durable)
            try:
                return transaction.run(job)
            except exc.DBAPIError as problem:
                if attempt == _ATTEMPTS or not transaction.may_be_repeated(problem):
                    raise translated(problem) from problem
            except exc.TimeoutError as problem:
                raise StoreUnavailable("the metadata store is busy") from problem
            attempt += 1

    def _transaction(self, engine: Engine, writing: bool, *, durable: bool) -> "_Transaction":
        if self._statements is None:
            return _Transaction(engine, writing)
        if not writing:
            return _BareTransaction(engine, self._statements)
        writer = self._writer
        if writer is None:
            raise StoreUnavailable("the metadata store is not open")
        return _BareWrite(engine, writer, "FULL" if durable else _SOON)

    def _commit(self, batch: list[Wanted], more: More) -> Outcomes:
        """Make all changes in one transaction; each by itself when the database fails at one of them."""
        engine = self._engine
        if engine is None:
            raise StoreUnavailable("the metadata store is not open")
        if self._file is not None:
            self._file.require()
        durable = any(each.durable for each in batch)
        try:
            return Together(self._transaction(engine, True, durable=durable), batch, more, durable).run()
        except NotTogether:
            return [self._alone(each) for each in batch]

    def _alone(self, wanted: Wanted) -> Any:
        try:
            return self._repeat(True, wanted.change, durable=wanted.durable)
        except Exception:  # noqa: BLE001 - it is told to who wanted this change
            return Failure()


class _Transaction:
    """One attempt."""

    def __init__(self, engine: Engine, writing: bool) -> None:
        self._engine = engine
        self._writing = writing
        #: Whether it was to be committed: when that fails, nobody knows whether it was.
        self.committing = False

    def run(self, job: Callable[[Connection], T]) -> T:
        with self._engine.connect() as connection:
            result = job(connection)
            if self._writing:
                self.committing = True
                connection.commit()
            return result

    def may_be_repeated(self, problem: exc.DBAPIError) -> bool:
        """Whether nothing was changed, and another attempt may do better."""
        if problem.connection_invalidated:
            # A connection of the pool may have died long ago. When it died in the commit, nobody knows what happened.
            return not self.committing
        return getattr(problem.orig, "sqlstate", None) in _REPEATABLE


class _BareTransaction(_Transaction):
    """One attempt in SQLite to read, by its driver."""

    def __init__(self, engine: Engine, statements: Statements) -> None:
        super().__init__(engine, False)
        self._statements = statements

    def run(self, job: Callable[[Connection], T]) -> T:
        with self._engine.connect() as pooled:
            connection = BareConnection(pooled, self._statements)
            connection.run("BEGIN")
            try:
                return job(cast("Connection", connection))
            finally:
                # The pool takes no connection back that is in a transaction.
                connection.rollback()


class _BareWrite(_Transaction):
    """
    One attempt in SQLite to write, by its driver.

    :param synchronous: see :meth:`Database.note`.
    """

    def __init__(self, engine: Engine, writer: KeptConnection, synchronous: str) -> None:
        super().__init__(engine, True)
        self._writer = writer
        self._synchronous = synchronous

    def run(self, job: Callable[[Any], T]) -> T:
        def work(connection: BareConnection) -> T:
            result = job(connection)
            self.committing = True
            connection.commit()
            return result

        return self._writer.run(self._synchronous, work)

    def may_be_repeated(self, problem: exc.DBAPIError) -> bool:
        """See there; the next attempt opens the file anew."""
        return not self.committing and (is_read_only(problem) or super().may_be_repeated(problem))


def make_engine(url: str, *, is_sqlite: bool) -> Engine:
    """Connections to a database, with the transactions that :class:`Database` needs."""
    # Threads are few, so connections are too: their number needs no limit of its own. Values of parameters are secrets.
    if not is_sqlite:
        limits = {"connect_timeout": _WAIT_SECONDS, "tcp_user_timeout": _WAIT_SECONDS * 1000}
        return create_engine(url, max_overflow=-1, hide_parameters=True, connect_args=limits)
    waits = {} if "timeout" in make_url(url).query else {"timeout": _WAIT_SECONDS}
    connect = connector(make_url(url), _WAIT_SECONDS)
    means = {"connect_args": waits} if connect is None else {"creator": connect}
    engine = create_engine(url, max_overflow=-1, hide_parameters=True, **means)

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins no transactions of its own
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # SQLAlchemy takes part in a transaction that was begun by the driver, or begins one of its own, as for migrations.
        if not cast("sqlite3.Connection", connection.connection.driver_connection).in_transaction:
            writing = connection.get_execution_options().get(WRITING, False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine
