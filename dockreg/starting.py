"""What a process that only serves does about garbage and memory while it starts. In other programs that is their affair."""

import ctypes
import gc
import linecache
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

#: Of young objects, before the collector looks at them. Python's own number is 700.
_YOUNG_OBJECTS = 50_000
#: Of mallopt(3), in glibc.
_M_ARENA_MAX = -8


def share_arena(environ: Mapping[str, str] = os.environ) -> bool:
    """
    Let all threads take memory from one place, unless the operator has said how many there may be; whether that was done.

    glibc gives each of some threads a place of its own, in which what they leave is of no use to others. The threads of
    Python take turns anyway. Elsewhere than with glibc nothing happens.
    """
    if "MALLOC_ARENA_MAX" in environ:
        return False
    with suppress(AttributeError, OSError):
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1))
    return False


@contextmanager
def loading() -> Iterator[None]:
    """Import and make much: next to nothing of it is garbage, and each look for garbage costs time."""
    before = gc.get_threshold()
    gc.set_threshold(_YOUNG_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def forget_sources() -> None:
    """
    Drop the sources of modules that are kept for tracebacks.

    attrs puts there what it writes for each class, 1 MiB of it. What is a file is read again when a traceback needs it.
    """
    linecache.clearcache()


def settle() -> None:
    """
    Take what there is for what stays, once a process serves.

    A full collection would look at all of it, and let no client be served for a tenth of a second.
    """
    forget_sources()
    gc.collect()
    gc.freeze()
