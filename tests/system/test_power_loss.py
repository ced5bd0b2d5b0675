"""
A failure of power at every moment.

A daemon runs once, with a journal of all that it changes on the disk (:mod:`tests.faults.journal`). For many moments the
data folder is then made as the failure would have left it, and a daemon is started on it.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from random import Random  # noqa: TID251  # moments by a seed

from attrs import frozen

from tests.faults import outside
from tests.faults.asking import asking, done
from tests.faults.case import IN_FILES, NAME, FaultCase
from tests.faults.contents import digest_of
from tests.faults.customer import Answer, Ask, Customer
from tests.faults.journal import Disk, Luck, Record, mark, records
from tests.faults.scenarios import Scenarios
from tests.processes import PreparedDaemon

#: How many times every operation is done, and at how many moments the power fails.
_ROUNDS = int(os.environ.get("DOCKREG_TEST_POWER_ROUNDS", "1"))
_MOMENTS = int(os.environ.get("DOCKREG_TEST_POWER_MOMENTS", "12"))


@frozen
class Known:
    """What had been acknowledged: of the customer, and blobs of its repository."""

    customer: Customer
    blobs: tuple[bytes, ...]


class PowerLossTests(FaultCase):
    """What was acknowledged is there when power comes back."""

    def config(self) -> str:
        return IN_FILES

    def keeps_journal(self) -> bool:
        return True

    def setUp(self) -> None:
        super().setUp()
        self.scenarios = Scenarios(self.customer, self.fresh)
        self.after = PreparedDaemon(self.daemon.folder / "after")
        self.addCleanup(self.after.kill)
        #: By the number in the mark that was written when they were known.
        self.known: list[Known] = []

    def note(self) -> None:
        """What is known now is so from this moment on; what is under way may take place or not."""
        self.known.append(Known(_copied(self.customer, self.customer.ask), tuple(self.scenarios.blobs)))
        mark(self.below.journal, str(len(self.known) - 1))

    def noting(self, ask: Ask) -> Ask:
        """Note before each request: what it is to change is unsure by then."""

        async def noted(method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
            if method not in ("GET", "HEAD"):
                self.note()
            return await ask(method, path, body, headers)

        return noted

    def test_every_operation(self) -> None:
        """Whatever was not flushed is lost, or a part of it, at any moment between and in operations."""
        inode = self.daemon.data.stat().st_ino
        self.customer.ask = self.noting(self.customer.ask)
        for _ in range(_ROUNDS):
            for prepare, operation in self.scenarios.all.values():
                done(prepare())
                done(operation())
                self.note()
        self.daemon.kill()
        changes = list(records(self.below.journal.read_bytes()))
        moments = chosen(changes, Random(1))
        disk, random = Disk(str(self.below.folder), inode), Random(2)
        known: Known | None = None
        for at, change in enumerate(changes):
            disk.apply(change)
            if change.kind is None:
                known = self.known[int(change.content)]
            if at in moments and known is not None:
                for luck in (Luck.LOST, Luck.MIXED):
                    self.fail_power(disk, known, luck, random, f"{luck.value}, after change {at} of {len(changes)}")

    def fail_power(self, disk: Disk, known: Known, luck: Luck, random: Random, when: str) -> None:
        """Power fails and comes back."""
        after = self.after
        shutil.rmtree(after.data, ignore_errors=True)
        disk.leave(after.data, luck, random)
        after.start()
        try:
            customer = _copied(known.customer, asking(after))
            done(customer.check())
            for content in known.blobs:
                found = after.request("GET", f"/v2/{NAME}/blobs/{digest_of(content)}")[:2]
                self.assertEqual((200, content), found)
            self.assertEqual([], outside.problems(after.data))
        except Exception as problem:
            raise AssertionError(f"{when}: {problem!r}\n{after.log()[-3000:]}") from problem
        finally:
            after.kill()


class SmallBlobsTests(PowerLossTests):
    """So it is with small blobs in the database."""

    def config(self) -> str:
        return ""


def chosen(changes: Sequence[Record], random: Random) -> set[int]:
    """Moments: some just after something was acknowledged, and some anywhere."""
    marks = [at for at, change in enumerate(changes) if change.kind is None]
    anywhere = range(marks[0], len(changes))
    return {*random.sample(marks, min(_MOMENTS, len(marks))), *random.sample(anywhere, min(_MOMENTS, len(anywhere)))}


def _copied(customer: Customer, ask: Ask) -> Customer:
    tags = {tag: set(targets) for tag, targets in customer.tags.items()}
    manifests, unsure, images = dict(customer.manifests), dict(customer.unsure), dict(customer.images)
    return Customer(customer.name, ask, customer.contents, Random(0), (), manifests, unsure, tags, images)
