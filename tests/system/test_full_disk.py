"""A disk that is really full: pushes are refused in a sentence, pulls go on, and all goes on when there is room."""

import http.client
import json
import os
import sqlite3
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dockreg.testing.samples import make_image
from tests.disks import fill, mount_small
from tests.integration.v2case import Reply, digest_of, make_sample
from tests.processes import PreparedDaemon

MIB = 1024 * 1024
NAME = "full/app"
UPLOADS = f"/v2/{NAME}/blobs/uploads/"


class FullDiskCase(SynchronousTestCase):
    """A daemon whose data is on a file system of :attr:`MEBIBYTES`."""

    MEBIBYTES = 48
    RESERVE = 0

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        mount_small(self, self.folder / "data", self.MEBIBYTES)
        self.daemon = PreparedDaemon(self.folder, config=f"blobs.reserve_bytes = {self.RESERVE}\n")
        self.addCleanup(self.daemon.kill)
        self.daemon.start()

    def tearDown(self) -> None:
        self.assertNotIn("Traceback", self.daemon.log())

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return Reply(*self.daemon.request(method, path, body, names))

    def push_blob(self, content: bytes) -> Reply:
        return self.ask("POST", f"{UPLOADS}?digest={digest_of(content)}", content)

    def pull_blob(self, content: bytes) -> None:
        """Pulls go on."""
        reply = self.ask("GET", f"/v2/{NAME}/blobs/{digest_of(content)}")
        self.assertEqual((200, content), (reply.status, reply.content))

    def put_tag(self, tag: str, manifest: bytes, media_type: str) -> Reply:
        return self.ask("PUT", f"/v2/{NAME}/manifests/{tag}", manifest, Content_Type=media_type)

    def start(self) -> str:
        """A new session: its path."""
        reply = self.ask("POST", UPLOADS, b"")
        self.assertEqual(202, reply.status, reply.content)
        return reply.headers["location"]

    def check_refused(self, reply: Reply, *words: str) -> None:
        """507, with a code and a sentence that says what to do."""
        self.assertEqual(507, reply.status, reply.content)
        (error,) = reply.document["errors"]
        self.assertEqual("UNAVAILABLE", error["code"])
        for word in ("no room", "Push again", *words):
            self.assertIn(word, error["message"])

    def check_database(self) -> None:
        """The database is what it should be."""
        database = sqlite3.connect(self.daemon.data / "metadata.sqlite3")
        try:
            self.assertEqual([("ok",)], database.execute("PRAGMA integrity_check").fetchall())
            self.assertEqual([], database.execute("PRAGMA foreign_key_check").fetchall())
        finally:
            database.close()


