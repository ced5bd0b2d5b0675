"""Work that must not stop half way because the one who asked for it went away, or does not wait."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

log = Logger()
T = TypeVar("T")


async def shielded(work: Coroutine[Any, Any, T]) -> T:
    """
    Await ``work``; when the awaiting coroutine is cancelled, ``work`` runs on to its end.

    What it raises after that is logged.
    """
    detached = False

    def detach(_outer: "Deferred[T]") -> None:
        nonlocal detached
        detached = True

    outer: Deferred[T] = Deferred(detach)

    def ended(result: "T | Failure") -> None:
        if not detached:
            outer.callback(result)
        elif isinstance(result, Failure):
            log.failure("work failed after its client had gone", result)

    _ = Deferred.fromCoroutine(work).addBoth(ended)
    return await outer


def detached(work: Coroutine[Any, Any, object]) -> None:
    """Begin ``work``, and let it run to its end; what it raises is logged."""

    def failed(failure: Failure) -> None:
        log.failure("work that nobody waits for failed", failure)

    _ = Deferred.fromCoroutine(work).addErrback(failed)
