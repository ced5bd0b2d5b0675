"""The service as a whole: providers, logs, figures, start and stop."""

import json
from pathlib import Path
from typing import Any

from treq.client import HTTPClient
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool

from dockreg.config import ConfigError, read_config
from dockreg.lifecycle import RegistryService, StartFailed
from dockreg.service import make_registry_service
from tests.integration import thirdparty
from tests.integration.daemon import logging_to

IMAGE = "1" * 64


def make_client(reactor: Any) -> HTTPClient:
    """A client that leaves no connection behind."""
    return HTTPClient(Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False)))


class RawClient(Protocol):
    """Sends bytes as they are, and collects what comes until the connection ends."""

    transport: ITCPTransport

    def __init__(self) -> None:
        self.received = b""
        self.ended: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(self.received)


class ServiceTestCase(TestCase):
    """Starts services, and asks them."""

    def setUp(self) -> None:
        """A client, and a folder for the data, which is not there yet."""
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.client = make_client(reactor)
        self.data = self.new_path()

    def new_path(self) -> Path:
        """The path of something that is not there yet."""
        return Path(self.mktemp()).absolute()

    async def turn(self) -> None:
        """Come back once the reactor runs: trial begins a test before that."""
        await deferLater(self.reactor, 0)

    def make(self, settings: str = "", environ: dict[str, str] | None = None) -> RegistryService:
        """A service that listens on a free port, with further lines of configuration."""
        top = f"data_dir = {str(self.data)!r}\nlisten = ['tcp:0:interface=127.0.0.1']\n"
        config = logging_to(self.data.parent, read_config(top + settings))
        service = make_registry_service(config, self.reactor, environ)
        self.addCleanup(service.stopService)
        return service

    async def start(self, settings: str = "") -> RegistryService:
        """A service that has started."""
        service = self.make(settings)
        service.startService()
        await service.when_started()
        return service

    def port(self, service: RegistryService, number: int = 0) -> int:
        """The number of a port on which the service listens."""
        address = service.addresses[number]
        assert isinstance(address, IPv4Address)
        return address.port

    async def ask(self, service: RegistryService, path: str, method: str = "GET", **more: Any) -> tuple[int, bytes]:
        """Status and body of an answer."""
        url = f"http://127.0.0.1:{self.port(service)}{path}"
        response = await self.client.request(method, url, **more)
        return response.code, await response.content()

    async def connect(self, service: RegistryService) -> RawClient:
        """A connection of its own."""
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.port(service))
        client: RawClient = await connectProtocol(endpoint, RawClient())
        return client


