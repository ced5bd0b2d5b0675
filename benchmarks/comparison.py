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
from benchmarks.contenders.base import Contender, Place, Situation
from benchmarks.content import Content
from benchmarks.messages import LoadFailed
from benchmarks.samples import Measure, Sample
from benchmarks.selection import Entry
from benchmarks.servers import Server
from benchmarks.stage import Scale, Stage
from benchmarks.workloads.base import FILLED, filled_tags
from dockreg.testing.ports import free_port

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


@define(eq=False)
class _Started:
    """A server that has been started, and what workloads have prepared there, by what prepared it."""

    stage: Stage
    _prepared: dict[Callable[[Stage], Any], Any] = field(factory=dict)

    def prepared(self, prepare: Callable[[Stage], Any]) -> Any:
        """What it makes, made once."""
        if prepare not in self._prepared:
            self._prepared[prepare] = prepare(self.stage)
        return self._prepared[prepare]


#: The name of a contender, how it is reached, and how many tags it was filled with.
_Key = tuple[str, Situation, int]


@frozen
class Arena:
    """
    Where everything takes place.

    With ``shares`` workloads follow each other on one server of each contender, as far as what they measure allows. That
    takes half the time, and what one has left may be seen by the next.
    """

    folder: Path
    content: Content
    scale: Scale
    rounds: int
    tell: Tell
    patience: float = 0.0
    shares: bool = False
    _shared: dict[_Key, _Started] = field(factory=dict, init=False)

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

    def close(self, but: Situation | None = None) -> None:
        """Stop the servers that workloads share, and remove what they have stored; not those of one situation."""
        for key in [key for key in self._shared if key[1] != but]:
            self._shared.pop(key).stage.server.remove()

    def shared(self, entry: Entry) -> dict[_Key, _Started] | None:
        """The servers of which a workload uses one, and to which it adds one; None when it needs its own."""
        return self._shared if self.shares and entry.workload.measure is not Measure.MEMORY else None

    def compare(self, entry: Entry, contenders: Sequence[Contender]) -> Result:
        """Measure one workload."""
        self.close(but=entry.situation)
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
    started: _Started | None = field(default=None, init=False)
    is_new: bool = field(default=True, init=False)

    def begin(self) -> bool:
        """Make everything ready; whether it can be measured."""
        return self._try(self._start)

    def measure(self) -> None:
        """One round."""
        if self.contender.name not in self.result.problems:
            self._try(self._measure)

    def end(self) -> None:
        """Stop the server, and remove what it has stored, unless others use it as well."""
        if self.arena.shared(self.entry) is None:
            self._remove()

    @property
    def _key(self) -> _Key:
        return self.contender.name, self.entry.situation, self.entry.workload.filled

    def _remove(self) -> None:
        if self.started is not None:
            started, self.started = self.started, None
            (self.arena.shared(self.entry) or {}).pop(self._key, None)
            started.stage.server.remove()

    def _start(self) -> None:
        shared = self.arena.shared(self.entry)
        self.started = None if shared is None else shared.get(self._key)
        if self.started is None:
            self.started = self._begin()
            if shared is not None:
                shared[self._key] = self.started
        self.started.prepared(self.entry.workload.prepare)
        self.is_new = True

    def _begin(self) -> _Started:
        arena, workload = self.arena, self.entry.workload
        folder = arena.folder / f"{self.contender.name}-{next(_numbers)}"
        folder.mkdir()
        place = Place(folder, free_port(), self.entry.situation, arena.certificate, arena.key)
        stage = Stage(Server(self.contender, place), arena.content, arena.scale)
        # Known before it starts: whatever goes wrong, it is removed.
        self.started = _Started(stage)
        if workload.filled:
            self.contender.fill(place, FILLED, filled_tags(arena.scale.count(workload.filled)))
        stage.server.start()
        if workload.measure is not Measure.MEMORY:
            stage.warm_up()
        return self.started

    def _measure(self) -> None:
        workload = self.entry.workload
        if workload.fresh and not self.is_new:
            self.end()
            self._start()
        self.is_new = False
        assert self.started is not None
        self.arena.wait()
        sample = workload.run(self.started.stage, self.started.prepared(workload.prepare))
        self.result.samples.setdefault(self.contender.name, []).append(sample)
        number = f"{sample.number(workload.measure):,.5g} {workload.measure.unit}"
        self.arena.tell(f"{self.entry.name}: {self.contender.name} {number}")

    def _try(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except (LoadFailed, OSError, ValueError, RuntimeError) as problem:
            log = self.started.stage.server.log() if self.started is not None else ""
            self.result.problems[self.contender.name] = f"failed: {problem}"
            self.arena.tell(f"{self.entry.name}: {self.contender.name} failed: {problem}\n{log}")
            self.result.samples.pop(self.contender.name, None)
            self._remove()
            return False
        return True


_numbers = count(1)


def versions(contenders: Sequence[Contender]) -> Mapping[str, str]:
    """What exactly is measured, by contender."""
    return {contender.name: contender.version() for contender in contenders}
