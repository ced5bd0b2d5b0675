"""
What a failure of power leaves, worked out from the journal of ``below.c``.

The model of a disk is the strictest that the assumptions of ``docs/reliability.rst`` allow. Bytes of a file are safe once
that file was flushed, names in a folder once that folder was; a rename is two changes of names, of two folders perhaps.
What was not flushed is lost or not, each name and each 512 bytes of a write by themselves.

No process is killed for this: a journal has every moment of a run, and :meth:`Disk.leave` makes the folder as it would
be found after a failure at that moment. The test writes its own marks into the journal, and so knows what had been
acknowledged by then.
"""

import os
import struct
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from random import Random

from attrs import define, field, frozen

from tests.faults.below import Kind

# struct record of the source.
_HEAD = struct.Struct("<IBBHQqQ")
_MAGIC = 0x0A6B6F64
_MARK = 255
_SECTOR = 512


@frozen
class Record:
    """One change; ``kind`` is None for a mark, which is ``content``."""

    kind: Kind | None
    made: bool
    paths: tuple[str, ...]
    inode: int
    offset: int
    content: bytes = field(repr=False)


def mark(journal: Path, text: str) -> None:
    """Write a mark to a journal that others write to as well."""
    content = text.encode()
    descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, _HEAD.pack(_MAGIC, _MARK, 0, 0, 0, 0, len(content)) + content)
    finally:
        os.close(descriptor)


def records(journal: bytes) -> Iterator[Record]:
    """All of a journal; a record at its end that is not whole is left out."""
    at = 0
    while at + _HEAD.size <= len(journal):
        magic, kind, made, path, inode, offset, size = _HEAD.unpack_from(journal, at)
        assert magic == _MAGIC, f"no record at {at}"
        has_bytes = kind in (Kind.WRITE, _MARK)
        end = at + _HEAD.size + path + (size if has_bytes else 0)
        if end > len(journal):
            return
        paths = journal[at + _HEAD.size : at + _HEAD.size + path].decode()
        content = journal[at + _HEAD.size + path : end] if has_bytes else b""
        yield Record(
            None if kind == _MARK else Kind(kind), bool(made), tuple(paths.split("\n")), inode, offset, content
        )
        at = end


class Luck(Enum):
    """What becomes of changes that were not flushed."""

    LOST = "all are lost"
    MIXED = "each is lost or not"
    KEPT = "none is lost"


@define(eq=False)
class _File:
    durable: bytearray = field(factory=bytearray)
    #: Offset and bytes of a write; offset and None where the file was cut to that size.
    pending: list[tuple[int, bytes | None]] = field(factory=list)

    def flush(self) -> None:
        for change in self.pending:
            _apply(self.durable, *change)
        self.pending.clear()

    def found(self, luck: Luck, random: Random) -> bytes:
        """Its bytes after a failure."""
        content = bytearray(self.durable)
        if luck is Luck.LOST:
            return bytes(content)
        for offset, written in self.pending:
            if luck is Luck.KEPT:
                _apply(content, offset, written)
            elif written is None:
                if random.random() < 0.5:
                    _apply(content, offset, None)
            else:
                for start, part in _sectors(offset, written):
                    if random.random() < 0.5:
                        _apply(content, start, part)
        return bytes(content)


@define(eq=False)
class _Folder:
    durable: "dict[str, _File | _Folder]" = field(factory=dict)
    now: "dict[str, _File | _Folder]" = field(factory=dict)
    pending: "list[tuple[str, _File | _Folder | None]]" = field(factory=list)

    def change(self, name: str, node: "_File | _Folder | None") -> None:
        self.pending.append((name, node))
        _name(self.now, name, node)

    def flush(self) -> None:
        self.durable = dict(self.now)
        self.pending.clear()

    def found(self, luck: Luck, random: Random) -> "dict[str, _File | _Folder]":
        """Its names after a failure."""
        names = dict(self.durable)
        for name, node in self.pending:
            if luck is Luck.KEPT or (luck is Luck.MIXED and random.random() < 0.5):
                _name(names, name, node)
        return names


@define(eq=False)
class Disk:
    """
    A folder while changes are made to it.

    :param folder: the folder itself, as it is called in the journal; it was there, empty, before the first record.
    :param inode: its number.
    """

    folder: str
    inode: int
    _root: _Folder = field(factory=_Folder)
    _nodes: dict[int, _File | _Folder] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._nodes[self.inode] = self._root

    def apply(self, record: Record) -> None:
        """Make the next change."""
        kind, node = record.kind, self._nodes.get(record.inode)
        if kind is Kind.OPEN or kind is Kind.MKDIR:
            made: _File | _Folder = _File() if kind is Kind.OPEN else _Folder()
            self._nodes[record.inode] = made
            self._change(record.paths[0], made)
        elif kind is Kind.WRITE and isinstance(node, _File):
            node.pending.append((record.offset, record.content))
        elif kind is Kind.TRUNCATE and isinstance(node, _File):
            node.pending.append((record.offset, None))
        elif kind is Kind.SYNC and node is not None:
            node.flush()
        elif kind in (Kind.UNLINK, Kind.RMDIR):
            self._change(record.paths[0], None)
        elif kind in (Kind.RENAME, Kind.LINK):
            old, new = record.paths
            self._change(new, self._at(old))
            if kind is Kind.RENAME:
                self._change(old, None)

    def leave(self, target: Path, luck: Luck, random: Random) -> None:
        """Make the folder as a failure of power at this moment would leave it, in ``target``, which is new."""
        _make(self._root, target, luck, random, {})

    def _at(self, path: str) -> _File | _Folder:
        node: _File | _Folder = self._root
        for name in self._names(path):
            assert isinstance(node, _Folder)
            node = node.now[name]
        return node

    def _change(self, path: str, node: _File | _Folder | None) -> None:
        *above, name = self._names(path)
        folder = self._at("/".join((self.folder, *above)))
        assert isinstance(folder, _Folder)
        folder.change(name, node)

    def _names(self, path: str) -> list[str]:
        return [name for name in path.removeprefix(self.folder).split("/") if name]


def _apply(content: bytearray, offset: int, written: bytes | None) -> None:
    end = offset if written is None else offset + len(written)
    if written is None and end < len(content):
        del content[end:]
    content.extend(bytes(max(0, end - len(content))))
    if written is not None:
        content[offset:end] = written


def _sectors(offset: int, written: bytes) -> Iterator[tuple[int, bytes]]:
    start = offset
    end = offset + len(written)
    while start < end:
        until = min(end, (start // _SECTOR + 1) * _SECTOR)
        yield start, written[start - offset : until - offset]
        start = until


def _name(names: dict[str, _File | _Folder], name: str, node: _File | _Folder | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _make(folder: _Folder, target: Path, luck: Luck, random: Random, made: dict[int, Path]) -> None:
    target.mkdir(mode=0o700)
    for name, node in sorted(folder.found(luck, random).items()):
        path = target / name
        if isinstance(node, _Folder):
            # A folder is in one place only, wherever a rename would have it.
            if id(node) not in made:
                made[id(node)] = path
                _make(node, path, luck, random, made)
        elif id(node) in made:
            path.hardlink_to(made[id(node)])
        else:
            made[id(node)] = path
            path.write_bytes(node.found(luck, random))
            path.chmod(0o600)
