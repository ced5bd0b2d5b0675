"""Tests of :mod:`dockreg.providers.threads`."""

import threading
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from dockreg.errors import StoreUnavailable
from dockreg.providers.threads import Workers


class _NotRunning:
    """As much of a reactor as is looked at before it runs."""

    running = False


class BeforeTests(SynchronousTestCase):
    """:class:`dockreg.providers.threads.Workers` while the reactor does not run."""

    def setUp(self) -> None:
        """Workers that have started."""
        reactor: Any = _NotRunning()
        self.workers = Workers("test", 1, reactor)

    def test_on_the_spot(self) -> None:
        """The work is done here and now, and its result is there at once."""
        self.workers.startService()
        self.addCleanup(self.workers.stopService)
        thread = self.successResultOf(_deferred(self.workers.in_thread(threading.current_thread)))
        self.assertIs(threading.current_thread(), thread)

    def test_failure_on_the_spot(self) -> None:
        """What the work raises is there at once, too."""
        self.workers.startService()
        self.addCleanup(self.workers.stopService)
        self.failureResultOf(_deferred(self.workers.in_thread(int, "x")), ValueError)

    def test_not_open(self) -> None:
        """Before the start and after the stop work is refused, rather than never done."""
        self.assertRaises(StoreUnavailable, self.workers.in_thread, int)
        self.workers.startService()
        self.workers.stopService()
        self.assertRaises(StoreUnavailable, self.workers.in_thread, int)

    def test_stop_twice(self) -> None:
        """Stopping is harmless when nothing was started."""
        self.workers.stopService()


