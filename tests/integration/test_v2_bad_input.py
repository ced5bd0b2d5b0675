"""Whatever a client of v2 sends, the answer is a 4xx in the form of the specification, and nothing changes."""

import json
import re
import string
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.mediatypes import OCI_INDEX, SCHEMA1_TYPES
from dockreg.model.schema1 import parse_schema1
from dockreg.testing.samples import bytes_of
from tests.integration.nearlyvalid import CONFIG, DIGESTS, LAYER, MEDIA_TYPES, REFERENCES, Sent, manifests
from tests.integration.postgresql import Server
from tests.integration.recorded import Recorded
from tests.integration.test_bad_input import ALONE
from tests.integration.v2case import digest_of, make_index
from tests.processes import PreparedDaemon

#: OCI Distribution specification, "Error Codes", and for what it has none those of docker's registry.
CODES = {
    "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "DENIED", "UNSUPPORTED",
    "UNAUTHORIZED", "TOOMANYREQUESTS",
}  # fmt: skip
CONTENT = bytes_of("ranges", 1000)
INDEX = make_index()
QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
_VALUE = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=30)
_NUMBER = st.integers(0, 1100).map(str) | st.sampled_from(["", "-1", "1" * 40, "x", " 1", "0x1"])
RANGES = st.one_of(
    st.lists(st.tuples(_NUMBER, _NUMBER).map("-".join), min_size=1, max_size=12).map(lambda each: "bytes=" + ",".join(each)),
    st.sampled_from(["bytes=", "bytes", "bytes=0", "items=0-1", "bytes=0-1,", "bytes=,", "bytes 0-1", "BYTES=0-1"]),
    _VALUE,
)  # fmt: skip


class BadInputCase(SynchronousTestCase):
    """A daemon of its own with a few blobs, a manifest and a session."""

    NAME: ClassVar[str] = "a/b"

    def setUp(self) -> None:
        self.daemon = PreparedDaemon(Path(self.mktemp()).absolute(), config=self.config())
        self.daemon.start()
        self.addCleanup(self.daemon.kill)
        for content in (CONFIG, LAYER, CONTENT):
            self.assertEqual(201, self.ask("POST", f"blobs/uploads/?digest={digest_of(content)}", content)[0])
        self.assertEqual(201, self.ask("PUT", "manifests/latest", INDEX, {"Content-Type": OCI_INDEX})[0])
        self.session = self.ask("POST", "blobs/uploads/", b"")[2]["location"]
        self.assertEqual(202, self.ask("PATCH", self.session, b"0123456789")[0])
        # When somebody last looked after a session does not count.
        self.recorded = Recorded(self.daemon.data / "metadata.sqlite3", ("last_write", "leased_until"))
        self.addCleanup(self.recorded.close)

    def config(self) -> str:
        """The configuration of the daemon."""
        return ALONE

    def tearDown(self) -> None:
        self.assertNotIn("Traceback", self.daemon.log())
        self.assertNotIn("incident", self.daemon.log())

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, dict[str, str]]:
        """One request; a path that begins with no slash is one of the repository."""
        return self.daemon.request(method, path if path.startswith("/") else f"/v2/{self.NAME}/{path}", body, headers)

    def sent(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, dict[str, str]]:
        """A request that may be refused: then in the right form, and without a trace."""
        before = self.recorded.read()
        status, content, names = self.ask(method, path, body, headers)
        self.assertLess(status, 500, content)
        if status >= 400:
            self.assertEqual(before, self.recorded.read(), f"a refusal changed something ({content!r})")
            if method == "HEAD" or "content-range" in names:
                # The length of a blob is all that there is to tell of a range outside of it.
                self.assertEqual(b"", content)
            else:
                self.check_errors(content, names)
        return status, content, names

    def check_errors(self, content: bytes, headers: dict[str, str]) -> None:
        """A body in the form of the specification."""
        self.assertEqual("application/json", headers["content-type"])
        document = json.loads(content)
        self.assertEqual(["errors"], list(document))
        self.assertGreater(len(document["errors"]), 0)
        for error in document["errors"]:
            self.assertLessEqual(set(error), {"code", "message", "detail"})
            self.assertIn(error["code"], CODES)
            self.assertIsInstance(error["message"], str)
            self.assertGreater(len(error["message"]), 0)


