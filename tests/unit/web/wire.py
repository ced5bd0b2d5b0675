"""A connection in memory: our site, a transport that remembers, and a clock."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from klein import Klein
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request as StockRequest

from dockreg.callables import Piece
from dockreg.web.bodies import BodyCut
from dockreg.web.channel import Channel
from dockreg.web.limits import Limits
from dockreg.web.proxies import Proxies
from dockreg.web.records import RequestRecord
from dockreg.web.requests import Request
from dockreg.web.site import Site

Handler = Callable[[Request], Awaitable[bytes | None]]


class Transport(StringTransport):
    """Remembers how it was closed, and tells the channel when it was cut off."""

    def __init__(self, host: str = "192.0.2.1") -> None:
        super().__init__(peerAddress=IPv4Address("TCP", host, 1024))
        #: What a socket has not taken yet, as Twisted's own transports keep it.
        self.dataBuffer = b""
        #: What is read at once.
        self.bufferSize = 0
        self.offset = 0
        self.half_closed = False
        self.aborted = False
        self.protocol: Channel | None = None

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        self.aborted = True
        if self.protocol is not None:
            protocol, self.protocol = self.protocol, None
            protocol.connectionLost(Failure(ConnectionAborted()))

    @property
    def reading(self) -> bool:
        """Whether the channel wants bytes."""
        return self.producerState == "producing"


class Server:
    """A site whose one handler a test gives."""

    def __init__(self, handler: Handler, limits: Limits | None = None, proxies: Proxies | None = None) -> None:
        self.clock = Clock()
        self.records: list[RequestRecord] = []
        app = Klein()

        def handle(request: StockRequest, **_: Any) -> Any:
            return handler(request)  # type: ignore[arg-type]

        methods = ["GET", "HEAD", "PUT", "POST"]
        app.route("/", methods=methods, branch=True)(handle)
        self.site = Site(app.resource(), self.clock, limits, self.records.append, proxies)

    def connect(self, host: str = "192.0.2.1") -> tuple[Channel, Transport]:
        """A new connection from ``host``."""
        channel = self.site.buildProtocol(IPv4Address("TCP", host, 1024))
        assert channel is not None
        transport = Transport(host)
        transport.protocol = channel
        channel.makeConnection(transport)
        return channel, transport

    def pass_time(self, seconds: float) -> None:
        """Let time pass as a reactor would, sweep by sweep."""
        whole, rest = divmod(seconds, 1)
        for _ in range(int(whole)):
            self.clock.advance(1)
        self.clock.advance(rest)


def leave(channel: Channel) -> None:
    """The client closes the connection."""
    channel.connectionLost(Failure(ConnectionDone()))


def head(line: str, *headers: str) -> bytes:
    """A request's first line and headers."""
    return "\r\n".join((f"{line} HTTP/1.1", "Host: registry", *headers, "", "")).encode()


def statuses(transport: Transport) -> list[int]:
    """The status of each response that was written, if their bodies hold no status line."""
    pieces = transport.value().split(b"HTTP/1.1 ")[1:]
    return [int(piece[:3]) for piece in pieces]


class ChannelCase(SynchronousTestCase):
    """A server with a handler that a test steers."""

    limits = Limits()
    proxies: Proxies | None = None

    def setUp(self) -> None:
        self.requests: list[Request] = []
        self.pieces: list[Piece] = []
        self.cuts: list[BodyCut] = []
        self.gate: Deferred[None] = Deferred()
        self.between: Deferred[None] | None = None

    def serve(self, handler: Handler) -> tuple[Channel, Transport]:
        """A connection to a server with this handler."""
        self.server = Server(handler, self.limits, self.proxies)
        self.channel, self.transport = self.server.connect()
        return self.channel, self.transport

    async def take(self, request: Request) -> bytes:
        """Read the whole body, pausing between two reads where the test wants that."""
        self.requests.append(request)
        try:
            while chunks := await self.read(request):
                self.pieces.extend(chunks)
                if self.between is not None:
                    await self.between
        except BodyCut as cut:
            self.cuts.append(cut)
            raise
        return b"took %d" % sum(map(len, self.pieces))

    @staticmethod
    async def read(request: Request) -> Sequence[Piece]:
        """The next pieces."""
        return await request.body.read()

    async def wait(self, request: Request) -> bytes:
        """Wait for the test before the body is asked for."""
        self.requests.append(request)
        await self.gate
        return await self.take(request)

    async def ignore(self, request: Request) -> bytes:
        """Answer without a look at the body, with the status that the path names."""
        self.requests.append(request)
        request.setResponseCode(int(request.path[1:]))
        return b""
