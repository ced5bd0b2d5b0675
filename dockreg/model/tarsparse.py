"""Sparse files in tar archives: the maps of old GNU and of pax 0.0, 0.1 and 1.0, and the content they stand for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from attrs import evolve, frozen

from dockreg.model.tarheader import NotATar, TarEntry, decimal, number, text

#: More pieces than this in one sparse file are refused.
MAX_SEGMENTS: Final = 65_536

_PAIR = 24
_HALF = 12

#: A stretch of a sparse file that is stored: its offset in the file and its length, in bytes.
Segment = tuple[int, int]


@frozen
class PaxSparse:
    """
    A sparse file in pax form.

    ``entry`` has the name and the size of the expanded file. ``segments`` is None in format 1.0, where the map
    precedes the content.
    """

    entry: TarEntry
    segments: Sequence[Segment] | None


def gnu_segments(pairs: bytes) -> list[Segment]:
    """
    The map in an old GNU header (four pairs of 12 byte numbers) or in one of its extensions (21 pairs).

    :raises NotATar: a number cannot be read.
    """
    segments = []
    for start in range(0, len(pairs) - _PAIR + 1, _PAIR):
        if not pairs[start]:
            break
        segments.append((number(pairs[start : start + _HALF]), number(pairs[start + _HALF : start + _PAIR])))
    return segments


def pax_sparse(entry: TarEntry, records: Mapping[bytes, bytes]) -> PaxSparse | None:
    """
    What pax records say of a sparse file; None when the entry is none.

    :param entry: after its other pax records were merged.
    :raises NotATar: the records contradict each other.
    """
    version = records.get(b"GNU.sparse.major"), records.get(b"GNU.sparse.minor")
    stored_map = records.get(b"GNU.sparse.map")
    size = records.get(b"GNU.sparse.realsize") or records.get(b"GNU.sparse.size")
    if not entry.has_content or (version != (b"1", b"0") and stored_map is None):
        return None
    if size is None:
        raise NotATar("a sparse file has no size")
    entry = evolve(entry, name=text(records.get(b"GNU.sparse.name") or entry.name), size=decimal(size))
    if version == (b"1", b"0"):
        return PaxSparse(entry, None)
    return PaxSparse(entry, _pairs(stored_map.split(b",") if stored_map else []))


def map_in_content(gathered: bytes | bytearray) -> list[Segment] | None:
    """
    The map at the start of the content of a pax 1.0 sparse file; None while more of it is needed.

    :raises NotATar: it is malformed, or too long.
    """
    first, newline, _ = gathered.partition(b"\n")
    if not newline:
        return None
    wanted = 2 * decimal(bytes(first))
    if not 0 <= wanted <= 2 * MAX_SEGMENTS:
        raise NotATar("a sparse file has too many pieces")
    if gathered.count(b"\n") <= wanted:
        return None
    return _pairs(bytes(gathered).split(b"\n", wanted + 1)[1 : wanted + 1])


def _pairs(numbers: Sequence[bytes]) -> list[Segment]:
    if len(numbers) % 2 or len(numbers) > 2 * MAX_SEGMENTS:
        raise NotATar("the map of a sparse file is malformed")
    values = [decimal(value) for value in numbers]
    return list(zip(values[::2], values[1::2], strict=True))


class SparseContent:
    """Turns the stored bytes of a sparse file into content and holes, in the order of the file."""

    def __init__(
        self,
        segments: Sequence[Segment],
        stored: int,
        size: int,
        content_received: Callable[[memoryview], None],
        hole_received: Callable[[int], None],
    ) -> None:
        """:raises NotATar: the segments overlap, lie outside the file, or are not as long as what is stored."""
        at = total = 0
        for offset, length in segments:
            if offset < at or length < 0 or offset + length > size:
                raise NotATar("the map of a sparse file is not in order")
            at = offset + length
            total += length
        if total != stored or size < 0:
            raise NotATar("the map of a sparse file does not fit its content")
        self._segments = iter([segment for segment in segments if segment[1]])
        self._size = size
        self._at = 0
        self._left = 0
        self._content_received = content_received
        self._hole_received = hole_received

    def receive(self, stored: memoryview) -> None:
        """Take the next stored bytes."""
        while stored:
            if not self._left:
                offset, self._left = next(self._segments)
                self._skip_to(offset)
            piece = stored[: self._left]
            self._content_received(piece)
            self._left -= len(piece)
            self._at += len(piece)
            stored = stored[len(piece) :]

    def finish(self) -> None:
        """All stored bytes were received: the rest of the file is a hole."""
        self._skip_to(self._size)

    def _skip_to(self, offset: int) -> None:
        if offset > self._at:
            self._hole_received(offset - self._at)
            self._at = offset
