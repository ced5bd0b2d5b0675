"""What a value of the configuration may be."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dockreg.errors import RegistryError
from dockreg.model.access import Action
from dockreg.model.names import is_host_port
from dockreg.model.networks import Networks
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.rights import Rule, Subject

# Each is a validator of attrs that raises ValueError with the rest of a sentence. Values of the
# wrong type get the same error as other bad ones: for who wrote the file there is no difference.


_MOST_WORKERS = 64


def is_a(kind: type, what: str) -> Callable[[object, object, object], None]:
    """Of one type."""

    def check(_: object, __: object, value: object) -> None:
        if not isinstance(value, kind):
            raise ValueError(f"must be {what}")  # noqa: TRY004

    return check


def path(_: object, __: object, value: object) -> None:
    """A folder."""
    if not isinstance(value, Path) or value == Path():
        raise ValueError("must be the path of a folder")


def texts(_: object, __: object, value: object) -> None:
    """A list of texts that are not empty."""
    if not isinstance(value, tuple) or not all(isinstance(each, str) and each for each in value):
        raise ValueError("must be a list of texts")


def number(
    least: float, most: float | None = None, kind: Any = int, what: str = "a whole number"
) -> Callable[[object, object, object], None]:
    """A number, within limits."""

    def check(_: object, __: object, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, kind):
            raise ValueError(f"must be {what}")  # noqa: TRY004
        # Written so that "nan", which TOML allows, is refused.
        if not value >= least or value == inf:
            raise ValueError(f"must be {least:g} or more")
        if most is not None and value > most:
            raise ValueError(f"must be {most:g} or less")

    return check


text, flag, options = is_a(str, "a text"), is_a(bool, "true or false"), is_a(Mapping, "a table")
seconds = partial(number, kind=int | float, what="a number of seconds")


def workers(_: object, __: object, value: object) -> None:
    """A number of processes."""
    if value != "auto" and (type(value) is not int or not 1 <= value <= _MOST_WORKERS):
        raise ValueError(f"must be 'auto', or a number of processes from 1 to {_MOST_WORKERS}, not {value!r}")


def one_of(*choices: str) -> Callable[[object, object, object], None]:
    """One of a few words."""

    def check(_: object, __: object, value: object) -> None:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")

    return check


def provider(*names: str) -> Callable[[object, object, object], None]:
    """A provider of dockreg, or the dotted path of one of others."""

    def check(_: object, attribute: object, value: object) -> None:
        text(_, attribute, value)
        parts = str(value).replace(":", ".").split(".")
        if value not in names and not (len(parts) > 1 and all(part.isidentifier() for part in parts)):
            own = "".join(f"{name!r} or " for name in names)
            raise ValueError(f"must be {own}a dotted path such as 'package.module.name'")

    return check


#: The checkers of dockreg that take no argument.
_CHECKERS = frozenset({"accounts", "certificates", "ldap"})


def checkers(_: object, attribute: object, value: tuple[str, ...]) -> None:
    """Checkers of dockreg, checkers of twistd with their arguments, and dotted paths. Arguments may be secrets."""
    texts(_, attribute, value)
    for each in value:
        kind, colon, argument = each.partition(":")
        if "." in kind:
            provider()(_, attribute, each)
        elif kind in _CHECKERS and colon:
            raise ValueError(f"{kind!r} takes nothing behind it")
        elif kind == "htpasswd" and not argument.startswith("/"):
            raise ValueError("'htpasswd' takes an absolute path, such as 'htpasswd:/etc/dockreg/htpasswd'")
        elif not kind.isidentifier():
            raise ValueError(
                "must be 'accounts', 'ldap', 'certificates', 'htpasswd:FILE', a checker of twistd or a dotted path"
            )
    if len(set(value)) < len(value):
        raise ValueError("must not name one twice")


def rules(_: object, __: object, value: object) -> None:
    """A list of rules about who may do what."""
    if not isinstance(value, tuple):
        raise ValueError("must be a list of tables: write [[auth.rules]]")  # noqa: TRY004
    for number_of_rule, table in enumerate(value, 1):
        try:
            parse_rule(table)
        except ValueError as error:
            raise ValueError(f"rule {number_of_rule}: {error}") from None


def parse_rule(table: object) -> Rule:
    """The rule that a table is. :raises ValueError: it is none."""
    if not isinstance(table, Mapping):
        raise ValueError("must be a table: write [[auth.rules]]")  # noqa: TRY004
    for key in table:
        if key not in _RULE_KEYS:
            raise ValueError(f"there is no such key: {key}; there are {', '.join(_RULE_KEYS)}")
    listed = {key: _listed(key, table.get(key, [])) for key in _RULE_KEYS}
    if not listed["who"] or not listed["repositories"]:
        raise ValueError("must say 'who' and which 'repositories'")
    if not listed["allow"] and not listed["deny"]:
        raise ValueError("must say what to 'allow' or to 'deny'")
    try:
        who = frozenset(map(Subject.parse, listed["who"]))
        repositories = tuple(map(RepositoryPattern.parse, listed["repositories"]))
    except RegistryError as error:
        raise ValueError(str(error)) from None
    return Rule(who, repositories, _actions(listed["allow"]), _actions(listed["deny"]))


_RULE_KEYS = ("who", "repositories", "allow", "deny")


def _listed(key: str, value: object) -> Sequence[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{key!r} must be a list of texts")
    return value


def _actions(words: Sequence[str]) -> frozenset[Action]:
    known = {each.value: each for each in Action}
    for word in words:
        if word not in known:
            raise ValueError(f"{word!r} is no action: write some of {', '.join(known)}")
    return frozenset(known[word] for word in words)


def endpoints(_: object, attribute: object, value: tuple[str, ...]) -> None:
    """A list of hosts, each with a port if it has one."""
    texts(_, attribute, value)
    for each in value:
        if not is_host_port(each):
            raise ValueError(f"{each!r} is not host or host:port")


def networks(_: object, attribute: object, value: tuple[str, ...]) -> None:
    """A list of IP addresses and networks, and ``unix`` for the peers of unix sockets."""
    texts(_, attribute, value)
    Networks.parse(value)


def origins(_: object, attribute: object, value: tuple[str, ...]) -> None:
    """A list of origins as browsers send them: scheme, host, and a port that is not that of the scheme."""
    texts(_, attribute, value)
    for each in value:
        scheme, _colon, host = each.partition("://")
        if scheme not in ("http", "https") or host != host.lower() or not is_host_port(host):
            raise ValueError(f"{each!r} is no origin, such as 'https://ui.example.com'")


def platform(_: object, attribute: object, value: str) -> None:
    """What an image runs on."""
    text(_, attribute, value)
    if not 1 <= value.count("/") <= 2 or not all(value.split("/")):
        raise ValueError("must be os/architecture or os/architecture/variant, such as 'linux/amd64'")


def url(_: object, attribute: object, value: str) -> None:
    """An http or https URL, or nothing."""
    text(_, attribute, value)
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username):
        raise ValueError("must be an http or https URL without user name and query")


def fetched_url(_: object, attribute: object, value: str) -> None:
    """Where something is fetched that has to be what it is: https, or this machine; or nothing."""
    url(_, attribute, value)
    parts = urlsplit(value)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ValueError("must be an https URL; http is for this machine only")
