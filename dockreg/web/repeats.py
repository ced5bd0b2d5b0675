"""
Answers that are given again.

What a read answers to who has no name depends on the bytes of the request's head, on what is stored, and on the time of day,
which is told in whole seconds: tokens end with one, too. So the bytes of such an answer are kept for the second in which
they were made, and for no longer than nobody has written anything. Within that the same head gets the same bytes, without
another look.

Who may be answered so is said by the routes, and by those who decide who somebody is and what he may: see
:attr:`.Route.repeats` and :meth:`.Gate.admits_alike`.
"""

from collections.abc import Callable

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

#: The largest answer that is kept, and all of them, in bytes.
LARGEST_BYTES = 64 * 1024
_MOST_BYTES = 4 * 1024 * 1024
_ENTRY_BYTES = 512

#: Tells what is stored from what was, as :meth:`.IMoments.version` does.
Version = Callable[[], object | None]


@frozen(eq=False)
class Repeat:
    """One answer, and what is to be recorded of whoever gets it."""

    #: Head and body, as they were sent.
    data: bytes
    status: int
    body_bytes: int
    #: Method, path and user agent as the log has them.
    texts: tuple[str, str, str]


class Repeats:
    """Those of one site, all of one second and of one version of what is stored."""

    def __init__(self, clock: IReactorTime, most_bytes: int = _MOST_BYTES) -> None:
        self._clock = clock
        self._most_bytes = most_bytes
        self._answers: dict[bytes, Repeat] = {}
        self._second = 0
        self._version: object | None = None
        self._ask: Version = _unknown
        #: What all of them weigh, in bytes.
        self.weight = 0

    def find(self, head: bytes) -> Repeat | None:
        """What is answered to exactly these bytes."""
        found = self._answers.get(head)
        if found is None:
            return None
        if int(self._clock.seconds()) != self._second or self._ask() is not self._version:
            self._forget()
            return None
        return found

    def keep(self, head: bytes, answer: Repeat, second: int, version: object, ask: Version) -> None:
        """
        Remember what was answered to these bytes.

        :param second: when its head was written, in whole seconds.
        :param version: what ``ask`` has said before anything was looked up for the answer, and since.
        """
        if second != self._second or version is not self._version:
            self._forget()
            self._second, self._version, self._ask = second, version, ask
        weight = _ENTRY_BYTES + len(head) + len(answer.data)
        if len(answer.data) <= LARGEST_BYTES and self.weight + weight <= self._most_bytes and head not in self._answers:
            self._answers[head] = answer
            self.weight += weight

    def __len__(self) -> int:
        return len(self._answers)

    def _forget(self) -> None:
        self._answers.clear()
        self.weight = 0


def _unknown() -> None:
    """Nothing is known of what is stored."""
