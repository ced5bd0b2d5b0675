"""Real ports, and who can reach them."""

import os
import socket
from typing import Any, ClassVar, cast

from attrs import evolve
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, IListeningPort, ITransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from dockreg.model.networks import Networks
from dockreg.providers.listening import (
    Judge,
    ListenFailed,
    Proxying,
    _Gate,
    allow_all,
    is_local,
    place_of,
    require_local,
    without_proxy,
)
from dockreg.providers.listening import open_port as open_any_port


class _Greeter(Protocol):
    """Says something to whoever is let in."""

    def connectionMade(self) -> None:
        cast("ITransport", self.transport).write(b"hello")
        cast("ITransport", self.transport).loseConnection()


class OpenPortTests(TestCase):
    """:func:`dockreg.providers.listening.open_port`."""

    #: Endpoints that only this machine can reach, and endpoints that others can reach.
    LOCAL: ClassVar[list[str]] = [
        "tcp:0:interface=127.0.0.1",
        "tcp:0:interface=localhost",
        "tcp:0:interface=127.9.9.9",
        r"tcp6:0:interface=\:\:1",
        "haproxy:tcp:0:interface=127.0.0.1",
    ]
    OPEN: ClassVar[list[str]] = [
        "tcp:0",
        "tcp:0:interface=0.0.0.0",
        "tcp6:0",
        r"tcp6:0:interface=\:\:",
        "haproxy:tcp:0",
        r"haproxy:tcp6:0:interface=\:\:",
    ]

    def setUp(self) -> None:
        """A factory of greeters."""
        from twisted.internet import reactor

        self.reactor = reactor
        self.factory = Factory.forProtocol(_Greeter)
        self.factory.noisy = False
        self.proxying = Proxying(Networks.parse(["127.0.0.1"]), 10.0, reactor)

    async def open_port(self, description: str, judge: Judge) -> IListeningPort:
        """Open a port, of the PROXY protocol for those on this machine."""
        return await open_any_port(description, self.factory, self.reactor, judge, self.proxying)

    async def test_local(self) -> None:
        """What only this machine can reach is opened, and serves."""
        for description in [*self.LOCAL, f"unix:/tmp/dockreg-test-{os.getpid()}-{id(self)}"]:
            port = await self.open_port(description, require_local)
            self.addCleanup(port.stopListening)

    async def test_unpaced(self) -> None:
        """What is sent to clients on this machine waits for no timer; to others it goes as the system has it."""
        for description, local in (
            ("tcp:0:interface=127.0.0.1", True),
            (r"tcp6:0:interface=\:\:1", True),
            ("haproxy:tcp:0:interface=127.0.0.1", True),
            ("tcp:0", False),
        ):
            port = cast("Any", await self.open_port(description, allow_all))
            self.addCleanup(port.stopListening)
            with socket.socket() as other:
                usual = other.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0")
            found = port.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0")
            self.assertEqual(b"reno" if local else usual, found, description)

    async def test_open(self) -> None:
        """What others can reach is refused with a sentence that says what to set; nobody can connect afterwards."""
        for description in self.OPEN:
            ports: list[int] = []

            def judge(description: str, address: IAddress, ports: list[int] = ports) -> None:
                assert isinstance(address, IPv4Address | IPv6Address)
                ports.append(address.port)
                require_local(description, address)

            with self.assertRaises(ListenFailed) as caught:
                await self.open_port(description, judge)
            self.assertIn("allow_unauthenticated = true", str(caught.exception))
            self.assertIn(description, str(caught.exception))
            await self._turn()
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", ports[0]), timeout=10)

    async def test_allowed(self) -> None:
        """Where everybody may be served, all addresses are all right."""
        for description in self.OPEN:
            port = await self.open_port(description, allow_all)
            self.addCleanup(port.stopListening)

    async def test_nobody_before(self) -> None:
        """Who connects while the address is judged is not let in by a port that is refused."""
        early: list[socket.socket] = []

        def judge(description: str, address: IAddress) -> None:
            assert isinstance(address, IPv4Address)
            early.append(socket.create_connection(("127.0.0.1", address.port), timeout=10))
            require_local(description, address)

        with self.assertRaises(ListenFailed):
            await self.open_port("tcp:0", judge)
        await self._turn()
        self.addCleanup(early[0].close)
        with self.assertRaises(ConnectionResetError):
            early[0].recv(5)

    async def test_serves_those_who_waited(self) -> None:
        """Who connects while the address is judged is served by a port that is all right."""
        early: list[socket.socket] = []

        def judge(description: str, address: IAddress) -> None:
            assert isinstance(address, IPv4Address)
            early.append(socket.create_connection(("127.0.0.1", address.port), timeout=10))

        port = await self.open_port("tcp:0:interface=127.0.0.1", judge)
        self.addCleanup(port.stopListening)
        self.addCleanup(early[0].close)
        received = await deferToThread(early[0].recv, 5)
        self.assertEqual(b"hello", received)

    async def test_no_endpoint(self) -> None:
        """What is no endpoint is told by what was written."""
        for description in (
            "foo:1",
            "tcp:port",
            "tcp",
            "ssl:0:privateKey=/nowhere",
            "systemd:domain=INET:name=x",
            "haproxy:haproxy:tcp:0",
        ):
            with self.assertRaises(ListenFailed) as caught:
                await self.open_port(description, allow_all)
            self.assertIn(description, str(caught.exception))

    async def test_no_proxy(self) -> None:
        """Where nobody may connect, because no proxy is named, no port is opened; unix sockets are local."""
        self.proxying = evolve(self.proxying, trusted=Networks())
        with self.assertRaises(ListenFailed) as caught:
            await self.open_port("haproxy:tcp:0:interface=127.0.0.1", require_local)
        self.assertIn("trusted_proxies", str(caught.exception))
        await self._turn()
        port = await self.open_port(f"haproxy:unix:/tmp/dockreg-test-{os.getpid()}-{id(self)}", require_local)
        self.addCleanup(port.stopListening)

    async def _turn(self) -> None:
        await deferToThread(int)


