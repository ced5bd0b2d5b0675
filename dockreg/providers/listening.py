"""
Ports, opened with an eye on who can reach them.

Who can reach a port is decided on the address that it is bound to, not on the text of the configuration: ``tcp:5000``,
a host name, a wrapped endpoint and a socket passed by systemd all come to an address in the end.
"""

import os
import socket
from collections.abc import Awaitable
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from typing import Protocol, cast

from attrs import frozen
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.address import IPv6Address as IPv6HostPort
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IProtocolNegotiationFactory,
    IReactorCore,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from dockreg.model.networks import Networks
from dockreg.providers.prompt import send_at_once
from dockreg.providers.proxied import ProxiedFactory

log = Logger()


class ListenFailed(Exception):
    """A port could not be opened, or must not be; the text is a sentence for who configured it."""


class Judge(Protocol):
    """Says whether a port may serve."""

    def __call__(self, description: str, address: IAddress) -> None:
        """:raises ListenFailed: it may not serve on this address."""


def is_local(address: IAddress) -> bool:
    """Whether only programs on this machine can reach ``address``. A kind of address not known here is not local."""
    if isinstance(address, UNIXAddress):
        return True
    if not isinstance(address, IPv4Address | IPv6HostPort):
        return False
    try:
        host = ip_address(address.host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(host, IPv6Address) and host.ipv4_mapped is not None:
        return host.ipv4_mapped.is_loopback
    return host.is_loopback


def allow_all(description: str, address: IAddress) -> None:
    """The :class:`Judge` of those who are meant to be reached by everybody."""


def require_local(description: str, address: IAddress) -> None:
    """The :class:`Judge` of a service on which everybody may push."""
    if not is_local(address):
        raise ListenFailed(
            f"{description} is bound to {place_of(address)}, where other machines can reach it, and everybody may push: set anonymous"
            ' = "pull" or "none" under [auth], or allow_unauthenticated = true if that is meant, or listen on'
            " 127.0.0.1"
        )


@implementer(IProtocolNegotiationFactory)
class _Gate(Factory):
    """Lets nobody in before the address was judged, for endpoints that are bound some time before they say so."""

    noisy = False

    def __init__(self, behind: IProtocolFactory) -> None:
        self.behind = behind
        self.open = False

    def logPrefix(self) -> str:
        """What Twisted calls the port in its log."""
        return "dockreg"

    def doStart(self) -> None:
        self.behind.doStart()

    def doStop(self) -> None:
        self.behind.doStop()

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:  # type: ignore[override]  # the parent promises a Protocol
        return self.behind.buildProtocol(cast("IAddress", addr)) if self.open else None

    def acceptableProtocols(self) -> list[bytes]:
        """The protocols of TLS' ALPN that the factory behind speaks."""
        if IProtocolNegotiationFactory.providedBy(self.behind):
            return list(cast("IProtocolNegotiationFactory", self.behind).acceptableProtocols())
        return []


def place_of(address: IAddress) -> str:
    """An address as people write it."""
    if isinstance(address, IPv4Address):
        return f"{address.host}:{address.port}"
    if isinstance(address, IPv6HostPort):
        return f"[{address.host}]:{address.port}"
    if isinstance(address, UNIXAddress):
        return os.fsdecode(address.name or b"unix socket")
    return str(address)


def without_proxy(description: str) -> tuple[str, bool]:
    """What an endpoint is without the ``haproxy:`` before it, and whether that was there. Case does not count there."""
    kind, _, place = description.partition(":")
    return (place, True) if kind.replace("\\", "").lower() == "haproxy" else (description, False)


def read_endpoint(description: str, reactor: object) -> tuple[IStreamServerEndpoint, bool]:
    """
    The endpoint that ``description`` names, and whether it is to speak the PROXY protocol.

    :raises ListenFailed: it names none.
    """
    place, proxied = without_proxy(description)
    if without_proxy(place)[1]:
        raise ListenFailed(f"{description!r} is no endpoint: a connection has one header of the PROXY protocol")
    try:
        return cast("IStreamServerEndpoint", serverFromString(reactor, place)), proxied
    except (KeyError, IndexError):
        # twisted.internet.endpoints, "systemd": a look-up in what LISTEN_FDS and LISTEN_FDNAMES tell.
        raise ListenFailed(f"{description}: systemd has passed no such socket; see FileDescriptorName=") from None
    except Exception as error:  # each kind of endpoint has its own ways to fail
        raise ListenFailed(f"{description!r} is no endpoint: {error}") from error


@frozen
class Proxying:
    """Who may connect to an endpoint of the PROXY protocol, and how long a header may take."""

    trusted: Networks
    seconds: float
    clock: IReactorTime


async def open_port(
    description: str, factory: IProtocolFactory, reactor: IReactorCore, judge: Judge, proxying: Proxying
) -> IListeningPort:
    """
    Listen on the endpoint that ``description`` names, if ``judge`` agrees with the address it is bound to.

    No connection is served before that: with the endpoints of Twisted none is even accepted.

    :param proxying: for endpoints that begin with ``haproxy:``, for those of Twisted would believe whoever connects.
    :raises ListenFailed: ``description`` is no endpoint, the port can not be opened, or ``judge`` refuses.
    """
    endpoint, proxied = read_endpoint(description, reactor)
    if proxied:
        factory = ProxiedFactory(factory, proxying.trusted, proxying.seconds, proxying.clock)
    gate = _Gate(factory)
    try:
        port = await cast("Awaitable[IListeningPort]", endpoint.listen(gate))
    except CannotListenError as error:
        reason = getattr(error.socketError, "strerror", None) or error.socketError
        raise ListenFailed(f"can not listen on {description}: {reason}") from None
    except (OSError, OverflowError, ValueError) as error:
        raise ListenFailed(f"can not listen on {description}: {error}") from None
    try:
        _check_family(description, port)
        judge(description, port.getHost())
        if proxied:
            _check_trust(description, port.getHost(), proxying.trusted)
    except ListenFailed:
        # It stops reading at once. That it was closed is told by the reactor, which may not run yet: not waited for.
        _ = maybeDeferred(port.stopListening).addErrback(_not_closed)
        raise
    send_at_once(port)
    if is_local(port.getHost()):
        _send_unpaced(port)
    gate.open = True
    return port


def _send_unpaced(port: IListeningPort) -> None:
    """
    Send as fast as is read, to clients that can only be on this machine; a proxy is one.

    Between them and us is no network, but the kernel treats them as if there were one. With BBR, which many servers have for
    all of their connections, it waits for a timer before each packet. A connection has what the port has that it came to.
    """
    listening = getattr(port, "socket", None)
    if isinstance(listening, socket.socket) and hasattr(socket, "TCP_CONGESTION"):
        # What is no TCP has no such option. This one is in every kernel, for everybody to use (tcp(7)).
        with suppress(OSError):
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")


def _not_closed(failure: Failure) -> None:
    log.failure("a port that must not be open was not closed well", failure)


def _check_trust(description: str, address: IAddress, trusted: Networks) -> None:
    if not trusted and not isinstance(address, UNIXAddress):
        raise ListenFailed(f"{description}: nobody may connect: name the proxies in trusted_proxies under [http]")


def _check_family(description: str, port: IListeningPort) -> None:
    # systemd's ListenStream=5000 makes an IPv6 socket that takes IPv4 as well (systemd.socket(5)). Adopted with
    # domain=INET it would have an address that means nothing, and so would each client.
    passed = getattr(port, "socket", None)
    if not isinstance(passed, socket.socket) or not hasattr(socket, "SO_DOMAIN"):
        return
    family = socket.AddressFamily(passed.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN))
    if family != passed.family:
        raise ListenFailed(f"{description}: that is another kind of socket; write domain={family.name[3:]}")
