"""What the processes of a daemon take: memory and descriptors (proc(5))."""

from pathlib import Path

from attrs import frozen

MIB = 1024 * 1024


@frozen
class Taken:
    """Of one process: resident memory in bytes, and open descriptors."""

    memory: int
    descriptors: int


def children(pid: int) -> list[int]:
    """The processes that a process has started and that are still there."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_running(pid: int) -> bool:
    """Whether there is such a process, which has not ended."""
    return Path(f"/proc/{pid}/exe").exists()


def taken(pid: int) -> list[Taken]:
    """What a process takes, and those that it has started."""
    found = []
    for each in (pid, *children(pid)):
        status = Path(f"/proc/{each}/status").read_text()
        (memory,) = (int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))
        found.append(Taken(memory, sum(1 for _ in Path(f"/proc/{each}/fd").iterdir())))
    return found
