"""
Writing to the disk while bytes still arrive, so that the flush at their end has little to do.

The kernel keeps what is written to a file for some time before it begins to write it to the disk. A flush that has to write
a gigabyte takes as long as the disk takes for it, and the client waits. Here the kernel is told to begin; nobody waits, but for
the little that has to be on the disk before what goes past the cache (:mod:`dockreg.providers.blobs.direct`). Nothing is durable for it:
that is the flush, which also tells of bytes that could not be written, unless that was told before.
"""

import ctypes
import errno
import os
from collections.abc import Callable
from typing import Final

#: How many bytes are written before the kernel is told to begin with them. Smaller uploads are left to their flush.
STEP_BYTES: Final = 8 * 1024 * 1024
#: ``SYNC_FILE_RANGE_WRITE`` (sync_file_range(2)): begin to write what is dirty, do not wait for it.
_BEGIN_ONLY: Final = 2
#: The same with ``SYNC_FILE_RANGE_WAIT_BEFORE`` and ``SYNC_FILE_RANGE_WAIT_AFTER``: until it is written.
_TO_THE_END: Final = 7
#: What a system or a file system says that does not know this.
_REFUSALS: Final = frozenset({errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.ESPIPE, errno.EOPNOTSUPP})

Begin = Callable[[int, int, int], object]


def _kernel_call(flags: int) -> Begin | None:
    """``sync_file_range(2)``, which Python has no name for; None where the C library does not have it."""
    try:
        call = ctypes.CDLL(None, use_errno=True).sync_file_range
    except (AttributeError, OSError, TypeError):
        return None
    call.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    call.restype = ctypes.c_int
    return lambda descriptor, first, size: call(descriptor, first, size, flags)


def _finishing(call: Begin | None) -> Begin | None:
    if call is None:
        return None

    def finish(descriptor: int, first: int, size: int) -> None:
        if call(descriptor, first, size) and (problem := ctypes.get_errno()) not in _REFUSALS:
            raise OSError(problem, os.strerror(problem))

    return finish


#: Begins to write a part of a file: descriptor, first byte, size. None where that can not be had.
begin_writing: Final = _kernel_call(_BEGIN_ONLY)
#: Returns when a part of a file is written, as far as the disk does that without a flush. None as above.
#: :raises OSError: something could not be written. That is told once for each descriptor: no flush of it tells it again.
finish_writing: Final = _finishing(_kernel_call(_TO_THE_END))


class Writeback:
    """
    Has one file written to the disk as it grows.

    :param size: bytes that it has already.
    :param begin: what begins to write a part of it; without it all is left to the flush.
    """

    def __init__(self, size: int, begin: Begin | None = begin_writing) -> None:
        self._begun = size
        self._begin = begin

    def passed(self, size: int) -> None:
        """The file has ``size`` bytes now, and the kernel need not be told of the last of them."""
        self._begun = size

    def grew(self, descriptor: int, size: int) -> None:
        """The file has ``size`` bytes now. What the disk refuses is told by its flush."""
        coming = size - self._begun
        if coming >= STEP_BYTES and self._begin is not None:
            self._begin(descriptor, self._begun, coming)
            self._begun = size
