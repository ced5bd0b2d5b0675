"""Who is asking: ``twisted.cred`` checkers for passwords, signed tokens for the rest of a push or pull."""

from collections.abc import Sequence

from attrs import define, evolve
from twisted.cred.checkers import ANONYMOUS as ANONYMOUS_AVATAR
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials
from twisted.cred.error import LoginFailed
from twisted.cred.error import Unauthorized as Refused
from twisted.internet.defer import CancelledError, maybeDeferred
from twisted.logger import Logger
from zope.interface import implementer

from dockreg.errors import AccountInactive, AccountUnknown, RegistryError, StoreUnavailable, Unauthorized, explained
from dockreg.interfaces_access import IAccountStore, IAuthenticator, IAwaitedChecker, IClientCertificate, IDirectory
from dockreg.model.access import ANONYMOUS, Access, Challenge, Principal
from dockreg.model.accounts import ROBOT_MARK, Account, password_mark
from dockreg.model.networks import NO_ADDRESS
from dockreg.model.people import Person
from dockreg.providers.auth.tokens import TokenSigner

log = Logger()

# A token carries the name, and has to stay below 4 KB whatever the name is written in.
_MAX_NAME = 128
_WRONG = "wrong user name or password"
_NOBODY = "the client certificate is nobody's here"
#: How far the clocks of two processes may be apart.
_CLOCK_SKEW_SECONDS = 60
_LATER = "it can not be checked now who you are; try again later"


