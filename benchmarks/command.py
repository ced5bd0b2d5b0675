"""
``python -m benchmarks``: dockreg beside other registries.

Each workload is run by all contenders in turn, for several rounds. What counts is the ratio of two medians; the figures
beside it are those of this machine. All servers listen on 127.0.0.1, their data and everything else are in a folder that is
removed at the end.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.comparison import Arena, Result, versions
from benchmarks.contenders.base import Contender
from benchmarks.contenders.dockreg import Dockreg
from benchmarks.content import GIB, Content
from benchmarks.plots import write_plots
from benchmarks.report import Report, machine
from benchmarks.selection import PEERS, USUAL_PEERS, Entry, entries, peers, selected
from benchmarks.stage import Scale

_ROUNDS = 3
_SHORT_ROUNDS = 2
_SHORT = Scale(sizes=1 / 16, counts=1 / 10, seconds=0.5)
#: With 16 x 256 MiB pushed to each contender.
_ROOM_BYTES = 8 * GIB
_MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write, and tell by the exit status whether dockreg failed in a workload."""
    options = _parser().parse_args(arguments)
    if options.list:
        _write("\n".join(entry.name for entry in entries()))
        return
    # So that every server is stopped, and the folder removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        chosen = selected(options.workload)
        wanted = peers(options.peer if options.peer is not None else list(USUAL_PEERS), _programs(options.program))
    except ValueError as problem:
        sys.exit(f"benchmarks: {problem}")
    report = _run(options, chosen, wanted)
    if report.has_failures:
        sys.exit("benchmarks: dockreg failed in a workload")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("workload", nargs="*", help="names or patterns such as 'push-*' or 'tls:*' (default: the usual ones)")
    add("--list", action="store_true", help="print the names of all workloads, and do nothing")
    add("--short", action="store_true", help="a few seconds for each workload, and no judgement")
    add("--rounds", type=_positive, help=f"measurements of each contender (default: {_ROUNDS}, short: {_SHORT_ROUNDS})")
    add("--scale", type=_factor, default=1.0, help="multiplies sizes and numbers (default: 1)")
    add("--seconds", type=_factor, help=f"for each rate (default: {Scale().seconds:g}, short: {_SHORT.seconds:g})")
    names = ", ".join(peer(None).name for peer in PEERS)
    usual = ", ".join(USUAL_PEERS)
    add("--peer", action="append", help=f"one of {names}; repeatable; '' for none (default: {usual})")
    add("--program", action="append", default=[], metavar="PEER=PATH", help="where the program of a peer is")
    add("--workers", metavar="N", help='the setting "workers" of dockreg: a number or auto (default: not set)')
    add("--settings", type=Path, metavar="FILE", help="a configuration file of dockreg, whose settings are added")
    add(
        "--patience",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="wait so long before each measurement for others to leave the processors (default: not at all)",
    )
    add("--output", type=Path, default=Path("build/benchmarks"), help="folder of the results (default: %(default)s)")
    add("--work", type=Path, help="folder on the file system that is measured (default: that of temporary files)")
    return parser


def _run(options: argparse.Namespace, chosen: Sequence[Entry], wanted: Sequence[Contender]) -> Report:
    settings = tomllib.loads(options.settings.read_text(encoding="utf-8")) if options.settings else {}
    ours = Dockreg(_worker_value(options.workers), settings)
    absent = {each.name: reason for each in (ours, *wanted) if (reason := each.absence()) is not None}
    if ours.name in absent:
        sys.exit(f"benchmarks: {absent[ours.name]}")
    present = [ours, *(each for each in wanted if each.name not in absent)]
    for name, reason in absent.items():
        _tell(f"not measured: {name}: {reason}")
    results: list[Result] = []
    interrupted = False
    with tempfile.TemporaryDirectory(
        prefix="dockreg-benchmarks-", dir=options.work, ignore_cleanup_errors=True
    ) as name:
        folder = Path(name)
        content = Content(folder)
        rounds = options.rounds or _rounds(options)
        arena = Arena(folder, content, _scale(options), rounds, _tell, options.patience, shares=options.short)
        about = {**machine(), **_about_folder(folder)}
        arena.set_up()
        try:
            for entry in chosen:
                results.append(arena.compare(entry, present))  # noqa: PERF401  # those that are done are not lost
        except KeyboardInterrupt:
            interrupted = True
        finally:
            arena.close()
            content.close()
    shown = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    report = Report(versions(present), absent, results, shown, about, judged=not options.short)
    _save(report, options.output)
    if interrupted:
        sys.exit("benchmarks: interrupted; what was measured until then is written")
    return report


def _save(report: Report, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = report.markdown()
    (folder / "results.md").write_text(text, encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(report.document(), indent=1), encoding="utf-8")
    try:
        write_plots(report, folder)
    except ImportError as problem:
        _tell(f"no plots: {problem}; pip install -r benchmarks/requirements.txt")
    _write(text)
    _tell(f"written to {folder}")


def _scale(options: argparse.Namespace) -> Scale:
    base = _SHORT if options.short else Scale()
    return Scale(base.sizes * options.scale, base.counts * options.scale, options.seconds or base.seconds)


def _rounds(options: argparse.Namespace) -> int:
    return _SHORT_ROUNDS if options.short else _ROUNDS


def _worker_value(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdigit() else text


def _programs(pairs: Sequence[str]) -> Mapping[str, str]:
    programs = {}
    for pair in pairs:
        name, _, path = pair.partition("=")
        if not shutil.which(path):
            raise ValueError(f"--program {pair}: no program {path!r}")
        programs[name] = path
    return programs


def _about_folder(folder: Path) -> Mapping[str, str]:
    """The file system that is measured. Ends the program when there is no room on it."""
    free = shutil.disk_usage(folder).free
    if free < _ROOM_BYTES:
        sys.exit(
            f"benchmarks: {free // GIB} GiB are free beside {folder}, and {_ROOM_BYTES // GIB} are needed (--work)"
        )
    kind = _file_system(folder)
    if kind in _MEMORY_FILE_SYSTEMS:
        _tell(f"{folder} is in memory: what is durable costs nothing there (--work)")
    return {"file system": kind}


def _file_system(folder: Path) -> str:
    found = ("", "unknown")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        if folder.resolve().is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _factor(text: str) -> float:
    number = float(text)
    if not 0 < number < 1000:
        raise ValueError(text)
    return number


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