class FullTests(FullDiskCase):
    """Without a reserve blobs and metadata fill the disk together."""

    def test_session(self) -> None:
        """A session keeps what found room, tells how much that is, and goes on; a pull does not notice."""
        small, large = os.urandom(MIB), os.urandom(20 * MIB)
        self.assertEqual(201, self.push_blob(small).status)
        session = self.start()
        self.assertEqual(202, self.ask("PATCH", session, large[: 4 * MIB]).status)
        filler = fill(self.daemon.data, leave=3 * MIB)
        refused = self.ask("PATCH", session, large[4 * MIB :])
        self.check_refused(refused)
        self.pull_blob(small)
        status = self.ask("GET", session)
        self.assertEqual(refused.headers["range"], status.headers["range"])
        size = int(status.headers["range"].partition("-")[2]) + 1
        self.assertTrue(4 * MIB < size <= 8 * MIB, size)
        self.check_refused(self.ask("PATCH", session, large[size:]))
        filler.unlink()
        size = int(self.ask("GET", session).headers["range"].partition("-")[2]) + 1
        self.assertEqual(202, self.ask("PATCH", session, large[size:]).status)
        self.assertEqual(201, self.ask("PUT", f"{session}?digest={digest_of(large)}", b"").status)
        self.pull_blob(large)
        self.assertEqual([], list((self.daemon.data / "blobs" / "staging").iterdir()))

    def test_metadata(self) -> None:
        """Manifests, tags and deletions that find no room are refused, change nothing, and work once there is room."""
        sample = make_sample("full")
        for content in (*sample.blobs, sample.config):
            self.assertEqual(201, self.push_blob(content).status)
        self.assertEqual(201, self.put_tag("first", sample.manifest, sample.media_type).status)
        filler = fill(self.daemon.data)
        refused = 0
        # What the log of the database has room for may still go; it does not grow.
        for number in range(64):
            reply = self.put_tag(f"t{number}", sample.manifest[:-1] + b" " * 4096 + b"}", sample.media_type)
            if reply.status != 201:
                self.check_refused(reply)
                refused += 1
        self.assertGreater(refused, 0)
        self.check_refused(self.ask("POST", UPLOADS, b"") if refused else Reply(0, b"", {}))
        self.check_refused(self.ask("DELETE", f"/v2/{NAME}/manifests/first"))
        first = self.ask("GET", f"/v2/{NAME}/manifests/first", Accept=sample.media_type)
        self.assertEqual((200, sample.manifest), (first.status, first.content))
        self.assertEqual(503, self.ask("GET", "/readyz").status)
        filler.unlink()
        self.assertEqual(201, self.put_tag("after", sample.manifest, sample.media_type).status)
        self.assertEqual(202, self.ask("DELETE", f"/v2/{NAME}/manifests/first").status)
        self.check_database()

    def test_v1(self) -> None:
        """Every step of a v1 push is refused with a sentence, and the push goes through when there is room."""
        image, layer = make_image("one"), os.urandom(8 * MIB)
        body = json.dumps([{"id": image.id}]).encode()
        path = f"/v1/images/{image.id}"
        steps = [
            ("PUT", f"/v1/repositories/{NAME}/", body),
            ("PUT", f"{path}/json", image.json),
            ("PUT", f"{path}/layer", layer),
        ]
        statuses = []
        for step in steps:
            filler = fill(self.daemon.data, leave=2 * MIB if step[1].endswith("layer") else 0)
            reply = self.ask(*step)
            statuses.append(reply.status)
            if reply.status != 200:  # what the log of the database has room for may still go
                self.assertEqual(507, reply.status, reply.content)
                self.assertIn("no room", reply.document["error"])
            filler.unlink()
            self.assertEqual(200, self.ask(*step).status)
        self.assertEqual(507, statuses[-1])
        self.check_database()

    def test_restart(self) -> None:
        """The daemon starts on a full disk, serves what it has, and takes more when there is room."""
        small = os.urandom(MIB)
        self.assertEqual(201, self.push_blob(small).status)
        filler = fill(self.daemon.data)
        self.daemon.kill()
        self.daemon.start()
        self.pull_blob(small)
        filler.unlink()
        self.assertEqual(201, self.push_blob(os.urandom(MIB)).status)


class ReserveTests(FullDiskCase):
    """Blobs leave room for metadata."""

    RESERVE = 16 * MIB

    def test_announced(self) -> None:
        """What is announced to be too large is refused before a byte of it is sent."""
        session = self.start()
        connection = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=30)
        self.addCleanup(connection.close)
        connection.putrequest("PATCH", session)
        connection.putheader("Content-Length", str(40 * MIB))
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        response = connection.getresponse()
        reply = Reply(response.status, response.read(), {})
        self.check_refused(reply, "40 MiB", "blobs.reserve_bytes")

    def test_metadata_goes_on(self) -> None:
        """When blobs have no room, what is there can be tagged and deleted; a session goes on when there is room."""
        sample = make_sample("reserve")
        for content in (*sample.blobs, sample.config):
            self.assertEqual(201, self.push_blob(content).status)
        session, large = self.start(), os.urandom(24 * MIB)
        self.assertEqual(202, self.ask("PATCH", session, large[: 8 * MIB]).status)
        filler = fill(self.daemon.data, leave=self.RESERVE - MIB)
        self.check_refused(self.ask("PATCH", session, large[8 * MIB :]), "blobs.reserve_bytes")
        self.check_refused(self.ask("POST", UPLOADS, b""), "blobs.reserve_bytes")
        for number in range(20):
            self.assertEqual(201, self.put_tag(f"t{number}", sample.manifest, sample.media_type).status)
        self.assertEqual(202, self.ask("DELETE", f"/v2/{NAME}/manifests/{sample.digest}").status)
        self.assertIn("blobs.reserve_bytes keeps", self.daemon.log())
        filler.unlink()
        size = int(self.ask("GET", session).headers["range"].partition("-")[2]) + 1
        self.assertEqual(201, self.ask("PUT", f"{session}?digest={digest_of(large)}", large[size:]).status)
        self.pull_blob(large)
