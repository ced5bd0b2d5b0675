"""
The chunked transfer coding (RFC 9112 7.1), for bodies of gigabytes.

Each byte of a body is where the kernel has put it until it is hashed: a piece that is handed on is a view of what came. The
rules are those of Twisted's decoder, and not one of them is looser; ``tests/unit/web/test_chunks.py`` feeds both the same.
"""

import mmap
from collections.abc import Callable
from typing import Final

from dockreg.web.evenchunks import EvenChunks, Scatter

#: A line with the size of a chunk, its extensions included, without its end.
_MAX_SIZE_LINE: Final = 1023
#: All lines behind the last chunk, with their ends.
_MAX_TRAILER_BYTES: Final = 64 * 1024
#: A size of more digits, leading zeros aside, is not meant.
_MAX_DIGITS: Final = 16
#: Pieces of one read that are handed on as views; more of them are copied instead, for a view weighs much more than a few bytes.
_MOST_VIEWS: Final = 128
#: So many lines that are the same as the one before them tell what the next ones will be.
_ALIKE: Final = 2
#: Of a body whose chunks were so often not what those before them were it is not expected any more.
_MOST_SURPRISES: Final = 2

_LINE_END: Final = b"\r\n"
_DIGITS: Final = b"0123456789abcdefABCDEF"
#: What an extension may have: everything but control characters and the backslash, so that nobody sees a quote end elsewhere.
_EXTENSION: Final = bytes(each for each in range(256) if each == 9 or (each >= 32 and each not in (92, 127)))


class ChunksMalformed(Exception):
    """What came is not in chunks; where it ends can not be told."""


