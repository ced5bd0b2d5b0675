"""
The HTTP client of the ``dockreg`` command.

Lookups share connections; what changes something has a connection of its own, as with engines, so that none of it is
lost on a connection that the other side was about to close.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from attrs import define, field, frozen
from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    HTTPConnectionPool,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from dockreg.cli.bodies import ArrivingBody, StreamedBody
from dockreg.cli.failures import CommandFailed, ConnectionBroken
from dockreg.version import VERSION

#: Engines give up a download after as long a silence (0.12 to 1.7).
IDLE_SECONDS = 60.0
#: Documents that are no layer are not read beyond so many bytes.
MAX_DOCUMENT = 64 * 1024 * 1024
_MAX_UPLOAD_ANSWER = 1024 * 1024

USER_AGENT = f"dockreg/{VERSION}"


@frozen
class Reply:
    """An answer with its body."""

    url: str
    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """The last value of a header (the newest, where a proxy added one)."""
        values = self.header_values(name)
        return values[-1] if values else None

    def header_values(self, name: str) -> list[str]:
        """The value of each line of a header."""
        return [value.decode("latin-1") for value in self.headers.getRawHeaders(name.encode("ascii")) or []]

    @property
    def sentence(self) -> str:
        """What the registry said, in the form of v1 or of v2; else what the status is called."""
        error = _error_in(self.body)
        if error:
            return printable(error)
        try:
            return HTTPStatus(self.status).phrase
        except ValueError:
            return "no reason given"


def _error_in(body: bytes) -> str:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    error = document.get("error") if isinstance(document, dict) else None
    entries = document.get("errors") if isinstance(document, dict) else None
    if isinstance(entries, list) and entries and isinstance(entries[0], dict):
        error = entries[0].get("message") or entries[0].get("code")
    return error if isinstance(error, str) else ""


def printable(text: str) -> str:
    """The beginning of what a stranger sent, which must not move the cursor of a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text[:500])


