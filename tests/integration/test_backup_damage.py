"""``dockreg backup`` and ``restore`` where a disk has lost or changed something."""

import json
import shutil
import sqlite3
from typing import ClassVar

from dockreg.cli.moving.backupfolder import BackupFolder
from dockreg.cli.moving.restore import Restored, RestoredBlobs
from dockreg.cli.moving.stores import Stores, with_stores
from dockreg.providers.metadata.copying import blobs_of
from tests.integration.backupcase import BackupCase
from tests.integration.movingcase import Silence
from tests.integration.v2case import IN_FILES, Sample, digest_of, make_sample
from tests.processes import Daemon


class DamageTests(BackupCase):
    """What is damaged is told, and keeps nothing else from being saved."""

    CONFIG: ClassVar[str] = IN_FILES

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
        for sample in (gone, bad):
            self.repaired(target, sample)

    def repaired(self, target: Daemon, sample: Sample) -> None:
        """The first layer is not there, for nobody, until it is pushed again."""
        digest = digest_of(sample.blobs[0])
        blob, manifest = f"/v2/{self.name}/blobs/{digest}", f"/v2/{self.name}/manifests/again"
        # One that is there may be pushed again whatever has become of its blobs; this is another one.
        content, typed = sample.manifest + b"\n", {"Content-Type": sample.media_type}
        self.assertEqual([404, 404], [target.request(each, blob)[0] for each in ("HEAD", "GET")])
        self.assertEqual(400, target.request("PUT", manifest, content, typed)[0])
        upload = f"/v2/{self.name}/blobs/uploads/?digest={digest}"
        self.assertEqual(201, target.request("POST", upload, sample.blobs[0])[0])
        self.assertEqual(201, target.request("PUT", manifest, content, typed)[0])
        self.same_blobs(target, self.name, sample)

    async def test_damaged_twice(self) -> None:
        """What is damaged in the folder and in the registry stays lost in the next backup, which reads less."""
        sample = make_sample(self.name)
        self.push(sample, "1")
        await self.back_up()
        digest = digest_of(sample.blobs[0])
        kept, stored = self.kept_blob(digest), self.stored_blob(self.daemon, digest)
        for path in (kept, stored):
            path.write_bytes(bytes(len(sample.blobs[0])))
        try:
            for verify in (True, False):
                self.assertEqual({digest: "is damaged"}, (await self.back_up(verify=verify)).lost)
                self.assertFalse(kept.exists())
        finally:
            stored.write_bytes(sample.blobs[0])
        await self.check()
        done = await self.back_up()
        self.assertEqual(({}, 1), (done.lost, done.new_blobs))

    async def test_without_damaged(self) -> None:
        """What the backup has not got whole keeps the rest from being restored unless it is to be left out."""
        good, gone, bad, short = (make_sample(f"{self.name} {each}") for each in ("good", "gone", "bad", "short"))
        for number, sample in enumerate((good, gone, bad, short)):
            self.push(sample, str(number))
        done = await self.back_up()
        missing, damaged, truncated = (self.kept_blob(digest_of(each.blobs[0])) for each in (gone, bad, short))
        aside = self.folder / "aside"
        shutil.move(missing, aside)
        damaged.write_bytes(bytes(damaged.stat().st_size))
        truncated.write_bytes(b"")
        target = self.another()
        self.assertIn("--without-damaged", await self.fails(self.restore(self.config(target))))
        self.assertEqual(2, target.command("restore", str(self.backups), "--without-damaged", "--verify"))
        ended = target.run("restore", str(self.backups), "--without-damaged", "--json")
        self.assertEqual((1, True), (ended.returncode, b"3 blobs are damaged or missing" in ended.stderr))
        told = json.loads(ended.stdout)
        why = {"missing": missing, "damaged": damaged, "another size": truncated}
        self.assertEqual(sorted(f"sha256:{each.name}" for each in why.values()), sorted(told["left_out"]))
        for word, path in why.items():
            self.assertIn(word, told["left_out"][f"sha256:{path.name}"])
        self.assertEqual(done.blobs - 3, told["blobs"])
        connection = sqlite3.connect(target.data / "metadata.sqlite3")
        self.addCleanup(connection.close)
        query = "SELECT substr(digest, 8), condition FROM blobs WHERE condition IS NOT NULL"
        expected = {missing.name: "missing", damaged.name: "damaged", truncated.name: "damaged"}
        self.assertEqual(expected, dict(connection.execute(query)))
        target.start()
        self.same_blobs(target, self.name, good)
        for sample in (gone, bad, short):
            self.repaired(target, sample)

    async def test_unreadable(self) -> None:
        """A blob that the disk of the backup does not give is one that is damaged."""
        digest = self.push_blob(b"")
        await self.back_up()
        kept = self.kept_blob(digest)
        kept.unlink()
        # Of no size, and each read of it is an error of input and output.
        kept.symlink_to("/proc/self/mem")
        target = self.another()
        self.assertIn("can not be read", await self.fails(self.restore(self.config(target))))
        done = await self.restore(self.config(target), without_damaged=True)
        self.assertEqual([digest], list(done.left_out))

    async def test_left_out_at_first(self) -> None:
        """A blob that an interrupted restore has noted as lost is restored when the backup has it by then."""
        sample = make_sample(self.name)
        self.push(sample, "1")
        await self.back_up()
        first, last = digest_of(sample.blobs[0]), digest_of(sample.config)
        content = self.kept_blob(first).read_bytes()
        self.kept_blob(first).unlink()
        metadata = next((self.backups / "snapshots").iterdir()) / "metadata.sqlite3"
        target = self.another()
        config = self.config(target)

        async def interrupted(stores: Stores) -> int:
            done = Restored("")
            wanted = [each for each in blobs_of(metadata) if str(each.blob.digest) != last]
            await RestoredBlobs(stores, BackupFolder(self.backups), Silence(), done, True).store(wanted)
            self.assertEqual([first], list(done.left_out))
            return done.blobs

        from twisted.internet import reactor

        stored = await with_stores(config, reactor, interrupted, may_make=True)
        self.kept_blob(first).write_bytes(content)
        done = await self.restore(config, without_damaged=True)
        self.assertEqual(({}, stored), (done.left_out, done.present))
        target.start()
        self.same_blobs(target, self.name, sample)

    async def test_verified(self) -> None:
        """A backup that was damaged is found out, and repaired where the registry has the blob."""
        sample = make_sample(self.name)
        self.push(sample, "1")
        done = await self.back_up()
        # The last one in order, so that others are restored before it.
        digest = max(map(digest_of, (*sample.blobs, sample.config)))
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


class LinkedTests(BackupCase):
    """Backups that take no room."""

    CONFIG: ClassVar[str] = IN_FILES

    async def test_linked(self) -> None:
        """With links no byte is copied."""
        sample = make_sample(self.name)
        self.push(sample, "1")
        await self.back_up(link=True)
        digest = digest_of(sample.blobs[0])
        self.assertTrue(self.kept_blob(digest).samefile(self.stored_blob(self.daemon, digest)))
        await self.check()
