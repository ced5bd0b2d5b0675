"""Tests of :mod:`dockreg.attempts`."""

from collections.abc import Coroutine, Mapping
from typing import Any

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from dockreg import attempts
from dockreg.attempts import AttemptLimits, Attempts
from dockreg.errors_access import TooManyAttempts
from dockreg.interfaces_people import IAttemptStore
from dockreg.model.attempts import Count, Limit
from dockreg.model.networks import NO_ADDRESS, Networks
from dockreg.providers.attempts import MemoryAttemptStore

HOME, ELSEWHERE = "192.0.2.1", "198.51.100.7"
LIMITS = AttemptLimits(
    per_client=3,
    per_account=6,
    per_address=6,
    registrations=2,
    first_seconds=1,
    most_seconds=8,
    forget_seconds=100,
    trust_seconds=1000,
)


def _retry_after(refused: Failure) -> int:
    assert isinstance(refused.value, TooManyAttempts), refused
    return refused.value.retry_after


@implementer(IAttemptStore)
@define
class CountedStore:
    """A store that knows what it was asked."""

    store: IAttemptStore
    asked: list[str] = field(factory=list)

    async def find(self, keys: tuple[bytes, ...]) -> Mapping[bytes, Count]:
        self.asked.append("find")
        return await self.store.find(keys)

    async def begin(self, limits: Mapping[bytes, Limit], now: float) -> float:
        self.asked.append("begin")
        return await self.store.begin(limits, now)

    async def fail(self, limits: Mapping[bytes, Limit], now: float) -> None:
        self.asked.append("fail")
        await self.store.fail(limits, now)

    async def succeed(self, key: bytes, now: float, until: float) -> None:
        self.asked.append("succeed")
        await self.store.succeed(key, now, until)

    async def expire(self, now: float, most: int) -> None:
        await self.store.expire(now, most)


