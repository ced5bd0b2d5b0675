"""What processes have used, as the kernel counts it."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_PROC = Path("/proc")
_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
_RESET_PEAK = "5"
_KIB = 1024


def parents(proc: Path = _PROC) -> Mapping[int, int]:
    """The parent of each process."""
    found = {}
    for folder in proc.iterdir():
        if folder.name.isdigit():
            fields = _fields(folder)
            if fields:
                found[int(folder.name)] = int(fields[1])
    return found


def tree(root: int, proc: Path = _PROC) -> Sequence[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for process, parent in parents(proc).items():
        children.setdefault(parent, []).append(process)
    found = [root]
    for process in found:
        found.extend(children.get(process, []))
    return found


def cpu_seconds(processes: Iterable[int], proc: Path = _PROC) -> float:
    """Processor time of these processes, with that of their children that have ended; in steps of a clock tick."""
    ticks = 0
    for process in processes:
        # utime, stime, cutime and cstime are the fields 14 to 17 of proc_pid_stat(5).
        ticks += sum(int(value) for value in _fields(proc / str(process))[11:15])
    return ticks * _TICK_SECONDS


def resident_bytes(processes: Iterable[int], proc: Path = _PROC) -> int:
    """Resident memory now; pages that processes share count for each of them."""
    return sum(_status(proc / str(process), "VmRSS") for process in processes)


def peak_bytes(processes: Iterable[int], proc: Path = _PROC) -> int:
    """The most resident memory since :func:`reset_peak`, of each process."""
    return sum(_status(proc / str(process), "VmHWM") for process in processes)


def reset_peak(processes: Iterable[int], proc: Path = _PROC) -> None:
    """Let the peak begin anew."""
    for process in processes:
        (proc / str(process) / "clear_refs").write_text(_RESET_PEAK)


def busy_seconds(proc: Path = _PROC) -> float:
    """Processor time that the whole machine has spent on anything but waiting."""
    fields = (proc / "stat").read_text().partition("\n")[0].split()[1:]
    user, nice, system, _idle, _waiting, *others = map(int, fields[:8])
    return (user + nice + system + sum(others)) * _TICK_SECONDS


def _fields(folder: Path) -> Sequence[str]:
    """What stands behind the name in ``stat``; nothing when the process is gone."""
    try:
        # The name is in parentheses, and may have some of its own.
        return (folder / "stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ()


def _status(folder: Path, name: str) -> int:
    try:
        lines = (folder / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    for line in lines:
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * _KIB
    return 0
