"""
``kill -9`` in front of each single call that changes something on the disk.

The calls are not listed here: an operation is repeated with the kill at its first call, its second call and so on, until
it comes to its end. So whatever steps dockreg and SQLite do, none is left out; :mod:`tests.faults.below` tells how.
"""

import time  # noqa: TID251  # a real process
from collections.abc import Sequence

from tests.faults.asking import done
from tests.faults.below import Kind, Step
from tests.faults.case import IN_FILES, FaultCase
from tests.faults.customer import Lost
from tests.faults.scenarios import Scenarios

#: More calls than any of the operations makes.
_MOST_CALLS = 600
#: How many blobs and manifests are looked at each time; of the others only the tagged.
_REMEMBERED = 4
#: How long work that nobody waits for goes on after an answer.
_QUIET_SECONDS = 0.1


class CrashCase(FaultCase):
    """Operations that are killed at each of their steps."""

    def setUp(self) -> None:
        super().setUp()
        self.scenarios = Scenarios(self.customer, self.fresh)

    def kill_everywhere(self, name: str, *kinds: Kind) -> None:
        """
        Kill in front of each call that an operation makes; every second time after half of a write.

        :param kinds: what must be among those calls.
        """
        prepare, operation = self.scenarios.all[name]
        steps = self.steps(name)
        self.assertEqual(set(kinds), set(kinds) & {step.kind for step in steps}, steps)
        killed = 0
        for number, step in enumerate(steps):
            done(prepare())
            lost = False
            with self.below.killing(step.at, step.part, (step.kind,), half=number % 2 == 0):
                try:
                    done(operation())
                except Lost:
                    lost = True
                else:
                    self.let_go_on(step.at)
            # SQLite does not write the same again each time: a step may be left out once.
            if self.below.hit.hits or lost:
                killed += 1
                self.restart()
                self.check_all(f"killed at {step}, {self.below.hit.where}, of: {name}")
            else:
                self.restart()
        self.assertGreater(killed, 0.7 * len(steps))

    def check_all(self, when: str) -> None:
        self.check(when)
        try:
            done(self.scenarios.check())
        except Exception as problem:
            raise AssertionError(f"{when}: {problem!r}") from problem
        self.scenarios.forget(_REMEMBERED)

    def steps(self, name: str) -> Sequence[Step]:
        """The calls that an operation makes, found out by doing it."""
        prepare, operation = self.scenarios.all[name]
        # As after each kill: what a process does once is done again.
        self.restart()
        done(prepare())
        with self.below.counting():
            done(operation())
            self.let_go_on(_MOST_CALLS)
        self.assertGreater(_MOST_CALLS, self.below.hit.calls)
        steps = Step.all(self.below.trace)
        self.check_all(name)
        self.restart()
        return steps

    def let_go_on(self, at: int) -> None:
        """Wait until the call is made, or no other comes."""
        before = -1
        while before < self.below.hit.calls < at:
            before = self.below.hit.calls
            time.sleep(_QUIET_SECONDS)


class CrashPointTests(CrashCase):
    """Each operation, with blobs in files."""

    def config(self) -> str:
        return IN_FILES

    def test_commit(self) -> None:
        """A blob that was acknowledged is there, and another one leaves nothing."""
        self.kill_everywhere("commit a blob", Kind.OPEN, Kind.WRITE, Kind.SYNC, Kind.RENAME, Kind.MKDIR)

    def test_commit_small(self) -> None:
        """The same of one that is written under the name of its object."""
        self.kill_everywhere("commit a small blob", Kind.OPEN, Kind.WRITE, Kind.SYNC, Kind.MKDIR)

    def test_commit_layer(self) -> None:
        """The same of one that is written there while it comes."""
        self.kill_everywhere("commit a layer", Kind.OPEN, Kind.WRITE, Kind.SYNC, Kind.MKDIR)

    def test_append(self) -> None:
        """A session has what was acknowledged, goes on where it says, and its blob is made of the right bytes."""
        self.kill_everywhere("append to a session", Kind.WRITE, Kind.SYNC, Kind.XATTR)

    def test_append_much(self) -> None:
        """The same of bytes that a thread receives, and the disk takes from where they are."""
        self.kill_everywhere("append much to a session", Kind.WRITE, Kind.SYNC, Kind.XATTR)

    def test_close(self) -> None:
        """A session is closed or goes on."""
        self.kill_everywhere("close a session", Kind.WRITE, Kind.SYNC, Kind.RENAME)

    def test_cancel(self) -> None:
        """A session is cancelled or goes on."""
        self.kill_everywhere("cancel a session", Kind.WRITE, Kind.UNLINK)

    def test_tag(self) -> None:
        """A manifest is there with its tag, or neither is."""
        self.kill_everywhere("push a manifest with a tag", Kind.WRITE, Kind.SYNC)

    def test_move(self) -> None:
        """A tag is where it was or where it is to be."""
        self.kill_everywhere("move a tag", Kind.WRITE, Kind.SYNC)

    def test_mount(self) -> None:
        """A mounted blob that was acknowledged is there."""
        self.kill_everywhere("mount a blob", Kind.WRITE, Kind.SYNC)

    def test_delete(self) -> None:
        """A tag, a manifest or a repository is there, whole, or is not."""
        for name in ("delete a tag", "delete a manifest", "delete a repository"):
            self.kill_everywhere(name, Kind.WRITE, Kind.SYNC)

    def test_v1(self) -> None:
        """An image of v1 is there with its tag, or can be pushed again."""
        self.kill_everywhere("push an image of v1", Kind.OPEN, Kind.WRITE, Kind.SYNC, Kind.RENAME)


class SmallBlobsTests(CrashCase):
    """What is different with small blobs in the database."""

    def test_commit(self) -> None:
        """The staging file of one that a single request brings is not there any more when it is recorded."""
        self.kill_everywhere("commit a blob", Kind.OPEN, Kind.WRITE, Kind.SYNC, Kind.UNLINK)

    def test_commit_small(self) -> None:
        """One that closes a session has no file: it is in the database with its bytes, or it is nowhere."""
        self.kill_everywhere("commit a small blob", Kind.WRITE, Kind.SYNC)
        self.assertEqual([], [step for step in self.steps("commit a small blob") if step.kind is Kind.OPEN])

    def test_v1(self) -> None:
        """So is the config of an image of v1."""
        self.kill_everywhere("push an image of v1", Kind.WRITE, Kind.SYNC)
