"""``[auth]`` and the tables below it."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
from attrs import field, frozen
from cryptography.x509 import Name

from dockreg import configvalues as valid
from dockreg.model.ldapserver import LDAPServer

_DAY = 86400.0
#: The longest time for which a verified password may be remembered.
_MAX_REMEMBER_SECONDS = 60


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


def file(_: object, attribute: object, value: str) -> None:
    """The absolute path of a file, or nothing."""
    valid.text(_, attribute, value)
    if value and not value.startswith("/"):
        raise ValueError("must be an absolute path")


def servers(_: object, attribute: object, value: str) -> None:
    """URLs of directories with blanks between them, or nothing."""
    valid.text(_, attribute, value)
    for each in value.split():
        try:
            LDAPServer.parse(each)
        except ValueError as error:
            raise ValueError(f"{each!r} {error}") from None


def files(_: object, attribute: object, value: tuple[str, ...]) -> None:
    """A list of absolute paths of files."""
    valid.texts(_, attribute, value)
    for each in value:
        file(_, attribute, each)


def template(*places: str, is_filter: bool) -> Callable[[object, object, object], None]:
    """Text with one of ``places`` in it; a filter has parentheses around it. Nothing is all right."""

    def check(_: object, attribute: object, value: object) -> None:
        valid.text(_, attribute, value)
        written = str(value)
        if written and not any(place in written for place in places):
            raise ValueError(f"must have {' or '.join(places)} in it")
        if is_filter and not (written.startswith("(") and written.endswith(")")):
            raise ValueError("must be a filter in parentheses (RFC 4515)")

    return check


@frozen
class LDAPSettings:
    """``[auth.ldap]``: a directory, and how to find people in it."""

    url: str = field(default="", validator=servers)
    start_tls: bool = field(default=False, validator=valid.flag)
    ca_file: str = field(default="", validator=file)
    allow_plaintext: bool = field(default=False, validator=valid.flag)
    bind_dn: str = field(default="", validator=valid.text)
    bind_password: str = field(default="", validator=valid.text, repr=False)
    bind_password_file: str = field(default="", validator=file)
    user_dn: str = field(default="", validator=template("{name}", is_filter=False))
    user_base: str = field(default="", validator=valid.text)
    user_filter: str = field(default="(uid={name})", validator=template("{name}", is_filter=True))
    user_attribute: str = field(default="uid", validator=valid.text)
    group_base: str = field(default="", validator=valid.text)
    group_filter: str = field(default="(member={dn})", validator=template("{dn}", "{name}", is_filter=True))
    group_attribute: str = field(default="cn", validator=valid.text)
    timeout_seconds: float = field(default=5.0, validator=valid.seconds(0.1, 60))
    connections: int = field(default=4, validator=valid.number(1, 64))
    queue: int = field(default=32, validator=valid.number(0, 10_000))

    @property
    def servers(self) -> list[LDAPServer]:
        """Those of :attr:`url`, in order."""
        return [LDAPServer.parse(each) for each in self.url.split()]

    def problems(self) -> Iterator[tuple[str, str]]:
        """Keys that do not fit to the others, each with what is to be changed."""
        if not self.url:
            yield "url", "must name the directory when auth.checkers has 'ldap'"
        if bool(self.user_dn) is bool(self.user_base):
            yield "user_base", "must be set, or else user_dn, and not both"
        if self.bind_password and self.bind_password_file:
            yield "bind_password", "must not be set beside bind_password_file"
        has_password = bool(self.bind_password or self.bind_password_file)
        if has_password is not bool(self.bind_dn):
            yield "bind_dn", "must have a password, and only it: set both or none (a name alone would be nobody)"
        yield from self._connection_problems()

    def _connection_problems(self) -> Iterator[tuple[str, str]]:
        schemes = {each.scheme for each in self.servers}
        if self.start_tls and schemes - {"ldap"}:
            yield "start_tls", "is for ldap:// only"
        if self.ca_file and not self.start_tls and "ldaps" not in schemes:
            yield "ca_file", "has no effect without TLS: set start_tls, or write ldaps://"
        in_clear = [each for each in self.servers if each.scheme == "ldap" and not each.is_here]
        if in_clear and not self.start_tls and not self.allow_plaintext:
            yield "url", f"would send passwords to {in_clear[0]} in plain text: set start_tls, or write ldaps://"


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


@frozen
class TokenServerSettings:
    """``[auth.token_server]``: another server that makes the tokens of v2."""

    realm: str = field(default="", validator=valid.url)
    service: str = field(default="", validator=valid.text)
    issuer: str = field(default="", validator=valid.text)
    key_files: tuple[str, ...] = field(default=(), validator=files)
    key_url: str = field(default="", validator=valid.fetched_url)
    reread_seconds: float = field(default=60.0, validator=valid.seconds(1))

    def problems(self) -> Iterator[tuple[str, str]]:
        """Keys that do not fit to the others, each with what is to be changed."""
        if not self.realm:
            return
        for key in ("service", "issuer"):
            if not getattr(self, key):
                yield key, "must be set beside realm"
        if bool(self.key_files) == bool(self.key_url):
            yield "key_files", "must be set, or else key_url, and not both"

    def idle_keys(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Keys of ``[auth]`` that have no effect with these, and why."""
        if self.realm:
            yield "beside auth.token_server, which makes the tokens", ["auth.bearer_seconds", "auth.refresh_seconds"]
        else:
            keys = [f"auth.token_server.{name}" for name in attrs.fields_dict(TokenServerSettings)]
            yield "unless auth.token_server.realm is set", keys


