"""Work that must not stop half way because the one who asked for it went away, or does not wait."""

from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from dockreg.errors import RegistryError, StorageFull, StoreUnavailable

log = Logger()
T = TypeVar("T")


async def shielded(work: Coroutine[Any, Any, T]) -> T:
    """
    Await ``work``; when the awaiting coroutine is cancelled, ``work`` runs on to its end.

    What it raises after that is logged, unless it is a refusal, of which nobody waits to be told.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # the result of the work
    return await _Rest(work, waits_for).outcome


class _Rest(Generic[T]):
    """
    The rest of some work that waits for the first time. Each push takes one: this has a Deferred less than a coroutine has that
    somebody else waits for.
    """

    __slots__ = ("_is_wanted", "_work", "outcome")

    def __init__(self, work: Coroutine[Any, Any, T], waits_for: "Deferred[Any]") -> None:
        self._work = work
        self._is_wanted = True
        self.outcome: Deferred[T] = Deferred(self._let_go)
        _ = waits_for.addBoth(self._go_on)

    def _let_go(self, _outcome: "Deferred[T]") -> None:
        self._is_wanted = False

    def _go_on(self, result: Any) -> None:
        """What it waits for has come. The Deferred is awaited, so that it has the result until this returns."""
        try:
            if isinstance(result, Failure):
                waits_for = result.throwExceptionIntoGenerator(self._work)
            else:
                waits_for = self._work.send(result)
        except StopIteration as end:
            ended: Any = end.value
        except BaseException:  # noqa: BLE001 - it is told to who waits
            ended = Failure()
        else:
            _ = waits_for.addBoth(self._go_on)
            return
        if self._is_wanted:
            self.outcome.callback(ended)  # a Failure starts the errbacks
        elif isinstance(ended, Failure):
            _note(ended)


def _note(failure: Failure) -> None:
    problem = failure.value
    if not isinstance(problem, RegistryError):
        log.failure("work failed after its client had gone", failure)
    elif isinstance(problem, StorageFull | StoreUnavailable):
        log.warn("work failed after its client had gone: {problem}", problem=str(problem))


def detached(work: Coroutine[Any, Any, object]) -> None:
    """Begin ``work``, and let it run to its end; what it raises is logged."""

    def failed(failure: Failure) -> None:
        log.failure("work that nobody waits for failed", failure)

    _ = Deferred.fromCoroutine(work).addErrback(failed)
