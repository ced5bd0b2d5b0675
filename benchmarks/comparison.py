"""Measures contenders in turn, so that whatever else the machine does hits all of them."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from benchmarks import processes
from benchmarks.certificates import write_certificate
from benchmarks.contenders.base import Contender, Place
from benchmarks.content import Content
from benchmarks.messages import LoadFailed
from benchmarks.samples import Measure, Sample
from benchmarks.selection import Entry
from benchmarks.servers import Server, free_port
from benchmarks.stage import Scale, Stage
from benchmarks.workloads.base import FILLED, filled_tags

#: How long to look at the machine, and how many processors others may keep busy meanwhile.
_LOOK_SECONDS = 0.5
_IDLE_SHARE = 0.25

#: Told what is being done, in a few words.
Tell = Callable[[str], None]


@define(eq=False)
class Result:
    """What came of one workload: samples by contender, round by round, and why there are none."""

    name: str
    title: str
    measure: Measure
    samples: dict[str, list[Sample]] = field(factory=dict)
    problems: dict[str, str] = field(factory=dict)


@frozen
class Arena:
    """Where everything takes place."""

    folder: Path
    content: Content
    scale: Scale
    rounds: int
    tell: Tell
    patience: float = 0.0

    @property
    def certificate(self) -> Path:
        """The certificate of all servers."""
        return self.folder / "certificate.pem"

    @property
    def key(self) -> Path:
        """Its private key."""
        return self.folder / "key.pem"

    def wait(self) -> None:
        """Wait until the machine has nothing else to do, but not for longer than ``patience`` seconds."""
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            busy = processes.busy_seconds()
            time.sleep(_LOOK_SECONDS)
            if processes.busy_seconds() - busy < _IDLE_SHARE * _LOOK_SECONDS:
                return

    def set_up(self) -> None:
        """Make what all servers have in common."""
        write_certificate(self.certificate, self.key)

    def compare(self, entry: Entry, contenders: Sequence[Contender]) -> Result:
        """Measure one workload."""
        result = Result(entry.name, entry.title(self.scale), entry.workload.measure)
        runs = []
        with ExitStack() as stack:
            for contender in contenders:
                missing = entry.needs - contender.abilities
                if missing:
                    result.problems[contender.name] = f"does not {' or '.join(sorted(each.value for each in missing))}"
                    continue
                run = _Run(self, entry, contender, result)
                stack.callback(run.end)
                if run.begin():
                    runs.append(run)
            for number in range(self.rounds):
                # None of them is always the one that comes first.
                first = number % max(1, len(runs))
                for run in (*runs[first:], *runs[:first]):
                    run.measure()
        return result


@define(eq=False)
class _Run:
    """One contender in one workload."""

    arena: Arena
    entry: Entry
    contender: Contender
    result: Result
    stage: Stage | None = field(default=None, init=False)
    prepared: Any = field(default=None, init=False)
    is_new: bool = field(default=True, init=False)

    def begin(self) -> bool:
        """Make everything ready; whether it can be measured."""
        return self._try(self._start)

    def measure(self) -> None:
        """One round."""
        if self.contender.name not in self.result.problems:
            self._try(self._measure)

    def end(self) -> None:
        """Stop the server, and remove what it has stored."""
        if self.stage is not None:
            stage, self.stage = self.stage, None
            stage.server.remove()

    def _start(self) -> None:
        arena, workload = self.arena, self.entry.workload
        folder = arena.folder / f"{self.contender.name}-{next(_numbers)}"
        folder.mkdir()
        place = Place(folder, free_port(), self.entry.situation, arena.certificate, arena.key)
        self.stage = Stage(Server(self.contender, place), arena.content, arena.scale)
        if workload.filled:
            self.contender.fill(place, FILLED, filled_tags(arena.scale.count(workload.filled)))
        self.stage.server.start()
        if workload.measure is not Measure.MEMORY:
            self.stage.warm_up()
        self.prepared = workload.prepare(self.stage)
        self.is_new = True

    def _measure(self) -> None:
        if self.entry.workload.fresh and not self.is_new:
            self.end()
            self._start()
        self.is_new = False
        assert self.stage is not None
        self.arena.wait()
        sample = self.entry.workload.run(self.stage, self.prepared)
        self.result.samples.setdefault(self.contender.name, []).append(sample)
        measure = self.entry.workload.measure
        self.arena.tell(f"{self.entry.name}: {self.contender.name} {sample.number(measure):,.5g} {measure.unit}")

    def _try(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except (LoadFailed, OSError, ValueError, RuntimeError) as problem:
            log = self.stage.server.log() if self.stage is not None else ""
            self.result.problems[self.contender.name] = f"failed: {problem}"
            self.arena.tell(f"{self.entry.name}: {self.contender.name} failed: {problem}\n{log}")
            self.result.samples.pop(self.contender.name, None)
            self.end()
            return False
        return True


_numbers = count(1)


def versions(contenders: Sequence[Contender]) -> Mapping[str, str]:
    """What exactly is measured, by contender."""
    return {contender.name: contender.version() for contender in contenders}