class AttemptsCase(SynchronousTestCase):
    """A test of one process, or of several that share a store."""

    workers = 1

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_400_000_000)
        self.begin()

    def begin(self, limits: AttemptLimits = LIMITS, *exempt: str) -> None:
        """Begin anew, with nothing counted."""
        self.store = CountedStore(MemoryAttemptStore())
        self.processes = [Attempts(limits, self.clock, self.store, Networks.parse(exempt)) for _ in range(self.workers)]

    @property
    def attempts(self) -> Attempts:
        """Of the process that has the latest request."""
        return self.processes[0]

    def now(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What comes of ``work``, which does not wait."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def wait(self, account: str = "anna", address: str = HOME) -> int:
        """How long an attempt is told to wait; 0 when it is let through. Processes take turns."""
        self.processes.append(self.processes.pop(0))
        asking = Deferred.fromCoroutine(self.attempts.begin(account, address))
        return self.successResultOf(asking.addCallbacks(lambda _: 0, _retry_after))

    def miss(self, account: str = "anna", address: str = HOME, times: int = 1) -> None:
        """Attempts that are let through, and fail."""
        for _ in range(times):
            self.assertEqual(0, self.wait(account, address))
            self.now(self.attempts.failed(account, address))

    def succeed(self, account: str = "anna", address: str = HOME) -> None:
        self.assertEqual(0, self.wait(account, address))
        self.now(self.attempts.succeeded(account, address))

    def register(self, account: str, address: str) -> None:
        """Ask for an account; processes take turns."""
        self.processes.append(self.processes.pop(0))
        self.now(self.attempts.register(account, address))


class AttemptsTests(AttemptsCase):
    """One process."""

    def test_first_are_free(self) -> None:
        """As many failures as the limit says cost nothing; the next attempt waits."""
        self.miss(times=2)
        self.assertEqual(0, self.wait())
        self.now(self.attempts.failed("anna", HOME))
        self.assertEqual(1, self.wait())

    def test_doubling(self) -> None:
        """Each failure doubles the wait, up to the most; refused attempts do not lengthen it."""
        self.miss(times=3)
        for expected in (1, 2, 4, 8, 8, 8):
            self.assertEqual([expected] * 3, [self.wait() for _ in range(3)])
            self.clock.advance(expected)
            self.miss()

    def test_one_at_a_time(self) -> None:
        """When no attempt is free, one is let through after the wait, not several at once."""
        self.miss(times=3)
        self.clock.advance(1)
        self.assertEqual([0, 1, 1], [self.wait() for _ in range(3)])

    def test_success(self) -> None:
        """A right password ends the wait of this client."""
        self.miss(times=3)
        self.clock.advance(1)
        self.succeed()
        self.miss(times=3)
        self.assertEqual(1, self.wait())

    def test_account(self) -> None:
        """Failures from many addresses slow the account, wherever the next one comes from; other accounts are free."""
        for number in range(3):
            self.miss(address=f"192.0.2.{number}", times=2)
        self.assertEqual(1, self.wait(address=ELSEWHERE))
        self.assertEqual(0, self.wait("berta", ELSEWHERE))

    def test_address(self) -> None:
        """Failures with many names slow the address, whatever the next name is; other addresses are free."""
        for number in range(3):
            self.miss(f"user{number}", times=2)
        self.assertEqual(1, self.wait("other"))
        self.assertEqual(0, self.wait("other", ELSEWHERE))

    def test_no_lockout(self) -> None:
        """A client that logged in lately is slowed neither by what others do with its account, nor at its address."""
        self.succeed()
        for number in range(3):
            self.miss(address=f"198.51.100.{number}", times=2)
        for number in range(3):
            self.miss(f"user{number}", times=2)
        self.assertEqual([1, 1], [self.wait(address=ELSEWHERE), self.wait("other")])
        self.assertEqual(0, self.wait())

    def test_own_failures_do_not_spread(self) -> None:
        """The failures of such a client are its own: they slow no other."""
        self.succeed()
        for _ in range(10):
            self.clock.advance(max(self.wait(), 8))
            self.now(self.attempts.failed("anna", HOME))
        self.assertEqual(8, self.wait())
        self.assertEqual([0, 0], [self.wait(address=ELSEWHERE), self.wait("berta")])

    def test_own_account_is_no_help(self) -> None:
        """Who guesses passwords gains nothing by logging in with his own in between."""
        for number in range(3):
            self.succeed("mallory")
            self.miss(f"user{number}", times=2)
        self.succeed("mallory")
        self.assertEqual(1, self.wait("other"))

    def test_trust_ends(self) -> None:
        """A client is known for a time after its last login."""
        self.succeed()
        self.clock.advance(999.5)
        for number in range(3):
            self.miss(address=f"198.51.100.{number}", times=2)
        self.assertEqual(0, self.wait())
        self.clock.advance(0.5)
        self.assertEqual(1, self.wait())

    def test_forgotten(self) -> None:
        """Failures are forgotten when there were none for a time; until then they count."""
        self.miss(times=3)
        self.clock.advance(99)
        self.miss()
        self.assertEqual(2, self.wait())
        self.clock.advance(100)
        self.miss(times=2)
        self.assertEqual(0, self.wait())

    def test_spellings(self) -> None:
        """No spelling that a directory may take for the same name gets attempts of its own."""
        for name in ("anna", "ANNA", " Anna"):
            self.miss(name)
        self.assertEqual([1, 1], [self.wait("an na"), self.wait("\uff41nna")])

    def test_networks(self) -> None:
        """The addresses that an IPv6 host can choose from are one, and so are the two ways to write an IPv4 address."""
        for number in range(3):
            self.miss(address=f"2001:db8::{number}")
        self.assertEqual(1, self.wait(address="2001:db8::ffff"))
        self.assertEqual(0, self.wait(address="2001:db8:0:1::1"))
        self.miss("berta", HOME, times=3)
        self.assertEqual(1, self.wait("berta", f"::ffff:{HOME}"))

    def test_shared_addresses(self) -> None:
        """Where many clients are one address, only pairs and accounts count."""
        self.begin(LIMITS, "192.0.2.0/24")
        for place in (HOME, NO_ADDRESS):
            for number in range(10):
                self.miss(f"{place}{number}", place)
            self.assertEqual(0, self.wait("other", place))
        self.miss("anna", HOME, times=3)
        self.assertEqual(1, self.wait("anna", HOME))

    def test_off(self) -> None:
        """A limit of 0 is none."""
        self.begin(AttemptLimits(per_client=0, per_account=0, per_address=0, registrations=0))
        self.miss(times=200)
        for _ in range(100):
            self.register("anna", HOME)

    def test_registrations(self) -> None:
        """Attempts to register are counted by address, whatever comes of them."""
        for name in ("one", "two"):
            self.register(name, HOME)
        asking = Deferred.fromCoroutine(self.attempts.register("three", HOME))
        refused = self.failureResultOf(asking, TooManyAttempts).value
        self.assertEqual(1, refused.retry_after)
        self.register("three", ELSEWHERE)
        for _ in range(9):
            self.register("three", NO_ADDRESS)
        self.assertEqual(0, self.wait("three"))

    def test_registration_of_who_is_known(self) -> None:
        """An engine asks for its account with each login; where it logged in lately this is not counted."""
        self.succeed()
        for _ in range(10):
            self.register("anna", HOME)
        self.register("berta", HOME)

    def test_clock_set_back(self) -> None:
        """After the clock was set back nobody waits longer than the most."""
        self.miss(times=3)
        self.clock.rightNow -= 10_000
        self.assertLessEqual(self.wait(), 8)

    def test_bounded(self) -> None:
        """However many names and addresses are tried, what is kept is bounded; the oldest failures are forgotten first."""
        self.patch(attempts, "CAPACITY", 10)
        self.begin(AttemptLimits(per_client=3, per_account=0, per_address=0))
        self.succeed("known")
        for number in range(50):
            self.clock.advance(1)
            self.miss(f"user{number}", times=3)
        self.now(self.attempts.expire())
        self.assertEqual([0, 1], [self.wait("user0"), self.wait("user49")])
        self.patch(attempts, "CAPACITY", 0)
        self.now(self.attempts.expire())
        self.assertEqual(0, self.wait("user49"))

    def test_known_clients_cost_nothing(self) -> None:
        """Who logs in again and again is looked up once in a few seconds, and noted once in a while."""
        for _ in range(5):
            for _ in range(20 * self.workers):
                self.succeed()
            self.clock.advance(5)
        self.assertEqual(["succeed"], [each for each in self.store.asked if each != "find"])
        self.assertEqual(5 * self.workers, self.store.asked.count("find"))
        self.clock.advance(LIMITS.trust_seconds / 30)
        self.succeed()
        self.assertEqual("succeed", self.store.asked[-1])

    def test_failures_cost_one_write(self) -> None:
        """A failure is one write while attempts are free, and two when each has to be let through; a refusal none."""
        self.miss(times=3)
        self.assertEqual(3, self.store.asked.count("fail"))
        self.wait()
        self.wait()
        self.assertNotIn("begin", self.store.asked)
        self.clock.advance(1)
        self.miss()
        self.assertEqual((4, 1), (self.store.asked.count("fail"), self.store.asked.count("begin")))


class SharedAttemptsTests(AttemptsTests):
    """Three processes that take turns behave like one."""

    workers = 3


class PropertyTests(AttemptsCase):
    """Whatever comes."""

    @given(
        st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([HOME, ELSEWHERE]), st.integers(0, 20)), max_size=60)
    )
    def test_never_locked_out(self, steps: list[tuple[str, str, int]]) -> None:
        """Whatever others try, whoever comes after the longest wait is let through."""
        self.begin()
        for account, address, seconds in steps:
            self.clock.advance(seconds)
            if not self.wait(account, address):
                self.now(self.attempts.failed(account, address))
        self.clock.advance(LIMITS.most_seconds)
        self.assertEqual(0, self.wait("a", HOME))

    @given(st.text(), st.text())
    def test_any_text(self, account: str, address: str) -> None:
        """Whatever is sent for a name or address can be counted."""
        self.begin()
        self.miss(account, address)
        self.now(self.attempts.succeeded(account, address))
