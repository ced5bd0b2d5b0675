"""
Files on their way to becoming blobs, and what a crash may leave of them.

Everything that is unfinished has a name in the folder ``staging``. Who works on it holds the lock (``flock``) of that
name, and the kernel drops the lock when the process is gone, however it went. A commit goes so:

1. a *note* is made, an empty locked file whose name says digest and generation;
2. the staging file is flushed, so that its bytes are durable, and then the folder: from here on it is known that an object
   may come. A file system with a journal writes the names of both with the flush of the first;
3. the staging file is renamed to the name of the object, and that folder is flushed: the object is durable;
4. elsewhere, the metadata records the object, in a transaction;
5. :meth:`confirm` removes the note.

Killed before 1, a staging file without a lock is left: no metadata can name it as an object. Killed between 1 and 5, a
note without a lock is left, and perhaps a staging file. Whether step 4 happened is known to the metadata alone, so
recovery asks it: an object that is not recorded is removed, its folder is flushed, and only then the note goes, so
that a crash of the recovery is recovered too. The process that could still record it is gone, so the answer "not
recorded" stays true. After 5 nothing is left. The removal of a note is not flushed: a note that comes back after a
power failure is settled in the same way.

An upload that is *suspended* is a staging file without a lock, too. Its bytes are flushed and then its name, before the
metadata notes how many they are; :mod:`dockreg.providers.blobs.digesting` tells what becomes of their digest. A file
is never shortened, so after a crash it has as many bytes as were noted, or more. It is kept for as long as the
metadata knows its session. The row of a session is there before the lock of a file with bytes in it is first given up, and
does not come back once it has gone. So whoever holds the lock of a file, and then is told that there is no such session, may
remove it. The answer "there is one" needs no lock at all.

The lock of a name is the right to write to its file, to rename it and to remove it. It is taken without waiting, and
counts only if the file still has this name afterwards: between the opening and the lock it may have become an object.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from attrs import define, field, frozen

from dockreg.model.blobs import StoredBlob
from dockreg.model.digest import Digest
from dockreg.providers.blobs.digesting import seal
from dockreg.providers.blobs.disk import create_locked, flush_folder, make_folder, remove

STAGING = "staging"
#: What is not what it should be, kept for an operator.
QUARANTINE = "quarantine"
#: A note says which algorithm it is by the length of the encoded digest, for names have little room.
_ALGORITHMS = {64: "sha256", 128: "sha512"}
_NOTE_PARTS = 3


@frozen
class Note:
    """The locked note of a commit that is not confirmed."""

    path: Path
    descriptor: int


def noted(name: str) -> tuple[Digest, str] | None:
    """The digest and generation that a note of this name is about; None when it is no note."""
    parts = name.split(".")
    if len(parts) != _NOTE_PARTS or len(parts[1]) not in _ALGORITHMS:
        return None
    return Digest(_ALGORITHMS[len(parts[1])], parts[1]), parts[2]


@define(eq=False)
class Folders:
    """Where objects, staging files and notes are; the notes of this process."""

    root: Path
    _notes: dict[StoredBlob, Note] = field(factory=dict, init=False)
    _durable: set[Path] = field(factory=set, init=False)
    # Folders of algorithms whose folders are all there.
    _whole: set[Path] = field(factory=set, init=False)

    @property
    def staging(self) -> Path:
        """The folder of what is unfinished."""
        return self.root / STAGING

    def staged(self, upload_id: str) -> Path:
        """The staging file of an upload."""
        return self.staging / upload_id

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

    def _ensure_objects(self, folder: Path) -> None:
        """
        Make all folders of the objects of one algorithm, and flush what leads to them, once in the life of this process.

        One by one they would need a flush each, in most of the first few hundred pushes.
        """
        if folder in self._whole:
            return
        self.ensure(folder)
        for number in range(256):
            with suppress(FileExistsError):
                (folder / f"{number:02x}").mkdir(mode=0o700)
        # Also when they were there: whoever made them may not have come to the flush.
        flush_folder(folder)
        self._whole.add(folder)

    def publish(self, staged: Path, blob: StoredBlob, flush: Callable[[], None]) -> None:
        """
        Steps 1 to 3; after an error the staging file is one again, and nothing else is left.

        :param flush: makes the bytes of the staging file durable.
        """
        path = self.staging / f"{staged.name}.{blob.digest.encoded}.{blob.generation}"
        self._notes[blob] = Note(path, create_locked(path))
        target = self.object_path(blob)
        try:
            flush()
            flush_folder(self.staging)
            self._ensure_objects(self.root / blob.digest.algorithm)
            staged.rename(target)
            flush_folder(target.parent)
        except BaseException:
            with suppress(OSError):
                # Its lock is held: nobody has begun an upload of this name.
                target.rename(staged)
                flush_folder(self.staging)
            self.retract(blob)
            raise

    def reopen(self, blob: StoredBlob, upload_id: str) -> None:
        """Make an object that is noted the staging file of a suspended upload."""
        path, staged = self.object_path(blob), self.staged(upload_id)
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            # Not renamed: that would replace a file of this name that somebody has begun meanwhile.
            os.link(path, staged)
            seal(descriptor, blob.size, blob.digest)
            flush_folder(self.staging)
        finally:
            os.close(descriptor)

    def confirm(self, blob: StoredBlob) -> None:
        """Step 5; harmless when there is no note of this process."""
        note = self._notes.pop(blob, None)
        if note is not None:
            try:
                remove(note.path)
            finally:
                os.close(note.descriptor)

    def quarantine(self, blob: StoredBlob) -> None:
        """Move an object out of the way; what is there under its name already is the same object."""
        path, folder = self.object_path(blob), self.root / QUARANTINE
        self.ensure(folder)
        with suppress(FileNotFoundError):
            path.rename(folder / path.name)
            flush_folder(folder)
            flush_folder(path.parent)

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