@define(eq=False)
class Transport:
    """
    Requests, one at a time or several at once.

    :param reactor: makes connections and measures silence.
    :param tls: how https connections are verified.
    :param idle_seconds: how long an answer may be waited for, and how long a download may be silent. An upload may take
        as long as it likes, as with engines.
    """

    reactor: Any
    tls: IPolicyForHTTPS
    idle_seconds: float = IDLE_SECONDS
    _pool: HTTPConnectionPool = field(init=False)
    _cookies: IndexableCookieJar = field(init=False, factory=IndexableCookieJar)
    _shared: HTTPClient = field(init=False)
    _single: HTTPClient = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._pool = HTTPConnectionPool(self.reactor, persistent=True)
        self._shared = HTTPClient(Agent(self.reactor, self.tls, pool=self._pool), cookiejar=self._cookies)
        self._single = HTTPClient(Agent(self.reactor, self.tls), cookiejar=self._cookies)

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._pool.closeCachedConnections()

    async def get(self, url: str, headers: Mapping[str, str]) -> Reply:
        """:raises ConnectionBroken: there was no complete answer."""
        return await self._exchange(self._shared, "GET", url, headers, None)

    async def put(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """:raises ConnectionBroken: there was no complete answer; whether the request did anything is not known."""
        return await self.request("PUT", url, headers, body)

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Reply:
        """As :meth:`put`, with another method."""
        return await self._exchange(self._single, method, url, headers, body)

    async def upload(self, url: str, headers: Mapping[str, str], body: StreamedBody) -> Reply:
        """
        Send a layer. An answer that comes before the layer has left ends the upload.

        :raises ConnectionBroken: there was no complete answer.
        """
        endpoints = _UploadEndpoints(self.reactor, self.tls)
        client = HTTPClient(Agent.usingEndpointFactory(self.reactor, endpoints), cookiejar=self._cookies)
        try:
            with _broken_connections(url):
                response = await client.request(
                    "PUT", url, headers=_headers(headers), data=body, allow_redirects=False, unbuffered=True
                )
                return await self._reply(url, response)
        finally:
            body.stopProducing()
            endpoints.drop()

    async def download(self, url: str, headers: Mapping[str, str]) -> tuple[Reply, ArrivingBody]:
        """
        Ask for a layer; redirections are followed, without the credentials where they lead to another host.

        :return: the head of the answer, and its body, which the caller reads to its end or drops.
        :raises ConnectionBroken: there was no answer.
        """
        with _broken_connections(url):
            response = await self._in_time(
                self._single.request(
                    "GET", url, headers=_headers(headers), browser_like_redirects=True, unbuffered=True
                )
            )
        arriving = ArrivingBody(self.reactor, self.idle_seconds)
        response.deliverBody(arriving)
        return Reply(url, response.code, response.headers, b""), arriving

    async def _exchange(
        self, client: HTTPClient, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> Reply:
        with _broken_connections(url):
            response = await self._in_time(
                client.request(
                    method, url, headers=_headers(headers), data=body, allow_redirects=False, unbuffered=True
                )
            )
            return await self._reply(url, response)

    async def _reply(self, url: str, response: IResponse) -> Reply:
        arriving = ArrivingBody(self.reactor, self.idle_seconds)
        response.deliverBody(arriving)
        content = bytearray()
        try:
            while pieces := await arriving.next_pieces():
                content += b"".join(pieces)
                if len(content) > MAX_DOCUMENT:
                    raise CommandFailed(f"{url} answered with more than {MAX_DOCUMENT} bytes")
        finally:
            arriving.drop()
        return Reply(url, response.code, response.headers, bytes(content))

    def _in_time(self, request: Deferred[Any]) -> Deferred[Any]:
        def too_late(_: object, seconds: float) -> Failure:
            return Failure(ConnectionBroken(f"no answer within {seconds:g} seconds"))

        return request.addTimeout(self.idle_seconds, self.reactor, onTimeoutCancel=too_late)


def _headers(headers: Mapping[str, str]) -> Headers:
    return Headers({name: [value] for name, value in {"User-Agent": USER_AGENT, **headers}.items()})


@contextmanager
def _broken_connections(url: str) -> Iterator[None]:
    """Tell what happened to a connection in a sentence, and keep a cancellation what it is."""
    try:
        yield
    except ConnectionBroken as broken:
        raise ConnectionBroken(f"{url}: {broken.message}") from broken
    except (RequestGenerationFailed, RequestTransmissionFailed, ResponseFailed) as failed:
        for reason in failed.reasons:
            if reason.check(CancelledError):
                raise CancelledError from failed
            if reason.check(CommandFailed):
                raise reason.value from failed
        raise ConnectionBroken(f"{url}: {_told(failed.reasons)}") from failed
    except (ConnectError, ConnectionClosed, DNSLookupError) as failed:
        raise ConnectionBroken(f"{url} can not be reached: {failed}") from failed


def _told(reasons: list[Failure]) -> str:
    text = "; ".join(reason.getErrorMessage() for reason in reasons)
    if "certificate verify failed" in text:
        return "the certificate of the registry is not trusted here; name its authority with --cacert"
    if "VerificationError" in text or "DNSMismatch" in text:
        return "the certificate of the registry was issued for another name"
    return f"the connection broke ({text})"


class _UploadConnection(ProtocolWrapper):
    """
    A connection whose answer is read while the body still leaves.

    twisted.web would read no further than the head of such an answer before all of the body has left, which a server
    that refused it may never take. So reading is not paused; answers to uploads are short.
    """

    _received = 0

    def pauseProducing(self) -> None:
        """Read on."""

    def dataReceived(self, data: bytes) -> None:
        """Hand on an answer of reasonable length."""
        self._received += len(data)
        if self._received > _MAX_UPLOAD_ANSWER:
            self.abortConnection()
        else:
            super().dataReceived(data)


@implementer(IStreamClientEndpoint)
@define(eq=False)
class _UploadEndpoint:
    endpoint: IStreamClientEndpoint
    on_connect: Callable[[_UploadConnection], None]

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        wrapping = WrappingFactory(protocolFactory)
        wrapping.protocol = _UploadConnection
        wrapping.noisy = False

        def connected(connection: Any) -> IProtocol:
            self.on_connect(connection)
            protocol: IProtocol = connection.wrappedProtocol
            return protocol

        return self.endpoint.connect(wrapping).addCallback(connected)


@implementer(IAgentEndpointFactory)
class _UploadEndpoints:
    """Makes the connection of one upload, and can drop it."""

    def __init__(self, reactor: Any, tls: IPolicyForHTTPS) -> None:
        self._reactor = reactor
        self._tls = tls
        self._connections: list[_UploadConnection] = []

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Where ``uri`` is served."""
        endpoint: IStreamClientEndpoint = HostnameEndpoint(self._reactor, uri.host.decode("ascii"), uri.port)
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(self._tls.creatorForNetloc(uri.host, uri.port), endpoint)
        return _UploadEndpoint(endpoint, self._connections.append)

    def drop(self) -> None:
        """Close what was opened, at once."""
        for connection in self._connections:
            connection.abortConnection()
