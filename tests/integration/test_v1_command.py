"""``dockreg v1 push`` and ``pull`` against a running registry."""

import json
import tarfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from dockreg.cli.archives import open_archive
from dockreg.cli.failures import CommandFailed, Refused
from dockreg.cli.progress import Meter
from dockreg.cli.v1 import Asked, pull_archive, push_archive
from dockreg.cli.v1pull import Pulled
from dockreg.cli.v1push import Pushed
from dockreg.cli.v1session import Credentials, Target
from dockreg.testing.samples import bytes_of, layered_image, make_image, make_tar
from tests.integration.daemon import RunningRegistry, deactivate, start_registry
from tests.integration.relay import Relay, start_relay
from tests.unit.cli.saved import blob_path, image_config, layout_members, two_layers, v1_members, write_tar

BIG = make_image("big", layer=make_tar({"data": bytes_of("data", 3_000_000)}))
CLOSED = '[auth]\nanonymous = "none"\n'
ALICE = Credentials("alice", "secret")


class Notes:
    """Keeps what a person would be told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.restarts = 0

    def say(self, line: str) -> None:
        self.lines.append(line)

    def meter(self, label: str, size: int | None) -> Meter:
        return self

    def advance(self, size: int) -> None: ...

    def restart(self) -> None:
        self.restarts += 1


class V1CommandTests(TestCase):
    """What goes through the registry comes back the same; what goes wrong is told in a sentence."""

    timeout = 60

    async def start(self, settings: str = "", *, tls: bool = False) -> RunningRegistry:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.notes = Notes()
        self.registry = await start_registry(self, tls=tls, settings=settings)
        return self.registry

    def asked(self, name: str, path: Path, login: Credentials | None = None, **changes: Any) -> Asked:
        url = f"{self.registry.url}/{name}" if "://" not in name else name
        options = {"authorities": None, "insecure": False, "quiet": False, "all_tags": False, "as_json": False}
        return Asked(path, Target.parse(url), login, **{**options, **changes})

    async def push(self, path: Path, name: str, login: Credentials | None = None, **changes: Any) -> Pushed:
        from twisted.internet import reactor

        return await push_archive(reactor, self.asked(name, path, login, **changes), None, self.notes, 0.01)

    async def pull(self, name: str, login: Credentials | None = None, **changes: Any) -> Path:
        path = self.folder / "pulled.tar"
        self.pulled = await self.pull_to(path, name, login, **changes)
        return path

    async def pull_to(self, path: Path, name: str, login: Credentials | None, **changes: Any) -> Pulled:
        from twisted.internet import reactor

        return await pull_archive(reactor, self.asked(name, path, login, **changes), "demo/app", self.notes, 0.01)

    def sample(self) -> Path:
        """An archive of the sample image."""
        images = layered_image()
        return write_tar(self.folder / "sample.tar", v1_members(images, {"demo/app": {"1.0": images[-1].id}}))

    def big(self) -> Path:
        """An archive of an image whose layer does not fit into the buffers between client and registry."""
        return write_tar(self.folder / "big.tar", v1_members([BIG]))

    def content(self, path: Path) -> list[tuple[bytes, bytes]]:
        """The json and the uncompressed layer of each image, base first."""
        archive = open_archive(path)
        try:
            (chain,) = archive.chains
            return [
                (image.json, archive.read(image.layer, 0, image.layer.size))
                for image in chain.images
                if image.layer is not None
            ]
        finally:
            archive.close()

    async def assert_fails(self, work: Any, *sentences: str) -> CommandFailed:
        """The command ends with an error that has all ``sentences`` in it."""
        try:
            await work
        except CommandFailed as error:
            for sentence in sentences:
                self.assertIn(sentence, error.message)
            return error
        raise self.failureException("the command did not fail")

    async def test_there_and_back(self) -> None:
        """An image comes back byte for byte; pushed again, nothing is sent."""
        await self.start()
        first = await self.push(self.sample(), "demo/app:1.0")
        images = [image.id for image in layered_image()]
        self.assertEqual((images, []), (list(first.pushed), list(first.present)))
        path = await self.pull("demo/app:1.0")
        self.assertEqual(self.content(self.sample()), self.content(path))
        self.assertEqual(first.sent, self.pulled.received)
        relay = Relay(self.registry.port)
        port = await start_relay(self, relay)
        again = await self.push(path, f"http://127.0.0.1:{port}/demo/app:1.0")
        self.assertEqual(([], images, 0), (list(again.pushed), list(again.present), again.sent))
        self.assertFalse([path for method, path, _ in relay.requests if method == "PUT" and "/images/" in path])

    async def test_over_https(self) -> None:
        """Over https the registry's certificate is verified, unless that is not wanted."""
        await self.start(tls=True)
        with self.subTest("not trusted"):
            await self.assert_fails(self.push(self.sample(), "demo/app"), "--cacert")
        await self.push(self.sample(), "demo/app", insecure=True)
        authority = self.registry.config.data_dir.parent / "server.pem"
        path = await self.pull("demo/app", authorities=authority)
        self.assertEqual(self.content(self.sample()), self.content(path))

    async def test_derived_image(self) -> None:
        """An archive of today is pushed under ids made from its content, and comes back with the same layers."""
        await self.start()
        config = image_config(two_layers(), config={"Cmd": ["/bin/sh"]})
        entry = {"Config": blob_path(config), "RepoTags": ["a:b"], "Layers": [blob_path(each) for each in two_layers()]}
        members = {**layout_members(config, two_layers()), "manifest.json": json.dumps([entry]).encode()}
        path = write_tar(self.folder / "layout.tar", members)
        self.assertEqual(2, len((await self.push(path, "demo/app")).pushed))
        self.assertEqual(self.content(path), self.content(await self.pull("demo/app")))

    async def test_all_tags(self) -> None:
        """All tags of an archive go, and all tags of a repository come, each image once."""
        await self.start()
        base, middle, top = layered_image()
        names = {"demo/app": {"1": base.id, "2": top.id, "latest": top.id}}
        path = write_tar(self.folder / "tags.tar", v1_members((base, middle, top), names))
        self.assertEqual(3, len((await self.push(path, "demo/app", all_tags=True)).pushed))
        pulled = await self.pull("demo/app", all_tags=True)
        self.assertEqual(names["demo/app"], dict(self.pulled.tags))
        self.assertEqual(3, len(self.pulled.images))
        with tarfile.open(pulled) as archive:
            repositories = archive.extractfile("repositories")
            assert repositories is not None
            self.assertEqual(names, json.load(repositories))

    async def test_login(self) -> None:
        """Where anonymous may do nothing, an account that is active may, with its password only."""
        await self.start(CLOSED)
        await self.register()
        await self.assert_fails(self.push(self.sample(), "demo/app"), "HTTP 401", "--user")
        await self.assert_fails(self.push(self.sample(), "demo/app", Credentials("alice", "wrong!")), "HTTP 401")
        await self.push(self.sample(), "demo/app", ALICE)
        await self.assert_fails(self.pull("demo/app"), "HTTP 401", "--user")
        self.assertEqual(self.content(self.sample()), self.content(await self.pull("demo/app", ALICE)))
        await deactivate(self.registry, "alice")
        await self.assert_fails(self.pull("demo/app", ALICE), "HTTP 403", "Account is not Active")

    async def register(self) -> None:
        """Make the account of :data:`ALICE` as engines do."""
        from treq import post

        body = {"username": ALICE.name, "password": ALICE.password, "email": "", "auth": ""}
        response = await post(f"{self.registry.url}/v1/users/", json=body, persistent=False)
        self.assertEqual(201, response.code)
        await response.content()

    async def test_unknown(self) -> None:
        """A repository or a tag that is not there is told; no archive is left behind."""
        await self.start()
        await self.assert_fails(self.pull("demo/none"), "no repository demo/none")
        await self.push(self.sample(), "demo/app:1.0")
        await self.assert_fails(self.pull("demo/app"), "no tag latest", "1.0")
        self.assertEqual(["sample.tar"], [path.name for path in self.folder.iterdir()])

    async def test_nobody_there(self) -> None:
        """A registry that is not there is told."""
        await self.start()
        await self.assert_fails(self.pull("http://127.0.0.1:1/demo/app"), "can not be reached")

    async def test_pull_resumes(self) -> None:
        """A pull whose connection breaks goes on where it was, and brings the same bytes."""
        await self.start()
        await self.push(self.big(), "demo/big")
        cuts = [300_000, 1_000_000, 50_000]

        def down(path: str, count: int) -> bool:
            if path.endswith("/layer") and cuts and count > cuts[0]:
                cuts.pop(0)
                return True
            return False

        relay = Relay(self.registry.port, down=down)
        port = await start_relay(self, relay)
        path = await self.pull(f"http://127.0.0.1:{port}/demo/big")
        # The endpoint that the registry names is the host that it was asked at, and so the relay.
        ranges = [headers for _, path, headers in relay.requests if path.endswith("/layer")]
        self.assertEqual([False, True, True, True], ["Range: bytes=" in headers for headers in ranges])
        self.assertEqual(self.content(self.big()), self.content(path))

    async def test_pull_begins_again(self) -> None:
        """Where the registry can not go on in the middle, a layer is asked for from its first byte."""
        await self.start()
        await self.push(self.big(), "demo/big")
        cuts = [300_000]

        def down(path: str, count: int) -> bool:
            return path.endswith("/layer") and bool(cuts) and count > cuts[0] and cuts.pop() > 0

        relay = Relay(self.registry.port, down=down)
        relay.edit = lambda data: data.replace(b"Accept-Ranges: bytes", b"Accept-Ranges: never")
        port = await start_relay(self, relay)
        path = await self.pull(f"http://127.0.0.1:{port}/demo/big")
        ranges = [headers for _, path, headers in relay.requests if path.endswith("/layer")]
        self.assertEqual([False, False], ["Range: bytes=" in headers for headers in ranges])
        self.assertEqual(self.content(self.big()), self.content(path))
        self.assertEqual(1, self.notes.restarts)

    async def test_pull_gives_up(self) -> None:
        """A pull that brings nothing more ends, and leaves nothing behind."""
        await self.start()
        await self.push(self.big(), "demo/big")
        relay = Relay(self.registry.port, down=lambda path, _: path.endswith("/layer"))
        port = await start_relay(self, relay)
        relay.down = lambda path, count: path.endswith("/layer") and count > 100
        await self.assert_fails(self.pull(f"http://127.0.0.1:{port}/demo/big"), "broke")
        self.assertEqual(["big.tar"], [path.name for path in self.folder.iterdir()])

    async def test_push_begins_again(self) -> None:
        """A layer whose connection breaks is begun again from its json, and arrives."""
        await self.start()
        cuts = [200_000, 1_000_000]

        def up(path: str, count: int) -> bool:
            if path.endswith("/layer") and cuts and count > cuts[0]:
                cuts.pop(0)
                return True
            return False

        relay = Relay(self.registry.port, up=up)
        port = await start_relay(self, relay)
        done = await self.push(self.big(), f"http://127.0.0.1:{port}/demo/big")
        self.assertEqual([BIG.id], list(done.pushed))
        asked = [f"{method} {path.rpartition('/')[2]}" for method, path, _ in relay.requests]
        self.assertEqual((3, 3, 1), tuple(asked.count(each) for each in ("PUT json", "PUT layer", "PUT checksum")))
        self.assertEqual(2, self.notes.restarts)
        self.assertEqual(self.content(self.big()), self.content(await self.pull("demo/big")))

    async def test_push_gives_up(self) -> None:
        """A layer that does not arrive in four attempts ends the push."""
        await self.start()
        relay = Relay(self.registry.port, up=lambda path, count: path.endswith("/layer") and count > 100_000)
        port = await start_relay(self, relay)
        await self.assert_fails(self.push(self.big(), f"http://127.0.0.1:{port}/demo/big"), "broke")
        self.assertEqual(4, sum(path.endswith("/layer") for _, path, _ in relay.requests))

    async def test_lost_acknowledgement(self) -> None:
        """An image that was stored while the answer to its checksum was lost counts as pushed."""
        await self.start()
        cuts = [0]

        def down(path: str, count: int) -> bool:
            return path.endswith("/checksum") and bool(cuts) and cuts.pop() == 0

        relay = Relay(self.registry.port)
        port = await start_relay(self, relay)
        relay.down = down
        image = make_image("small")
        path = write_tar(self.folder / "small.tar", v1_members([image]))
        done = await self.push(path, f"http://127.0.0.1:{port}/demo/small")
        self.assertEqual([image.id], list(done.pushed))
        asked = [f"{method} {path.rpartition('/')[2]}" for method, path, _ in relay.requests]
        self.assertEqual((2, 1), (asked.count("PUT json"), asked.count("PUT checksum")))

    async def test_too_large(self) -> None:
        """A layer that the registry refuses for its size is not tried again, and the registry's sentence is told."""
        await self.start("[v1]\nmax_layer_bytes = 100000\n")
        error = await self.assert_fails(self.push(self.big(), "demo/big"), "the layer was refused", "HTTP 413")
        self.assertIsInstance(error, Refused)
        self.assertEqual(0, self.notes.restarts)

    async def test_refused_before_the_end(self) -> None:
        """A registry that answers and reads no further is heard, however much of the layer is still to go."""
        await self.start()
        fake = Deaf()
        port = await self.serve(fake)
        # More than the buffers of both sockets hold.
        huge = make_image("huge", layer=make_tar({"data": bytes_of("data", 30_000_000)}))
        path = write_tar(self.folder / "huge.tar", v1_members([huge]))
        work = self.push(path, f"http://127.0.0.1:{port}/demo/huge")
        await self.assert_fails(work, "no room at all", "HTTP 507")
        # Bytes that are not read hide the end of a connection.
        fake.read_on()
        await fake.gone

    async def serve(self, factory: Factory) -> int:
        from twisted.internet import reactor

        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        number = port.getHost().port
        assert isinstance(number, int)
        return number

    async def test_other_json(self) -> None:
        """An image that is there with another json is not sent, and that is told."""
        await self.start()
        image = make_image("one")
        await self.push(write_tar(self.folder / "a.tar", v1_members([image])), "demo/app")
        other = type(image)(image.id, image.json.replace(b'"Size":0', b'"Size":1'), image.layer)
        self.assertNotEqual(image.json, other.json)
        await self.push(write_tar(self.folder / "b.tar", v1_members([other])), "demo/app")
        self.assertTrue(any("another json" in line for line in self.notes.lines))


