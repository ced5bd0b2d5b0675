"""From a name to a connection: addresses, and whether something listens there."""

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from dockreg.cli.doctor.findings import Remark, Step, fail, warn
from dockreg.cli.doctor.place import Place, address_of

CONNECT_SECONDS = 5.0
Address = IPv4Address | IPv6Address


@frozen
class Attempt:
    """One try to connect: ``problem`` is empty when it worked."""

    address: str
    seconds: float
    problem: str = ""


@implementer(IResolutionReceiver)
class _Receiver:
    def __init__(self) -> None:
        self.found: list[Address] = []
        self.complete: Deferred[list[Address]] = Deferred()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Nothing to do yet."""

    def addressResolved(self, address: IAddress) -> None:
        """Keep it."""
        if isinstance(address, IPv4Address | IPv6Address):
            self.found.append(address)

    def resolutionComplete(self) -> None:
        """No more will come."""
        self.complete.callback(self.found)


async def resolve(resolver: IHostnameResolver, place: Place) -> Sequence[Address]:
    """The addresses of the registry, as this machine sees them."""
    receiver = _Receiver()
    resolver.resolveHostName(receiver, place.host, place.port)
    return await receiver.complete


async def connect(reactor: Any, address: Address) -> Attempt:
    """Open a connection, and close it."""
    kind = TCP6ClientEndpoint if isinstance(address, IPv6Address) else TCP4ClientEndpoint
    endpoint = kind(reactor, address.host, address.port, timeout=CONNECT_SECONDS)
    began = reactor.seconds()
    problem = ""
    try:
        protocol: Any = await endpoint.connect(Factory.forProtocol(Protocol))
        protocol.transport.abortConnection()
    except ConnectError as error:
        problem = str(error).rstrip(".") or type(error).__name__
    return Attempt(address.host, reactor.seconds() - began, problem)


def judge_name(place: Place, addresses: Sequence[str]) -> Step:
    """What the name of the registry leads to."""
    remarks: list[Remark] = []
    if not addresses:
        remarks.append(
            fail("The name has no address here: correct it, or enter it in the DNS or the hosts file of each client.")
        )
    elif "." not in place.host and place.host != "localhost" and address_of(place.host) is None:
        has_port = place.authority != place.host
        if not has_port:
            remarks.append(
                warn(
                    f"docker takes {place.authority}/NAME for a repository of Docker Hub, for there is neither a dot nor "
                    f"a port in it: write {place.authority}:{place.port}/NAME."
                )
            )
    return Step("name", f"addresses of {place.host}", ", ".join(addresses) or "none", tuple(remarks))


def judge_attempts(place: Place, attempts: Sequence[Attempt]) -> Step:
    """Whether something listens."""
    broken = [attempt for attempt in attempts if attempt.problem]
    remarks: list[Remark] = []
    if len(broken) == len(attempts):
        remarks.append(
            fail(
                "Nothing can be reached there: see that the registry runs, listens on this address (not on loopback "
                "only) and on this port, and that no firewall is between."
            )
        )
    elif broken:
        remarks.append(
            warn(
                "Some of the addresses do not answer, and clients that try them first wait or fail: let the registry "
                "listen there too, or take them out of the DNS."
            )
        )
    came = "; ".join(
        f"{attempt.address}: {attempt.problem or f'open after {attempt.seconds * 1000:.0f} ms'}" for attempt in attempts
    )
    return Step("connection", f"TCP port {place.port}", came, tuple(remarks))
