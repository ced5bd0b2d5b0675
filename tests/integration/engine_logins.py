"""Scenarios: ping, login and search."""

import json

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from dockreg.testing.client import EXISTS
from dockreg.testing.samples import layered_image
from dockreg.testing.sessions import Account
from tests.integration.daemon import deactivate
from tests.integration.engine_support import JOEY, EngineScenarios

_REGISTRATION = {"Content-Type": "application/json; charset=utf-8"}


class _Closed(Protocol):
    """Notices how a connection ends."""

    def __init__(self) -> None:
        self.gone: Deferred[bytes] = Deferred()
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(self.received)


class Logins(EngineScenarios):
    """``docker login`` and the ping before it."""

    async def test_new_account(self) -> None:
        """A login under a new name makes the account, which then is good for a login."""
        await self.start()
        engine = self.engine()
        self.assertEqual("Account created.", await engine.login(JOEY))
        self.assertEqual(["/v1/users/"], engine.requests("POST"))
        self.assertEqual([], engine.requests("GET", "/v1/users/"))
        self.assertEqual("Login Succeeded", await self.engine().login(JOEY))

    async def test_existing_account(self) -> None:
        """A second registration gets exactly the bytes that make engines go on to the login check."""
        await self.start()
        await self.engine().login(JOEY)
        engine = self.engine()
        self.assertEqual("Login Succeeded", await engine.login(JOEY))
        self.assertEqual(["/v1/users/"], engine.requests("GET", "/v1/users/"))

    async def test_wrong_password(self) -> None:
        """A wrong password is told from other failures."""
        await self.start()
        await self.engine().login(JOEY)
        failed = await self.fails(self.engine().login(Account("joey", "mistaken")))
        self.assertEqual("Wrong login/password, please try again", str(failed))

    async def test_inactive_account(self) -> None:
        """The right password of an account that is not active gets 403."""
        await self.start()
        await self.engine().login(JOEY)
        await deactivate(self.registry, "joey")
        failed = await self.fails(self.engine().login(JOEY))
        self.assertEqual(403, failed.status)

    async def test_impossible_registration(self) -> None:
        """Registration data that cannot be used is answered with 400 and a text that the engine shows."""
        await self.start()
        failed = await self.fails(self.engine().login(Account("Not A Name", "secret")))
        self.assertEqual(400, failed.status)
        self.assertIn("Registration: ", str(failed))


class Doors(EngineScenarios):
    """What is the same for each engine: asked once over http and once over https."""

    async def test_closed_registration(self) -> None:
        """Where registration is closed, an existing and an unknown name get the same answer; engines go on to 401."""
        await self.start('[auth]\nregistration = "closed"\n')
        failed = await self.fails(self.engine().login(JOEY))
        self.assertEqual("Wrong login/password, please try again", str(failed))

    async def test_both_forms_of_users(self) -> None:
        """The users resource is the same with and without its slash, and ignores members that it does not know."""
        await self.start()
        body = {"username": "joey", "password": "secret", "auth": "", "email": "j@example.org", "more": [1]}
        encoded = json.dumps(body).encode("ascii")
        answer = await self.ask("POST", "/v1/users", _REGISTRATION, encoded)
        self.assertEqual(201, answer.status)
        answer = await self.ask("POST", "/v1/users/", _REGISTRATION, encoded)
        self.assertEqual((400, EXISTS), (answer.status, answer.body))
        for path in ("/v1/users", "/v1/users/"):
            answer = await self.ask("GET", path, {"Authorization": JOEY.basic})
            self.assertEqual(200, answer.status)

    async def test_ping(self) -> None:
        """Both ping paths answer anybody, HEAD included, with the headers that engines look for."""
        await self.start('[auth]\nanonymous = "none"\n')
        for method in ("GET", "HEAD"):
            for path in ("/v1/_ping", "/_ping"):
                answer = await self.ask(method, path)
                self.assertEqual(200, answer.status)
                self.assertTrue(answer.header("X-Docker-Registry-Version"))
                self.assertIn((answer.header("X-Docker-Registry-Standalone") or "").lower(), ("true", "1"))
                self.assertEqual(method == "HEAD", answer.body == b"")

    async def test_ping_of_an_index(self) -> None:
        """An index of its own says that it is not standalone, so that engines keep passwords from its registries."""
        await self.start('role = "index"\n')
        answer = await self.ask("GET", "/v1/_ping")
        self.assertEqual("false", (answer.header("X-Docker-Registry-Standalone") or "").lower())

    async def test_private_repository(self) -> None:
        """A private repository is hidden from the search and the pulls of everybody else."""
        await self.start()
        engine = self.engine()
        await engine.login(JOEY)
        images = layered_image()
        await engine.push("joey/hidden", images, {"v1": images[2].id})
        headers = {"Content-Type": "application/json", "Authorization": JOEY.basic}
        path = "/v1/repositories/joey/hidden/properties"
        self.assertEqual(200, (await self.ask("PUT", path, headers, b'{"access": "private"}')).status)
        self.assertEqual([], await self.engine().search("hidden"))
        self.assertEqual(["joey/hidden"], [found["name"] for found in await engine.search("hidden")])
        self.assertIn((await self.fails(self.engine().pull("joey/hidden", "v1"))).status, (401, 404))
        self.assert_same(list(images), await engine.pull("joey/hidden", "v1"))

    async def test_hello_on_a_plain_port(self) -> None:
        """A TLS hello on an http port is answered in HTTP and hung up on at once, for engines stall otherwise."""
        from twisted.internet import reactor

        await self.start()
        if self.tls:
            return
        endpoint = HostnameEndpoint(reactor, "127.0.0.1", self.registry.port)
        connection = await endpoint.connect(Factory.forProtocol(_Closed))
        assert isinstance(connection, _Closed)
        assert connection.transport is not None
        connection.transport.write(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03")
        answer = await connection.gone.addTimeout(5, reactor)
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)


class Searches(EngineScenarios):
    """``docker search``."""

    async def _push_two(self) -> None:
        await self.start()
        images = layered_image()
        for repository in ("team/layered", "other"):
            await self.engine().push(repository, images, {"v1": images[2].id})

    async def test_term(self) -> None:
        """A search finds the repositories that have the term in their name, under names with a namespace."""
        await self._push_two()
        self.assertEqual(["team/layered"], [found["name"] for found in await self.engine().search("layer")])
        self.assertEqual(["library/other"], [found["name"] for found in await self.engine().search("other")])
        self.assertEqual([], await self.engine().search("nosuch"))

    async def test_empty_term(self) -> None:
        """An empty term lists every repository."""
        await self._push_two()
        self.assertEqual(
            ["library/other", "team/layered"], sorted(found["name"] for found in await self.engine().search(""))
        )

    async def test_strings_for_old_engines(self) -> None:
        """Engines 0.6.0 to 0.6.5 get results that hold nothing but strings, later ones numbers too."""
        await self._push_two()
        old = self.engine(version="0.6.0", user_agent="docker/0.6.0 go/go1.1 kernel/3.8.0", search_wants_strings=True)
        self.assertEqual(["team/layered"], [found["name"] for found in await old.search("layer")])
        found = await self.engine().search("layer")
        self.assertEqual(0, found[0]["star_count"])
