"""``dockreg backup`` and ``restore``: all that there is, as it was, beside a daemon that serves."""

import errno
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO, ClassVar

from sqlalchemy import Connection, delete

from dockreg.callables import InThread
from dockreg.cli.moving.backup import Backup
from dockreg.cli.moving.backupfolder import BackupFolder
from dockreg.cli.moving.restore import work_folder
from dockreg.cli.moving.stores import Stores, with_stores
from dockreg.cli.running import threads_of
from dockreg.model.digest import Digest
from dockreg.model.mediatypes import OCI_MANIFEST
from dockreg.model.names import RepositoryName
from dockreg.providers.metadata.copying import MetadataCopies
from dockreg.providers.metadata.tables import blobs
from dockreg.testing.samples import layered_image
from tests.integration.backupcase import BackupCase, rows_of
from tests.integration.movingcase import Silence
from tests.integration.v2case import make_sample
from tests.unit.cli.saved import v1_members, write_tar


class BackupTests(BackupCase):
    """Backups and what becomes of them."""

    CONFIG: ClassVar[str] = ""

    async def test_everything(self) -> None:
        """A registry that is restored has every row and every blob, serves the same, and goes on from there."""
        index, one, _ = self.push_index()
        self.push_referrer(one.manifest, OCI_MANIFEST)
        images = layered_image(self.name)
        members = v1_members(images, {f"{self.name}-v1": {"1": images[-1].id}})
        await self.imported(write_tar(self.folder / "v1.tar", members))
        session, empty = self.start(), self.start()
        self.assertEqual(202, self.ask("PATCH", session, b"received").status)
        self.assertEqual(0, self.daemon.command("user", "create", "anna", "--password-stdin", text="a good password\n"))
        done = await self.back_up()
        target = self.another()
        restored = await self.restore(self.config(target))
        self.assertEqual((done.blobs, done.bytes, []), (restored.blobs, restored.bytes, restored.lost))
        before, after = (rows_of(each.data / "metadata.sqlite3") for each in (self.daemon, target))
        self.assertEqual(before, after)
        target.start()
        self.assertEqual(index, self.pulled(target, self.name, "multi"))
        self.same_blobs(target, self.name, one)
        for image in images:
            self.assertEqual(image.json, target.request("GET", f"/v1/images/{image.id}/json")[1])
        # A session was in the middle of something that only the old registry has.
        # Its id proves a session; what it had received is not in a backup.
        received = [target.request("GET", each)[2].get("range") for each in (session, empty)]
        self.assertEqual([self.ask("GET", empty).headers["range"]] * 2, received)
        told = target.told("user", "list")
        self.assertEqual(["anna"], [each["name"] for each in told])
        self.assertEqual([], [each.name for each in target.data.iterdir() if "restoring" in each.name])

    async def test_incremental(self) -> None:
        """A second backup copies what is new; each snapshot is whole by itself, until it is pruned."""
        old, new = make_sample(f"{self.name} old"), make_sample(f"{self.name} new")
        self.push(old, "1")
        first = await self.back_up()
        self.push(new, "1")
        second = await self.back_up()
        self.assertEqual(3, second.new_blobs)
        self.assertEqual((first.blobs + 3, 1), (second.blobs, second.rounds))
        self.assertEqual(second.snapshot, (await self.check()).snapshot)
        target = self.another()
        await self.restore(self.config(target), first.snapshot)
        target.start()
        self.assertEqual(old.manifest, self.pulled(target, self.name, "1"))
        modes = {path.stat().st_mode & 0o077 for path in self.backups.rglob("*")}
        self.assertEqual({0}, modes)
        third = await self.back_up(keep=1)
        self.assertEqual([third.snapshot], [each.name for each in (self.backups / "snapshots").iterdir()])
        self.assertEqual(third.blobs, (await self.check()).blobs)

    async def test_pruned(self) -> None:
        """Blobs that no snapshot has any more go with the last that had them."""
        self.push(make_sample(self.name), "1")
        await self.back_up()
        stray = self.backups / "blobs/sha256/ab" / ("ab" + "0" * 62)
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"x")
        done = await self.back_up(keep=1)
        self.assertEqual((1, False), (done.removed, stray.exists()))

    async def test_pruned_clock(self) -> None:
        """The one that was just made stays, though a clock that was ahead has given an older one a later name."""
        self.push(make_sample(self.name), "1")
        snapshots = self.backups / "snapshots"
        early = await self.back_up()
        (snapshots / early.snapshot).rename(snapshots / "29990101T000000Z")
        done = await self.back_up(keep=1)
        self.assertEqual([done.snapshot], [each.name for each in snapshots.iterdir()])

    async def test_collected_meanwhile(self) -> None:
        """When a blob is collected between the copy of the metadata and its own, the backup begins again."""
        from twisted.internet import reactor

        sample, lost = make_sample(self.name), make_sample(f"{self.name} lost")
        self.push(sample, "1")
        digest = self.push_blob(lost.blobs[0])
        config = self.config()
        copies = _Collecting(config.metadata_url, threads_of(reactor))
        await copies.open()
        self.addCleanup(copies.close)

        async def act(stores: Stores) -> Backup:
            copies.begin(stores, self.name, Digest.parse(digest))
            backup = Backup(config, stores, copies, BackupFolder(self.backups), None, False, Silence())
            await backup.run(None)
            return backup

        done = (await with_stores(config, reactor, act)).done
        self.assertEqual((2, {}), (done.rounds, done.lost))
        self.assertFalse(self.kept_blob(digest).exists())
        await self.check()

    async def test_reserved(self) -> None:
        """What upload sessions have reserved of a quota is not reserved where those sessions are not."""
        self.push(make_sample(self.name), "1")
        connection = sqlite3.connect(self.daemon.data / "metadata.sqlite3")
        self.addCleanup(connection.close)
        with connection:
            connection.execute("INSERT INTO namespace_usage VALUES ('busy', 10, 20, 30)")
        done = await self.back_up()
        with connection:
            connection.execute("DELETE FROM namespace_usage WHERE namespace = 'busy'")
        rows = rows_of(self.backups / "snapshots" / done.snapshot / "metadata.sqlite3")
        self.assertIn(("busy", 10, 0, 30), rows["namespace_usage"])

    async def test_audit_log(self) -> None:
        """An audit log that can not be written keeps nothing else from being restored, and nobody else reads one."""
        self.push(make_sample(self.name), "1")
        # The command has written into it when it ends; the daemon takes its time.
        self.daemon.told("backup", str(self.backups))
        await self.back_up()
        target = self.another()
        log = target.folder / "audit.log"
        log.symlink_to(self.folder / "nowhere" / "audit.log")
        ended = target.run("restore", str(self.backups), "--json")
        self.assertEqual((1, True), (ended.returncode, b"all is restored but the audit log" in ended.stderr))
        self.assertIn("audit.log can not be written", json.loads(ended.stdout)["audit_problem"])
        before, after = (rows_of(each.data / "metadata.sqlite3") for each in (self.daemon, target))
        self.assertEqual(before, after)
        shutil.rmtree(target.data)
        log.unlink()
        seen: list[int] = []

        def full(_source: object, file: BinaryIO) -> None:
            seen.append(log.stat().st_mode & 0o777)
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")

        self.patch(shutil, "copyfileobj", full)
        done = await self.restore(self.config(target))
        self.assertIn("No space left", done.audit_problem)
        self.assertEqual(([0o600], False), (seen, log.exists()))

    async def test_killed_restore(self) -> None:
        """What a restore that was killed has left goes with the next one; one that is under way excludes another."""
        self.push(make_sample(self.name), "1")
        await self.back_up()
        target = self.another()
        left = target.data / ".restoring-old"
        left.mkdir(parents=True)
        for name in ("metadata.sqlite3", "lock"):
            (left / name).write_bytes(b"")
        with work_folder(target.data) as work:
            self.assertIn("another restore", await self.fails(self.restore(self.config(target))))
            self.assertTrue(work.exists())
        await self.restore(self.config(target))
        self.assertEqual([], [*target.data.glob(".restoring-*")])

    async def test_partial(self) -> None:
        """What was not finished is no backup, and the next one removes it."""
        self.push(make_sample(self.name), "1")
        partial = self.backups / "snapshots/20200101T000000Z.partial"
        partial.mkdir(parents=True)
        part = self.backups / "blobs/sha256/ab" / f".{'ab' * 32}.partial"
        part.parent.mkdir(parents=True)
        part.touch()
        self.assertIn("no backup that is whole", await self.fails(self.check()))
        await self.back_up()
        self.assertEqual((False, False), (partial.exists(), part.exists()))

    async def test_one_at_a_time(self) -> None:
        """Two backups into one folder exclude each other."""
        with BackupFolder(self.backups).locked():
            self.assertIn("another backup", await self.fails(self.back_up()))

    def test_commands(self) -> None:
        """The commands, as somebody types them; the audit log is in the backup, and tells of it."""
        self.push(make_sample(self.name), "1")
        # The first has written into the audit log when it ends; the daemon takes its time.
        self.daemon.told("backup", str(self.backups))
        told = self.daemon.told("backup", str(self.backups), "--keep=1")
        self.assertEqual({}, told["lost"])
        program = [sys.executable, "-c", "from dockreg.cli.command import main; main()"]
        arguments = ["restore", str(self.backups), "--verify", "--json"]
        done = subprocess.run([*program, *arguments], capture_output=True, check=True, cwd=self.folder)
        self.assertEqual(told["blobs"], json.loads(done.stdout)["blobs"])
        self.assertEqual([self.backups], list(self.folder.iterdir()))
        target = self.another()
        self.assertEqual(0, target.command("restore", str(self.backups)))
        self.assertEqual(1, target.command("restore", str(self.backups)))
        lines = (target.folder / "audit.log").read_text().splitlines()
        self.assertEqual("registry.restore", json.loads(lines[-1])["action"])
        self.assertEqual(0o600, (target.folder / "audit.log").stat().st_mode & 0o777)
        log = (self.daemon.folder / "audit.log").read_text()
        self.assertIn("registry.backup", log)
        (snapshot,) = (self.backups / "snapshots").iterdir()
        kept = (snapshot / "audit.log").read_text()
        self.assertTrue(log.startswith(kept))
        self.assertEqual(kept.splitlines(), lines[:-1])


class _Collecting(MetadataCopies):
    """Right after the metadata were copied for the first time, a blob is collected."""

    def __init__(self, url: str, in_thread: InThread) -> None:
        super().__init__(url, in_thread)
        self.copied = 0

    def begin(self, stores: Stores, name: str, digest: Digest) -> None:
        """Say what is collected."""
        self.stores, self.name, self.digest = stores, RepositoryName(name), digest

    async def dump(self, path: Path) -> None:
        await super().dump(path)
        self.copied += 1
        if self.copied > 1:
            return
        index = self.stores.registry.metadata.blobs
        found = await index.find(self.digest)
        assert found is not None
        await index.unlink(self.name, self.digest)
        await self._in_thread(self.run, True, _forget, self.digest)
        await self.stores.registry.blobs.delete(found)


def _forget(connection: Connection, digest: Digest) -> None:
    connection.execute(delete(blobs).where(blobs.c.digest == str(digest)))
