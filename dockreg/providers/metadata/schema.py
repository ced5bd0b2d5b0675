"""The schema of a database, brought up to date by one process at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    func,
    insert,
    inspect,
    select,
)
from twisted.logger import Logger

from dockreg.errors import StoreUnavailable
from dockreg.providers.metadata import (
    tables_access,  # noqa: F401  # whose tables are a part of it
    tables_people,  # noqa: F401
    tables_quotas,  # noqa: F401
    tables_retention,  # noqa: F401
    tables_uploads,  # noqa: F401
)
from dockreg.providers.metadata.tables import SCHEMA, metadata
from dockreg.providers.metadata.tables_collection import FIRST_STATE, collection_state
from dockreg.providers.metadata.tables_conditions import FIRST_SCRUB, scrubs
from dockreg.providers.metadata.tables_lasting import (
    FIRST_VERSION,
    has_triggers,
    lasting_version,
    mend_triggers,
    triggers,
)
from dockreg.providers.metadata.transactions import WRITING

if TYPE_CHECKING:
    from alembic.config import Config

log = Logger()

#: Names the lock of this program in a PostgreSQL server: "dockreg" in ASCII.
_ADVISORY_LOCK = 0x646F636B726567
#: Alembic keeps what it works on in globals.
_ALEMBIC = Lock()
#: As Alembic makes it, and apart from the tables of the registry.
_version_table = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def prepare(engine: Engine) -> None:
    """
    Make the database if it is not there, and bring it up to date.

    :raises StoreUnavailable: it is newer than this program.
    """
    if engine.dialect.name == "sqlite":
        _prepare_file(engine, Path(engine.url.database or ""))
    elif not _is_current(engine):
        with engine.begin() as connection:
            take_turns(connection)
            bring_up_to_date(connection)


def take_turns(connection: Connection) -> None:
    """Let one process at a time go on with this transaction; a writer of SQLite is alone already."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))


def _prepare_file(engine: Engine, path: Path) -> None:
    # A copy that was made by another program may have another mode, in which what is not flushed at once is less safe.
    if path.exists() and _is_current(engine) and _writes_ahead(engine):
        return
    _make_folder(path.parent)
    # When several change the journal mode at once, SQLite lets some of them fail at once; so they wait here.
    with _locked(path.with_name(f"{path.name}.lock")):
        # Only when it is new: closing a descriptor of a database that is in use would drop the locks of this process.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()
        with engine.execution_options(**{WRITING: True}).begin() as transaction:
            bring_up_to_date(transaction)


def _writes_ahead(engine: Engine) -> bool:
    with engine.connect() as connection:
        return connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def _make_folder(path: Path) -> None:
    if path.is_dir():
        return
    _make_folder(path.parent)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_current(engine: Engine) -> bool:
    with engine.connect() as connection:
        return _version(connection) == SCHEMA and has_triggers(connection)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_version_table.name):
        return None
    return connection.execute(select(_version_table.c.version_num)).scalar_one_or_none()


def bring_up_to_date(connection: Connection) -> None:
    """
    Make what there is not, or run the steps that are missing; and the triggers, whoever has taken them away.

    :raises StoreUnavailable: it is newer than this program.
    """
    version = _version(connection)
    if version is None:
        make(connection)
        return
    if version != SCHEMA:
        migrate(connection, version)
    if not has_triggers(connection):
        mend_triggers(connection)
        log.warn("the database lacked triggers that dockreg needs, or had others: they were made again")


def make(connection: Connection) -> None:
    """
    Make all that the migrations make, in a database that has none of it.

    It takes a fifth of their time, and keeps Alembic, and what that needs, out of the process that serves.
    """
    if connection.dialect.name == "postgresql":
        _make_indexes_partial()
    metadata.create_all(connection, checkfirst=False)
    connection.execute(insert(collection_state), FIRST_STATE)
    connection.execute(insert(scrubs), FIRST_SCRUB)
    connection.execute(insert(lasting_version), FIRST_VERSION)
    if connection.dialect.name == "sqlite":
        for _, statement in triggers():
            connection.exec_driver_sql(statement)
    _version_table.create(connection, checkfirst=True)
    connection.execute(insert(_version_table), {"version_num": SCHEMA})


def _make_indexes_partial() -> None:
    # The tables say it of SQLite alone: who says it of PostgreSQL imports all its drivers, SQLite or not.
    for table in metadata.sorted_tables:
        for index in table.indexes:
            index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]


def migrate(connection: Connection, version: str | None) -> None:
    """
    Run the steps from one schema to this.

    :param version: the schema that there is, None for nothing at all.
    :raises StoreUnavailable: it is newer than this program.
    """
    # Not needed to serve, so not imported to serve.
    from alembic import command  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = alembic_config(connection)
    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    if version is not None and version not in known:
        raise StoreUnavailable(f"the database has schema {version}, which is newer than this program knows")
    with _ALEMBIC:
        command.upgrade(config, "head")


def alembic_config(connection: Connection) -> "Config":
    """What tells Alembic where the steps are, and where to run them."""
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    folder = Path(__file__).with_name("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
