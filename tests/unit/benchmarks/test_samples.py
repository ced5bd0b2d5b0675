"""Tests of :mod:`benchmarks.samples`."""

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.samples import Measure, Ratio, Sample, Summary, cost_ratio, percentile

GIB = 2**30


def rates(*numbers: float, cpu_seconds: float = 1.0) -> list[Sample]:
    """Samples of one second with so many operations."""
    return [Sample(1.0, operations=round(number), cpu_seconds=cpu_seconds) for number in numbers]


class PercentileTests(SynchronousTestCase):
    """Tests of :func:`percentile`."""

    def test_is_one_of_the_values(self) -> None:
        """It is the smallest value that so many values are not above."""
        values = [float(number) for number in range(1, 101)]
        self.assertEqual(50.0, percentile(values, 0.5))
        self.assertEqual(99.0, percentile(values, 0.99))
        self.assertEqual(100.0, percentile(values, 1.0))

    def test_the_order_does_not_matter(self) -> None:
        """Values come as they were measured."""
        self.assertEqual(2.0, percentile([3.0, 1.0, 2.0], 0.5))

    def test_of_few(self) -> None:
        """Of one value it is that value; of none it is 0."""
        self.assertEqual(7.0, percentile([7.0], 0.99))
        self.assertEqual(0.0, percentile([], 0.5))


class SampleTests(SynchronousTestCase):
    """What counts in a sample."""

    def test_rate(self) -> None:
        """Operations in a second, and milliseconds of processor time for each."""
        sample = Sample(2.0, operations=100, cpu_seconds=0.5)
        self.assertEqual(50.0, sample.number(Measure.RATE))
        self.assertEqual(5.0, sample.cost(Measure.RATE))

    def test_throughput(self) -> None:
        """MiB in a second, and seconds of processor time for each GiB."""
        sample = Sample(2.0, operations=1, bytes=GIB // 2, cpu_seconds=0.5)
        self.assertEqual(256.0, sample.number(Measure.THROUGHPUT))
        self.assertEqual(1.0, sample.cost(Measure.THROUGHPUT))

    def test_memory_and_start(self) -> None:
        """MiB, and seconds; neither has a cost."""
        sample = Sample(3.0, peak_bytes=64 * 2**20)
        self.assertEqual(64.0, sample.number(Measure.MEMORY))
        self.assertEqual(3.0, sample.number(Measure.START))
        self.assertIsNone(sample.cost(Measure.MEMORY))

    def test_nothing_was_done(self) -> None:
        """Without operations there is no cost for one."""
        self.assertIsNone(Sample(1.0).cost(Measure.RATE))
        self.assertIsNone(Sample(1.0).cost(Measure.THROUGHPUT))


class SummaryTests(SynchronousTestCase):
    """Tests of :class:`Summary`."""

    def test_medians(self) -> None:
        """One bad round does not count."""
        samples = [evolve(sample, p99=number) for number, sample in enumerate(rates(100, 1, 110))]
        summary = Summary.of(samples, Measure.RATE)
        self.assertEqual(100.0, summary.number)
        self.assertEqual(10.0, summary.cost)
        self.assertEqual(1, summary.p99)

    def test_shares(self) -> None:
        """What the load and others used is told as a number of processors."""
        summary = Summary.of([Sample(2.0, load_cpu_seconds=1.0, other_cpu_seconds=3.0)], Measure.RATE)
        self.assertEqual((0.5, 1.5), (summary.load_share, summary.other_share))


class RatioTests(SynchronousTestCase):
    """Tests of :class:`Ratio` and :func:`cost_ratio`."""

    def test_of_medians(self) -> None:
        """The ratio is that of the medians; single rounds tell how far it can be trusted."""
        found = Ratio.of(rates(100, 200, 300), rates(100, 100, 50), Measure.RATE)
        self.assertEqual(Ratio(2.0, 1.0, 6.0), found)

    def test_not_measured(self) -> None:
        """There is no ratio to somebody who was not measured, or who did nothing."""
        self.assertIsNone(Ratio.of(rates(1), [], Measure.RATE))
        self.assertIsNone(Ratio.of([], rates(1), Measure.RATE))
        self.assertIsNone(Ratio.of(rates(1), rates(0), Measure.RATE))
        self.assertIsNone(cost_ratio(rates(1), [], Measure.RATE))

    def test_cost(self) -> None:
        """Half the processor time for the same work is 0.5; time that could not be seen has no ratio."""
        self.assertEqual(0.5, cost_ratio(rates(10, cpu_seconds=1.0), rates(10, cpu_seconds=2.0), Measure.RATE))
        self.assertIsNone(cost_ratio(rates(10), rates(10, cpu_seconds=0.0), Measure.RATE))
