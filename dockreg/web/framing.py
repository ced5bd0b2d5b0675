"""
Where a request begins and ends, without a doubt.

Twisted's parser takes what is valid, and some of what once was. A proxy before us may read that in another way, and what
is the end of one request to it is the beginning of another one to us (RFC 9112 11.2). So whatever two parsers could read
in two ways is refused here.
"""

from typing import TYPE_CHECKING, cast

from twisted.internet.interfaces import ITransport
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers

from dockreg.web.chunks import ChunkedDecoder

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

    def refuse(self, status: int) -> None:
        """Answer what is arriving with an error, and end the connection."""
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

    def checkPersistence(self, request: "Request", version: bytes) -> bool:
        """Whether the connection stays open after this request (RFC 9112 9.3); unlike the parent, reads lists."""
        if version != b"HTTP/1.1":
            return False
        values = cast("list[bytes]", request.requestHeaders.getRawHeaders(b"Connection", []))
        return not any(option.strip().lower() == b"close" for value in values for option in value.split(b","))

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Send the head of a response, with what the site has to say in every one."""
        lines = [version, b" ", code, b" ", reason, b"\r\n"]
        for name, values in headers.getAllRawHeaders():
            for value in values:
                lines += (name, b": ", value, b"\r\n")
        lines += (self.site.entrance.header_lines(self.requests[0], headers), b"\r\n")
        cast("ITransport", self.transport).writeSequence(lines)

    def trailers_are_sound(self) -> bool:
        """Whether the lines behind the last chunk are headers, each in one line. Nobody looks at what they say."""
        decoder = self._transferDecoder
        return not isinstance(decoder, ChunkedDecoder) or all(map(_is_header, decoder.trailers))


def _is_header(line: bytes) -> bool:
    name, colon, value = line.partition(b":")
    return (
        bool(colon) and bool(name) and not name.translate(None, _TOKEN) and not any(each in value for each in b"\r\n\0")
    )
