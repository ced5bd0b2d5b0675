"""Files that are read before they are sent."""

import os
from pathlib import Path
from threading import Event

from twisted.trial.unittest import SynchronousTestCase

from dockreg.web.readahead import WINDOW_BYTES, ReadAhead

PAGE = 4096


class ReadAheadTests(SynchronousTestCase):
    """What the kernel is told."""

    def setUp(self) -> None:
        path = Path(self.mktemp())
        with path.open("wb") as file:
            for _ in range(5):
                file.write(bytes(WINDOW_BYTES))
            file.write(b"end")
            os.fsync(file.fileno())
        self.size = path.stat().st_size
        self.file = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, self.file)
        self.asked: list[tuple[int, int]] = []
        advise = os.posix_fadvise

        def note(file: int, first: int, size: int, advice: int) -> None:
            self.asked.append((first, size))
            advise(file, first, size, advice)

        self.advise = advise
        self.patch(os, "posix_fadvise", note)

    def forget(self) -> None:
        """Have the cache drop the file; of a file system in memory nothing is dropped."""
        self.advise(self.file, 0, 0, os.POSIX_FADV_DONTNEED)

    def is_cached(self, position: int) -> bool:
        try:
            os.preadv(self.file, [bytearray(1)], position, os.RWF_NOWAIT)
        except BlockingIOError:
            return False
        return True

    def looked(self, start: int, end: int) -> list[int]:
        """Positions at which it was looked, of what is sent in pieces."""
        ahead, found = ReadAhead(self.file, start, end), []
        for position in range(start, end, 256 * 1024):
            if position >= ahead.next:
                ahead.look(position)
                found.append(position)
        return found

    def test_cached(self) -> None:
        """Of what is in the cache nothing is asked for."""
        os.pread(self.file, self.size, 0)
        self.assertEqual(5, len(self.looked(0, self.size)))
        self.assertEqual([], self.asked)

    def test_dropped(self) -> None:
        """What is not is asked for once, two windows at first and one for each that is sent, to the end and no further."""
        self.patch(ReadAhead, "_is_cached", lambda *_: False)
        self.looked(100, self.size - 1)
        self.assertEqual([100 + each * WINDOW_BYTES for each in range(5)], [first for first, _ in self.asked])
        self.assertEqual(self.size - 1, sum(self.asked[-1]))
        self.asked.clear()
        self.looked(0, 300_000)
        self.assertEqual([(0, 300_000)], self.asked)

    def test_read(self) -> None:
        """It is in the cache then, before anybody reads it."""
        self.forget()
        if self.is_cached(WINDOW_BYTES):
            # In memory anyway.
            return
        ReadAhead(self.file, 0, self.size).look(0)
        self.assertEqual((0, WINDOW_BYTES), self.asked[0])
        for _ in range(3000):
            if self.is_cached(WINDOW_BYTES - PAGE):
                return
            Event().wait(0.01)
        self.fail("it was not read")

    def test_cannot_tell(self) -> None:
        """Where a file system does not tell what is in the cache, it is left to itself."""

        def refuse(*_: object) -> int:
            raise OSError(95, "not supported")

        self.patch(os, "preadv", refuse)
        self.looked(0, self.size)
        self.assertEqual([], self.asked)