@implementer(IAuthenticator)
@define(eq=False)
class CredAuthenticator:
    """
    Asks each checker in turn until one knows the credentials.

    All checkers share one space of names: ``anna`` of an htpasswd file and ``anna`` of the accounts are one principal,
    and a stored account of that name, when there is one, says whether she is active and an administrator. Where
    strangers may register accounts, a further checker therefore needs names that they can not take.

    :param checkers: any ``ICredentialsChecker``, asked for the credentials that it takes. Its avatar id is the name,
        bytes in UTF-8 or text, or an :class:`.Person`. One that is also an :class:`.IDirectory` is asked about the
        bearers of tokens.
    """

    _checkers: Sequence[ICredentialsChecker]
    _accounts: IAccountStore
    _tokens: TokenSigner
    _realm: str = "dockreg"

    async def login(self, credentials: ICredentials, address: str = NO_ADDRESS) -> Principal:
        """
        See :meth:`.IAuthenticator.login`.

        :raises StoreUnavailable: no checker knows the credentials, and one of them did not work.
        """
        broken = False
        for checker in self._checkers:
            if not any(kind.providedBy(credentials) for kind in checker.credentialInterfaces):
                continue
            try:
                if IAwaitedChecker.providedBy(checker):
                    avatar = await checker.avatar_id(credentials)
                else:
                    avatar = await maybeDeferred(checker.requestAvatarId, credentials)
            except (LoginFailed, Refused):
                continue
            except StoreUnavailable as error:
                _log_silent(checker, error)
                broken = True
                continue
            except (RegistryError, CancelledError):
                raise
            except Exception:  # noqa: BLE001  # whatever breaks in a checker that others wrote, the next one may do
                log.failure("the checker {checker} failed", checker=_kind(checker))
                broken = True
                continue
            return await self._logged_in(avatar)
        if broken:
            raise StoreUnavailable(_LATER)
        raise Unauthorized(_NOBODY if IClientCertificate.providedBy(credentials) else _WRONG)

    async def redeem(self, token: str) -> Principal:
        """See :meth:`.IAuthenticator.redeem`; the bearer is looked up each time."""
        principal, issued_at = await self._tokens.opened(token)
        return await self.current(principal, issued_at)

    async def current(self, principal: Principal, issued_at: float | None = None) -> Principal:
        """
        See :meth:`.IAuthenticator.current`.

        A token ends with its account, and for people from elsewhere when no checker has the name any more. While there
        is a checker that knows people by their credentials only, the token of a name that the others do not have passes
        until it expires.

        What was had with the password of an account ends with that password. An access token outlives it.

        A robot is somebody's: its owner is looked up, and has no groups to share.

        :raises StoreUnavailable: no checker has the name, and one of them did not work.
        """
        if principal.name is None:
            return principal
        name = principal.name if principal.token_id is None else principal.name.partition(ROBOT_MARK)[0]
        found = await self._find(name)
        if found is not None and name == principal.name:
            principal = evolve(principal, groups=found.groups)
        try:
            account = await self._account(principal, issued_at, is_known=found is not None)
        except AccountInactive:
            raise Unauthorized("the account of this token is not active", "invalid_token") from None
        if account is None:
            return principal
        return evolve(principal, admin=account.admin, password_mark=_mark(principal, account))

    def challenge(self, wanted: Access | None) -> Challenge:  # the same whatever is wanted
        """Basic for who has a password, Token for who was given one by the index."""
        return Challenge((f'Basic realm="{self._realm}"', "Token"))

    async def _find(self, name: str) -> Person | None:
        """What the first checker that has the name says of it; None when none has, and one can not deny it."""
        deniable, broken = True, False
        for checker in self._checkers:
            if not IDirectory.providedBy(checker):
                deniable = False
                continue
            try:
                found = await checker.find(name)
            except StoreUnavailable as error:
                _log_silent(checker, error)
                broken = True
                continue
            if found is not None:
                return found
        if broken:
            raise StoreUnavailable(_LATER)
        if deniable:
            raise Unauthorized("nobody has the name of this token any more")
        return None

    async def _logged_in(self, avatar: object) -> Principal:
        if avatar == ANONYMOUS_AVATAR:
            return ANONYMOUS
        person = _person(avatar)
        if person is None:
            log.warn("a checker gave an avatar id that can not be used as a name")
            raise Unauthorized(_WRONG)
        principal = Principal(person.name, groups=person.groups)
        account = await self._account(principal)
        if account is None:
            return principal
        return Principal(person.name, account.admin, groups=person.groups, password_mark=password_mark(account))

    async def _account(
        self, principal: Principal, issued_at: float | None = None, *, is_known: bool = True
    ) -> Account | None:
        """
        The account of that name, if there is one, which lets him in.

        :param issued_at: when its bearer was given a token; somebody who has the name since a later time is another one.
        :param is_known: whether a checker has the name.
        """
        assert principal.name is not None
        try:
            account = await self._accounts.get(principal.name)
        except AccountUnknown as unknown:
            if unknown.deleted and (not is_known or principal.password_mark is not None):
                raise Unauthorized("the account was deleted", "invalid_token") from None
            return None
        if issued_at is not None and (account.renewed_at or 0.0) > issued_at + _CLOCK_SKEW_SECONDS:
            raise Unauthorized("the account of this token was deleted", "invalid_token")
        if principal.password_mark not in (None, _mark(principal, account)):
            raise Unauthorized("the password is another one now; log in again", "invalid_token")
        if not account.is_usable:
            raise AccountInactive(account.name)
        return account


def _mark(principal: Principal, account: Account) -> str | None:
    """The mark of the password that somebody is known by; None for an access token, whatever the password is."""
    return password_mark(account) if principal.token_id is None else None


def _person(avatar: object) -> Person | None:
    if isinstance(avatar, bytes):
        try:
            avatar = avatar.decode("utf-8")
        except UnicodeDecodeError:
            return None
    person = Person(avatar) if isinstance(avatar, str) else avatar
    if not isinstance(person, Person):
        return None
    return person if 0 < len(person.name) <= _MAX_NAME and person.name.isprintable() else None


def _log_silent(checker: ICredentialsChecker, error: StoreUnavailable) -> None:
    log.warn("the checker {checker} did not answer: {problem}", checker=_kind(checker), problem=explained(error))


def _kind(checker: ICredentialsChecker) -> str:
    return type(checker).__name__
