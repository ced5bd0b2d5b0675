"""Names and passwords as they are presented, and a memory of those that were verified."""

import hmac
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from attrs import define, field, validators
from twisted.cred.credentials import ICredentials
from twisted.internet.interfaces import IReactorTime

from dockreg.providers.auth.remembered import Remembered

V = TypeVar("V")

_MAX_REMEMBERED = 1024


def presented(credentials: ICredentials) -> tuple[bytes, bytes]:
    """The name and the password of ``IUsernamePassword``."""
    # The interface has no members for them, yet every checker reads these two.
    given: Any = credentials
    name, password = given.username, given.password
    # Each request with a password comes here several times.
    return name if type(name) is bytes else _as_bytes(name), password if type(password) is bytes else _as_bytes(
        password
    )


def _as_bytes(text: bytes | str) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


@define(eq=False)
class Verified(Generic[V]):
    """
    What came of verifying a password, for up to a minute: engines send theirs with every request.

    It is found under a keyed hash, with a key that never leaves the process, of all that was verified: the name, the
    password, and what they were held against, if that is known. When one of these changes nothing is found.

    :param random_bytes: as many random bytes as it is asked for (``os.urandom`` in production).
    """

    _clock: IReactorTime
    _random_bytes: Callable[[int], bytes]
    _seconds: float = field(default=60, validator=[validators.ge(0), validators.le(60)])
    _key: bytes = field(init=False, repr=False)
    _kept: Remembered[V] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._key = self._random_bytes(32)
        self._kept = Remembered(self._clock, self._seconds, _MAX_REMEMBERED)

    def recall(self, *parts: bytes) -> V | None:
        """What was kept for these very parts, unless its time is over."""
        return self._kept.recall(self._proof(parts))

    def keep(self, value: V, *parts: bytes) -> None:
        """Remember ``value`` for these parts."""
        self._kept.keep(self._proof(parts), value)

    def _proof(self, parts: tuple[bytes, ...]) -> bytes:
        # Each with its length, so that no two lists of parts are the same text.
        return hmac.digest(self._key, b"".join([b"%d:%b" % (len(part), part) for part in parts]), "sha256")
