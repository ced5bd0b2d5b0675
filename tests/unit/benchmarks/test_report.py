"""Tests of :mod:`benchmarks.report` and :mod:`benchmarks.goals`."""

import json
import socket

import attrs
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.comparison import Result
from benchmarks.goals import GOALS, Goal
from benchmarks.report import Report, machine
from benchmarks.samples import Measure, Sample, Summary
from benchmarks.selection import entries


def result(name: str, ours: list[float], theirs: list[float]) -> Result:
    """Rates of two contenders, each operation at a cost of 1 ms and 2 ms."""
    made = Result(name, f"the {name}", Measure.RATE)
    for contender, numbers, cost in (("dockreg", ours, 0.001), ("distribution", theirs, 0.002)):
        if numbers:
            made.samples[contender] = [
                Sample(1.0, operations=round(number), cpu_seconds=number * cost, p50=0.001, p99=0.01)
                for number in numbers
            ]
    return made


def report(*results: Result, judged: bool = True) -> Report:
    """A run of two contenders, where a third one was not to be found."""
    contenders = {"dockreg": "dockreg 1", "distribution": "v3"}
    return Report(contenders, {"nginx": "no program nginx"}, results, {"rounds": 3}, {"kernel": "6"}, judged=judged)


class MarkdownTests(SynchronousTestCase):
    """The table for people."""

    def test_ratio(self) -> None:
        """The ratio of medians, the range of rounds, and that of processor time."""
        text = report(result("x", [300, 200, 100], [100, 100, 100])).markdown()
        self.assertIn("| the x | **2.00** (1.00-3.00), CPU 0.50 |", text)

    def test_goals(self) -> None:
        """A goal is held against the ratio; where there is none nothing is said."""
        text = report(result("base", [300], [100]), result("x", [1], [1])).markdown()
        self.assertIn("| ≥ 1.2 x, CPU ≤ 1 x | met |", text)
        self.assertIn("| the x | **1.00** (1.00-1.00), CPU 0.50 |  |  |", text)
        self.assertIn("**missed**", report(result("base", [100], [100])).markdown())

    def test_memory_of_several(self) -> None:
        """A peak of memory is one of one process, and not held against that of several."""
        pushed = result("push-parallel", [300], [100])
        pushed.samples["dockreg"] = [attrs.evolve(each, peak_bytes=200 * 2**20) for each in pushed.samples["dockreg"]]
        for workers, met in ((None, False), ("1", False), ("auto", True), ("2", True)):
            text = attrs.evolve(report(pushed), options={"workers": workers}).markdown()
            self.assertEqual((met, not met), ("CPU ≤ 0.6 x | met |" in text, "peak ≤ 128 MiB | **missed** |" in text))

    def test_not_judged(self) -> None:
        """A short run prints ratios alone."""
        text = report(result("base", [100], [100]), judged=False).markdown()
        self.assertNotIn("goal", text)
        self.assertNotIn("missed", text)

    def test_missing(self) -> None:
        """Who is not there, and what was not measured, is told."""
        failed = result("base", [100], [])
        failed.problems["distribution"] = "failed: it burns"
        text = report(failed).markdown()
        self.assertIn("**not measured:** nginx: no program nginx", text)
        self.assertIn("- `base`, distribution: failed: it burns", text)
        self.assertIn("| the base | - |", text)

    def test_alone(self) -> None:
        """Without peers there are no ratios."""
        alone = Report({"dockreg": "dockreg 1"}, {}, [result("base", [1], [])], {}, {}, judged=True)
        self.assertNotIn("Ratios", alone.markdown())
        self.assertIn("| the base | 1/s |", alone.markdown())

    def test_our_failures(self) -> None:
        """It is a failure of the run if we failed, and not if others did."""
        theirs, ours = result("base", [1], []), result("base", [], [1])
        theirs.problems["distribution"] = "failed: it burns"
        ours.problems["dockreg"] = "failed: it burns"
        self.assertFalse(report(theirs).has_failures)
        self.assertTrue(report(ours).has_failures)


class DocumentTests(SynchronousTestCase):
    """The results for programs."""

    def test_is_json(self) -> None:
        """Everything that was measured is there, and what was made of it."""
        document = json.loads(json.dumps(report(result("x", [200, 100], [100, 100])).document()))
        (workload,) = document["workloads"]
        self.assertEqual([200, 100], [sample["operations"] for sample in workload["samples"]["dockreg"]])
        self.assertEqual(1.5, workload["ratios"]["distribution"]["value"]["median"])
        self.assertEqual(0.5, workload["ratios"]["distribution"]["cost"])
        self.assertEqual({"nginx": "no program nginx"}, document["absent"])


class MachineTests(SynchronousTestCase):
    """What the figures depend on."""

    def test_sending(self) -> None:
        """It is told how the system sends: pulls over 127.0.0.1 depend on it."""
        with socket.socket() as usual:
            expected = usual.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()
        self.assertEqual(expected, machine()["congestion control"])


class GoalTests(SynchronousTestCase):
    """Tests of :class:`Goal`."""

    def summary(self, number: float = 0.0, peak_mib: float = 0.0) -> Summary:
        return Summary(number, None, peak_mib * 2**20, 0.0, 0.0, 0.0, 0.0)

    def test_directions(self) -> None:
        """Rates at least, costs at most."""
        goal = Goal(2.0, 0.5)
        self.assertTrue(goal.is_met(self.summary(), 2.0, 0.5))
        self.assertFalse(goal.is_met(self.summary(), 1.9, 0.5))
        self.assertFalse(goal.is_met(self.summary(), 2.0, 0.6))

    def test_not_measured(self) -> None:
        """What was not measured is not met."""
        self.assertFalse(Goal(2.0).is_met(self.summary(), None, None))
        self.assertFalse(Goal(2.0, 0.5).is_met(self.summary(), 3.0, None))

    def test_absolute(self) -> None:
        """Memory and starts have limits of their own."""
        self.assertTrue(Goal(most=80).is_met(self.summary(80), None, None))
        self.assertFalse(Goal(most=80).is_met(self.summary(81), None, None))
        self.assertFalse(Goal(peak=128).is_met(self.summary(peak_mib=129), None, None))

    def test_are_about_workloads(self) -> None:
        """Every goal has a workload."""
        self.assertEqual(set(), set(GOALS) - {entry.name for entry in entries()})
