"""
Answers that a real daemon gives before any content moves: refusals, and what has not changed.

And bodies that do not come to their end.
"""

import base64
import json
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from email.utils import parsedate_to_datetime
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dockreg.testing.samples import V1Image, bytes_of, gzip_layer, make_image
from dockreg.testing.tarsums import payload_checksum
from dockreg.version import VERSION
from dockreg.web.browsers import CONTENT_POLICY, PLAIN_HEADERS
from tests.processes import PreparedDaemon

#: Longer than anything here takes, shorter than a connection is kept open for its next request.
PATIENCE_SECONDS = 30.0

ABSENT = "f" * 64
STAGED = make_image("staged")
NO_TAR = make_image("no tar")
TOP = make_image("top")
FOREVER_PARTS = ("json", "layer", "ancestry", "files", "diff")

JSON = {"content-type": "application/json"}
NOCACHE = {**JSON, "cache-control": "no-cache", "pragma": "no-cache", "expires": "-1"}
ERROR = NOCACHE
LAYER = {"content-type": "application/octet-stream", "accept-ranges": "bytes"}


def forever(scope: str) -> dict[str, str]:
    """The headers of what never changes, but for its content and the date until when it may be kept."""
    return {
        "cache-control": f"{scope}, max-age=31536000",
        "last-modified": "Thu, 01 Jan 1970 00:00:00 GMT",
        "vary": "Authorization, Cookie",
        "expires": "in a year",
    }


def described(image: V1Image) -> dict[str, str]:
    """What the headers of an image json say of its layer, of which nobody has asked for the tarsum."""
    layer = gzip_layer(image.layer)
    return {
        "x-docker-size": str(len(layer)),
        "x-docker-checksum-payload": payload_checksum(image.json, layer),
    }


