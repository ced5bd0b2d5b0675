"""Tests of what a push and a pull share."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from dockreg.cli.failures import CommandFailed, Refused
from dockreg.cli.transport import Reply
from dockreg.cli.v1session import Credentials, Session, Target, json_of


def reply(status: int = 200, body: bytes = b"", **headers: Any) -> Reply:
    """An answer."""
    lines = {name.replace("_", "-"): [value] for name, value in headers.items()}
    return Reply("http://r/v1/x", status, Headers(lines), body)


class FakeTransport:
    """Answers with what it was given, and keeps what was asked."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    async def get(self, url: str, headers: dict[str, str]) -> Reply:
        self.asked.append(("GET", url, dict(headers)))
        return self.replies.pop(0)

    async def put(self, url: str, headers: dict[str, str], body: bytes) -> Reply:
        self.asked.append(("PUT", url, dict(headers)))
        return self.replies.pop(0)


class TargetTests(SynchronousTestCase):
    """URLs of repositories."""

    def test_parts(self) -> None:
        """A URL names scheme, host, repository and perhaps a tag; ``library/`` is the same as nothing."""
        cases = {
            "http://127.0.0.1:5000/demo/hello:1.0": ("http", "127.0.0.1:5000", "demo/hello", "1.0"),
            "https://reg.example/app": ("https", "reg.example", "app", "None"),
            "https://reg.example/library/app:x": ("https", "reg.example", "app", "x"),
            "http://[::1]:5000/a/b/c/": ("http", "[::1]:5000", "a/b/c", "None"),
        }
        for url, expected in cases.items():
            with self.subTest(url=url):
                target = Target.parse(url)
                parts = (target.scheme, target.host, str(target.repository), str(target.tag))
                self.assertEqual(expected, parts)

    def test_wrong(self) -> None:
        """Anything else is refused with a sentence."""
        wrong = (
            "",
            "demo/hello",
            "ftp://host/demo",
            "http:///demo",
            "http://host",
            "http://host/",
            "http://host:99999/demo",
            "http://ho st/demo",
            "http://[::1/demo",
            "http://host/UPPER",
            "http://host/../etc",
            "http://host/demo:",
            "http://host/demo:-x",
            "http://host/demo?x=1",
            "http://host/demo#x",
            "http://host/demo/tags",
        )
        for url in wrong:
            with self.subTest(url=url):
                self.assertRaises(CommandFailed, Target.parse, url)

    def test_password_in_url(self) -> None:
        """A password in a URL is refused, and not repeated."""
        error = self.assertRaises(CommandFailed, Target.parse, "http://joe:secret@host/demo")
        self.assertNotIn("secret", error.message)
        self.assertIn("--user", error.message)


