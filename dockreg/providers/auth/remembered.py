"""A small memory with an end: what was just verified need not be verified again."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from attrs import Factory, define, field
from twisted.internet.interfaces import IReactorTime

V = TypeVar("V")


@define(eq=False)
class Remembered(Generic[V]):
    """
    Values by key, for ``seconds`` after each was kept; the least recently used go first.

    ``capacity`` bounds the sum of what ``weigh`` says of each value, which is one for each unless said otherwise. The
    newest value is kept whatever it weighs.
    """

    _clock: IReactorTime
    _seconds: float
    _capacity: int
    _weigh: Callable[[V], int] = field(default=lambda _value: 1)
    _entries: OrderedDict[bytes, tuple[float, V]] = field(init=False, default=Factory(OrderedDict))
    _weight: int = field(init=False, default=0)

    def recall(self, key: bytes) -> V | None:
        """What was kept under ``key``, unless its time is over."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        kept_at, value = entry
        # A clock that was set back must not lengthen a life.
        if not 0 <= self._clock.seconds() - kept_at < self._seconds:
            self.forget(key)
            return None
        self._entries.move_to_end(key)
        return value

    def keep(self, key: bytes, value: V) -> None:
        """Remember ``value`` from now on, instead of what was kept under ``key`` before."""
        self.forget(key)
        self._entries[key] = (self._clock.seconds(), value)
        self._weight += self._weigh(value)
        while self._weight > self._capacity and len(self._entries) > 1:
            self.forget(next(iter(self._entries)))

    def forget(self, key: bytes) -> None:
        """Drop what is kept under ``key``; harmless when there is nothing."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._weight -= self._weigh(entry[1])

    def __len__(self) -> int:
        return len(self._entries)