class GateTests(SynchronousTestCase):
    """What stands before a factory while the address is judged."""

    def setUp(self) -> None:
        """A gate before a site."""
        self.site = Site(Resource())
        self.gate = _Gate(self.site)

    def test_closed(self) -> None:
        """Nobody is let in before the address was judged, by whatever kind of endpoint."""
        self.assertIs(None, self.gate.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1)))

    def test_open(self) -> None:
        """Afterwards the factory behind it decides."""
        self.gate.open = True
        self.assertIsNot(None, self.gate.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1)))

    def test_negotiation(self) -> None:
        """TLS offers what the factory behind it speaks, and nothing for one that does not say."""
        self.assertEqual(list(self.site.acceptableProtocols()), self.gate.acceptableProtocols())
        self.assertEqual([], _Gate(Factory()).acceptableProtocols())


class WithoutProxyTests(SynchronousTestCase):
    """:func:`dockreg.providers.listening.without_proxy`."""

    def test_prefixes(self) -> None:
        """The PROXY protocol is known in every way in which Twisted would know it, and nowhere else."""
        for description in ("haproxy:tcp:1", "HAProxy:tcp:1", r"ha\proxy:tcp:1"):
            self.assertEqual(("tcp:1", True), without_proxy(description))
        for description in ("tcp:1", "haproxyx:tcp:1", "tcp:interface=haproxy", "haproxy"):
            self.assertEqual((description, description == "haproxy"), (description, without_proxy(description)[1]))


class IsLocalTests(SynchronousTestCase):
    """:func:`dockreg.providers.listening.is_local`."""

    def test_addresses(self) -> None:
        """Loopback and unix sockets are local, and nothing else is."""
        for local, address in [
            (True, IPv4Address("TCP", "127.0.0.1", 1)),
            (True, IPv4Address("TCP", "127.255.0.1", 1)),
            (True, IPv6Address("TCP", "::1", 1)),
            (True, IPv6Address("TCP", "::ffff:127.0.0.1", 1)),
            (True, UNIXAddress(b"/run/x")),
            (True, UNIXAddress(None)),
            (False, IPv4Address("TCP", "0.0.0.0", 1)),
            (False, IPv4Address("TCP", "192.168.1.1", 1)),
            (False, IPv4Address("TCP", "not-an-address", 1)),
            (False, IPv6Address("TCP", "::", 1)),
            (False, IPv6Address("TCP", "::ffff:10.0.0.1", 1)),
            (False, IPv6Address("TCP", "fe80::1%eth0", 1)),
            (False, HostnameAddress(b"localhost", 1)),
        ]:
            self.assertEqual(local, is_local(address), address)

    def test_places(self) -> None:
        """An address is shown as people write it."""
        self.assertEqual("127.0.0.1:80", place_of(IPv4Address("TCP", "127.0.0.1", 80)))
        self.assertEqual("[::1]:80", place_of(IPv6Address("TCP", "::1", 80)))
        self.assertEqual("/run/x", place_of(UNIXAddress(b"/run/x")))
