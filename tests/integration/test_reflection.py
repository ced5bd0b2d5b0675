"""Nothing that a client sends comes back in a form that harms who sees it."""

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from dockreg.testing.ports import free_port
from tests.processes import PreparedDaemon

#: What would run in a page, end a header, and fill a log or a screen.
SCRIPT = "<script>alert(1)</script>"
LINES = "x\r\nX-Injected: yes\r\n\r\n<b>"
LONG = "a" * 7000
#: More than this of what was sent does not come back.
MOST_BYTES = 2048
MARKS = (b"<script", b"<b>", b"\x1b", b"aaaaaaaaaa" * 60)

_PATHS = [
    "/{0}",
    "/v1/{0}",
    "/v1/images/{0}/json",
    "/v1/repositories/{0}/images",
    "/v1/repositories/demo/app/tags/{0}",
    "/v1/repositories/demo/app/{0}",
    "/v1/users/{0}/",
    "/v1/search?q={0}",
    "/v1/search?page={0}",
    "/v1/search?n={0}",
    "/v2/{0}",
    "/v2/{0}/tags/list",
    "/v2/demo/app/tags/list?n={0}",
    "/v2/demo/app/tags/list?last={0}",
    "/v2/demo/app/manifests/{0}",
    "/v2/demo/app/manifests/sha256:{0}",
    "/v2/demo/app/blobs/{0}",
    "/v2/demo/app/blobs/uploads/{0}",
    "/v2/demo/app/referrers/{0}",
    "/v2/_catalog?n={0}",
    "/v2/_catalog?last={0}",
]
_HEADERS = [
    "Authorization: Basic {0}",
    "Authorization: Token {0}",
    "Authorization: {0}",
    "Cookie: dockreg-repository={0}",
    "Accept: {0}",
    "Range: bytes={0}",
    "If-None-Match: {0}",
    "User-Agent: {0}",
    "Content-Range: {0}",
    "X-Docker-Endpoints: {0}",
    "X-Docker-Checksum: {0}",
    "Content-Type: {0}",
    "Origin: {0}",
    "X-Forwarded-Host: {0}",
    "Forwarded: for={0}",
    "Expect: {0}",
    "{0}: x",
]
_METHODS = ["GET", "PUT", "DELETE", "BREW"]


class ReflectionTests(SynchronousTestCase):
    """Answers to hostile input."""

    def setUp(self) -> None:
        self.watched = free_port()
        config = (
            f'[metrics]\nlisten = ["tcp:{self.watched}:interface=127.0.0.1"]\n[auth]\nregistration = "closed"\n'
            '[http]\ncors_origins = ["https://ui.example"]\n'
        )
        self.daemon = PreparedDaemon(Path(self.mktemp()).absolute(), config=config)
        self.daemon.start()
        self.addCleanup(self.daemon.kill)

    def send(self, request: bytes, port: int | None = None) -> bytes:
        """The whole answer to raw bytes."""
        with socket.create_connection(("127.0.0.1", port or self.daemon.port), timeout=30) as client:
            client.sendall(request)
            return b"".join(iter(lambda: client.recv(65536), b""))

    def assert_harmless(self, request: bytes, port: int | None = None) -> None:
        """An answer is no page, has no header that was sent, and repeats no more than a little."""
        answer = self.send(request, port)
        top, _, body = answer.partition(b"\r\n\r\n")
        lines = top.lower().split(b"\r\n")
        self.assertTrue(lines[0].startswith(b"http/1."), request[:200])
        self.assertFalse(lines[0].split(b" ")[1].startswith(b"5"), (request[:200], answer))
        for line in lines[1:]:
            self.assertFalse(line.startswith((b"x-injected", b"content-type: text/html")), (request[:200], top))
        self.assertIn(b"x-content-type-options: nosniff", lines)
        self.assertLess(len(top), MOST_BYTES, request[:200])
        for mark in MARKS:
            self.assertNotIn(mark, top, request[:200])
        if body and b"content-type: application/json" not in lines:
            self.fail(f"{request[:200]!r} is answered with {answer!r}")
        self.assertLess(len(body), MOST_BYTES, request[:200])
        self.assertNotIn(b"a" * 600, body)

    def requests(self, text: str) -> Iterator[bytes]:
        """Requests with ``text`` in every place, as it is and quoted."""
        raw = text.replace("\r", "").replace("\n", "").replace(" ", "")
        for method in _METHODS:
            for path in _PATHS:
                for written in (quote(text, safe=""), raw):
                    first = f"{method} {path.format(written)} HTTP/1.1\r\nHost: r\r\nConnection: close\r\n"
                    yield first.encode("latin-1") + b"Content-Length: 0\r\n\r\n"
        for header in _HEADERS:
            for path in ("/v1/users/", "/v2/demo/app/manifests/latest", "/v1/repositories/demo/app/images"):
                lines = f"GET {path} HTTP/1.1\r\nHost: r\r\nConnection: close\r\n{header.format(raw)}\r\n\r\n"
                yield lines.encode("latin-1")
        yield f"GET /v2/ HTTP/1.1\r\nHost: {raw}\r\nConnection: close\r\n\r\n".encode("latin-1")
        yield f"{raw} / HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n".encode("latin-1")

    def test_requests(self) -> None:
        """What would run in a page or end a header does not, and what is long is not repeated."""
        for text in (SCRIPT, LINES, LONG):
            for request in self.requests(text):
                self.assert_harmless(request)

    def test_bodies(self) -> None:
        """What is wrong about a document is told without the document; the listener of the figures repeats nothing."""
        for text in (SCRIPT, LONG, "\x1b[31m"):
            for document in (f'{{"{text}": 1}}', f'["{text}"]', f'{{"id": "{text}", "mediaType": "{text}"}}', text):
                body = document.encode()
                for path in (
                    "/v2/demo/app/manifests/latest",
                    "/v1/repositories/demo/app/",
                    f"/v1/images/{'a' * 64}/json",
                    "/v1/repositories/demo/app/tags/latest",
                    "/v1/users/anna/",
                ):
                    top = f"PUT {path} HTTP/1.1\r\nHost: r\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
                    self.assert_harmless(top.encode() + f"Content-Type: {text[:50]!r}\r\n\r\n".encode() + body)
        for text in (SCRIPT, LONG):
            for method in ("GET", "POST", "BREW"):
                request = f"{method} /{text} HTTP/1.1\r\nHost: r\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                self.assert_harmless(request.encode(), self.watched)