class LifeTests(ServiceTestCase):
    """Start and stop."""

    async def test_restart(self) -> None:
        """A service that was stopped can be started again, and has what it had."""
        service = await self.start()
        self.assertEqual(200, (await self.ask(service, "/v1/repositories/demo/x/", "PUT", data=b"[]"))[0])
        await service.stopService()
        self.assertEqual([], service.addresses)
        service.startService()
        await service.when_started()
        self.assertEqual((200, b"[]"), await self.ask(service, "/v1/repositories/demo/x/images"))

    async def test_failure(self) -> None:
        """Who waits for a start that fails is told why, and nothing stays open."""
        await self.turn()
        self.data.write_text("")
        service = self.make()
        service.startService()
        with self.assertRaises(StartFailed):
            await service.when_started()
        self.assertEqual([], service.addresses)

    async def test_refused_port(self) -> None:
        """A port that others could push through fails the start, and closes the ports before it."""
        await self.turn()
        settings = f"data_dir = {str(self.data)!r}\nlisten = ['tcp:0:interface=127.0.0.1', 'tcp:0']\n"
        service = make_registry_service(read_config(settings), self.reactor)
        self.addCleanup(service.stopService)
        service.startService()
        with self.assertRaises(StartFailed) as caught:
            await service.when_started()
        self.assertIn("everybody may push", str(caught.exception))
        self.assertEqual([], service.addresses)

    async def test_policies(self) -> None:
        """Other addresses are served once not everybody may push, or when that is meant."""
        for settings in (
            "allow_unauthenticated = true\n",
            "[auth]\nanonymous = 'pull'\n",
            "[auth]\nanonymous = 'none'\n",
            "[auth]\nauthorizer = 'tests.integration.thirdparty.OnlyAnna'\n",
            "role = 'registry'\n[index]\nurl = 'http://127.0.0.1:1'\n",
        ):
            top = f"data_dir = {str(self.data)!r}\nlisten = ['tcp:0']\n"
            service = make_registry_service(read_config(top + settings), self.reactor)
            service.startService()
            await service.when_started()
            self.assertEqual("0.0.0.0", service.addresses[0].host)  # type: ignore[attr-defined]  # an IPv4Address
            await service.stopService()

    async def test_left_behind(self) -> None:
        """What a crash left in staging is gone once the service has started."""
        staging = self.data / "blobs" / "staging"
        staging.mkdir(parents=True)
        (staging / "left-behind").write_bytes(b"half a layer")
        await self.start()
        self.assertEqual([], list(staging.iterdir()))

    async def test_stop_at_once(self) -> None:
        """A service that is stopped while it starts tells who waits, and can be started later."""
        await self.turn()
        service = self.make()
        service.startService()
        waiting = service.when_started()
        await service.stopService()
        with self.assertRaises(StartFailed):
            await waiting
        service.startService()
        await service.when_started()

    async def test_stop_twice(self) -> None:
        """A service that is stopped by two at once closes everything before either is told, whether it serves or starts."""
        await self.turn()
        service = self.make()
        for serves in (True, False):
            service.startService()
            waiting = service.when_started()
            if serves:
                await waiting
            await gatherResults([service.stopService(), service.stopService()], consumeErrors=True)
            if not serves:
                with self.assertRaises(StartFailed):
                    await waiting
        self.assertEqual([], list((self.data / "blobs").glob("series/*")))

    async def test_stop_without_start(self) -> None:
        """Stopping what was never started is harmless, and constructing touches no disk."""
        await self.make().stopService()
        self.assertFalse(self.data.exists())

    async def _upload(self, service: RegistryService) -> RawClient:
        document = json.dumps({"id": IMAGE}).encode()
        self.assertEqual(200, (await self.ask(service, f"/v1/images/{IMAGE}/json", "PUT", data=document))[0])
        upload = await self.connect(service)
        head = f"PUT /v1/images/{IMAGE}/layer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        upload.transport.write(head.encode() + b"5\r\nhello\r\n")
        # A request on another connection is answered after the head of the upload was read.
        await self.ask(service, "/v1/_ping")
        return upload

    async def test_orderly_stop(self) -> None:
        """An upload that is under way ends well after the order to stop; a new connection is refused meanwhile."""
        service = await self.start("grace_seconds = 20\n")
        port = self.port(service)
        upload = await self._upload(service)
        idle = await self.connect(service)
        stopping = service.stopService()
        await idle.ended
        with self.assertRaises(Exception) as caught:
            await connectProtocol(TCP4ClientEndpoint(self.reactor, "127.0.0.1", port), RawClient())
        self.assertIn("refused", str(caught.exception))
        self.assertFalse(stopping.called)
        upload.transport.write(b"5\r\nworld\r\n0\r\n\r\n")
        received = await upload.ended
        self.assertEqual(b"HTTP/1.1 200 OK", received.splitlines()[0])
        await stopping

    async def test_grace_is_over(self) -> None:
        """An upload that does not end within the grace time is cut, and leaves nothing in staging."""
        service = await self.start("grace_seconds = 0.2\n")
        upload = await self._upload(service)
        await service.stopService()
        self.assertEqual(b"", await upload.ended)
        self.assertEqual([], list((self.data / "blobs" / "staging").iterdir()))


class ProviderTests(ServiceTestCase):
    """Providers of others, named by dotted path."""

    async def test_stores(self) -> None:
        """A blob store and a metadata store of others are made with their options, and used."""
        database = self.new_path()
        service = await self.start(
            "[blobs]\nprovider = 'tests.integration.thirdparty:forgetful_blobs'\n[blobs.options]\nroom = 1\n"
            "[metadata]\nprovider = 'tests.integration.thirdparty.sqlite_elsewhere'\n"
            f"[metadata.options]\nfile = {str(database)!r}\n"
        )
        self.assertEqual([("metadata", str(database)), ("blobs", 1)], thirdparty.CALLS[-2:])
        self.assertTrue(database.exists())
        document = json.dumps({"id": IMAGE}).encode()
        self.assertEqual(200, (await self.ask(service, f"/v1/images/{IMAGE}/json", "PUT", data=document))[0])
        status, _ = await self.ask(service, f"/v1/images/{IMAGE}/layer", "PUT", data=b"more than one byte")
        self.assertEqual(507, status)
        self.assertFalse((self.data / "blobs").exists())

    async def test_people(self) -> None:
        """A checker and an authorizer of others decide who may do what."""
        service = await self.start(
            "[auth]\nregistration = 'closed'\ncheckers = ['accounts', 'tests.integration.thirdparty.two_people']\n"
            "authorizer = 'tests.integration.thirdparty.OnlyAnna'\n"
        )
        path = "/v1/repositories/demo/x/"
        for name, status in (("anna", 200), ("otto", 404)):
            answer = await self.ask(service, path, "PUT", data=b"[]", auth=(name, "secret"))
            self.assertEqual(status, answer[0], name)
        self.assertEqual(401, (await self.ask(service, path, "PUT", data=b"[]"))[0])
        self.assertEqual(401, (await self.ask(service, path, "PUT", data=b"[]", auth=("anna", "wrong")))[0])

    def test_not_a_provider(self) -> None:
        """What does not provide the interface, or takes other options, is refused before anything starts."""
        for settings, key in (
            ("[blobs]\nprovider = 'tests.integration.thirdparty.not_a_blob_store'", "blobs.provider"),
            ("[blobs]\nprovider = 'tests.integration.thirdparty.forgetful_blobs'", "blobs.provider"),
            ("[blobs]\nprovider = 'tests.integration.thirdparty.IMAGE'", "blobs.provider"),
            ("[metadata]\nprovider = 'nowhere.at_all'", "metadata.provider"),
            ("[auth]\ncheckers = ['tests.integration.thirdparty.sqlite_elsewhere']", "auth.checkers"),
            ("[auth]\nauthorizer = 'tests.integration.thirdparty.two_people'", "auth.authorizer"),
        ):
            error = self.assertRaises(ConfigError, self.make, settings)
            self.assertEqual(key, error.key, settings)

    def test_old_metadata(self) -> None:
        """A metadata store that lacks what was added is refused with a sentence that says what, and what for."""
        error = self.assertRaises(
            ConfigError, self.make, "[metadata]\nprovider = 'tests.integration.thirdparty.old_metadata'"
        )
        self.assertEqual(
            "metadata.provider: tests.integration.thirdparty.old_metadata does not provide what it should: "
            "blobs.content(blob) is missing (The bytes of an object that was recorded with its content; "
            "None when the metadata does not name it, or has no bytes of it)",
            str(error),
        )

    async def test_old_blobs(self) -> None:
        """A blob store whose uploads do not take what was added does not start; nothing is left open."""
        service = self.make("[blobs]\nprovider = 'tests.integration.thirdparty.old_blobs'")
        await self.turn()
        service.startService()
        with self.assertRaises(StartFailed) as failed:
            await service.when_started()
        self.assertIn(
            "blobs.provider: tests.integration.thirdparty.old_blobs does not provide what it should: "
            "commit(expected=None, last=(), then=None, small_bytes=0) can not be called so, for it",
            str(failed.exception),
        )
        self.assertEqual([], service.addresses)


