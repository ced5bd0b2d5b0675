"""
TLS for listeners: the certificate, its key, and whose client certificates count, read from files again and again.

A connection keeps what it was made with. What is read later is for later connections.
"""

import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL, crypto
from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IAddress, IOpenSSLServerConnectionCreator, IProtocolFactory, IReactorTime
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from dockreg.callables import InThread
from dockreg.providers.encryption import EncryptedConnection, Encryption, prepare
from dockreg.providers.listening import ListenFailed

log = Logger()

#: What is left of a certificate's life when it is time to say so.
WARN_SECONDS = 21 * 86400
#: Those that encrypt and authenticate in one, with keys that are forgotten afterwards. TLS 1.3 has no others.
#: Ours is the choice: those of 128 bits protect as well as the certificates do, and take a third less of time than those
#: of 256, which OpenSSL would prefer.
_CIPHERS = b"ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK"
_CIPHERS_13 = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#: ``SSL_OP_PRIORITIZE_CHACHA`` of SSL_CTX_set_options(3), for which pyOpenSSL has no name: clients that name ChaCha20 first
#: are machines for which AES is slow, and have it.
_CHACHA_FOR_WHO_PREFERS_IT = 0x200000
_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
_PROTOCOL = b"http/1.1"


class TLSInvalid(ListenFailed):
    """A file of TLS can not be used; ``key`` is the setting that names it."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.reason = reason


@frozen
class TLSFiles:
    """Where everything is, in PEM."""

    certificate: Path
    #: May be the file of the certificate.
    key: Path
    #: The authorities whose client certificates count; None: clients are not asked for any.
    client_ca: Path | None = None
    #: The lowest version, ``1.2`` or ``1.3``.
    minimum: str = "1.2"

    def read(self) -> "Credentials":
        """:raises TLSInvalid: a file can not be read or used."""
        chain = _certificates("tls.certificate", self.certificate)
        key = _private_key(self.key)
        if key.public_key() != chain[0].public_key():
            raise TLSInvalid("tls.key", f"{self.key} is not the key of the first certificate in {self.certificate}")
        authorities = [] if self.client_ca is None else _certificates("tls.client_ca", self.client_ca)
        return Credentials(self, chain, key, authorities)


@frozen
class Credentials:
    """What the files held when they were read."""

    files: TLSFiles
    chain: Sequence[x509.Certificate]
    key: Any = field(repr=False)
    authorities: Sequence[x509.Certificate] = ()

    @property
    def expires_at(self) -> float:
        """When the first of our own certificates ends, in seconds since the epoch."""
        return min(each.not_valid_after_utc for each in self.chain).timestamp()

    def context(self) -> SSL.Context:
        """How connections are made. :raises TLSInvalid: OpenSSL does not take one of these."""
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(_VERSIONS[self.files.minimum])
        context.set_cipher_list(_CIPHERS)
        context.set_tls13_ciphersuites(_CIPHERS_13)
        context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE | _CHACHA_FOR_WHO_PREFERS_IT)
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET)
        # Nothing is remembered of a client: each connection proves anew who it is.
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        prepare(context)
        context.set_alpn_select_callback(_choose_protocol)
        try:
            context.use_certificate(self.chain[0])
            for each in self.chain[1:]:
                context.add_extra_chain_cert(each)
            context.use_privatekey(self.key)
            context.check_privatekey()
        except SSL.Error as error:
            raise TLSInvalid("tls.certificate", f"{self.files.certificate} can not be used: {_told(error)}") from error
        if self.authorities:
            _ask_clients(context, self.authorities)
        return context

    def doubts(self, now: float) -> Iterator[tuple[str, str]]:
        """What should be looked after soon: settings, and a sentence about each."""
        for key, certificates in (("tls.certificate", self.chain), ("tls.client_ca", self.authorities)):
            for each in certificates:
                doubt = _doubt(each, now)
                if doubt:
                    yield key, f"the certificate of {each.subject.rfc4514_string() or 'no name'} {doubt}"
        try:
            mode = self.files.key.stat().st_mode
        except OSError:
            return
        if mode & (stat.S_IROTH | stat.S_IWOTH):
            yield "tls.key", f"{self.files.key} can be read by everybody on this machine"


def _doubt(certificate: x509.Certificate, now: float) -> str | None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin.timestamp():
        return f"is not good before {begin:%Y-%m-%d %H:%M} UTC"
    if now >= end.timestamp():
        return f"expired on {end:%Y-%m-%d %H:%M} UTC"
    if now >= end.timestamp() - WARN_SECONDS:
        return f"expires on {end:%Y-%m-%d %H:%M} UTC"
    return None


def _contents(key: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TLSInvalid(key, f"{path} can not be read: {error.strerror or error}") from error


def _certificates(key: str, path: Path) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_contents(key, path))
    except ValueError as error:
        raise TLSInvalid(key, f"{path} has no certificate in PEM that can be read") from error


def _private_key(path: Path) -> Any:
    try:
        return serialization.load_pem_private_key(_contents("tls.key", path), None)
    except TypeError as error:
        raise TLSInvalid("tls.key", f"{path} is encrypted, and there is nobody to ask for its passphrase") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TLSInvalid("tls.key", f"{path} has no private key in PEM that can be read") from error


def _told(error: SSL.Error) -> str:
    # A list of (library, function, reason).
    reasons = [entry[-1] for entry in (error.args[0] if error.args else ()) if entry and entry[-1]]
    return reasons[-1] if reasons else "OpenSSL does not say why"


def _choose_protocol(_connection: SSL.Connection, offered: list[bytes]) -> Any:
    return _PROTOCOL if _PROTOCOL in offered else SSL.NO_OVERLAPPING_PROTOCOLS


def _ask_clients(context: SSL.Context, authorities: Sequence[x509.Certificate]) -> None:
    """Ask clients for a certificate. One that is not good ends the handshake; a client need not have any."""
    store = context.get_cert_store()
    assert store is not None
    for each in authorities:
        store.add_cert(crypto.X509.from_cryptography(each))
        context.add_client_ca(each)
    # The list may name an authority that is itself certified by one that it does not name.
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    context.set_verify(SSL.VERIFY_PEER)


class TLSFactory(TLSMemoryBIOFactory):
    """Puts TLS around the connections of a factory that may refuse one."""

    protocol = EncryptedConnection

    def buildProtocol(self, addr: IAddress | None) -> TLSMemoryBIOProtocol | None:  # type: ignore[override]  # the parent wraps None too
        """A connection, unless the factory behind makes none."""
        behind = self.wrappedFactory.buildProtocol(addr)
        return None if behind is None else self.protocol(self, behind)


@implementer(IOpenSSLServerConnectionCreator)
class ServerTLS:
    """The TLS side of connections, with what was read from the files at last."""

    name = "the certificate of TLS"

    def __init__(self, files: TLSFiles, in_thread: InThread, clock: IReactorTime) -> None:
        self._files = files
        self._in_thread = in_thread
        self._clock = clock
        self._context: SSL.Context | None = None
        self._reading = DeferredLock()
        #: When the certificate ends, in seconds since the epoch; 0 before one was read.
        self.expires_at = 0.0

    async def load(self) -> None:
        """
        Read the files; connections that are made from now on use them.

        :raises TLSInvalid: they can not be used. What was read before stays in use.
        """
        # One after the other, or what was read first could come last.
        await self._reading.acquire()
        try:
            credentials, context = await self._in_thread(_read_all, self._files)
        finally:
            self._reading.release()
        self._context, self.expires_at = context, credentials.expires_at
        end = datetime.fromtimestamp(self.expires_at, UTC)
        log.info(
            "TLS with {file}, good until {end}", file=str(self._files.certificate), end=f"{end:%Y-%m-%d %H:%M} UTC"
        )
        for key, doubt in credentials.doubts(self._clock.seconds()):
            log.warn("{key}: {doubt}", key=key, doubt=doubt)

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> Encryption:
        """What encrypts a new connection."""
        assert self._context is not None
        return Encryption(self._context)

    def around(self, factory: IProtocolFactory) -> TLSFactory:
        """``factory``, whose connections are encrypted from then on."""
        return TLSFactory(self, isClient=False, wrappedFactory=factory, clock=self._clock)


def _read_all(files: TLSFiles) -> tuple[Credentials, SSL.Context]:
    credentials = files.read()
    return credentials, credentials.context()
