"""
Files by their names, in a tar, a compressed tar or a folder, and read where they lie: nothing is ever unpacked.

Names and links come from strangers. A link leads to another member or nowhere, never to a file of this machine.
"""

import bz2
import gzip
import lzma
import os
import posixpath
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from attrs import frozen

from dockreg.cli.failures import CommandFailed
from dockreg.model.documents import parse_json

_OPENERS: Mapping[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
#: No document in an archive has more bytes.
MAX_DOCUMENT = 16 * 1024 * 1024
_MAX_LINKS = 16
_COPY_PIECE = 1024 * 1024


class ArchiveInvalid(CommandFailed):
    """The archive is none, or is damaged; the sentence says where."""


@frozen
class Stored:
    """Bytes in an archive: the name of the member, from where, how many."""

    name: str
    offset: int
    size: int


class Members:
    """
    The members of an archive that is open. Close it.

    :param named: by name where the bytes are, or for a link the name that it leads to.
    """

    def __init__(self, path: Path, named: Mapping[str, Stored | str]) -> None:
        self.path = path
        self._named = named

    def __contains__(self, name: str) -> bool:
        return self.find(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def find(self, name: str) -> Stored | None:
        """The bytes of this name, if there are any, through links."""
        found = self._named.get(posixpath.normpath(name))
        for _ in range(_MAX_LINKS):
            if not isinstance(found, str):
                return found
            found = self._named.get(found)
        return None

    def member(self, name: Any) -> Stored:
        """:raises ArchiveInvalid: there is nothing of this name, or it is no name."""
        stored = self.find(name) if isinstance(name, str) else None
        if stored is None:
            raise self.invalid(f"misses {name}")
        return stored

    def content(self, name: Any, limit: int = MAX_DOCUMENT) -> bytes:
        """
        The bytes of a short document.

        :raises ArchiveInvalid: it is not there, or has more than ``limit`` bytes.
        """
        stored = self.member(name)
        if stored.size > limit:
            raise self.invalid(f"has {stored.size} bytes in {stored.name}, which should be a short document")
        parts, position = [], 0
        while position < stored.size:
            parts.append(self.read(stored, position, stored.size - position))
            position += len(parts[-1])
        return b"".join(parts)

    def document(self, name: Any, kind: type) -> Any:
        """
        The JSON in a short document.

        :raises ArchiveInvalid: it is not there, is no JSON, or its value is not of this type.
        """
        value = parse_json(self.content(name), lambda reason: self.invalid(f"has a broken {name}: {reason}"))
        if not isinstance(value, kind):
            raise self.invalid(f"has a broken {name}")
        return value

    def invalid(self, reason: str) -> ArchiveInvalid:
        """What to raise; ``reason`` follows the path in the sentence."""
        return ArchiveInvalid(f"{self.path} {reason}")

    def read(self, stored: Stored, position: int, limit: int) -> bytes:
        """
        At most ``limit`` bytes of ``stored`` from ``position`` on; ``b""`` at its end. Any thread may call this.

        :raises ArchiveInvalid: the file became shorter, or can not be read.
        """
        wanted = min(limit, stored.size - position)
        if wanted <= 0:
            return b""
        try:
            data = self._read(stored, stored.offset + position, wanted)
        except OSError as error:
            raise self.invalid(f"can not be read at {stored.name}: {error.strerror}") from None
        if not data:
            raise self.invalid(f"ends in the middle of {stored.name}")
        return data

    def _read(self, stored: Stored, offset: int, wanted: int) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        """Release what is open."""


def open_members(path: Path, *, strict: bool = False) -> Members:
    """
    Open an archive.

    :param strict: refuse what no program that writes archives does: a name twice, or one that leads out of the archive.
    :raises ArchiveInvalid: it is none.
    """
    try:
        if path.is_dir():
            return _Folder(path)
        file = _plain(path)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise ArchiveInvalid(f"{path} can not be read: {error}") from None
    try:
        return _Tar(path, file, strict)
    except BaseException:
        file.close()
        raise


def _plain(path: Path) -> IO[bytes]:
    file = path.open("rb")
    start = file.read(6)
    file.seek(0)
    opener = next((each for magic, each in _OPENERS.items() if start.startswith(magic)), None)
    if opener is None:
        return file
    # Layers are read in another order than they lie in, which a compressed file can not do.
    with file, opener(file, "rb") as unpacked:
        copy = tempfile.TemporaryFile()  # noqa: SIM115  # it outlives this function
        try:
            shutil.copyfileobj(unpacked, copy, _COPY_PIECE)
            copy.seek(0)
        except BaseException:
            copy.close()
            raise
    return copy


class _Tar(Members):
    def __init__(self, path: Path, file: IO[bytes], strict: bool) -> None:
        self._file = file
        self._strict = strict
        named: dict[str, Stored | str] = {}
        super().__init__(path, named)
        try:
            with tarfile.open(fileobj=file, mode="r:") as members:
                for member in members:
                    self._note(member, named)
        except (tarfile.TarError, OSError, ValueError, ArithmeticError, LookupError) as error:
            raise self.invalid(f"is no archive of docker save ({error})") from None
        end = os.fstat(file.fileno()).st_size
        if any(isinstance(each, Stored) and each.offset + each.size > end for each in named.values()):
            raise self.invalid("is cut short")

    def _note(self, member: tarfile.TarInfo, named: dict[str, Stored | str]) -> None:
        name = posixpath.normpath(member.name)
        found: Stored | str
        if member.issym():
            found = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
        elif member.islnk():
            found = posixpath.normpath(member.linkname)
        elif member.isreg() and not member.issparse():
            found = Stored(name, member.offset_data, member.size)
        else:
            return
        if self._strict:
            self._require_sane(name, found, named)
        # Of one name the last member counts.
        named[name] = found

    def _require_sane(self, name: str, found: Stored | str, named: Mapping[str, Stored | str]) -> None:
        if name in named:
            raise self.invalid(f"has {name[:128]!r} twice, and programs differ in which they take")
        for each in (name, found if isinstance(found, str) else name):
            if each.startswith("/") or each.split("/")[0] == "..":
                raise self.invalid(f"has a member {name[:128]!r} that leads out of the archive")

    def _read(self, stored: Stored, offset: int, wanted: int) -> bytes:
        return os.pread(self._file.fileno(), wanted, offset)

    def close(self) -> None:
        self._file.close()


class _Folder(Members):
    """A folder. What its links lead to has to lie in it as well."""

    def __init__(self, path: Path) -> None:
        self._root = path.resolve()
        super().__init__(path, dict(self._walk()))

    def _walk(self) -> Iterator[tuple[str, Stored]]:
        for folder, _, names in os.walk(self._root):
            for each in names:
                place = Path(folder, each)
                found = place.resolve()
                if found.is_relative_to(self._root) and found.is_file():
                    name = str(place.relative_to(self._root))
                    yield name, Stored(str(found.relative_to(self._root)), 0, found.stat().st_size)

    def _read(self, stored: Stored, offset: int, wanted: int) -> bytes:
        with (self._root / stored.name).open("rb") as file:
            return os.pread(file.fileno(), wanted, offset)
