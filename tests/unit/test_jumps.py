"""Tests for dockreg.jumps: what ends by the clock waits after it was set."""

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from dockreg.jumps import Jumps

HOUR, DAY = 3600.0, 86400.0


class JumpTests(SynchronousTestCase):
    """A clock that is asked every ten minutes."""

    def setUp(self) -> None:
        self.jumps = Jumps("a session", HOUR, 7 * DAY)
        self.now = 1_000_000.0
        self.assertTrue(self.jumps.allow(self.now))

    def after(self, seconds: float) -> bool:
        """Whether things end when so many seconds have passed."""
        for _ in range(int(seconds // 600)):
            self.now += 600
            allowed = self.jumps.allow(self.now)
        return allowed

    def test_steady(self) -> None:
        """While time passes as it does, things end."""
        self.assertTrue(self.after(DAY))

    def test_forward(self) -> None:
        """After a jump forward nothing ends for one lease, and the log says so once."""
        self.now += 30 * DAY
        with capturedLogs() as events:
            self.assertFalse(self.jumps.allow(self.now))
            self.assertFalse(self.after(6 * DAY))
        self.assertEqual(1, len(events))
        self.assertTrue(self.after(DAY + 600))

    def test_back(self) -> None:
        """The same of a jump back, also of one that takes back another one."""
        self.now += 30 * DAY
        self.jumps.allow(self.now)
        self.now -= 30 * DAY
        self.assertFalse(self.jumps.allow(self.now))
        self.assertFalse(self.after(6 * DAY))
        self.assertTrue(self.after(DAY + 600))
