"""The checkers of ``twisted.cred`` that ``auth.checkers`` names, made in its order: a part of the composition root."""

import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from attrs import Factory, frozen
from cryptography.x509 import Name
from twisted.cred import strcred
from twisted.cred.checkers import ICredentialsChecker, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IUsernamePassword
from twisted.internet.interfaces import IReactorTime

from dockreg.callables import InThread
from dockreg.config import Config, ConfigError
from dockreg.foreign import require
from dockreg.interfaces_access import IAccountStore
from dockreg.providers.auth.accounts import AccountsChecker
from dockreg.providers.auth.hashing import PasswordHasher
from dockreg.providers.auth.turns import Turns
from dockreg.providers.auth.verified import Verified
from dockreg.providing import made

if TYPE_CHECKING:
    from dockreg.providers.auth.ldapdirectory import LDAPDirectory

_KEY = "auth.checkers"


@frozen
class Means:
    """What checkers are made with."""

    accounts: IAccountStore
    hasher: PasswordHasher
    in_thread: InThread
    asking: InThread  # what waits for a directory somewhere else
    clock: IReactorTime
    random_bytes: Callable[[int], bytes]


@frozen
class Checkers:
    """Checkers in their order, and what has to be done before they are asked."""

    checkers: list[ICredentialsChecker] = Factory(list)
    openers: list[Callable[[], Awaitable[object]]] = Factory(list)


def make_checkers(config: Config, means: Means) -> Checkers:
    """The checkers of the configuration. :raises ConfigError: one of others can not be made."""
    every = Checkers()
    for entry in config.auth.checkers:
        kind, _, argument = entry.partition(":")
        if kind == "accounts":
            every.checkers.append(AccountsChecker(means.accounts, means.hasher, _verified(config, means)))
        elif kind == "certificates":
            every.checkers.append(_certificates(config, means))
        elif kind == "ldap":
            _add_ldap(every, config, means)
        elif kind == "htpasswd":
            _add_htpasswd(every, config, means, Path(argument))
        else:
            every.checkers.append(_foreign(entry))
    return every


def _verified(config: Config, means: Means) -> Verified[Any]:
    return Verified(means.clock, means.random_bytes, config.auth.remember_seconds)


def _certificates(config: Config, means: Means) -> ICredentialsChecker:
    from dockreg.providers.auth.certificates import CertificatesChecker

    settings = config.auth.certificates
    pattern = re.compile(settings.pattern) if settings.pattern else None
    issuers = [Name.from_rfc4514_string(each) for each in settings.issuers]
    return CertificatesChecker(means.clock, settings.name, pattern, issuers, settings.groups)


def _add_htpasswd(every: Checkers, config: Config, means: Means, path: Path) -> None:
    from dockreg.providers.auth.htpasswd import HtpasswdChecker, HtpasswdFile

    file = HtpasswdFile(path, means.in_thread, means.clock)
    checker = HtpasswdChecker(file, means.hasher.turns, _verified(config, means))
    every.checkers.append(checker)
    every.openers.append(checker.open)


def make_directory(config: Config, clock: IReactorTime) -> "LDAPDirectory":
    """The directory of ``[auth.ldap]``. :raises ConfigError: what speaks LDAP is not installed."""
    try:
        from dockreg.providers.auth.ldapdirectory import Groups, LDAPDirectory, People, Reader
    except ImportError as error:
        reason = f"'ldap' needs python-ldap ({error}): install dockreg[ldap]"
        raise ConfigError("", _KEY, reason) from error
    from dockreg.providers.auth.ldapwire import Dialling

    settings = config.auth.ldap
    return LDAPDirectory(
        Dialling(settings.servers, settings.start_tls, settings.ca_file),
        Reader(settings.bind_dn, settings.bind_password, settings.bind_password_file),
        People(settings.user_dn, settings.user_base, settings.user_filter, settings.user_attribute),
        Groups(settings.group_base, settings.group_filter, settings.group_attribute),
        settings.timeout_seconds,
        clock.seconds,
    )


def _add_ldap(every: Checkers, config: Config, means: Means) -> None:
    from dockreg.providers.auth.ldapchecker import LDAPChecker, SearchingLDAPChecker

    settings, remember = config.auth.ldap, config.auth.remember_seconds
    directory = make_directory(config, means.clock)
    turns = Turns(means.asking, settings.connections, settings.queue)
    arguments = (directory, turns, _verified(config, means), means.clock, settings.timeout_seconds)
    if directory.can_search:
        checker: LDAPChecker = SearchingLDAPChecker(*arguments, remember_seconds=remember)
    else:
        checker = LDAPChecker(*arguments)
    every.checkers.append(checker)
    every.openers.append(checker.open)


# Checkers of others


def _foreign(entry: str) -> ICredentialsChecker:
    kind, _, argument = entry.partition(":")
    if "." in kind:
        return cast("ICredentialsChecker", made(_KEY, entry, ICredentialsChecker, {}))
    try:
        factory = strcred.findCheckerFactory(kind)
    except strcred.InvalidAuthType:
        if argument.replace(".", "_").isidentifier():  # package:name
            return cast("ICredentialsChecker", made(_KEY, entry, ICredentialsChecker, {}))
        known = ", ".join(sorted(each.authType for each in strcred.findCheckerFactories()))
        raise ConfigError("", _KEY, f"there is no checker {kind!r}; those of twistd are {known}") from None
    return _of_twistd(factory, kind, argument)


def _of_twistd(factory: strcred.ICheckerFactory, kind: str, argument: str) -> ICredentialsChecker:
    # The argument may be a password, and what a plugin says of it may repeat it: neither is shown.
    try:
        checker = factory.generateChecker(argument)
    except Exception as error:  # noqa: BLE001  # plugins raise what they like
        reason = f"{kind} does not take what stands behind it ({type(error).__name__}): {factory.argStringFormat}"
        raise ConfigError("", _KEY, reason) from None
    require(_KEY, kind, ICredentialsChecker, checker)
    if not _takes_passwords(checker.credentialInterfaces):
        raise ConfigError("", _KEY, f"{kind} checks no user names and passwords, so it would never be asked")
    if isinstance(checker, InMemoryUsernamePasswordDatabaseDontUse):
        # Its plugin fills it with text, and the names and passwords of clients are bytes.
        checker.users = {_encoded(name): _encoded(password) for name, password in checker.users.items()}
    return cast("ICredentialsChecker", checker)


def _takes_passwords(interfaces: Sequence[type]) -> bool:
    return any(IUsernamePassword.isOrExtends(each) for each in interfaces)


def _encoded(text: str | bytes) -> bytes:
    return text.encode("utf-8") if isinstance(text, str) else text