def in_url(text: str) -> str:
    """Text as a part of a URL."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


class ManifestTests(BadInputCase):
    """Manifests that are nearly right."""

    @settings(QUIET, max_examples=200)
    @given(
        manifests(),
        st.sampled_from(["", "?tag=a", "?tag=a&tag=b", "?tag=-"]),
        st.sampled_from(["tag", "digest", "sha512"]),
    )
    def test_put(self, sent: Sent, query: str, how: str) -> None:
        """What is stored is served byte for byte, under the digest that was told; all else is refused."""
        references = {"tag": "pushed", "digest": digest_of(sent.content), "sha512": digest_of(sent.content, "sha512")}
        headers = {} if sent.content_type is None else {"Content-Type": sent.content_type}
        status, content, names = self.sent("PUT", f"manifests/{references[how]}{query}", sent.content, headers)
        if status >= 400:
            self.assertIn(status, (400, 413), content)
            return
        self.assertEqual((201, b""), (status, content))
        digest = names["docker-content-digest"]
        status, content, names = self.ask("GET", f"manifests/{digest}")
        self.assertEqual((200, digest), (status, names["docker-content-digest"]))
        if content != sent.content:
            # The digest of schema1 is that of what was signed, and another signature of it was there.
            self.assertIn(names["content-type"], SCHEMA1_TYPES)
            self.assertEqual(digest, str(parse_schema1(content).digest))
        for path in (f"/v1/repositories/{self.NAME}/tags", f"/v1/repositories/{self.NAME}/images"):
            self.assertEqual(200, self.ask("GET", path)[0])
        for agent in ("docker/1.9.1", "x"):
            self.assertEqual(200, self.ask("GET", "manifests/latest", None, {"User-Agent": agent})[0])
            self.assertIn(self.ask("GET", "manifests/pushed", None, {"User-Agent": agent})[0], (200, 404))

    @settings(QUIET, max_examples=120)
    @given(
        st.sampled_from(["GET", "HEAD", "PUT", "DELETE"]),
        REFERENCES,
        st.sampled_from(["manifests", "blobs", "referrers"]),
    )
    def test_references(self, method: str, reference: str, noun: str) -> None:
        """A reference that is none is refused, and one that is not there is not found."""
        body = INDEX if method == "PUT" else None
        status, _, _ = self.sent(method, f"{noun}/{in_url(reference)}", body, {"Content-Type": OCI_INDEX})
        if status == 202 and noun == "blobs":
            for content in (CONFIG, LAYER, CONTENT):
                self.ask("POST", f"blobs/uploads/?digest={digest_of(content)}", content)

    @settings(QUIET, max_examples=60)
    @given(st.lists(MEDIA_TYPES | _VALUE, max_size=4), _VALUE, st.sampled_from(["latest", digest_of(INDEX)]))
    def test_accept(self, accept: list[str], condition: str, reference: str) -> None:
        """Whatever a client says that it accepts or has, it gets what is there."""
        values = [value.encode("latin-1", "replace").decode("latin-1") for value in (", ".join(accept), condition)]
        clean = ["".join(letter for letter in value if letter not in "\r\n\0") for value in values]
        headers = {"Accept": clean[0], "If-None-Match": clean[1], "User-Agent": clean[1]}
        status, content, _ = self.sent("GET", f"manifests/{reference}", None, headers)
        self.assertIn((status, content), ((200, INDEX), (304, b"")))

    def test_limits(self) -> None:
        """Documents that are too large or too deep are refused."""
        for body, expected in (
            (b" " * (4 * 1024 * 1024 + 1), 413),
            (INDEX[:-1] + b',"x":' + b"[" * 100_000, 400),
            (INDEX[:-1] + b',"x":' + b"[" * 100 + b"]" * 100 + b"}", 400),
            (INDEX[:-1] + b',"x":' + b"9" * 100_000 + b"}", 201),
            (INDEX[:-1] + b',"mediaType":"x"}', 400),
        ):
            self.assertEqual(expected, self.sent("PUT", "manifests/large", body, {"Content-Type": OCI_INDEX})[0])


class BlobTests(BadInputCase):
    """Blobs, and sessions, asked for in odd ways."""

    @settings(QUIET, max_examples=120)
    @given(RANGES, st.one_of(st.none(), _VALUE, st.just(f'"{digest_of(CONTENT)}"')))
    def test_ranges(self, asked: str, condition: str | None) -> None:
        """What comes is the part that the answer says, of a blob that is whole."""
        headers = {"Range": asked, **({} if condition is None else {"If-Range": condition})}
        status, content, names = self.sent("GET", f"blobs/{digest_of(CONTENT)}", None, headers)
        if status == 200:
            self.assertEqual(CONTENT, content)
        elif status == 416:
            self.assertEqual("bytes */1000", names["content-range"])
        else:
            self.assertEqual(206, status)
            self.check_parts(content, names)

    def check_parts(self, content: bytes, names: dict[str, str]) -> None:
        """One part or several."""
        parts = [(names["content-range"], content)] if "content-range" in names else []
        if not parts:
            boundary = names["content-type"].partition("boundary=")[2].strip('"').encode()
            for text in content.split(b"--" + boundary)[1:-1]:
                head, _, body = text.partition(b"\r\n\r\n")
                found = re.search(rb"content-range: ([^\r]*)", head.lower())
                assert found is not None
                parts.append((found[1].decode(), body.removesuffix(b"\r\n")))
        for told, part in parts:
            matched = re.fullmatch(r"bytes ([0-9]+)-([0-9]+)/1000", told)
            assert matched is not None
            self.assertEqual(CONTENT[int(matched[1]) : int(matched[2]) + 1], part)
            self.assertGreater(len(part), 0)

    @settings(QUIET, max_examples=150)
    @given(
        st.dictionaries(
            st.sampled_from(["digest", "mount", "from", "digest-algorithm", "origin", "_state"]),
            DIGESTS | st.sampled_from(["a/b", "A", "..", "sha512", "sha256", "md5", ""]) | st.text(max_size=10),
            max_size=3,
        ),
        st.sampled_from(["POST", "PUT", "PATCH", "GET"]),
        st.sampled_from([b"", b"x", CONFIG, LAYER]),
        st.one_of(st.none(), st.tuples(_NUMBER, _NUMBER).map("-".join), _VALUE),
    )
    def test_uploads(self, query: dict[str, str], method: str, body: bytes, ranged: str | None) -> None:
        """Parameters and ranges that make no sense are refused; the session that there is goes on or has ended."""
        where = "/v2/a/b/blobs/uploads/" if method == "POST" else self.session
        text = "&".join(f"{name}={in_url(value)}" for name, value in query.items())
        headers = {} if ranged is None else {"Content-Range": ranged}
        before = self.ask("GET", self.session)[2].get("range")
        if method == "PUT" and digest_is_sound(query.get("digest", "")):
            # It would end the session, refused or not.
            where = self.ask("POST", "blobs/uploads/", b"")[2]["location"]
            self.assertLess(self.ask(method, f"{where}?{text}", body, headers)[0], 500)
            self.assertEqual(before, self.ask("GET", self.session)[2].get("range"))
            return
        status, _, names = self.sent(method, f"{where}?{text}", body if method != "GET" else None, headers)
        if status == 416:
            self.assertEqual((self.session, before), (names["location"], names["range"]))
        elif method != "PATCH":
            self.assertEqual(before, self.ask("GET", self.session)[2].get("range"))

    @settings(QUIET, max_examples=120)
    @given(
        st.sampled_from(["tags/list", "/v2/_catalog", f"referrers/{digest_of(CONFIG)}"]),
        st.dictionaries(
            st.sampled_from(["n", "last", "artifactType"]), st.text(max_size=12) | _NUMBER | DIGESTS, max_size=3
        ),
    )
    def test_lists(self, path: str, query: dict[str, str]) -> None:
        """Pages of lists are lists, wherever they are to begin."""
        text = "&".join(f"{name}={in_url(value)}" for name, value in query.items())
        status, content, _ = self.sent("GET", f"{path}?{text}")
        if status < 400:
            document = json.loads(content)
            self.assertTrue(any(isinstance(each, list) for each in document.values()))

    def test_encoded_paths(self) -> None:
        """Letters of a path may be encoded: it is the same path."""
        for method, path, body, expected in (
            ("GET", "/v2/a/b/t%61gs/list", None, 200),
            ("GET", "/v2/a/b/tags/%6cist", None, 200),
            ("GET", "/v2/%61/b/manifests/lat%65st", None, 200),
            ("GET", "/v2/a/b/m%61nifests/latest", None, 200),
            ("PUT", "/v2/a/b/m%61nifests/latest", INDEX, 201),
            ("GET", f"/v2/a/b/bl%6fbs/{digest_of(CONFIG)}", None, 200),
            ("POST", "/v2/a/b/bl%6fbs/uploads/", b"", 202),
            ("GET", self.session.replace("blobs", "bl%6fbs"), None, 204),
            ("PATCH", self.session.replace("blobs", "bl%6fbs"), b"x", 202),
        ):
            status, content, _ = self.ask(method, path, body, {"Content-Type": OCI_INDEX})
            self.assertEqual(expected, status, (path, content))


class PostgreSQLTests(BadInputCase):
    """What a database that is stricter with its texts makes of odd ones."""

    def config(self) -> str:
        server = Server()
        server.start()
        self.addCleanup(server.stop)
        return f'{ALONE}[metadata]\nurl = "{server.url()}"\n'

    def test_texts(self) -> None:
        """A text that a database can not hold is refused, or is that of nothing."""
        for method, path in (
            ("GET", "tags/list?last=%00"),
            ("GET", "tags/list?last=%ff%ed%a0%80"),
            ("GET", "/v2/_catalog?last=%00"),
            ("GET", f"referrers/{digest_of(CONFIG)}?last=%00"),
            ("GET", f"referrers/{digest_of(CONFIG)}?artifactType=%00"),
            ("GET", "blobs/uploads/%00"),
            ("PATCH", f"{self.session}%00"),
            ("PUT", f"blobs/uploads/x%00?digest={digest_of(b'')}"),
            ("DELETE", "blobs/uploads/%00"),
            ("GET", "manifests/%00"),
        ):
            status, content, headers = self.ask(method, path, b"" if method in ("PATCH", "PUT") else None)
            self.assertIn(status, (200, 400, 404), (path, content))
            if status >= 400:
                self.check_errors(content, headers)


def digest_is_sound(text: str) -> bool:
    """Whether a digest is one."""
    algorithm, _, encoded = text.partition(":")
    lengths = {"sha256": 64, "sha512": 128}
    return len(encoded) == lengths.get(algorithm) and set(encoded) <= set(string.hexdigits.lower()[:16])
