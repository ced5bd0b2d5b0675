"""Connections that come through a proxy which speaks the PROXY protocol, as if they came from its clients."""

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocolFactory, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

from dockreg.model.networks import NO_ADDRESS, Networks, host_of
from dockreg.model.proxyheader import Endpoint, HeaderInvalid, ProxyHeader

log = Logger()

#: Strangers must not fill the log.
_QUIET_SECONDS = 60.0


class ProxiedConnection(ProtocolWrapper):
    """
    Waits for the header, and is the client's connection from then on.

    The protocol behind it is made only then, so that it never sees another peer than the client.
    """

    factory: "ProxiedFactory"
    transport: Any
    wrappedProtocol: Any

    def __init__(self, factory: "ProxiedFactory") -> None:
        super().__init__(factory, None)  # type: ignore[arg-type]  # there is none yet
        self._buffer = b""
        self._client: IAddress | None = None
        self._server: IAddress | None = None
        self._deadline: IDelayedCall | None = None

    def makeConnection(self, transport: Any) -> None:
        """Begin to wait."""
        directlyProvides(self, providedBy(transport))
        Protocol.makeConnection(self, transport)
        self.factory.registerProtocol(self)
        self._deadline = self.factory.clock.callLater(self.factory.seconds, self._too_late)

    def getPeer(self) -> IAddress:
        """The client."""
        return self._client or self.transport.getPeer()

    def getHost(self) -> IAddress:
        """What the client has connected to."""
        return self._server or self.transport.getHost()

    def dataReceived(self, data: bytes) -> None:
        """A piece of the header, or of what follows it."""
        if self.wrappedProtocol is not None:
            self.wrappedProtocol.dataReceived(data)
            return
        self._buffer += data
        try:
            header = ProxyHeader.parse(self._buffer)
        except HeaderInvalid as error:
            log.warn("{peer} sent no header of the PROXY protocol: {problem}", peer=self._sender(), problem=str(error))
            self.transport.abortConnection()
            return
        if header is not None:
            rest, self._buffer = self._buffer[header.length :], b""
            self._begin(header, rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self._stop_waiting()
        if self.wrappedProtocol is not None:
            super().connectionLost(reason)
        else:
            self.factory.unregisterProtocol(self)

    def _begin(self, header: ProxyHeader, rest: bytes) -> None:
        self._stop_waiting()
        self._client, self._server = _address(header.client), _address(header.server)
        protocol = self.factory.wrappedFactory.buildProtocol(self.getPeer())
        if protocol is None:
            self.transport.abortConnection()
            return
        self.wrappedProtocol = protocol
        protocol.makeConnection(self)
        if rest:
            protocol.dataReceived(rest)

    def stop(self) -> None:
        """End a connection that nobody has taken yet."""
        if self.wrappedProtocol is None:
            self.transport.abortConnection()

    def _too_late(self) -> None:
        self._deadline = None
        log.warn("{peer} sent no header of the PROXY protocol in time", peer=self._sender())
        self.transport.abortConnection()

    def _stop_waiting(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def _sender(self) -> str:
        return host_of(self.transport.getPeer())


def _address(endpoint: Endpoint | None) -> IAddress | None:
    if endpoint is None:
        return None
    kind = IPv6Address if ":" in endpoint.host else IPv4Address
    return kind("TCP", endpoint.host, endpoint.port)


class ProxiedFactory(WrappingFactory[ProxiedConnection]):
    """
    Takes connections from trusted proxies and through unix sockets, which are local; others are closed at once.

    :param seconds: how long a header may take.
    """

    noisy = False

    def __init__(self, behind: IProtocolFactory, trusted: Networks, seconds: float, clock: IReactorTime) -> None:
        super().__init__(behind)
        self.trusted = trusted
        self.seconds = seconds
        self.clock = clock
        self._told_at: float | None = None

    def buildProtocol(self, addr: IAddress | None) -> ProxiedConnection | None:  # type: ignore[override]  # the parent refuses nobody
        """A connection from ``addr``, unless that is a stranger."""
        host = host_of(addr)
        if host == NO_ADDRESS or host in self.trusted:
            return ProxiedConnection(self)
        now = self.clock.seconds()
        if self._told_at is None or now - self._told_at >= _QUIET_SECONDS:
            self._told_at = now
            log.warn("closed a connection from {host}, which is not among http.trusted_proxies", host=host)
        return None

    def stopFactory(self) -> None:
        """The port is closed: nobody else is waited for."""
        for connection in list(self.protocols):
            connection.stop()
