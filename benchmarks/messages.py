"""Requests and answers of HTTP/1.1, with as little work as possible for who sends and reads them."""

import mmap
import os
import re
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from attrs import define, frozen

_LENGTH = b"\r\ncontent-length:"
_CHUNKED = b"\r\ntransfer-encoding: chunked\r\n"
_CLOSE = b"\r\nconnection: close\r\n"
_CHUNK_END = b"\r\n0\r\n\r\n"
_CHUNK_HEAD = re.compile(rb"([0-9a-fA-F]+)[^\r\n]*\r\n")
_BODYLESS = frozenset({204, 304})


class LoadFailed(Exception):
    """A contender did not do what the workload needs; the sentence says what."""


@define(eq=False)
class MappedFile:
    """A file that is sent again and again: by the kernel, or from memory where the bytes must be encrypted first."""

    descriptor: int
    view: memoryview

    @classmethod
    def of(cls, path: Path) -> "MappedFile":
        """Map a file that has bytes; it stays open until :meth:`close`."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return cls(descriptor, memoryview(mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)))

    def close(self) -> None:
        """Close it; nothing may be sent from it any more."""
        os.close(self.descriptor)


@frozen
class FilePart:
    """So many bytes of a file, as a part of a body."""

    file: MappedFile
    size: int


Part = bytes | FilePart


def size_of(parts: Sequence[Part]) -> int:
    """Bytes of a body."""
    return sum(part.size if isinstance(part, FilePart) else len(part) for part in parts)


@frozen
class Request:
    """
    One request of a script.

    ``head`` ends with the empty line. The answer must have one of the statuses ``expects`` and, if ``length`` is given,
    a body of so many bytes. ``ends`` says whether an operation is over with its answer: the time of an operation counts
    from the first of its requests. ``keep`` asks for the answer's body, ``hasher`` is fed with it.
    """

    head: bytes
    parts: Sequence[Part] = ()
    expects: Sequence[int] = (200,)
    length: int | None = None
    ends: bool = True
    keep: bool = False
    hasher: Any = None

    @property
    def bodyless(self) -> bool:
        """Whether the answer has no body, whatever its headers say."""
        return self.head.startswith(b"HEAD ")


class Answer:
    """The head of an answer, and its body if it was to be kept."""

    __slots__ = ("body", "chunked", "closes", "head", "length", "status")

    def __init__(self, head: bytes, *, bodyless: bool) -> None:
        """:param head: the status line and the header lines, each with its end, without the empty line."""
        self.head = head
        self.status = int(head[9:12])
        lower = head.lower()
        self.closes = _CLOSE in lower
        self.chunked = False
        at = lower.find(_LENGTH)
        #: What Content-Length says.
        self.length = int(lower[at + len(_LENGTH) : lower.index(b"\r\n", at + 2)]) if at >= 0 else None
        if self.length is None and not bodyless and self.status not in _BODYLESS:
            self.chunked = _CHUNKED in lower
            if not self.chunked:
                raise LoadFailed(f"an answer without length: {head[:200]!r}")
        self.body = b""

    def header(self, name: str) -> str:
        """The value of a header. :raises LoadFailed: there is none."""
        found = re.search(rb"(?im)^" + re.escape(name.encode()) + rb":[ \t]*([^\r\n]*)", self.head)
        if found is None:
            raise LoadFailed(f"an answer without {name}: {self.head!r}")
        return found[1].decode("latin-1")


#: What one connection does: it gets the answer of each request that it yields.
Script = Generator[Request, Answer, None]


def ends_chunks(data: bytes) -> bool:
    """Whether a chunked body, of which this is the end, is over; for bodies that have no line break of HTTP in them."""
    return data.endswith(_CHUNK_END) or data == _CHUNK_END[2:]


def joined_chunks(data: bytes) -> bytes:
    """The content of a whole chunked body."""
    parts: list[bytes] = []
    position = 0
    while found := _CHUNK_HEAD.match(data, position):
        size = int(found[1], 16)
        if not size:
            return b"".join(parts)
        parts.append(data[found.end() : found.end() + size])
        position = found.end() + size + 2
    raise LoadFailed(f"a chunked body is broken: {data[position : position + 40]!r}")


def framed_head(size: int) -> bytes:
    """The line before a chunk of ``size`` bytes."""
    return b"%x\r\n" % size
