"""An upload in a file."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Final

from zope.interface import implementer

from dockreg.callables import ByteObserver, Ending, Piece
from dockreg.errors import DigestInvalid, RegistryError, StorageFull, StoreUnavailable, UploadBusy
from dockreg.interfaces_blobs import IUpload
from dockreg.model.blobs import NOTHING_RECEIVED, Received, StoredBlob
from dockreg.model.digest import Digest, Hasher
from dockreg.providers.blobs.appending import Appending
from dockreg.providers.blobs.digesting import digest_file, seal
from dockreg.providers.blobs.disk import disk_errors, flush_folder, gathered, remove, remove_left_behind
from dockreg.providers.blobs.handover import hand_over
from dockreg.providers.blobs.small import are_small
from dockreg.providers.blobs.staging import BegunObject
from dockreg.providers.blobs.workshop import Beginning, Opening, Workshop
from dockreg.providers.blobs.writeback import Writeback

#: Who brings so much at once is expected to bring the rest as well; what comes slowly has a staging file from its beginning.
_MUCH_BYTES: Final = 256 * 1024


@implementer(IUpload)
class FileUpload(Appending):
    """
    One staging file.

    Jobs in threads exclude each other by a lock, so that an abort waits for the write that its caller was cancelled in.
    """

    upload_id: str
    size: int

    def __init__(
        self,
        shop: Workshop,
        upload_id: str,
        opening: Opening,
        observers: Sequence[ByteObserver],
        algorithm: str,
        size: int = 0,
    ) -> None:
        """
        :param opening: is called by the first job that needs the file.
        :param size: how many bytes it has, as far as that is known before.
        """
        self.upload_id = upload_id
        self.size = size
        self._durable = 0
        self._shop = shop
        self._algorithm = algorithm
        self._hasher: Hasher | None = None
        self._known: Digest | None = None
        self._observers = (*observers,)
        self._observed = bool(observers)
        self._writeback = Writeback(0, shop.begin_writing)
        self._lock = Lock()
        self._path = shop.folders.staged(upload_id)
        self._opening: Opening | None = opening
        self._descriptor: int | None = None
        self._failure: BaseException | None = None
        self._dropping = False
        #: Whether a flush has failed.
        self._unsure = False

    def open(self) -> "FileUpload":
        """Open the file, in a thread; return this upload."""
        with self._lock:
            self._open_descriptor()
        return self

    async def write(self, chunks: Sequence[Piece]) -> None:
        """See :class:`~dockreg.interfaces_blobs.IUpload`."""
        await self._shop.in_thread(self._write, chunks)

    async def receive(self, fetch: Callable[[], Piece], ending: Ending | None = None) -> StoredBlob | None:
        """See :class:`~dockreg.interfaces_blobs.IUpload`."""
        return await self._shop.in_thread(self._receive, fetch, ending)

    async def suspend(self, then: Callable[[Received], object] | None = None, last: Sequence[Piece] = ()) -> Received:
        """See :class:`~dockreg.interfaces_blobs.IUpload`."""
        return await self._shop.in_thread(self._suspend, then, last)

    async def commit(
        self,
        expected: Digest | None = None,
        last: Sequence[Piece] = (),
        then: Callable[[StoredBlob], bool] | None = None,
        small_bytes: int = 0,
    ) -> StoredBlob:
        """See :class:`~dockreg.interfaces_blobs.IUpload`."""
        commit = partial(self._commit, expected, last, small_bytes)
        if then is not None:
            return await self._shop.in_thread(lambda: self._tell(commit(), then))
        return await hand_over(self._shop.in_thread, commit, self._shop.folders.retract)

    async def abort(self) -> None:
        """See :class:`~dockreg.interfaces_blobs.IUpload`."""
        await self._shop.in_thread(self.drop)

    def drop(self) -> None:
        """Remove the staging file if it is still one. Blocks while a job of this upload runs."""
        self._dropping = True
        with self._lock:
            self._drop()

    def let_go(self) -> None:
        """Release a resumed upload as it was found. Without bytes it needs no file: nobody may come for that again."""
        with self._lock:
            if self._descriptor is None:
                return
            if self.size:
                self._release()
            else:
                self._drop()

    def _write(self, chunks: Sequence[Piece]) -> None:
        with self._lock:
            descriptor = self._open_descriptor()
            self._write_now(descriptor, chunks)
            self._writeback.grew(descriptor, self.size)

    def _receive(self, fetch: Callable[[], Piece], ending: Ending | None) -> StoredBlob | None:
        with self._lock:
            may_be_object = ending is not None and self._may_be_object(ending)
            if may_be_object and self._shop.under_way.setdefault(self.upload_id, self) is not self:
                raise UploadBusy(self.upload_id)
            try:
                first = self._first_of(fetch) if may_be_object else b""
                # Of which much has not come at once, the rest may never come.
                if ending is not None and first and len(first) >= min(ending.size, _MUCH_BYTES):
                    blob = self._receive_object(first, fetch, ending)
                else:
                    blob = self._receive_staged(first, fetch, ending)
            finally:
                if may_be_object:
                    del self._shop.under_way[self.upload_id]
        return blob if blob is None or ending is None else self._tell(blob, ending.then)

    def _receive_staged(self, first: Piece, fetch: Callable[[], Piece], ending: Ending | None) -> StoredBlob | None:
        descriptor = self._open_descriptor()
        wanted = None if ending is None else self.size + ending.size
        self._receive_now(descriptor, first, fetch, wanted)
        if ending is None or self.size != wanted:
            return None
        return self._commit_file(descriptor, ending.expected)

    def _may_be_object(self, ending: Ending) -> bool:
        return ending.expected.algorithm == self._algorithm and self._has_no_file()

    def _receive_object(self, first: Piece, fetch: Callable[[], Piece], ending: Ending) -> StoredBlob | None:
        """
        The same under the name of the object at once: the journal of the file system is written once, and not for each name.

        If not all bytes come, what came is a staging file.
        """
        opening = self._opening
        try:
            with disk_errors():
                begun = self._shop.folders.begin(ending.expected, ending.size)
        except (StorageFull, StoreUnavailable):
            # What has come is kept nevertheless, if that can be done.
            return self._receive_staged(first, fetch, ending)
        self._use(begun.descriptor, Beginning(0, 0, Hasher(self._algorithm), None))
        kept = False
        try:
            try:
                self._receive_now(begun.descriptor, first, fetch, ending.size)
            finally:
                if self.size != ending.size and self._failure is None:
                    kept = self._stage(begun)
            if kept:
                return None
            self._checked_digest(ending.expected, begun.descriptor)
            with disk_errors():
                begun.finish()
        except BaseException as problem:
            if not kept:
                self._descriptor = None
                begun.drop()
                if isinstance(problem, StorageFull | StoreUnavailable | UploadBusy):
                    # The upload is as it was.
                    self._opening, self.size, self._hasher, self._observers = opening, 0, None, ()
            raise
        self._descriptor = None
        os.close(begun.descriptor)
        return begun.blob

    def _stage(self, begun: BegunObject) -> bool:
        """What has come of an object is a staging file from now on; whether it is."""
        with disk_errors():
            try:
                begun.stage(self._path)
            except FileExistsError:
                raise UploadBusy(self.upload_id) from None
        return True

    def _suspend(self, then: Callable[[Received], object] | None, last: Sequence[Piece]) -> Received:
        with self._lock:
            descriptor = self._open_descriptor()
            problem: RegistryError | None = None
            try:
                if last:
                    self._write_now(descriptor, last)
            except (StorageFull, StoreUnavailable) as error:
                problem = error
            if self._unsure:
                return self._go_back(descriptor)
            digest = self._hasher.digest if self._hasher is not None else self._known
            try:
                with disk_errors():
                    self._make_durable(descriptor, digest)
            except BaseException:
                self._go_back(descriptor)
                raise
            received = Received(self.size, digest if self.size else None)
            if then is not None:
                then(received)
            self._release()
            if problem is not None:
                raise problem
            return received

    def _go_back(self, descriptor: int) -> Received:
        """To what was suspended before a flush that failed: the kernel tells once of bytes that it could not write, and forgets."""
        self._hasher, self.size = None, self._durable
        if not self.size:
            self._drop()
            return NOTHING_RECEIVED
        try:
            with disk_errors():
                os.ftruncate(descriptor, self.size)
        except BaseException:
            self._drop()
            raise
        self._release()
        return Received(self.size, None)

    def _commit(self, expected: Digest | None, last: Sequence[Piece], small_bytes: int) -> StoredBlob:
        with self._lock:
            if last and self._has_no_file():
                return self._commit_whole(expected, last, small_bytes)
            descriptor = self._open_descriptor()
            if last and not self.size and not self._observed and are_small(last, small_bytes):
                try:
                    return self._commit_whole(expected, last, small_bytes)
                finally:
                    self._drop()
            return self._commit_file(descriptor, expected, last)

    def _commit_file(self, descriptor: int, expected: Digest | None, last: Sequence[Piece] = ()) -> StoredBlob:
        try:
            if last:
                self._write_now(descriptor, last)
            digest = self._checked_digest(expected, descriptor)
            with disk_errors():
                blob = self._shop.folders.publish(self._path, digest, self.size, partial(self._flush, descriptor))
        except (StorageFull, StoreUnavailable):
            raise
        except BaseException:
            self._drop()
            raise
        self._descriptor = None
        os.close(descriptor)
        return blob

    def _has_no_file(self) -> bool:
        """Whether all bytes are yet to come, and nobody else writes to the same upload; who begins later will find it ended."""
        untouched = self._opening is not None and not self._dropping and self._failure is None
        alone = untouched and self._shop.under_way.get(self.upload_id, self) is self
        return alone and not self.size and not self._observers and not os.access(self._path, os.F_OK)

    def _commit_whole(self, expected: Digest | None, chunks: Sequence[Piece], small_bytes: int) -> StoredBlob:
        """All bytes at once, which need no staging file: with an error there is no upload, or it is as it was."""
        hasher, chunks = Hasher(self._algorithm if expected is None else expected.algorithm), gathered(chunks)
        for each in chunks:
            hasher.update(each)
        digest = hasher.digest
        self._require(expected, digest)
        if are_small(chunks, small_bytes):
            blob = self._shop.small.make(digest, b"".join(chunks))
        else:
            with disk_errors():
                blob = self._shop.folders.write(digest, chunks)
        self._opening, self.size = None, blob.size
        return blob

    def _tell(self, blob: StoredBlob, then: Callable[[StoredBlob], bool]) -> StoredBlob:
        if then(blob):
            # A note that the disk does not let go is settled by the next start.
            with suppress(OSError):
                self._shop.folders.confirm(blob)
                # Until the session had ended another request may have begun its file again, and have let go of it. Who still
                # has it will be told that the session has ended.
                remove_left_behind(self._path)
        return blob

    def _flush(self, descriptor: int) -> None:
        if 0 < self.size == self._durable and not self._unsure:
            # Nothing has come since it was suspended.
            return
        try:
            os.fsync(descriptor)
        except OSError:
            self._unsure = True
            raise

    def _catch_up(self, descriptor: int) -> None:
        """Digest what was there when the upload was resumed, for more is to come."""
        try:
            with disk_errors():
                self._hasher = self._digested(descriptor, self._algorithm)
        except BaseException as failure:
            self._failure = failure
            raise
        self._known = None
        self._observers = (self._hasher, *self._observers)

    def _digested(self, descriptor: int, algorithm: str) -> Hasher:
        hasher = Hasher(algorithm)
        digest_file(hasher, descriptor, self.size, self._require_wanted)
        return hasher

    def _require_wanted(self) -> None:
        if self._dropping:
            raise ValueError("the upload has ended")

    def _make_durable(self, descriptor: int, digest: Digest | None) -> None:
        # An upload without bytes may as well not be there.
        if self.size > self._durable:
            folders, flush = self._shop.folders, partial(os.fdatasync, descriptor)
            if self._durable:
                flush()
            else:
                folders.flush_both(flush, partial(flush_folder, folders.staging))
            if digest is not None:
                seal(descriptor, self.size, digest)

    def _checked_digest(self, expected: Digest | None, descriptor: int) -> Digest:
        digest = self._digest(self._algorithm if expected is None else expected.algorithm, descriptor)
        self._require(expected, digest)
        return digest

    def _require(self, expected: Digest | None, digest: Digest) -> None:
        if expected is not None and digest != expected:
            self._opening = None
            raise DigestInvalid(str(expected), f"the bytes received have {digest}")

    def _digest(self, algorithm: str, descriptor: int) -> Digest:
        if algorithm == self._algorithm and self._known is not None:
            return self._known
        if algorithm == self._algorithm and self._hasher is not None:
            return self._hasher.digest
        with disk_errors():
            return self._digested(descriptor, algorithm).digest

    def _open_descriptor(self) -> int:
        if self._failure is not None:
            raise self._failure
        if self._opening is not None and not self._dropping:
            if self._shop.under_way.get(self.upload_id, self) is not self:
                raise UploadBusy(self.upload_id)
            self._use(*self._opening())
        if self._descriptor is None:
            raise ValueError("the upload has ended")
        return self._descriptor

    def _use(self, descriptor: int, beginning: Beginning) -> None:
        self._opening, self._descriptor = None, descriptor
        self.size, self._durable = beginning.size, beginning.durable
        self._writeback = Writeback(beginning.size, self._shop.begin_writing)
        self._hasher, self._known = beginning.hasher, beginning.known
        if self._hasher is not None:
            self._observers = (self._hasher, *self._observers)

    def _release(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        hasher, self._hasher = self._hasher, None
        # It moves before the lock goes: the next one to resume takes it.
        if hasher is not None and self.size:
            self._shop.kept.keep(self.upload_id, hasher)
        if descriptor is not None:
            os.close(descriptor)

    def _drop(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            try:
                # What the disk refuses is left to recovery.
                with suppress(OSError):
                    remove(self._path)
            finally:
                os.close(descriptor)
