"""What becomes of a handler that waits."""

from gc import collect
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from dockreg.web.waiting import Waiting


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
        waiting = Waiting(begun, begun.send(None))
        gates[0].callback(3)
        self.assertEqual([3], steps)
        waiting.cancel()
        self.assertEqual([3, "cancelled", "end"], steps)
        waiting.cancel()
        self.assert_failed(gates[1], CancelledError)

    def assert_failed(self, waited_for: Deferred[Any], kind: type[BaseException]) -> None:
        """What a coroutine raises in the end is that of what it has waited for, and so in the log."""
        self.failureResultOf(waited_for, kind)

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
        Waiting(begun, begun.send(None))
        gate.errback(ValueError())
        self.assert_failed(gate, KeyError)

    def test_goes_on(self) -> None:
        """A handler that is cancelled may wait for something else; what it has waited for is settled by then."""
        first: Deferred[None] = Deferred()
        second: Deferred[str] = Deferred()
        steps: list[Any] = []

        async def work() -> None:
            try:
                await first
            except CancelledError:
                steps.append(await second)

        begun = work()
        waiting = Waiting(begun, begun.send(None))
        waiting.cancel()
        self.assertIsNone(self.successResultOf(first))
        second.callback("rest")
        self.assertEqual(["rest"], steps)
        self.assertIsNone(self.successResultOf(second))

    def test_already_there(self) -> None:
        """What is there already is not waited for."""
        gate: Deferred[int] = Deferred()
        steps: list[Any] = []

        async def work() -> None:
            steps.append(await gate)
            steps.extend([await succeed(number) for number in range(5000)])

        begun = work()
        Waiting(begun, begun.send(None))
        gate.callback(-1)
        self.assertEqual(list(range(-1, 5000)), steps)

    def test_left(self) -> None:
        """A handler that nobody holds any more is closed, and cleans up."""
        steps: list[str] = []

        async def work() -> None:
            try:
                await Deferred[None]()
            finally:
                steps.append("closed")

        begun = work()
        Waiting(begun, begun.send(None))
        del begun
        collect()
        self.assertEqual(["closed"], steps)
