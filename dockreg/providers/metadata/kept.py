"""
The connection of SQLite that writes.

It is kept between transactions, of which there is one at a time: so the pages that it has read, and the statements that it
has prepared, serve the next one, as long as no other process writes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from sqlalchemy import Connection, Engine, exc

from dockreg.errors import StoreUnavailable
from dockreg.providers.metadata.bare import BareConnection, Statements


class KeptConnection:
    """Taken from the pool of ``engine`` when it is first needed, and given back when the database fails."""

    def __init__(self, engine: Engine, statements: Statements) -> None:
        self._engine = engine
        self._statements = statements
        self._lock = Lock()
        self._pooled: Connection | None = None
        #: What the connection was last told; of a new one it is not known.
        self._synchronous: str | None = None
        self._closed = False

    @contextmanager
    def transaction(self, synchronous: str) -> Iterator[BareConnection]:
        """
        One that writes, and is rolled back unless it was committed. Blocks while another one is under way.

        :param synchronous: how SQLite commits it.
        :raises StoreUnavailable: the store was closed.
        """
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the metadata store is not open")
            if self._pooled is None:
                self._pooled = self._engine.connect()
            connection = BareConnection(self._pooled, self._statements)
            try:
                if synchronous != self._synchronous:
                    connection.run(f"PRAGMA synchronous={synchronous}")
                    self._synchronous = synchronous
                # A transaction that reads first and writes later fails when another one wrote in between.
                connection.run("BEGIN IMMEDIATE")
                try:
                    yield connection
                finally:
                    # Nothing after a commit.
                    connection.rollback()
            except exc.DBAPIError:
                self._give_back()
                raise

    def close(self) -> None:
        """Once the transaction that is under way is over."""
        with self._lock:
            self._closed = True
            self._give_back()

    def _give_back(self) -> None:
        pooled, self._pooled, self._synchronous = self._pooled, None, None
        if pooled is not None:
            pooled.close()
