"""Several digests of the same bytes at the same time."""

import os
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final

from dockreg.callables import ByteObserver, Piece

#: For fewer bytes it takes longer to wake a thread than to digest them.
LEAST_BYTES: Final = 128 * 1024


def helpers() -> Executor:
    """Threads for what can be done beside; they start when they are needed, and none does without work."""
    return ThreadPoolExecutor(os.cpu_count() or 1, "dockreg digests")


def observe(chunks: Sequence[Piece], observers: Sequence[ByteObserver], beside: Executor) -> None:
    """
    Tell all observers of these bytes, and return when the last of them is done.

    Digests let other threads run, so each but the first goes to a thread of its own. What no thread has begun with by the time
    that the first is done is done here: however many wait for the threads, nobody waits for others.

    :param beside: must run nothing that waits for something else.
    :raises Exception: what the first of them raised that did; the others have been told nevertheless.
    """
    if len(observers) < 2 or sum(map(len, chunks)) < LEAST_BYTES:
        for observer in observers:
            _tell(observer, chunks)
        return
    others = [(each, beside.submit(_tell, each, chunks)) for each in observers[1:]]
    failures: list[BaseException] = []
    try:
        _tell(observers[0], chunks)
    except BaseException as failure:  # noqa: BLE001 - raised below: until all are done the bytes are in use
        failures.append(failure)
    for observer, future in others:
        try:
            if future.cancel():
                _tell(observer, chunks)
            else:
                future.result()
        except BaseException as failure:  # noqa: BLE001 - as above
            failures.append(failure)
    if failures:
        raise failures[0]


def _tell(observer: ByteObserver, chunks: Sequence[Piece]) -> None:
    for chunk in chunks:
        observer.update(chunk)
