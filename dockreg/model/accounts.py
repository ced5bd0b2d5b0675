"""Stored logins and keys."""

from attrs import field, frozen


@frozen
class Account:
    """A stored login. ``password_hash`` is an argon2 string; ``email`` may be empty."""

    name: str
    password_hash: str = field(repr=False)
    email: str
    active: bool
    admin: bool
    created_at: float


@frozen
class SigningKey:
    """A secret that the registry made. ``key_id`` is public, ``secret`` is at least 32 random bytes."""

    key_id: str
    secret: bytes = field(repr=False)
    created_at: float
