"""
Writes of one process to SQLite, several in one commit.

SQLite has one writer at a time, and flushing is most of what a small write costs. So whoever writes while a commit is
under way waits for the next one, and those who wait together are committed together. Each has a savepoint of its own:
one that fails takes none of the others with it.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from attrs import define, frozen
from sqlalchemy import Connection
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from dockreg.callables import InThread

T = TypeVar("T")

Change = Callable[[Connection], Any]

#: Changes in one commit at most: the last of them is not held up for long.
_MOST = 64


@frozen
class Wanted:
    """A change, and whether it has to be on the disk when it is reported: else a power failure may undo it."""

    change: Change
    durable: bool = True


@define(eq=False)
class _Waiting:
    wanted: Wanted
    done: "Deferred[Any]"


#: What became of each of the changes: a result, or why there is none.
Outcomes = Sequence[Any]


class Batches:
    """
    Collects changes for ``commit``, which makes several of them in one transaction, in a thread.

    :param commit: returns a result for each of the changes, or a :class:`Failure` for those that were not made.
    """

    def __init__(self, in_thread: InThread, commit: Callable[[Sequence[Wanted]], Outcomes]) -> None:
        self._in_thread = in_thread
        self._commit = commit
        self._waiting: deque[_Waiting] = deque()
        self._committing = False

    def write(self, wanted: Wanted) -> Awaitable[Any]:
        """The result of a change, once it is committed. A change is made even when nobody waits for it any more."""
        done: Deferred[Any] = Deferred(_let_go)
        self._waiting.append(_Waiting(wanted, done))
        if not self._committing:
            self._committing = True
            _ = Deferred.fromCoroutine(self._commit_all()).addErrback(_never)
        return done

    async def _commit_all(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(_MOST, len(self._waiting)))]
                try:
                    outcomes = await self._in_thread(self._commit, [each.wanted for each in batch])
                except Exception:  # noqa: BLE001 - it goes to everybody who waits for it
                    outcomes = [Failure()] * len(batch)
                for each, outcome in zip(batch, outcomes, strict=True):
                    if not each.done.called:
                        each.done.callback(outcome)  # a Failure among them starts the errbacks
        finally:
            self._committing = False


def _let_go(done: "Deferred[Any]") -> None:
    with suppress(CancelledError):
        done.errback(CancelledError())


def _never(failure: Failure) -> None:
    raise AssertionError(failure.getErrorMessage())
