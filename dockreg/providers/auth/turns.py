"""Work for threads, few at a time and few in the queue."""

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from attrs import Factory, define, field, validators
from twisted.internet.defer import Deferred

from dockreg.callables import InThread
from dockreg.errors import Busy
from dockreg.shield import shielded

T = TypeVar("T")

_RETRY_SECONDS = 2


@define(eq=False)
class Turns:
    """
    Runs ``at_once`` functions at a time; up to ``queue`` more wait for their turn, in order.

    A client that goes away gives up its place in the queue. What is being done for it runs to its end, and counts until
    then.
    """

    _in_thread: InThread
    _at_once: int = field(default=2, validator=validators.ge(1))
    _queue: int = field(default=32, validator=validators.ge(0))
    _running: int = field(init=False, default=0)
    _waiting: deque["Deferred[None]"] = field(init=False, default=Factory(deque))

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """The result of ``function(*args)``, once it had its turn. :raises Busy: the queue is full."""
        await self._turn()
        return await shielded(self._in_turn(function, *args))

    async def _turn(self) -> None:
        if self._running < self._at_once:
            self._running += 1
            return
        if len(self._waiting) >= self._queue:
            raise Busy("too many passwords are being verified; try again in a moment", _RETRY_SECONDS)
        turn: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(turn)
        await turn

    async def _in_turn(self, function: Callable[..., T], *args: Any) -> T:
        try:
            return await self._in_thread(function, *args)
        finally:
            if self._waiting:
                self._waiting.popleft().callback(None)  # the turn is handed on, the number that run stays
            else:
                self._running -= 1
