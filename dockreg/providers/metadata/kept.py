"""
The connection of SQLite that writes.

It is kept between transactions, of which there is one at a time: so the pages that it has read, and the statements that it
has prepared, serve the next one, as long as no other process writes.

While another process writes, SQLite itself would look whether it still does after 1, 2, 5, 10, 15, 20, 25 ms and more,
up to 100: whoever is unlucky waits for hundreds of transactions that take a millisecond. So that is done here, and oftener.

A disk that has refused to write tells it once, and the next flush may succeed without what was lost. What was committed and not
flushed yet (:meth:`.Database.note`) may be missing in the middle of the log then, and a failure of power would take with it whatever
stands behind. So after an error of the disk the log is written to the database and begun again before anything is added to it.
"""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Event, Lock
from typing import TypeVar

from sqlalchemy import Connection, Engine, exc

from dockreg.errors import StoreUnavailable
from dockreg.providers.metadata.bare import BareConnection, Statements

T = TypeVar("T")

#: Seconds between looking whether another process still writes: at first, how they grow, and at most.
_FIRST_PAUSE = 0.0005
_GROWTH = 1.2
_LONGEST_PAUSE = 0.02
#: The lower bits of a code are what all codes of this kind have in common.
_KIND = 0xFF


class KeptConnection:
    """
    Taken from the pool of ``engine`` when it is first needed, and given back when the database fails.

    :param wait_seconds: how long to wait for other processes.
    :param pause: waits for so many seconds, in the thread that writes.
    """

    def __init__(
        self,
        engine: Engine,
        statements: Statements,
        wait_seconds: float,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self._wait_seconds = wait_seconds
        self._pause = pause or Event().wait
        self._engine = engine
        self._statements = statements
        self._lock = Lock()
        self._pooled: Connection | None = None
        self._connection: BareConnection | None = None
        #: What the connection was last told; of a new one it is not known.
        self._synchronous: str | None = None
        # Whether all that is in the log is what is on the disk.
        self._is_sure = True
        self._closed = False

    def run(self, synchronous: str, work: Callable[[BareConnection], T]) -> T:
        """
        What ``work`` returns, in a transaction that writes, and is rolled back unless ``work`` has committed it.

        Blocks while another one is under way.

        :param synchronous: how SQLite commits it.
        :raises StoreUnavailable: the store was closed; or others read while the log has to be begun again.
        """
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the metadata store is not open")
            connection = self._connection
            if connection is None:
                self._pooled = self._engine.connect()
                connection = self._connection = BareConnection(self._pooled, self._statements)
            try:
                if self._synchronous is None:
                    connection.run("PRAGMA busy_timeout=0")
                if synchronous != self._synchronous:
                    connection.run(f"PRAGMA synchronous={synchronous}")
                    self._synchronous = synchronous
                if not self._is_sure:
                    self._wait_for(partial(_has_emptied_log, connection))
                    self._is_sure = True
                # A transaction that reads first and writes later fails when another one wrote in between.
                self._wait_for(partial(_has_begun, connection))
                try:
                    return work(connection)
                finally:
                    # Nothing after a commit.
                    connection.rollback()
            except exc.DBAPIError as problem:
                self._is_sure = self._is_sure and not _is_of(problem, sqlite3.SQLITE_IOERR)
                if is_read_only(problem):
                    self._drop_all()
                else:
                    self._give_back()
                raise

    def close(self) -> None:
        """Once the transaction that is under way is over."""
        with self._lock:
            self._closed = True
            self._give_back()

    def _wait_for(self, succeeds: Callable[[bool], bool]) -> None:
        """Try it until others let it. :param succeeds: told whether this is its last chance, when it is to raise why not."""
        waited, pause = 0.0, _FIRST_PAUSE
        while not succeeds(waited >= self._wait_seconds):
            self._pause(pause)
            waited += pause
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)

    def _give_back(self) -> None:
        pooled, self._pooled = self._pooled, None
        connection, self._connection, self._synchronous = self._connection, None, None
        if pooled is not None and connection is not None:
            with suppress(exc.DBAPIError):
                connection.run(f"PRAGMA busy_timeout={int(self._wait_seconds * 1000)}")
            pooled.close()

    def _drop_all(self) -> None:
        """Open the file anew: SQLite opens it to be read where it could not to be written, and those connections stay so."""
        pooled, self._pooled = self._pooled, None
        self._connection = self._synchronous = None
        if pooled is not None:
            pooled.invalidate()
            pooled.close()
        self._engine.dispose()


def is_read_only(problem: exc.DBAPIError) -> bool:
    """Whether the connection can not write, and nothing was written therefore."""
    return _is_of(problem, sqlite3.SQLITE_READONLY)


def _has_begun(connection: BareConnection, is_last: bool) -> bool:
    try:
        connection.run("BEGIN IMMEDIATE")
    except exc.DBAPIError as problem:
        if is_last or not is_busy(problem):
            raise
        return False
    return True


def _has_emptied_log(connection: BareConnection, is_last: bool) -> bool:
    (is_blocked, *_) = connection.ask("PRAGMA wal_checkpoint(TRUNCATE)")
    if is_blocked and is_last:
        raise StoreUnavailable("the metadata store is busy")
    return not is_blocked


def is_busy(problem: exc.DBAPIError) -> bool:
    """Whether somebody else writes, and did so for as long as there was to wait."""
    return _is_of(problem, sqlite3.SQLITE_BUSY)


def _is_of(problem: exc.DBAPIError, kind: int) -> bool:
    return (getattr(problem.orig, "sqlite_errorcode", 0) & _KIND) == kind
