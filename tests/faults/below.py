"""
The library between a process and its file system (``below.c``): built with ``cc``, told what to do in shared memory.

Why this and not ``strace -e inject``: strace counts the calls of each thread by itself, and which thread of a pool does
a write differs from run to run; it also can not tell calls on the data folder from all others by their descriptor.
Why not a file system in user space: every machine with a compiler can do this one, without rights.
"""

import atexit
import ctypes
import errno
import mmap
import os
import shutil
import struct
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from functools import cache
from pathlib import Path
from unittest import SkipTest

from attrs import frozen

from tests.commands import BEGIN, Source
from tests.support import require_program

_SOURCE = Path(__file__).with_name("below.c")
# struct control of the source.
_ORDER = struct.Struct("<IIIiQQ")
_COUNTS = struct.Struct("<QQ")
_COUNTS_AT = _ORDER.size
_PART_AT, _PART_BYTES = _COUNTS_AT + _COUNTS.size, 192
_WHERE_AT, _WHERE_BYTES = _PART_AT + _PART_BYTES, 512
_TRACE_AT, _TRACE_BYTES = _WHERE_AT + _WHERE_BYTES + 8, 65536
_SIZE = _TRACE_AT + _TRACE_BYTES
#: More calls than any test makes.
FOR_GOOD = 2**62


class Kind(IntEnum):
    """What a call does."""

    OPEN = 0  # for writing
    WRITE = 1
    SYNC = 2
    RENAME = 3
    LINK = 4
    UNLINK = 5
    MKDIR = 6
    RMDIR = 7
    TRUNCATE = 8
    XATTR = 9
    READ = 10


CHANGES = tuple(kind for kind in Kind if kind is not Kind.READ)


class _Action(IntEnum):
    COUNT = 0
    KILL = 1
    FAIL = 2
    HALF = 3
    HALF_AND_KILL = 4


#: The files that calls are for.
PARTS = (
    "/metadata.sqlite3-wal$", "/metadata.sqlite3-shm$", "/metadata.sqlite3$", "/blobs/staging$", "/blobs/staging/", "/blobs/sha256$", "/blobs/sha256/",
    "/blobs/series$", "/blobs/series/",
)  # fmt: skip


