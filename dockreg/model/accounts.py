"""Stored logins and keys."""

import hashlib
import re
from base64 import urlsafe_b64encode
from functools import lru_cache

from attrs import field, frozen

from dockreg.errors import AccountInvalid

#: Stands between the name of an account and the rest of the name of one of its robots.
ROBOT_MARK = "+"
#: The stored hash of an account without a password: no password has it.
NO_HASH = "!"

_NAME = re.compile(r"[a-z0-9_]{4,30}", re.ASCII)
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")


@frozen
class Account:
    """
    A stored login.

    ``password_hash`` is an argon2 string or :data:`NO_HASH`; ``email`` may be empty. ``owner`` is the account that
    a robot belongs to, None for that of a person, and ``owner_active`` whether that one is active. ``renewed_at`` is set when
    there was another account of the same name before, which was deleted.
    """

    name: str
    password_hash: str = field(repr=False)
    email: str
    active: bool
    admin: bool
    created_at: float
    owner: str | None = None
    owner_active: bool = True
    renewed_at: float | None = None

    @property
    def is_usable(self) -> bool:
        """Whether it lets anybody in: a robot ends with its owner."""
        return self.active and self.owner_active


@frozen
class SigningKey:
    """A secret that the registry made. ``key_id`` is public, ``secret`` is at least 32 random bytes."""

    key_id: str
    secret: bytes = field(repr=False)
    created_at: float


def password_mark(account: Account) -> str | None:
    """
    What is another one when the password is, or the account of this name; None where there is no password.

    It can be shown: a stored hash has a salt of its own, so that this tells nothing of the password.
    """
    return None if account.password_hash == NO_HASH else _mark(account.created_at, account.password_hash)


@lru_cache(maxsize=256)
def _mark(created_at: float, password_hash: str) -> str:
    digest = hashlib.sha256(f"{created_at}\0{password_hash}".encode()).digest()
    return urlsafe_b64encode(digest[:24]).decode("ascii")


def check_name(name: str) -> None:
    """:raises AccountInvalid: nobody can have this name."""
    if not _NAME.fullmatch(name):
        raise AccountInvalid("a user name is made of 4 to 30 of a-z, 0-9 and '_'")


def check_email(email: str) -> None:
    """:raises AccountInvalid: it is neither an e-mail address nor empty."""
    if email and not (email.isprintable() and _EMAIL.fullmatch(email)):
        raise AccountInvalid("the e-mail address is not one; write name@host, or leave it empty")
