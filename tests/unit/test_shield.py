"""Tests for dockreg.shield."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from dockreg.shield import shielded


class ShieldedTests(SynchronousTestCase):
    """Tests for shielded."""

    def setUp(self) -> None:
        self.wait: Deferred[str] = Deferred()
        self.ended: list[str] = []

    async def work(self) -> str:
        result = await self.wait
        self.ended.append(result)
        return result

    def test_result(self) -> None:
        """The result of the work is the result."""
        outer = Deferred.fromCoroutine(shielded(self.work()))
        self.wait.callback("done")
        self.assertEqual("done", self.successResultOf(outer))

    def test_failure(self) -> None:
        """What the work raises is raised."""
        outer = Deferred.fromCoroutine(shielded(self.work()))
        self.wait.errback(KeyError("x"))
        self.failureResultOf(outer, KeyError)

    def test_cancelled(self) -> None:
        """Cancelling ends the waiting at once, and the work at its own end."""
        outer = Deferred.fromCoroutine(shielded(self.work()))
        outer.cancel()
        self.failureResultOf(outer, CancelledError)
        self.assertEqual([], self.ended)
        self.wait.callback("done")
        self.assertEqual(["done"], self.ended)

    def test_failure_after_cancellation_is_logged(self) -> None:
        """Nobody is left to be told of a failure, so it is logged."""
        outer = Deferred.fromCoroutine(shielded(self.work()))
        outer.cancel()
        self.failureResultOf(outer, CancelledError)
        with capturedLogs() as events:
            self.wait.errback(KeyError("x"))
        self.assertEqual([LogLevel.critical], [event["log_level"] for event in events])
        self.flushLoggedErrors(KeyError)
