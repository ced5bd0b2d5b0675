"""
The file of an SQLite database, while it is open.

SQLite goes on with a file that was removed under it: what is written then is lost when the last process closes it. And
it makes a new, empty database where there is none. So the file is looked at before each transaction, and connections
never make one.
"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, make_url

from dockreg.errors import StoreUnavailable


class DatabaseFile:
    """
    The file that a database was opened with.

    :raises OSError: it is not there.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._identity = self._look()

    def require(self) -> None:
        """:raises StoreUnavailable: it is not where it was, or another one is."""
        try:
            found = self._look()
        except OSError as problem:
            raise StoreUnavailable("the file of the metadata store is gone: put it back") from problem
        if found != self._identity:
            raise StoreUnavailable("another file is in the place of the metadata store: restart dockreg to use it")

    def _look(self) -> tuple[int, int]:
        found = os.stat(self._path)  # noqa: PTH116 - before each transaction
        return found.st_dev, found.st_ino


def file_of(url: URL) -> str | None:
    """The file of a database, None when it is in memory, or somewhere else."""
    path = url.database
    if url.get_backend_name() != "sqlite" or not path or path == ":memory:" or path.startswith("file:"):
        return None
    return path


def path_of(url: str) -> Path | None:
    """The same of a database that is named by text."""
    path = file_of(make_url(url))
    return None if path is None else Path(path)


def connector(url: URL, timeout: float) -> Callable[[], sqlite3.Connection] | None:
    """What opens a connection to the file of a database, and makes none; None where SQLAlchemy knows better."""
    path = file_of(url)
    if path is None or set(url.query) - {"timeout"}:
        return None
    seconds = float(str(url.query.get("timeout", timeout)))

    def connect() -> sqlite3.Connection:
        where = f"file:{quote(os.path.abspath(path))}?mode=rw"  # noqa: PTH100 - without following links
        return sqlite3.connect(where, uri=True, timeout=seconds, check_same_thread=False)

    return connect
