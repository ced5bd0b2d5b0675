"""An open blob in a file."""

import os
from contextlib import suppress
from threading import Lock

from zope.interface import implementer

from dockreg.callables import InThread
from dockreg.errors_blobs import BlobLost
from dockreg.interfaces_readers import IBlobFile
from dockreg.model.blobs import StoredBlob
from dockreg.model.conditions import Condition
from dockreg.model.digest import Hasher
from dockreg.providers.blobs.disk import disk_errors

_PIECE_BYTES = 1 << 20


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

    def take_over(self) -> int:
        """The descriptor, the caller's to close; for a reader that nobody reads from."""
        with self._lock:
            self._closed = True
            return self._descriptor

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


class Examination:
    """
    Reads an object to its end, and tells whether it is whole.

    What is in the page cache is not what is on the disk, so it is dropped first; and what is read here is read once, so
    it does not stay there in the place of what clients ask for.
    """

    def __init__(self, reader: FileBlobReader, blob: StoredBlob) -> None:
        self._blob = blob
        self._descriptor = reader.take_over()
        self._hasher = Hasher(blob.digest.algorithm)
        self._position = 0
        self._lock = Lock()
        self._closed = False
        self._drop_cached()

    def step(self) -> int:
        """
        Read a piece; return its size, 0 at the end.

        :raises BlobLost: the object is damaged.
        """
        with self._lock:
            if self._closed:
                raise ValueError("the examination has ended")
            try:
                data = os.pread(self._descriptor, _PIECE_BYTES, self._position)
            except OSError as problem:
                # That the disk can not read this very file is what is to be found out.
                raise self._damaged() from problem
            self._hasher.update(data)
            self._position += len(data)
            if not data:
                self._drop_cached()
                if self._hasher.digest != self._blob.digest:
                    raise self._damaged()
            return len(data)

    def close(self) -> None:
        """
        Close the file; waits for a step that is under way.

        What was read of a file that was not read to its end stays in the page cache: to drop it would hold up whoever closes.
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._descriptor)

    def _damaged(self) -> BlobLost:
        return BlobLost(str(self._blob.digest), Condition.DAMAGED)

    def _drop_cached(self) -> None:
        with suppress(OSError):  # an advice, which some file systems do not take
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
