"""
Statements of SQLAlchemy, executed by the driver of SQLite itself.

What SQLAlchemy does around a statement each time takes several times as long as SQLite takes to execute it. A statement that
is executed a second time is a constant of some module: it is compiled once, and from then on its text goes to the driver with
the values of its parameters. What can not be done so is left to SQLAlchemy, in the same transaction. To whoever executes it
there is no difference: results have the methods that are used here, and errors are those of SQLAlchemy.
"""

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Dialect, Float, LargeBinary, exc

_Process = Callable[[Any], Any] | None
#: Stands for a value that whoever executes a statement has to give.
_NOT_YET = object()
_SHARED: dict[type[Dialect], "Statements"] = {}


class Found:
    """What a statement has found, or changed."""

    def __init__(self, rows: Sequence[Any], rowcount: int, key: int | None) -> None:
        self._rows = rows
        self.rowcount = rowcount
        self._key = key

    @property
    def inserted_primary_key(self) -> tuple[int | None]:
        """The key of the row that was inserted, of a table whose key is one number."""
        return (self._key,)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> Sequence[Any]:
        """All rows."""
        return self._rows

    def first(self) -> Any:
        """The first row, if there is one."""
        return self._rows[0] if self._rows else None

    def one_or_none(self) -> Any:
        """The only row, if there is one."""
        if len(self._rows) > 1:
            raise exc.MultipleResultsFound("more than one row was found")
        return self._rows[0] if self._rows else None

    def one(self) -> Any:
        """The only row."""
        if not self._rows:
            raise exc.NoResultFound("no row was found")
        return self.one_or_none()

    def scalars(self) -> "Found":
        """The first column of each row."""
        return Found([row[0] for row in self._rows], self.rowcount, self._key)

    def scalar(self) -> Any:
        """The first column of the first row, None without one."""
        return self._rows[0][0] if self._rows else None

    def scalar_one_or_none(self) -> Any:
        """The first column of the only row, None without one."""
        row = self.one_or_none()
        return None if row is None else row[0]

    def scalar_one(self) -> Any:
        """The first column of the only row."""
        return self.one()[0]


class _Prepared:
    """One statement for one set of parameters."""

    def __init__(self, statement: Any, keys: Sequence[str], dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(keys))
        self.text = str(compiled)
        self.is_usable = not (compiled.post_compile_params or compiled.literal_execute_params or compiled.returning)
        self._values: list[tuple[str, _Process, Any]] = []
        for name in compiled.positiontup or ():
            parameter = compiled.binds[name]
            # The driver takes bytes and numbers as they are.
            is_plain = isinstance(parameter.type, LargeBinary | Float)
            process = None if is_plain else parameter.type.dialect_impl(dialect).bind_processor(dialect)
            self._values.append((name, process, _NOT_YET if parameter.required else parameter.effective_value))
        names = [name for name, process, default in self._values if process is None and default is _NOT_YET]
        # All values at once, where there are several, and each is given as the driver wants it.
        self._pick = itemgetter(*names) if 1 < len(names) == len(self._values) else None
        self._row: Callable[[Sequence[Any]], Any] | None = None
        self._columns: list[tuple[int, Callable[[Any], Any]]] = []
        self._names: Sequence[str] = ()
        selected = getattr(statement, "selected_columns", None)
        if selected is not None:
            processors = [each.type.dialect_impl(dialect).result_processor(dialect, None) for each in selected]
            self._columns = [(at, process) for at, process in enumerate(processors) if process is not None]

    def values(self, given: Mapping[str, Any]) -> Sequence[Any]:
        """What the driver is given."""
        if self._pick is not None:
            try:
                picked: Sequence[Any] = self._pick(given)
            except KeyError as missing:
                raise _missing(str(missing.args[0])) from None
            return picked
        values = []
        for name, process, default in self._values:
            value = given.get(name, default)
            if value is _NOT_YET:
                raise _missing(name)
            values.append(value if process is None else process(value))
        return values

    def rows(self, cursor: sqlite3.Cursor) -> Sequence[Any]:
        """What the driver has found, of a statement that finds something."""
        if self._row is None:
            names = [each[0] for each in cursor.description]
            # What its `_make` does, without a call of Python for each row.
            self._row = partial(tuple.__new__, namedtuple("Row", names, rename=True))  # noqa: PYI024
        found = cursor.fetchall()
        if self._columns:
            found = [self._processed(row) for row in found]
        return [self._row(row) for row in found]

    def _processed(self, row: Sequence[Any]) -> Sequence[Any]:
        values = list(row)
        for at, process in self._columns:
            values[at] = process(values[at])
        return values


