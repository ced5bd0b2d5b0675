"""
Files on their way to becoming blobs, and what a crash may leave of them.

Everything that is unfinished has a name in the folder ``staging``, or is noted in the folder ``series``. Who works on it holds
the lock (``flock``) of that name, and the kernel drops the lock when the process is gone, however it went. A commit goes so:

1. a *note* is made, an empty locked file whose name says a series of generations (:mod:`dockreg.providers.blobs.series`), and
   the folder of its objects; both are flushed. It serves all further commits of the series;
2. the staging file is flushed, so that its bytes are durable, and renamed to the name of the object; or a file that comes as
   a whole, in one request that tells its digest, is written under that name, and flushed;
3. the folder of the series is flushed, for such a file at the same time: the object is durable;
4. elsewhere, the metadata records the object, in a transaction;
5. :meth:`Folders.confirm` tells the series. When it has no more objects to come, and all are confirmed, its note is removed.

Killed before 2, a staging file without a lock is left: no metadata can name it as an object. Killed later, a note without a
lock is left, and perhaps an object, or a part of one. Whether step 4 happened is known to the metadata alone, so recovery asks
it about each object of the series: one that is not recorded is removed, the folder is flushed, and only then the note goes, so
that a crash of the recovery is recovered too. The process that could still record it is gone, so the answer "not
recorded" stays true. The removal of a note is not flushed: a note that comes back after a power failure is settled in the
same way.

An upload that is *suspended* is a staging file without a lock, too. Its bytes and its name are flushed before the
metadata notes how many they are; :mod:`dockreg.providers.blobs.digesting` tells what becomes of their digest. A file
is never shortened, so after a crash it has as many bytes as were noted, or more. It is kept for as long as the
metadata knows its session. The row of a session is there before the lock of a file with bytes in it is first given up, and
does not come back once it has gone. So whoever holds the lock of a file, and then is told that there is no such session, may
remove it. The answer "there is one" needs no lock at all.

The lock of a name is the right to write to its file, to rename it and to remove it. It is taken without waiting, and
counts only if the file still has this name afterwards: between the opening and the lock it may have become an object.
"""

import fcntl
import os
import secrets
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from attrs import define, field

from dockreg.callables import Piece
from dockreg.model.blobs import StoredBlob
from dockreg.model.digest import Digest
from dockreg.providers.blobs.digesting import seal
from dockreg.providers.blobs.disk import flush_folder, make_folder, remove, write_all
from dockreg.providers.blobs.meanwhile import Begun
from dockreg.providers.blobs.series import AllSeries, Series, drop_empty, series_of

STAGING = "staging"
#: What is not what it should be, kept for an operator.
QUARANTINE = "quarantine"
#: Notes of the series of objects that may have some that nobody has recorded.
SERIES = "series"
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
#: For who stores nothing, or does not care.
_random_name = partial(secrets.token_urlsafe, 16)
#: Begins with a flush that somebody will wait for.
Begin = Callable[[Callable[[], object]], Begun]


