"""What a database of SQLite holds, for tests of what is not to change it."""

import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field


@define(eq=False)
class Recorded:
    """
    All rows of all tables.

    They are read again only when another connection has committed something since, as SQLite tells.

    :param left_out: names of columns that do not count.
    """

    path: Path
    left_out: Collection[str] = ()
    _connection: sqlite3.Connection | None = field(default=None, init=False)
    _queries: Sequence[tuple[str, str]] = field(default=(), init=False)
    _version: int | None = field(default=None, init=False)
    _rows: Sequence[tuple[str, Sequence[Any]]] = field(default=(), init=False)

    def read(self) -> Sequence[tuple[str, Sequence[Any]]]:
        """Each table with its rows; the same object as long as nothing was committed."""
        connection = self._connected()
        version = connection.execute("pragma data_version").fetchone()[0]
        if version != self._version:
            self._rows = [(name, connection.execute(query).fetchall()) for name, query in self._queries]
            self._version = version
        return self._rows

    def close(self) -> None:
        """Close the connection, if there was something to read."""
        if self._connection is not None:
            self._connection.close()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, isolation_level=None)
            tables = connection.execute("select name from sqlite_master where type = 'table' order by 1").fetchall()
            self._queries = [(name, self._query(connection, name)) for (name,) in tables]
        return self._connection

    def _query(self, connection: sqlite3.Connection, table: str) -> str:
        columns = [row[1] for row in connection.execute(f'pragma table_info("{table}")')]
        chosen = ",".join(f'"{column}"' for column in columns if column not in self.left_out)
        return f'select {chosen} from "{table}"'