class WorkersTests(TestCase):
    """:class:`dockreg.providers.threads.Workers` under a reactor."""

    async def start(self, size: int) -> Workers:
        """Workers that have started, once the reactor runs."""
        from twisted.internet import reactor  # noqa: PLC0415, TID251  # threads answer through the real one
        from twisted.internet.task import deferLater  # noqa: PLC0415  # as above

        await deferLater(reactor, 0)
        of_threads: Any = reactor
        workers = Workers("test", size, of_threads)
        workers.startService()
        self.addCleanup(workers.stopService)
        return workers

    async def test_in_order(self) -> None:
        """One thread does what it is given in that order, and what comes of it comes in that order."""
        workers = await self.start(1)
        done: list[int] = []
        told: list[int] = []
        waiting = [_deferred(workers.in_thread(done.append, number)) for number in range(100)]
        for number, each in enumerate(waiting):
            _ = each.addCallback(partial(_tell, told, number))
        await gatherResults(waiting)
        self.assertEqual((list(range(100)), list(range(100))), (done, told))

    async def test_crowded(self) -> None:
        """They are crowded while a job waits for a thread, and not when each has one."""
        workers = await self.start(2)
        go = threading.Event()
        seen = []
        waiting = []
        for _ in range(3):
            waiting.append(_deferred(workers.in_thread(go.wait)))
            seen.append(workers.crowded)
        go.set()
        await gatherResults(waiting)
        self.assertEqual(([False, False, True], False), (seen, workers.crowded))

    async def test_at_once(self) -> None:
        """As many jobs run at once as there may be threads, and no more; one thread is enough for one after the other."""
        workers = await self.start(3)
        for _ in range(5):
            await workers.in_thread(int)
        names = {await workers.in_thread(lambda: threading.current_thread().name) for _ in range(5)}
        self.assertEqual(1, len(names))
        together = threading.Barrier(3, timeout=10)
        waiting = [_deferred(workers.in_thread(together.wait)) for _ in range(6)]
        self.assertEqual([0, 0, 1, 1, 2, 2], sorted(await gatherResults(waiting)))

    async def test_bursts(self) -> None:
        """Whether threads are idle or not when jobs come, each is done, and once; the stop finds none that is asleep."""
        workers = await self.start(3)
        done: list[int] = []
        for burst in (1, 2, 5, 1, 40, 3, 1, 1, 7):
            waiting = [_deferred(workers.in_thread(done.append, number)) for number in range(burst)]
            await gatherResults(waiting)
            self.assertEqual((list(range(burst)), 0), (sorted(done), workers.busy))
            done.clear()
        self.assertEqual(3, len(workers._threads))
        threads = list(workers._threads)
        workers.stopService()
        self.assertEqual([], [each for each in threads if each.is_alive()])

    async def test_failure(self) -> None:
        """What the work raises is raised where it is waited for, and the thread goes on to work."""
        workers = await self.start(1)
        for problem in (ValueError, SystemExit):
            await self.assertFailure(_deferred(workers.in_thread(_fail, problem)), problem)
        self.assertEqual(3, await workers.in_thread(int, "3"))
        self.assertEqual(0, workers.busy)

    async def test_nobody_waits(self) -> None:
        """Work whose caller was cancelled is done all the same, and counted until it is."""
        workers = await self.start(1)
        go_on = threading.Event()
        asked = _deferred(workers.in_thread(go_on.wait, 10))
        asked.cancel()
        await self.assertFailure(asked, CancelledError)
        self.assertEqual(1, workers.busy)
        go_on.set()
        await workers.in_thread(int)
        self.assertEqual(0, workers.busy)

    async def test_stop(self) -> None:
        """The stop waits for all work that was given, whose results come all the same."""
        workers = await self.start(2)
        done: list[int] = []
        waiting = [_deferred(workers.in_thread(done.append, number)) for number in range(10)]
        workers.stopService()
        self.assertEqual(10, len(done))
        await gatherResults(waiting)
        workers.startService()
        self.assertEqual(0, await workers.in_thread(int))

    async def test_reactor_lets_go(self) -> None:
        """When the reactor has let go of what wakes it, as it does when it ends, results come all the same."""
        workers = await self.start(1)
        self.assertEqual(3, await workers.in_thread(int, "3"))
        reactor, bell = workers._reactor, workers._bell
        assert bell is not None
        self.assertIn(bell, reactor.getReaders())
        reactor.removeReader(bell)
        asked = _deferred(workers.in_thread(int, "5"))
        while not workers._done:
            threading.Event().wait(0.001)
        bell.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(5, self.successResultOf(asked))
        self.assertEqual(4, await workers.in_thread(int, "4"))

    async def test_no_thread_to_spare(self) -> None:
        """Where the system has no more threads, those that there are do all work; where there is none it is refused."""
        workers = await self.start(2)
        with patch.object(threading.Thread, "start", _no_thread):
            self.assertRaises(StoreUnavailable, workers.in_thread, int)
        self.assertEqual((0, 1), (workers.busy, await workers.in_thread(int, "1")))
        go = threading.Event()
        with patch.object(threading.Thread, "start", _no_thread):
            waiting = [_deferred(workers.in_thread(go.wait)), _deferred(workers.in_thread(int, "2"))]
        go.set()
        self.assertEqual(([True, 2], 0), (await gatherResults(waiting), workers.busy))
        self.assertEqual(1, len(workers._threads))

    async def test_descriptors(self) -> None:
        """What wakes the reactor is there while there are threads."""
        workers = await self.start(2)
        before = _descriptors()
        for _ in range(3):
            await gatherResults([_deferred(workers.in_thread(int)) for _ in range(4)])
        self.assertEqual(2, _descriptors() - before)
        workers.stopService()
        self.assertEqual(0, _descriptors() - before)

    async def test_in_thread(self) -> None:
        """The work is done in a thread of the pool's name; what is under way is counted."""
        workers = await self.start(1)
        asked = workers.in_thread(threading.current_thread)
        self.assertEqual(1, workers.busy)
        self.assertIn("dockreg test", (await asked).name)
        self.assertEqual(0, workers.busy)


def _no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def _descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def _tell(told: list[int], number: int, _: None) -> None:
    told.append(number)


def _fail(problem: type[BaseException]) -> None:
    raise problem


def _deferred(result: Any) -> "Deferred[Any]":
    assert isinstance(result, Deferred)
    return result