class SessionTests(SynchronousTestCase):
    """Which credential goes where, and what is learned from answers."""

    def session(self, transport: FakeTransport, url: str = "http://r/demo", login: bool = True) -> Session:
        credentials = Credentials("joe", "pass:word") if login else None
        return Session(transport, Target.parse(url), credentials)  # type: ignore[arg-type]  # as much of one as is used

    def opened(self, *replies: Reply, url: str = "http://r/demo", login: bool = True, **ping: Any) -> Session:
        """A session that has asked for the image list."""
        self.transport = FakeTransport(reply(X_Docker_Registry_Version="1", **ping), *replies)
        session = self.session(self.transport, url, login)
        self.successResultOf(Deferred.fromCoroutine(session.open()))
        for _ in replies:
            self.successResultOf(Deferred.fromCoroutine(session.index_get("repositories/demo/images")))
        return session

    def test_token_over_http(self) -> None:
        """Over http the login goes to the index, the token to images."""
        session = self.opened(reply(X_Docker_Token="t", X_Docker_Endpoints="r"))
        self.assertEqual("Basic am9lOnBhc3M6d29yZA==", self.transport.asked[-1][2]["Authorization"])
        self.assertEqual({"Authorization": "Token t"}, session.image_headers("http://r"))

    def test_login_over_https(self) -> None:
        """Over https a registry that is its own index gets the login on every request."""
        cases: list[dict[str, Any]] = [{}, *({"X_Docker_Registry_Standalone": value} for value in ("True", "1"))]
        for standalone in cases:
            with self.subTest(standalone=standalone):
                session = self.opened(reply(X_Docker_Token="t"), url="https://r/demo", **standalone)
                self.assertIn("Basic", session.image_headers("https://r")["Authorization"])

    def test_token_to_other_hosts(self) -> None:
        """The login goes to no other host than that of the URL."""
        session = self.opened(reply(X_Docker_Token="t", X_Docker_Endpoints="other:5000, r"), url="https://r/demo")
        self.assertEqual(("https://other:5000", "https://r"), session.endpoints)
        self.assertEqual({"Authorization": "Token t"}, session.image_headers("https://other:5000"))

    def test_token_of_separate_index(self) -> None:
        """Over https with a registry apart the token is used."""
        session = self.opened(reply(X_Docker_Token="t"), url="https://r/demo", X_Docker_Registry_Standalone="false")
        self.assertEqual({"Authorization": "Token t"}, session.image_headers("https://r"))

    def test_anonymous(self) -> None:
        """Without a login nothing is sent to the index, and to images only what the index gave."""
        session = self.opened(reply(), login=False)
        self.assertNotIn("Authorization", self.transport.asked[-1][2])
        self.assertEqual({}, session.image_headers("http://r"))
        session = self.opened(reply(X_Docker_Token="t"), login=False)
        self.assertEqual({"Authorization": "Token t"}, session.image_headers("http://r"))

    def test_endpoints(self) -> None:
        """Where the index names no endpoint, or only nonsense, images are at the index."""
        cases: list[dict[str, Any]] = [{}, *({"X_Docker_Endpoints": value} for value in ("http://x/v1/", ","))]
        for named in cases:
            with self.subTest(named=named):
                self.assertEqual(("http://r",), self.opened(reply(**named)).endpoints)

    def test_no_registry(self) -> None:
        """A host whose ping is neither 200 nor says which registry it is, is none."""
        session = self.session(FakeTransport(reply(404, b"<html>")))
        failure = self.failureResultOf(Deferred.fromCoroutine(session.open()), CommandFailed)
        self.assertIn("is no v1 registry", failure.value.message)

    def test_redirect(self) -> None:
        """A redirection on the same host is followed with the same body; one to another host is refused."""
        session = self.opened()
        self.transport.replies = [reply(307, Location="http://r/v1/elsewhere"), reply(200)]
        self.assertEqual(200, self.successResultOf(Deferred.fromCoroutine(session.index_put("x", []))).status)
        self.assertEqual("http://r/v1/elsewhere", self.transport.asked[-1][1])
        self.transport.replies = [reply(307, Location="http://evil/v1/x")]
        self.failureResultOf(Deferred.fromCoroutine(session.index_put("x", [])), CommandFailed)
        self.assertEqual("http://r/v1/x", self.transport.asked[-1][1])

    def test_endless_redirect(self) -> None:
        """A redirection in a circle comes to an end."""
        session = self.opened()
        self.transport.replies = [reply(307, Location="http://r/v1/x")] * 100
        self.failureResultOf(Deferred.fromCoroutine(session.index_put("x", [])), CommandFailed)

    def test_refusal(self) -> None:
        """A refusal tells what the registry said and what may help, and whether another try may go better."""
        session = self.session(FakeTransport(), login=False)
        answer = reply(401, b'{"error": "authentication is required for this"}')
        error = self.assertRaises(Refused, session.check, answer, "no layer", 200)
        self.assertEqual(
            "no layer: authentication is required for this (HTTP 401); give a user name with --user", error.message
        )
        self.assertEqual((401, False), (error.status, error.passing))
        self.assertTrue(self.assertRaises(Refused, session.check, reply(503), "no layer", 200).passing)
        self.assertFalse(self.assertRaises(Refused, session.check, reply(507), "no layer", 200).passing)
        self.assertEqual(200, session.check(reply(), "no layer", 200).status)

    def test_sentence(self) -> None:
        """An error is told in the form of v1 and of v2, anything else by its status; what would move the cursor is not printed."""
        cases = {
            b"": "Internal Server Error",
            b"[]": "Internal Server Error",
            b'{"error": {"a": 1}}': "Internal Server Error",
            b'{"error": "a\\u001b[2Jb"}': "a?[2Jb",
            b'{"errors": [{"code": "DENIED", "message": "not you"}, {}]}': "not you",
            b'{"errors": [{"code": "DENIED"}]}': "DENIED",
            b'{"errors": [1]}': "Internal Server Error",
        }
        for body, sentence in cases.items():
            with self.subTest(body=body):
                self.assertEqual(sentence, reply(500, body).sentence)
        self.assertEqual("no reason given", reply(599).sentence)

    def test_documents(self) -> None:
        """A document of another kind than expected is refused."""
        self.assertEqual({"a": 1}, json_of(reply(body=b'{"a": 1}'), dict, "an object"))
        for body in (b"", b"[]", b"\xff", b"[" * 100_000):
            with self.subTest(body=body[:5]):
                self.assertRaises(CommandFailed, json_of, reply(body=body), dict, "an object")
