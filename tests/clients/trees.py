"""Root file systems as values: what a stack of layers makes, and what a folder holds."""

import hashlib
import os
import posixpath
import stat
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

import attrs
from attrs import frozen

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "symlink",
    tarfile.FIFOTYPE: "fifo",
}


@frozen
class Entry:
    """One path of a root file system."""

    kind: str
    mode: int
    owner: tuple[int, int]
    size: int = 0
    content: str = ""  # the sha256 of a file, the target of a link
    twin: str = ""  # the first path of the same file, where it has several


Tree = Mapping[str, Entry]


class Stack:
    """Layers put on each other, the base first."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._files: dict[str, int] = {}  # path to the number of its file, which hard links share
        self._numbers = 0

    def add(self, layer: IO[bytes]) -> None:
        """Put an uncompressed tar on top."""
        with tarfile.open(fileobj=layer, mode="r:") as archive:
            members = [(_clean(member.name), member) for member in archive]
            # What a layer removes is what lies below it, wherever in the layer that is said.
            for path, _ in members:
                self._whiteout(path)
            for path, member in members:
                if path and not posixpath.basename(path).startswith(_WHITEOUT):
                    self._place(path, member, archive)

    def _whiteout(self, path: str) -> None:
        folder, name = posixpath.split(path)
        if name == _OPAQUE:
            self._remove_below(folder)
        elif name.startswith(_WHITEOUT):
            self._remove(posixpath.join(folder, name.removeprefix(_WHITEOUT)))

    def _remove_below(self, folder: str) -> None:
        for path in [each for each in self._entries if each.startswith(f"{folder}/")]:
            self._remove(path)

    def _remove(self, path: str) -> None:
        self._remove_below(path)
        self._entries.pop(path, None)
        self._files.pop(path, None)

    def _place(self, path: str, member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        if member.islnk():
            target = _clean(member.linkname)
            self._remove(path)
            self._entries[path], self._files[path] = self._entries[target], self._files[target]
            return
        if not member.isdir():
            self._remove_below(path)
        self._entries[path] = _entry(member, archive)
        self._files[path] = self._numbers = self._numbers + 1

    def tree(self) -> Tree:
        """What the layers make together."""
        return _with_twins(self._entries, self._files)


def _entry(member: tarfile.TarInfo, archive: tarfile.TarFile) -> Entry:
    owner = (member.uid, member.gid)
    if member.isreg():
        content = archive.extractfile(member)
        assert content is not None
        return Entry("file", member.mode & 0o7777, owner, member.size, _sha256(content))
    if member.issym():
        # Systems show different modes of symbolic links, and use none.
        return Entry("symlink", 0, owner, content=member.linkname)
    return Entry(_KINDS[member.type], member.mode & 0o7777, owner)


def _sha256(content: IO[bytes]) -> str:
    return hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]


def _clean(path: str) -> str:
    clean = posixpath.normpath(path).lstrip("/")
    return "" if clean == "." else clean


def _with_twins(entries: Mapping[str, Entry], files: Mapping[str, int]) -> Tree:
    paths: dict[int, list[str]] = {}
    for path, number in files.items():
        paths.setdefault(number, []).append(path)
    shared = {number: min(names) for number, names in paths.items() if len(names) > 1}
    return {
        path: attrs.evolve(entry, twin=shared[files[path]]) if files[path] in shared else entry
        for path, entry in sorted(entries.items())
    }


def stacked(layers: Iterable[IO[bytes]]) -> Tree:
    """The root file system of uncompressed layers, the base first."""
    stack = Stack()
    for layer in layers:
        stack.add(layer)
    return stack.tree()


def folder_tree(folder: Path) -> Tree:
    """The root file system that is mounted or unpacked in a folder."""
    entries: dict[str, Entry] = {}
    files: dict[str, int] = {}
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place, name)
            key = path.relative_to(folder).as_posix()
            status = path.lstat()
            entries[key] = _entry_of(path, status)
            files[key] = status.st_ino
    return _with_twins(entries, files)


def _entry_of(path: Path, status: os.stat_result) -> Entry:
    mode, owner = stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)
    if stat.S_ISLNK(status.st_mode):
        return Entry("symlink", 0, owner, content=str(path.readlink()))
    if stat.S_ISDIR(status.st_mode):
        return Entry("folder", mode, owner)
    if stat.S_ISFIFO(status.st_mode):
        return Entry("fifo", mode, owner)
    with path.open("rb") as content:
        return Entry("file", mode, owner, status.st_size, _sha256(content))


def differences(expected: Tree, actual: Tree) -> list[str]:
    """A sentence for each path that is not as expected."""
    sentences = [f"{path} is missing" for path in expected.keys() - actual.keys()]
    sentences += [f"{path} is too much" for path in actual.keys() - expected.keys()]
    for path in expected.keys() & actual.keys():
        if expected[path] != actual[path]:
            sentences.append(f"{path} is {actual[path]}, not {expected[path]}")
    return sorted(sentences)
