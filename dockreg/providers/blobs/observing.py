"""Several digests of the same bytes at the same time."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock
from typing import Any, Final, Protocol, TypeVar

from twisted.application.service import Service

from dockreg.callables import ByteObserver, Piece
from dockreg.providers.blobs.meanwhile import Companion, Companions

T = TypeVar("T")

#: For fewer bytes it takes longer to wake a thread than to digest them.
LEAST_BYTES: Final = 128 * 1024
#: How many processors there have to be for one who receives, for a thread that digests behind him in another way than he does.
_FOR_OTHERS: Final = 2
#: The same for all digests. What one processor has received another one digests in more time, the two wait for each other, and
#: the client, or the kernel for it, needs one as well.
_FOR_FIRST: Final = 4
#: The same for bytes that another processor has received: one for him, one who writes, and one who digests. With two of them
#: three threads and the client contend, and wait for each other longer than it takes to digest what has just been written.
_FOR_RECEIVED: Final = 3


class Beside(Protocol):
    """Threads for what can be done beside."""

    def submit(self, job: Callable[..., T], /, *args: Any) -> "Future[T]":
        """Have a job done. See :meth:`concurrent.futures.Executor.submit`."""


class Helpers(Service):
    """Threads that start when they are needed, none without work, and end when the service is stopped."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._flusher = Companion("dockreg flushes")
        #: As :meth:`.Companion.begin`. Whoever does this is to end before the service is stopped.
        self.begin = self._flusher.begin
        #: Who writes while others digest. Whoever has one lent is to end before the service is stopped.
        self.writers = Companions("dockreg writes")

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
        self._flusher.stop()
        self.writers.stop()


class Receivers:
    """How many threads receive bytes at the moment; who does is in it."""

    def __init__(self, processors: int | None = None) -> None:
        self._processors = processors or os.cpu_count() or 1
        self._count = 0
        self._lock = Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._count -= 1

    @property
    def most_processors(self) -> int:
        """How many there are for one of them while there is no other."""
        return self._processors

    @property
    def are_few(self) -> bool:
        """Whether there is a processor more for each of them."""
        return self.processors > 1

    @property
    def processors(self) -> int:
        """How many there are for each of them, itself included."""
        return self._processors // max(1, self._count)


class Behind:
    """
    Tells observers of bytes while the next ones are received and written, where a processor is free for that.

    The bytes have to stay as they are until the next call. It ends with :meth:`end`.
    """

    def __init__(self, receivers: Receivers, beside: Beside, *, elsewhere: bool = False) -> None:
        """:param elsewhere: whether another processor receives the bytes."""
        self._receivers = receivers
        self._beside = beside
        self._for_first = _FOR_RECEIVED if elsewhere else _FOR_FIRST
        self._followers: Sequence[_Follower] = ()

    @classmethod
    def where_useful(
        cls, receivers: Receivers, beside: Beside, *, elsewhere: bool = False, others: bool = False
    ) -> "Behind | None":
        """
        One; None where nothing would ever be told later than at once.

        :param others: whether there will be more observers than one.
        """
        for_first = _FOR_RECEIVED if elsewhere else _FOR_FIRST
        enough = receivers.most_processors >= (_FOR_OTHERS if others else for_first)
        return cls(receivers, beside, elsewhere=elsewhere) if enough else None

    def observe(self, chunks: Sequence[Piece], observers: Sequence[ByteObserver]) -> None:
        """As :func:`observe`, but what is raised of the last bytes is raised by the next call, by :meth:`settle` or by :meth:`end`."""
        if self._followers:
            self.settle()
        processors = self._receivers.processors
        for_first = processors >= self._for_first
        if processors < _FOR_OTHERS or not (for_first or observers[1:]) or sum(map(len, chunks)) < LEAST_BYTES:
            observe(chunks, observers, self._beside)
            return
        if not self._followers:
            # The first is the digest of the blob. Others take as long as that, all together: one more, and what looks at little.
            self._followers = _Follower(observers[:1], self._beside), _Follower(observers[1:], self._beside)
        first, others = self._followers
        others.tell(chunks)
        if for_first:
            first.tell(chunks)
        else:
            _tell(observers[0], chunks)

    def end(self) -> None:
        """Return when all observers have been told of all bytes, and no thread is at it any more."""
        try:
            self.settle()
        finally:
            followers, self._followers = self._followers, ()
            for each in followers:
                each.end()

    def settle(self) -> None:
        """Return when all observers have been told of all bytes; see :meth:`observe`."""
        failures = [failure for each in self._followers if (failure := each.settle()) is not None]
        if failures:
            raise failures[0]


class _Follower:
    """
    A thread that tells some observers of all that comes, one after the other; for as long as it gets no thread, it is done here.

    A thread is asked for once, not for each piece: that, and to be told that it has come to its end, takes longer than all
    else that is done for a piece.
    """

    def __init__(self, observers: Sequence[ByteObserver], beside: Beside) -> None:
        self._observers = observers
        self._beside = beside
        self._coming: SimpleQueue[Sequence[Piece]] = SimpleQueue()
        self._told: SimpleQueue[BaseException | None] = SimpleQueue()
        self._thread: Future[None] | None = None
        # Whether it has begun.
        self._follows = False
        self._pending: Sequence[Piece] = ()

    def tell(self, chunks: Sequence[Piece]) -> None:
        """Begin to tell of the next bytes; the last ones were settled."""
        if not self._observers:
            return
        self._pending = chunks
        self._coming.put(chunks)
        if self._thread is None:
            self._thread = self._beside.submit(self._follow)

    def settle(self) -> BaseException | None:
        """Return when the last bytes were told, with what an observer raised."""
        pending, self._pending = self._pending, ()
        if not pending:
            return None
        if not self._follows and self._thread is not None and self._thread.cancel():
            self._thread = None
            self._coming.get()
            return self._tell(pending)
        self._follows = True
        return self._told.get()

    def end(self) -> None:
        """Let the thread go; all was settled."""
        if self._thread is not None and not self._thread.cancel():
            self._coming.put(())
            self._thread.result()

    def _follow(self) -> None:
        while chunks := self._coming.get():
            self._told.put(self._tell(chunks))

    def _tell(self, chunks: Sequence[Piece]) -> BaseException | None:
        try:
            for each in self._observers:
                _tell(each, chunks)
        except BaseException as failure:  # noqa: BLE001 - raised by whom it was done for
            return failure
        return None


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