class DoorCase(SynchronousTestCase):
    """A daemon, and whoever pushes to it."""

    def start(self, config: str = "") -> None:
        """Start the daemon that the test asks."""
        self.daemon = PreparedDaemon(Path(self.mktemp()).absolute(), config=config)
        self.daemon.start()
        self.addCleanup(self.daemon.kill)

    def register(self, name: str, email: str = "") -> dict[str, str]:
        """Make an account; the header of its credentials."""
        password = f"secret of {name}"
        body = json.dumps({"username": name, "password": password, "email": email}).encode()
        self.assertEqual(201, self.daemon.request("POST", "/v1/users/", body)[0])
        return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}

    def announce(self, repository: str, *ids: str, headers: Mapping[str, str] | None = None) -> dict[str, str]:
        """Create the repository; the header of the token that comes back."""
        listed = json.dumps([{"id": image_id} for image_id in ids]).encode()
        answered = self.daemon.request("PUT", f"/v1/repositories/{repository}/", listed, dict(headers or {}))
        self.assertEqual(200, answered[0], answered)
        return {"Authorization": f"Token {answered[2]['x-docker-token']}"}

    def stage(self, image: V1Image, repository: str = "demo/app") -> dict[str, str]:
        """Announce an image and send its json; the header of the token."""
        token = self.announce(repository, image.id)
        self.assertEqual(200, self.daemon.request("PUT", f"/v1/images/{image.id}/json", image.json, token)[0])
        return token

    def send_image(self, image: V1Image, layer: bytes, headers: Mapping[str, str]) -> None:
        """Json, layer and checksum."""
        payload = {"X-Docker-Checksum-Payload": payload_checksum(image.json, layer)}
        for part, body, more in (("json", image.json, {}), ("layer", layer, {}), ("checksum", b"", payload)):
            answered = self.daemon.request("PUT", f"/v1/images/{image.id}/{part}", body, {**headers, **more})
            # What is complete already keeps its json, and takes the same layer and checksum again.
            self.assertIn(answered[0], (200, 409) if part == "json" else (200,), (part, answered))

    def push(
        self, repository: str, *images: V1Image, layer: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Push images, base first, with ``latest`` on the last one; the header of the token."""
        token = self.announce(repository, *(image.id for image in images), headers=headers)
        for image in images:
            self.send_image(image, gzip_layer(image.layer) if layer is None else layer, token)
        tag = json.dumps(images[-1].id).encode()
        answered = self.daemon.request("PUT", f"/v1/repositories/{repository}/tags/latest", tag, token)
        self.assertEqual(200, answered[0], answered)
        return token

    def until(self, true: Callable[[], object]) -> None:
        """Wait for the daemon to get there."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not true():
            self.assertLess(time.monotonic(), deadline, "it does not come to that")
            time.sleep(0.01)

    def connect(self) -> socket.socket:
        """A connection for raw bytes."""
        return socket.create_connection(("127.0.0.1", self.daemon.port), PATIENCE_SECONDS)


class AnswerCase(DoorCase):
    """Looks at whole answers."""

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, dict[str, str]]:
        """
        Status, body and headers, without those that differ each time or that every answer has.

        They are checked here: the version, the length, the date of expiry, and what the index adds; what has a token is
        not kept at all.
        """
        status, content, found = self.daemon.request(method, path, body, dict(headers or {}))
        self.assertEqual(VERSION, found.pop("x-docker-registry-version", None), (method, path))
        sent = parsedate_to_datetime(found.pop("date"))
        found.pop("server")
        found.pop("x-request-id", None)  # of refusals, while there is an audit log
        for name, value in (*PLAIN_HEADERS, CONTENT_POLICY):
            self.assertEqual(value.decode(), found.pop(name.decode().lower()))
        if status in (204, 304):
            self.assertNotIn("content-length", found)
            self.assertEqual(b"", content)
        elif method != "HEAD":
            self.assertEqual(str(len(content)), found.pop("content-length"))
        if found.get("expires", "-1") != "-1":
            kept = (parsedate_to_datetime(found["expires"]) - sent).total_seconds()
            self.assertLess(abs(kept - 31_536_000), 3)
            found["expires"] = "in a year"
        if (token := found.pop("x-docker-token", None)) is not None:
            self.assertEqual("no-store", found["cache-control"])
            found["cache-control"] = "no-cache"
            self.assertEqual(f"Token {token}", found.pop("www-authenticate"))
            self.assertEqual(f"127.0.0.1:{self.daemon.port}", found.pop("x-docker-endpoints"))
            self.assertRegex(
                found.pop("set-cookie"), r"\Adockreg-repository=\S+; Path=/v1/; HttpOnly; SameSite=Strict\Z"
            )
        return status, content, found

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of a 200."""
        status, content, _ = self.daemon.request("GET", path, None, dict(headers or {}))
        self.assertEqual(200, status, (path, content))
        return content

    def status(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> int:
        """The status for a JSON document."""
        content = None if body is None else json.dumps(body).encode()
        return self.daemon.request(method, path, content, dict(headers or {}))[0]


def head_of(path: str, *lines: str) -> bytes:
    """The head of a PUT."""
    return "\r\n".join((f"PUT {path} HTTP/1.1", "Host: localhost", *lines, "", "")).encode()


def rest_of(client: socket.socket) -> bytes:
    """What comes until the daemon closes."""
    return b"".join(iter(lambda: client.recv(65536), b""))


class EarlyAnswerTests(DoorCase):
    """``Expect: 100-continue``: a client is asked for its body only if the body is wanted."""

    expect = ("Expect: 100-continue", "Content-Length: 1000000000")

    def refused(self, path: str, *lines: str) -> tuple[int, bytes]:
        """Status and head of the one answer to a head without a body, after which the connection is closed."""
        with closing(self.connect()) as client:
            client.sendall(head_of(path, *lines))
            answer = rest_of(client)
        self.assertNotIn(b"100 Continue", answer)
        self.assertEqual(1, answer.count(b"HTTP/1.1"), answer)
        head, _, body = answer.partition(b"\r\n\r\n")
        self.assertIn(b"\r\ncontent-length: %d\r\n" % len(body), head.lower() + b"\r\n")
        self.assertEqual(["error"], list(json.loads(body)))
        return int(head.split(b" ", 2)[1]), head.lower()

    def test_closed(self) -> None:
        """Who may not push is told so without a byte of the body, and the connection is closed."""
        self.start('[auth]\nanonymous = "none"\n')
        image = make_image("a")
        for path in (
            f"/v1/images/{image.id}/layer", f"/v1/images/{image.id}/json", "/v1/repositories/demo/app/",
            "/v1/repositories/demo/app/images", "/v1/repositories/demo/app/tags/x",
        ):  # fmt: skip
            for framing in (self.expect, ("Expect: 100-continue", "Transfer-Encoding: chunked")):
                status, head = self.refused(path, *framing)
                self.assertEqual(401, status, path)
                self.assertIn(b"\r\nwww-authenticate: basic realm=", head)
                self.assertIn(b"\r\nx-docker-registry-version: ", head)

    def test_wanted_and_not(self) -> None:
        """A layer without a json, or over the limit, is refused unseen; a client is asked for what is wanted."""
        self.start("[v1]\nmax_layer_bytes = 1000\nmax_json_bytes = 2000\n")
        self.check_unwanted()
        self.check_wanted()

    def check_unwanted(self) -> None:
        """What is refused unseen."""
        known, unknown = make_image("known"), make_image("unknown")
        token = self.stage(known)
        line = f"Authorization: {token['Authorization']}"
        for path, length, expected in (
            (f"/v1/images/{unknown.id}/layer", 1000, 404),
            (f"/v1/images/{unknown.id}/layer", 10**9, 404),
            (f"/v1/images/{known.id}/layer", 1001, 413),
            (f"/v1/images/{known.id}/layer", 10**9, 413),
            (f"/v1/images/{unknown.id}/json", 2001, 413),
            ("/v1/repositories/demo/app/tags/x", 10**6, 413),
        ):
            status, _ = self.refused(path, line, "Expect: 100-continue", f"Content-Length: {length}")
            self.assertEqual(expected, status, (path, length))
        self.refuse_chunks(known, line)
        self.assertEqual([], list((self.daemon.data / "blobs" / "staging").iterdir()))

    def refuse_chunks(self, image: V1Image, line: str) -> None:
        """A body of unknown length is refused once it is over the limit, before its end."""
        with closing(self.connect()) as client:
            client.sendall(head_of(f"/v1/images/{image.id}/layer", line, "Transfer-Encoding: chunked"))
            client.sendall(b"3e9\r\n" + bytes(1001) + b"\r\n")
            self.assertEqual(b"HTTP/1.1 413 ", client.recv(65536)[:13])

    def check_wanted(self) -> None:
        """Who sends what is wanted is asked for it, once, and then told that it was taken."""
        image = make_image("a")
        token = self.stage(image)
        lines = (f"Authorization: {token['Authorization']}", "Expect: 100-continue", "Connection: close")
        for framing, body in (
            ("Content-Length: 1000", bytes(1000)),
            ("Transfer-Encoding: chunked", b"3e8\r\n" + bytes(1000) + b"\r\n0\r\n\r\n"),
        ):
            with closing(self.connect()) as client:
                client.sendall(head_of(f"/v1/images/{image.id}/layer", *lines, framing))
                self.assertEqual(b"HTTP/1.1 100 Continue\r\n\r\n", client.recv(65536))
                client.sendall(body)
                answer = rest_of(client)
            self.assertEqual(b"HTTP/1.1 200 ", answer[:13])
            self.assertEqual(b"true", answer.partition(b"\r\n\r\n")[2])
        payload = {"X-Docker-Checksum-Payload": payload_checksum(image.json, bytes(1000))}
        self.assertEqual(200, self.daemon.request("PUT", f"/v1/images/{image.id}/checksum", b"", token | payload)[0])


class CutBodyTests(DoorCase):
    """Bodies that do not come to their end."""

    def setUp(self) -> None:
        self.start()
        self.image = make_image("a")
        self.token = self.stage(self.image)
        self.path = f"/v1/images/{self.image.id}"
        self.part = bytes_of("part", 30_000)
        self.chunk = b"%x\r\n%b\r\n" % (len(self.part), self.part)

    def staged(self) -> list[Path]:
        """The files of what is unfinished."""
        return list((self.daemon.data / "blobs" / "staging").iterdir())

    def checksum(self, layer: bytes) -> int:
        """The status of a checksum request for the given bytes."""
        payload = {"X-Docker-Checksum-Payload": payload_checksum(self.image.json, layer)}
        return self.daemon.request("PUT", f"{self.path}/checksum", b"", self.token | payload)[0]

    def begin(self, framing: str, body: bytes) -> socket.socket:
        """Begin a layer, and wait until the daemon has what was sent of it."""
        client = self.connect()
        self.addCleanup(client.close)
        client.sendall(head_of(f"{self.path}/layer", f"Authorization: {self.token['Authorization']}", framing) + body)
        self.until(lambda: [path for path in self.staged() if path.stat().st_size == len(self.part)])
        return client

    def nothing_stays(self) -> None:
        """The bytes are dropped while the daemon runs, and are no layer of the image; the push can be repeated."""
        self.until(lambda: not self.staged())
        self.assertEqual(400, self.checksum(self.part))
        self.assertEqual(400, self.daemon.request("GET", f"{self.path}/layer", headers=self.token)[0])
        self.assertEqual([], [path for path in (self.daemon.data / "blobs").rglob("*") if path.is_file()])

    def test_cut(self) -> None:
        """Bytes that end before the announced length, or without the last chunk, never become content."""
        self.check_broken_framing()
        for framing, body in (
            (f"Content-Length: {len(self.part) + 1}", self.part),
            ("Transfer-Encoding: chunked", self.chunk),
            ("Transfer-Encoding: chunked", self.chunk + b"0\r\n"),
        ):
            for end in (socket.socket.close, lambda client: client.shutdown(socket.SHUT_WR)):
                end(self.begin(framing, body))
                self.nothing_stays()
        # The same bytes, with their end, are a layer.
        with closing(self.begin("Transfer-Encoding: chunked", self.chunk)) as client:
            client.sendall(b"0\r\n\r\n")
            self.assertEqual(b"HTTP/1.1 200 ", client.recv(65536)[:13])
        self.assertEqual(200, self.checksum(self.part))
        self.assertEqual(self.part, self.daemon.request("GET", f"{self.path}/layer", headers=self.token)[1])
        self.assertNotIn("Traceback", self.daemon.log())

    def check_broken_framing(self) -> None:
        """A chunk that is none is answered with 400, and what came before it never becomes content."""
        client = self.begin("Transfer-Encoding: chunked", self.chunk)
        client.sendall(b"zz\r\n")
        answer = rest_of(client)
        self.assertEqual(b"HTTP/1.1 400 ", answer[:13])
        self.assertEqual(["error"], list(json.loads(answer.partition(b"\r\n\r\n")[2])))
        self.nothing_stays()


class RefusalHeaderTests(AnswerCase):
    """What is sent instead of content."""

    def test_unchanged(self) -> None:
        """Of what is not there, or not complete, nobody is told that it has not changed."""
        self.start()
        self.push("demo/app", TOP)
        token = self.stage(STAGED)
        for part in FOREVER_PARTS:
            for image_id, expected in ((ABSENT, 404), (STAGED.id, 400), (TOP.id[:-1], 404), (TOP.id, 304)):
                headers = {**token, "If-Modified-Since": "anything"}
                status, _, found = self.ask("GET", f"/v1/images/{image_id}/{part}", None, headers)
                self.assertEqual(expected, status)
                self.assertEqual(ERROR if expected != 304 else found, found)

    def test_errors(self) -> None:
        """A refusal may not be kept, and is not taken for anything else than JSON."""
        self.start("[v1]\nmax_json_bytes = 2000\n")
        owner, other = self.register("joe_1"), self.register("jane")
        self.push("demo/app", TOP)
        self.assertEqual(200, self.status("PUT", "/v1/repositories/joe_1/app/", [], owner))
        image = f"/v1/images/{TOP.id}"
        for method, path, body, headers, expected, more in (
            ("GET", "/nothing", None, {}, 404, {}),
            ("PATCH", "/v1/_ping", None, {}, 405, {"allow": "GET, HEAD"}),
            ("GET", f"/v1/images/{ABSENT}/json", None, {}, 404, {}),
            ("GET", "/v1/repositories/demo/none/tags", None, {}, 404, {}),
            ("PUT", f"{image}/json", b"no json", {}, 400, {}),
            ("PUT", f"{image}/json", TOP.json, {}, 409, {}),
            ("PUT", f"{image}/json", bytes(2001), {}, 413, {}),
            ("PUT", "/v1/repositories/joe_1/app/properties", b'{"access": "private"}', other, 403, {}),
            ("POST", "/v1/users/", b'{"username": "jane", "password": "secret"}', {}, 400, {}),
        ):  # fmt: skip
            status, content, found = self.ask(method, path, body, headers)
            found.pop("connection", None)  # after a body that was not read
            self.assertEqual((expected, ERROR | more), (status, found), path)
            self.assertIn(b"error" if b"{" in content else b"already exists", content)
        status, _, found = self.ask("GET", "/v1/users/", None, {"Authorization": "Basic bm86Ym9keQ=="})
        self.assertEqual((401, ERROR), (status, {name: found[name] for name in ERROR}))

    def test_leftovers(self) -> None:
        """
        An answer without content has nothing of the headers of the content, and what every answer has.

        A cache takes over the content type of a 304 (RFC 9111 3.2).
        """
        self.start()
        self.push("demo/app", TOP)
        self.push("demo/none", NO_TAR, layer=b"no tar")
        wrong: list[object] = []
        for part in FOREVER_PARTS:
            path = f"/v1/images/{TOP.id}/{part}"
            whole, unchanged = (
                self.ask("GET", path, None, more)[2] for more in ({}, {"If-Modified-Since": "anything"})
            )
            if unchanged.get("content-type", whole["content-type"]) != whole["content-type"]:
                wrong.append(("304", part, unchanged["content-type"]))
        for part in ("files", "diff"):
            answered = self.ask("GET", f"/v1/images/{NO_TAR.id}/{part}")
            if answered[::2] != (400, ERROR):
                wrong.append((answered[0], part, set(answered[2].items()) - set(ERROR.items())))
        for path, host in (("/v1/images/..%2f/json", "a"), ("/v1/repositories/%ff/images", "a"), ("/v1/_ping", "a b")):
            status, _, found = self.daemon.request("GET", path, None, {"Host": host})
            if (status, found.get("x-docker-registry-version")) != (400, VERSION):
                wrong.append((status, path, "has no version"))
        self.assertEqual([], wrong, wrong)
