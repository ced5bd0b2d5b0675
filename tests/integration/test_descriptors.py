"""A daemon that has no file descriptors left: it goes on serving those it has, and takes others when there are some again."""

import http.client
import os
import resource
import socket
import time  # the processor time of a real process passes in real time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.v2case import digest_of
from tests.processes import Daemon

SPARE = 12
CLIENTS = 40
#: The time of the processor that a process may take in one second of doing nothing.
IDLE_SECONDS = 0.5


class DescriptorTests(SynchronousTestCase):
    """As many clients as there are descriptors, and more."""

    def setUp(self) -> None:
        self.daemon = Daemon(Path(self.mktemp()).absolute())
        self.addCleanup(self.daemon.kill)
        self.daemon.start()
        self.content = os.urandom(100_000)
        self.path = f"/v2/few/app/blobs/{digest_of(self.content)}"
        upload = f"/v2/few/app/blobs/uploads/?digest={digest_of(self.content)}"
        self.assertEqual(201, self.daemon.request("POST", upload, self.content)[0])
        self.limit()

    def limit(self) -> None:
        """Leave the daemon a few descriptors more than it has now."""
        used = max(int(name) for name in os.listdir(f"/proc/{self.daemon.pid}/fd")) + 1  # noqa: PTH208
        _, hard = resource.prlimit(self.daemon.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.daemon.pid, resource.RLIMIT_NOFILE, (used + SPARE, hard))

    def connect(self) -> socket.socket:
        """Somebody who connects and says nothing."""
        client = socket.create_connection(("127.0.0.1", self.daemon.port), timeout=10)
        self.addCleanup(client.close)
        return client

    def processor_seconds(self) -> float:
        """What the daemon has used of the processor."""
        fields = Path(f"/proc/{self.daemon.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_none_left(self) -> None:
        """Who is connected is served, who comes is turned away, nothing spins; and afterwards all is as before."""
        kept = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=30)
        self.addCleanup(kept.close)
        kept.request("GET", "/v1/_ping")
        self.assertEqual(200, (answer := kept.getresponse()).status)
        answer.read()
        crowd = [self.connect() for _ in range(CLIENTS)]
        time.sleep(0.5)
        before = self.processor_seconds()
        time.sleep(1)
        self.assertLess(self.processor_seconds() - before, IDLE_SECONDS)
        kept.request("GET", "/v1/_ping")
        self.assertEqual(200, (answer := kept.getresponse()).status)
        answer.read()
        # To open a file, or a connection to the database, needs what is not there.
        kept.request("GET", self.path)
        answer = kept.getresponse()
        body = answer.read()
        self.assertIn(answer.status, (200, 503), body)
        upload = f"/v2/few/app/blobs/uploads/?digest={digest_of(b'x')}"
        kept.request("POST", upload, b"x")
        answer = kept.getresponse()
        self.assertIn(answer.status, (201, 503), answer.read())
        for client in crowd:
            client.close()
        deadline = time.monotonic() + 20
        while True:
            try:
                status, content, _ = self.daemon.request("GET", self.path)
                break
            except OSError:
                # What was turned away may still be in the queue of the port.
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.1)
        self.assertEqual((200, self.content), (status, content))
        self.assertEqual(201, self.daemon.request("POST", upload, b"x")[0])
        self.assertNotIn("incident", self.daemon.log())