class ChunkedDecoder:
    """
    Takes what comes, and hands on what it carries.

    :param take: called with each piece of the body, in order.
    :param finish: called once, with what came behind the end.
    """

    def __init__(self, take: Callable[[bytes | memoryview], None], finish: Callable[[bytes], None]) -> None:
        self._take = take
        self._finish = finish
        # What comes next: bytes of a chunk, the end of a chunk, lines behind the last one, or the line of a size.
        self._left = 0
        self._in_end = False
        self._in_trailer = False
        self._finished = False
        # The beginning of a line whose end has not come.
        self._partial = b""
        self._trailer_bytes = 0
        #: The lines behind the last chunk, as they came.
        self.trailers: list[bytes] = []
        # What the last ones that :meth:`compact` took have in common, if several were of one size.
        self._even: EvenChunks | None = None
        self._surprises = 0

    def dataReceived(self, data: bytes) -> None:
        """
        Take what has come; the name is that of Twisted's decoders, whose place it has.

        :raises ChunksMalformed: see there. What was good before has been handed on.
        """
        if self._finished:
            raise RuntimeError("the body has ended")
        if self._partial:
            data, self._partial = self._partial + data, b""
        pieces: list[tuple[int, int]] = []
        try:
            rest = self._read(data, pieces)
        finally:
            self._hand_on(data, pieces)
        if rest is not None:
            self._finish(rest)

    def begin_compact(self) -> bytes | None:
        """
        Let :meth:`compact` go on where :meth:`dataReceived` has stopped.

        :return: what it has to begin with; None when the body has ended, or all but that.
        """
        if self._in_trailer or self._finished:
            return None
        begun, self._partial = self._partial, b""
        return begun

    def compact(self, buffer: mmap.mmap, begin: int, end: int) -> tuple[int, int, bool]:
        """
        Take the bytes of a buffer between two places, and move what they carry to the first of them.

        It takes chunks, and plain lines between two of them. Where it stops, :meth:`dataReceived` goes on; or another
        call, with the same bytes and those behind them.

        :return: how many bytes of the body there are now, where those end that were taken for that, and whether nothing but
            more bytes is missing to go on.
        """
        at = carried = begin
        plain, left = True, self._left
        # Nearly all chunks are of one size: the line before the last one, with the end of the chunk before that.
        line, line_left, alike = b"", 0, 0
        with memoryview(buffer) as view:
            while at < end:
                if not left:
                    if line and buffer[at : min(at + len(line), end)] == line:
                        at, left, alike = at + len(line), line_left, alike + 1
                    else:
                        following, plain = self._next_chunk(buffer, at, end)
                        if not following:
                            break
                        left = self._left
                        line, line_left, alike = buffer[at:following] if at > begin else b"", left, 0
                        at = following
                count = min(left, end - at)
                if at != carried:
                    view[carried : carried + count] = view[at : at + count]
                at += count
                carried += count
                left -= count
                # For the next line, and for whoever goes on.
                self._left, self._in_end = left, not left
        if alike >= _ALIKE:
            self._even = EvenChunks(line, line_left)
        elif self._even is not None and line not in (b"", self._even.line):
            self._even = None
        return carried - begin, at, plain

    def scatter(self, room: memoryview, most: int) -> Scatter | None:
        """
        How to read chunks that will be as those before them were, in place of :meth:`compact`, which has left nothing.

        :param room: where their bytes go. :param most: bytes to be read at most.
        :return: None where that is not known.
        """
        if self._even is None or not (self._left or self._in_end) or self._surprises > _MOST_SURPRISES:
            return None
        return self._even.scatter(room, self._left, most)

    def scattered(self, scatter: Scatter, came: int) -> tuple[int, bytes, bool]:
        """
        Take what was read so.

        :param came: how many bytes.
        :return: how many bytes of the body there are; what is left for :meth:`compact` or :meth:`dataReceived`; and whether
            nothing but more bytes is missing to go on.
        """
        carried, self._left, rest = scatter.taken(came)
        self._in_end = not self._left
        # The line of the last chunk, which has no bytes, is shorter; nobody should wait for more of it.
        line = b"" if self._even is None else self._even.line
        plain = len(rest) < len(line) and (rest[2:3] != b"0" or line.startswith(rest))
        if not plain:
            self._even = None
            self._surprises += 1
        return carried, rest, plain

    def _next_chunk(self, buffer: mmap.mmap, at: int, end: int) -> tuple[int, bool]:
        """Where the bytes of the next chunk begin, 0 where that can not be told; and whether more bytes would tell."""
        first = at
        if self._in_end:
            first += len(_LINE_END)
            if not _LINE_END.startswith(buffer[at : min(first, end)]):
                return 0, False
        found = buffer.find(_LINE_END, first, min(end, first + _MAX_SIZE_LINE + len(_LINE_END)))
        if found < 0:
            return 0, end - first <= _MAX_SIZE_LINE
        try:
            left = _chunk_size(buffer[first:found])
        except ChunksMalformed:
            return 0, False
        if not left:
            return 0, False
        self._left, self._in_end = left, False
        return found + len(_LINE_END), True

    def _hand_on(self, data: bytes, pieces: list[tuple[int, int]]) -> None:
        """A view keeps all of what came with it, so what is mostly lines between chunks is copied from there."""
        whole = memoryview(data)
        if len(pieces) <= _MOST_VIEWS and 2 * sum(end - first for first, end in pieces) >= len(data):
            for first, end in pieces:
                self._take(whole[first:end])
        elif pieces:
            self._take(b"".join([data[first:end] for first, end in pieces]))

    def _read(self, data: bytes, pieces: list[tuple[int, int]]) -> bytes | None:
        """Tell where the pieces of the body are; return what came behind its end, None before that."""
        at, end = 0, len(data)
        while at < end:
            if self._left:
                size = min(self._left, end - at)
                pieces.append((at, at + size))
                at += size
                self._left -= size
                self._in_end = not self._left
                continue
            found = self._line_end(data, at)
            if found < 0:
                self._partial = data[at:]
                return None
            if self._in_trailer:
                if found == at:
                    self._finished = True
                    return data[at + 2 :]
                self._add_trailer(data[at:found])
            elif self._in_end:
                self._in_end = False
            else:
                self._left = _chunk_size(data[at:found])
                self._in_trailer = not self._left
            at = found + 2
        return None

    def _line_end(self, data: bytes, at: int) -> int:
        """Where the line ends that begins at ``at``; -1 when its end has not come."""
        if self._in_end:
            came = data[at : at + 2]
            if came == _LINE_END:
                return at
            if came == b"\r":
                return -1
            raise ChunksMalformed("a chunk does not end where its size says")
        longest = max(0, _MAX_TRAILER_BYTES - self._trailer_bytes - 2) if self._in_trailer else _MAX_SIZE_LINE
        found = data.find(_LINE_END, at, at + longest + 2)
        if found < 0 and len(data) - at > longest + 1:
            raise ChunksMalformed("a line between the chunks, or behind them, is too long")
        return found

    def _add_trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line) + 2
        self.trailers.append(line)


def _chunk_size(line: bytes) -> int:
    digits, _, extension = line.partition(b";")
    if not digits or digits.translate(None, _DIGITS):
        raise ChunksMalformed("the size of a chunk is not a number in hexadecimal digits")
    if len(digits) > _MAX_DIGITS and len(digits.lstrip(b"0")) > _MAX_DIGITS:
        raise ChunksMalformed("the size of a chunk is too large")
    if extension and extension.translate(None, _EXTENSION):
        raise ChunksMalformed("the extension of a chunk has characters that have no place there")
    return int(digits, 16)
