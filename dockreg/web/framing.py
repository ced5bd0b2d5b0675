"""
Where a request begins and ends, without a doubt.

Twisted's parser takes what is valid, and some of what once was. A proxy before us may read that in another way, and what
is the end of one request to it is the beginning of another one to us (RFC 9112 11.2). So whatever two parsers could read
in two ways is refused here.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.interfaces import IAddress
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers

from dockreg.model.networks import NO_ADDRESS
from dockreg.web.chunks import ChunkedDecoder
from dockreg.web.heads import ResponseHeaders

if TYPE_CHECKING:
    from dockreg.web.requests import Request
    from dockreg.web.site import Site

_BLANKS = (b" ", b"\t")
_FRAMING = (b"Content-Length", b"Transfer-Encoding")
#: The digits of the largest length that anybody means.
_MAX_LENGTH_DIGITS = 19
#: What names of headers are made of (RFC 9110 5.6.2).
_TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class FramedChannel(HTTPChannel):
    """A connection whose requests have one beginning and one end."""

    site: "Site"
    requests: "list[Request]"
    # Twisted declares an optional transport, and none that can be cut off or half-closed.
    transport: Any
    #: The address of who we talk to, and whether it is believed when it speaks for others.
    peer = NO_ADDRESS
    trusts_peer = False
    #: Whether it is over TLS.
    sealed = False
    #: The address under which its requests are counted, unless a proxy brings them.
    rated_as = NO_ADDRESS
    # What was written and is not sent yet, while that is so.
    _held: list[bytes] | None = None
    #: Who talks to whom, once that was asked: of the kernel, for each request, it takes a while.
    ends: tuple[IAddress, IAddress] | None = None

    def find_ends(self) -> tuple[IAddress, IAddress]:
        """The client's end of the connection, and ours."""
        if self.ends is None:
            self.ends = self.transport.getPeer(), self.transport.getHost()
        return self.ends

    def getPeer(self) -> IAddress:
        """The client's end of the connection."""
        return self.find_ends()[0]

    def getHost(self) -> IAddress:
        """Our end of the connection."""
        return self.find_ends()[1]

    def refuse(self, status: int) -> None:
        """Answer what is arriving with an error, and end the connection."""
        raise NotImplementedError

    def close_needed(self, code: int) -> bool:
        """Whether no other request may follow on this connection, whatever the client has asked for."""
        raise NotImplementedError

    def _respondToBadRequestAndDisconnect(self) -> None:
        if self._receivedHeaderSize > self.totalHeadersSize:
            self._refuse_size()
        else:
            self.refuse(400)

    def lineReceived(self, line: bytes) -> None:
        """One line of a request, up to the end of its headers."""
        if line.startswith(_BLANKS):
            # A header that goes on in the next line (RFC 9112 5.2), or something before the method.
            self.refuse(400)
        else:
            # Once for each line: quicker than super().
            HTTPChannel.lineReceived(self, line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line longer than all headers may be."""
        self._refuse_size()

    def _refuse_size(self) -> None:
        # Twisted has the method from the first line of a request to the end of its body.
        self.refuse(431 if hasattr(self, "_command") else 414)

    def _maybeChooseTransferDecoder(self, header: bytes, data: bytes) -> bool:
        """Which header tells the length. Unlike the parent, takes no other coding than ``chunked``."""
        if header not in _FRAMING:
            return True
        if header == b"Content-Length" and len(data) > _MAX_LENGTH_DIGITS:
            # int() refuses thousands of digits with an error that nobody expects.
            return bool(self._failChooseTransferDecoder())
        # HTTP/1.0 has no codings: who reads it by that version sees another end (RFC 9112 6.1).
        if header == b"Transfer-Encoding" and (data.lower() != b"chunked" or self._version != b"HTTP/1.1"):
            return bool(self._failChooseTransferDecoder())
        if header != b"Transfer-Encoding" or self._transferDecoder is not None:
            return bool(super()._maybeChooseTransferDecoder(header, data))
        self.length = None
        self._transferDecoder = ChunkedDecoder(self.requests[-1].handleContentChunk, self._finishRequestBody)
        return True

    @property
    def chunks(self) -> ChunkedDecoder | None:
        """The decoder of the body that is arriving, if it comes in chunks."""
        decoder = self._transferDecoder
        return decoder if isinstance(decoder, ChunkedDecoder) else None

    def begin_turn_of_decoder(self) -> bytes | None:
        """What came and is not decoded, for whoever decodes in the place of the parser; None when nobody may."""
        return b"" if self.chunks is None else self.chunks.begin_compact()

    def pass_over(self, count: int) -> None:
        """So many bytes of a body of known length went another way; there are more of it."""
        cast("Any", self._transferDecoder).contentLength -= count

    def checkPersistence(self, request: "Request", version: bytes) -> bool:
        """Whether the connection stays open after this request (RFC 9112 9.3); unlike the parent, reads lists."""
        if version != b"HTTP/1.1":
            return False
        values = cast("list[bytes]", request.requestHeaders.getRawHeaders(b"Connection", []))
        return not any(option.strip().lower() == b"close" for value in values for option in value.split(b","))

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Send the head of a response."""
        self.write(self.head_of(version, int(code), reason, cast("ResponseHeaders", headers)))

    def head_of(self, version: bytes, code: int, reason: bytes, headers: ResponseHeaders) -> bytes:
        """
        The head of a response, with what the site has to say in every one.

        It is the last moment to say that the connection will be closed.
        """
        if self.close_needed(code) or (b"Connection" in headers.raw and _says_close(headers)):
            self.persistent = False
        if not self.persistent:
            headers.setRawHeaders(b"Connection", [b"close"])
        lines = headers.lines()
        entrance, request = self.site.entrance, self.requests[0]
        lines += (entrance.browsers.lines(request, headers),)
        if entrance.cross_origin.origins:
            lines.append(entrance.cross_origin.header_lines(request))
        return b"%b %d %b\r\n%b\r\n" % (version, code, reason, b"".join(lines))

    def write(self, data: bytes) -> None:
        """Send a part of a response; or keep it until :meth:`let_go`."""
        if self._held is None:
            self.transport.write(data)
        else:
            self._held.append(data)

    def writeSequence(self, iovec: Sequence[bytes]) -> None:
        """The same for several parts."""
        if self._held is None:
            self.transport.writeSequence(iovec)
        else:
            self._held += iovec

    def hold(self) -> None:
        """Keep what is written now: the head of a response leaves with the beginning of its body, in one packet."""
        self._held = []

    def let_go(self) -> None:
        """Send what was kept."""
        held, self._held = self._held, None
        if held:
            self.writeSequence(held)

    def trailers_are_sound(self) -> bool:
        """Whether the lines behind the last chunk are headers, each in one line. Nobody looks at what they say."""
        return self.chunks is None or all(map(_is_header, self.chunks.trailers))


def _says_close(headers: Headers) -> bool:
    return any(value.lower() == b"close" for value in headers.getRawHeaders(b"Connection", []))


def _is_header(line: bytes) -> bool:
    name, colon, value = line.partition(b":")
    return (
        bool(colon) and bool(name) and not name.translate(None, _TOKEN) and not any(each in value for each in b"\r\n\0")
    )
