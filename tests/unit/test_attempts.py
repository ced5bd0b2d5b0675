"""Tests of :mod:`dockreg.attempts`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dockreg import attempts
from dockreg.attempts import AttemptLimits, Attempts
from dockreg.errors_access import TooManyAttempts
from dockreg.model.networks import NO_ADDRESS, Networks

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


class AttemptsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_400_000_000)
        self.attempts = self.make()

    def make(self, limits: AttemptLimits = LIMITS, *exempt: str) -> Attempts:
        return Attempts(limits, self.clock, Networks.parse(exempt))

    def wait(self, account: str = "anna", address: str = HOME) -> int:
        """How long an attempt is told to wait; 0 when it is let through."""
        try:
            self.attempts.begin(account, address)
        except TooManyAttempts as refused:
            return refused.retry_after
        return 0

    def miss(self, account: str = "anna", address: str = HOME, times: int = 1) -> None:
        """Attempts that are let through, and fail."""
        for _ in range(times):
            self.assertEqual(0, self.wait(account, address))
            self.attempts.failed(account, address)

    def succeed(self, account: str = "anna", address: str = HOME) -> None:
        self.assertEqual(0, self.wait(account, address))
        self.attempts.succeeded(account, address)

    def test_first_are_free(self) -> None:
        """As many failures as the limit says cost nothing; the next attempt waits."""
        self.miss(times=2)
        self.assertEqual(0, self.wait())
        self.attempts.failed("anna", HOME)
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
            self.attempts.failed("anna", HOME)
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
        self.attempts = self.make(LIMITS, "192.0.2.0/24")
        for place in (HOME, NO_ADDRESS):
            for number in range(10):
                self.miss(f"{place}{number}", place)
            self.assertEqual(0, self.wait("other", place))
        self.miss("anna", HOME, times=3)
        self.assertEqual(1, self.wait("anna", HOME))

    def test_off(self) -> None:
        """A limit of 0 is none."""
        self.attempts = self.make(AttemptLimits(per_client=0, per_account=0, per_address=0, registrations=0))
        self.miss(times=200)
        for _ in range(100):
            self.attempts.register("anna", HOME)

    def test_registrations(self) -> None:
        """Attempts to register are counted by address, whatever comes of them."""
        for name in ("one", "two"):
            self.attempts.register(name, HOME)
        refused = self.assertRaises(TooManyAttempts, self.attempts.register, "three", HOME)
        self.assertEqual(1, refused.retry_after)
        self.attempts.register("three", ELSEWHERE)
        for _ in range(9):
            self.attempts.register("three", NO_ADDRESS)
        self.assertEqual(0, self.wait("three"))

    def test_registration_of_who_is_known(self) -> None:
        """An engine asks for its account with each login; where it logged in lately this is not counted."""
        self.succeed()
        for _ in range(10):
            self.attempts.register("anna", HOME)
        self.attempts.register("berta", HOME)

    def test_clock_set_back(self) -> None:
        """After the clock was set back nobody waits longer than the most."""
        self.miss(times=3)
        self.clock.rightNow -= 10_000
        self.assertLessEqual(self.wait(), 8)

    def test_memory(self) -> None:
        """However many names and addresses are tried, the memory is bounded; the oldest are forgotten first."""
        self.patch(attempts, "CAPACITY", 10)
        self.attempts = self.make(AttemptLimits(per_client=3, per_account=0, per_address=0))
        for number in range(50):
            self.miss(f"user{number}", times=3)
            self.succeed(f"other{number}")
        self.assertEqual([0, 1], [self.wait("user0"), self.wait("user49")])
        sizes = [len(self.attempts._trusted), len(self.attempts._pairs._counts)]
        self.assertEqual([10, 10], sizes)

    @given(
        st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([HOME, ELSEWHERE]), st.integers(0, 20)), max_size=60)
    )
    def test_never_locked_out(self, steps: list[tuple[str, str, int]]) -> None:
        """Whatever others try, whoever comes after the longest wait is let through."""
        self.attempts = self.make()
        for account, address, seconds in steps:
            self.clock.advance(seconds)
            if not self.wait(account, address):
                self.attempts.failed(account, address)
        self.clock.advance(LIMITS.most_seconds)
        self.assertEqual(0, self.wait("a", HOME))

    @given(st.text(), st.text())
    def test_any_text(self, account: str, address: str) -> None:
        """Whatever is sent for a name or address can be counted."""
        self.attempts = self.make()
        self.miss(account, address)
        self.attempts.succeeded(account, address)
