"""What a database is made of, in words that do not depend on the order in which it was made."""

import re
from typing import Any

from sqlalchemy import Connection

_POSTGRESQL = (
    """
    SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
        l.collname, pg_get_expr(d.adbin, d.adrelid)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_collation l ON l.oid = a.attcollation
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
    """,
    """
    SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    """,
    "SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "SELECT 'sequence', sequencename, data_type::text, increment_by FROM pg_sequences WHERE schemaname = 'public'",
    "SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "SELECT 'view', viewname, '', definition FROM pg_views WHERE schemaname = 'public'",
    "SELECT 'function', proname, oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
)


def parts_of(connection: Connection) -> dict[str, Any]:
    """Tables, columns, constraints, indexes and triggers as the database knows them, and the rows that there are."""
    if connection.dialect.name == "sqlite":
        parts, names = _parts_of_sqlite(connection)
    else:
        found = [tuple(row) for query in _POSTGRESQL for row in connection.exec_driver_sql(query)]
        parts = {" ".join(map(str, row[:3])): row[3:] for row in found}
        names = sorted({row[1] for row in found if row[0] == "column"})
    for name in names:
        rows = [dict(row._mapping) for row in connection.exec_driver_sql(f"SELECT * FROM {name}")]
        parts[f"rows of {name}"] = rows
    return parts


def _parts_of_sqlite(connection: Connection) -> tuple[dict[str, Any], list[str]]:
    found = connection.exec_driver_sql(
        "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%%'"
    ).all()
    parts = {f"{kind} {name}": sql if kind == "trigger" else _sorted(sql) for kind, name, sql in found}
    return parts, [name for kind, name, _ in found if kind == "table"]


def _sorted(statement: str) -> list[str]:
    """The parts of a statement; columns and constraints each begin a line, and may come in any order."""
    lines = [re.sub(r"\s+", " ", line.replace('"', "")).strip(" ,") for line in statement.splitlines()]
    return sorted(line for line in ", ".join(lines).split(", ") if line)
