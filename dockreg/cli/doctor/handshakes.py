"""A TLS handshake that takes whatever it gets, and tells what it was."""

from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from attrs import frozen
from cryptography import x509
from OpenSSL import SSL
from twisted.internet import defer
from twisted.internet.address import IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.interfaces import IHandshakeListener, IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from dockreg.cli.doctor.reaching import CONNECT_SECONDS, Address
from dockreg.cli.tls import read_authorities

HANDSHAKE_SECONDS = 8.0


@frozen
class Handshake:
    """
    A handshake that was completed.

    :param chain: the certificates that the server sent, its own first.
    :param problems: what the verification says: the error numbers of OpenSSL, each with the depth in the chain.
    :param asks_for_certificate: whether the server asked for one of the client.
    """

    protocol: str
    cipher: str
    chain: Sequence[x509.Certificate]
    problems: Sequence[tuple[int, int]]
    asks_for_certificate: bool = False


@frozen
class NoHandshake:
    """How a handshake ended otherwise: what OpenSSL said, or empty; and after how long. ``late`` when nothing came."""

    reason: str
    seconds: float
    late: bool = False


async def shake_hands(reactor: Any, address: Address, host: str, authorities: Path | None) -> Handshake | NoHandshake:
    """
    Greet with TLS.

    :param host: the name that the certificate should have.
    :param authorities: as for :func:`.make_tls`.
    :raises CommandFailed: the file of authorities can not be used.
    """
    kind = TCP6ClientEndpoint if isinstance(address, IPv6Address) else TCP4ClientEndpoint
    endpoint = kind(reactor, address.host, address.port, timeout=CONNECT_SECONDS)
    greeting = _Greeting(host, authorities)
    factory = Factory.forProtocol(_Listener)
    began = reactor.seconds()
    try:
        listener: Any = await wrapClientTLS(greeting, endpoint).connect(factory)
    except ConnectError as error:
        return NoHandshake(str(error), reactor.seconds() - began)

    try:
        await listener.ended.addTimeout(HANDSHAKE_SECONDS, reactor)
    except defer.TimeoutError:
        return NoHandshake("", reactor.seconds() - began, late=True)
    except SSL.Error as error:
        return NoHandshake(_told(error), reactor.seconds() - began)
    except ConnectionClosed as error:
        return NoHandshake(str(error), reactor.seconds() - began)
    finally:
        listener.transport.abortConnection()
    return greeting.outcome(listener.transport.getHandle())


@implementer(IHandshakeListener)
class _Listener(Protocol):
    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def handshakeCompleted(self) -> None:
        """Both sides agree."""
        self.ended.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """They do not."""
        if not self.ended.called:
            self.ended.errback(reason)


def _told(error: SSL.Error) -> str:
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(str(entry[-1]) for entry in entries)


@implementer(IOpenSSLClientConnectionCreator)
class _Greeting:
    """Offers all that there ever was, so that old servers are recognized, and notes what the verification says."""

    def __init__(self, host: str, authorities: Path | None) -> None:
        self._host = host
        self._problems: list[tuple[int, int]] = []
        self._context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self._context.set_min_proto_version(SSL.TLS1_VERSION)
        self._context.set_cipher_list(b"ALL:@SECLEVEL=0")
        self._context.set_verify(SSL.VERIFY_PEER, self._verified)
        store = self._context.get_cert_store()
        if authorities is None:
            self._context.set_default_verify_paths()
        elif store is not None:
            for certificate in read_authorities(authorities):
                store.add_cert(certificate.original)

    def _verified(self, _connection: object, _certificate: object, error: int, depth: int, good: int) -> bool:
        if not good and (error, depth) not in self._problems:
            self._problems.append((error, depth))
        return True

    def clientConnectionForTLS(self, _protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A connection that asks for the name of the registry."""
        connection = SSL.Connection(self._context, None)
        try:
            ip_address(self._host)
        except ValueError:
            connection.set_tlsext_host_name(self._host.encode("idna"))
        return connection

    def outcome(self, connection: SSL.Connection) -> Handshake:
        """What has been agreed on."""
        asks = []
        with suppress(SSL.Error):
            asks = connection.get_client_ca_list()
        return Handshake(
            connection.get_protocol_version_name(),
            connection.get_cipher_name() or "",
            tuple(connection.get_peer_cert_chain(as_cryptography=True) or ()),
            tuple(self._problems),
            bool(asks),
        )
