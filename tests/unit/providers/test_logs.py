"""Tests of :mod:`dockreg.providers.logs`."""

import json
from pathlib import Path

from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import Logger, LogPublisher, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from dockreg.providers.logs import JSONLog, LineLog, LogFile
from tests.unit.providers.blobs.threads import Threads


class LogFileTests(SynchronousTestCase):
    """:class:`dockreg.providers.logs.LogFile`."""

    def setUp(self) -> None:
        """A log file that a service keeps."""
        self.path = Path(self.mktemp())
        self.clock = Clock()
        self.lines = LineLog(str(self.path), maybeDeferred)
        self.service = LogFile(self.lines, self.clock)
        self.service.startService()

    def test_batches(self) -> None:
        """Lines are written about once in a second, in one go."""
        self.lines.write("a")
        self.lines.write("b")
        self.assertFalse(self.path.exists())
        self.clock.advance(1)
        self.assertEqual("a\nb\n", self.path.read_text())

    def test_stop(self) -> None:
        """Stopping writes what waits."""
        self.lines.write("a")
        self.successResultOf(self.service.stopService())
        self.assertEqual("a\n", self.path.read_text())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_stop_while_writing(self) -> None:
        """It waits for what is being written, and then writes what has come since."""
        threads = Threads()
        self.lines.in_thread = threads.in_thread
        self.lines.write("a")
        self.clock.advance(1)
        self.lines.write("b")
        stopping = self.service.stopService()
        told = threads.run()
        self.assertEqual("a\n", self.path.read_text())
        self.assertNoResult(stopping)
        told()
        threads.run_all()
        self.successResultOf(stopping)
        self.assertEqual("a\nb\n", self.path.read_text())

    def test_stop_without_more(self) -> None:
        """So it does where nothing has come since."""
        threads = Threads()
        self.lines.in_thread = threads.in_thread
        self.lines.write("a")
        self.clock.advance(1)
        stopping = self.service.stopService()
        self.assertNoResult(stopping)
        threads.run_all()
        self.successResultOf(stopping)

    def test_rotation(self) -> None:
        """A file that was moved away is made again."""
        self.lines.write("a")
        self.clock.advance(1)
        self.path.rename(f"{self.path}.1")
        self.lines.write("b")
        self.clock.advance(1)
        self.assertEqual("b\n", self.path.read_text())
        self.assertEqual("a\n", Path(f"{self.path}.1").read_text())

    def test_not_for_others(self) -> None:
        """Who is not in the group can not read who pulled what."""
        self.lines.write("a")
        self.clock.advance(1)
        self.assertEqual(0, self.path.stat().st_mode & 0o007)

    def test_failure(self) -> None:
        """A file that can not be written costs lines, not the service; the log says so once, and then how many."""
        self.path.mkdir()
        self.lines.write("a")
        with capturedLogs() as events:
            self.clock.advance(1)
            for line in "bc":
                self.lines.write(line)
                self.clock.advance(1)
        (told,) = events
        self.assertIn("can not be written", told["log_format"])
        self.path.rmdir()
        self.lines.write("d")
        with capturedLogs() as events:
            self.clock.advance(1)
        self.assertEqual("d\n", self.path.read_text())
        self.assertEqual([3], [event["dropped"] for event in events])


class JSONLogTests(SynchronousTestCase):
    """:class:`dockreg.providers.logs.JSONLog`."""

    def setUp(self) -> None:
        """A log with a publisher of its own."""
        self.path = Path(self.mktemp())
        self.publisher = LogPublisher()
        self.service = JSONLog(LineLog(str(self.path), maybeDeferred), Clock(), self.publisher)
        self.log = Logger(namespace="dockreg.test", observer=self.publisher)

    def events(self) -> list[dict[str, object]]:
        """What was written, once the service has stopped."""
        self.successResultOf(self.service.stopService())
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def test_fields(self) -> None:
        """An event keeps its fields, and has a text, a level and a time."""
        self.service.startService()
        self.log.info("pushed {digest} to {repository}", digest="sha256:1", repository=Path("demo"))
        (event,) = self.events()
        self.assertEqual("pushed sha256:1 to demo", event["message"])
        self.assertEqual(("sha256:1", "demo", "info"), (event["digest"], event["repository"], event["level"]))
        self.assertEqual("dockreg.test", event["namespace"])
        self.assertTrue(str(event["time"]).endswith("+00:00"))

    def test_failure(self) -> None:
        """A failure has its traceback, on the same line."""
        self.service.startService()
        try:
            int("k")
        except ValueError:
            self.log.failure("broken")
        (event,) = self.events()
        self.assertIn("test_logs.py", str(event["traceback"]))

    def test_no_debug(self) -> None:
        """What is for developers is not written."""
        self.service.startService()
        self.log.debug("detail")
        self.log.info("news")
        self.assertEqual(["news"], [event["message"] for event in self.events()])

    def test_stopped(self) -> None:
        """After the service has stopped nothing is observed."""
        self.service.startService()
        self.log.info("before")
        self.events()
        self.log.info("after")
        self.assertEqual([], self.service.lines._waiting)

    def test_never_started(self) -> None:
        """A log whose service could not be started is stopped all the same."""
        self.successResultOf(self.service.stopService())
        self.assertFalse(self.path.exists())
