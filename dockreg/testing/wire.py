"""
One HTTP/1.1 request on a connection of its own, byte for byte as it is given.

The agents of twisted.web choose names, order and framing of headers themselves; engines are told apart by just these.
"""

from collections.abc import Iterable, Iterator

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IPullProducer, IStreamClientEndpoint, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import HTTP11ClientProtocol
from twisted.web.client import RequestGenerationFailed, ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from zope.interface import implementer


class UploadCut(Exception):
    """Raise this from the pieces of a body to vanish in the middle of it."""


@frozen
class Answer:
    """What came back for one request."""

    status: int
    headers: Headers = field(repr=False)
    body: bytes
    #: Whether the body ended where its framing says; False for one cut short or one without any length.
    whole: bool

    def header(self, name: str) -> str | None:
        """The first value of a header, ``None`` without one."""
        values = self.header_lines(name)
        return values[0] if values else None

    def header_lines(self, name: str) -> list[str]:
        """The values of all lines of a header."""
        return [value.decode("latin-1") for value in self.headers.getRawHeaders(name.encode("ascii")) or []]


@implementer(IPullProducer)
class WireRequest:
    """
    A request as :class:`twisted.web._newclient.HTTP11ClientProtocol` wants it, with the bytes of its head fixed.

    :param target: path and query as they stand in the request line.
    :param headers: name and value as they stand on the wire, in their order.
    :param body: bytes that are sent as they are, or pieces that each become one chunk (RFC 9112 7.1).
    """

    persistent = False
    absoluteURI: bytes | None = None

    def __init__(
        self, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes | Iterable[bytes] = b""
    ) -> None:
        self.method = method.encode("ascii")
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
        self._head = "\r\n".join(lines).encode("latin-1")
        self._body = body
        self._pieces: Iterator[bytes] = iter(())
        self._transport: ITransport | None = None
        self._written: Deferred[None] = Deferred()

    def writeTo(self, transport: ITransport) -> Deferred[None]:
        """Send the request; the result fires once all is written."""
        transport.write(self._head)
        if isinstance(self._body, bytes):
            transport.write(self._body)
            self._written.callback(None)
        else:
            self._pieces, self._transport = iter(self._body), transport
            transport.registerProducer(self, False)  # type: ignore[attr-defined]  # IConsumer, which every TCP and TLS transport is
        return self._written

    def resumeProducing(self) -> None:
        """Send one more chunk."""
        if self._transport is None:
            return
        try:
            piece = next(self._pieces, None)
        except UploadCut:
            self._end(Failure())
            return
        if piece is None:
            self._transport.write(b"0\r\n\r\n")
            self._end(None)
        else:
            self._transport.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def stopProducing(self) -> None:
        """The connection is gone; the protocol reports it."""
        self._transport = None

    def stopWriting(self) -> None:
        """The protocol has no more use for the rest of the body."""
        self._end(None)

    def _end(self, result: Failure | None) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.unregisterProducer()  # type: ignore[attr-defined]  # as above
            if result is None:
                self._written.callback(None)
            else:
                self._written.errback(result)


class _Connection(HTTP11ClientProtocol):
    """A connection that tells when it is gone, so that nothing outlives a test."""

    def __init__(self) -> None:
        super().__init__()
        self.gone: Deferred[None] = Deferred()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.gone.callback(None)

    def close(self) -> None:
        """Send what is left and close."""
        if self.transport is not None:
            self.transport.loseConnection()

    def drop(self) -> None:
        """Close at once, losing what is on its way."""
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]  # ITCPTransport


class _ConnectionFactory(Factory):
    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> _Connection:
        return _Connection()


class _Collector(Protocol):
    """Gathers a body, at most ``limit`` bytes of it."""

    def __init__(self, connection: _Connection, limit: int | None) -> None:
        self.pieces: list[bytes] = []
        self.finished: Deferred[bool] = Deferred()
        self._connection = connection
        self._left = limit

    def dataReceived(self, data: bytes) -> None:
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        self.pieces.append(data)
        if self._left == 0:
            self._connection.drop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.finished.callback(reason.check(ResponseDone) is not None and self._left != 0)


async def exchange(endpoint: IStreamClientEndpoint, request: WireRequest, limit: int | None = None) -> Answer:
    """
    Send one request and collect its answer; the connection is closed before this returns.

    :param limit: stop reading the body after so many bytes and drop the connection.
    :raises UploadCut: the body of the request raised it; the connection was dropped there.
    :raises ResponseFailed: the connection ended before the answer did.
    """
    connection = await endpoint.connect(_ConnectionFactory())
    assert isinstance(connection, _Connection)
    try:
        sending = connection.request(request)  # type: ignore[arg-type]  # it has what is used of a Request
        parser = connection._parser  # noqa: SLF001  # the only place where it keeps the framing headers
        response = await sending
        body, whole = await _body_of(response, connection, limit)
    except RequestGenerationFailed as failed:
        raise UploadCut from failed
    finally:
        # An answer may come before the body is out: what is left of the body is then not sent any more.
        request.stopWriting()
        if not connection.gone.called:
            connection.close()
            await connection.gone
    headers = response.headers.copy()
    for name, values in parser.connHeaders.getAllRawHeaders() if parser else ():
        headers.setRawHeaders(name, list(values))
    return Answer(response.code, headers, body, whole)


async def _body_of(response: IResponse, connection: _Connection, limit: int | None) -> tuple[bytes, bool]:
    if limit == 0:
        connection.drop()
        return b"", False
    collector = _Collector(connection, limit)
    response.deliverBody(collector)
    whole = await collector.finished
    return b"".join(collector.pieces), whole
