"""Small blobs that a registry keeps in its database, through its doors and its commands."""

import json
import os
import sqlite3
from typing import Any, ClassVar

from tests.integration.backupcase import BackupCase
from tests.integration.test_lost_blobs import LostCase
from tests.integration.v2case import IN_FILES, V2Case, digest_of, make_sample
from tests.processes import Daemon


def kept(daemon: Daemon, content: bytes) -> bytes | None:
    """What the row of a blob holds."""
    found: tuple[bytes | None] = _changed(daemon, "SELECT content FROM blobs WHERE digest = ?", digest_of(content))
    return found[0]


def damage(daemon: Daemon, content: bytes, by: bytes | None) -> None:
    """Have the row hold something else."""
    _changed(daemon, "UPDATE blobs SET content = ? WHERE digest = ?", by, digest_of(content))


def _changed(daemon: Daemon, query: str, *values: Any) -> Any:
    database = sqlite3.connect(daemon.data / "metadata.sqlite3", timeout=30)
    try:
        found = database.execute(query, values).fetchone()
        database.commit()
        return found
    finally:
        database.close()


class PushedTests(V2Case):
    """How they come and go through the door."""

    CONFIG = "workers = 2\n"

    def test_sizes(self) -> None:
        """What fits is in its row, whichever way it came as a whole; all is read alike, in parts as well."""
        for size in (0, 1, 4096, 16384, 16385, 100_000):
            for whole in (True, False):
                content = os.urandom(size)
                if whole:
                    self.push_blob(content)
                else:
                    session = self.start()
                    self.assertEqual(201, self.ask("PUT", f"{session}?digest={digest_of(content)}", content).status)
                self.assertEqual(content if 0 < size <= 16384 else None, kept(self.daemon, content))
                path = f"blobs/{digest_of(content)}"
                for _ in range(3):
                    reply = self.ask("GET", path)
                    self.assertEqual((200, content), (reply.status, reply.content))
                head = self.ask("HEAD", path)
                self.assertEqual((200, str(size)), (head.status, head.headers["content-length"]))
                if size > 10:
                    part = self.ask("GET", path, None, Range="bytes=3-8")
                    self.assertEqual((206, content[3:9]), (part.status, part.content))

    def test_by_parts(self) -> None:
        """One that comes by PATCH is a file."""
        content, session = os.urandom(1000), self.start()
        self.assertEqual(202, self.ask("PATCH", session, content).status)
        self.assertEqual(201, self.ask("PUT", f"{session}?digest={digest_of(content)}", b"").status)
        self.assertIsNone(kept(self.daemon, content))
        self.assertEqual(content, self.ask("GET", f"blobs/{digest_of(content)}").content)


class LostTests(LostCase):
    """One that is damaged is not there, until it is pushed again."""

    CONFIG = "workers = 2\nscrub.enabled = false\n"

    def test_lost(self) -> None:
        """Each process finds out that there are no bytes, or too few, and a push repairs it."""
        for by in (None, b"short"):
            sample = make_sample(f"lost rows {by!r}")
            layer = sample.blobs[0]
            for content in (*sample.blobs, sample.config):
                self.push_blob(content)
            self.assertEqual(201, self.mount(layer, self.name))
            damage(self.daemon, layer, by)
            self.check_lost(layer)
            self.assertEqual(202, self.mount(layer, self.name))
            self.push_blob(layer, f"{self.name}-other")
            self.assertEqual((200, layer), (self.get(layer).status, self.get(layer).content))

    def test_fsck(self) -> None:
        """``dockreg fsck`` finds other bytes, and repairs nothing that only a push repairs."""
        content = os.urandom(2000)
        self.push_blob(content)
        damage(self.daemon, content, content[::-1])
        self.assertEqual(0, self.daemon.run("fsck", "--quick").returncode)
        done = self.daemon.run("fsck", "--repair", "--json")
        (finding,) = json.loads(done.stdout)["findings"]
        self.assertEqual((1, digest_of(content), "lost"), (done.returncode, finding["subject"], finding["outcome"]))
        self.check_lost(content)
        self.push_blob(content)
        self.assertEqual(content, self.get(content).content)
        self.assertEqual(0, self.daemon.run("fsck", "--repair").returncode)


class BackupTests(BackupCase):
    """They are blobs of a backup as all others."""

    CONFIG: ClassVar[str] = ""

    async def test_linked(self) -> None:
        """With links they are copied, and the copy of the metadata has none of their bytes; so has one without links."""
        sample = make_sample(self.name)
        self.push(sample, "1")
        for link in (True, False):
            await self.back_up(link=link)
            for content in (*sample.blobs, sample.config):
                self.assertEqual(content, self.kept_blob(digest_of(content)).read_bytes())
            for place in (self.backups / "snapshots").iterdir():
                database = sqlite3.connect(place / "metadata.sqlite3")
                self.addCleanup(database.close)
                count = database.execute("SELECT count(content) FROM blobs").fetchone()[0]
                self.assertEqual(0, count)
        await self.check()

    async def check_restored(self, config: str, *, inside: bool) -> None:
        sample = make_sample(self.name)
        self.push(sample, "1")
        await self.back_up()
        target = self.another()
        target.configure(config)
        self.assertEqual([], (await self.restore(self.config(target))).lost)
        for content in (*sample.blobs, sample.config):
            self.assertEqual(content if inside else None, kept(target, content))
        target.start()
        self.same_blobs(target, self.name, sample)

    async def test_restored(self) -> None:
        """Restored, they are in the database again."""
        await self.check_restored("", inside=True)

    async def test_restored_into_files(self) -> None:
        """They are files where the configuration of the other registry says so."""
        await self.check_restored(IN_FILES, inside=False)

    async def test_damaged(self) -> None:
        """One that is damaged is told, and keeps nothing else from being saved; restored it is lost, until it is pushed."""
        good, bad, gone = (make_sample(f"{self.name} {each}") for each in ("good", "bad", "gone"))
        for number, sample in enumerate((good, bad, gone)):
            self.push(sample, str(number))
        damage(self.daemon, bad.blobs[0], bytes(len(bad.blobs[0])))
        damage(self.daemon, gone.blobs[0], None)
        try:
            done = await self.back_up()
        finally:
            for sample in (bad, gone):
                damage(self.daemon, sample.blobs[0], sample.blobs[0])
        expected = {digest_of(bad.blobs[0]): "is damaged", digest_of(gone.blobs[0]): "is not there"}
        self.assertEqual(expected, done.lost)
        target = self.another()
        self.assertEqual(sorted(expected), (await self.restore(self.config(target))).lost)
        target.start()
        self.same_blobs(target, self.name, good)
        for sample in (bad, gone):
            path = f"/v2/{self.name}/blobs/{digest_of(sample.blobs[0])}"
            self.assertEqual(404, target.request("GET", path)[0])
            upload = f"/v2/{self.name}/blobs/uploads/?digest={digest_of(sample.blobs[0])}"
            self.assertEqual(201, target.request("POST", upload, sample.blobs[0])[0])
            self.assertEqual(sample.blobs[0], target.request("GET", path)[1])
