"""Whatever a client sends, the answer is a 4xx with a flat error, and nothing changes."""

import hashlib
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.recorded import Recorded
from tests.processes import PreparedDaemon

KNOWN = "a" * 64
#: A collector and a scrub note down how far they are, at times of their own.
ALONE = "collection.enabled = false\nscrub.enabled = false\n"
#: An image that is announced and staged, so that wrong bytes for it get further than the first check.
STAGED = "b" * 64

NAMES = st.one_of(
    st.sampled_from(
        ["demo/app", "app", "library/app", "..", ".", "a/../b", "a//b", "tags", "a/images", "A/B", "-", "a" * 300]
    ),
    st.text(max_size=20),
)
IDS = st.one_of(
    st.sampled_from([KNOWN, STAGED, "c" * 64, "a" * 63, "A" * 64, "a" * 16, "../../etc/passwd", "a" * 64 + "\n"]),
    st.text(max_size=70),
)
TAGS = st.one_of(st.sampled_from(["latest", ".x", "x" * 129, "a:b", "json", "%00"]), st.text(max_size=20))
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([KNOWN, STAGED])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["id", "parent", "Tag", "checksum", "access", "username", "password"]) | st.text(max_size=8),
                      inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
BODIES = st.one_of(
    JSON.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=200),
    st.sampled_from([
        b"[" * 100_000, b'{"a":' * 5000, b'"' + b"x" * 100_000 + b'"', b"9" * 50_000, b"\xef\xbb\xbf[]", b"NaN", b"[1e999]",
        b'{"id":"' + STAGED.encode() + b'","id":"' + KNOWN.encode() + b'"}', b'"\\ud800"', b"\x00" * 10,
    ]),
)  # fmt: skip
HEADER_VALUES = st.one_of(
    st.sampled_from([
        "Basic", "Basic Og==", "Basic ====", "Basic YTpi", "Token", "Token x", "Token Token signature=x",
        'Token signature=a,repository="demo/app",access=write', "Bearer x", "Digest a=b", "sha256:" + "0" * 64, "x" * 5000,
        "bytes=0-", "bytes=5-1", "bytes=-", "gzip, chunked", "0-9", "bytes 0-9/10", "99999999999999999999-0",
        "application/vnd.docker.distribution.manifest.v1+prettyjws", "application/vnd.oci.image.index.v1+json;q=0",
        "docker/1.9.1 go/go1.4.2", "docker/1.6.2",
    ]),
    st.text(alphabet=st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=40),
)  # fmt: skip
HEADERS = st.dictionaries(
    st.sampled_from([
        "Authorization", "Cookie", "X-Docker-Checksum", "X-Docker-Checksum-Payload", "X-Docker-Token", "Content-Type",
        "If-Modified-Since", "User-Agent", "Range", "X-Docker-Endpoints", "Accept", "Content-Range", "If-None-Match",
    ]),
    HEADER_VALUES, max_size=3,
)  # fmt: skip


@st.composite
def paths(draw: Any) -> str:
    """A path of the registry, with parts that may be wrong."""
    template = draw(st.sampled_from([
        "/v1/images/{id}/json", "/v1/images/{id}/layer", "/v1/images/{id}/checksum", "/v1/images/{id}/ancestry",
        "/v1/images/{id}/files", "/v1/images/{id}/diff", "/v1/private_images/{id}/json", "/v1/repositories/{name}/",
        "/v1/repositories/{name}/images", "/v1/repositories/{name}/auth", "/v1/repositories/{name}/tags",
        "/v1/repositories/{name}/tags/{tag}", "/v1/repositories/{name}/tags/{tag}/json", "/v1/repositories/{name}/json",
        "/v1/repositories/{name}/properties", "/v1/repositories/{name}/layer/{id}/access", "/v1/users/", "/v1/users/{name}/",
        "/v1/search?q={tag}&page={id}&n={name}", "/v1/_ping", "/_status", "/v2/{name}/manifests/{tag}", "/{name}",
        "/v2/{name}/blobs/{tag}", "/v2/{name}/blobs/uploads/?digest={tag}&mount={id}&from={name}", "/v2/_catalog?n={tag}&last={id}",
        "/v2/{name}/blobs/uploads/{id}?digest=sha256:{id}", "/v2/{name}/manifests/sha256:{id}?tag={tag}", "/v2/{name}/{tag}",
        "/v2/{name}/referrers/sha256:{id}?artifactType={tag}", "/v2/{name}/tags/list?n={id}&last={tag}", "/v2/{tag}",
    ]))  # fmt: skip
    safe = draw(st.sampled_from(["/", ""]))

    def part(strategy: st.SearchStrategy[str]) -> str:
        return quote(draw(strategy).encode("utf-8", "surrogatepass"), safe=safe)

    return str(template.format(id=part(IDS), name=part(NAMES), tag=part(TAGS)))


