"""A registry inside somebody else's site."""

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.cred.checkers import ICredentialsChecker, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IUsernamePassword
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import directlyProvides

from dockreg.config import Config, ConfigError, read_config
from dockreg.service import registry_resource
from tests.integration.test_service import IMAGE, RawClient, make_client

MIB = 1024 * 1024


class _NoChecker:
    """Says that it is a checker."""

    credentialInterfaces = (IUsernamePassword,)


class EmbeddingTests(TestCase):
    """:func:`dockreg.service.registry_resource`."""

    def setUp(self) -> None:
        """An application that has not started, and its folder."""
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.client = make_client(reactor)
        self.parent = MultiService()
        self.data = Path(self.mktemp()).absolute()
        self.port: Any = None

    def make(self, *arguments: Any, settings: str = "", **more: Any) -> Any:
        """A registry's resource."""
        config = read_config(f"data_dir = {str(self.data)!r}\n{settings}")
        return registry_resource(config, self.reactor, self.parent, *arguments, **more)

    def serve(self, root: Any) -> None:
        """Serve ``root`` with the site of Twisted."""
        self.port = self.reactor.listenTCP(0, Site(root), interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)

    def mount(self, registry: Any, root: Resource | None = None) -> Resource:
        """Below a root with a page of its own, as the documentation says."""
        root = root if root is not None else Resource()
        for segment in (b"v1", b"v2", b"_ping", b"_status"):
            root.putChild(segment, registry)
        return root

    async def start(self) -> None:
        """Start the application."""
        await deferLater(self.reactor, 0)
        self.addCleanup(self.parent.stopService)
        self.parent.startService()
        (registry,) = list(self.parent)
        await registry.when_started()

    async def ask(self, path: str, method: str = "GET", **more: Any) -> tuple[int, bytes]:
        """Status and body of an answer."""
        url = f"http://127.0.0.1:{self.port.getHost().port}{path}"
        response = await self.client.request(method, url, **more)
        return response.code, await response.content()

    async def push(self, layer: bytes) -> None:
        """Send the json and the layer of an image."""
        document = json.dumps({"id": IMAGE}).encode()
        self.assertEqual((200, b"true"), await self.ask(f"/v1/images/{IMAGE}/json", "PUT", data=document))
        self.assertEqual((200, b"true"), await self.ask(f"/v1/images/{IMAGE}/layer", "PUT", data=layer))

    async def test_mounted(self) -> None:
        """Below a root, the registry takes a push of some size; the paths beside it are the application's."""
        self.serve(self.mount(self.make(allow_anonymous=True)))
        await self.start()
        await self.push(b"x" * 3 * MIB)
        self.assertEqual((200, b"true"), await self.ask("/_ping"))
        self.assertEqual(200, (await self.ask("/_status"))[0])
        self.assertEqual((200, b"{}"), await self.ask("/v2/"))
        self.assertEqual(404, (await self.ask("/metrics"))[0])

    async def test_root(self) -> None:
        """The same resource serves as the root of a site."""
        self.serve(self.make(allow_anonymous=True))
        await self.start()
        await self.push(b"layer")
        self.assertEqual((200, b"true"), await self.ask("/v1/_ping"))

    async def test_closed(self) -> None:
        """Before the application's service runs and after it has stopped, the answer is 503 and the disk is left alone."""
        self.serve(self.mount(self.make(allow_anonymous=True)))
        status, body = await self.ask("/v1/_ping")
        self.assertEqual((503, {"error": "the registry is starting"}), (status, json.loads(body)))
        self.assertFalse(self.data.exists())
        await self.start()
        self.assertEqual(200, (await self.ask("/v1/_ping"))[0])
        await self.parent.stopService()
        status, body = await self.ask("/v1/_ping")
        self.assertEqual((503, {"error": "the registry is stopping"}), (status, json.loads(body)))

    async def test_threads(self) -> None:
        """With the application's service all threads end that the registry has started, those for digests too."""
        before = set(threading.enumerate())
        self.serve(self.mount(self.make(allow_anonymous=True)))
        await self.start()
        await self.push(b"x" * 3 * MIB)
        # The reactor's own are for looking up names, and the application's.
        new = set(threading.enumerate()) - before
        started = {thread for thread in new if not thread.name.startswith("PoolThread-twisted")}
        self.assertTrue(any(thread.name.startswith("dockreg digests") for thread in started), started)
        await self.parent.stopService()
        self.assertEqual([], [thread for thread in started if thread.is_alive()])

    async def test_tokens(self) -> None:
        """A site of Twisted, which reads bodies before they are asked for, has the token service like any other."""
        people = InMemoryUsernamePasswordDatabaseDontUse(anna=b"secret")
        self.serve(self.mount(self.make(people)))
        await self.start()
        form = {
            "grant_type": "password",
            "username": "anna",
            "password": "secret",
            "scope": "repository:anna/app:pull,push",
        }
        status, body = await self.ask("/v2/token", "POST", data=form)
        self.assertEqual(200, status, body)
        document = json.loads(body)
        self.assertEqual("repository:anna/app:pull,push", document["scope"])
        bearer = {"Authorization": f"Bearer {document['token']}"}
        self.assertEqual(202, (await self.ask("/v2/anna/app/blobs/uploads/", "POST", headers=bearer))[0])
        self.assertEqual(401, (await self.ask("/v2/anna/app/blobs/uploads/", "POST"))[0])
        self.assertEqual(200, (await self.ask("/v2/token", auth=("anna", "secret")))[0])
        self.assertEqual(401, (await self.ask("/v2/token", auth=("anna", "wrong")))[0])

    async def test_orderly_stop(self) -> None:
        """A request whose answer is on its way is waited for, and cut off after the grace time."""
        self.serve(self.mount(self.make(settings="grace_seconds = 0.3\n", allow_anonymous=True)))
        await self.start()
        layer = b"y" * 20 * MIB
        await self.push(layer)
        value = "tarsum+sha256:" + "0" * 64
        status, body = await self.ask(
            f"/v1/images/{IMAGE}/checksum",
            "PUT",
            headers={"X-Docker-Checksum-Payload": _payload(layer), "X-Docker-Checksum": value},
        )
        self.assertEqual((200, b"true"), (status, body))
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.port.getHost().port)
        reader: RawClient = await connectProtocol(endpoint, RawClient())
        reader.transport.write(f"GET /v1/images/{IMAGE}/layer HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        while not reader.received:
            await deferLater(self.reactor, 0.01)
        reader.transport.pauseProducing()  # type: ignore[attr-defined]  # a TCP connection can
        await self.parent.stopService()
        reader.transport.resumeProducing()  # type: ignore[attr-defined]  # as above
        self.assertLess(len(await reader.ended), len(layer))

    async def test_people(self) -> None:
        """With a checker of the application its people may push, and nobody without a name may do anything."""
        people = InMemoryUsernamePasswordDatabaseDontUse(anna=b"secret")
        self.serve(self.mount(self.make(people)))
        await self.start()
        path = "/v1/repositories/demo/x/"
        self.assertEqual(401, (await self.ask(path, "PUT", data=b"[]"))[0])
        self.assertEqual(401, (await self.ask(path, "PUT", data=b"[]", auth=("anna", "wrong")))[0])
        self.assertEqual(200, (await self.ask(path, "PUT", data=b"[]", auth=("anna", "secret")))[0])

    async def test_two_registries(self) -> None:
        """Two registries in one process share nothing."""
        self.serve(self.mount(self.make(allow_anonymous=True)))
        await self.start()
        await self.ask("/v1/repositories/demo/x/", "PUT", data=b"[]")
        await self.parent.stopService()
        self.parent = MultiService()
        self.data = Path(self.mktemp()).absolute()
        self.serve(self.mount(self.make(allow_anonymous=True)))
        await self.start()
        self.assertEqual(404, (await self.ask("/v1/repositories/demo/x/images"))[0])

    def test_lacks_something(self) -> None:
        """What is handed in and lacks a method is refused, and it is said which one."""
        no_checker = _NoChecker()
        directlyProvides(no_checker, ICredentialsChecker)
        for arguments, more, expected in (
            ([no_checker], {}, r"^authenticator: _NoChecker .*: requestAvatarId\(credentials\) is missing \("),
            ([object()], {}, r"^authenticator: object .*redeem\(token\) is missing \(The bearer of a v1 token"),
            ([], {"audit": object(), "allow_anonymous": True}, r"^audit: object .*: record\(event\) is missing \("),
        ):
            error = self.assertRaises(ConfigError, self.make, *arguments, **more)
            self.assertRegex(str(error), expected)
        self.assertEqual([], list(self.parent))

    def test_nobody_decided(self) -> None:
        """A registry through which everybody could push is refused until somebody says that this is meant."""
        error = self.assertRaises(ValueError, registry_resource, Config(), self.reactor, self.parent)
        self.assertIn("allow_anonymous=True", str(error))
        self.assertEqual([], list(self.parent))
        for settings in ("[auth]\nanonymous = 'pull'", "[auth]\nanonymous = 'none'"):
            self.make(settings=settings)


def _payload(layer: bytes) -> str:
    document = json.dumps({"id": IMAGE}).encode()
    return "sha256:" + hashlib.sha256(document + b"\n" + layer).hexdigest()
