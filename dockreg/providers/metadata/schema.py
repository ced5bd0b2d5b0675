"""The schema of a database, brought up to date by one process at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, Engine, String, column, func, inspect, select, table

from dockreg.errors import StoreUnavailable
from dockreg.providers.metadata.tables import SCHEMA
from dockreg.providers.metadata.transactions import WRITING

#: Names the lock of this program in a PostgreSQL server: "dockreg" in ASCII.
_ADVISORY_LOCK = 0x646F636B726567
#: Alembic keeps what it works on in globals.
_ALEMBIC = Lock()
_VERSION_TABLE = "alembic_version"
_VERSION = select(column("version_num", String)).select_from(table(_VERSION_TABLE))


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
            _migrate(connection)


def take_turns(connection: Connection) -> None:
    """Let one process at a time go on with this transaction; a writer of SQLite is alone already."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))


def _prepare_file(engine: Engine, path: Path) -> None:
    if path.exists() and _is_current(engine):
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
            _migrate(transaction)


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
        return _version(connection) == SCHEMA


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    return connection.execute(_VERSION).scalar_one_or_none()


def _migrate(connection: Connection) -> None:
    version = _version(connection)
    if version == SCHEMA:
        return
    # Not needed to serve, so not imported to serve.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    folder = Path(__file__).with_name("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    if version is not None and version not in known:
        raise StoreUnavailable(f"the database has schema {version}, which is newer than this program knows")
    with _ALEMBIC:
        command.upgrade(config, "head")
