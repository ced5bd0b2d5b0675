"""
What lasts, of what was read from the database, while others write.

Most that is written is content: blobs, manifests, tags, sessions. Who may do what, accounts, keys, and which repositories there
are change seldom, and are asked for at every request. Whatever changes one of these gives a table of one row another number, in
its own transaction. Triggers of SQLite do so: whoever writes, and how, none of them can be forgotten. PostgreSQL is asked each
time, and has none.

What is about a digest that a stranger may name is not kept so long, unless it is a blob of a repository that he may read: by the
time that an answer takes he would learn what others have asked for.

What is listed here is what the answers of :meth:`.Database.find_lasting` depend on; ``test_lasting.py`` shows that it is all.
"""

from collections.abc import Iterator, Mapping

from sqlalchemy import BigInteger, Column, Connection, Integer, Table

from dockreg.providers.metadata.tables import metadata

#: One row. ``version``: another number after each change.
lasting_version = Table(
    "lasting_version",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)
FIRST_VERSION = {"only": 1, "version": 0}
#: As the driver of SQLite is given it.
READ_VERSION = "SELECT version FROM lasting_version"

_PREFIX = "lasting_"
_RENEW = "UPDATE lasting_version SET version = random()"
_ANY = ("INSERT", "UPDATE", "DELETE")
#: By table, what changes an answer. That there is nothing of a blob never lasts, so a new one changes none.
CHANGES: Mapping[str, tuple[str, ...]] = {
    "accounts": _ANY,
    "account_group_members": _ANY,
    "namespaces": _ANY,
    "namespace_members": _ANY,
    "grants": _ANY,
    "repositories": _ANY,
    "signing_keys": _ANY,
    "quota_state": _ANY,
    "uploads_horizon": _ANY,
    "repository_blobs": ("UPDATE", "DELETE"),
    "blobs": (
        "UPDATE OF digest, generation, size, compression, diff_id, uncompressed_size, entries, source_digest, condition",
    ),
    "manifest_v1_images": _ANY,
    "manifests": (
        "UPDATE OF key, repository_key, digest, media_type, content, config_digest, derived, v1_view",
        "DELETE",
    ),
    "v1_images": ("UPDATE",),
}


def triggers() -> Iterator[tuple[str, str]]:
    """The names of the triggers, and the statements that make them, which SQLite keeps as they are."""
    for table, changes in CHANGES.items():
        for change in changes:
            name = f"{_PREFIX}{table}_{change.partition(' ')[0].lower()}"
            yield name, f"CREATE TRIGGER {name} AFTER {change} ON {table} BEGIN {_RENEW}; END"


def has_triggers(connection: Connection) -> bool:
    """Whether all are there, and nothing but these; where there need not be any, so it is."""
    if connection.dialect.name != "sqlite":
        return True
    return _found(connection) == dict(triggers()) and connection.exec_driver_sql(READ_VERSION).first() is not None


def mend_triggers(connection: Connection) -> None:
    """
    Make those that a database of SQLite lacks; who has kept an answer forgets it.

    A table that is made anew loses its triggers, and not every tool that copies a database copies them.
    """
    wanted, found = dict(triggers()), _found(connection)
    for name in found.keys() - {name for name, statement in wanted.items() if found.get(name) == statement}:
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
        del found[name]
    for name in wanted.keys() - found.keys():
        connection.exec_driver_sql(wanted[name])
    connection.exec_driver_sql("INSERT OR REPLACE INTO lasting_version (only, version) VALUES (1, random())")


def _found(connection: Connection) -> dict[str, str]:
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
    rows = connection.exec_driver_sql(query).all()
    # An operator may have some of his own.
    return {name: statement for name, statement in rows if name.startswith(_PREFIX)}
