"""The registry role asks an index over a real socket: :mod:`dockreg.providers.auth.index`."""

from typing import cast

from twisted.internet import reactor as global_reactor  # trial runs this one
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IAddress, IListeningPort, IReactorTCP, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool

from dockreg.errors import IndexUnavailable, Unauthorized
from dockreg.model.names import RepositoryName
from dockreg.model.v1 import ImageID
from dockreg.providers.auth.index import RemoteIndex

IMAGE = ImageID("1" * 64)
TOKEN = 'signature=opaque,repository="demo/app",access=write'
LIST = b'[{"id":"' + b"1" * 64 + b'"}]'


def number_of(port: IListeningPort) -> int:
    return cast("IPv4Address", port.getHost()).port


def answer(status: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers, b"", body]
    return b"\r\n".join(lines)


class Conversation(Protocol):
    """One connection to the index of the test."""

    def __init__(self, index: "Index") -> None:
        self._index = index
        self._received = b""
        self.lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(b"\r\n\r\n"):
            return
        self._index.requests.append(self._received)
        self._received = b""
        assert self.transport is not None
        self.transport.write(self._index.says)
        if self._index.hangs_up:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class Index(Factory):
    """Says one thing to every request, byte for byte, and remembers the requests."""

    def __init__(self, says: bytes, *, hangs_up: bool = False) -> None:
        self.says = says
        self.hangs_up = hangs_up
        self.requests: list[bytes] = []
        # A registry that gives up before it is connected leaves nothing to be closed; one that is in time may ask again.
        self._conversations: list[Conversation] = []

    @property
    def lost(self) -> "Deferred[list[None]]":
        """All connections are closed."""
        return gatherResults([each.lost for each in self._conversations])

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        self._conversations.append(Conversation(self))
        return self._conversations[-1]


class RemoteIndexTests(TestCase):
    async def listen(self, index: Index) -> IListeningPort:
        """A port of this machine where ``index`` answers."""
        endpoint = TCP4ServerEndpoint(IReactorTCP(global_reactor), 0, interface="127.0.0.1")
        port: IListeningPort = await endpoint.listen(index)
        self.addCleanup(port.stopListening)
        return port

    def registry(self, port: IListeningPort, timeout_seconds: float = 30, max_body_bytes: int = 100_000) -> RemoteIndex:
        """A registry that asks the index behind ``port``."""
        reactor = IReactorTCP(global_reactor)
        return RemoteIndex(
            f"http://127.0.0.1:{cast('IPv4Address', port.getHost()).port}",
            Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False)),
            IReactorTime(global_reactor),
            timeout_seconds=timeout_seconds,
            max_body_bytes=max_body_bytes,
        )

    async def connect(self, index: Index) -> RemoteIndex:
        return self.registry(await self.listen(index))

    async def assert_unavailable(self, index: Index, timeout_seconds: float = 30) -> None:
        """The index is given up, and the connection to it is closed."""
        remote = self.registry(await self.listen(index), timeout_seconds)
        await self.assertFailure(Deferred.fromCoroutine(remote.redeem(TOKEN)), IndexUnavailable)
        await index.lost

    async def test_accepted(self) -> None:
        """A token that the index accepts is redeemed, and its list answers what may be pushed."""
        index = Index(answer(b"200 OK", LIST, b"Content-Type: application/json"))
        remote = await self.connect(index)
        bearer = await remote.redeem(TOKEN)
        self.assertTrue(await remote.allows(bearer, RepositoryName("demo/app"), IMAGE))
        self.assertFalse(await remote.allows(bearer, RepositoryName("demo/app"), ImageID("2" * 64)))
        await index.lost
        self.assertEqual(2, len(index.requests))
        line, *headers = index.requests[0].split(b"\r\n")
        self.assertEqual(b"GET /v1/repositories/demo/app/images HTTP/1.1", line)
        self.assertIn(b"Authorization: Token " + TOKEN.encode(), headers)

    async def test_chunked(self) -> None:
        """A list that comes in chunks is a list."""
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (LIST[:10], LIST[10:])) + b"0\r\n\r\n"
        index = Index(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        remote = await self.connect(index)
        self.assertTrue(await remote.allows(await remote.redeem(TOKEN), RepositoryName("demo/app"), IMAGE))
        await index.lost

    async def test_refused(self) -> None:
        """A token that the index refuses is refused."""
        for status in (b"401 Unauthorized", b"403 Forbidden", b"404 Not Found"):
            index = Index(answer(status, b'{"error": "no"}'))
            remote = await self.connect(index)
            await self.assertFailure(Deferred.fromCoroutine(remote.redeem(TOKEN)), Unauthorized)
            await index.lost

    async def test_redirect(self) -> None:
        """A redirect is not followed: the token goes to the index and nowhere else."""
        other = Index(answer(b"200 OK", LIST))
        location = b"Location: http://127.0.0.1:%d/" % number_of(await self.listen(other))
        for status in (b"301 Moved Permanently", b"302 Found", b"307 Temporary Redirect", b"308 Permanent Redirect"):
            await self.assert_unavailable(Index(answer(status, b"", location)))
        self.assertEqual([], other.requests)

    async def test_silent(self) -> None:
        """An index that says nothing, or stops half way, is given up after the time that it has."""
        for said in (b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[", b"HTTP/1.1 401 No\r\nContent-Length: 9\r\n\r\n"):  # fmt: skip
            await self.assert_unavailable(Index(said), timeout_seconds=0.5)

    async def test_cut(self) -> None:
        """An answer that is cut, or is no HTTP, is none."""
        for said in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + LIST[:40], b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n"):  # fmt: skip
            await self.assert_unavailable(Index(said, hangs_up=True))

    async def test_endless(self) -> None:
        """An answer without end is cut at the limit, announced or not."""
        spaces = b" " * 200_000
        await self.assert_unavailable(Index(answer(b"200 OK", spaces)))
        await self.assert_unavailable(Index(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n30d40\r\n" + spaces))
        await self.assert_unavailable(Index(b"HTTP/1.1 200 OK\r\n\r\n" + spaces))

    async def test_nobody_listens(self) -> None:
        """An index that is not there is unavailable."""
        port = await self.listen(Index(b""))
        remote = self.registry(port)
        await maybeDeferred(port.stopListening)
        await self.assertFailure(Deferred.fromCoroutine(remote.redeem(TOKEN)), IndexUnavailable)
