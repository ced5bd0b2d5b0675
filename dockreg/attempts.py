"""
Failed attempts to log in, and how long to wait after them.

Failures are counted for the pair of an account and an address, for the account, and for the address. The first ones are
free; after that each makes the next attempt wait, twice as long as the one before, up to a limit. Who has to wait is
refused before a password is looked at, and learns nothing about it.

Nobody is locked out by what others do. An address from which the account has logged in lately is asked about this pair
only: failures at other addresses, and with other accounts, do not count there. A wait ends by itself, attempts that are
refused do not lengthen it, and the counts are forgotten after a time without failures.

All processes count together, in a store. That nothing is counted under a key is believed for a few seconds, so that who
logs in again and again is not looked up each time; a process may let one attempt too many through for that. A login is
noted once in a while only.
"""

import hashlib
import math
import unicodedata
from collections import OrderedDict
from collections.abc import Mapping
from typing import TypeGuard, TypeVar

from attrs import Factory, define, field, frozen
from twisted.internet.interfaces import IReactorTime

from dockreg.errors_access import TooManyAttempts
from dockreg.interfaces_people import IAttemptStore
from dockreg.model.attempts import Count, Limit
from dockreg.model.networks import NO_ADDRESS, Networks, neighbourhood
from dockreg.shield import detached, shielded

K = TypeVar("K")
V = TypeVar("V")

#: Counts that are stored at most, and keys without failures that this process knows.
CAPACITY = 100_000
_MOST_CLEAR = 20_000
#: How long it is believed that nothing is counted under a key.
_CLEAR_SECONDS = 5.0
#: A login is noted again after this part of the time for which it is known.
_NOTE_PART = 30


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

    def of(self, free: int) -> Limit:
        """The limit after so many failures."""
        return Limit(free, self.first_seconds, self.most_seconds, self.forget_seconds)


@frozen
class _Keys:
    """What an attempt is counted under, without counts that do not matter."""

    pair: bytes
    own: Mapping[bytes, Limit]
    shared: Mapping[bytes, Limit]

    @property
    def all(self) -> Mapping[bytes, Limit]:
        """Those of the pair, and those of others too."""
        return {**self.own, **self.shared}


