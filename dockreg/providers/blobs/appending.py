"""Bytes that are appended to a file, and told to observers."""

import os
from collections.abc import Callable, Iterable, Sequence

from dockreg.callables import ByteObserver, Piece
from dockreg.model.digest import Hasher
from dockreg.providers.blobs.ahead import Ahead
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

    def _catch_up(self, descriptor: int) -> None:
        """Digest what is there, and was not seen."""
        raise NotImplementedError

    def _receive_now(
        self, descriptor: int, first: Piece, fetch: Callable[[], Piece], wanted: int | None = None
    ) -> None:
        """
        Append what comes.

        :param first: what was fetched already.
        :param wanted: the size of the upload with which nothing more is asked for.
        """
        decrypts = bool(getattr(fetch, "decrypts", False))  # which leaves it in the cache of another processor anyway
        others = len(self._observers) > (self._hasher is not None)
        behind = Behind.where_useful(self._shop.receivers, self._shop.beside, elsewhere=decrypts, others=others)
        if behind is None and not decrypts:
            getattr(fetch, "reuse", _nothing)()
        with self._shop.receivers:
            try:
                if first:
                    self._append(descriptor, first, behind)
                if self.size == wanted:
                    return
                if decrypts:
                    with Ahead(fetch, self._shop.receivers, self._shop.beside) as pieces:
                        self._append_all(descriptor, pieces, behind, wanted)
                else:
                    self._append_all(descriptor, iter(fetch, b""), behind, wanted)
            finally:
                if behind is not None:
                    self._settle(behind)

    def _append_all(self, descriptor: int, pieces: Iterable[Piece], behind: Behind | None, wanted: int | None) -> None:
        for piece in pieces:
            self._append(descriptor, piece, behind)
            self._writeback.grew(descriptor, self.size)
            if self.size == wanted:
                return

    def _write_now(self, descriptor: int, chunks: Sequence[Piece], behind: Behind | None = None) -> None:
        if self._hasher is None:
            self._catch_up(descriptor)
        chunks = gathered(chunks)
        with disk_errors():
            try:
                write_all(descriptor, chunks)
            except BaseException:
                # What was taken counts: the upload goes on behind it when there is room.
                self._observe(beginning_of(chunks, os.lseek(descriptor, 0, os.SEEK_CUR) - self.size), behind)
                raise
        self._observe(chunks, behind)

    def _append(self, descriptor: int, piece: Piece, behind: Behind | None) -> None:
        """What :meth:`_write_now` does, in few steps for one large piece; between any two of them caches forget the interpreter."""
        written = write_some(descriptor, piece) if self._hasher is not None else 0
        if written < len(piece):
            if written:
                self._observe((piece[:written],), behind)
            self._write_now(descriptor, (piece[written:],), behind)
            return
        self.size += written
        try:
            if behind is None:
                for each in self._observers:
                    each.update(piece)
            else:
                behind.observe((piece,), self._observers)
        except BaseException as failure:
            self._failure = failure
            raise

    def _observe(self, chunks: Sequence[Piece], behind: Behind | None) -> None:
        try:
            self.size += sum(map(len, chunks))
            if behind is None:
                observe(chunks, self._observers, self._shop.beside)
            else:
                behind.observe(chunks, self._observers)
        except BaseException as failure:
            # What is in the file and what was digested may differ from now on: it must not become content.
            self._failure = failure
            raise

    def _settle(self, behind: Behind) -> None:
        try:
            behind.end()
        except BaseException as failure:
            self._failure = failure
            raise