@frozen
class Step:
    """The ``at``-th call of a kind, for a kind of file, in an operation; ``at`` counts from 1."""

    kind: Kind
    part: str
    at: int

    @classmethod
    def all(cls, trace: Sequence[str]) -> "list[Step]":
        """Those of a :attr:`Below.trace`; of many writes to the log of SQLite the first two, one of the middle, and the last."""
        counts = Counter((line.partition(" ")[0], _part_of(line.partition(" ")[2])) for line in trace)
        steps = []
        for (name, part), count in counts.items():
            chosen = {1, 2, count // 2, count} if part == PARTS[0] else range(1, count + 1)
            steps += [cls(Kind[name.upper()], part, at) for at in sorted(chosen) if 0 < at <= count]
        return steps


def _part_of(path: str) -> str:
    """Which of :data:`PARTS` it is; the path itself where it is none of them."""
    for part in PARTS:
        if path.endswith(part[:-1]) if part.endswith("$") else part in path:
            return part
    return f"{path}$"


@frozen
class Hit:
    """How many calls there were, to how many something happened, and which was the first of those."""

    calls: int
    hits: int
    where: str


class Below:
    """
    The library, for the processes that are started with :attr:`environ`.

    :param folder: the calls for what is below it count.
    :param scratch: a folder for what it needs itself.
    :param journal: whether to keep a journal (:mod:`tests.faults.journal`); one process at a time then.
    """

    def __init__(self, folder: Path, scratch: Path, *, journal: bool = False) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self.folder = Path(os.path.realpath(folder))
        self.journal = scratch / "journal"
        control = scratch / "control"
        control.write_bytes(bytes(_SIZE))
        with control.open("r+b") as opened:
            self._control = mmap.mmap(opened.fileno(), _SIZE)
        self.environ = {
            "LD_PRELOAD": str(_built()),
            BEGIN: f"{__name__}:begin",
            "DOCKREG_TEST_FOLDER": str(self.folder),
            "DOCKREG_TEST_CONTROL": str(control),
        }
        if journal:
            self.journal.touch()
            self.environ["DOCKREG_TEST_JOURNAL"] = str(self.journal)

    @contextmanager
    def counting(self, part: str = "", kinds: tuple[Kind, ...] = CHANGES) -> Iterator[None]:
        """Count calls whose path has ``part`` in it, or with a ``$`` behind it: at its end."""
        with self._acting(_Action.COUNT, kinds, part, 0, 0, 0):
            yield

    @contextmanager
    def killing(
        self, at: int, part: str = "", kinds: tuple[Kind, ...] = CHANGES, *, half: bool = False
    ) -> Iterator[None]:
        """
        The process is killed instead of its call number ``at``, counted from 1.

        :param half: a write writes half of its bytes before that.
        """
        action = _Action.HALF_AND_KILL if half else _Action.KILL
        with self._acting(action, kinds, part, at, at, 0):
            yield

    @contextmanager
    def failing(
        self,
        at: int,
        error: int = errno.EIO,
        *,
        last: int | None = None,
        part: str = "",
        kinds: tuple[Kind, ...] = CHANGES,
    ) -> Iterator[None]:
        """The calls from number ``at`` to ``last`` (by default it alone) do nothing but fail with ``error``."""
        with self._acting(_Action.FAIL, kinds, part, at, at if last is None else last, error):
            yield

    @contextmanager
    def halving(self, at: int, last: int = FOR_GOOD, part: str = "") -> Iterator[None]:
        """The writes from number ``at`` to ``last`` write half of their bytes, and say so."""
        with self._acting(_Action.HALF, (Kind.WRITE,), part, at, last, 0):
            yield

    @property
    def hit(self) -> Hit:
        """What has happened since the last order began."""
        calls, hits = _COUNTS.unpack_from(self._control, _COUNTS_AT)
        where = bytes(self._control[_WHERE_AT : _WHERE_AT + _WHERE_BYTES])
        return Hit(calls, hits, where.partition(b"\0")[0].decode(errors="replace"))

    @property
    def trace(self) -> list[str]:
        """The kind and path of each call, in order, while they were only counted."""
        text = bytes(self._control[_TRACE_AT : _TRACE_AT + _TRACE_BYTES])
        return text.partition(b"\0")[0].decode(errors="replace").splitlines()

    @contextmanager
    def _acting(
        self, action: _Action, kinds: tuple[Kind, ...], part: str, first: int, last: int, error: int
    ) -> Iterator[None]:
        self._control[_ORDER.size :] = bytes(_SIZE - _ORDER.size)
        self._control[_PART_AT : _PART_AT + len(part)] = part.encode()
        mask = sum(1 << kind for kind in kinds)
        _ORDER.pack_into(self._control, 0, 0, mask, action, error, first, last)
        self._control[0:4] = (1).to_bytes(4, "little")
        try:
            yield
        finally:
            self._control[0:4] = bytes(4)


def begin() -> None:
    """Read the environment of this process, which is a fork of :func:`source`."""
    ctypes.CDLL(os.environ["LD_PRELOAD"]).dockreg_test_begin()


@cache
def source() -> Source:
    """What programs come from that have the library: it is there when a process begins, or never."""
    found = Source({"LD_PRELOAD": str(_built())})
    atexit.register(found.end)
    return found


@cache
def _built() -> Path:
    compiler = require_program("cc", "gcc")
    folder = Path(tempfile.mkdtemp(prefix="dockreg-below-"))
    atexit.register(shutil.rmtree, folder)
    library = folder / "below.so"
    command = [
        compiler,
        "-shared",
        "-fPIC",
        "-O1",
        "-Wall",
        "-Werror",
        "-o",
        str(library),
        str(_SOURCE),
        "-ldl",
        "-lpthread",
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        text = done.stderr.decode(errors="replace")
        if "dlfcn.h" in text and not os.environ.get("CI"):
            raise SkipTest("needs the headers of the C library, which are not installed here")
        raise AssertionError(text)
    return library
