"""What a store sends to SQLite, whoever sends it: SQLAlchemy or the driver."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from sqlalchemy import Engine, event

from dockreg.providers.metadata.bare import BareConnection


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """Every statement that any connection is sent meanwhile, with its values; those about transactions as well."""
    seen: list[tuple[str, Any]] = []
    sent, run = BareConnection._sent, BareConnection.run

    def note(_connection: object, _cursor: object, statement: str, values: Any, *_: object) -> None:
        seen.append((statement, values))

    def note_sent(connection: BareConnection, statement: str, values: Any, *, many: bool = False) -> sqlite3.Cursor:
        # SQLAlchemy tells of one row what it tells of a statement for one.
        seen.append((statement, values[0] if many and len(values) == 1 else values))
        return sent(connection, statement, values, many=many)

    def note_run(connection: BareConnection, statement: str) -> None:
        seen.append((statement, ()))
        run(connection, statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        with patch.object(BareConnection, "_sent", note_sent), patch.object(BareConnection, "run", note_run):
            yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)
