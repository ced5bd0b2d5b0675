"""Threads for what blocks, a pool for each kind of work, so that one kind can not hold up another."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from dockreg.errors import StoreUnavailable

T = TypeVar("T")


class IThreadReactor(IReactorCore, IReactorFromThreads):
    """What is needed of a reactor to have work done in threads."""


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
        self._pool: ThreadPool | None = None
        #: Jobs that were begun and whose result has not been handed over.
        self.busy = 0

    def startService(self) -> None:
        """Take work from now on."""
        super().startService()
        self._pool = ThreadPool(minthreads=0, maxthreads=self._size, name=self._thread_name)
        self._pool.start()

    def stopService(self) -> None:
        """Wait for the work that is under way, and end the threads."""
        super().stopService()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()

    def in_thread(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Awaitable[T]:
        """
        The result of ``function``, which runs in a thread.

        Before the reactor runs nothing can be held up, and no thread could hand over its result: the function runs here
        and now. That is how the daemon opens its stores, so that what is wrong with them ends it before it begins.

        :raises StoreUnavailable: the service is stopped; a stopped pool would never answer.
        """
        if self._pool is None:
            raise StoreUnavailable("the registry is not open")
        if not self._reactor.running:
            return maybeDeferred(function, *args, **kwargs)
        self.busy += 1
        return deferToThreadPool(self._reactor, self._pool, function, *args, **kwargs).addBoth(self._done)

    def _done(self, result: T) -> T:
        self.busy -= 1
        return result
