"""
Writes of one process to SQLite, several in one commit.

SQLite has one writer at a time, and flushing is most of what a small write costs. So whoever writes while a commit is
under way, here or in another process, waits for the next one, and those who wait together are committed together. Each has
a savepoint of its own: one that fails takes none of the others with it.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any, TypeVar

from attrs import define
from sqlalchemy import Connection
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from dockreg.callables import InThread

T = TypeVar("T")

Change = Callable[[Connection], Any]

#: Changes in one commit at most: the last of them is not held up for long.
_MOST = 64


@define(eq=False)
class Wanted:
    """
    A change, and whether it has to be on the disk when it is reported: else a power failure may undo it.

    :attr:`outcome` is what became of it, once it is :attr:`over`.
    """

    change: Change
    durable: bool = True
    #: Who waits for it in the reactor, if nobody does in a thread.
    done: "Deferred[Any] | None" = None
    outcome: Any = None
    over: bool = False


#: Adds to some changes, for which a transaction has begun, those that wait by now; and whether it will be on the disk.
More = Callable[[list[Wanted], bool], None]
#: What became of each of the changes: a result, or why there is none.
Outcomes = Sequence[Any]


class Batches:
    """
    Collects changes for ``commit``, which makes several of them in one transaction, in a thread.

    Whoever is in a thread already commits there, for all who wait: one at a time, while the others wait for their turn and
    mostly find then that their change has been made. What was begun in the reactor takes turns by jobs.

    :param commit: takes more of what waits once it may write, and returns a result for each of the changes, or a
        :class:`Failure` for those that were not made.
    """

    def __init__(self, in_thread: InThread, commit: Callable[[list[Wanted], More], Outcomes]) -> None:
        self._in_thread = in_thread
        self._commit = commit
        self._waiting: deque[Wanted] = deque()
        # Whoever holds it takes from what waits, which anybody adds to.
        self._turn = Lock()
        # Those of the reactor that were not told yet, in the order in which they wait, and whether there is a job for them.
        self._untold: deque[Wanted] = deque()
        self._committing = False

    def write(self, wanted: Wanted) -> "Deferred[Any]":
        """The result of a change, once it is committed. A change is made even when nobody waits for it any more."""
        done: Deferred[Any] = Deferred(_let_go)
        wanted.done = done
        self._untold.append(wanted)
        self._waiting.append(wanted)
        if not self._committing:
            self._begin()
        return done

    def write_here(self, wanted: Wanted) -> Any:
        """The result of a change, once it is committed, for who is in a thread and blocks."""
        self._waiting.append(wanted)
        while not wanted.over:
            self._take_turn(wanted)
        if isinstance(wanted.outcome, Failure):
            wanted.outcome.raiseException()
        return wanted.outcome

    def _take_turn(self, mine: Wanted | None = None) -> None:
        with self._turn:
            if not self._waiting or (mine is not None and mine.over):
                return
            batch: list[Wanted] = []
            self._take_more(batch, True)
            try:
                outcomes = self._commit(batch, self._take_more)
            except Exception:  # noqa: BLE001 - it goes to everybody who waits for it
                outcomes = [Failure()] * len(batch)
            for each, outcome in zip(batch, outcomes, strict=True):
                each.outcome, each.over = outcome, True

    def _take_more(self, batch: list[Wanted], durable: bool) -> None:
        """In turn: up to the first that has to be on the disk when the others have not."""
        waiting = self._waiting
        while waiting and len(batch) < _MOST and (durable or not waiting[0].durable):
            batch.append(waiting.popleft())

    def _begin(self) -> None:
        """Have a job make what waits. Who comes when it has begun to write shares the next commit."""
        self._committing = True
        try:
            turn = self._in_thread(self._take_turn)
        except Exception:  # noqa: BLE001 - it goes to everybody who waits for it
            self._taken(Failure())
            return
        if not isinstance(turn, Deferred):
            turn = Deferred.fromCoroutine(_awaited(turn))
        _ = turn.addBoth(self._taken)

    def _taken(self, outcome: Any) -> None:
        """A job is over."""
        if isinstance(outcome, Failure):
            self._give_up(outcome)
        # Those who are told may want more: they are not told to begin, for whoever tells them does so.
        self._tell()
        if self._untold:
            self._begin()
        else:
            self._committing = False

    def _give_up(self, failure: Failure) -> None:
        """There are no threads any more to make a change in. What others have begun comes to its end."""
        with self._turn:
            for each in self._untold:
                if not each.over:
                    self._waiting.remove(each)
                    each.outcome, each.over = failure, True

    def _tell(self) -> None:
        while self._untold and self._untold[0].over:
            each = self._untold.popleft()
            if each.done is not None and not each.done.called:
                each.done.callback(each.outcome)  # a Failure starts the errbacks


def _let_go(done: "Deferred[Any]") -> None:
    with suppress(CancelledError):
        done.errback(CancelledError())


async def _awaited(turn: Awaitable[None]) -> None:
    await turn
