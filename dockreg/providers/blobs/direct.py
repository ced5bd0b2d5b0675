"""
Large bodies past the page cache: ``O_DIRECT`` of open(2).

What is written in the ordinary way is copied to pages of the kernel, which has to find them first, and writes them to the
disk when it likes, or when a flush waits for it. A layer is flushed before it is acknowledged in any case. So the device takes
whole blocks of a large one from where they were received, while another thread digests them: that takes a tenth of the
processor time of the copy, and what is pulled stays in the cache.

The first pull of such a blob reads it from the disk, and takes longer for it. With a slow disk, which a push waits for in any
case, the cache is of more use: so how fast it takes blocks is measured, and a slow one gets no more of them for a while.

Nothing is durable for it: that is the flush, as for all that is written. What is not a whole block (the beginning and the end of
what one thread receives) is written in the ordinary way, and so is everything where a file system does not take the flag.
"""

import errno
import fcntl
import os
from collections.abc import Callable
from threading import Lock
from typing import Final

from twisted.logger import Logger

from dockreg.providers.blobs.meanwhile import Begun, Companions

log = Logger()

#: Fewer bytes at once are left to the cache, which makes one write of many small ones.
LEAST_BYTES: Final = 256 * 1024
#: Bytes in a second that a disk takes at least, of all who write; slower ones are left to the cache, for so many seconds.
LEAST_RATE: Final = 200_000_000
REST_SECONDS: Final = 60.0
#: After how many bytes that is judged: of few the time says how busy the processors were.
_JUDGED_BYTES: Final = 256 * 1024 * 1024
#: The flag of a descriptor; 0 where the system has none.
_FLAG: Final[int] = getattr(os, "O_DIRECT", 0)
#: What a file system says of a flag that it does not take, at once or when something is written.
_REFUSALS: Final = frozenset({errno.EINVAL, errno.EOPNOTSUPP})


class DirectIO:
    """
    What all files have in common that are written so: whether that is possible and useful.

    :param companions: wait for the disk while others digest.
    :param now: seconds, in any thread.
    """

    def __init__(self, companions: Companions, now: Callable[[], float]) -> None:
        self.companions = companions
        self._now = now
        # None before the first write has told.
        self._works: bool | None = None if _FLAG else False
        self._lock = Lock()
        # Writes that are under way, and what those took that are to be judged: each its share of the time.
        self._writers = 0
        self._bytes = 0
        self._seconds = 0.0
        # Since when the disk is left to the cache.
        self._rests_since: float | None = None

    @property
    def is_useful(self) -> bool:
        """Whether the file system may take it, as far as is known, and the disk is fast."""
        since = self._rests_since
        # A clock that was set back makes nobody wait.
        rests = since is not None and 0 <= self._now() - since < REST_SECONDS
        return self._works is not False and not rests

    def write(self, descriptor: int, blocks: memoryview) -> int:
        """
        Write to a descriptor that has the flag.

        :return: how many bytes were written. :raises OSError: as write(2) says; none were.
        """
        with self._lock:
            self._writers += 1
            writers, began = self._writers, self._now()
        written = 0
        try:
            written = os.write(descriptor, blocks)
        finally:
            with self._lock:
                self._writers -= 1
                if written:
                    self._works = True
                    self._judge(written, (self._now() - began) / writers)
        return written

    def _judge(self, size: int, seconds: float) -> None:
        self._bytes += size
        self._seconds += seconds
        if self._bytes < _JUDGED_BYTES:
            return
        if self._bytes < LEAST_RATE * self._seconds:
            self._rests_since = self._now()
        self._bytes, self._seconds = 0, 0.0

    def failed(self, problem: OSError) -> None:
        """It has not been written. If the file system never took any it never will."""
        if self._works is None and problem.errno in _REFUSALS:
            self._works = False
            log.info("The file system of the blobs takes no direct writes: all go through the page cache.")


class DirectFile:
    """
    One file, while one thread writes to it. Who else writes to its descriptor calls :meth:`rest` before.

    :param alone: whether another thread may write, for a processor is free.
    """

    def __init__(self, owner: DirectIO, descriptor: int, *, alone: bool) -> None:
        self._owner = owner
        self._descriptor = descriptor
        self._companion = owner.companions.lend() if alone else None
        self._flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        self._direct = False
        self._begun: Begun | None = None
        # What is being written, and how many bytes of it were.
        self._blocks = memoryview(b"")
        self._written = 0
        #: Whether nothing more can be written so.
        self.has_failed = False

    def begin(self, blocks: memoryview) -> None:
        """
        Write whole blocks behind the last one of the file.

        They have to stay as they are, and nothing else may be done to the file, until :meth:`settle`.
        """
        self._blocks, self._written = blocks, 0
        if self._companion is None:
            self._write()
        else:
            self._begun = self._companion.begin(self._write)

    def settle(self) -> tuple[memoryview, int] | None:
        """Return when nothing is being written: the blocks that were begun if not all of them are there, and how many bytes are."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.wait()
        blocks, self._blocks = self._blocks, memoryview(b"")
        return None if self._written == len(blocks) or not blocks else (blocks, self._written)

    def rest(self) -> None:
        """Writes are ordinary ones."""
        if self._direct:
            self._direct = False
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, self._flags)

    def end(self) -> None:
        """The same, and nothing more is to be written in this way."""
        if self._companion is not None:
            self._owner.companions.give_back(self._companion)
            self._companion = None
        self.rest()

    def _write(self) -> None:
        try:
            if not self._direct:
                fcntl.fcntl(self._descriptor, fcntl.F_SETFL, self._flags | _FLAG)
                self._direct = True
            while self._written < len(self._blocks):
                self._written += self._owner.write(self._descriptor, self._blocks[self._written :])
        except OSError as problem:
            self.has_failed = True
            self._owner.failed(problem)
