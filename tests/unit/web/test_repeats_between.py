"""What answers that are given again leave behind them, and what they weigh."""

from itertools import product

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dockreg.web.repeats import Repeat, Repeats
from tests.unit.web.test_heads import Served
from tests.unit.web.wire import head, statuses

ASKED = head("GET /a")
EMPTY = b"\r\n"


class BetweenTests(SynchronousTestCase):
    """Requests, and empty lines before and behind them."""

    def statuses(self, reads: list[bytes], *, keeps: bool) -> list[int]:
        """What comes of these reads, when the same was asked before."""
        served = Served(keeps=keeps)
        served.play([ASKED] * 3)
        served.connect()
        served.play(reads)
        self.assertEqual(int(keeps), len(served.site.repeats))
        return statuses(served.transport)

    def test_empty_line(self) -> None:
        """One empty line may come before each request, also behind one that is answered again; a second one may not."""
        reads = [ASKED + EMPTY, ASKED, EMPTY, ASKED]
        self.assertEqual([200, 200, 200], self.statuses(reads, keeps=True))
        self.assertEqual([200, 200, 400], self.statuses([*reads[:2], EMPTY, EMPTY, ASKED], keeps=True))

    def test_same(self) -> None:
        """However empty lines and requests come together, it is as if nothing was kept."""
        for reads in product((ASKED, EMPTY, ASKED + EMPTY, EMPTY + ASKED), repeat=4):
            with_memory, without = (self.statuses(list(reads), keeps=keeps) for keeps in (True, False))
            self.assertEqual(without, with_memory, reads)


class WeightTests(SynchronousTestCase):
    def test_texts(self) -> None:
        """What the log is told of each weighs as well: it may be four times what was sent."""
        clock, version = Clock(), object()
        repeats = Repeats(clock, most_bytes=200_000)
        for number in range(100):
            agent = (b"%d" % number + b"\xff" * 4000).decode("utf-8", "backslashreplace")
            answer = Repeat(b"x", 200, 1, ("GET", "/", agent))
            repeats.keep(b"%d" % number + b"\xff" * 4000, answer, 0, version, lambda: version)
        self.assertGreater(len(repeats), 1)
        self.assertLessEqual(20_000 * len(repeats), 200_000)