class Statements:
    """The statements of one dialect that were seen, and what was made of those that were seen again."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        # Statements are told apart by what they are, not by what they say.
        self._seen: WeakKeyDictionary[Any, dict[tuple[str, ...], _Prepared | None]] = WeakKeyDictionary()

    def prepared(self, statement: Any, keys: tuple[str, ...]) -> _Prepared | None:
        """The statement for the driver; None when it is for SQLAlchemy."""
        known = self._seen.get(statement)
        if known is None:
            self._seen[statement] = {}
            return None
        if keys not in known:
            made = _Prepared(statement, keys, self._dialect)
            known[keys] = made if made.is_usable else None
        return known[keys]


def statements_of(dialect: Dialect) -> Statements:
    """Those of all databases of this process: one library of SQLite has one dialect."""
    return _SHARED.setdefault(type(dialect), Statements(dialect))


class BareConnection:
    """
    A connection as stores use it. Whoever has it begins and ends transactions.

    :param connection: of SQLAlchemy, to the same database.
    """

    def __init__(self, connection: Connection, statements: Statements) -> None:
        self._connection = connection
        self._driver = cast("sqlite3.Connection", connection.connection.driver_connection)
        self._statements = statements
        # Whether SQLAlchemy takes part in this transaction, and has to end it.
        self._is_shared = False
        self.dialect = connection.dialect
        #: What belongs to this transaction.
        self.info: dict[str, Any] = {}

    def execute(self, statement: Any, parameters: Any = None) -> Any:
        """
        As :meth:`sqlalchemy.Connection.execute`, for what stores do.

        :raises sqlalchemy.exc.DBAPIError: as there.
        """
        many = isinstance(parameters, list)
        first: Mapping[str, Any] = (parameters[0] if many else parameters) or {}
        prepared = self._statements.prepared(statement, tuple(first))
        if prepared is None:
            self._is_shared = True
            return self._connection.execute(statement, parameters)
        try:
            values = [prepared.values(each) for each in parameters] if many else prepared.values(first)
            cursor = self._sent(prepared.text, values, many=many)
            rows = () if cursor.description is None else prepared.rows(cursor)
            return Found(rows, cursor.rowcount, cursor.lastrowid)
        except sqlite3.Error as error:
            raise _named(error, prepared.text) from error

    def _sent(self, text: str, values: Sequence[Any], *, many: bool = False) -> sqlite3.Cursor:
        return self._driver.executemany(text, values) if many else self._driver.execute(text, values)

    def begin_nested(self) -> "_Savepoint":
        """A part of the transaction that can be undone by itself."""
        return _Savepoint(self)

    def run(self, text: str) -> None:
        """Execute a statement that is about transactions or settings. :raises sqlalchemy.exc.DBAPIError: it failed."""
        try:
            self._driver.execute(text)
        except sqlite3.Error as error:
            raise _named(error, text) from error

    def ask(self, text: str) -> Any:
        """The row that such a statement finds. :raises sqlalchemy.exc.DBAPIError: it failed."""
        try:
            return self._driver.execute(text).fetchone()
        except sqlite3.Error as error:
            raise _named(error, text) from error

    def commit(self) -> None:
        """End the transaction. :raises sqlalchemy.exc.DBAPIError: whether it took place is not known."""
        if self._is_shared and self._connection.in_transaction():
            self._connection.commit()
        else:
            self.run("COMMIT")
        self._is_shared = False

    def rollback(self) -> None:
        """Undo the transaction, if there is one."""
        if self._is_shared:
            self._is_shared = False
            if self._connection.in_transaction():
                self._connection.rollback()
        if self._driver.in_transaction:
            self.run("ROLLBACK")


class _Savepoint:
    """There is one at a time."""

    def __init__(self, connection: BareConnection) -> None:
        self._connection = connection
        connection.run("SAVEPOINT part")

    def commit(self) -> None:
        """Keep what was changed since it was made, for the end of the transaction."""
        self._connection.run("RELEASE part")

    def rollback(self) -> None:
        """Undo it."""
        self._connection.run("ROLLBACK TO part")
        self._connection.run("RELEASE part")


def _missing(name: str) -> exc.InvalidRequestError:
    return exc.InvalidRequestError(f"a value is required for the parameter {name!r}")


def _named(error: sqlite3.Error, text: str) -> exc.DBAPIError:
    named = exc.DBAPIError.instance(text, None, error, sqlite3.Error, hide_parameters=True)
    return cast("exc.DBAPIError", named)
