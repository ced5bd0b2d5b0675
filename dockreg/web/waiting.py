"""Handlers that wait, without the Deferreds that a coroutine costs as a rule: nobody waits for a handler but its client."""

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


class Waiting:
    """
    The rest of a coroutine that has come to where it waits, and whose result nobody wants.

    Most answers need not wait, and need none of this.

    :param waits_for: what the coroutine was given back by, a Deferred.
    """

    __slots__ = ("_waits_for", "_work")

    def __init__(self, work: Coroutine[Any, Any, None], waits_for: Deferred[Any]) -> None:
        self._work = work
        self._waits_for: Deferred[Any] | None = waits_for
        _ = waits_for.addBoth(self._go_on)

    def cancel(self) -> None:
        """Cancel what it waits for; what then becomes of it is for the coroutine to say. Harmless when it has ended."""
        waits_for = self._waits_for
        if waits_for is not None:
            waits_for.cancel()

    def _go_on(self, result: Any) -> None:
        """What it waits for has come. The Deferred is awaited, so that it has the result until this returns."""
        self._waits_for = None
        try:
            if isinstance(result, Failure):
                waits_for = result.throwExceptionIntoGenerator(self._work)
            else:
                waits_for = self._work.send(result)
        except StopIteration:
            return
        self._waits_for = waits_for
        _ = waits_for.addBoth(self._go_on)
