"""
Chunks of one size, read so that what they carry lies side by side.

Engines send a layer in chunks that are all of one size, so where the lines between them will be is known before they come.
The kernel is told to put those elsewhere, and then nothing has to be moved and no chunk be looked at by itself. Whether they
were where they should be is looked at afterwards, for all of a read at once.
"""

import os
from typing import Final

from attrs import frozen

#: Smaller chunks would need more buffers than one read takes.
_LEAST_CHUNK_BYTES: Final = 4 * 1024


@frozen
class EvenChunks:
    """
    :param line: what comes between two chunks: the end of one, and the size of the next.
    :param size: of each, in bytes.
    """

    line: bytes
    size: int

    def scatter(self, room: memoryview, left: int, most: int) -> "Scatter | None":
        """
        How to read what comes next.

        :param room: where the bytes of the body go.
        :param left: bytes of a chunk that come before the next line.
        :param most: bytes to be read at most, with the lines.
        :return: None where there is no room for more than a line, or too many of them would come.
        """
        if self.size < _LEAST_CHUNK_BYTES:
            return None
        wanted = min(len(room), most)
        lines = -(-max(0, wanted - left) // self.size)
        wanted = min(wanted, most - lines * len(self.line))
        if wanted <= 0:
            return None
        return Scatter(self, room[:wanted], left, bytearray(lines * len(self.line)))


class Scatter:
    """One read: where its bytes go, and what they were."""

    def __init__(self, even: EvenChunks, room: memoryview, left: int, lines: bytearray) -> None:
        self._even = even
        self._left = left
        self._first = min(left, len(room))
        self._lines = lines
        length, size = len(even.line), even.size
        between = memoryview(lines)
        self._views = [room[: self._first]]
        for number, start in enumerate(range(left, len(room), size)):
            self._views += between[number * length : (number + 1) * length], room[start : start + size]

    def read(self, connection: int, _room: memoryview) -> int:
        """Receive from a socket; a :data:`.Receive` that knows its memory by itself."""
        return os.readv(connection, self._views)

    def taken(self, came: int) -> tuple[int, int, bytes]:
        """
        What has come.

        :param came: bytes that were read, with the lines.
        :return: how many bytes of the body there are now, how many of the last chunk are still to come, and what has to be
            looked at again: a line that is not whole; or one that is another line, with all that followed it.
        """
        if came <= self._first:
            return came, self._left - came, b""
        line, size = self._even.line, self._even.size
        whole, part = divmod(came - self._first, len(line) + size)
        if part >= len(line):
            lines, carried, left, rest = whole + 1, whole * size + part - len(line), size + len(line) - part, b""
        else:
            lines, carried, left = whole, whole * size, 0
            rest = bytes(self._lines[whole * len(line) :][:part])
        if self._lines.startswith(line * lines):
            return self._first + carried, left, rest
        other = next(each for each in range(lines) if not self._lines.startswith(line, each * len(line)))
        return self._first + other * size, 0, self._from(other, came)

    def _from(self, number: int, came: int) -> bytes:
        """What has come from a line on, in order."""
        before = self._first + number * (len(self._even.line) + self._even.size)
        return b"".join(self._views[1 + 2 * number :])[: came - before]
