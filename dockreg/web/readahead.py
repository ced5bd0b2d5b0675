"""
Reading a file from the disk before it is sent.

What the page cache holds is sent from there. The rest the kernel reads while it is waited for, little by little, and a fast disk
waits as well; told before, it reads several megabytes at a time, while those before them are sent.
"""

import os
from typing import Final

#: What is asked for at once, and how many times that much is asked for before it is sent.
WINDOW_BYTES: Final = 8 * 1024 * 1024
_WINDOWS: Final = 2


class ReadAhead:
    """One file that is sent from its ``start`` to its ``end``, in bytes."""

    def __init__(self, file: int, start: int, end: int) -> None:
        self._file = file
        self._end = end
        # How far was looked; and the first position at which to look again.
        self._looked = start
        self.next = start
        self._byte = bytearray(1)

    def look(self, position: int) -> None:
        """So much has been sent: have the kernel read what comes next, where the cache has not got it."""
        wanted = min(self._end, position + _WINDOWS * WINDOW_BYTES)
        while self._looked < wanted:
            size = min(WINDOW_BYTES, self._end - self._looked)
            if not self._is_cached(self._looked):
                os.posix_fadvise(self._file, self._looked, size, os.POSIX_FADV_WILLNEED)
            self._looked += size
        self.next = self._looked - WINDOW_BYTES if self._looked < self._end else self._end

    def _is_cached(self, position: int) -> bool:
        try:
            os.preadv(self._file, [self._byte], position, os.RWF_NOWAIT)
        except BlockingIOError:
            return False
        except OSError:
            # A file system that can not tell.
            return True
        return True
