"""The tables below ``[auth]``."""

import re

from attrs import field, frozen
from cryptography.x509 import Name

from dockreg import configvalues as valid

_DAY = 86400.0


def pattern(_: object, attribute: object, value: str) -> None:
    """A regular expression, or nothing."""
    valid.text(_, attribute, value)
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None


def distinguished_names(_: object, attribute: object, value: tuple[str, ...]) -> None:
    """A list of distinguished names as RFC 4514 spells them."""
    valid.texts(_, attribute, value)
    for each in value:
        try:
            Name.from_rfc4514_string(each)
        except ValueError:
            raise ValueError(f"{each!r} is no name such as 'CN=Our CA,O=Example' (RFC 4514)") from None


@frozen
class CertificateSettings:
    """``[auth.certificates]``: whose a certificate of a client is."""

    name: str = field(default="cn", validator=valid.one_of("cn", "email", "uri", "dns"))
    pattern: str = field(default="", validator=pattern)
    issuers: tuple[str, ...] = field(default=(), validator=distinguished_names)
    groups: str = field(default="none", validator=valid.one_of("none", "ou", "o"))


@frozen
class AttemptSettings:
    """``[auth.attempts]``: failed attempts to log in. The meaning of each is that of ``dockreg.attempts``."""

    per_client: int = field(default=5, validator=valid.number(0))
    per_account: int = field(default=50, validator=valid.number(0))
    per_address: int = field(default=50, validator=valid.number(0))
    registrations: int = field(default=20, validator=valid.number(0))
    first_seconds: float = field(default=1.0, validator=valid.seconds(0.1, 3600))
    most_seconds: float = field(default=300.0, validator=valid.seconds(1, _DAY))
    forget_seconds: float = field(default=3600.0, validator=valid.seconds(1))
    trust_seconds: float = field(default=30 * _DAY, validator=valid.seconds(0))
