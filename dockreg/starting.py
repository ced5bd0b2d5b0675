"""What a process that only serves does about garbage and memory while it starts. In other programs that is their affair."""

import gc
import linecache
from collections.abc import Iterator
from contextlib import contextmanager

#: Of young objects, before the collector looks at them. Python's own number is 700.
_YOUNG_OBJECTS = 50_000


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
