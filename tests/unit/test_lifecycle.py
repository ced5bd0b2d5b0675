"""Tests of :mod:`dockreg.lifecycle`."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import StoreUnavailable
from dockreg.lifecycle import Job, Plan, RegistryService, StartFailed, StartStopped
from dockreg.providers.threads import Workers


class _Reactor:
    """As much of a reactor as is looked at."""

    running = True


class _Part(Service):
    """Stands for every part, and writes down what happens to it."""

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.blobs = self.uploads = self
        self.is_recorded, self.is_known = "is recorded", "is known"
        self.questions: tuple[object, ...] = ()
        self.opening: Callable[[], Deferred[None]] = lambda: succeed(None)
        self.opening_further: Callable[[], Deferred[None]] = lambda: succeed(None)
        self.drained: Deferred[None] = Deferred()
        self.setName("part")

    def startService(self) -> None:
        self.events.append("child started")

    def stopService(self) -> None:
        self.events.append("child stopped")

    async def open(self) -> None:
        self.events.append("open")
        await self.opening()

    async def recover(self, is_recorded: object, is_resumable: object) -> int:
        self.events.append("recover")
        self.questions = (is_recorded, is_resumable)
        return 0

    async def close(self) -> None:
        self.events.append("close")

    async def close_blobs(self) -> None:
        self.events.append("close blobs")

    def prepare(self) -> Deferred[None]:
        self.events.append("prepare")
        return succeed(None)

    def set_closed(self, reason: str | None) -> None:
        self.events.append("serving" if reason is None else "not serving")

    def drain(self, grace_seconds: float) -> Deferred[None]:
        self.events.append(f"drain {grace_seconds}")
        return self.drained

    def ready(self, status: str) -> None:
        self.events.append("ready")

    def stopping(self, status: str) -> None:
        self.events.append("stopping")

    async def job(self) -> None:
        self.events.append("job")

    def open_further(self) -> Deferred[None]:
        self.events.append("open further")
        return maybeDeferred(self.opening_further)

    def close_further(self) -> Deferred[None]:
        self.events.append("close further")
        return succeed(None)


class RegistryServiceTests(SynchronousTestCase):
    """:class:`dockreg.lifecycle.RegistryService`."""

    def setUp(self) -> None:
        """A service of parts that write down what happens to them."""
        self.events: list[str] = []
        self.clock = Clock()
        self.part = cast("Any", _Part(self.events))
        self.reactor = cast("Any", _Reactor())
        plan = Plan(
            metadata=self.part,
            blobs=cast("Any", SimpleNamespace(recover=self.part.recover, close=self.part.close_blobs)),
            prepare=self.part.prepare,
            set_closed=self.part.set_closed,
            grace_seconds=7.0,
            jobs=[Job("a job", 60, self.part.job)],
            drains=[self.part],
            announcers=[self.part],
            openers=[self.part.open_further],
            closers=[self.part.close_further],
        )
        self.service = RegistryService(plan, self.reactor, self.clock)
        self.part.setServiceParent(self.service)

    def started(self) -> None:
        """Start, and forget what was written down."""
        self.service.startService()
        self.successResultOf(self.service.when_started())
        self.events.clear()

    def test_start(self) -> None:
        """Requests are served once metadata and blobs are in order, and who waits is told last."""
        self.service.startService()
        self.assertEqual(
            ["child started", "prepare", "open", "recover", "open further", "job", "serving", "ready"],
            self.events,
        )
        self.assertEqual(("is recorded", "is known"), self.part.questions)

    def test_stop(self) -> None:
        """Nothing is closed before the requests under way are done; children are stopped last."""
        self.started()
        stopping = self.service.stopService()
        self.assertEqual(["stopping", "not serving", "drain 7.0"], self.events)
        self.assertNoResult(stopping)
        self.part.drained.callback(None)
        self.successResultOf(stopping)
        self.assertEqual(["close blobs", "close", "close further", "child stopped"], self.events[3:])
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_work_under_way(self) -> None:
        """What the last requests left to do in threads is waited for, though not for ever."""
        workers = Workers("test", 1, self.reactor)
        workers.setServiceParent(self.service)
        for seconds, finished in ((0.5, True), (5.1, False)):
            self.started()
            self.part.drained = succeed(None)
            workers.busy = 1
            stopping = self.service.stopService()
            self.clock.pump([0.1] * int(seconds * 10))
            self.assertEqual(not finished, "close" in self.events)
            workers.busy = 0
            self.clock.advance(0.1)
            self.successResultOf(stopping)
            self.assertIn("close", self.events)

    def test_jobs(self) -> None:
        """A job is done again and again, whether it fails or not."""
        calls: list[Exception | None] = [StoreUnavailable("gone"), KeyError("bug"), None]

        async def job() -> None:
            self.events.append("job")
            if error := calls.pop(0):
                raise error

        self.part.job = job
        done = Job("a job", 60, job)
        for _ in range(3):
            self.successResultOf(done.once())
        self.assertEqual(["job"] * 3, self.events)
        self.assertEqual(1, len(self.flushLoggedErrors(KeyError)))

    def test_failure(self) -> None:
        """A start that fails closes what was opened, never serves, and tells who waits."""
        going: Deferred[None] = Deferred()
        self.part.opening = lambda: going
        self.part.drained = succeed(None)
        self.service.startService()
        waiting = self.service.when_started()
        going.errback(StoreUnavailable("no database"))
        self.assertEqual("no database", str(self.failureResultOf(waiting, StartFailed).value))
        self.failureResultOf(self.service.when_started(), StartFailed)
        self.assertNotIn("serving", self.events)
        self.assertNotIn("ready", self.events)
        self.assertIn("close", self.events)

    def test_failure_of_a_further_part(self) -> None:
        """So does one in which a further part can not be opened."""
        self.part.opening_further = lambda: fail(StoreUnavailable("no password file"))
        self.part.drained = succeed(None)
        self.service.startService()
        self.assertEqual("no password file", str(self.failureResultOf(self.service.when_started(), StartFailed).value))
        self.assertNotIn("serving", self.events)
        self.assertIn("close", self.events)

    def test_failure_before_the_reactor_runs(self) -> None:
        """A start that fails before the reactor runs raises, so that a daemon ends."""

        async def fail() -> None:
            raise StoreUnavailable("no database")

        self.reactor.running = False
        self.part.open = fail
        self.part.drained = succeed(None)
        self.assertRaises(StartFailed, self.service.startService)

    def test_unexpected_failure(self) -> None:
        """A start that fails in a way nobody foresaw is logged with its traceback."""

        async def fail() -> None:
            raise KeyError("bug")

        self.part.open = fail
        self.part.drained = succeed(None)
        self.service.startService()
        self.failureResultOf(self.service.when_started(), KeyError)
        self.assertEqual(1, len(self.flushLoggedErrors(KeyError)))

    def test_one_part_fails_to_stop(self) -> None:
        """When one part does not stop well, the others are closed all the same."""
        self.started()
        self.part.drained = Deferred()
        stopping = self.service.stopService()
        self.part.drained.errback(KeyError("bug"))
        self.successResultOf(stopping)
        self.assertEqual(["close blobs", "close", "close further", "child stopped"], self.events[3:])
        self.assertNotEqual([], self.flushLoggedErrors(KeyError))

    def test_stopped_while_starting(self) -> None:
        """A service that is stopped while it starts tells who waits for the start, and the log, that this is what happened."""
        self.part.opening = Deferred
        self.part.drained = succeed(None)
        with capturedLogs() as logged:
            self.service.startService()
            waiting = self.service.when_started()
            self.successResultOf(self.service.stopService())
        stopped = self.failureResultOf(waiting, StartStopped).value
        self.assertEqual("dockreg was stopped while it started", str(stopped))
        self.assertEqual([(LogLevel.info, str(stopped))], [(each["log_level"], formatEvent(each)) for each in logged])
        self.assertNotIn("ready", self.events)
        self.assertNotIn("stopping", self.events)

    def test_stopped_and_fails(self) -> None:
        """So does one that fails because it is broken off."""

        def problem(opening: Deferred[None]) -> None:
            opening.errback(StoreUnavailable("the work was given up"))

        self.part.opening = lambda: Deferred(problem)
        self.part.drained = succeed(None)
        self.service.startService()
        waiting = self.service.when_started()
        self.successResultOf(self.service.stopService())
        self.failureResultOf(waiting, StartStopped)

    def test_stopped_twice(self) -> None:
        """A start that is broken off, or fails, closes all that it has opened, however often it is stopped meanwhile."""
        for fails in (False, True):
            self.events.clear()
            opening, self.part.drained = Deferred[None](), Deferred[None]()
            self.part.opening = lambda opening=opening: opening
            self.service.startService()
            waiting = self.service.when_started()
            if fails:
                opening.errback(StoreUnavailable("no database"))
            stopping = [self.service.stopService(), self.service.stopService()]
            for each in (waiting, *stopping):
                self.assertNoResult(each)
            self.part.drained.callback(None)
            self.failureResultOf(waiting, StartFailed)
            for each in stopping:
                self.successResultOf(each)
            self.assertIn("close", self.events)
