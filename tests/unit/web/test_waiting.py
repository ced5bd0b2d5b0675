"""What becomes of a handler that waits."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from dockreg.web.app import _continued


class WaitingTests(SynchronousTestCase):
    """Handlers that wait, on the way that makes a Deferred only for them."""

    def test_cancelled(self) -> None:
        """A handler whose client leaves is cancelled where it waits, however often it has waited before."""
        steps: list[Any] = []
        gates: list[Deferred[int]] = [Deferred(), Deferred()]

        async def work() -> None:
            try:
                steps.append(await gates[0])
                try:
                    await gates[1]
                except CancelledError:
                    steps.append("cancelled")
                    raise
            finally:
                steps.append("end")

        begun = work()
        answer = Deferred.fromCoroutine(_continued(begun, begun.send(None)))
        gates[0].callback(3)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual([3, "cancelled", "end"], steps)

    def test_failure(self) -> None:
        """What a step raises comes to where it is waited for, and may be caught there."""
        gate: Deferred[None] = Deferred()

        async def work() -> None:
            try:
                await gate
            except ValueError:
                await Deferred.fromCoroutine(more())

        async def more() -> None:
            raise KeyError

        begun = work()
        answer = Deferred.fromCoroutine(_continued(begun, begun.send(None)))
        gate.errback(ValueError())
        self.failureResultOf(answer, KeyError)
