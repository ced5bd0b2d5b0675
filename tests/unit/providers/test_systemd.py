"""Tests of :mod:`dockreg.providers.systemd`."""

import os
import socket

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from dockreg.providers.systemd import SystemdNotifier, notify_address, watchdog_seconds


class EnvironmentTests(SynchronousTestCase):
    """What systemd leaves in the environment."""

    def test_address(self) -> None:
        """A path is a path, ``@`` stands for an abstract socket, all else for none."""
        self.assertEqual("/run/systemd/notify", notify_address({"NOTIFY_SOCKET": "/run/systemd/notify"}))
        self.assertEqual("\0a", notify_address({"NOTIFY_SOCKET": "@a"}))
        self.assertEqual(None, notify_address({"NOTIFY_SOCKET": "vsock:2:1"}))
        self.assertEqual(None, notify_address({}))

    def test_watchdog(self) -> None:
        """The watchdog is ours when it names no process, or this one."""
        self.assertEqual(30.0, watchdog_seconds({"WATCHDOG_USEC": "30000000"}, 7))
        self.assertEqual(30.0, watchdog_seconds({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 7))
        self.assertEqual(None, watchdog_seconds({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, 7))
        for text in ("", "0", "soon", "-1"):
            self.assertEqual(None, watchdog_seconds({"WATCHDOG_USEC": text}, 7))


class SystemdNotifierTests(SynchronousTestCase):
    """:class:`dockreg.providers.systemd.SystemdNotifier` and a real datagram socket."""

    def setUp(self) -> None:
        """What systemd would listen on."""
        self.path = f"/tmp/dockreg-test-{os.getpid()}-{id(self)}"
        self.receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.receiver.close)
        self.receiver.bind(self.path)
        self.addCleanup(os.unlink, self.path)
        self.receiver.setblocking(False)
        self.clock = Clock()

    def received(self) -> list[str]:
        """All datagrams that have come."""
        messages = []
        while True:
            try:
                messages.append(self.receiver.recv(4096).decode())
            except BlockingIOError:
                return messages

    def test_ready_and_stopping(self) -> None:
        """Readiness and the stop are told with a status."""
        notifier = SystemdNotifier({"NOTIFY_SOCKET": self.path}, self.clock)
        notifier.ready("serving")
        notifier.stopping("wait\na bit")
        self.assertEqual(["READY=1\nSTATUS=serving", "STOPPING=1\nSTATUS=wait a bit"], self.received())

    def test_watchdog(self) -> None:
        """A sign of life is sent twice in the time that systemd allows, until the service stops."""
        notifier = SystemdNotifier({"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": "20000000"}, self.clock)
        notifier.startService()
        self.clock.pump([10, 10])
        self.assertEqual(["WATCHDOG=1"] * 3, self.received())
        notifier.stopService()
        self.clock.advance(30)
        self.assertEqual([], self.received())

    def test_not_under_systemd(self) -> None:
        """Without systemd nothing is sent, and no timer runs."""
        notifier = SystemdNotifier({"WATCHDOG_USEC": "20000000"}, self.clock)
        notifier.startService()
        notifier.ready("serving")
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_nobody_listens(self) -> None:
        """A socket that nobody listens on is a warning."""
        with capturedLogs() as events:
            SystemdNotifier({"NOTIFY_SOCKET": "/nowhere"}, self.clock).ready("serving")
        self.assertEqual(["warn"], [event["log_level"].name for event in events])
