"""A PostgreSQL server of Debian's packages for tests: in a folder of its own, on a unix socket only."""

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
from functools import cache
from itertools import count
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from dockreg.providers.metadata.schema import prepare
from tests.support import require_program

_numbers = count()
#: What is on disk is removed anyway. To look after a few hundred databases would take half a processor.
_SETTINGS = {
    "listen_addresses": "''",
    "shared_buffers": "16MB",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}


class Server:
    """A running server. PostgreSQL refuses to run as root, so root lends it another user."""

    def __init__(self) -> None:
        self._initdb, self._pg_ctl = require_program("initdb"), require_program("pg_ctl")
        # The path of a unix socket has at most 107 bytes, so not below trial's folder.
        self._folder = Path(tempfile.mkdtemp(prefix="dockreg-postgresql-"))
        self._user = _other_user() if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        self._data = self._folder / "data"

    def start(self) -> None:
        self._run(
            self._initdb, f"--pgdata={self._data}", "--username=dockreg", "--auth=trust", "--no-sync", "--encoding=UTF8"
        )
        self.go_on()

    def go_on(self) -> None:
        """Start the server, or start it again."""
        settings = {**_SETTINGS, "unix_socket_directories": self._folder}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._control("start", f"--options={options}", f"--log={self._folder / 'log'}")

    def stop(self) -> None:
        try:
            self._control("stop", "--mode=immediate")
        finally:
            shutil.rmtree(self._folder)

    def halt(self) -> None:
        """Stop the server for a while."""
        self._control("stop", "--mode=fast")

    def restart(self) -> None:
        """Cut every connection, as an upgrade of the server does."""
        self._control("restart", "--mode=fast", f"--log={self._folder / 'log'}")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg://dockreg@/{database}?host={self._folder}"

    def _control(self, action: str, *arguments: str) -> None:
        self._run(self._pg_ctl, action, f"--pgdata={self._data}", "--wait", "--silent", *arguments)

    def _run(self, *command: str) -> None:
        user = None if self._user is None else self._user.pw_uid
        group = None if self._user is None else self._user.pw_gid
        try:
            subprocess.run(
                command,
                check=True,
                cwd=self._folder,
                env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"},
                user=user,
                group=group,
                extra_groups=None if user is None else (),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=60,
            )
        except subprocess.CalledProcessError as problem:
            log = self._folder / "log"
            raise AssertionError(f"{problem}\n{log.read_text() if log.exists() else ''}") from problem


def _other_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


@cache
def server() -> Server:
    """The server of this test run."""
    running = Server()
    atexit.register(running.stop)
    running.start()
    return running


def new_database(options: str = "") -> str:
    """The URL of an empty database. :param options: of the statement that makes it."""
    name = f"test_{next(_numbers)}"
    engine = create_engine(server().url(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} {options}"))
    engine.dispose()
    return server().url(name)


@cache
def _made() -> str:
    """The name of a database that has the tables, and nobody connected to it."""
    url = new_database()
    engine = create_engine(url)
    prepare(engine)
    engine.dispose()
    return str(make_url(url).database)


@cache
def _copying() -> str:
    """How to copy it: since version 15 its pages would go through the log, which takes twice as long, unless told otherwise."""
    template = _made()
    engine = create_engine(server().url())
    with engine.connect() as connection:
        assert connection.dialect.server_version_info is not None
        is_new = connection.dialect.server_version_info >= (15,)
    engine.dispose()
    return f"TEMPLATE {template} {'STRATEGY file_copy' if is_new else ''}"


def made_database() -> str:
    """The URL of a database that was opened once: a copy takes a third of the time that its tables take."""
    return new_database(_copying())
