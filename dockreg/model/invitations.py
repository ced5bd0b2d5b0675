"""Invitations to make an account: codes that people type, and what of them is stored."""

import hashlib
import re
from collections.abc import Callable

from attrs import field, frozen

# Without letters that are taken for digits (Crockford's Base 32).
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH, _GROUP = 25, 5
_CODE = re.compile(f"[{_ALPHABET}]{{{_LENGTH}}}", re.ASCII)
_READ_AS = str.maketrans({"o": "0", "i": "1", "l": "1", "-": None, " ": None})


@frozen
class Invitation:
    """
    Somebody may make one account until it expires.

    ``name`` is the name that the account has to have, None for any; ``email`` its e-mail address, empty for any.
    ``used_by`` is the account that was made with it.
    """

    invitation_id: str
    name: str | None
    email: str
    created_at: float
    expires_at: float
    used_by: str | None = None

    def is_good(self, now: float) -> bool:
        """Whether an account may still be made with it."""
        return self.used_by is None and now < self.expires_at


@frozen
class InvitationCode:
    """What is typed, in five groups: ``4k0tz-…``. Its 125 random bits need no slow hash."""

    text: str = field(repr=False)

    @classmethod
    def make(cls, random_bytes: Callable[[int], bytes]) -> "InvitationCode":
        """A new one. :param random_bytes: as many random bytes as it is asked for."""
        number = int.from_bytes(random_bytes(16), "big")
        return cls("".join(_ALPHABET[number >> (5 * at) & 31] for at in range(_LENGTH)))

    @classmethod
    def parse(cls, typed: str) -> "InvitationCode | None":
        """What somebody typed, with or without hyphens, in either case; None when it is no code."""
        text = typed.lower().translate(_READ_AS)
        return cls(text) if _CODE.fullmatch(text) else None

    @property
    def digest(self) -> bytes:
        """What is stored of it."""
        return hashlib.sha256(self.text.encode("ascii")).digest()

    def __str__(self) -> str:
        return "-".join(self.text[at : at + _GROUP] for at in range(0, _LENGTH, _GROUP))
