"""What was made of bytes that clients send again and again, within bounds."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """
    Things by their keys; once there are too many those go that were not asked for the longest time.

    :param most_bytes: what all of them may weigh.
    """

    def __init__(self, most_bytes: int) -> None:
        self._known: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._most_bytes = most_bytes
        #: What all of them weigh, in bytes.
        self.weight = 0

    def find(self, key: K) -> V | None:
        """What is kept for this key."""
        known = self._known.get(key)
        if known is None:
            return None
        # As long as there is much room, it does not matter who goes first.
        if self.weight > self._most_bytes // 2:
            self._known.move_to_end(key)
        return known[0]

    def add(self, key: K, value: V, weight: int) -> None:
        """
        Keep something for a key that has nothing.

        :param weight: in bytes, with that of the key.
        """
        self._known[key] = value, weight
        self.weight += weight
        while self.weight > self._most_bytes:
            _, (_, dropped) = self._known.popitem(last=False)
            self.weight -= dropped

    def __contains__(self, key: K) -> bool:
        return key in self._known

    def __len__(self) -> int:
        return len(self._known)
