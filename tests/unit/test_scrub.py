"""The scrub: slow, in one process, and from where it was."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs, formatEvent

from dockreg.errors import StoreUnavailable
from dockreg.model.conditions import Condition
from dockreg.scrub import HOLD_SECONDS, Scrub, ScrubLimits
from tests.unit.test_soundness import CONTENT, DIGEST, LostCase
from tests.unit.v1case import ONE

DAY = 86400.0
MIB = 1 << 20


class ScrubTests(LostCase):
    """Every blob is read once in a while."""

    def setUp(self) -> None:
        super().setUp()
        self.ending = False
        self.result(self.bring(ONE, b"x" * (3 * MIB)))

    def scrub(self, holder: str = "one", rate: int = MIB) -> Scrub:
        registry = self.registry
        limits = ScrubLimits(rate, 30 * DAY)
        return Scrub(self.metadata, registry.blobs, registry.soundness, self.clock, limits, holder, lambda: self.ending)

    def begin(self, scrub: Scrub) -> "Deferred[Any]":
        """One round, which waits for the clock."""
        running = Deferred.fromCoroutine(scrub.round())
        self.threads.run_all()
        return running

    def ended(self, running: "Deferred[Any]") -> float:
        """Let the clock run until the round is over; return how long that takes."""
        began = self.clock.seconds()
        while not running.called:
            self.clock.advance(0.25)
            self.threads.run_all()
        self.successResultOf(running)
        return self.clock.seconds() - began

    def test_pace(self) -> None:
        """All blobs are read, as fast as it may, and then not again before it is time to."""
        scrub = self.scrub()
        took = self.ended(self.begin(scrub))
        self.assertEqual((2, len(CONTENT) + 3 * MIB), (scrub.blobs, scrub.bytes))
        self.assertTrue(3.9 <= took <= 5.0, took)
        self.assertEqual(self.clock.seconds(), scrub.finished_at)
        self.clock.advance(30 * DAY - 10)
        self.ended(self.begin(self.scrub("two")))
        self.assertEqual(2, scrub.blobs)
        self.clock.advance(20)
        self.ended(self.begin(scrub))
        self.assertEqual(4, scrub.blobs)

    def test_found(self) -> None:
        """Damage is found, and told; what is whole again is well again."""
        self.damage()
        scrub = self.scrub()
        self.ended(self.begin(scrub))
        self.assertEqual(1, scrub.lost)
        self.check_lost(Condition.DAMAGED)
        content = bytearray(self.path().read_bytes())
        content[-1] ^= 1
        self.path().write_bytes(content)
        self.clock.advance(31 * DAY)
        self.ended(self.begin(scrub))
        self.assertIsNone(self.stored().lost)
        self.assertEqual(1, scrub.lost)

    def test_unreadable(self) -> None:
        """A file that can not be opened is told of, and does not keep the others from being looked at."""
        self.block()
        scrub = self.scrub()
        with capturedLogs() as events:
            self.ended(self.begin(scrub))
        self.assertEqual((2, 3 * MIB), (scrub.blobs, scrub.bytes))
        self.assertEqual(self.clock.seconds(), scrub.finished_at)
        (line,) = [formatEvent(event) for event in events if event["log_level"] is LogLevel.error]
        self.assertIn(f"the scrub can not look at blob {DIGEST}: the blob store does not work now", line)
        self.assertIsNone(self.stored().lost)

    def test_store_down(self) -> None:
        """While the whole store does not work the round ends, and goes on from there."""
        self.folder.rename(self.folder.with_name("elsewhere"))
        self.folder.write_text("no folder")
        scrub = self.scrub()
        problem = self.failureResultOf(self.begin(scrub), StoreUnavailable)
        self.assertIn("blob store", str(problem.value))
        self.assertEqual((0, 0.0), (scrub.blobs, scrub.finished_at))

    def test_one_process(self) -> None:
        """While one process does it no other one does; when that ends, or is silent for long, another one does."""
        first, second, third = (self.scrub(holder, 4096) for holder in ("one", "two", "three"))
        running = self.begin(first)
        self.clock.advance(1)
        self.ended(self.begin(second))
        self.assertEqual(0, second.bytes)
        self.ending = True
        self.ended(running)
        self.ending = False
        _ = self.begin(second)  # never heard of again
        self.assertGreater(second.bytes, 0)
        self.clock.rightNow += HOLD_SECONDS - 1
        self.ended(self.begin(third))
        self.assertEqual(0, third.bytes)
        self.clock.rightNow += 2
        _ = self.begin(third)
        self.assertGreater(third.bytes, 0)

    def test_large_blob(self) -> None:
        """While one process reads a blob for longer than it is waited for, no other one begins; it is still there."""
        first, second = self.scrub("one", 1024), self.scrub("two", 1024)
        running = self.begin(first)
        began = self.clock.seconds()
        while self.clock.seconds() < began + HOLD_SECONDS + 60:
            self.clock.advance(0.5)
            self.threads.run_all()
        self.assertNoResult(running)
        self.ended(self.begin(second))
        self.assertEqual(0, second.bytes)

    def test_end(self) -> None:
        """It ends within a second when the process does, and goes on there after the start."""
        scrub = self.scrub(rate=MIB // 2)
        running = self.begin(scrub)
        while scrub.blobs < 1:
            self.clock.advance(0.25)
            self.threads.run_all()
        self.ending = True
        self.assertLessEqual(self.ended(running), 1.0)
        self.assertEqual(1, scrub.blobs)
        self.ending = False
        again = self.scrub()
        self.ended(self.begin(again))
        self.assertEqual(1, again.blobs)
        self.assertIsNone(self.stored(DIGEST).lost)
