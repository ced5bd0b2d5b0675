"""Tests of :mod:`dockreg.web.rates`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.networks import NO_ADDRESS
from dockreg.web.rates import RateLimit


class RateLimitTests(SynchronousTestCase):
    """:class:`dockreg.web.rates.RateLimit`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.rates = RateLimit(per_second=2, burst=5, clock=self.clock)

    def take(self, count: int, client: str = "a") -> list[float]:
        return [self.rates.take(client) for _ in range(count)]

    def test_burst(self) -> None:
        """So many requests are let in at once, and the next one is told how long to wait."""
        self.assertEqual([0.0] * 5 + [0.5, 0.5], [round(wait, 6) for wait in self.take(7)])

    def test_refill(self) -> None:
        """With time there is room for more, and never for more than the burst."""
        self.take(5)
        self.clock.advance(0.5)
        self.assertEqual([True, False], [not wait for wait in self.take(2)])
        self.clock.advance(1000)
        self.assertEqual([True] * 5 + [False], [not wait for wait in self.take(6)])

    def test_steady(self) -> None:
        """Who keeps to the rate is never refused."""
        self.take(5)
        for _ in range(1000):
            self.clock.advance(0.5)
            self.assertEqual([0.0], self.take(1))

    def test_refused_do_not_count(self) -> None:
        """What is refused does not make the wait longer."""
        self.take(5)
        self.assertEqual([0.5] * 100, [round(wait, 6) for wait in self.take(100)])

    def test_each(self) -> None:
        """Each client has its own, and one without address none."""
        self.take(6)
        self.assertEqual([0.0] * 5, self.take(5, "b"))
        self.assertEqual([0.0] * 100, self.take(100, NO_ADDRESS))

    def test_memory(self) -> None:
        """Only so many clients are remembered: those that have asked last."""
        self.rates.most_clients = 3
        self.take(5)
        for client in "bcb":
            self.take(1, client)
        self.assertGreater(self.take(1)[0], 0)
        self.take(1, "d")
        self.assertEqual(["c", "b", "d"], list(self.rates._full_at))
        self.assertEqual([0.0], self.take(1))

    def test_log(self) -> None:
        """The log is told who is too fast, once a minute."""
        self.take(5)
        with capturedLogs() as events:
            self.take(100)
            self.clock.advance(60)
            self.take(100, "b")
        self.assertEqual(["a", "b"], [event["client"] for event in events])

    @given(st.lists(st.floats(0, 3), max_size=60))
    def test_bound(self, pauses: list[float]) -> None:
        """In any time no more is let in than the burst and what the rate gives in that time."""
        clock = Clock()
        rates = RateLimit(2, 5, clock)
        let_in: list[float] = []
        for pause in pauses:
            clock.advance(pause)
            let_in += [clock.seconds() for _ in range(4) if not rates.take("a")]
        for first in range(len(let_in)):
            for last in range(first, len(let_in)):
                self.assertLessEqual(last - first + 1, 5 + 2 * (let_in[last] - let_in[first]) + 1e-6)
