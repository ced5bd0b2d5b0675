"""The results as JSON and as tables in Markdown."""

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from benchmarks.comparison import Result
from benchmarks.content import MIB
from benchmarks.goals import GOALS, RIVAL
from benchmarks.samples import Measure, Ratio, Summary, cost_ratio

_CONGESTION_CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")

#: The contender whose figures are divided by those of the others.
OURS = "dockreg"


@frozen
class Report:
    """
    Everything that is written about a run.

    :param contenders: versions, by name, ours first.
    :param absent: those that could not take part, and why.
    :param judged: whether the goals are held against the figures.
    """

    contenders: Mapping[str, str]
    absent: Mapping[str, str]
    results: Sequence[Result]
    options: Mapping[str, Any]
    machine: Mapping[str, str]
    judged: bool

    @property
    def peers(self) -> Sequence[str]:
        """Those that we are compared with."""
        return [name for name in self.contenders if name != OURS]

    @property
    def has_failures(self) -> bool:
        """Whether we failed in a workload."""
        return any(OURS in result.problems for result in self.results)

    def document(self) -> Mapping[str, Any]:
        """All of it, for programs."""
        return {
            "machine": self.machine,
            "options": self.options,
            "contenders": self.contenders,
            "absent": self.absent,
            "workloads": [self._entry(result) for result in self.results],
        }

    def _entry(self, result: Result) -> Mapping[str, Any]:
        measure = result.measure
        ratios = {}
        for peer in self.peers:
            rate = _ratio(result, peer)
            cost = cost_ratio(result.samples.get(OURS, []), result.samples.get(peer, []), measure)
            ratios[peer] = {"value": None if rate is None else attrs.asdict(rate), "cost": cost}
        return {
            "name": result.name,
            "title": result.title,
            "measure": measure.value,
            "unit": measure.unit,
            "cost_unit": measure.cost_unit,
            "summaries": {name: attrs.asdict(Summary.of(samples, measure)) for name, samples in result.samples.items()},
            "ratios": ratios,
            "samples": {name: [attrs.asdict(sample) for sample in each] for name, each in result.samples.items()},
            "problems": result.problems,
        }

    def markdown(self) -> str:
        """All of it, for people."""
        lines = ["# dockreg beside other registries", ""]
        lines += [f"- {name}: {version}" for name, version in self.contenders.items()]
        lines += [f"- **not measured:** {name}: {reason}" for name, reason in self.absent.items()]
        lines += [f"- {name}: {value}" for name, value in self.machine.items()]
        if self.peers:
            lines += ["", *self._ratios()]
        for peer in ("", *self.peers):
            lines += ["", *self._figures(peer or OURS)]
        problems = [
            f"- `{result.name}`, {name}: {problem}"
            for result in self.results
            for name, problem in result.problems.items()
        ]
        if problems:
            lines += ["", "## Not measured", "", *problems]
        return "\n".join([*lines, ""])

    def _ratios(self) -> Sequence[str]:
        judged = self.judged and RIVAL in self.contenders
        alone = self.options.get("workers") in (None, "1")
        head = ["workload", *(f"{OURS} / {peer}" for peer in self.peers), *(["goal", ""] if judged else [])]
        lines = [
            "## Ratios",
            "",
            "Of medians; in brackets the lowest and highest of single rounds; then processor time for the same work.",
            "More is better for rates and throughputs, less for memory, starts and processor time.",
            "",
            _row(head),
            _row(["---", *["---:"] * len(self.peers), *(["---", "---"] if judged else [])]),
        ]
        for result in self.results:
            cells = [result.title, *(_ratio_cell(result, peer) for peer in self.peers)]
            lines.append(_row([*cells, *(_judgement(result, alone=alone) if judged else [])]))
        return lines

    def _figures(self, name: str) -> Sequence[str]:
        lines = [
            f"## {name}",
            "",
            _row(["workload", "median", "CPU", "peak", "p50", "p99", "load", "others"]),
            _row(["---", *["---:"] * 7]),
        ]
        for result in self.results:
            samples = result.samples.get(name)
            if samples:
                lines.append(_row([result.title, *_cells(Summary.of(samples, result.measure), result.measure)]))
        return lines


def _ratio(result: Result, peer: str) -> Ratio | None:
    return Ratio.of(result.samples.get(OURS, []), result.samples.get(peer, []), result.measure)


def _ratio_cell(result: Result, peer: str) -> str:
    ratio = _ratio(result, peer)
    if ratio is None:
        return "-"
    cost = cost_ratio(result.samples[OURS], result.samples[peer], result.measure)
    processor = "" if cost is None else f", CPU {cost:.2f}"
    return f"**{ratio.median:.2f}** ({ratio.lowest:.2f}-{ratio.highest:.2f}){processor}"


def _judgement(result: Result, *, alone: bool) -> Sequence[str]:
    goal, ours = GOALS.get(result.name), result.samples.get(OURS)
    if goal is None:
        return ["", ""]
    if not alone:
        # What several processes share counts once for each of them.
        goal = attrs.evolve(goal, peak=None)
    text = goal.text(result.measure)
    if not ours:
        return [text, "not measured"]
    rate = _ratio(result, RIVAL)
    cost = cost_ratio(ours, result.samples.get(RIVAL, []), result.measure)
    met = goal.is_met(Summary.of(ours, result.measure), None if rate is None else rate.median, cost)
    return [text, "met" if met else "**missed**"]


def _cells(summary: Summary, measure: Measure) -> Sequence[str]:
    number = f"{summary.number:,.3f}" if measure is Measure.START else f"{summary.number:,.0f}"
    cells = [f"{number} {measure.unit}".replace(" /s", "/s")]
    cells.append("" if summary.cost is None else f"{summary.cost:.3g} {measure.cost_unit}")
    cells.append(f"{summary.peak_bytes / MIB:.0f} MiB" if summary.peak_bytes else "")
    if not measure.more_is_better:
        return [*cells, "", "", "", ""]
    times = [f"{seconds * 1000:.3g} ms" for seconds in (summary.p50, summary.p99)]
    return [*cells, *times, f"{summary.load_share:.2f}", f"{summary.other_share:.2f}"]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def machine() -> Mapping[str, str]:
    """What the figures depend on."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processors": f"{os.cpu_count()} x {models[0] if models else platform.machine()}",
        "kernel": platform.release(),
        # How connections send that do not choose for themselves, those over 127.0.0.1 as well.
        "congestion control": _CONGESTION_CONTROL.read_text().strip() if _CONGESTION_CONTROL.exists() else "unknown",
    }