@define(eq=False)
class Folders:
    """
    Where objects, staging files and notes are; the series of this process.

    :param new_id: makes names of series, 16 to 24 characters ``A-Z``, ``a-z``, ``0-9``, ``_`` and ``-``.
    :param begin: begins with a flush that goes on beside another one; None to have one after the other.
    """

    root: Path
    _new_id: Callable[[], str] = _random_name
    _begin: Begin | None = None
    #: The folder of what is unfinished.
    staging: Path = field(init=False)
    #: The folder of notes of series.
    notes: Path = field(init=False)
    _series: AllSeries = field(init=False)
    # As text, of which a name is made in fewer steps: each push needs some.
    _staging: str = field(init=False)
    # What is not confirmed yet.
    _pending: dict[StoredBlob, Series] = field(factory=dict, init=False)
    _durable: set[Path] = field(factory=set, init=False)
    # The algorithms whose objects can be stored.
    _ready: set[str] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self.staging, self.notes = self.root / STAGING, self.root / SERIES
        self._staging = str(self.staging)
        self._series = AllSeries(self.root, self.notes, self._new_id)

    @property
    def unconfirmed(self) -> set[str]:
        """The generations of what this process has stored, or is about to store, and has not confirmed."""
        return {each.generation for each in list(self._pending)}

    @property
    def own_series(self) -> Collection[str]:
        """The series that this process has begun."""
        return self._series.begun

    def staged(self, upload_id: str) -> str:
        """The path of the staging file of an upload."""
        return f"{self._staging}/{upload_id}"

    def object_path(self, blob: StoredBlob) -> Path:
        """The file that holds a blob."""
        encoded = blob.digest.encoded
        folder = series_of(blob.generation) or encoded[:2]
        return self.root / blob.digest.algorithm / folder / f"{encoded}.{blob.generation}"

    def ensure(self, folder: Path) -> None:
        """Make a folder and flush what leads to it, once in the life of this process."""
        if folder not in self._durable:
            if folder != self.root:
                # Another process may have made it, and died before its flush.
                self.ensure(folder.parent)
            make_folder(folder)
            self._durable.add(folder)

    def publish(self, staged: str, digest: Digest, size: int, flush: Callable[[], None]) -> StoredBlob:
        """
        Steps 1 to 3; after an error the staging file is one again, and nothing else is left.

        :param flush: makes the bytes of the staging file durable.
        """

        def rename(target: str, series: Series) -> None:
            os.rename(staged, target)  # noqa: PTH104 - as text
            series.flush_names(series.named())

        def undo(target: str) -> None:
            # Its lock is held: nobody has begun an upload of this name.
            os.rename(target, staged)  # noqa: PTH104
            flush_folder(self.staging)

        flush()
        return self._store(digest, size, rename, undo)

    def write(self, digest: Digest, chunks: Sequence[Piece]) -> StoredBlob:
        """The same for bytes that have no file; after an error nothing is left."""

        def create(target: str, series: Series) -> None:
            descriptor = os.open(target, _NEW, 0o600)
            try:
                write_all(descriptor, chunks)
                self.flush_both(partial(os.fsync, descriptor), partial(series.flush_names, series.named()))
            finally:
                os.close(descriptor)

        return self._store(digest, sum(map(len, chunks)), create, os.unlink)

    def begin(self, digest: Digest, size: int) -> "BegunObject":
        """The same for bytes that are still to come."""
        found: list[tuple[int, Series]] = []

        def create(target: str, series: Series) -> None:
            found.append((os.open(target, _NEW, 0o600), series))

        blob = self._store(digest, size, create, os.unlink)
        return BegunObject(self, blob, *found[0])

    def flush_both(self, flush: Callable[[], object], flush_names: Callable[[], object]) -> None:
        """Make the bytes of a file durable, and its name; at the same time, if this process can do that."""
        if self._begin is None:
            flush()
            flush_names()
            return
        names = self._begin(flush_names)
        try:
            flush()
        finally:
            names.wait()

    def _store(
        self, digest: Digest, size: int, make: Callable[[str, Series], None], undo: Callable[[str], None]
    ) -> StoredBlob:
        """:param make: makes a name in the folder of a series, and has it flushed."""
        if digest.algorithm not in self._ready:
            for folder in (self.notes, self.staging, self.root / digest.algorithm):
                self.ensure(folder)
            self._ready.add(digest.algorithm)
        while True:
            series, generation = self._series.next(digest.algorithm)
            blob = StoredBlob(digest, generation, size)
            self._pending[blob] = series
            target = f"{series.folder}/{digest.encoded}.{generation}"
            try:
                make(target, series)
            except BaseException as problem:
                with suppress(OSError):
                    undo(target)
                self.retract(blob)
                if isinstance(problem, FileNotFoundError) and not series.folder.exists():
                    # It was empty, and somebody has removed it.
                    series.end()
                    continue
                raise
            return blob

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
        """Step 5; harmless when this process has not stored it."""
        series = self._pending.pop(blob, None)
        if series is not None:
            series.settled()

    def end_series(self) -> None:
        """The next object begins a series, as after a start."""
        self._series.end()

    def quarantine(self, blob: StoredBlob) -> None:
        """
        Move an object out of the way; what is there under its name already is the same object.

        Killed at its end this leaves an empty folder, which does no harm.
        """
        path, folder = self.object_path(blob), self.root / QUARANTINE
        self.ensure(folder)
        with suppress(FileNotFoundError):
            path.rename(folder / path.name)
            flush_folder(folder)
            flush_folder(path.parent)
            self._drop_empty(blob, path.parent)

    def delete(self, blob: StoredBlob) -> None:
        """Remove an object; whose series was told of it, if this process has stored it, knows that it is gone."""
        path = self.object_path(blob)
        remove(path)
        # Also when it was gone: whoever removed it may not have come to the flush.
        with suppress(FileNotFoundError):
            flush_folder(path.parent)
        self._drop_empty(blob, path.parent)
        self.confirm(blob)

    def _drop_empty(self, blob: StoredBlob, folder: Path) -> None:
        """Without its last object the folder of a series goes; another process that still adds to it will find that out."""
        series = series_of(blob.generation)
        if series is not None and not self._series.is_current(series):
            drop_empty(folder)

    def retract(self, blob: StoredBlob) -> None:
        """Remove an object that nobody has heard of; what the disk refuses is left to recovery."""
        if blob.in_metadata:
            return
        with suppress(OSError):
            self.delete(blob)
        series = self._pending.pop(blob, None)
        if series is not None:
            series.settled(gone=False)


@define(eq=False)
class BegunObject:
    """An object that is to have some bytes that are still to come, and the descriptor of its file."""

    _folders: Folders
    blob: StoredBlob
    descriptor: int
    _series: Series

    def finish(self) -> None:
        """All of them were written: the object is durable. After an error it is to be dropped."""
        series = self._series
        self._folders.flush_both(partial(os.fsync, self.descriptor), partial(series.flush_names, series.named()))

    def stage(self, staged: str) -> None:
        """
        Not all of them came: the file is a staging file from now on, which the descriptor locks.

        After an error it is still to be dropped. :raises FileExistsError: somebody else has begun a file of this name.
        """
        fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Not renamed, as in Folders.reopen.
        os.link(self._folders.object_path(self.blob), staged)
        self._folders.retract(self.blob)

    def drop(self) -> None:
        """Nothing is left of it."""
        try:
            self._folders.retract(self.blob)
        finally:
            os.close(self.descriptor)
