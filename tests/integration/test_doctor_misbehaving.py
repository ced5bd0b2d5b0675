"""``dockreg doctor`` at servers that get one thing wrong."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol

from dockreg.cli.doctor import handshakes
from dockreg.cli.doctor.findings import Verdict
from dockreg.testing.ports import free_port
from tests.integration.daemon import write_certificate
from tests.integration.doctorcase import ALICE, WRONG, DoctorCase
from tests.integration.misbehaving import API, PASSWORD, Answer, Registry, Server, start_stand_in

PAGE = {"content-type": "text/html", "server": "nginx/1.22.1"}


class TokenServiceTests(DoctorCase):
    """A registry with a token service."""

    async def start(self, change: Callable[[Registry], object] = lambda _: None) -> Server:
        self.registry = Registry()
        server = await start_stand_in(self, self.registry)
        change(self.registry)
        return server

    async def test_well(self) -> None:
        """Login, pull and push go well; tokens are shown as lengths, and asked for as clients do."""
        server = await self.start()
        await self.examine(self.registry.origin, ALICE, repository="app", push=True)
        self.assert_well()
        asked = [(each.query, each.authorization[:6]) for each in server.requests("/token") if each.method == "GET"]
        self.assertEqual(
            [
                ("service=stand-in&scope=repository%3Aapp%3Apull", ""),
                ("service=stand-in&account=alice_1", "Basic "),
                ("service=stand-in&scope=repository%3Aapp%3Apull&account=alice_1", "Basic "),
                ("service=stand-in&scope=repository%3Aapp%3Apull%2Cpush&account=alice_1", "Basic "),
            ],
            asked,
        )
        self.assertIn(f"password={PASSWORD.replace(' ', '+')}", server.requests("/token")[2].body.decode())

    async def test_nobody(self) -> None:
        """Without a name the anonymous token pulls, and does not push."""
        await self.start()
        await self.examine(self.registry.origin, repository="app")
        self.assert_well()
        self.assertIn("push", self.told("token to push", Verdict.OK))
        await self.examine(self.registry.origin, repository="app", push=True)
        self.assertIn("push", self.told("token to push", Verdict.FAIL))

    async def test_wrong_password(self) -> None:
        """A wrong password is sent once, and no further."""
        server = await self.start()
        await self.examine(self.registry.origin, WRONG, repository="app")
        self.assertIn("password of alice_1", self.told("token", Verdict.FAIL))
        self.assertEqual(1, sum(bool(each.authorization) for each in server.requests("/token")))

    async def test_missing_challenge(self) -> None:
        """A 401 without a challenge, as a proxy may leave it, fails, and there is nothing to go on with."""
        await self.start(lambda it: it.answers.update({("GET", "/v2/"): Answer(401, b"{}", API)}))
        await self.examine(self.registry.origin, ALICE, repository="app")
        self.assertIn("hand it on", self.told("challenge", Verdict.FAIL))
        self.assertEqual(["challenge"], [each.name for each in self.report.steps if each.verdict is Verdict.FAIL])

    async def test_wrong_realm(self) -> None:
        """A realm where nothing listens, or that is no token service, fails at the token."""
        await self.start(
            lambda it: setattr(it, "challenge", f'Bearer realm="http://127.0.0.1:{free_port()}/token",service="x"')
        )
        await self.examine(self.registry.origin, ALICE)
        self.assertIn("guard", self.told("challenge", Verdict.FAIL))
        self.assertIn("No answer", self.told("token", Verdict.FAIL))
        self.registry.challenge = 'Bearer realm="{origin}/nothing",service="x"'
        await self.examine(self.registry.origin, ALICE)
        self.assertIn("no token service", self.told("token", Verdict.FAIL))

    async def test_http_realm(self) -> None:
        """A realm in plain http for a registry that is https gets no password."""
        plain = await self.start()
        pem = self.mktemp_folder() / "server.pem"
        secure = Registry()
        await start_stand_in(self, secure, pem)
        secure.challenge = f'Bearer realm="http://127.0.0.1:{plain.port}/token",service="x"'
        await self.examine(secure.origin, ALICE, authorities=pem)
        self.assertIn("X-Forwarded-Proto", self.told("challenge", Verdict.FAIL))
        self.assertIn("not sent", self.told("token", Verdict.FAIL))
        self.assertEqual([], [each for each in plain.asked if each.authorization])

    async def test_clock(self) -> None:
        """A clock that is an hour behind shows in Date, and its tokens have expired when they come."""
        then = datetime.now(UTC) - timedelta(hours=1)
        await self.start(lambda it: it.members.update(issued_at=then.isoformat()))
        headers = {**API, "www-authenticate": self.registry._challenge, "date": f"{then:%a, %d %b %Y %H:%M:%S GMT}"}
        self.registry.answers["GET", "/v2/"] = Answer(401, b"{}", headers)
        await self.examine(self.registry.origin, ALICE)
        self.assertIn("NTP", self.told("clock", Verdict.FAIL))
        self.assertIn("has expired", self.told("token", Verdict.FAIL))

    async def test_token_not_taken(self) -> None:
        """A registry that does not take the token of its own service fails at the login."""
        await self.start(lambda it: setattr(it, "token", lambda _: "of another key"))
        await self.examine(self.registry.origin, ALICE)
        self.assertIn("audience", self.told("login", Verdict.FAIL))

    async def test_no_login_at_the_door(self) -> None:
        """Who is let in at /v2/ and refused further on is asked for a login there; docker would not have sent it."""
        await self.start(lambda it: it.answers.update({("GET", "/v2/"): Answer(200, b"{}", API)}))
        await self.examine(self.registry.origin, ALICE, repository="app")
        self.assertIn("without sending it", self.told("/v2/", Verdict.WARN))
        self.assertFalse(self.report.failed)
        self.assertIn("manifest", self.names())

    def mktemp_folder(self) -> Path:
        """A folder with ``server.pem``."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        write_certificate(folder)
        return folder


