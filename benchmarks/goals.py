"""What dockreg is to reach beside distribution 3, with one process for each of two processors."""

from collections.abc import Mapping

from attrs import frozen

from benchmarks.content import MIB
from benchmarks.samples import Measure, Summary

#: The contender that the goals are about.
RIVAL = "distribution"


@frozen
class Goal:
    """
    Ratios to the rival: ``rate`` at least, ``cost`` at most.

    What is not compared: ``most`` of the unit, and ``peak`` MiB of memory with one process.
    """

    rate: float | None = None
    cost: float | None = None
    most: float | None = None
    peak: float | None = None

    def is_met(self, ours: Summary, rate: float | None, cost: float | None) -> bool:
        """Whether what was measured is good enough; what was not measured is not."""
        at_least = [(self.rate, rate)]
        at_most = [(self.cost, cost), (self.most, ours.number), (self.peak, ours.peak_bytes / MIB)]
        return all(goal is None or (found is not None and found >= goal) for goal, found in at_least) and all(
            goal is None or (found is not None and found <= goal) for goal, found in at_most
        )

    def text(self, measure: Measure) -> str:
        """As it stands in a table."""
        parts = []
        if self.rate is not None:
            parts.append(f"≥ {self.rate:g} x")
        if self.cost is not None:
            parts.append(f"CPU ≤ {self.cost:g} x")
        if self.most is not None:
            parts.append(f"≤ {self.most:g} {measure.unit}")
        if self.peak is not None:
            parts.append(f"peak ≤ {self.peak:g} MiB")
        return ", ".join(parts)


_PUSH = Goal(1.4, 0.6)

GOALS: Mapping[str, Goal] = {
    "manifest-tag": Goal(2.5, 0.45),
    "manifest-digest": Goal(2.5, 0.45),
    "head-manifest": Goal(2.0, 0.55),
    "head-blob": Goal(2.0, 0.55),
    "base": Goal(1.2, 1.0),
    "blob-4k": Goal(12.0, 0.1),
    "tags": Goal(2.0),
    "tags-last-page": Goal(10.0),
    "catalog": Goal(10.0),
    "tag-put": Goal(4.0, 0.3),
    "push-4k": Goal(3.5, 0.3),
    "push-1m": Goal(2.0, 0.5),
    "push-streamed": _PUSH,
    "push-patch": _PUSH,
    "push-put": _PUSH,
    "push-parallel": Goal(1.4, 0.6, peak=128),
    "pull": Goal(1.5, 0.6),
    "pull-8": Goal(1.3, 0.8),
    "pull-16": Goal(1.3, 0.8),
    "tls:push-streamed": Goal(1.4),
    "tls:pull": Goal(1.0),
    "tls:pull-6": Goal(1.0),
    "v1-push": _PUSH,
    "v1-pull": Goal(1.5, 0.6),
    "v1-json": Goal(2.5, 0.45),
    "memory-idle": Goal(most=80),
    "memory-uploads": Goal(most=144),
    "start": Goal(most=1.5),
}
