"""The contract of :class:`~dockreg.interfaces_people.IAttemptStore`."""

from zope.interface.verify import verifyObject

from dockreg.interfaces_people import IAttemptStore
from dockreg.model.attempts import Count, Limit
from dockreg.testing.contracts_auth import ContractCase

A, B, C = b"a" * 32, b"\x00" * 32, b"\xff\x00c"
THREE = Limit(free=3, first_seconds=1.5, most_seconds=8, forget_seconds=100)
ONE = Limit(free=1, first_seconds=10, most_seconds=40, forget_seconds=50)


class AttemptStoreContract(ContractCase):
    """What every IAttemptStore promises."""

    def make_attempt_store(self) -> IAttemptStore:
        """An empty one."""
        raise NotImplementedError

    def setUp(self) -> None:
        """One store for each test."""
        self.store = self.make_attempt_store()

    def fail_often(self, times: int, now: float = 1000.0) -> None:
        """Failures of one key at one time."""
        for _ in range(times):
            self.now(self.store.fail({A: THREE}, now))

    def test_interface(self) -> None:
        """The provider has all that IAttemptStore declares."""
        verifyObject(IAttemptStore, self.store)

    def test_nothing(self) -> None:
        """Where nothing is counted nothing is found, and nobody waits."""
        self.assertEqual({}, dict(self.now(self.store.find((A, B, b"")))))
        self.assertEqual(0, self.now(self.store.begin({A: THREE}, 1000.0)))
        self.assertEqual({}, dict(self.now(self.store.find((A,)))))

    def test_fail(self) -> None:
        """Failures are counted under each of the keys, by its own limit."""
        self.now(self.store.fail({A: THREE}, 1000.0))
        self.now(self.store.fail({A: THREE, B: ONE, C: THREE}, 1000.5))
        counts = {A: Count(2, 1000.5), B: Count(1, 1000.5, 1010.5), C: Count(1, 1000.5)}
        self.assertEqual(counts, dict(self.now(self.store.find((A, B, C)))))
        self.assertEqual({B: counts[B]}, dict(self.now(self.store.find((B, b"b")))))

    def test_begin(self) -> None:
        """When no attempt is free one is let through, and makes the next one wait as long as a failure would."""
        self.fail_often(3)
        self.assertEqual(1.5, self.now(self.store.begin({A: THREE}, 1000.0)))
        self.assertEqual(0.5, self.now(self.store.begin({A: THREE, B: ONE}, 1001.0)))
        for expected in (0.0, 1.5, 1.5):
            self.assertEqual(expected, self.now(self.store.begin({A: THREE}, 1001.5)))
        self.fail_often(1, 1001.5)
        self.assertEqual(3.0, self.now(self.store.begin({A: THREE}, 1001.5)))

    def test_begin_with_many(self) -> None:
        """The longest wait counts; who has to wait for one key makes nobody wait for another."""
        self.fail_often(3)
        self.now(self.store.fail({B: ONE}, 1000.0))
        self.assertEqual(10, self.now(self.store.begin({A: THREE, B: ONE}, 1000.0)))
        self.assertEqual(8, self.now(self.store.begin({A: THREE, B: ONE}, 1002.0)))
        self.assertEqual(0, self.now(self.store.begin({A: THREE}, 1002.0)))

    def test_succeed(self) -> None:
        """A login makes up for failures; what comes after does not make it forgotten."""
        self.fail_often(3)
        self.now(self.store.succeed(A, 1000.25, 2000.0))
        self.now(self.store.succeed(C, 1000.5, 2000.0))
        self.assertEqual(
            {A: Count(trusted_at=1000.25), C: Count(trusted_at=1000.5)}, dict(self.now(self.store.find((A, C))))
        )
        self.fail_often(1, 1001.0)
        self.now(self.store.expire(1500.0, 100))
        self.assertEqual(1000.25, self.now(self.store.find((A,)))[A].trusted_at)

    def test_expire(self) -> None:
        """What is over is dropped: failures when they are to be forgotten, a login at the moment that was told."""
        self.fail_often(1)
        self.now(self.store.fail({B: ONE}, 1000.0))
        self.now(self.store.succeed(C, 1000.0, 1060.0))
        for moment, left in ((1049.5, {A, B, C}), (1050.0, {A, C}), (1060.0, {A}), (1100.0, set[bytes]())):
            self.now(self.store.expire(moment, 100))
            self.assertEqual(left, set(self.now(self.store.find((A, B, C)))))

    def test_most(self) -> None:
        """When there is too much, what would be over first goes first."""
        keys = tuple(bytes([number]) * 32 for number in range(20))
        for number, key in enumerate(keys):
            self.now(self.store.fail({key: THREE}, 1000.0 + 7 * number % 20))
        self.now(self.store.succeed(A, 900.0, 5000.0))
        self.now(self.store.expire(1001.0, 6))
        left = {1000.0 + 7 * number % 20 for number, key in enumerate(keys) if key in self.now(self.store.find(keys))}
        self.assertEqual({1015.0, 1016.0, 1017.0, 1018.0, 1019.0}, left)
        self.assertIn(A, self.now(self.store.find((A,))))
        self.now(self.store.expire(1001.0, 0))
        self.assertEqual({}, dict(self.now(self.store.find((A, *keys)))))
