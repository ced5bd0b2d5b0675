"""Writes that are committed together, by threads that do so themselves and by the reactor's jobs."""

from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

from sqlalchemy import Connection
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import NameUnknown, StoreUnavailable
from dockreg.providers.metadata.batches import Batches, More, Wanted
from tests.unit.providers.blobs.threads import Threads


def wanted(name: str) -> Wanted:
    """A change of this name, which is what comes of it."""

    def change(_connection: Connection) -> str:
        return name

    return Wanted(change)


class HereTests(SynchronousTestCase):
    """Whoever is in a thread commits there."""

    def setUp(self) -> None:
        self.threads = Threads()
        self.committed: list[list[str]] = []
        # A commit waits for this, when it is to.
        self.begun, self.go_on = SimpleQueue[None](), Event()
        self.go_on.set()
        self.batches = Batches(self.threads.in_thread, self.commit)
        self.told: SimpleQueue[Any] = SimpleQueue()

    def commit(self, batch: list[Wanted], more: More) -> list[Any]:
        """What names are made of, once nobody else writes."""
        more(batch, True)
        self.begun.put(None)
        self.go_on.wait(30)
        nothing: Any = None
        names: list[str] = [each.change(nothing) for each in batch]
        self.committed.append(names)
        return [Failure(NameUnknown(name)) if name == "bad" else f"{name}!" for name in names]

    def start(self, name: str) -> Thread:
        """A thread that makes a change."""

        def work() -> None:
            try:
                self.told.put(self.batches.write_here(wanted(name)))
            except NameUnknown as problem:
                self.told.put(problem)

        thread = Thread(target=work, daemon=True)
        thread.start()
        return thread

    def wait_for(self, count: int) -> None:
        """Until so many changes wait."""
        while len(self.batches._waiting) < count:
            Event().wait(0.001)

    def test_alone(self) -> None:
        """A change is made where it is wanted, and what is wrong with it is raised there."""
        self.assertEqual("a!", self.batches.write_here(wanted("a")))
        self.assertRaises(NameUnknown, self.batches.write_here, wanted("bad"))

    def test_together(self) -> None:
        """Those who come while a commit is under way share the next one, in whichever thread they are."""
        self.go_on.clear()
        threads = [self.start("a")]
        self.begun.get(timeout=30)
        threads += [self.start(name) for name in ("b", "bad", "c")]
        of_reactor = self.batches.write(wanted("r"))
        self.wait_for(4)
        self.go_on.set()
        for each in threads:
            each.join(30)
        told = [self.told.get(timeout=30) for _ in threads]
        self.assertEqual(["a!", "b!", "c!"], sorted(each for each in told if isinstance(each, str)))
        self.assertEqual(1, sum(isinstance(each, NameUnknown) for each in told))
        self.assertEqual((2, ["a"]), (len(self.committed), self.committed[0]))
        # Its change is made; it is told by its own job, which finds nothing left to do.
        self.assertNoResult(of_reactor)
        self.threads.run_all()
        self.assertEqual("r!", self.successResultOf(of_reactor))
        self.assertEqual(2, len(self.committed))

    def test_jobs_make_them_too(self) -> None:
        """A job of the reactor commits what threads wait for; each is told."""
        of_reactor = self.batches.write(wanted("r"))
        self.go_on.clear()
        thread = self.start("a")
        self.begun.get(timeout=30)
        self.go_on.set()
        thread.join(30)
        self.assertEqual([["r", "a"]], self.committed)
        self.threads.run_all()
        self.assertEqual("r!", self.successResultOf(of_reactor))

    def test_many(self) -> None:
        """Whatever the order, each change is made once, and each thread is told of its own."""
        threads = [self.start(f"n{number:03}") for number in range(40)]
        waiting: list[Any] = [self.batches.write(wanted(f"r{number:03}")) for number in range(40)]
        self.threads.run_all()
        for each in threads:
            each.join(30)
        made = sorted(name for batch in self.committed for name in batch)
        self.assertEqual([f"{kind}{number:03}" for kind in "nr" for number in range(40)], made)
        told = sorted(self.told.get(timeout=30) for _ in threads)
        self.assertEqual([f"n{number:03}!" for number in range(40)], told)
        self.assertEqual([f"r{number:03}!" for number in range(40)], [self.successResultOf(each) for each in waiting])

    def test_wants_more(self) -> None:
        """Who is told, and wants more at once, is told of that, too, after those who waited before."""
        told: list[str] = []

        def more(outcome: str) -> None:
            told.append(outcome)
            if len(told) < 3:
                _ = self.batches.write(wanted(f"r{len(told)}")).addCallback(more)

        _ = self.batches.write(wanted("r")).addCallback(more)
        _ = self.batches.write(wanted("s")).addCallback(told.append)
        self.threads.run_all()
        self.assertEqual((["r!", "s!", "r1!"], [["r", "s"], ["r1"]]), (told, self.committed))

    def test_other_results(self) -> None:
        """What has a thread do something may return anything that can be waited for."""

        async def in_thread(function: Any, *args: object) -> Any:
            return function(*args)

        self.batches._in_thread = in_thread
        self.assertEqual("a!", self.successResultOf(self.batches.write(wanted("a"))))
        self.failureResultOf(self.batches.write(wanted("bad")), NameUnknown)

    def test_no_threads(self) -> None:
        """When there are no threads for the reactor's changes any more, those fail; those of other threads do not."""

        def refuse(*_args: object, **_kwargs: object) -> Any:
            raise StoreUnavailable("the registry is not open")

        self.batches._in_thread = refuse
        failing: list[Any] = [self.batches.write(wanted(name)) for name in "ab"]
        for each in failing:
            self.failureResultOf(each, StoreUnavailable)
        self.assertEqual("c!", self.batches.write_here(wanted("c")))
        self.assertEqual([["c"]], self.committed)
