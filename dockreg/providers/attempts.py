"""Failed attempts in the memory of this process: all of them, or those that the shared store can not take now."""

from collections import OrderedDict
from collections.abc import Mapping

from attrs import Factory, define, field
from twisted.logger import Logger
from zope.interface import implementer

from dockreg.errors import StorageFull, StoreUnavailable
from dockreg.interfaces_people import IAttemptStore
from dockreg.model.attempts import Count, Limit

log = Logger()

#: What is kept at most; what did not change for the longest time goes first.
_CAPACITY = 20_000


@implementer(IAttemptStore)
@define(eq=False)
class MemoryAttemptStore:
    """Bounded, and gone with the process."""

    _counts: OrderedDict[bytes, tuple[Count, float]] = field(init=False, default=Factory(OrderedDict))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is counted."""
        return not self._counts

    async def find(self, keys: tuple[bytes, ...]) -> Mapping[bytes, Count]:
        """See :meth:`.IAttemptStore.find`."""
        return {key: self._counts[key][0] for key in keys if key in self._counts}

    async def begin(self, limits: Mapping[bytes, Limit], now: float) -> float:
        """See :meth:`.IAttemptStore.begin`."""
        known = {key: self._counts[key] for key in limits if key in self._counts}
        wait = max((count.wait(limits[key], now) for key, (count, _) in known.items()), default=0.0)
        if not wait:
            for key, (count, ends) in known.items():
                self._counts[key] = (count.begun(limits[key], now), ends)
        return wait

    async def fail(self, limits: Mapping[bytes, Limit], now: float) -> None:
        """See :meth:`.IAttemptStore.fail`."""
        for key, limit in limits.items():
            count, ends = self._counts.get(key, (Count(), now))
            self._put(key, count.failed(limit, now), max(ends, now + limit.forget_seconds))

    async def succeed(self, key: bytes, now: float, until: float) -> None:
        """See :meth:`.IAttemptStore.succeed`."""
        self._put(key, Count(trusted_at=now), until)

    async def expire(self, now: float, most: int) -> None:
        """See :meth:`.IAttemptStore.expire`."""
        left = sorted((ends, key) for key, (_, ends) in self._counts.items() if ends > now)
        kept = {key for _, key in left[max(0, len(left) - most) :]}
        for key in [key for key in self._counts if key not in kept]:
            del self._counts[key]

    def _put(self, key: bytes, count: Count, ends: float) -> None:
        self._counts[key] = (count, ends)
        self._counts.move_to_end(key)
        if len(self._counts) > _CAPACITY:
            self._counts.popitem(last=False)


@implementer(IAttemptStore)
@define(eq=False)
class SharedAttempts:
    """
    What all processes count together, in another store.

    A full disk or a dead database stops nobody from logging in, and gives nobody free attempts: what can not be counted
    there is counted here, for this process.
    """

    _shared: IAttemptStore
    _here: MemoryAttemptStore = field(factory=MemoryAttemptStore)

    async def find(self, keys: tuple[bytes, ...]) -> Mapping[bytes, Count]:
        """See :meth:`.IAttemptStore.find`."""
        try:
            found = await self._shared.find(keys)
        except StoreUnavailable:
            found = {}
        if self._here.is_empty:
            return found
        # Of two counts that which makes wait longer.
        merged = dict(found)
        for key, count in (await self._here.find(keys)).items():
            other = found.get(key, Count())
            stricter = max(count, other, key=lambda each: (each.until, each.failures))
            merged[key] = Count(stricter.failures, stricter.last, stricter.until, other.trusted_at or count.trusted_at)
        return merged

    async def begin(self, limits: Mapping[bytes, Limit], now: float) -> float:
        """See :meth:`.IAttemptStore.begin`."""
        wait = await self._here.begin(limits, now)
        if wait:
            return wait
        try:
            return await self._shared.begin(limits, now)
        except (StorageFull, StoreUnavailable) as problem:
            _tell(problem)
            return 0.0

    async def fail(self, limits: Mapping[bytes, Limit], now: float) -> None:
        """See :meth:`.IAttemptStore.fail`."""
        try:
            await self._shared.fail(limits, now)
        except (StorageFull, StoreUnavailable) as problem:
            _tell(problem)
            await self._here.fail(limits, now)

    async def succeed(self, key: bytes, now: float, until: float) -> None:
        """See :meth:`.IAttemptStore.succeed`."""
        try:
            await self._shared.succeed(key, now, until)
            told = True
        except (StorageFull, StoreUnavailable) as problem:
            _tell(problem)
            told = False
        if not (told and self._here.is_empty):
            await self._here.succeed(key, now, until)

    async def expire(self, now: float, most: int) -> None:
        """See :meth:`.IAttemptStore.expire`."""
        await self._here.expire(now, most)
        await self._shared.expire(now, most)


def _tell(problem: StorageFull | StoreUnavailable) -> None:
    log.warn("an attempt to log in is counted in this process only: {problem}", problem=str(problem))
