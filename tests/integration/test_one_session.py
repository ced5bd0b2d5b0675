"""Two requests, in two processes, that end one upload session at once."""

import hashlib
import json
import signal
from http.client import HTTPConnection, HTTPResponse

from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from dockreg.errors import UploadUnknown
from dockreg.model.blobs import StoredBlob
from dockreg.model.uploads import first_proven
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.testing.contracts_metadata import some_blob
from dockreg.testing.contracts_repositories import BUSYBOX
from tests.integration.postgresql import new_database
from tests.integration.processes import ask
from tests.integration.test_workers import WorkersCase


class WorkersTests(WorkersCase):
    """Two workers of one daemon."""

    forks = True

    def put(self, url: str, path: str, length: int) -> HTTPConnection:
        """A request that has been let in, of whose body nothing has come."""
        connection = HTTPConnection(url.removeprefix("http://"), timeout=30)
        self.addCleanup(connection.close)
        connection.putrequest("PUT", path)
        connection.putheader("Content-Length", str(length))
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        # Said by who waits for the body, after all else has been looked at.
        told = b""
        while not told.endswith(b"\r\n\r\n"):
            told += connection.sock.recv(1)
        self.assertTrue(told.startswith(b"HTTP/1.1 100 "), told)
        return connection

    def answer(self, connection: HTTPConnection, body: bytes) -> tuple[int, bytes]:
        """What comes of it when the body has come."""
        connection.sock.sendall(body)
        with HTTPResponse(connection.sock, method="PUT") as response:
            response.begin()
            return response.status, response.read()

    def test_second(self) -> None:
        """The second one is told that the session has ended: what it brought is not there, and what the first one brought is."""
        daemon = self.start()
        url = self.serving(daemon)
        for size in (10, 100_000, 900_000):
            apart, number = False, 0
            while not apart:
                self.assertLess(number, 64)
                number += 1
                bodies = [f"{number} {each}".encode() + bytes(size) for each in "ab"]
                digests = [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in bodies]
                location = ask(f"{url}/v2/a/b/blobs/uploads/", "POST", b"")[1]["Location"]
                puts = [self.put(url, f"{location}?digest={each}", len(bodies[0])) for each in digests]
                apart = self.holder(daemon, puts[0]) != self.holder(daemon, puts[1])
                first, second = (self.answer(put, body) for put, body in zip(puts, bodies, strict=True))
                self.assertEqual((201, b""), first)
                self.assertEqual((404, "BLOB_UPLOAD_UNKNOWN"), (second[0], json.loads(second[1])["errors"][0]["code"]))
                found = [ask(f"{url}/v2/a/b/blobs/{each}") for each in digests]
                self.assertEqual([(200, bodies[0]), (404, found[1][2])], [(each[0], each[2]) for each in found])
        status, output = daemon.terminate()
        self.assertEqual(-signal.SIGTERM, status)
        self.assertNotIn("Traceback", output)


class PostgreSQLTests(TestCase):
    """Two processes on PostgreSQL, where transactions run side by side."""

    async def test_recorded(self) -> None:
        """Of those that record the blob of one session at once one does, and the others find that it has ended."""
        url = new_database()
        stores = [SQLMetadataStore(url, deferToThread) for _ in range(3)]
        for store in stores:
            self.addCleanup(store.close)
            await store.open()
        for turn in range(5):
            upload_id = f"{first_proven(1000)}2{turn:036d}"
            blobs = [some_blob(b"%d" % turn, "one"), some_blob(b"%d" % turn, "two"), some_blob(b"other %d" % turn)]

            def record(store: SQLMetadataStore, blob: StoredBlob, upload_id: str = upload_id) -> bool:
                try:
                    store.blobs.recorder(BUSYBOX, None, None, 1.0, 9.0, upload_id)(blob)
                except UploadUnknown:
                    return False
                return True

            pairs = zip(stores, blobs, strict=True)
            done = await gatherResults([deferToThread(record, store, blob) for store, blob in pairs])
            self.assertEqual(1, sum(done))
            for blob, recorded in zip(blobs, done, strict=True):
                self.assertEqual(recorded, await stores[0].blobs.is_recorded(blob))
