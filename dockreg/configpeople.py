"""The tables below ``[auth]`` about people from elsewhere."""

import re

from attrs import field, frozen
from cryptography.x509 import Name

from dockreg import configvalues as valid


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
