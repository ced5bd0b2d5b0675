"""Tests of :mod:`dockreg.providers.attempts`; the promises of a store are in tests.unit.providers.auth.test_stores."""

from collections.abc import Mapping
from typing import Any

from attrs import define
from twisted.logger import capturedLogs
from zope.interface import implementer

from dockreg.errors import StorageFull, StoreUnavailable
from dockreg.interfaces_people import IAttemptStore
from dockreg.model.attempts import Count, Limit
from dockreg.providers import attempts
from dockreg.providers.attempts import MemoryAttemptStore, SharedAttempts
from dockreg.testing import contracts_attempts
from dockreg.testing.contracts_auth import ContractCase

A, B = b"a" * 32, b"b" * 32
LIMIT = Limit(free=2, first_seconds=10.0, most_seconds=60.0, forget_seconds=600.0)


@implementer(IAttemptStore)
@define(eq=False)
class Failing:
    """A store that does not answer while it has a ``problem``."""

    store: IAttemptStore
    problem: Exception | None = None
    finds: bool = True

    async def find(self, keys: tuple[bytes, ...]) -> Mapping[bytes, Count]:
        if not self.finds:
            self._may()
        return await self.store.find(keys)

    async def begin(self, limits: Mapping[bytes, Limit], now: float) -> float:
        self._may()
        return await self.store.begin(limits, now)

    async def fail(self, limits: Mapping[bytes, Limit], now: float) -> None:
        self._may()
        await self.store.fail(limits, now)

    async def succeed(self, key: bytes, now: float, until: float) -> None:
        self._may()
        await self.store.succeed(key, now, until)

    async def expire(self, now: float, most: int) -> None:
        await self.store.expire(now, most)

    def _may(self) -> None:
        if self.problem is not None:
            raise self.problem


class SharedAttemptsContractTests(contracts_attempts.AttemptStoreContract):
    """Where nothing can be written all promises are kept by one process."""

    def make_attempt_store(self) -> IAttemptStore:
        return SharedAttempts(Failing(MemoryAttemptStore(), StorageFull()))


class SharedAttemptsTests(ContractCase):
    def setUp(self) -> None:
        self.failing = Failing(MemoryAttemptStore())
        self.store = SharedAttempts(self.failing)

    def failures(self, key: bytes = A) -> Any:
        return self.now(self.store.find((key,))).get(key, Count()).failures

    def test_broken(self) -> None:
        """While the shared store does not answer failures count here; it is told, and nobody sees an error."""
        for finds, problem in ((True, StorageFull()), (False, StoreUnavailable("no"))):
            self.setUp()
            self.failing.problem, self.failing.finds = problem, finds
            with capturedLogs() as logs:
                for _ in range(2):
                    self.assertEqual(0, self.now(self.store.begin({A: LIMIT}, 1000.0)))
                    self.now(self.store.fail({A: LIMIT}, 1000.0))
            self.assertTrue(logs)
            self.assertGreaterEqual(self.failures(), 2)
            self.assertGreater(self.now(self.store.begin({A: LIMIT}, 1000.0)), 0)
            self.now(self.store.succeed(A, 1000.0, 2000.0))
            self.assertEqual(0, self.failures())

    def test_stricter(self) -> None:
        """What both have counted is not forgotten when the shared store answers again; that which waits longer counts."""
        self.now(self.store.fail({A: LIMIT, B: LIMIT}, 1000.0))
        self.failing.problem = StorageFull()
        for _ in range(3):
            self.now(self.store.fail({A: LIMIT}, 1001.0))
        self.failing.problem = None
        self.assertEqual((3, 1), (self.failures(), self.failures(B)))
        self.assertEqual(20.0, self.now(self.store.begin({A: LIMIT}, 1001.0)))
        self.now(self.store.succeed(A, 1002.0, 2000.0))
        self.assertEqual((0, 1), (self.failures(), self.failures(B)))


class BoundTests(ContractCase):
    def test_memory(self) -> None:
        """However much is counted, the memory is bounded; what was counted first is forgotten first."""
        self.patch(attempts, "_CAPACITY", 3)
        store = MemoryAttemptStore()
        for number in range(5):
            self.now(store.fail({bytes([number]): LIMIT}, 1000.0))
        self.assertEqual({b"\2", b"\3", b"\4"}, set(self.now(store.find(tuple(bytes([each]) for each in range(5))))))
