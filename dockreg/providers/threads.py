"""
Threads for what blocks, a pool for each kind of work, so that one kind can not hold up another.

A push of a small blob is a handful of jobs, so what it costs to hand one over counts. Twisted's pool takes several times as
long for that as for the work.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from attrs import define
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads
from twisted.python.failure import Failure

from dockreg.errors import StoreUnavailable

T = TypeVar("T")


class IThreadReactor(IReactorCore, IReactorFromThreads):
    """What is needed of a reactor to have work done in threads."""


@define(eq=False)
class _Job:
    """Something to do, and who waits for what comes of it."""

    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    waiting: "Deferred[Any]"
    outcome: Any = None

    def run(self) -> None:
        try:
            self.outcome = self.function(*self.args, **self.kwargs)
        except BaseException:  # noqa: BLE001 - whatever it was, it is told to who waits, and the thread goes on
            self.outcome = Failure()


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
        self._jobs: SimpleQueue[_Job | None] | None = None
        self._threads: list[Thread] = []
        self._done: deque[_Job] = deque()
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
        self._jobs = SimpleQueue()

    def stopService(self) -> None:
        """Wait for the work that is under way, and end the threads."""
        super().stopService()
        jobs, self._jobs = self._jobs, None
        threads, self._threads = self._threads, []
        if jobs is not None:
            for _ in threads:
                jobs.put(None)
        for each in threads:
            each.join()

    def in_thread(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Awaitable[T]:
        """
        The result of ``function``, which runs in a thread.

        Before the reactor runs nothing can be held up, and no thread could hand over its result: the function runs here
        and now. That is how the daemon opens its stores, so that what is wrong with them ends it before it begins.

        :raises StoreUnavailable: the service is stopped; a stopped pool would never answer.
        """
        jobs = self._jobs
        if jobs is None:
            raise StoreUnavailable("the registry is not open")
        if not self._reactor.running:
            return maybeDeferred(function, *args, **kwargs)
        self.busy += 1
        if self.busy > len(self._threads) < self._size:
            self._start_thread(jobs)
        waiting: Deferred[T] = Deferred()
        jobs.put(_Job(function, args, kwargs, waiting))
        return waiting

    def _start_thread(self, jobs: "SimpleQueue[_Job | None]") -> None:
        # A daemon's end waits for stopService, never for a thread that nobody stopped.
        thread = Thread(target=self._work, args=(jobs,), name=f"{self._thread_name} {len(self._threads)}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _work(self, jobs: "SimpleQueue[_Job | None]") -> None:
        while (job := jobs.get()) is not None:
            job.run()
            self._done.append(job)
            # What is done is kept by nobody until there is more to do.
            del job
            if not self._told:
                self._told = True
                self._reactor.callFromThread(self._hand_over)

    def _hand_over(self) -> None:
        # Before anything is taken: a thread that is done from now on tells again.
        self._told = False
        while self._done:
            job = self._done.popleft()
            self.busy -= 1
            job.waiting.callback(job.outcome)  # a Failure starts the errbacks
