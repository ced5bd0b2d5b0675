"""A relay between a client and a registry that notes requests and can cut connections."""

import re
from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

_HEAD = re.compile(rb"(GET|PUT|HEAD|POST|DELETE) (\S+) HTTP/1\.1\r\n(.*?)\r\n\r\n", re.DOTALL)


class Relay(Factory):
    """
    Hands bytes on in both directions.

    :param down: called with the path of the latest request and the number of bytes that its connection brought to the
        client; when it returns True, the connection is cut.
    :param up: the same for bytes to the registry.
    """

    noisy = False

    def __init__(self, port: int, down: "Judge | None" = None, up: "Judge | None" = None) -> None:
        self.port = port
        #: Changes bytes on their way to the client.
        self.edit: Callable[[bytes], bytes] = bytes
        self.down = down or _never
        self.up = up or _never
        #: Method, path and headers of each request.
        self.requests: list[tuple[str, str, str]] = []

    def buildProtocol(self, addr: IAddress | None) -> "Protocol":
        return _Near(self)


Judge = Callable[[str, int], bool]


def _never(_path: str, _count: int) -> bool:
    return False


class _Near(Protocol):
    """The side of the client."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.far: _Far | None = None
        self.waiting: list[bytes] = []
        self.path = ""
        self.count = 0

    def connectionMade(self) -> None:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.relay.port)
        self.connecting: Deferred[_Far] = connectProtocol(endpoint, _Far(self)).addErrback(lambda _: self.cut())

    def dataReceived(self, data: bytes) -> None:
        for match in _HEAD.finditer(data):
            method, path, headers = (part.decode("latin-1") for part in match.groups())
            self.path = path
            self.relay.requests.append((method, path, headers))
        self.count += len(data)
        if self.relay.up(self.path, self.count):
            self.cut()
        elif self.far is None:
            self.waiting.append(data)
        else:
            self.far.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.far is not None:
            self.far.close()

    def cut(self) -> None:
        """Drop both sides."""
        assert self.transport is not None
        self.transport.abortConnection()  # type: ignore[attr-defined]  # every TCP transport has it
        if self.far is not None:
            self.far.close()


class _Far(Protocol):
    """The side of the registry."""

    def __init__(self, near: _Near) -> None:
        self.near = near
        self.count = 0

    def connectionMade(self) -> None:
        self.near.far = self
        for data in self.near.waiting:
            self.write(data)

    def write(self, data: bytes) -> None:
        """Hand on what the client sent."""
        if self.transport is not None:
            self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        self.count += len(data)
        near = self.near.transport
        assert near is not None
        near.write(self.near.relay.edit(data))
        if self.near.relay.down(self.near.path, self.count):
            self.near.cut()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.near.transport is not None:
            self.near.transport.loseConnection()

    def close(self) -> None:
        """Drop this side."""
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]  # as above


async def start_relay(test: TestCase, relay: Relay) -> int:
    """Listen on a free port of 127.0.0.1 until the test ends."""
    port: IListeningPort = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(relay)
    test.addCleanup(port.stopListening)
    number = port.getHost().port  # type: ignore[attr-defined]  # an IPv4 address
    assert isinstance(number, int)
    return number
