"""One file that is written past the page cache, and how fast the disk is."""

import errno
import fcntl
import mmap
import os
from functools import partial
from pathlib import Path
from threading import Barrier, Event, Thread
from threading import enumerate as all_threads
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from dockreg.providers.blobs import direct as direct_module
from dockreg.providers.blobs.direct import REST_SECONDS, DirectFile, DirectIO
from dockreg.providers.blobs.meanwhile import Companions

CONTENT = os.urandom(1 << 20)


def pages(content: bytes) -> memoryview:
    """Memory that begins with a page."""
    memory = mmap.mmap(-1, len(content))
    memory[:] = content
    return memoryview(memory)


def writers() -> int:
    """How many threads there are that write."""
    return sum(each.name == "dockreg writes" for each in all_threads())


class DirectFileTests(SynchronousTestCase):
    """One file."""

    def setUp(self) -> None:
        self.companions = Companions("dockreg writes")
        self.addCleanup(self.companions.stop)
        self.owner = DirectIO(self.companions, lambda: 0.0)
        self.path = Path(self.mktemp())
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT)
        self.addCleanup(os.close, self.descriptor)

    def flags(self) -> int:
        return fcntl.fcntl(self.descriptor, fcntl.F_GETFL)

    def test_meanwhile(self) -> None:
        """Nobody waits for what is written before it is asked for."""
        begun, may_write = Event(), Event()
        write = os.write

        def slow(descriptor: int, data: bytes | memoryview) -> int:
            begun.set()
            may_write.wait(30)
            return write(descriptor, data)

        self.patch(os, "write", slow)
        file = DirectFile(self.owner, self.descriptor, alone=True)
        file.begin(pages(CONTENT))
        begun.wait(30)
        self.assertEqual(0, self.path.stat().st_size)
        may_write.set()
        self.assertIsNone(file.settle())
        self.assertIsNone(file.settle())
        file.end()
        self.assertEqual(CONTENT, self.path.read_bytes())

    def test_flag(self) -> None:
        """The descriptor is as it was when somebody else writes to it, and at the end."""
        flags = self.flags()
        for leave in (DirectFile.rest, DirectFile.end):
            file = DirectFile(self.owner, self.descriptor, alone=False)
            file.begin(pages(CONTENT))
            self.assertTrue(self.flags() & os.O_DIRECT)
            leave(file)
            self.assertEqual(flags, self.flags())
            file.end()

    def test_threads(self) -> None:
        """A thread serves one file after the other, several at the same time; there is none after the end."""
        before = writers()
        for count in (1, 1, 2, 2):
            files = [DirectFile(self.owner, self.descriptor, alone=True) for _ in range(count)]
            for each in files:
                each.begin(pages(CONTENT))
                self.assertIsNone(each.settle())
            for each in files:
                each.end()
            self.assertEqual(before + count, writers())
        self.companions.stop()
        self.assertEqual(before, writers())

    def test_slow_disk(self) -> None:
        """A disk that takes little in a second is left to the cache for a while; if many write to it, each gets a part of it."""
        for count, seconds, useful in ((1, 0.006, False), (1, 0.005, True), (4, 0.020, True), (4, 0.022, False)):
            clock = [0.0]
            owner = DirectIO(self.companions, partial(clock.__getitem__, 0))
            begun = Barrier(count)

            def write(
                _: int, data: memoryview, seconds: float = seconds, clock: list[float] = clock, begun: Barrier = begun
            ) -> int:
                # All of them have begun before the time goes on, which it does for all of them together.
                if begun.wait(30) == 0:
                    clock[0] += seconds
                begun.wait(30)
                return len(data)

            with patch.object(os, "write", write):
                threads = [Thread(target=self.write_much, args=(owner, 256 // count)) for _ in range(count)]
                for each in threads:
                    each.start()
                for each in threads:
                    each.join()
            self.assertEqual(useful, owner.is_useful, (count, seconds))
            clock[0] += REST_SECONDS - 1
            self.assertEqual(useful, owner.is_useful)
            clock[0] += 1
            self.assertTrue(owner.is_useful)

    def test_clock_set_back(self) -> None:
        """A disk does not rest for as long as a clock was set back."""
        clock = [1e9]
        owner = DirectIO(self.companions, partial(clock.__getitem__, 0))

        def write(_: int, data: memoryview) -> int:
            clock[0] += 1
            return len(data)

        with patch.object(os, "write", write):
            self.write_much(owner, 256)
        self.assertFalse(owner.is_useful)
        clock[0] = 0.0
        self.assertTrue(owner.is_useful)

    def write_much(self, owner: DirectIO, times: int) -> None:
        """So many MiB."""
        for _ in range(times):
            owner.write(self.descriptor, memoryview(CONTENT))

    def test_no_flag(self) -> None:
        """Where the system has no such flag nothing is written so."""
        self.patch(direct_module, "_FLAG", 0)
        self.assertFalse(DirectIO(self.companions, lambda: 0.0).is_useful)

    def test_other_problems(self) -> None:
        """What the disk says of its own is no sign that it does not take the flag."""
        self.owner.failed(OSError(errno.EIO, "broken"))
        self.assertTrue(self.owner.is_useful)