class BadInputTests(SynchronousTestCase):
    """Requests that nobody should send."""

    def setUp(self) -> None:
        # That a wrong password was tried is to be remembered; tests of its own show that.
        config = f'{ALONE}[auth]\nregistration = "closed"\n[auth.attempts]\nper_client = 0\nper_account = 0\nper_address = 0\n'
        self.daemon = PreparedDaemon(Path(self.mktemp()).absolute(), config=config)
        self.daemon.start()
        self.addCleanup(self.daemon.kill)
        self.push()
        self.recorded = Recorded(self.daemon.data / "metadata.sqlite3")
        self.addCleanup(self.recorded.close)

    def push(self) -> None:
        """A complete image with a tag, and a staged one."""
        document, layer = json.dumps({"id": KNOWN}).encode(), b"no tar"
        payload = "sha256:" + hashlib.sha256(document + b"\n" + layer).hexdigest()
        listed = json.dumps([{"id": KNOWN}, {"id": STAGED}]).encode()
        for path, body, headers in (
            ("/v1/repositories/demo/app/", listed, {}),
            (f"/v1/images/{KNOWN}/json", document, {}),
            (f"/v1/images/{KNOWN}/layer", layer, {}),
            (f"/v1/images/{KNOWN}/checksum", b"", {"X-Docker-Checksum-Payload": payload}),
            ("/v1/repositories/demo/app/tags/latest", json.dumps(KNOWN).encode(), {}),
            (f"/v1/images/{STAGED}/json", json.dumps({"id": STAGED}).encode(), {}),
        ):
            self.assertEqual(200, self.daemon.request("PUT", path, body, headers)[0], path)

    def send(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Send raw bytes on a connection of their own; return status, head and body."""
        with socket.create_connection(("127.0.0.1", self.daemon.port), timeout=30) as client:
            client.sendall(request)
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100"):
            head, _, body = body.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), head, body

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "BREW"]), paths(), HEADERS, BODIES)
    def test_requests(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        """A request of odd parts is answered without a 5xx; a refusal is a flat error and changes nothing."""
        before = self.recorded.read()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        status, head, content = self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        self.assertLess(status, 500, (status, head, content))
        if status < 400:
            return
        self.assertEqual(before, self.recorded.read(), "a refusal changed something")
        if method == "HEAD":
            self.assertEqual(b"", content, head)
        elif path.startswith("/v2/"):
            self.assert_listed(head, content)
        else:
            self.assert_flat(head, content)

    def assert_flat(self, head: bytes, content: bytes) -> None:
        """The body is JSON of one member, ``error``, that is a sentence."""
        self.assertIn(b"\r\ncontent-type: application/json\r\n", head.lower() + b"\r\n", content)
        document = json.loads(content)
        self.assertEqual(["error"], list(document), head)
        self.assertIsInstance(document["error"], str)

    def assert_listed(self, head: bytes, content: bytes) -> None:
        """The body is a list of errors of the specification's form; engines before 1.6 get nothing."""
        if not content:
            return
        self.assertIn(b"\r\ncontent-type: application/json\r\n", head.lower() + b"\r\n", content)
        for error in json.loads(content)["errors"]:
            self.assertRegex(error["code"], r"\A[A-Z_]+\Z")
            self.assertIsInstance(error["message"], str)

    def test_not_http(self) -> None:
        """What is refused before any route is looked for gets a flat error too."""
        for expected, request in (
            (400, b"EHLO example.org\r\n\r\n"),
            (400, b"GET /v1/_ping HTTP/1.1\r\nno header\r\n\r\n"),
            (400, b"GET /v1/_ping HTTP/1.1\r\nX: \x00\r\n\r\n"),
            (400, b"PUT /v1/_ping HTTP/1.1\r\nContent-Length: x\r\n\r\n"),
            (400, b"PUT /v1/_ping HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (431, b"GET /v1/_ping HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n"),
            (414, b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\n\r\n"),
            (
                400,
                b"PUT /v1/images/%b/json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" % STAGED.encode()
                + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            ),
        ):
            status, head, content = self.send(request)
            self.assertEqual(expected, status, request)
            self.assert_flat(head, content)

    def test_hosts(self) -> None:
        """A Host header that is none is refused, with and without a repository that would repeat it."""
        for host in ("a,b", "a b", "x" * 64 + ".org", "a..b", "http://a", "\xff", "a:99999", "[::1", "a/b", "@"):
            for path in ("/v1/_ping", "/v1/repositories/demo/app/images"):
                request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                status, head, content = self.send(request.encode("latin-1"))
                self.assertEqual(400, status, (host, head))
                self.assert_flat(head, content)

    def test_encoded_paths(self) -> None:
        """An encoded slash, and a path that is not UTF-8, are refused."""
        for path in ("/v1/images/..%2f..%2fetc/json", "/v1/repositories/a%2Fb/images", "/v1/repositories/%ff/images"):
            status, _, content = self.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            self.assertEqual(400, status, path)
            self.assertEqual(["error"], list(json.loads(content)))

    def test_deep_and_large_documents(self) -> None:
        """Documents over a limit are refused without being read whole."""
        for path, body, expected in (
            (f"/v1/images/{STAGED}/json", b'{"id":"' + STAGED.encode() + b'","x":' + b"[" * 100_000, 400),
            (f"/v1/images/{STAGED}/json", b" " * (4 * 1024 * 1024 + 1), 413),
            ("/v1/repositories/demo/app/", b"[" + b'{"id":"x"},' * 20_000 + b"]", 400),
            ("/v1/repositories/demo/app/tags/x", b'"' + b"x" * 5000 + b'"', 413),
        ):
            status, content, _ = self.daemon.request("PUT", path, body)
            self.assertEqual(expected, status, path)
            self.assertEqual(["error"], list(json.loads(content)))

    def test_repeated_members(self) -> None:
        """A document that says two things under one name is refused: two readers could take it for two documents."""
        other, before = "d" * 64, self.recorded.read()
        for body in (f'{{"id": "{other}", "id": "{STAGED}"}}', f'{{"id": "{STAGED}", "x": {{"y": 1, "y": 1}}}}'):
            status, content, _ = self.daemon.request("PUT", f"/v1/images/{STAGED}/json", body.encode())
            self.assertEqual(400, status)
            self.assertEqual(["error"], list(json.loads(content)))
        self.assertEqual(before, self.recorded.read())

    def tearDown(self) -> None:
        self.assertNotIn("Traceback", self.daemon.log())
        self.assertNotIn("incident", self.daemon.log())
