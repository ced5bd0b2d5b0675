"""Paths that could be taken for others, and requests that leave out what most have."""

import json
import shutil
import socket
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.names import V1_RESERVED
from tests.processes import PreparedDaemon

IMAGE = "a" * 64


class ReservedWordsTests(SynchronousTestCase):
    """Words that v1 paths use themselves."""

    def setUp(self) -> None:
        self.daemon = PreparedDaemon(Path(self.mktemp()).absolute())
        self.daemon.start()
        self.addCleanup(self.daemon.kill)

    def test_as_tags(self) -> None:
        """A tag may have any name that paths use: it is asked for, set and deleted as a tag, with and without a slash."""
        self.daemon.request("PUT", "/v1/repositories/foo/bar/", b"[]")
        for word in sorted(V1_RESERVED):
            for slash in ("", "/"):
                path = f"/v1/repositories/foo/bar/tags/{word}{slash}"
                for method, body in (("GET", None), ("PUT", json.dumps(IMAGE).encode()), ("DELETE", None)):
                    status, content, _ = self.daemon.request(method, path, body)
                    self.assertEqual(404, status, (method, path, content))
                    error = json.loads(content)["error"]
                    self.assertIn("Image not found" if method == "PUT" else f"tag {word} not found", error)

    def test_as_names(self) -> None:
        """A repository can not have such a name: whatever the path means, it does not make one."""
        for word in sorted(V1_RESERVED):
            status, content, _ = self.daemon.request("PUT", f"/v1/repositories/foo/{word}/", b"[]")
            self.assertIn(status, (400, 404, 405), (word, content))
        self.assertEqual(0, json.loads(self.daemon.request("GET", "/v1/search?q=foo")[1])["num_results"])


class NoHostTests(SynchronousTestCase):
    """HTTP/1.0 without a Host header."""

    def ask(self, connection: socket.socket) -> bytes:
        """The answer to a ping and to the beginning of a push."""
        with connection:
            connection.sendall(b"PUT /v1/repositories/foo/ HTTP/1.0\r\nContent-Length: 2\r\n\r\n[]")
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def test_tcp(self) -> None:
        """The endpoint is the address that the client has connected to."""
        daemon = PreparedDaemon(Path(self.mktemp()).absolute())
        daemon.start()
        self.addCleanup(daemon.kill)
        answer = self.ask(socket.create_connection(("127.0.0.1", daemon.port)))
        self.assertTrue(answer.startswith(b"HTTP/1.0 200 "), answer)
        self.assertIn(b"X-Docker-Endpoints: 127.0.0.1:%d\r\n" % daemon.port, answer)

    def test_unix(self) -> None:
        """Over a unix socket it is this machine."""
        # A socket's path has room for 107 bytes, which the folder of a test may exceed.
        folder = Path(tempfile.mkdtemp(prefix="dockreg-"))
        self.addCleanup(shutil.rmtree, folder)
        daemon = PreparedDaemon(folder, "--listen=unix:http.socket")
        daemon.start()
        self.addCleanup(daemon.kill)
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(folder / "http.socket"))
        answer = self.ask(connection)
        self.assertTrue(answer.startswith(b"HTTP/1.0 200 "), answer)
        self.assertIn(b"X-Docker-Endpoints: localhost\r\n", answer)
