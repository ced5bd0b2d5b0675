"""
Objects are stored in series: some hundred of one process, in a folder of their own, under one note.

A commit has to leave something from which recovery can tell that there may be an object that nobody has recorded, and that
has to be durable before the object has its name. Here that is done once for a whole series, so that a commit has two flushes
before it is recorded: of the file and of its folder. Those who commit at the same time share the latter.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock

from attrs import define, field

from dockreg.providers.blobs.disk import create_locked, flush_folder, remove

#: Objects of one series: recovery asks the metadata about so many for each process that has ended.
LENGTH = 256
#: In no name that is made at random (:func:`~dockreg.providers.blobs.names.is_upload_id`).
_MARK = "~"


def series_of(generation: str) -> str | None:
    """The series of an object; None for one that was stored when there were none."""
    name, mark, _ = generation.partition(_MARK)
    return name if mark else None


@define(eq=False)
class Series:
    """
    One series of this process, and its locked note.

    ``pending`` counts the objects that are neither confirmed nor removed, and may still be recorded.
    """

    name: str
    folder: Path
    _note: Path
    _descriptor: int
    _begun: int = field(default=0, init=False)
    _pending: int = field(default=0, init=False)
    _closed: bool = field(default=False, init=False)
    _lock: Lock = field(factory=Lock, init=False)
    # How many names were made in the folder, and how many of them are known to be durable.
    _made: int = field(default=0, init=False)
    _flushed: int = field(default=0, init=False)
    _flushing: Lock = field(factory=Lock, init=False)
    _failed: bool = field(default=False, init=False)
    # Whether there may be an object that nobody will record.
    _left: bool = field(default=False, init=False)

    def next(self) -> str | None:
        """The generation of another object of this series, None when it has come to its end."""
        with self._lock:
            if self._closed or self._failed or self._begun == LENGTH:
                self._close()
                return None
            self._begun += 1
            self._pending += 1
            return f"{self.name}{_MARK}{self._begun:x}"

    def end(self) -> None:
        """Take no more objects, for instance because somebody has removed the folder while it was empty."""
        with self._lock:
            self._close()

    def settled(self, *, gone: bool = True) -> None:
        """
        An object is recorded and confirmed, or it is gone.

        :param gone: False for one that nobody will record, and that the disk does not let go of: it is left to recovery.
        """
        with self._lock:
            self._pending -= 1
            self._left = self._left or not gone
            if self._closed:
                self._close()

    def named(self) -> int:
        """A name was made in the folder; which one it is, for :meth:`flush_names`."""
        with self._lock:
            self._made += 1
            return self._made

    def flush_names(self, mine: int) -> None:
        """Make a name durable, with those that were made by now. :raises OSError: it is not known whether they are."""
        with self._flushing:
            if self._flushed >= mine:
                return
            if self._failed:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            coming = self._made
            try:
                flush_folder(self.folder)
            except BaseException:
                # The kernel tells once of what it could not write.
                self._failed = True
                raise
            self._flushed = coming

    def _close(self) -> None:
        self._closed = True
        if self._pending or self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            # What could not be flushed is left to recovery, whatever was done about it: to that of any process from now on.
            if not self._failed and not self._left:
                drop_empty(self.folder)
                with suppress(OSError):
                    remove(self._note)
        finally:
            os.close(descriptor)


@define(eq=False)
class AllSeries:
    """
    The series of a store, and which of them this process adds to, one for each algorithm.

    :param notes: the folder of the notes; it is there, and durable.
    """

    _root: Path
    _notes: Path
    _new_id: Callable[[], str]
    _current: dict[str, Series] = field(factory=dict, init=False)
    #: The names of all series that this process has begun.
    begun: set[str] = field(factory=set, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def next(self, algorithm: str) -> tuple[Series, str]:
        """A series for another object, and its generation; the folder of the algorithm is there, and durable."""
        with self._lock:
            series = self._current.get(algorithm)
            generation = None if series is None else series.next()
            while series is None or generation is None:
                series = self._current[algorithm] = self._begin(algorithm)
                generation = series.next()
            return series, generation

    def end(self) -> None:
        """Add no more to any of them, until another one is begun."""
        with self._lock:
            current = list(self._current.values())
            self._current.clear()
            for each in current:
                each.end()

    def is_current(self, name: str) -> bool:
        """Whether this process may add to a series."""
        return any(each.name == name for each in list(self._current.values()))

    def _begin(self, algorithm: str) -> Series:
        name = self._new_id()
        note = self._notes / f"{algorithm}.{name}"
        folder = self._root / algorithm / name
        descriptor = create_locked(note)
        try:
            flush_folder(self._notes)
            folder.mkdir(mode=0o700)
            flush_folder(folder.parent)
        except BaseException:
            # Nothing is in it, and a disk that is full would be asked for many.
            try:
                with suppress(OSError):
                    with suppress(FileNotFoundError):
                        folder.rmdir()
                    remove(note)
            finally:
                os.close(descriptor)
            raise
        self.begun.add(name)
        return Series(name, folder, note, descriptor)


def drop_empty(folder: Path) -> None:
    """Remove the folder of a series if nothing is in it; whoever knows that something was will not come again."""
    with suppress(OSError):
        folder.rmdir()
        flush_folder(folder.parent)


def noted_series(notes: Path) -> Iterator[tuple[Path, str, str]]:
    """The notes of all series that are not settled, with algorithm and name."""
    try:
        names = sorted(os.listdir(notes))  # noqa: PTH208 - their names are all that is wanted
    except FileNotFoundError:
        return
    for each in names:
        algorithm, dot, name = each.partition(".")
        if dot:
            yield notes / each, algorithm, name
