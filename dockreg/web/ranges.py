"""``Range`` and ``If-Range`` of a request for a blob (RFC 9110 13.1.5 and 14)."""

import re

from attrs import frozen

# More digits than any size has; a longer number is as good as malformed.
_ONE_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,19})-([0-9]{0,19})[ \t]*", re.ASCII | re.IGNORECASE)


@frozen
class Selection:
    """The part of a blob that answers a request, and the status that says so."""

    #: 200 for the whole blob, 206 for a part, 416 when there is no such part.
    status: int
    #: The first byte to send, counted from 0.
    start: int
    #: How many bytes to send; 0 with status 416.
    length: int
    #: Bytes of the whole blob.
    size: int

    @property
    def content_range(self) -> str | None:
        """The value of ``Content-Range``, ``None`` for the whole blob."""
        if self.status == 206:
            return f"bytes {self.start}-{self.start + self.length - 1}/{self.size}"
        if self.status == 416:
            return f"bytes */{self.size}"
        return None


def select(header: str | None, size: int) -> Selection:
    """
    The part of a blob of ``size`` bytes that a ``Range`` header asks for.

    An end beyond the last byte is clamped: engines that resume a layer ask for ``bytes=N-SIZE``, one byte too many.
    What is malformed, in another unit, or several ranges at once is ignored: the whole blob answers (RFC 9110 14.2).
    """
    whole = Selection(status=200, start=0, length=size, size=size)
    found = _ONE_RANGE.fullmatch(header) if header is not None else None
    if found is None:
        return whole
    first, last = found.groups()
    if not first:
        return _select_suffix(last, whole)
    start = int(first)
    if last and int(last) < start:
        return whole
    if start >= size:
        return Selection(status=416, start=0, length=0, size=size)
    end = min(int(last), size - 1) if last else size - 1
    return Selection(status=206, start=start, length=end - start + 1, size=size)


def _select_suffix(last: str, whole: Selection) -> Selection:
    size = whole.size
    if not last:
        return whole
    if int(last) == 0:
        return Selection(status=416, start=0, length=0, size=size)
    if size == 0:
        # All of nothing: satisfiable, and Content-Range has no way to say so.
        return whole
    length = min(int(last), size)
    return Selection(status=206, start=size - length, length=length, size=size)


def if_range_holds(header: str | None, etag: str | None) -> bool:
    """
    Whether a range may be answered as such: there is no ``If-Range``, or it names this very content.

    Only strong entity tags compare equal (RFC 9110 13.1.5); blobs have no date, so a date never does.
    """
    if header is None:
        return True
    return etag is not None and not etag.startswith("W/") and header.strip() == etag


def matches_etag(header: str | None, etag: str | None) -> bool:
    """Whether ``If-None-Match`` names this content, by the weak comparison (RFC 9110 13.1.2)."""
    if header is None or etag is None:
        return False
    if header.strip() == "*":
        return True
    return etag.removeprefix("W/") in (item.strip().removeprefix("W/") for item in header.split(","))
