"""What tests of backups begin with: registries with something in them, and the commands in this process."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dockreg.cli.moving.backup import BackedUp, back_up
from dockreg.cli.moving.restore import Restored, check_backup, restore_from
from dockreg.config import Config
from tests.integration.movingcase import MovingCase, Silence
from tests.processes import Daemon

#: What no backup has, and what differs in each registry.
_OWN = (
    "uploads",
    "uploads_ended",
    "uploads_horizon",
    "v1_staged_images",
    "v1_staged_layers",
    "login_attempts",
    "scrubs",
    "lasting_version",
    "sqlite_sequence",
    "alembic_version",
)


class BackupCase(MovingCase):
    """A daemon, and a folder for backups of it."""

    def setUp(self) -> None:
        super().setUp()
        self.backups = self.folder / "backups"

    async def back_up(self, config: Config | None = None, **options: Any) -> BackedUp:
        """``dockreg backup``."""
        from twisted.internet import reactor

        return await back_up(config or self.config(), reactor, self.backups, Silence(), **options)

    async def restore(self, config: Config, snapshot: str | None = None, **options: Any) -> Restored:
        """``dockreg restore``."""
        from twisted.internet import reactor

        return await restore_from(config, reactor, self.backups, snapshot, Silence(), **options)

    async def check(self, snapshot: str | None = None) -> Restored:
        """``dockreg restore --verify``."""
        from twisted.internet import reactor

        return await check_backup(reactor, self.backups, snapshot, Silence())

    def kept_blob(self, digest: str) -> Path:
        """The file of a blob in the backup."""
        return self.backups / "blobs/sha256" / digest[7:9] / digest[7:]

    def stored_blob(self, daemon: Daemon, digest: str) -> Path:
        """The file of a blob in a registry."""
        (found,) = (daemon.data / "blobs/sha256").glob(f"*/{digest[7:]}.*")
        return found


def rows_of(path: Path) -> Mapping[str, list[Any]]:
    """What is in a database of SQLite, but for what each registry has for itself."""
    connection = sqlite3.connect(path)
    try:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {}
        for name in names:
            if name in _OWN or name.startswith("collect"):
                continue
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
            # Stored again is another object, and its lease another one.
            own = {("blobs", "generation"), ("blobs", "content"), ("blobs", "leased_until")}
            wanted = [each for each in columns if (name, each) not in own]
            found[name] = sorted(connection.execute(f"SELECT {', '.join(wanted)} FROM {name}"), key=repr)
        return found
    finally:
        connection.close()
