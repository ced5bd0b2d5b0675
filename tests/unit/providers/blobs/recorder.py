"""What a blob store asks of the operating system, in order."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase


class DiskRecorder:
    """
    Stands in for functions of :mod:`os`: each does its work and leaves a line such as ``flush staging``.

    Only what lies in one folder is recorded, under its path from there; ``.`` is the folder.
    """

    def __init__(
        self, case: SynchronousTestCase, folder: Path, observe: Callable[[str], object] = lambda _: None
    ) -> None:
        """
        :param case: puts the functions back when it is over.
        :param observe: called with each line before the work is done.
        """
        self.lines: list[str] = []
        #: The line at which the disk fails, once; none when it is empty.
        self.broken = ""
        self._folder = folder.resolve()
        self._observe = observe
        stand_ins: dict[str, Callable[..., object]] = {
            "open": self._open,
            "fsync": self._fsync,
            "fdatasync": self._fdatasync,
            "setxattr": self._setxattr,
            "mkdir": self._mkdir,
            "rename": self._rename,
            "unlink": self._unlink,
        }
        self._real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in stand_ins}
        for name, stand_in in stand_ins.items():
            case.patch(os, name, stand_in)

    def take(self) -> list[str]:
        """The lines since the last call."""
        lines, self.lines = self.lines, []
        return lines

    def _note(self, what: str, *paths: str | Path) -> None:
        relative = [Path(path).absolute() for path in paths]
        if not all(path.is_relative_to(self._folder) for path in relative):
            return
        line = " ".join([what, *(str(path.relative_to(self._folder)) for path in relative)])
        self._observe(line)
        self.lines.append(line)
        if line == self.broken:
            self.broken = ""
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _open(self, path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & os.O_CREAT:
            self._note("create", path)
        return int(self._real["open"](path, flags, *args, **kwargs))

    def _fsync(self, descriptor: int) -> None:
        self._note("flush", _path_of(descriptor))
        self._real["fsync"](descriptor)

    def _fdatasync(self, descriptor: int) -> None:
        self._note("flush", _path_of(descriptor))
        self._real["fdatasync"](descriptor)

    def _setxattr(self, descriptor: int, name: str, value: bytes) -> None:
        self._note("seal", _path_of(descriptor))
        self._real["setxattr"](descriptor, name, value)

    def _mkdir(self, path: Any, *args: Any, **kwargs: Any) -> None:
        if not Path(path).exists():
            self._note("make", path)
        self._real["mkdir"](path, *args, **kwargs)

    def _rename(self, old: Any, new: Any, **kwargs: Any) -> None:
        self._note("rename", old, new)
        self._real["rename"](old, new, **kwargs)

    def _unlink(self, path: Any, **kwargs: Any) -> None:
        self._note("remove", path)
        self._real["unlink"](path, **kwargs)


def _path_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()
