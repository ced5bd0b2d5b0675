"""
Threads for what blocks, a pool for each kind of work, so that one kind can not hold up another.

A push of a small blob is a handful of jobs, so what it costs to hand one over counts. Twisted's pool takes several times as
long for that as for the work.
"""

import os
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorCore, IReactorFDSet, IReactorFromThreads, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from dockreg.errors import StoreUnavailable

T = TypeVar("T")

#: Something to do, with what it is given, and who waits for what comes of it.
_Job = tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any], "Deferred[Any]"]
#: Where one thread waits for its next job; None ends it.
_Seat = SimpleQueue[_Job | None]
#: A thread rings once, and so may others in the same moment.
_MOST_RINGS = 64


class IThreadReactor(IReactorCore, IReactorFromThreads, IReactorFDSet):
    """What is needed of a reactor to have work done in threads."""


@implementer(IReadDescriptor)
class _Bell:
    """
    Wakes the reactor from a thread, as ``callFromThread`` does, for a sixth of the calls of functions.

    :param answer: called in the reactor after a ring.
    """

    def __init__(self, reactor: IReactorFDSet, answer: Callable[[], None]) -> None:
        self._reactor = reactor
        self._answer = answer
        self._ringing, self._rope = os.pipe()
        os.set_blocking(self._ringing, False)
        os.set_blocking(self._rope, False)
        #: The reactor has let go of it, and hears nothing any more.
        self.is_lost = False
        reactor.addReader(self)

    def ring(self) -> None:
        """In a thread."""
        os.write(self._rope, b"!")

    def fileno(self) -> int:
        """See :class:`~twisted.internet.interfaces.IFileDescriptor`."""
        return self._ringing

    def logPrefix(self) -> str:
        """See :class:`~twisted.internet.interfaces.ILoggingContext`."""
        return "threads"

    def doRead(self) -> None:
        """See :class:`~twisted.internet.interfaces.IReadDescriptor`."""
        os.read(self._ringing, _MOST_RINGS)
        self._answer()

    def connectionLost(self, reason: Failure) -> None:
        """See :class:`~twisted.internet.interfaces.IFileDescriptor`: the reactor stops. Threads may have the rope still."""
        self.is_lost = True
        # What was rung and not heard.
        self._answer()

    def remove(self) -> None:
        """When no thread rings any more."""
        if not self.is_lost:
            self._reactor.removeReader(self)
        os.close(self._ringing)
        os.close(self._rope)


class _Pool:
    """
    Jobs, and the threads that wait for one: each by itself.

    Where several wait at one queue, each job wakes a second one for nothing, which first has to wait for the interpreter.
    Who was the last to wait is the first to go on: what it needs is most likely at hand still.
    """

    def __init__(self) -> None:
        # While anybody is idle there are no jobs.
        self._lock = Lock()
        self._jobs: deque[_Job] = deque()
        self._idle: list[_Seat] = []
        self._seats: list[_Seat] = []

    def take(self, job: _Job) -> bool:
        """Give a job to a thread that is idle; False when there is none, so that the next one that will be takes it."""
        with self._lock:
            if not self._idle:
                self._jobs.append(job)
                return False
            seat = self._idle.pop()
        seat.put(job)
        return True

    def seat(self) -> _Seat:
        """One for a new thread."""
        seat: _Seat = SimpleQueue()
        self._seats.append(seat)
        return seat

    def next_of(self, seat: _Seat) -> _Job | None:
        """What a thread is to do next, in the thread; None to end."""
        with self._lock:
            if self._jobs:
                return self._jobs.popleft()
            self._idle.append(seat)
        return seat.get()

    def unseat(self) -> bool:
        """The last seat has no thread. Where there are no others the job that it was for is withdrawn: whether that is so."""
        with self._lock:
            self._seats.pop()
            if self._seats:
                return False
            self._jobs.pop()
            return True

    def end(self) -> None:
        """Once there are no jobs any more."""
        for each in self._seats:
            each.put(None)


class Workers(Service):
    """
    A pool of threads that lives as long as the service.

    :param size: threads at most; none is started before there is work.
    """

    def __init__(self, name: str, size: int, reactor: IThreadReactor) -> None:
        self.setName(f"{name} threads")
        self._thread_name = f"dockreg {name}"
        self._size = size
        self._reactor = reactor
        self._threads: list[Thread] = []
        self._pool: _Pool | None = None
        self._done: deque[tuple[Deferred[Any], Any]] = deque()
        self._bell: _Bell | None = None
        # Whether the reactor has been told that there is something in it.
        self._told = False
        #: Jobs that were begun and whose result has not been handed over.
        self.busy = 0

    @property
    def crowded(self) -> bool:
        """Whether there are more jobs than threads, so that some of them wait."""
        return self.busy > self._size

    def startService(self) -> None:
        """Take work from now on."""
        super().startService()
        self._pool = _Pool()

    def stopService(self) -> None:
        """Wait for the work that is under way, and end the threads."""
        super().stopService()
        pool, self._pool = self._pool, None
        threads, self._threads = self._threads, []
        if pool is not None:
            pool.end()
        for each in threads:
            each.join()
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.remove()
            # Nobody hears what was rung and not answered.
            self._reactor.callFromThread(self._hand_over)

    def in_thread(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Awaitable[T]:
        """
        The result of ``function``, which runs in a thread.

        Before the reactor runs nothing can be held up, and no thread could hand over its result: the function runs here
        and now. That is how the daemon opens its stores, so that what is wrong with them ends it before it begins.

        :raises StoreUnavailable: the service is stopped; a stopped pool would never answer.
        """
        pool = self._pool
        if pool is None:
            raise StoreUnavailable("the registry is not open")
        if not self._reactor.running:
            return maybeDeferred(function, *args, **kwargs)
        self.busy += 1
        waiting: Deferred[T] = Deferred()
        job: _Job = (function, args, kwargs, waiting)
        if not pool.take(job) and self.busy > len(self._threads) < self._size:
            self._start_thread(pool)
        return waiting

    def _start_thread(self, pool: "_Pool") -> None:
        if self._bell is None:
            self._bell = _Bell(self._reactor, self._hand_over)
        seat = pool.seat()
        name = f"{self._thread_name} {len(self._threads)}"
        # A daemon's end waits for stopService, never for a thread that nobody stopped.
        thread = Thread(target=self._work, args=(pool, seat, self._bell), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The system has no thread to spare. Those that there are do what there is to do.
            if pool.unseat():
                self.busy -= 1
                raise StoreUnavailable("there are no threads now") from None
            return
        self._threads.append(thread)

    def _work(self, pool: "_Pool", seat: _Seat, bell: _Bell) -> None:
        outcome: Any
        while (job := pool.next_of(seat)) is not None:
            function, args, kwargs, waiting = job
            try:
                outcome = function(*args, **kwargs)
            except BaseException:  # noqa: BLE001 - whatever it was, it is told to who waits, and the thread goes on
                outcome = Failure()
            self._done.append((waiting, outcome))
            # What is done is kept by nobody until there is more to do.
            del job, function, args, kwargs, waiting, outcome
            if not self._told:
                self._told = True
                if bell.is_lost:
                    self._reactor.callFromThread(self._hand_over)
                else:
                    bell.ring()

    def _hand_over(self) -> None:
        # Before anything is taken: a thread that is done from now on tells again.
        self._told = False
        while self._done:
            waiting, outcome = self._done.popleft()
            self.busy -= 1
            waiting.callback(outcome)  # a Failure starts the errbacks
