"""A backup is restored into another database than the one that was backed up: SQLite to PostgreSQL, and back."""

import sqlite3

from attrs import evolve

from dockreg.config import Config
from dockreg.testing.samples import layered_image
from tests.integration.backupcase import BackupCase, rows_of
from tests.integration.postgresql import new_database
from tests.unit.cli.saved import v1_members, write_tar


class BackupPostgreSQLTests(BackupCase):
    """Moving between databases."""

    def on_postgresql(self) -> Config:
        """A registry with nothing in it, whose metadata are in PostgreSQL."""
        config = evolve(self.config(), data_dir=self.folder / "postgresql")
        return evolve(config, metadata=evolve(config.metadata, url=new_database()))

    async def test_there_and_back(self) -> None:
        """Every row survives the way to PostgreSQL and back, and what is pushed on the way has keys of its own."""
        self.push_index()
        images = layered_image(self.name)
        members = v1_members(images, {f"{self.name}-v1": {"1": images[-1].id}})
        archive = write_tar(self.folder / "v1.tar", members)
        await self.imported(archive)
        first = await self.back_up()
        middle = self.on_postgresql()
        restored = await self.restore(middle)
        self.assertEqual(first.blobs, restored.blobs)
        second = await self.back_up(middle)
        self.assertEqual((first.blobs, 0), (second.blobs, second.new_blobs))
        snapshots = self.backups / "snapshots"
        before, after = (rows_of(snapshots / each.snapshot / "metadata.sqlite3") for each in (first, second))
        self.assertEqual(before, after)
        target = self.another()
        await self.restore(self.config(target))
        self.assertEqual(before, rows_of(target.data / "metadata.sqlite3"))

    async def test_keys_go_on(self) -> None:
        """After the way to PostgreSQL new rows get new keys."""
        self.push_index()
        await self.back_up()
        middle = self.on_postgresql()
        await self.restore(middle)
        images = layered_image(f"{self.name} later")
        archive = write_tar(self.folder / "v1.tar", v1_members(images, {f"{self.name}-later": {"1": images[-1].id}}))
        await self.imported_into(middle, archive)
        done = await self.back_up(middle)
        connection = sqlite3.connect(self.backups / "snapshots" / done.snapshot / "metadata.sqlite3")
        self.addCleanup(connection.close)
        keys = [key for (key,) in connection.execute("SELECT key FROM repositories ORDER BY key")]
        self.assertEqual(len(set(keys)), len(keys))
        names = [name for (name,) in connection.execute("SELECT name FROM repositories ORDER BY key")]
        self.assertEqual(f"{self.name}-later", names[-1])
