"""An open blob in a file."""

import os
from threading import Lock

from zope.interface import implementer

from dockreg.callables import InThread
from dockreg.interfaces_readers import IBlobFile
from dockreg.providers.blobs.disk import disk_errors


@implementer(IBlobFile)
class FileBlobReader:
    """Reads an open file at its own position; the descriptor's position is not used."""

    size: int

    def __init__(self, descriptor: int, size: int, start: int, in_thread: InThread) -> None:
        self.size = size
        self._descriptor = descriptor
        self._position = start
        self._in_thread = in_thread
        self._lock = Lock()
        self._reads = 0
        self._closed = False

    async def read(self, limit: int) -> bytes:
        """See :class:`~dockreg.interfaces.IBlobReader`."""
        with self._lock:
            if self._closed:
                raise ValueError("read of a closed blob")
            self._reads += 1
        return await self._in_thread(self._read, limit)

    def detach(self) -> tuple[int, int]:
        """See :class:`~dockreg.interfaces_readers.IBlobFile`."""
        with self._lock:
            if self._closed:
                raise ValueError("use of a closed blob")
            return os.dup(self._descriptor), self._position

    def close(self) -> None:
        """See :class:`~dockreg.interfaces.IBlobReader`; the file is closed when the last read is over."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._close_when_idle()

    def _read(self, limit: int) -> bytes:
        try:
            with disk_errors():
                data = os.pread(self._descriptor, limit, self._position)
            self._position += len(data)
            return data
        finally:
            with self._lock:
                self._reads -= 1
                if self._closed:
                    self._close_when_idle()

    def _close_when_idle(self) -> None:
        # A number that is closed under a running read may by then belong to another file.
        if not self._reads:
            os.close(self._descriptor)
