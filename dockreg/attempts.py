"""
Failed attempts to log in, and how long to wait after them.

Failures are counted for the pair of an account and an address, for the account, and for the address. The first ones are
free; after that each makes the next attempt wait, twice as long as the one before, up to a limit. Who has to wait is
refused before a password is looked at, and learns nothing about it.

Nobody is locked out by what others do. An address from which the account has logged in lately is asked about this pair
only: failures at other addresses, and with other accounts, do not count there. A wait ends by itself, attempts that are
refused do not lengthen it, and the counts are forgotten after a time without failures.

What is counted is in the memory of this process, which is bounded, and gone when it ends: several processes count each
for itself, so that together they allow so many times more.
"""

import hashlib
import math
import unicodedata
from collections import OrderedDict
from collections.abc import Iterator

from attrs import Factory, define, field, frozen
from twisted.internet.interfaces import IReactorTime

from dockreg.errors_access import TooManyAttempts
from dockreg.model.networks import NO_ADDRESS, Networks, neighbourhood

#: Counts and pairs that are kept at most, of each kind.
CAPACITY = 20_000


@frozen
class AttemptLimits:
    """
    How many failures are free, and what comes after; 0 for a count that does not matter.

    ``registrations`` are attempts to make an account, at one address.
    """

    per_client: int = 5
    per_account: int = 50
    per_address: int = 50
    registrations: int = 20
    first_seconds: float = 1.0
    most_seconds: float = 300.0
    forget_seconds: float = 3600.0
    trust_seconds: float = 30 * 86400.0


@define(eq=False)
class _Count:
    """Failures, the time of the last one, and when the next attempt may be made."""

    failures: int = 0
    last: float = 0.0
    until: float = 0.0


@define(eq=False)
class _Counts:
    """Counts by what they are of; those that did not change for the longest time go first when there are too many."""

    free: int
    limits: AttemptLimits
    _counts: OrderedDict[bytes, _Count] = field(init=False, default=Factory(OrderedDict))

    def wait(self, key: bytes, now: float) -> float:
        """How long it is until the next attempt."""
        count = self._counts.get(key)
        if count is None:
            return 0.0
        # A clock that was set back makes nobody wait longer than the limit.
        if not 0 <= now - count.last < self.limits.forget_seconds:
            del self._counts[key]
            return 0.0
        return max(0.0, count.until - now)

    def begin(self, key: bytes, now: float) -> None:
        """An attempt is made; of several at once, one is enough when none is free."""
        count = self._counts.get(key)
        if count is not None and count.failures >= self.free:
            count.until = now + self._delay(count)

    def fail(self, key: bytes, now: float) -> None:
        """It failed."""
        if not self.free:
            return
        count = self._counts.setdefault(key, _Count())
        self._counts.move_to_end(key)
        count.failures += 1
        count.last = now
        if count.failures >= self.free:
            count.until = max(count.until, now + self._delay(count))
        while len(self._counts) > CAPACITY:
            self._counts.popitem(last=False)

    def forget(self, key: bytes) -> None:
        """There was a success, which makes up for all failures."""
        self._counts.pop(key, None)

    def _delay(self, count: _Count) -> float:
        doublings = min(count.failures - self.free, 64)
        return min(self.limits.first_seconds * 2.0**doublings, self.limits.most_seconds)


@define(eq=False)
class Attempts:
    """
    Says who has to wait.

    :param exempt: addresses of proxies, where many clients are one.
    """

    _limits: AttemptLimits
    _clock: IReactorTime
    _exempt: Networks = field(factory=Networks)
    _pairs: _Counts = field(init=False)
    _accounts: _Counts = field(init=False)
    _addresses: _Counts = field(init=False)
    _registrations: _Counts = field(init=False)
    _trusted: OrderedDict[bytes, float] = field(init=False, default=Factory(OrderedDict))

    def __attrs_post_init__(self) -> None:
        limits = self._limits
        self._pairs = _Counts(limits.per_client, limits)
        self._accounts = _Counts(limits.per_account, limits)
        self._addresses = _Counts(limits.per_address, limits)
        self._registrations = _Counts(limits.registrations, limits)

    def begin(self, account: str, address: str) -> None:
        """
        Somebody at ``address`` is about to show what may be the password of ``account``.

        :raises TooManyAttempts: not yet; nothing is to be looked at.
        """
        self._begin([*self._counted(account, address)])

    def failed(self, account: str, address: str) -> None:
        """It was not; or there is no such account, which has to look the same."""
        now = self._clock.seconds()
        for counts, key in self._counted(account, address):
            counts.fail(key, now)

    def succeeded(self, account: str, address: str) -> None:
        """It was."""
        pair = _key(account, address)
        self._pairs.forget(pair)
        self._trusted[pair] = self._clock.seconds()
        self._trusted.move_to_end(pair)
        if len(self._trusted) > CAPACITY:
            self._trusted.popitem(last=False)

    def register(self, account: str, address: str) -> None:
        """
        Somebody at ``address`` asks for an account of this name; whoever logged in from there lately only asks again.

        :raises TooManyAttempts: not yet.
        """
        if address == NO_ADDRESS or address in self._exempt or self._trusts(_key(account, address)):
            return
        self._begin([(self._registrations, _place(address))])
        self._registrations.fail(_place(address), self._clock.seconds())

    def _begin(self, counted: list[tuple[_Counts, bytes]]) -> None:
        now = self._clock.seconds()
        wait = max(counts.wait(key, now) for counts, key in counted)
        if wait > 0:
            seconds = math.ceil(wait)
            raise TooManyAttempts(f"too many attempts failed here; try again in {seconds} seconds", seconds)
        for counts, key in counted:
            counts.begin(key, now)

    def _counted(self, account: str, address: str) -> Iterator[tuple[_Counts, bytes]]:
        pair = _key(account, address)
        yield self._pairs, pair
        if self._trusts(pair):
            return
        yield self._accounts, _key(account, "")
        if address != NO_ADDRESS and address not in self._exempt:
            yield self._addresses, _place(address)

    def _trusts(self, pair: bytes) -> bool:
        since = self._trusted.get(pair)
        return since is not None and abs(self._clock.seconds() - since) < self._limits.trust_seconds


def _key(account: str, address: str) -> bytes:
    # However a directory compares names: no spelling of one gets attempts of its own. Of a fixed size, whatever is sent.
    name = "".join(unicodedata.normalize("NFKC", account).casefold().split())
    return hashlib.sha256(f"{neighbourhood(address)}\0{name}".encode("utf-8", "surrogatepass")).digest()


def _place(address: str) -> bytes:
    return neighbourhood(address).encode("ascii", "replace")
