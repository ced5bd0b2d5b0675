"""Bytes that are appended to a file, and told to observers."""

import os
from collections.abc import Callable, Iterable, Sequence

from dockreg.callables import BLOCK_BYTES, ByteObserver, Piece
from dockreg.model.digest import Hasher
from dockreg.providers.blobs.ahead import Ahead
from dockreg.providers.blobs.direct import LEAST_BYTES, DirectFile
from dockreg.providers.blobs.disk import beginning_of, disk_errors, gathered, write_all, write_some
from dockreg.providers.blobs.observing import Behind, observe
from dockreg.providers.blobs.workshop import Workshop
from dockreg.providers.blobs.writeback import Writeback


def _nothing() -> None:
    """What is done for who fetches into memory that nobody looks at again."""


class Appending:
    """What an upload does with the bytes that come, in a thread."""

    size: int
    _shop: Workshop
    # The digest of all bytes of the file; None where some of them were not seen.
    _hasher: Hasher | None
    _observers: tuple[ByteObserver, ...]
    _writeback: Writeback
    # Why what is in the file and what was digested may differ.
    _failure: BaseException | None
    # Whether something that was written may not be on the disk, though nothing will tell that any more.
    _unsure: bool
    # While something is received: who is told of bytes later than at once, and the way past the page cache. If that is there,
    # what is received lies in memory as in the file.
    _behind: Behind | None = None
    _direct: DirectFile | None = None
    _aligned: bool = False
    # The digest of what was there before the blocks that are being written.
    _before: Hasher | None = None
    # Whether there may be bytes in the page cache that are not on the disk.
    _caches: bool = True

    def _catch_up(self, descriptor: int) -> None:
        """Digest what is there, and was not seen."""
        raise NotImplementedError

    def _first_of(self, fetch: Callable[[], Piece]) -> Piece:
        """What comes first, for :meth:`_receive_now`."""
        self._align(fetch)
        return fetch()

    def _align(self, fetch: Callable[[], Piece]) -> None:
        align, direct = getattr(fetch, "align", None), self._shop.direct
        self._aligned = align is not None and direct is not None and direct.is_useful
        if align is not None and self._aligned:
            align(self.size)

    def _receive_now(
        self, descriptor: int, first: Piece, fetch: Callable[[], Piece], wanted: int | None = None
    ) -> None:
        """
        Append what comes.

        :param first: what was fetched already.
        :param wanted: the size of the upload with which nothing more is asked for.
        """
        if not first:
            self._align(fetch)
        decrypts = bool(getattr(fetch, "decrypts", False))  # which leaves it in the cache of another processor anyway
        others = len(self._observers) > (self._hasher is not None)
        self._behind = Behind.where_useful(self._shop.receivers, self._shop.beside, elsewhere=decrypts, others=others)
        if self._behind is None and not (decrypts or self._aligned):
            getattr(fetch, "reuse", _nothing)()
        with self._shop.receivers:
            if self._aligned and self._shop.direct is not None:
                self._direct = DirectFile(self._shop.direct, descriptor, alone=self._shop.receivers.are_few)
            try:
                if first:
                    self._append(descriptor, first)
                if self.size == wanted:
                    return
                if decrypts:
                    with Ahead(fetch, self._shop.receivers, self._shop.beside) as pieces:
                        self._append_all(descriptor, pieces, wanted)
                else:
                    self._append_all(descriptor, iter(fetch, b""), wanted)
            finally:
                self._end_receiving(descriptor)

    def _end_receiving(self, descriptor: int) -> None:
        try:
            self._settle_blocks(descriptor)
        finally:
            direct, self._direct, self._before = self._direct, None, None
            if direct is not None:
                direct.end()
            self._settle_observers()
            self._behind = None

    def _append_all(self, descriptor: int, pieces: Iterable[Piece], wanted: int | None) -> None:
        for piece in pieces:
            self._append(descriptor, piece)
            self._writeback.grew(descriptor, self.size)
            if self.size == wanted:
                return

    def _write_now(self, descriptor: int, chunks: Sequence[Piece]) -> None:
        if self._hasher is None:
            self._catch_up(descriptor)
        chunks = gathered(chunks)
        self._caches = True
        with disk_errors():
            try:
                write_all(descriptor, chunks)
            except BaseException:
                # What was taken counts: the upload goes on behind it when there is room.
                self._observe(beginning_of(chunks, os.lseek(descriptor, 0, os.SEEK_CUR) - self.size))
                raise
        self._observe(chunks)

    def _append(self, descriptor: int, piece: Piece) -> None:
        """The next bytes, past the page cache where they lie in memory as in the file: what is no view the reactor has read."""
        direct = self._direct
        if direct is None or not isinstance(piece, memoryview) or len(piece) < LEAST_BYTES or direct.has_failed:
            self._append_cached(descriptor, piece)
            return
        if self._hasher is None:
            self._catch_up(descriptor)
        first = -self.size % BLOCK_BYTES
        end = len(piece) - (len(piece) - first) % BLOCK_BYTES
        if first:
            self._append_cached(descriptor, piece[:first])
        self._append_blocks(descriptor, direct, piece[first:end])
        if end < len(piece):
            self._append_cached(descriptor, piece[end:])

    def _append_cached(self, descriptor: int, piece: Piece) -> None:
        """What :meth:`_write_now` does, in few steps for one large piece; between any two of them caches forget the interpreter."""
        if self._direct is not None:
            self._settle_blocks(descriptor)
            self._direct.rest()
        self._caches = True
        written = write_some(descriptor, piece) if self._hasher is not None else 0
        if written < len(piece):
            if written:
                self._observe((piece[:written],))
            self._write_now(descriptor, (piece[written:],))
            return
        self.size += written
        self._show(piece)

    def _append_blocks(self, descriptor: int, direct: DirectFile, blocks: memoryview) -> None:
        """They are written while they are digested, and the next ones received."""
        self._settle_blocks(descriptor)
        if direct.has_failed:
            self._append_cached(descriptor, blocks)
            return
        # A thread may still digest what is there, and what comes before these blocks counts without them, too.
        if self._behind is not None:
            self._when_told(self._behind.settle)
        self._before = self._hasher.copy() if self._hasher is not None else None
        self._finish_cached(descriptor)
        direct.begin(blocks)
        self.size += len(blocks)
        self._writeback.passed(self.size)
        self._show(blocks)

    def _finish_cached(self, descriptor: int) -> None:
        """
        Return when the disk has what was written in the ordinary way.

        The file becomes longer on the disk with the blocks: after a failure of power it would have a hole before them
        otherwise, and the upload could not go on where it says that it is.
        """
        finish = self._shop.finish_writing
        if self._caches and self.size and finish is not None:
            try:
                with disk_errors():
                    finish(descriptor, 0, self.size)
            except BaseException:
                # The flush would not tell of it any more.
                self._unsure = True
                raise
        self._caches = False

    def _settle_blocks(self, descriptor: int) -> None:
        """Return when the last blocks are in the file. Whatever the reason why they were not written, an ordinary write tells it."""
        direct = self._direct
        if direct is None:
            return
        try:
            left = direct.settle()
        except BaseException as failure:
            # No error of the disk: nobody knows what is in the file.
            self._failure = failure
            raise
        if left is None:
            return
        direct.rest()
        self._caches = True
        blocks, written = left
        try:
            with disk_errors():
                write_all(descriptor, (blocks[written:],))
        except BaseException as problem:
            self._settle_observers()
            if self._before is None or len(self._observers) > 1:
                # Others can not forget what they were told.
                self._failure = problem
                raise
            # What was taken counts, as above.
            self._hasher, self._observers = self._before, (self._before,)
            self.size -= len(blocks)
            self._observe((blocks[: os.lseek(descriptor, 0, os.SEEK_CUR) - self.size],))
            raise

    def _show(self, piece: Piece) -> None:
        try:
            if self._behind is None:
                for each in self._observers:
                    each.update(piece)
            else:
                self._behind.observe((piece,), self._observers)
        except BaseException as failure:
            self._failure = failure
            raise

    def _observe(self, chunks: Sequence[Piece]) -> None:
        try:
            self.size += sum(map(len, chunks))
            if self._behind is None:
                observe(chunks, self._observers, self._shop.beside)
            else:
                self._behind.observe(chunks, self._observers)
        except BaseException as failure:
            # What is in the file and what was digested may differ from now on: it must not become content.
            self._failure = failure
            raise

    def _settle_observers(self) -> None:
        if self._behind is not None:
            self._when_told(self._behind.end)

    def _when_told(self, settle: Callable[[], None]) -> None:
        try:
            settle()
        except BaseException as failure:
            self._failure = failure
            raise
