"""
Point reads of SQLite without a thread, and without a query while nobody has written.

A read of a few rows takes less time than to have a thread do it. What was read is remembered for as long as the
database says that it was not changed since: by any connection, of any process (SQLite, ``PRAGMA data_version``). So an
answer is never older than the moment of its question.

What hardly anybody changes lasts longer than that. When somebody has written, one look at one row says whether it was something
of this kind (:mod:`dockreg.providers.metadata.tables_lasting`).
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Any, TypeVar

from sqlalchemy import Engine, exc

from dockreg.model.rights import Standing
from dockreg.providers.metadata.bare import BareConnection, Statements
from dockreg.providers.metadata.tables_lasting import READ_VERSION

T = TypeVar("T")

#: What is remembered, roughly in bytes; and, beside that, of what lasts.
_MOST_REMEMBERED = 16 * 1024 * 1024
_MOST_LASTING = 8 * 1024 * 1024
#: What an entry weighs beside the bytes of a document, and each part of a list, or of what somebody is.
_ENTRY_BYTES = 512
_PART_BYTES = 128


class NotNow(Exception):
    """The database can not be asked without waiting; ask it in a thread."""


class _Remembered:
    """Answers, by their questions; those that were not asked for the longest time go."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._known: OrderedDict[tuple[Any, ...], tuple[Any, int]] = OrderedDict()
        self._weight = 0

    def find(self, key: tuple[Any, ...]) -> tuple[Any, int] | None:
        """The answer, and what it weighs."""
        known = self._known.get(key)
        # As long as there is much room, it does not matter who goes first.
        if known is not None and self._weight > self._most_bytes // 2:
            self._known.move_to_end(key)
        return known

    def keep(self, key: tuple[Any, ...], found: Any) -> None:
        weight = _weight(found)
        if weight > self._most_bytes // 16:
            return
        self._known[key] = (found, weight)
        self._weight += weight
        while self._weight > self._most_bytes:
            _, (_, dropped) = self._known.popitem(last=False)
            self._weight -= dropped

    def forget(self) -> None:
        self._known.clear()
        self._weight = 0


class NearReads:
    """One connection for the thread of the reactor. Until it is open nothing can be asked."""

    def __init__(self) -> None:
        self._connection: BareConnection | None = None
        self._cursor: sqlite3.Cursor | None = None
        self._opened = ExitStack()
        self._version: int | None = None
        # Another object for each version: the numbers of two connections may be the same.
        self._unchanged = object()
        self._known = _Remembered(_MOST_REMEMBERED)
        # What lasts, the version of which that is, and whether somebody may have changed it since.
        self._lasting = _Remembered(_MOST_LASTING)
        self._lasting_version: int | None = None
        self._lasts = object()
        self._is_unsure = True
        # Whether what is asked may be answered as of one moment, and whether that has been.
        self._in_moment = False
        self._has_looked = False

    def open(self, engine: Engine, statements: Statements) -> None:
        """
        Open the connection.

        :param engine: its connections wait for nobody (``timeout=0``).
        """
        self._opened.callback(engine.dispose)
        pooled = self._opened.enter_context(engine.connect())
        self._connection = BareConnection(pooled, statements)
        driver: Any = pooled.connection.driver_connection
        self._cursor = self._opened.enter_context(closing(driver.cursor()))

    def read(self, query: Callable[..., T], args: tuple[Any, ...]) -> T:
        """
        What ``query`` finds for ``args``, which can be keys.

        :raises NotNow: see :meth:`look`.
        """
        key = (query, *args)
        if not self._has_looked:
            self._forget_what_changed()
        known = self._known.find(key)
        if known is not None:
            return known[0]  # type: ignore[no-any-return]  # what this very query has found
        found = self.look(query, args)
        self._known.keep(key, found)
        return found

    def read_lasting(self, query: Callable[..., T], args: tuple[Any, ...]) -> T:
        """
        The same, of what lasts. That there is none does not.

        :raises NotNow: see :meth:`look`.
        """
        key = (query, *args)
        if not self._has_looked:
            self._forget_what_changed()
        if self._is_unsure:
            self._forget_what_did_not_last()
        known = self._lasting.find(key)
        if known is not None:
            return known[0]  # type: ignore[no-any-return]  # as above
        found = self.look(query, args)
        if found is not None:
            self._lasting.keep(key, found)
        return found

    def look(self, query: Callable[..., T], args: tuple[Any, ...]) -> T:
        """
        What ``query`` finds; it is not remembered.

        :raises NotNow: the database is not open, is locked, or does not answer.
        """
        connection = self._connection
        if connection is None:
            raise NotNow
        try:
            connection.run("BEGIN")
            return query(connection, *args)
        except exc.DBAPIError as error:
            raise NotNow from error
        finally:
            connection.rollback()

    def version(self) -> object | None:
        """See :meth:`.IMoments.version`."""
        try:
            if not self._has_looked:
                self._forget_what_changed()
        except NotNow:
            return None
        return self._unchanged

    def lasting_version(self) -> object | None:
        """See :meth:`.IMoments.lasting_version`."""
        try:
            if not self._has_looked:
                self._forget_what_changed()
            if self._is_unsure:
                self._forget_what_did_not_last()
        except NotNow:
            return None
        return self._lasts

    def begin_moment(self) -> None:
        """See :meth:`.IMoments.begin_moment`: the next question finds out whether somebody has written, the others do not."""
        self._in_moment, self._has_looked = True, False

    def end_moment(self) -> None:
        """See :meth:`.IMoments.end_moment`."""
        self._in_moment = self._has_looked = False

    def close(self) -> None:
        """Close the connection, if it is open; what was told of it holds no longer."""
        self.end_moment()
        self._version = self._lasting_version = None
        self._known.forget()
        self._lasting.forget()
        self._connection = self._cursor = None
        self._opened.close()

    def _forget_what_changed(self) -> None:
        if self._cursor is None:
            raise NotNow
        try:
            (version,) = self._cursor.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error as error:
            raise NotNow from error
        if version != self._version:
            self._known.forget()
            self._version, self._unchanged, self._is_unsure = version, object(), True
        self._has_looked = self._in_moment

    def _forget_what_did_not_last(self) -> None:
        if self._cursor is None:
            raise NotNow
        # What is read after this is of this version or a later one: it is never taken for newer than it is.
        try:
            (version,) = self._cursor.execute(READ_VERSION).fetchone()
        except sqlite3.Error as error:
            raise NotNow from error
        if version != self._lasting_version:
            self._lasting.forget()
            self._lasting_version, self._lasts = version, object()
        self._is_unsure = False


def _weight(found: Any) -> int:
    document = _document(found)
    if document:
        return _ENTRY_BYTES + document
    if isinstance(found, Standing):
        # What somebody is, is a part of the question as well: a directory may tell hundreds of groups.
        return _ENTRY_BYTES + _PART_BYTES * (len(found.grants) + 2 * len(found.subjects))
    if isinstance(found, Sequence):
        return _ENTRY_BYTES + sum(map(_weight_of_part, found))
    return _ENTRY_BYTES


def _weight_of_part(part: Any) -> int:
    return _PART_BYTES + sum(map(_document, part if isinstance(part, tuple) else (part,)))


def _document(found: Any) -> int:
    """The bytes of a manifest, or of the json of an image of v1, which may be megabytes; 0 for what is neither."""
    documents = (getattr(found, "content", None), getattr(found, "json", None))
    return sum(len(each) for each in documents if isinstance(each, bytes))