@define(eq=False)
class Attempts:
    """
    Says who has to wait.

    :param exempt: addresses of proxies, where many clients are one.
    """

    _limits: AttemptLimits
    _clock: IReactorTime
    _store: IAttemptStore
    _exempt: Networks = field(factory=Networks)
    # When a key was seen without failures, and what was known of it then.
    _clear: OrderedDict[bytes, tuple[float, Count]] = field(init=False, default=Factory(OrderedDict))
    # The same of clients that have just logged in, by account and address: most requests are theirs.
    _let_in: OrderedDict[tuple[str, str], float] = field(init=False, default=Factory(OrderedDict))

    async def begin(self, account: str, address: str) -> None:
        """
        Somebody at ``address`` is about to show what may be the password of ``account``.

        :raises TooManyAttempts: not yet; nothing is to be looked at.
        """
        if self.has_just_been_let_in(account, address):
            return
        keys = self._keys(account, address)
        counts = await self._counts((keys.pair, *keys.shared))
        await self._begin(keys.own if self._trusts(counts.get(keys.pair)) else keys.all, counts)

    async def failed(self, account: str, address: str) -> None:
        """It was not; or there is no such account, which has to look the same."""
        self._let_in.pop((account, address), None)
        await shielded(self._failed(self._keys(account, address)))

    async def succeeded(self, account: str, address: str) -> None:
        """It was."""
        if self.has_just_been_let_in(account, address):
            return
        pair, now = self._keys(account, address).pair, self._clock.seconds()
        clear = self._clear.get(pair)
        noted = None if clear is None else clear[1].trusted_at
        if noted is None or abs(now - noted) >= self._limits.trust_seconds / _NOTE_PART:
            noting = self._store.succeed(pair, now, now + self._limits.trust_seconds)
            if clear is None:
                # Failures that are not made up for yet would make the next one wait.
                await shielded(noting)
            else:
                detached(noting)
            self._keep_clear(pair, Count(trusted_at=now))
        _keep(self._let_in, (account, address), self._clear[pair][0])

    async def register(self, account: str, address: str) -> None:
        """
        Somebody at ``address`` asks for an account of this name; whoever logged in from there lately only asks again.

        :raises TooManyAttempts: not yet.
        """
        free = self._limits.registrations
        if not free or address == NO_ADDRESS or address in self._exempt:
            return
        pair, place = self._keys(account, address).pair, _key("registrations", address)
        counts = await self._counts((pair, place))
        if self._trusts(counts.get(pair)):
            return
        limits = {place: self._limits.of(free)}
        await self._begin(limits, counts)
        self._clear.pop(place, None)
        await shielded(self._store.fail(limits, self._clock.seconds()))

    async def expire(self) -> None:
        """Forget what is over, and more when there is too much of it."""
        await self._store.expire(self._clock.seconds(), CAPACITY)

    async def _begin(self, limits: Mapping[bytes, Limit], counts: Mapping[bytes, Count]) -> None:
        now = self._clock.seconds()
        known = {key: limit for key, limit in limits.items() if key in counts}
        wait = max((counts[key].wait(limit, now) for key, limit in known.items()), default=0.0)
        if not wait and any(counts[key].is_exhausted(limit, now) for key, limit in known.items()):
            # Several may have come this far.
            wait = await shielded(self._store.begin(limits, now))
        if wait > 0:
            seconds = math.ceil(wait)
            raise TooManyAttempts(f"too many attempts failed here; try again in {seconds} seconds", seconds)

    async def _failed(self, keys: _Keys) -> None:
        counts = {} if not keys.shared else await self._store.find((keys.pair,))
        limits = keys.own if self._trusts(counts.get(keys.pair)) else keys.all
        for key in limits:
            self._clear.pop(key, None)
        if limits:
            await self._store.fail(limits, self._clock.seconds())

    async def _counts(self, keys: tuple[bytes, ...]) -> Mapping[bytes, Count]:
        """What is counted under these keys; nobody is asked where all were seen without failures just now."""
        now = self._clock.seconds()
        known = [self._clear.get(key) for key in keys]
        # The pair comes first; where that is trusted the others do not matter.
        if _is_clear(known[0], now) and (self._trusts(known[0][1]) or all(_is_clear(each, now) for each in known)):
            return {keys[0]: known[0][1]}
        found = await self._store.find(keys)
        for key in keys:
            count = found.get(key, Count())
            if count.failures:
                self._clear.pop(key, None)
            else:
                self._keep_clear(key, count)
        return found

    def _keep_clear(self, key: bytes, count: Count) -> None:
        _keep(self._clear, key, (self._clock.seconds(), count))

    def has_just_been_let_in(self, account: str, address: str) -> bool:
        """Whether :meth:`begin` and :meth:`succeeded` would do nothing now: who shows the same password again is not counted."""
        since = self._let_in.get((account, address))
        return since is not None and 0 <= self._clock.seconds() - since < _CLEAR_SECONDS

    def _keys(self, account: str, address: str) -> _Keys:
        limits = self._limits
        pair = _key("client", address, account)
        shared = {_key("account", "", account): limits.per_account}
        if address != NO_ADDRESS and address not in self._exempt:
            shared[_key("address", address)] = limits.per_address
        return _Keys(
            pair,
            {pair: limits.of(limits.per_client)} if limits.per_client else {},
            {key: limits.of(free) for key, free in shared.items() if free},
        )

    def _trusts(self, count: Count | None) -> bool:
        since = None if count is None else count.trusted_at
        return since is not None and abs(self._clock.seconds() - since) < self._limits.trust_seconds


def _keep(known: OrderedDict[K, V], key: K, value: V) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > _MOST_CLEAR:
        known.popitem(last=False)


def _is_clear(seen: tuple[float, Count] | None, now: float) -> TypeGuard[tuple[float, Count]]:
    return seen is not None and 0 <= now - seen[0] < _CLEAR_SECONDS


def _key(kind: str, address: str, account: str = "") -> bytes:
    # However a directory compares names: no spelling of one gets attempts of its own. Of a fixed size, whatever is sent.
    name = "".join(unicodedata.normalize("NFKC", account).casefold().split())
    place = neighbourhood(address) if address else ""
    return hashlib.sha256(f"{kind}\0{place}\0{name}".encode("utf-8", "surrogatepass")).digest()