def shown_checkers(checkers: Sequence[str]) -> list[str]:
    """As in the file, without what checkers of others are given to check with: it may be passwords."""
    return [_shown_checker(*each.partition(":")) for each in checkers]


def _shown_checker(kind: str, colon: str, argument: str) -> str:
    hidden = colon and kind != "htpasswd" and "." not in kind
    return f"{kind}:(not shown)" if hidden else f"{kind}{colon}{argument}"


def _spelled_checkers(checkers: Sequence[str]) -> str:
    return repr(shown_checkers(checkers))


@frozen
class AuthSettings:
    """``[auth]``: who may do what."""

    anonymous: str = field(default="push", validator=valid.one_of("push", "pull", "none"))
    anonymous_search: str = field(default="auto", validator=valid.one_of("auto", "on", "off"))
    new_repositories: str = field(default="public", validator=valid.one_of("public", "private"))
    rules: tuple[Mapping[str, Any], ...] = field(default=(), validator=valid.rules)
    registration: str = field(default="open", validator=valid.one_of("open", "invitation", "closed"))
    email: str = field(default="optional", validator=valid.one_of("optional", "required", "none"))
    checkers: tuple[str, ...] = field(default=("accounts",), validator=valid.checkers, repr=_spelled_checkers)
    authorizer: str = field(default="", validator=valid.provider(""))
    token_seconds: float = field(default=86400.0, validator=valid.seconds(1))
    challenge: str = field(default="bearer", validator=valid.one_of("bearer", "basic"))
    bearer_seconds: float = field(default=300.0, validator=valid.seconds(60, 600))
    refresh_seconds: float = field(default=7776000.0, validator=valid.seconds(600))
    remember_seconds: float = field(default=60.0, validator=valid.seconds(0, _MAX_REMEMBER_SECONDS))
    hash_workers: int = field(default=2, validator=valid.number(1, 64))
    hash_queue: int = field(default=32, validator=valid.number(0, 10_000))
    attempts: AttemptSettings = field(factory=AttemptSettings)
    ldap: LDAPSettings = field(factory=LDAPSettings)
    certificates: CertificateSettings = field(factory=CertificateSettings)
    token_server: TokenServerSettings = field(factory=TokenServerSettings)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Keys in the tables below that do not fit to each other, each with what is to be changed."""
        tables: dict[str, LDAPSettings | TokenServerSettings] = {"token_server": self.token_server}
        if "ldap" in self.checkers:
            tables["ldap"] = self.ldap
        for name, table in tables.items():
            for key, reason in table.problems():
                yield f"auth.{name}.{key}", reason


def idle_keys(checkers: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Keys of ``[auth]`` that have no effect with these checkers, and why."""
    if not any(each in ("accounts", "ldap") or each.startswith("htpasswd:") for each in checkers):
        yield "unless auth.checkers has one that is remembered", ["auth.remember_seconds"]
    for checker, kind in (("ldap", LDAPSettings), ("certificates", CertificateSettings)):
        if checker not in checkers:
            keys = [f"auth.{checker}.{name}" for name in attrs.fields_dict(kind)]
            yield f"unless auth.checkers has {checker!r}", keys
