"""Several ranges of a blob in one response: ``multipart/byteranges`` (RFC 9110 14.6)."""

from collections.abc import Sequence

from attrs import frozen

from dockreg.web.ranges import Selection


@frozen
class ByteRanges:
    """What stands between the bytes of the parts."""

    #: The parts, in the order in which they are sent; each has a Content-Range.
    parts: Sequence[Selection]
    #: What the blob in one piece would be sent as, if that is known.
    content_type: bytes | None
    #: 1 to 70 of ``A-Z``, ``a-z``, ``0-9``, ``_`` and ``-`` that nobody can have foreseen who made the blob.
    boundary: str

    @property
    def media_type(self) -> bytes:
        """The value of ``Content-Type`` of the response."""
        return b"multipart/byteranges; boundary=" + self.boundary.encode("ascii")

    @property
    def length(self) -> int:
        """The value of ``Content-Length``."""
        parts = sum(len(self.head(part)) + part.length for part in self.parts)
        return parts + len(self.tail)

    def head(self, part: Selection) -> bytes:
        """What comes before the bytes of a part."""
        # A line end before the boundary belongs to it; the first needs none.
        lines = [b"" if part is self.parts[0] else b"\r\n", b"--", self.boundary.encode("ascii"), b"\r\n"]
        if self.content_type is not None:
            lines += [b"Content-Type: ", self.content_type, b"\r\n"]
        assert part.content_range is not None
        return b"".join([*lines, b"Content-Range: ", part.content_range.encode("ascii"), b"\r\n\r\n"])

    @property
    def tail(self) -> bytes:
        """What comes behind the bytes of the last part."""
        return b"\r\n--" + self.boundary.encode("ascii") + b"--\r\n"
