"""Tests for dockreg.shield."""

import contextlib

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import DigestInvalid, StorageFull
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

    def test_no_wait(self) -> None:
        """Work that waits for nothing is done at once, and what it raises is raised."""

        async def fail() -> None:
            raise KeyError("x")

        self.wait.callback("done")
        self.assertEqual("done", self.successResultOf(Deferred.fromCoroutine(shielded(self.work()))))
        self.failureResultOf(Deferred.fromCoroutine(shielded(fail())), KeyError)

    def test_several_waits(self) -> None:
        """Work goes on from wait to wait, also behind one that failed, whoever has gone meanwhile."""
        more: list[Deferred[str]] = [Deferred(), Deferred()]

        async def work() -> None:
            with contextlib.suppress(KeyError):
                await self.wait
            for each in more:
                self.ended.append(await each)

        for leaves in (False, True):
            outer = Deferred.fromCoroutine(shielded(work()))
            self.wait.errback(KeyError("x"))
            more[0].callback("one")
            if leaves:
                outer.cancel()
                self.failureResultOf(outer, CancelledError)
            more[1].callback("two")
            if not leaves:
                self.assertIsNone(self.successResultOf(outer))
            self.assertEqual(["one", "two"], self.ended)
            self.wait, more[:], self.ended = Deferred(), [Deferred(), Deferred()], []

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

    def test_refusal_after_cancellation(self) -> None:
        """A mistake of a client that has gone is no failure of ours; a disk that is full is for the operator."""
        for problem, levels in ((DigestInvalid("x", "another"), []), (StorageFull(), [LogLevel.warn])):
            self.wait = Deferred()
            outer = Deferred.fromCoroutine(shielded(self.work()))
            outer.cancel()
            self.failureResultOf(outer, CancelledError)
            with capturedLogs() as logged:
                self.wait.errback(problem)
            self.assertEqual(levels, [each["log_level"] for each in logged])
