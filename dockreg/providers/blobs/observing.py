"""Several digests of the same bytes at the same time."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, Final, Protocol, TypeVar

from twisted.application.service import Service

from dockreg.callables import ByteObserver, Piece

T = TypeVar("T")

#: For fewer bytes it takes longer to wake a thread than to digest them.
LEAST_BYTES: Final = 128 * 1024


class Beside(Protocol):
    """Threads for what can be done beside."""

    def submit(self, job: Callable[..., T], /, *args: Any) -> "Future[T]":
        """Have a job done. See :meth:`concurrent.futures.Executor.submit`."""


class Helpers(Service):
    """Threads that start when they are needed, none without work, and end when the service is stopped."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._threads: ThreadPoolExecutor | None = None

    def submit(self, job: Callable[..., T], /, *args: Any) -> "Future[T]":
        """See :class:`Beside`. Whoever does this is to end before the service is stopped."""
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(os.cpu_count() or 1, "dockreg digests")
            return self._threads.submit(job, *args)

    def stopService(self) -> None:
        """Wait for the work that is under way, and end the threads."""
        super().stopService()
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown()


def observe(chunks: Sequence[Piece], observers: Sequence[ByteObserver], beside: Beside) -> None:
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
