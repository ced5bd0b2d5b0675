"""Threads that a test runs by hand."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

T = TypeVar("T")


def at_once(function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Awaitable[T]:
    return maybeDeferred(function, *args, **kwargs)


class Threads:
    """Jobs wait until the test runs them, and as in a thread pool they run even when nobody waits for them."""

    def __init__(self) -> None:
        self._jobs: deque[Callable[[], Callable[[], None]]] = deque()

    def in_thread(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Awaitable[T]:
        done: Deferred[T] = Deferred()

        def run() -> Callable[[], None]:
            try:
                result = function(*args, **kwargs)
            except Exception:  # noqa: BLE001 whatever a job raises goes to who waits for it
                failure = Failure()
                return lambda: done.errback(failure)
            return lambda: done.callback(result)

        self._jobs.append(run)
        return done

    def run(self) -> Callable[[], None]:
        """Run the next job, and return what hands its result to the reactor."""
        return self._jobs.popleft()()

    def run_all(self) -> None:
        while self._jobs:
            self.run()()

    @property
    def idle(self) -> bool:
        """Whether no job waits."""
        return not self._jobs
