"""
Answers that are given again.

What a read answers depends on the bytes of the request's head, on what is stored, and on the time of day,
which is told in whole seconds: tokens end with one, too. So the bytes of such an answer are kept for the second in which
they were made, and for no longer than nobody has written anything of what the answer depends on. Within that the same head
gets the same bytes, without another look.

The answer to who begins an upload session is the same but for the id of the session. Whoever made it says how the next one is
made, and the same head gets the same bytes with another id.

Who has a name is answered so where all that is known of him is stored, and at the address that he was let in from. A password that
he shows is not looked at again for as long as nobody has failed there to show it.

Who may be answered so is said by the routes, and by those who decide who somebody is and what he may: see
:attr:`.Route.repeats`, :attr:`.Route.lasts` and :meth:`.Gate.admits_alike`.
"""

from collections.abc import Callable

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

#: The largest answer that is kept, and all of them, in bytes.
LARGEST_BYTES = 64 * 1024
_MOST_BYTES = 4 * 1024 * 1024
_ENTRY_BYTES = 512

#: Tells what is stored from what was, as :meth:`.IMoments.version` or :meth:`.IMoments.lasting_version` does.
Version = Callable[[], object | None]


@frozen(eq=False)
class Varying:
    """What is another one in each of the answers to the same head."""

    #: As it was in the answer that is kept.
    text: bytes
    #: Makes the next one, of the same length; None when it is not to be had like this. Asked while the answer may be given.
    again: Callable[[], bytes | None]


@frozen(eq=False)
class Somebody:
    """Who has a name, and is given an answer again."""

    name: str
    address: str
    #: Whether it is still so that he need not be looked at again; None where he does not show a password.
    is_let_in: Callable[[str, str], bool] | None

    def may_be(self, address: str) -> bool:
        """Whether who asks from there with the same credentials is let in as he was."""
        return address == self.address and (self.is_let_in is None or self.is_let_in(self.name, address))


@frozen(eq=False)
class Repeat:
    """One answer, and what is to be recorded of whoever gets it."""

    #: Head and body, as they were sent.
    data: bytes
    status: int
    body_bytes: int
    #: Method, path and user agent as the log has them.
    texts: tuple[str, str, str]
    varying: Varying | None = None
    #: Whether it was sent over TLS: addresses in it, and whether a browser is sent elsewhere, depend on that.
    sealed: bool = False
    #: Whom it is for, if he has a name.
    whose: Somebody | None = None

    def next(self) -> bytes | None:
        """Head and body for whoever asks next; None when he has to be answered anew."""
        if self.varying is None:
            return self.data
        made = self.varying.again()
        return None if made is None else self.data.replace(self.varying.text, made)


class Repeats:
    """Those of one site, all of one second. What another version has made useless is kept no longer than that, either."""

    def __init__(self, clock: IReactorTime, most_bytes: int = _MOST_BYTES) -> None:
        self._clock = clock
        self._most_bytes = most_bytes
        # Each with its version, and by what that is told.
        self._answers: dict[bytes, tuple[Repeat, object, Version]] = {}
        self._second = 0
        #: What all of them weigh, in bytes.
        self.weight = 0

    def find(self, head: bytes) -> Repeat | None:
        """What is answered to exactly these bytes."""
        found = self._answers.get(head)
        if found is None:
            return None
        if int(self._clock.seconds()) != self._second:
            self._forget()
            return None
        answer, version, ask = found
        if ask() is not version:
            del self._answers[head]
            self.weight -= _weight(head, answer)
            return None
        return answer

    def keep(self, head: bytes, answer: Repeat, second: int, version: object, ask: Version) -> None:
        """
        Remember what was answered to these bytes.

        :param second: when its head was written, in whole seconds.
        :param version: what ``ask`` has said before anything was looked up for the answer, and since.
        """
        if second != self._second:
            self._forget()
            self._second = second
        weight = _weight(head, answer)
        if len(answer.data) <= LARGEST_BYTES and self.weight + weight <= self._most_bytes and head not in self._answers:
            self._answers[head] = answer, version, ask
            self.weight += weight

    def __len__(self) -> int:
        return len(self._answers)

    def _forget(self) -> None:
        self._answers.clear()
        self.weight = 0


def _weight(head: bytes, answer: Repeat) -> int:
    # A byte that is no text is four characters of the log.
    return _ENTRY_BYTES + len(head) + len(answer.data) + sum(map(len, answer.texts))
