"""``Range`` and ``If-Range`` of a request for a blob (RFC 9110 13.1.5 and 14)."""

import re
from collections.abc import Sequence
from typing import Final

from attrs import evolve, frozen

#: So many ranges of one request are answered; each of them opens the blob anew.
MAX_RANGES: Final = 16
_RANGES = re.compile(r"bytes=(.*)", re.ASCII | re.IGNORECASE)
# More digits than any size has; a longer number is as good as malformed.
_ONE_RANGE = re.compile(r"([0-9]{0,19})-([0-9]{0,19})", re.ASCII)
_BLANKS = " \t"


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
    found = _RANGES.fullmatch(header) if header is not None else None
    return _whole(size) if found is None else _select_one(found[1], size)


def select_several(header: str | None, size: int) -> Sequence[Selection]:
    """
    As :func:`select`, for a header that may ask for several ranges: one selection, or two and more with status 206.

    Ranges that are outside the blob, or end before they begin, are left out, those that overlap or touch become one; the others keep their order.
    Too many, or such that have more bytes than the blob between them, are ignored like what is malformed: a small
    request must not cost more than the whole blob does (RFC 9110 14.2, 15.3.7.2, 17.15).
    """
    found = _RANGES.fullmatch(header) if header is not None else None
    ranges = [item for item in found[1].split(",") if item.strip(_BLANKS)] if found is not None else []
    selected = [_select_one(item, size, backwards=416) for item in ranges]
    parts = [each for each in selected if each.status == 206]
    if not selected or any(each.status == 200 for each in selected):
        return [_whole(size)]
    if not parts:
        return selected[:1]
    if len(parts) > MAX_RANGES or sum(part.length for part in parts) > size:
        return [_whole(size)]
    return _joined(parts)


def _whole(size: int) -> Selection:
    return Selection(status=200, start=0, length=size, size=size)


def _select_one(text: str, size: int, backwards: int = 200) -> Selection:
    """``backwards``: what becomes of a range that ends before it begins, which may be ignored or refused (RFC 9110 14.2)."""
    found = _ONE_RANGE.fullmatch(text.strip(_BLANKS))
    if found is None:
        return _whole(size)
    first, last = found.groups()
    if not first:
        return _select_suffix(last, size)
    start = int(first)
    if last and int(last) < start and backwards == 200:
        return _whole(size)
    if start >= size or (last and int(last) < start):
        return Selection(status=416, start=0, length=0, size=size)
    end = min(int(last), size - 1) if last else size - 1
    return Selection(status=206, start=start, length=end - start + 1, size=size)


def _select_suffix(last: str, size: int) -> Selection:
    if not last:
        return _whole(size)
    if int(last) == 0:
        return Selection(status=416, start=0, length=0, size=size)
    if size == 0:
        # All of nothing: satisfiable, and Content-Range has no way to say so.
        return _whole(size)
    length = min(int(last), size)
    return Selection(status=206, start=size - length, length=length, size=size)


def _joined(parts: Sequence[Selection]) -> Sequence[Selection]:
    """Parts without overlaps, each in the place of the first of those that it was made of."""
    joined: list[tuple[int, Selection]] = []
    for place, part in sorted(enumerate(parts), key=lambda each: each[1].start):
        first, before = joined[-1] if joined else (place, part)
        end = before.start + before.length
        if joined and part.start <= end:
            length = max(end, part.start + part.length) - before.start
            joined[-1] = (min(first, place), evolve(before, length=length))
        else:
            joined.append((place, part))
    return [part for _, part in sorted(joined, key=lambda each: each[0])]


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
