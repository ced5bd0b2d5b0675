"""The results as pictures."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparison import Result
from benchmarks.content import MIB
from benchmarks.goals import GOALS, RIVAL
from benchmarks.report import OURS, Report
from benchmarks.samples import Ratio, Summary, cost_ratio

_ROW_INCHES = 0.34
_WIDTH_INCHES = 9
_DOTS_PER_INCH = 120

#: What a bar shows; None for no bar.
Value = Callable[[Result, str], float | None]


def write_plots(report: Report, folder: Path) -> Sequence[Path]:
    """
    Rates, processor time, memory and waiting times as PNG.

    :raises ImportError: matplotlib is not installed.
    """
    import matplotlib as mpl  # noqa: PLC0415  # of benchmarks/requirements.txt

    mpl.use("Agg")
    compared = [result for result in report.results if result.measure.more_is_better and OURS in result.samples]
    figures: list[tuple[str, str, Value, Sequence[str]]] = [
        ("rates", f"rate or throughput, {OURS} / peer (more is better)", _rate, report.peers),
        ("processor", f"processor time for the same work, {OURS} / peer (less is better)", _cost, report.peers),
        ("memory", "peak of resident memory, MiB", _peak, list(report.contenders)),
        ("p99", "the slowest percent, milliseconds", _p99, list(report.contenders)),
    ]
    written = []
    for name, title, value, series in figures:
        path = folder / f"{name}.png"
        _draw(path, title, compared, value, series)
        written.append(path)
    return written


def _rate(result: Result, peer: str) -> float | None:
    ratio = Ratio.of(result.samples[OURS], result.samples.get(peer, []), result.measure)
    return None if ratio is None else ratio.median


def _cost(result: Result, peer: str) -> float | None:
    return cost_ratio(result.samples[OURS], result.samples.get(peer, []), result.measure)


def _peak(result: Result, name: str) -> float | None:
    return _summary(result, name, lambda summary: summary.peak_bytes / MIB)


def _p99(result: Result, name: str) -> float | None:
    return _summary(result, name, lambda summary: summary.p99 * 1000)


def _summary(result: Result, name: str, value: Callable[[Summary], float]) -> float | None:
    samples = result.samples.get(name)
    return value(Summary.of(samples, result.measure)) if samples else None


def _draw(path: Path, title: str, results: Sequence[Result], value: Value, series: Sequence[str]) -> None:
    import matplotlib.pyplot as plt  # noqa: PLC0415  # as above

    height = max(3.0, _ROW_INCHES * len(results) * (1 + 0.25 * len(series)))
    figure, axes = plt.subplots(figsize=(_WIDTH_INCHES, height), dpi=_DOTS_PER_INCH)
    thickness = 0.8 / max(1, len(series))
    for number, name in enumerate(series):
        found = [(row, value(result, name)) for row, result in enumerate(results)]
        rows = [row + number * thickness for row, bar in found if bar]
        axes.barh(rows, [bar for _, bar in found if bar], height=thickness, label=name)
    if value in (_rate, _cost):
        axes.axvline(1, color="black", linewidth=1)
        _draw_goals(axes, results, value)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    titles = [result.title.replace("`", "") for result in results]
    axes.set_yticks([row + 0.4 - thickness / 2 for row in range(len(results))], titles)
    axes.set_ylim(-thickness, len(results))
    axes.tick_params(axis="y", labelsize=8)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=10)
    axes.grid(axis="x", which="both", linewidth=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def _draw_goals(axes: Any, results: Sequence[Result], value: Value) -> None:
    points = []
    for row, result in enumerate(results):
        goal = GOALS.get(result.name)
        wanted = None if goal is None else goal.rate if value is _rate else goal.cost
        if wanted is not None:
            points.append((wanted, row))
    if points:
        label = f"goal beside {RIVAL}"
        axes.scatter(*zip(*points, strict=True), marker="|", s=120, color="black", label=label, zorder=3)
