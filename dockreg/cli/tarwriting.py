"""A tar in the making, under a temporary name beside its own. The same members give the same bytes: times are 0."""

import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dockreg.cli.failures import CommandFailed
from dockreg.providers.blobs.disk import flush_folder

BLOCK = tarfile.BLOCKSIZE
_FOLDER_MODE = 0o755


class TarFile:
    """
    Its methods block. It is whole once :meth:`publish` has returned.

    :raises CommandFailed: the folder can not be written to.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        except OSError as error:
            raise CommandFailed(f"{path} can not be written: {error.strerror}") from None
        self._temporary = Path(temporary)
        #: For what writes a member by itself.
        self.file: IO[bytes] = os.fdopen(handle, "w+b")

    def folder(self, name: str) -> None:
        """A folder; ``name`` ends with a slash."""
        self.file.write(header(name, 0, tarfile.DIRTYPE))

    def add(self, name: str, content: bytes) -> None:
        """A short file."""
        self.begin(name, len(content))
        self.file.write(content)
        self.end(len(content))

    def begin(self, name: str, size: int) -> None:
        """A file, of which so many bytes follow."""
        self.file.write(header(name, size))

    def end(self, size: int) -> None:
        """They were written."""
        self.file.write(bytes(-size % BLOCK))

    def publish(self) -> None:
        """Write the end, make it durable, and give it its name."""
        # Tar files end with two zero blocks, and are padded to whole records.
        end = self.file.tell() + 2 * BLOCK
        self.file.write(bytes(2 * BLOCK + -end % tarfile.RECORDSIZE))
        self.file.flush()
        os.fsync(self.file.fileno())
        os.fchmod(self.file.fileno(), 0o666 & ~_umask())
        self.file.close()
        self._temporary.replace(self._path)
        flush_folder(self._path.absolute().parent)

    def discard(self) -> None:
        """Remove what is not published. Harmless afterwards."""
        self.file.close()
        self._temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """:raises CommandFailed: the disk does not take it."""
    try:
        yield
    except OSError as error:
        raise CommandFailed(f"{path} can not be written: {error.strerror or error}") from None


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """The header of a member, which always has one length: this format has room for any size in it."""
    member = tarfile.TarInfo(name)
    member.size = size
    member.type = kind
    if kind == tarfile.DIRTYPE:
        member.mode = _FOLDER_MODE
    return member.tobuf(tarfile.GNU_FORMAT)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
