"""Tests of :mod:`dockreg.providers.threads`."""

import threading
from typing import Any

from twisted.internet.defer import Deferred
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

    async def test_in_thread(self) -> None:
        """The work is done in a thread of the pool's name; what is under way is counted."""
        from twisted.internet import reactor  # noqa: PLC0415, TID251  # threads answer through the real one
        from twisted.internet.task import deferLater  # noqa: PLC0415  # as above

        await deferLater(reactor, 0)
        of_threads: Any = reactor
        workers = Workers("test", 1, of_threads)
        workers.startService()
        self.addCleanup(workers.stopService)
        asked = workers.in_thread(threading.current_thread)
        self.assertEqual(1, workers.busy)
        self.assertIn("dockreg test", (await asked).name)
        self.assertEqual(0, workers.busy)


def _deferred(result: Any) -> "Deferred[Any]":
    assert isinstance(result, Deferred)
    return result
