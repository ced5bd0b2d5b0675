"""Tests of :mod:`dockreg.providers.auth.remembered`."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dockreg.providers.auth.remembered import Remembered


class RememberedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000)
        self.memory: Remembered[str] = Remembered(self.clock, 60, 3)

    def test_until_the_time_is_over(self) -> None:
        """A value is there for its time and not a moment longer, however often it is used."""
        self.memory.keep(b"a", "1")
        self.clock.advance(59)
        self.assertEqual("1", self.memory.recall(b"a"))
        self.clock.advance(1)
        self.assertIsNone(self.memory.recall(b"a"))
        self.assertEqual(0, len(self.memory))

    def test_unknown(self) -> None:
        """What was never kept is not there."""
        self.assertIsNone(self.memory.recall(b"a"))

    def test_clock_set_back(self) -> None:
        """A clock that was set back does not lengthen a life."""
        self.memory.keep(b"a", "1")
        self.clock.advance(-1)
        self.assertIsNone(self.memory.recall(b"a"))

    def test_bounded(self) -> None:
        """The least recently used goes when there is no room."""
        for key in (b"a", b"b", b"c"):
            self.memory.keep(key, key.decode())
        self.memory.recall(b"a")
        self.memory.keep(b"d", "d")
        self.assertEqual(["a", None, "c", "d"], [self.memory.recall(key) for key in (b"a", b"b", b"c", b"d")])

    def test_replace_and_forget(self) -> None:
        """A key has one value; forgetting it makes room, and may be done twice."""
        for value in ("1", "2", "3", "4"):
            self.memory.keep(b"a", value)
        self.assertEqual("4", self.memory.recall(b"a"))
        self.memory.forget(b"a")
        self.memory.forget(b"a")
        self.assertIsNone(self.memory.recall(b"a"))
        for key in (b"x", b"y", b"z"):
            self.memory.keep(key, "v")
        self.assertEqual("v", self.memory.recall(b"x"))

    def test_weight(self) -> None:
        """The bound is on the sum of the weights; the newest value stays whatever it weighs."""
        memory: Remembered[str] = Remembered(self.clock, 60, 10, len)
        memory.keep(b"a", "12345")
        memory.keep(b"b", "12345")
        self.assertEqual("12345", memory.recall(b"a"))
        memory.keep(b"c", "1")
        self.assertEqual([True, False, True], [memory.recall(key) is not None for key in (b"a", b"b", b"c")])
        memory.keep(b"d", "x" * 100)
        self.assertEqual(1, len(memory))
        self.assertEqual("x" * 100, memory.recall(b"d"))
