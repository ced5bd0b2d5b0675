"""Who is measured on which server."""

from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from benchmarks import comparison
from benchmarks.comparison import Arena, Result
from benchmarks.contenders.base import Command, Contender, Place, Situation
from benchmarks.content import Content
from benchmarks.messages import LoadFailed
from benchmarks.samples import Measure, Sample
from benchmarks.selection import Entry
from benchmarks.stage import Scale
from benchmarks.workloads.base import Workload


class Nobody(Contender):
    """A contender that runs no program."""

    name = "nobody"

    def version(self) -> str:
        return ""

    def prepare(self, place: Place) -> Command:
        return Command([])


class ComparisonTests(SynchronousTestCase):
    """Workloads get a server each, unless the short form is asked for."""

    def setUp(self) -> None:
        self.events: list[str] = []
        events = self.events

        @define(eq=False)
        class Server:
            contender: Contender
            place: Place
            number: int = field(init=False)

            def __attrs_post_init__(self) -> None:
                self.number = sum(each.endswith("started") for each in events)

            def start(self) -> None:
                events.append(f"{self.number} started")

            def remove(self) -> None:
                events.append(f"{self.number} removed")

            def log(self) -> str:
                return ""

        @define(eq=False)
        class Stage:
            server: Server
            content: Content
            scale: Scale

            def warm_up(self) -> None:
                events.append(f"{self.server.number} warm")

        self.patch(comparison, "Server", Server)
        self.patch(comparison, "Stage", Stage)
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def arena(self, *, shares: bool) -> Arena:
        return Arena(self.folder, Content(self.folder), Scale(), 2, lambda _: None, shares=shares)

    def entry(self, name: str, measure: Measure = Measure.RATE, *, tls: bool = False, **more: Any) -> Entry:
        def run(stage: Any, _prepared: object) -> Sample:
            self.events.append(f"{stage.server.number} {name}")
            return Sample(1.0)

        workload = Workload(name, lambda _: name, measure, run, more.pop("prepare", self.prepare), **more)
        return Entry(name, workload, Situation(tls=tls))

    def prepare(self, stage: Any) -> None:
        self.events.append(f"{stage.server.number} prepared")

    def compare(self, arena: Arena, *chosen: Entry) -> list[Result]:
        contender = Nobody()
        self.patch(contender, "abilities", frozenset().union(*(entry.needs for entry in chosen)))
        return [arena.compare(entry, [contender]) for entry in chosen]

    def test_own(self) -> None:
        """In the full form each workload has its own server, and a fresh one another in each round."""
        self.compare(self.arena(shares=False), self.entry("a"), self.entry("b", fresh=True))
        self.assertEqual(
            ["0 started", "0 warm", "0 prepared", "0 a", "0 a", "0 removed",
             "1 started", "1 warm", "1 prepared", "1 b", "1 removed",
             "2 started", "2 warm", "2 prepared", "2 b", "2 removed"],
            self.events,
        )  # fmt: skip

    def test_shared(self) -> None:
        """In the short form they follow each other on one, and what one has prepared in the same way stays."""
        arena = self.arena(shares=True)
        self.compare(arena, self.entry("a"), self.entry("b", fresh=True))
        self.assertEqual(["0 started", "0 warm", "0 prepared", "0 a", "0 a", "0 b", "0 b"], self.events)
        arena.close()
        self.assertEqual("0 removed", self.events[-1])

    def test_alone(self) -> None:
        """What measures memory has its own all the same, which nothing has warmed."""
        self.compare(self.arena(shares=True), self.entry("a", Measure.MEMORY), self.entry("b", Measure.MEMORY))
        ran = [f"{number} {event}" for number in (0, 1) for event in ("started", "prepared", "ab"[number])]
        self.assertEqual(
            [*ran[:3], "0 a", "0 removed", *ran[3:], "1 b", "1 removed"],
            self.events,
        )

    def test_situations(self) -> None:
        """Each situation has servers of its own; those of the one before are stopped first."""
        self.compare(self.arena(shares=True), self.entry("a"), self.entry("b", tls=True))
        self.assertLess(self.events.index("0 removed"), self.events.index("1 started"))
        self.assertEqual(["1 b", "1 b"], self.events[-2:])

    def test_failed(self) -> None:
        """One that has failed is removed, and the next workload begins with another."""

        def fail(_stage: object) -> None:
            raise LoadFailed("no")

        arena = self.arena(shares=True)
        results = self.compare(arena, self.entry("a", prepare=fail), self.entry("b"))
        self.assertEqual([{"nobody": "failed: no"}, {}], [each.problems for each in results])
        self.assertEqual(
            ["0 started", "0 warm", "0 removed", "1 started", "1 warm", "1 prepared", "1 b", "1 b"], self.events
        )
        arena.close()
        self.assertEqual("1 removed", self.events[-1])
