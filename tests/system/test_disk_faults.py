"""Each call that changes something on the disk fails in turn, and writes are done by halves."""

import errno
from collections.abc import Iterator
from contextlib import AbstractContextManager

from tests.faults.asking import done
from tests.faults.below import FOR_GOOD, Kind, Step
from tests.faults.case import IN_FILES, FaultCase
from tests.faults.customer import Refused
from tests.faults.scenarios import Scenarios

#: How many blobs and manifests are looked at each time; of the others only the tagged.
_REMEMBERED = 2
_MAKING = (Kind.OPEN, Kind.WRITE, Kind.MKDIR, Kind.RENAME)


class DiskFaultTests(FaultCase):
    """Operations on a disk that says no."""

    def config(self) -> str:
        return IN_FILES

    def setUp(self) -> None:
        super().setUp()
        self.scenarios = Scenarios(self.customer, self.fresh)

    def attempt(self, name: str, fault: AbstractContextManager[None]) -> int:
        """Do an operation under a fault; the status that it was refused with, 0 if it was not."""
        prepare, operation = self.scenarios.all[name]
        done(prepare())
        status = 0
        with fault:
            try:
                done(operation())
            except Refused as refused:
                status = refused.status
        when = f"{name}, {self.below.hit}"
        self.assertTrue(status == 0 or status >= 500, f"{when}: {status}")
        self.check_now(when)
        return status

    def check_now(self, when: str) -> None:
        """The daemon serves what it must, at once; it may have left something to the next start."""
        try:
            done(self.customer.check())
            done(self.scenarios.check())
        except Exception as problem:
            raise AssertionError(f"{when}: {problem!r}\n{self.daemon.log()[-3000:]}") from problem
        self.scenarios.forget(_REMEMBERED)

    def check_after_start(self) -> None:
        """Nothing is left over once it was started again."""
        self.restart()
        self.check("after a start")

    def steps(self, name: str) -> Iterator[Step]:
        prepare, operation = self.scenarios.all[name]
        done(prepare())
        with self.below.counting():
            done(operation())
        trace = self.below.trace
        done(self.scenarios.check())
        yield from Step.all(trace)

    def fail_everywhere(self, error: int) -> set[int]:
        """Each step of each operation fails once; the statuses that there were."""
        statuses: dict[int, list[str]] = {}
        for name in self.scenarios.all:
            for step in self.steps(name):
                status = self.attempt(name, self.below.failing(step.at, error, part=step.part, kinds=(step.kind,)))
                statuses.setdefault(status, []).append(f"{name}: {self.below.hit.where}")
        self.check_after_start()
        self.assertEqual(0, self.daemon.stop() + 15, "it did not end in order")
        return set(statuses)

    def test_input_output_error(self) -> None:
        """A call that fails is a 503 at most; the next request is served, and what was acknowledged is there."""
        self.assertEqual({0, 503}, self.fail_everywhere(errno.EIO))

    def test_no_room(self) -> None:
        """A call that finds no room is a 507."""
        self.assertLessEqual(self.fail_everywhere(errno.ENOSPC), {0, 503, 507})

    def test_too_many_files(self) -> None:
        """A file that can not be opened is a 503, or a layer goes by the folder of what is unfinished."""
        for name in self.scenarios.all:
            for step in self.steps(name):
                if step.kind is Kind.OPEN:
                    fault = self.below.failing(step.at, errno.EMFILE, part=step.part, kinds=(step.kind,))
                    allowed = (503, 0) if name == "commit a layer" else (503,)
                    self.assertIn(self.attempt(name, fault), allowed)
        self.check_after_start()

    def test_full_for_a_while(self) -> None:
        """On a full disk whatever needs room is refused, what is there is served; with room again all goes on."""
        for name in self.scenarios.all:
            status = self.attempt(name, self.below.failing(1, errno.ENOSPC, last=FOR_GOOD, kinds=_MAKING))
            self.assertIn(status, (503, 507), name)
            self.assertEqual(0, self.attempt(name, self.below.counting()))
        self.check_after_start()

    def test_halves(self) -> None:
        """A system that takes half of each write takes longer, and all is well."""
        for name in self.scenarios.all:
            self.assertEqual(0, self.attempt(name, self.below.halving(1)))
        self.check_after_start()

    def test_half_and_full(self) -> None:
        """A write that is cut short, and has no room for the rest, is a 507 and leaves nothing."""
        for name in ("commit a blob", "append to a session", "close a session"):
            prepare, operation = self.scenarios.all[name]
            done(prepare())
            with self.below.halving(1, 1, "/blobs/staging/"):
                done(operation())
            self.check_now(name)

    def test_reading(self) -> None:
        """A blob that can not be read is a 503 or a connection that is cut, and is served again afterwards."""
        for step in range(1, 4):
            with self.below.failing(step, errno.EIO, kinds=(Kind.READ,)):
                for digest in list(self.customer.manifests):
                    status = self.daemon.request("GET", f"/v2/{self.customer.name}/manifests/{digest}")[0]
                    self.assertIn(status, (200, 503))
            self.check_now(f"reading, {step}")


class SmallBlobsTests(DiskFaultTests):
    """The same with small blobs in the database."""

    def config(self) -> str:
        return ""
