"""What one measurement gave, and what is made of several."""

import enum
import statistics
from collections.abc import Sequence

from attrs import frozen

from benchmarks.content import GIB, MIB


class Measure(enum.Enum):
    """What counts in a workload."""

    RATE = "rate"
    THROUGHPUT = "throughput"
    MEMORY = "memory"
    START = "start"

    @property
    def unit(self) -> str:
        """Of :meth:`value`."""
        return {"rate": "/s", "throughput": "MiB/s", "memory": "MiB", "start": "s"}[self.value]

    @property
    def cost_unit(self) -> str:
        """Of :meth:`cost`."""
        return {"rate": "ms", "throughput": "s/GiB"}.get(self.value, "")

    @property
    def more_is_better(self) -> bool:
        """Whether a large value is good."""
        return self in (Measure.RATE, Measure.THROUGHPUT)


@frozen
class Sample:
    """
    One measurement of one contender.

    Seconds are those of a clock; processor time is that of all processes of the server, of the load, and of everything
    else on the machine. ``bytes`` are those of bodies, both ways.
    """

    seconds: float
    operations: int = 0
    bytes: int = 0
    cpu_seconds: float = 0.0
    load_cpu_seconds: float = 0.0
    other_cpu_seconds: float = 0.0
    peak_bytes: int = 0
    p50: float = 0.0
    p99: float = 0.0

    def number(self, measure: Measure) -> float:
        """The value that counts."""
        if measure is Measure.MEMORY:
            return self.peak_bytes / MIB
        if measure is Measure.START:
            return self.seconds
        return (self.operations if measure is Measure.RATE else self.bytes / MIB) / self.seconds

    def cost(self, measure: Measure) -> float | None:
        """Processor time of the server: milliseconds for an operation, or seconds for a GiB."""
        if measure is Measure.RATE and self.operations:
            return self.cpu_seconds * 1000 / self.operations
        if measure is Measure.THROUGHPUT and self.bytes:
            return self.cpu_seconds / (self.bytes / GIB)
        return None


def percentile(values: Sequence[float], part: float) -> float:
    """The value that ``part`` of all are not above (nearest rank); 0 when there are none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    rank = -(-len(ordered) * part // 1)  # rounded up
    return ordered[max(0, int(rank) - 1)]


@frozen
class Summary:
    """The medians of several samples."""

    number: float
    cost: float | None
    peak_bytes: float
    p50: float
    p99: float
    #: Processors that the load and everything else kept busy.
    load_share: float
    other_share: float

    @classmethod
    def of(cls, samples: Sequence[Sample], measure: Measure) -> "Summary":
        """:param samples: at least one."""
        costs = [cost for cost in (sample.cost(measure) for sample in samples) if cost is not None]
        return cls(
            number=statistics.median(sample.number(measure) for sample in samples),
            cost=statistics.median(costs) if costs else None,
            peak_bytes=statistics.median(sample.peak_bytes for sample in samples),
            p50=statistics.median(sample.p50 for sample in samples),
            p99=statistics.median(sample.p99 for sample in samples),
            load_share=statistics.median(sample.load_cpu_seconds / sample.seconds for sample in samples),
            other_share=statistics.median(sample.other_cpu_seconds / sample.seconds for sample in samples),
        )


@frozen
class Ratio:
    """Of two contenders: that of the medians, and the lowest and highest of single rounds."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, ours: Sequence[Sample], theirs: Sequence[Sample], measure: Measure) -> "Ratio | None":
        """Ours by theirs; None when one of them was not measured."""
        rounds = [
            mine.number(measure) / other.number(measure)
            for mine, other in zip(ours, theirs, strict=False)
            if other.number(measure)
        ]
        if not rounds:
            return None
        divisor = Summary.of(theirs, measure).number
        return cls(Summary.of(ours, measure).number / divisor, min(rounds), max(rounds)) if divisor else None


def cost_ratio(ours: Sequence[Sample], theirs: Sequence[Sample], measure: Measure) -> float | None:
    """The ratio of the medians of processor time; None when it was too little to be seen, or not measured."""
    if not ours or not theirs:
        return None
    mine, other = Summary.of(ours, measure).cost, Summary.of(theirs, measure).cost
    return mine / other if mine is not None and other else None
