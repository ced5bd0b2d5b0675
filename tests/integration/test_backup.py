"""``dockreg backup`` and ``restore``: all that there is, as it was, beside a daemon that serves."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from sqlalchemy import Connection, delete

from dockreg.callables import InThread
from dockreg.cli.moving.backup import Backup
from dockreg.cli.moving.backupfolder import BackupFolder
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
from tests.integration.v2case import digest_of, make_sample
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
        session = self.start()
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
        self.assertEqual(404, target.request("GET", session)[0])
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

    async def test_linked(self) -> None:
        """With links no byte is copied."""
        sample = make_sample(self.name)
        self.push(sample, "1")
        await self.back_up(link=True)
        digest = digest_of(sample.blobs[0])
        self.assertTrue(self.kept_blob(digest).samefile(self.stored_blob(self.daemon, digest)))
        await self.check()

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

    async def test_lost(self) -> None:
        """What the registry has lost does not keep the rest from being saved, and is told; restored, it is as it was."""
        good, gone, bad = (make_sample(f"{self.name} {each}") for each in ("good", "gone", "bad"))
        for number, sample in enumerate((good, gone, bad)):
            self.push(sample, str(number))
        missing, damaged = (self.stored_blob(self.daemon, digest_of(each.blobs[0])) for each in (gone, bad))
        aside = self.folder / "aside"
        shutil.move(missing, aside)
        content = damaged.read_bytes()
        damaged.write_bytes(bytes(len(content)))
        try:
            done = await self.back_up()
        finally:
            shutil.move(aside, missing)
            damaged.write_bytes(content)
        expected = {digest_of(gone.blobs[0]): "is not there", digest_of(bad.blobs[0]): "is damaged"}
        self.assertEqual(expected, done.lost)
        target = self.another()
        restored = await self.restore(self.config(target))
        self.assertEqual(sorted(expected), restored.lost)
        target.start()
        self.same_blobs(target, self.name, good)
        self.assertEqual(404, target.request("GET", f"/v2/{self.name}/blobs/{digest_of(gone.blobs[0])}")[0])

    async def test_verified(self) -> None:
        """A backup that was damaged is found out, and repaired where the registry has the blob."""
        sample = make_sample(self.name)
        self.push(sample, "1")
        done = await self.back_up()
        digest = digest_of(sample.blobs[0])
        kept = self.kept_blob(digest)
        kept.write_bytes(bytes(kept.stat().st_size))
        self.assertIn(digest, await self.fails(self.check()))
        target = self.another()
        self.assertIn("damaged", await self.fails(self.restore(self.config(target))))
        self.assertEqual(1, (await self.back_up(verify=True)).new_blobs)
        await self.check()
        # What was begun is gone on with.
        self.assertLess(0, (await self.restore(self.config(target))).present)
        self.assertIn("something in this registry", await self.fails(self.restore(self.config(target))))
        metadata = self.backups / "snapshots" / done.snapshot / "metadata.sqlite3"
        metadata.write_bytes(metadata.read_bytes() + b"x")
        self.assertIn("damaged", await self.fails(self.check(done.snapshot)))
        self.assertIn("holds no backup nope", await self.fails(self.check("nope")))

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
        told = self.daemon.told("backup", str(self.backups))
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
        log = (self.daemon.folder / "audit.log").read_text()
        self.assertIn("registry.backup", log)
        (snapshot,) = (self.backups / "snapshots").iterdir()
        self.assertTrue(log.startswith((snapshot / "audit.log").read_text()))


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
