"""``kill -9`` in front of each call that collection makes, while it goes through what was deleted."""

import contextlib
import time  # noqa: TID251  # a real process
from collections.abc import Callable

from tests.faults import outside
from tests.faults.asking import done
from tests.faults.below import Kind, Step
from tests.faults.case import IN_FILES, FaultCase
from tests.faults.customer import Customer, Refused

_LEASE_SECONDS = 4
_PATIENCE_SECONDS = 60.0
#: How many images there are to be collected: more than there are kills.
_IMAGES = 14
_POLL_SECONDS = 0.02


class CollectionKillTests(FaultCase):
    """One item in a round, so that every round has all steps."""

    def config(self, items: int = 1) -> str:
        return (
            f"{IN_FILES}[collection]\ninterval_seconds = 0.2\ngrace_seconds = 0\nrepush_seconds = 0\n"
            f"batch_items = {items}\ntick_items = {items}\nlease_seconds = {_LEASE_SECONDS}\n"
        )

    def test_every_step(self) -> None:
        """What is deleted goes in the end, whenever collection was killed; what is not deleted stays."""
        doomed = [self.new_customer(f"crash/doomed{number}") for number in range(_IMAGES)]
        for customer in doomed:
            self.push_in_time(customer)
        for customer in doomed:
            done(customer.delete_repository())
        time.sleep(_LEASE_SECONDS)
        with self.below.counting():
            self.wait(lambda: Kind.UNLINK in {step.kind for step in Step.all(self.below.trace)})
        killed: list[str] = []
        for step in self.steps():
            with self.below.killing(step.at, step.part, (step.kind,), half=len(killed) % 2 == 0):
                self.wait(lambda: bool(self.below.hit.hits))
            killed.append(self.below.hit.where)
            self.restart()
            done(self.customer.check())
        # One by one the rest would take longer than all the kills.
        self.daemon.configure(self.config(_IMAGES))
        self.restart()
        self.wait(lambda: not outside.problems(self.daemon.data) and len(self.objects()) == len(self.needed()))
        self.assertEqual(self.needed(), self.objects(), killed)
        done(self.customer.check())

    def push_in_time(self, customer: Customer) -> None:
        """Push an image, again if that took longer than such a short lease."""
        for _ in range(5):
            with contextlib.suppress(Refused):
                done(customer.push(self.fresh(), "doomed"))
                return
        self.fail("each push took longer than a lease")

    def steps(self) -> list[Step]:
        """The first calls of each kind for each kind of file in some rounds."""
        found = [step for step in Step.all(self.below.trace) if step.at <= 2]
        self.assertLessEqual({Kind.WRITE, Kind.SYNC, Kind.UNLINK}, {step.kind for step in found})
        return found

    def objects(self) -> set[str]:
        """The digests of all stored objects."""
        return {path.name.partition(".")[0] for path in outside.objects(self.daemon.data)}

    def needed(self) -> set[str]:
        """The digests of what the one repository needs that is left."""
        return {digest.partition(":")[2] for each in self.customer.manifests.values() for digest in each.blobs}

    def wait(self, happened: Callable[[], object]) -> None:
        """Wait until it has."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not happened():
            self.assertLess(time.monotonic(), deadline, f"{self.below.hit}\n{self.daemon.log()[-2000:]}")
            time.sleep(_POLL_SECONDS)
