"""A daemon whose database goes away: it says so, and goes on when that is back, without a restart."""

import os
import sqlite3
import time  # a real process looks again after real time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.postgresql import Server
from tests.integration.v2case import Reply, digest_of, make_sample
from tests.processes import PreparedDaemon

NAME = "gone/app"


class GoneCase(SynchronousTestCase):
    """A daemon with an image, and requests that need the database."""

    def serve(self, config: str = "") -> None:
        """Start it, and push an image."""
        self.daemon = PreparedDaemon(Path(self.mktemp()).absolute(), config=config)
        self.addCleanup(self.daemon.kill)
        self.daemon.start()
        self.sample = make_sample("gone")
        for content in (*self.sample.blobs, self.sample.config):
            self.assertEqual(201, self.push(content).status)
        self.assertEqual(201, self.tag().status)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return Reply(*self.daemon.request(method, path, body, names))

    def push(self, content: bytes) -> Reply:
        return self.ask("POST", f"/v2/{NAME}/blobs/uploads/?digest={digest_of(content)}", content)

    def tag(self) -> Reply:
        path, media_type = f"/v2/{NAME}/manifests/latest", self.sample.media_type
        return self.ask("PUT", path, self.sample.manifest, Content_Type=media_type)

    def pull(self) -> Reply:
        return self.ask("GET", f"/v2/{NAME}/manifests/latest", Accept=self.sample.media_type)

    def check_unavailable(self, reply: Reply, word: str = "metadata store") -> None:
        """503, when to come back, and a sentence."""
        self.assertEqual((503, "5"), (reply.status, reply.headers.get("retry-after")), reply.content)
        self.assertEqual(["UNAVAILABLE"], reply.codes)
        self.assertIn(word, reply.document["errors"][0]["message"])

    def check_well(self) -> None:
        """All is as before."""
        self.assertEqual((200, self.sample.manifest), (self.pull().status, self.pull().content))
        self.assertEqual(201, self.push(os.urandom(1000)).status)
        self.assertEqual(201, self.tag().status)
        deadline = time.monotonic() + 10  # what was found is kept for two seconds
        while self.ask("GET", "/readyz").status != 200:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)
        self.assertNotIn("incident", self.daemon.log())


class PostgreSQLTests(GoneCase):
    """A server that is stopped, and started again."""

    def test_stopped(self) -> None:
        """Requests are answered 503 while it is stopped, and as before afterwards."""
        server = Server()
        self.addCleanup(server.stop)
        server.start()
        self.serve(f'metadata.url = "{server.url()}"\n')
        server.halt()
        self.check_unavailable(self.pull())
        self.check_unavailable(self.push(b"x"))
        self.check_unavailable(self.tag())
        self.assertEqual(200, self.ask("GET", "/healthz").status)
        self.assertEqual(503, self.ask("GET", "/readyz").status)
        server.go_on()
        self.check_well()


class SQLiteTests(GoneCase):
    """A file that is locked by another program, or taken away."""

    def setUp(self) -> None:
        self.file = Path(self.mktemp()).absolute() / "metadata.sqlite3"
        self.serve(f'metadata.url = "sqlite:///{self.file}?timeout=1"\n')

    def test_away(self) -> None:
        """While the file is away nothing is written, and no other one made; put back, it is used again."""
        away = self.file.rename(self.file.with_name("away"))
        self.check_unavailable(self.push(b"x"), "put it back")
        self.check_unavailable(self.tag(), "put it back")
        self.assertFalse(self.file.exists())
        away.rename(self.file)
        self.check_well()

    def test_locked(self) -> None:
        """Whoever has to wait too long for another program is told to come back; pulls go on."""
        other = sqlite3.connect(self.file, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        self.assertEqual(200, self.pull().status)
        self.check_unavailable(self.push(os.urandom(100)))
        other.execute("ROLLBACK")
        self.check_well()
