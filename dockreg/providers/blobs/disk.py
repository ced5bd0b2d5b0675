"""Files and folders: locks that die with their process, flushed folders, errors in the words of the registry."""

import errno
import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from dockreg.callables import Piece
from dockreg.errors import StorageFull, StoreUnavailable

#: Pieces are joined until they have as many bytes; those that have nearly so many are left as they are.
_GATHERED_BYTES = 512 * 1024
_LARGE_BYTES = 256 * 1024
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: Linux takes at most 1024 buffers in one call; POSIX promises 16.
_MAX_BUFFERS = max(16, os.sysconf("SC_IOV_MAX"))


class _DiskErrors:
    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _kind: type[BaseException] | None, problem: BaseException | None, _where: TracebackType | None
    ) -> None:
        if isinstance(problem, OSError):
            if problem.errno in _NO_ROOM:
                raise StorageFull from problem
            raise StoreUnavailable(f"the blob store does not work now: {os.strerror(problem.errno or 0)}") from problem


_DISK_ERRORS = _DiskErrors()


def disk_errors() -> _DiskErrors:
    """
    Tell what the operating system says in our words.

    :raises StorageFull: no room on the disk, in the quota or under the limit for one file.
    :raises StoreUnavailable: anything else, as an input/output error or a file system mounted read-only.
    """
    return _DISK_ERRORS


def create_locked(path: str | Path) -> int:
    """
    A descriptor of a new, empty file of mode 0600 that is locked for as long as this descriptor is open.

    Between its creation and its lock another process may take the file for one that was left behind and remove it; a
    file without a name is therefore made again.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def lock_named(path: str | Path, flags: int) -> int:
    """
    A descriptor of the file of this name, which is locked for as long as the descriptor is open.

    Until it is locked others may remove the file, or rename it to a finished object; only one that still has its name
    when it is locked is given.

    :param flags: for opening it; with ``O_CREAT`` a new one of mode 0600 is made when there is none.
    :raises FileNotFoundError: there is none.
    :raises BlockingIOError: another descriptor, of this process or of another one, holds its lock.
    """
    while True:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _has_name(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _has_name(descriptor: int, path: str | Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))  # noqa: PTH116 beside that of a descriptor
    except FileNotFoundError:
        return False


def lock_left_behind(path: str | Path) -> int | None:
    """A descriptor that locks the file, None when it is gone or another descriptor holds its lock."""
    try:
        return lock_named(path, os.O_RDONLY)
    except (FileNotFoundError, BlockingIOError):
        return None


def remove_left_behind(path: str | Path) -> None:
    """Remove a file unless a descriptor holds its lock; harmless when it is gone."""
    # Mostly it is, and an error would take longer to make than to ask.
    descriptor = lock_left_behind(path) if os.access(path, os.F_OK) else None
    if descriptor is not None:
        try:
            remove(path)
        finally:
            os.close(descriptor)


def flush_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """A folder of mode 0700, with what leads to it; their names are durable."""
    if not path.parent.is_dir():
        make_folder(path.parent)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    # Also when it was there: whoever made it may not have come to the flush.
    flush_folder(path.parent)


def remove(path: str | Path) -> None:
    """Remove a file; harmless when it is gone."""
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - text, or a path


def gathered(chunks: Sequence[Piece]) -> Sequence[Piece]:
    """
    The same bytes in larger pieces.

    Copying a byte costs a tenth of what digesting it costs, and each piece that is digested has the threads contend for the
    interpreter.
    """
    if len(chunks) < 2:
        return chunks
    large: list[Piece] = []
    small: list[Piece] = []
    size = 0
    for chunk in chunks:
        if len(chunk) >= _LARGE_BYTES and not small:
            large.append(chunk)
            continue
        small.append(chunk)
        size += len(chunk)
        if size >= _GATHERED_BYTES:
            large.append(b"".join(small))
            small, size = [], 0
    if small:
        large.append(b"".join(small) if len(small) > 1 else small[0])
    return large


def write_some(descriptor: int, piece: Piece) -> int:
    """Write the beginning of a piece; how many bytes the kernel takes, none where it refuses: :func:`write_all` tells why."""
    try:
        return os.write(descriptor, piece)
    except OSError:
        return 0


def write_all(descriptor: int, chunks: Sequence[Piece]) -> int:
    """Write every byte of ``chunks``, however little the kernel takes at a time; return how many there were."""
    total = 0
    for first in range(0, len(chunks), _MAX_BUFFERS):
        buffers: list[Piece] = list(chunks[first : first + _MAX_BUFFERS])
        wanted = sum(map(len, buffers))
        total += wanted
        while wanted:
            written = os.writev(descriptor, buffers)
            wanted -= written
            if wanted:
                buffers = _unwritten(buffers, written)
    return total


def beginning_of(chunks: Sequence[Piece], size: int) -> Sequence[Piece]:
    """The first ``size`` bytes of ``chunks``."""
    taken: list[Piece] = []
    for chunk in chunks:
        if size <= 0:
            break
        taken.append(chunk[:size])
        size -= len(chunk)
    return taken


def free_bytes(folder: Path) -> int:
    """How many bytes an ordinary user may still write where a folder is, or will be made."""
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    found = os.statvfs(existing)
    return found.f_bavail * found.f_frsize


def told_free_bytes(folder: Path) -> int:
    """The same. :raises StoreUnavailable: the disk does not tell."""
    with disk_errors():
        return free_bytes(folder)


def _unwritten(buffers: Sequence[Piece], written: int) -> list[Piece]:
    for index, buffer in enumerate(buffers):
        if written < len(buffer):
            return [memoryview(buffer)[written:], *buffers[index + 1 :]]
        written -= len(buffer)
    return []
