"""
Files on their way to becoming blobs, and what a crash may leave of them.

Everything that is unfinished has a name in the folder ``staging``, and a living process that holds the lock
(``flock``) of that name. The kernel drops the lock when the process is gone, however it went. A commit goes so:

1. the staging file is flushed: its bytes are durable;
2. a *note* is made, an empty locked file whose name says digest and generation, and the folder is flushed: from here on
   it is known that an object may come;
3. the staging file is renamed to the name of the object, and that folder is flushed: the object is durable;
4. elsewhere, the metadata records the object, in a transaction;
5. :meth:`confirm` removes the note.

Killed before 2, a staging file without a lock is left: no metadata can name it, it is removed. Killed between 2 and 5,
a note without a lock is left, and perhaps a staging file. Whether step 4 happened is known to the metadata alone, so
recovery asks it: an object that is not recorded is removed, its folder is flushed, and only then the note goes, so
that a crash of the recovery is recovered too. The process that could still record it is gone, so the answer "not
recorded" stays true. After 5 nothing is left. The removal of a note is not flushed: a note that comes back after a
power failure is settled in the same way.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock

from attrs import define, field, frozen
from zope.interface import implementer

from dockreg.callables import ByteObserver, InThread
from dockreg.errors import DigestInvalid
from dockreg.interfaces import IUpload
from dockreg.model.blobs import StoredBlob
from dockreg.model.digest import Digest, Hasher
from dockreg.providers.blobs.disk import create_locked, disk_errors, flush_folder, make_folder, remove, write_all
from dockreg.providers.blobs.handover import hand_over

STAGING = "staging"


@frozen
class Note:
    """The locked note of a commit that is not confirmed."""

    path: Path
    descriptor: int


@define(eq=False)
class Folders:
    """Where objects, staging files and notes are; the notes of this process."""

    root: Path
    _notes: dict[StoredBlob, Note] = field(factory=dict, init=False)
    _durable: set[Path] = field(factory=set, init=False)

    @property
    def staging(self) -> Path:
        """The folder of what is unfinished."""
        return self.root / STAGING

    def object_path(self, blob: StoredBlob) -> Path:
        """The file that holds a blob."""
        encoded = blob.digest.encoded
        return self.root / blob.digest.algorithm / encoded[:2] / f"{encoded}.{blob.generation}"

    def ensure(self, folder: Path) -> None:
        """Make a folder and flush what leads to it, once in the life of this process."""
        if folder not in self._durable:
            if folder != self.root:
                # Another process may have made it, and died before its flush.
                self.ensure(folder.parent)
            make_folder(folder)
            self._durable.add(folder)

    def publish(self, staged: Path, blob: StoredBlob) -> None:
        """Steps 2 and 3; after an error nothing is left that :meth:`retract` could remove."""
        path = self.staging / f"{staged.name}.{blob.digest.encoded}.{blob.generation}"
        self._notes[blob] = Note(path, create_locked(path))
        try:
            flush_folder(self.staging)
            target = self.object_path(blob)
            self.ensure(target.parent)
            staged.rename(target)
            flush_folder(target.parent)
        except BaseException:
            self.retract(blob)
            raise

    def confirm(self, blob: StoredBlob) -> None:
        """Step 5; harmless when there is no note of this process."""
        note = self._notes.pop(blob, None)
        if note is not None:
            try:
                remove(note.path)
            finally:
                os.close(note.descriptor)

    def delete(self, blob: StoredBlob) -> None:
        """Remove an object, then its note if this process has one."""
        path = self.object_path(blob)
        remove(path)
        # Also when it was gone: whoever removed it may not have come to the flush.
        with suppress(FileNotFoundError):
            flush_folder(path.parent)
        self.confirm(blob)

    def retract(self, blob: StoredBlob) -> None:
        """Remove an object that nobody has heard of; what the disk refuses is left to recovery."""
        with suppress(OSError):
            self.delete(blob)
        note = self._notes.pop(blob, None)
        if note is not None:
            os.close(note.descriptor)


@implementer(IUpload)
class FileUpload:
    """
    One staging file.

    Jobs in threads exclude each other by a lock, so that an abort waits for the write that its caller was cancelled in.
    """

    upload_id: str
    size: int

    def __init__(
        self,
        folders: Folders,
        upload_id: str,
        new_generation: Callable[[], str],
        in_thread: InThread,
        observers: Sequence[ByteObserver],
    ) -> None:
        """Runs in a thread."""
        self.upload_id = upload_id
        self.size = 0
        self._folders = folders
        self._new_generation = new_generation
        self._in_thread = in_thread
        self._hasher = Hasher()
        self._observers = (self._hasher, *observers)
        self._lock = Lock()
        self._path = folders.staging / upload_id
        self._descriptor: int | None = create_locked(self._path)
        self._failure: BaseException | None = None

    async def write(self, chunks: Sequence[bytes]) -> None:
        """See :class:`~dockreg.interfaces.IUpload`."""
        await self._in_thread(self._write, chunks)

    async def commit(self, expected: Digest | None = None) -> StoredBlob:
        """See :class:`~dockreg.interfaces.IUpload`."""
        return await hand_over(self._in_thread, lambda: self._commit(expected), self._folders.retract)

    async def abort(self) -> None:
        """See :class:`~dockreg.interfaces.IUpload`."""
        await self._in_thread(self.drop)

    def drop(self) -> None:
        """Remove the staging file if it is still one. Blocks while a job of this upload runs."""
        with self._lock:
            self._drop()

    def _write(self, chunks: Sequence[bytes]) -> None:
        with self._lock:
            descriptor = self._open_descriptor()
            try:
                with disk_errors():
                    self.size += write_all(descriptor, chunks)
                for chunk in chunks:
                    for observer in self._observers:
                        observer.update(chunk)
            except BaseException as failure:
                # What is in the file and what was digested may differ from now on: it must not become content.
                self._failure = failure
                raise

    def _commit(self, expected: Digest | None) -> StoredBlob:
        with self._lock:
            descriptor = self._open_descriptor()
            try:
                blob = StoredBlob(self._checked_digest(expected), self._new_generation(), self.size)
                with disk_errors():
                    os.fsync(descriptor)
                    self._folders.publish(self._path, blob)
            except BaseException:
                self._drop()
                raise
            self._descriptor = None
            os.close(descriptor)
            return blob

    def _checked_digest(self, expected: Digest | None) -> Digest:
        digest = self._hasher.digest
        if expected is not None and digest != expected:
            raise DigestInvalid(str(expected), f"the bytes received have {digest}")
        return digest

    def _open_descriptor(self) -> int:
        if self._failure is not None:
            raise self._failure
        if self._descriptor is None:
            raise ValueError("the upload has ended")
        return self._descriptor

    def _drop(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            try:
                # What the disk refuses is left to recovery.
                with suppress(OSError):
                    remove(self._path)
            finally:
                os.close(descriptor)
