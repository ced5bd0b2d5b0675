"""Access tokens: what is typed as a password by programs, and what of it is stored."""

import hashlib
import re
import zlib
from collections.abc import Callable, Sequence
from string import ascii_lowercase, ascii_uppercase, digits

from attrs import field, frozen

from dockreg.errors import RequestInvalid
from dockreg.model.access import NOTHING, Action, Ceiling, Reach, Scope
from dockreg.model.patterns import RepositoryPattern

#: What a token begins with, so that who finds one in a place where it should not be knows what it is.
PREFIX = "dockreg_"
_ALPHABET = digits + ascii_uppercase + ascii_lowercase
_ID_BYTES, _ID_LENGTH = 8, 11
_SECRET_BYTES, _SECRET_LENGTH = 32, 43
_CHECK_LENGTH = 6
_TEXT = re.compile(f"{PREFIX}[{_ALPHABET}]{{{_ID_LENGTH + _SECRET_LENGTH + _CHECK_LENGTH}}}", re.ASCII)
_ON_REGISTRY = frozenset({Action.PULL, Action.PUSH})
_EVERY_ACTION = "*"


@frozen
class AccessToken:
    """
    A stored token, without its secret.

    ``expires_at`` is None when it does not expire, ``used_at`` when it was not used; that is noted now and then only.
    """

    token_id: str
    account: str
    description: str
    scopes: tuple[Scope, ...]
    created_at: float
    expires_at: float | None = None
    used_at: float | None = None

    @property
    def reach(self) -> Reach:
        """How far its bearer reaches; on the registry as a whole, to search and to push in parts."""
        return Reach(self.scopes, NOTHING.union(*(each.actions for each in self.scopes)) & _ON_REGISTRY)

    def lowered(self, ceiling: Ceiling | None) -> Ceiling:
        """The ceiling of its bearer, who came with ``ceiling``."""
        if ceiling is not None and self.reach in ceiling.reaches:
            return ceiling
        return Ceiling((self.reach,)) if ceiling is None else ceiling.below(Ceiling((self.reach,)))

    def is_over(self, now: float) -> bool:
        """Whether it has expired."""
        return self.expires_at is not None and self.expires_at <= now


@frozen
class TokenText:
    """
    The text of a token: ``dockreg_``, its id, its secret, and a checksum of all that.

    By the checksum a scanner, and the registry, tell a token from a text that looks like one.
    """

    token_id: str
    text: str = field(repr=False)

    @classmethod
    def make(cls, random_bytes: Callable[[int], bytes]) -> "TokenText":
        """A new one. :param random_bytes: as many random bytes as it is asked for."""
        token_id = _encoded(int.from_bytes(random_bytes(_ID_BYTES), "big"), _ID_LENGTH)
        secret = _encoded(int.from_bytes(random_bytes(_SECRET_BYTES), "big"), _SECRET_LENGTH)
        begin = f"{PREFIX}{token_id}{secret}"
        return cls(token_id, begin + _checksum(begin))

    @classmethod
    def parse(cls, text: str) -> "TokenText | None":
        """The token that a text is, None when it is none."""
        if not _TEXT.fullmatch(text) or _checksum(text[:-_CHECK_LENGTH]) != text[-_CHECK_LENGTH:]:
            return None
        return cls(text[len(PREFIX) : len(PREFIX) + _ID_LENGTH], text)

    @property
    def digest(self) -> bytes:
        """What is stored of it. It needs no slow hash: it has 256 random bits."""
        return hashlib.sha256(self.text.encode("ascii")).digest()


def parse_scope(text: str) -> Scope:
    """
    The scope that a person writes: ``team/**:pull,push``; ``*`` stands for every action.

    :raises RequestInvalid: it is none; the sentence says what to change.
    """
    pattern, colon, listed = text.rpartition(":")
    if not colon:
        raise RequestInvalid(f"{text[:255]!r} is no scope: write REPOSITORIES:ACTIONS, such as team/**:pull,push")
    known = {each.value: each for each in Action}
    actions = frozenset(Action) if listed == _EVERY_ACTION else frozenset(map(known.get, listed.split(",")))
    if None in actions:
        raise RequestInvalid(
            f"{listed[:255]!r} are no actions: name some of {', '.join(known)}, with commas between them, or '*'"
        )
    return Scope(RepositoryPattern.parse(pattern), frozenset(each for each in actions if each is not None))


def format_scope(scope: Scope) -> str:
    """The opposite of :func:`parse_scope`; actions stand in the order of their kind."""
    if scope.actions == frozenset(Action):
        return f"{scope.repositories}:{_EVERY_ACTION}"
    return f"{scope.repositories}:{','.join(each.value for each in Action if each in scope.actions)}"


def format_scopes(scopes: Sequence[Scope]) -> str:
    """All of them in one line."""
    return " ".join(map(format_scope, scopes))


def _encoded(number: int, length: int) -> str:
    encoded = ""
    for _ in range(length):
        number, rest = divmod(number, len(_ALPHABET))
        encoded = _ALPHABET[rest] + encoded
    return encoded


def _checksum(text: str) -> str:
    return _encoded(zlib.crc32(text.encode("ascii")), _CHECK_LENGTH)
