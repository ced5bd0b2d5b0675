"""Tests of :mod:`dockreg.providers.proxied`."""

from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.networks import Networks
from dockreg.providers.proxied import ProxiedConnection, ProxiedFactory

PROXY = IPv4Address("TCP", "10.0.0.1", 4000)
LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"


class Server(Protocol):
    """What is behind the header; remembers what it sees."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def connectionMade(self) -> None:
        transport = cast("ITransport", self.transport)
        self.seen += [transport.getPeer(), transport.getHost()]

    def dataReceived(self, data: bytes) -> None:
        self.seen.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.seen.append("lost")


class ServerFactory(Factory[Server]):
    """Makes them, as long as it is open."""

    noisy = False

    def __init__(self) -> None:
        self.made: list[Server] = []
        self.open = True

    def buildProtocol(self, addr: IAddress | None) -> Server | None:
        if not self.open:
            return None
        self.made.append(Server())
        return self.made[-1]


class ProxiedCase(SynchronousTestCase):
    """A factory that waits ten seconds for a header."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.behind = ServerFactory()
        self.factory = ProxiedFactory(self.behind, Networks.parse(["10.0.0.0/24"]), 10, self.clock)

    def connect(self, peer: Any = PROXY) -> tuple[ProxiedConnection, StringTransport]:
        """A connection from ``peer``."""
        connection = self.factory.buildProtocol(peer)
        assert connection is not None
        transport = StringTransport(peerAddress=peer, hostAddress=IPv4Address("TCP", "10.0.0.9", 5000))
        connection.makeConnection(transport)
        return connection, transport


class HeaderTests(ProxiedCase):
    """Before and after the header."""

    def test_client(self) -> None:
        """What is behind the header sees the client's addresses, and the bytes that follow."""
        connection, _ = self.connect()
        connection.dataReceived(LINE + b"GET")
        connection.dataReceived(b" /")
        client, server = IPv4Address("TCP", "192.0.2.7", 56324), IPv4Address("TCP", "198.51.100.1", 443)
        self.assertEqual([client, server, b"GET", b" /"], self.behind.made[0].seen)

    def test_ipv6(self) -> None:
        """So it does for the longer addresses."""
        connection, _ = self.connect()
        connection.dataReceived(b"PROXY TCP6 2001:db8::7 2001:db8::1 1 443\r\n")
        client, server = IPv6Address("TCP", "2001:db8::7", 1), IPv6Address("TCP", "2001:db8::1", 443)
        self.assertEqual([client, server], self.behind.made[0].seen)

    def test_pieces(self) -> None:
        """A header in pieces is the same header; nothing is made before its end."""
        connection, _ = self.connect()
        for byte in LINE[:-1]:
            connection.dataReceived(bytes([byte]))
        self.assertEqual([], self.behind.made)
        connection.dataReceived(LINE[-1:])
        self.assertEqual("192.0.2.7", cast("Any", self.behind.made[0].seen[0]).host)

    def test_own(self) -> None:
        """A connection that a proxy makes for itself comes from the proxy."""
        connection, transport = self.connect()
        connection.dataReceived(LOCAL + b"GET")
        self.assertEqual([PROXY, transport.getHost(), b"GET"], self.behind.made[0].seen)

    def test_bytes_out(self) -> None:
        """What is written behind it reaches the proxy."""
        connection, transport = self.connect()
        connection.dataReceived(LINE)
        cast("ITransport", self.behind.made[0].transport).write(b"answer")
        self.assertEqual(b"answer", transport.value())

    def test_end(self) -> None:
        """What is behind it is told of the end; where nothing is yet, nothing is told."""
        for data, expected in ((LINE, ["lost"]), (LINE[:9], [])):
            connection, _ = self.connect()
            connection.dataReceived(data)
            connection.connectionLost(Failure(connectionDone.value))
            self.assertEqual(expected, [each.seen[-1] for each in self.behind.made])
            self.behind.made.clear()
        self.assertEqual(({}, []), (self.factory.protocols, self.clock.getDelayedCalls()))


class RefusalTests(ProxiedCase):
    """Who is not served."""

    def test_strangers(self) -> None:
        """A stranger gets no connection, and the log is told once a minute."""
        stranger = IPv4Address("TCP", "192.0.2.66", 1)
        with capturedLogs() as events:
            self.assertEqual([None] * 3, [self.factory.buildProtocol(stranger) for _ in range(3)])
            self.clock.advance(60)
            self.assertIsNone(self.factory.buildProtocol(stranger))
        self.assertEqual(["192.0.2.66"] * 2, [event["host"] for event in events])

    def test_local(self) -> None:
        """Who comes through a unix socket is on this machine, and trusted."""
        connection, _ = self.connect(UNIXAddress(None))
        connection.dataReceived(LINE)
        self.assertEqual("192.0.2.7", cast("Any", self.behind.made[0].seen[0]).host)

    def test_mapped(self) -> None:
        """A trusted proxy is known in the IPv6 form of its address too."""
        self.assertIsNotNone(self.factory.buildProtocol(IPv6Address("TCP", "::ffff:10.0.0.1", 1)))
        self.assertIsNone(self.factory.buildProtocol(IPv6Address("TCP", "::ffff:192.0.2.66", 1)))

    def test_no_header(self) -> None:
        """What is no header is cut, and never reaches what is behind it."""
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 x y 1 2\r\n", b"\x16\x03\x01\x00"):
            connection, transport = self.connect()
            connection.dataReceived(data)
            self.assertEqual((True, []), (transport.disconnected, self.behind.made), data)

    def test_too_late(self) -> None:
        """A header that does not come in time is cut, however much of it has come."""
        for data in (b"", LINE[:-1]):
            connection, transport = self.connect()
            connection.dataReceived(data)
            self.clock.advance(9)
            self.assertFalse(transport.disconnected)
            self.clock.advance(1)
            self.assertTrue(transport.disconnected)

    def test_in_time(self) -> None:
        """After the header there is no time limit here."""
        connection, transport = self.connect()
        connection.dataReceived(LINE)
        self.clock.advance(100)
        self.assertFalse(transport.disconnected)

    def test_nobody_behind(self) -> None:
        """When what is behind it takes no connections any more, it is cut."""
        connection, transport = self.connect()
        self.behind.open = False
        connection.dataReceived(LINE)
        self.assertTrue(transport.disconnected)

    def test_stop(self) -> None:
        """When the port closes, those that wait are cut, and those that are served go on."""
        _, waiting = self.connect()
        served, transport = self.connect()
        served.dataReceived(LINE)
        self.factory.doStart()
        self.factory.doStop()
        self.assertEqual((True, False), (waiting.disconnected, transport.disconnected))
