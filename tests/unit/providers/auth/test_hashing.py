"""Tests of :mod:`dockreg.providers.auth.hashing`."""

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred

from dockreg.config import read_config
from dockreg.errors import Busy
from dockreg.identity import make_hasher
from dockreg.interfaces_access import IPasswordHasher
from dockreg.providers.auth.hashing import PasswordHasher
from dockreg.providers.auth.turns import Turns
from dockreg.testing import contracts_auth
from tests.passwords import CHEAP
from tests.unit.providers.auth.support import Threads, cheap_hasher


class PasswordHasherTests(contracts_auth.PasswordHasherContract):
    def make_password_hasher(self) -> IPasswordHasher:
        return cheap_hasher()

    def test_parameters(self) -> None:
        """The hashes that are stored are argon2id with the parameters of RFC 9106 section 4 for little memory."""
        for hasher in (PasswordHasher(Turns(maybeDeferred)), make_hasher(read_config(""), maybeDeferred)):
            stored = self.now(hasher.hash(b"secret"))
            self.assertEqual("$argon2id$v=19$m=65536,t=3,p=4$", stored[: stored.index("p=4$") + 4])


class QueueTests(contracts_auth.ContractCase):
    def setUp(self) -> None:
        self.threads = Threads()
        self.hasher = PasswordHasher(Turns(self.threads, at_once=2, queue=3), cost=CHEAP)
        # What a test leaves waiting must not wake up when it is collected as garbage during another test.
        self.addCleanup(self.threads.finish_all)

    def start(self) -> "Deferred[str]":
        return Deferred.fromCoroutine(self.hasher.hash(b"secret"))

    def test_few_at_once(self) -> None:
        """No more than the allowed number runs at a time; the others follow in the order in which they came."""
        jobs = [self.start() for _ in range(5)]
        self.assertEqual((2, 2), (self.threads.running, self.threads.started))
        for finished in range(1, 6):
            self.threads.finish_one()
            self.assertEqual(min(2, 5 - finished), self.threads.running)
            self.assertEqual([number < finished for number in range(5)], [job.called for job in jobs])
        for job in jobs:
            self.successResultOf(job)

    def test_busy(self) -> None:
        """When the queue is full, the next is told to come back, for each of the three questions."""
        jobs = [self.start() for _ in range(5)]
        for question in (self.hasher.hash(b"x"), self.hasher.verify("", b"x"), self.hasher.verify_nobody(b"x")):
            error = self.fails(Busy, question)
            assert isinstance(error, Busy)
            self.assertGreater(error.retry_after, 0)
        self.threads.finish_one()
        self.successResultOf(jobs[0])
        self.assertNoResult(self.start())

    def test_gives_up_its_place(self) -> None:
        """Who goes away while waiting makes room in the queue, and is never hashed for."""
        jobs = [self.start() for _ in range(5)]
        jobs[3].cancel()
        self.failureResultOf(jobs[3], CancelledError)
        jobs.append(self.start())
        self.threads.finish_all()
        self.assertEqual(5, self.threads.started)
        for number in (0, 1, 2, 4, 5):
            self.successResultOf(jobs[number])

    def test_counts_until_its_end(self) -> None:
        """Who goes away while hashing does not free the place: the thread is still at work."""
        jobs = [self.start() for _ in range(3)]
        jobs[0].cancel()
        self.failureResultOf(jobs[0], CancelledError)
        self.assertEqual(2, self.threads.started)
        self.threads.finish_one()
        self.assertEqual(3, self.threads.started)
        self.threads.finish_one()
        self.threads.finish_one()
        self.successResultOf(jobs[2])

    def test_trouble(self) -> None:
        """An error in the thread reaches who asked, and frees the place."""
        broken = Deferred.fromCoroutine(self.hasher.verify(None, b"secret"))  # type: ignore[arg-type]  # breaks in the thread
        other, waiting = self.start(), self.start()
        self.threads.finish_one()
        self.failureResultOf(broken, AttributeError, TypeError)
        self.threads.finish_one()
        self.threads.finish_one()
        self.successResultOf(other)
        self.successResultOf(waiting)
        self.assertNoResult(self.start())
        self.assertEqual(1, self.threads.running)

    def test_nobody_costs_the_same(self) -> None:
        """A name that is unknown takes one turn of the same work as one that is known."""
        nobody = Deferred.fromCoroutine(self.hasher.verify_nobody(b"secret"))
        self.assertEqual(1, self.threads.running)
        self.threads.finish_one()
        self.successResultOf(nobody)
        self.assertEqual(1, self.threads.started)
