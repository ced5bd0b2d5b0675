"""
Who was found to show some credentials.

Clients show theirs with each request of a push. Where all that is known of people is stored, and lasts
(:meth:`.IMoments.lasting_version`), whoever shows the same to the same host, from the same address, within the same second, is
the same: tokens, too, end with a second. Whoever shows a password is looked at again when somebody has failed to show it there.
"""

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from dockreg.model.access import Principal
from dockreg.web.heads import LONGEST_BYTES

#: People in one second, with all their credentials: each may be written in many ways, so that they are no longer than heads that
#: are kept.
_MOST = 1024

#: What was shown, to which host, whether over TLS, and from where.
Shown = tuple[bytes, bytes, bool, str]


def is_stored(principal: Principal) -> bool:
    """Whether all that is known of him is, where all people are stored; what access tokens may do is looked up each time."""
    return principal.name is not None and not principal.decided and principal.token_id is None


@define(eq=False)
class Identified:
    """
    Those of this second.

    :param version: see :meth:`.IMoments.lasting_version`.
    :param let_in: whether somebody may show his password once more, at an address, without being counted.
    """

    _version: Callable[[], object | None]
    _clock: IReactorTime
    let_in: Callable[[str, str], bool]
    _found: dict[Shown, Principal] = field(factory=dict, init=False, repr=False)
    _as_of: tuple[int, object | None] = field(default=(0, None), init=False)

    def now(self) -> tuple[int, object | None]:
        """The second, and the version: what is found out from now on is as of these."""
        return int(self._clock.seconds()), self._version()

    def find(self, shown: Shown, now: tuple[int, object | None]) -> Principal | None:
        """Who was found to show this; None when that has to be found out."""
        second, version = self._as_of
        if version is None or version is not now[1] or second != now[0]:
            return None
        found = self._found.get(shown)
        if found is None or found.name is None:
            return None
        # A token is had for a password, and is none.
        return found if found.ceiling is not None or self.let_in(found.name, shown[3]) else None

    def keep(self, shown: Shown, principal: Principal, asked: tuple[int, object | None]) -> None:
        """Remember who it is, if nothing has changed since it was asked."""
        second, version = now = self.now()
        if (
            len(shown[0]) > LONGEST_BYTES
            or version is None
            or version is not asked[1]
            or second != asked[0]
            or not is_stored(principal)
        ):
            return
        if self._as_of[1] is not version or self._as_of[0] != second or len(self._found) >= _MOST:
            self._found.clear()
            self._as_of = now
        self._found[shown] = principal
