"""Blobs whose files something has happened to, through the doors of a daemon with two processes."""

import http.client
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from dockreg.model.blobs import StoredBlob
from dockreg.model.digest import Digest
from dockreg.providers.blobs.staging import Folders
from tests.integration.v2case import IN_FILES, Reply, V2Case, digest_of, make_sample

MIB = 1 << 20


class LostCase(V2Case):
    """The files of a daemon that serves with two processes."""

    CONFIG = f"workers = 2\n{IN_FILES}"

    def path(self, content: bytes) -> Path:
        """The file that is recorded for a blob."""
        database = sqlite3.connect(self.daemon.data / "metadata.sqlite3")
        try:
            query = "select generation from blobs where digest = ?"
            (generation,) = database.execute(query, [digest_of(content)]).fetchone()
        finally:
            database.close()
        blob = StoredBlob(Digest.sha256(content), generation, len(content))
        return Folders(self.daemon.data / "blobs").object_path(blob)

    def damage(self, content: bytes) -> None:
        """Change the last byte of the file."""
        with self.path(content).open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(bytes([content[-1] ^ 1]))

    def get(self, content: bytes, method: str = "GET", **headers: str) -> Reply:
        """The blob of this test's repository."""
        return self.ask(method, f"blobs/{digest_of(content)}", None, **headers)

    def check_lost(self, content: bytes) -> None:
        """Every process answers that it is not there, and says why to who can read it."""
        for _ in range(6):
            reply = self.get(content)
            self.assertEqual((404, ["BLOB_UNKNOWN"]), (reply.status, reply.codes))
            self.assertIn("push it again", reply.document["errors"][0]["message"])
            self.assertEqual(404, self.get(content, "HEAD").status)

    def mount(self, content: bytes, source: str) -> int:
        """The status of a mount into another repository."""
        query = f"?mount={digest_of(content)}&from={quote(source, safe='')}"
        return self.ask("POST", f"/v2/{source}-other/blobs/uploads/{query}", b"").status


class LostTests(LostCase):
    """A blob that is lost is not there, until it is pushed again."""

    def test_missing(self) -> None:
        """A push to one repository repairs it in the other, by whichever process."""
        sample = make_sample("missing")
        layer = sample.blobs[0]
        for content in (*sample.blobs, sample.config):
            self.push_blob(content)
        self.assertEqual(201, self.mount(layer, self.name))
        self.path(layer).unlink()
        self.check_lost(layer)
        self.assertEqual(202, self.mount(layer, self.name))
        put = self.ask("PUT", "manifests/latest", sample.manifest, Content_Type=sample.media_type)
        self.assertEqual((400, ["MANIFEST_BLOB_UNKNOWN"]), (put.status, put.codes))
        self.assertEqual(digest_of(layer), put.document["errors"][0]["detail"]["digest"])
        self.push_blob(layer, f"{self.name}-other")
        self.assertEqual((200, layer), (self.get(layer).status, self.get(layer).content))
        self.assertEqual(
            201, self.ask("PUT", "manifests/latest", sample.manifest, Content_Type=sample.media_type).status
        )

    def test_truncated(self) -> None:
        """A file that is too short is never the beginning of an answer."""
        content = os.urandom(MIB)
        self.push_blob(content)
        os.truncate(self.path(content), MIB // 2)
        self.check_lost(content)
        self.push_blob(content)
        self.assertEqual(content, self.get(content).content)


class VerifiedTests(LostCase):
    """With verification no answer with wrong bytes is complete."""

    CONFIG = f"blobs.verify_reads = true\n{IN_FILES}"

    def test_cut(self) -> None:
        """A large blob is cut before its end; then it is lost, and a push repairs it."""
        content = os.urandom(3 * MIB)
        self.push_blob(content)
        self.assertEqual(content, self.get(content).content)
        self.damage(content)
        with self.assertRaises((http.client.IncompleteRead, ConnectionError)) as caught:
            self.get(content)
        partial = getattr(caught.exception, "partial", b"")
        self.assertLess(len(partial), len(content))
        self.check_lost(content)
        self.push_blob(content)
        self.assertEqual(content, self.get(content).content)

    def test_small(self) -> None:
        """A small one is not begun: it is answered as what it is, lost."""
        content = os.urandom(2000)
        self.push_blob(content)
        self.damage(content)
        reply = self.get(content)
        self.assertEqual((404, ["BLOB_UNKNOWN"]), (reply.status, reply.codes))
        self.check_lost(content)

    def test_parts(self) -> None:
        """Of a part nothing is sent, whichever part it is, though the part itself may be right."""
        for ranges in ("bytes=0-99", "bytes=100-", "bytes=0-9,20-29"):
            content = os.urandom(2 * MIB)
            self.push_blob(content)
            self.damage(content)
            self.assertEqual(404, self.get(content, Range=ranges).status)
            self.push_blob(content)
            self.assertEqual(206, self.get(content, Range=ranges).status)