class ProxyTests(DoctorCase):
    """Something in front of the registry."""

    async def start(self, *answers: tuple[str, str, Answer]) -> Registry:
        registry = Registry()
        await start_stand_in(self, registry)
        registry.answers.update({(method, path): answer for method, path, answer in answers})
        return registry

    async def test_error_page(self) -> None:
        """The page of a proxy that does not reach the registry is told from its answer."""
        page = Answer(502, b"<html>Bad Gateway</html>", PAGE)
        registry = await self.start(("GET", "/v2/", page), ("GET", "/v1/_ping", page))
        await self.examine(registry.origin, ALICE)
        self.assertIn("does not reach", self.told("/v2/", Verdict.FAIL))
        self.assertIn("proxy_request_buffering off", self.told("proxy", Verdict.OK))
        self.assertNotIn("challenge", self.names())

    async def test_body_limit(self) -> None:
        """413 for a chunk names the limit of the proxy, and the upload is cancelled all the same."""
        registry = await self.start(("PATCH", "/v2/app/blobs/uploads/1", Answer(413, b"<html>", PAGE)))
        await self.examine(registry.origin, ALICE, repository="app", push=True)
        self.assertIn("client_max_body_size", self.told("chunk", Verdict.FAIL))
        self.told("cancel", Verdict.OK)

    async def test_location(self) -> None:
        """A Location on another port is warned of, and the upload ends where the registry is, with no word elsewhere."""
        other = await Server(lambda _: Answer(202)).start(self)
        location = f"http://127.0.0.1:{other.port}/v2/app/blobs/uploads/1"
        headers = {**API, "location": location, "range": "0-0"}
        registry = await self.start(("POST", "/v2/app/blobs/uploads/", Answer(202, b"", headers)))
        await self.examine(registry.origin, ALICE, repository="app", push=True)
        self.assertIn("guard", self.told("upload", Verdict.FAIL))
        self.told("cancel", Verdict.OK)
        self.assertEqual([], other.asked)

    async def test_lost_headers(self) -> None:
        """The header of the API and the digest of a manifest may get lost on the way."""
        registry = Registry()
        await start_stand_in(self, registry)
        registry.answers["GET", "/v2/"] = Answer(401, b"{}", {"www-authenticate": registry._challenge})
        await self.examine(registry.origin, repository="app")
        self.assertIn("always", self.told("/v2/", Verdict.WARN))

    async def test_redirection(self) -> None:
        """A redirection of /v2/ is not followed: clients need the right URL."""
        registry = await self.start(("GET", "/v2/", Answer(301, b"", {"location": "/elsewhere"})))
        await self.examine(registry.origin, ALICE)
        self.assertIn("answer here", self.told("/v2/", Verdict.FAIL))


class SilentTests(DoctorCase):
    """Ports that are no registry at all."""

    async def test_closed(self) -> None:
        """A port where nothing listens ends the examination."""
        await self.examine(f"http://127.0.0.1:{free_port()}")
        self.assertIn("firewall", self.told("connection", Verdict.FAIL))
        self.assertEqual(["name", "connection"], self.names())

    async def test_no_http(self) -> None:
        """What speaks something else fails with that."""
        from twisted.internet import reactor

        class Greeter(Protocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(b"220 mail.example ESMTP\r\n")
                self.transport.loseConnection()

        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(Factory.forProtocol(Greeter))
        self.addCleanup(port.stopListening)
        await self.examine(f"http://127.0.0.1:{port.getHost().port}")
        self.assertIn("speaks http", self.told("/v2/", Verdict.FAIL))
        await self.examine(f"https://127.0.0.1:{port.getHost().port}")
        self.told("TLS", Verdict.FAIL)

    async def test_stalls(self) -> None:
        """A port that lets a greeting in TLS wait is warned of: engines and others greet so first."""
        self.patch(handshakes, "HANDSHAKE_SECONDS", 0.2)
        server = await Server(lambda _: Answer(200, b"{}", API)).start(self, stalls=True)
        await self.examine(f"http://127.0.0.1:{server.port}")
        self.assertIn("waits", self.told("TLS", Verdict.WARN))