class WatchTests(ServiceTestCase):
    """Logs and figures."""

    async def test_access_log(self) -> None:
        """Each request is a line of the access log, without its query, once the service has stopped at the latest."""
        file = self.new_path()
        service = await self.start(f"[log]\naccess = {str(file)!r}\n")
        await self.ask(service, "/v1/_ping?token=secret")
        await self.ask(service, "/v1/users/", auth=("nobody", "sesame"))
        await service.stopService()
        lines = file.read_text().splitlines()
        self.assertEqual(2, len(lines))
        self.assertIn('"GET /v1/_ping" 200 4 ', lines[0])
        self.assertIn('"GET /v1/users/" 401 ', lines[1])
        for secret in ("secret", "sesame", "Basic"):
            self.assertNotIn(secret, file.read_text())

    async def test_json_log(self) -> None:
        """The structured log has events with their fields."""
        file = self.new_path()
        service = await self.start(f"[log]\njson = {str(file)!r}\n")
        port = self.port(service)
        await service.stopService()
        events = [json.loads(line) for line in file.read_text().splitlines()]
        self.assertIn(f"127.0.0.1:{port}", [event.get("address") for event in events])

    async def test_metrics_listener(self) -> None:
        """A listener of its own shows the figures to everybody, and nothing else; the main one, to administrators."""
        service = await self.start("[metrics]\nlisten = ['tcp:0:interface=127.0.0.1']\n")
        await self.ask(service, "/v1/_ping")
        url = f"http://127.0.0.1:{self.port(service, 1)}"
        text = await (await self.client.get(f"{url}/metrics")).text()
        self.assertIn('dockreg_requests_total{door="v1",method="GET",status="2xx"} 1.0', text)
        self.assertIn("dockreg_open_connections 0.0", text)
        self.assertEqual(200, (await self.client.get(f"{url}/readyz")).code)
        self.assertEqual(404, (await self.client.get(f"{url}/v1/_ping")).code)
        self.assertEqual(401, (await self.ask(service, "/metrics"))[0])

    async def test_metrics_elsewhere(self) -> None:
        """The listener of the figures may be reached from elsewhere, for nobody can push there."""
        service = await self.start("[metrics]\nlisten = ['tcp:0']\n")
        self.assertEqual("0.0.0.0", service.addresses[1].host)  # type: ignore[attr-defined]  # an IPv4Address

    async def test_uploads_are_seen(self) -> None:
        """An upload that is under way is among the requests that are half read."""
        service = await self.start("[metrics]\nlisten = ['tcp:0:interface=127.0.0.1']\n")
        upload = await self.connect(service)
        upload.transport.write(b"PUT /v1/users/ HTTP/1.1\r\nHost: x\r\n")
        url = f"http://127.0.0.1:{self.port(service, 1)}/metrics"
        await self.ask(service, "/v1/_ping")
        text = await (await self.client.get(url)).text()
        self.assertIn("dockreg_half_read_requests 1.0", text)
        upload.transport.loseConnection()
        await upload.ended