class _DeafConnection(Protocol):
    """Knows one push, and refuses its layer without reading it."""

    factory: "Deaf"

    def dataReceived(self, data: bytes) -> None:
        if self.factory.lost is self:
            return
        method, path = (part.decode() for part in data.split(b" ", 2)[:2])
        if path.endswith("/layer"):
            assert self.transport is not None
            self.transport.pauseProducing()  # type: ignore[attr-defined]  # every TCP transport has it
            self.factory.lost = self
            self.answer(507, b'{"error": "no room at all"}', close=False)
        elif path == "/v1/_ping":
            self.answer(200, b"true", b"X-Docker-Registry-Version: 1\r\n")
        elif method == "GET":
            self.answer(404, b"{}")
        elif data.endswith((b"]", b"}")):
            self.answer(200, b"true")

    def answer(self, status: int, body: bytes, headers: bytes = b"", *, close: bool = True) -> None:
        from twisted.internet import reactor

        transport: Any = self.transport
        clock: Any = reactor
        transport.write(
            b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n" % (status, len(body), headers)
        )
        if close:
            transport.write(body)
            transport.loseConnection()
        else:
            # The body comes apart from the head, as it may.
            clock.callLater(0.1, transport.write, body)

    def connectionLost(self, reason: object = None) -> None:
        if self.factory.lost is self:
            self.factory.gone.callback(None)


class Deaf(Factory):
    """Makes connections that refuse layers."""

    noisy = False

    def __init__(self) -> None:
        self.gone: Deferred[None] = Deferred()
        self.lost: _DeafConnection | None = None

    def read_on(self) -> None:
        """Read what was left unread."""
        assert self.lost is not None
        assert self.lost.transport is not None
        self.lost.transport.resumeProducing()  # type: ignore[attr-defined]  # every TCP transport has it

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        connection = _DeafConnection()
        connection.factory = self
        return connection
