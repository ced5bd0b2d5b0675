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

from dockreg.errors import AccountInactive, AccountUnknown, RegistryError, StoreUnavailable, Unauthorized
from dockreg.interfaces_access import IAccountStore, IAuthenticator
from dockreg.model.access import ANONYMOUS, Access, Challenge, Principal
from dockreg.providers.auth.tokens import TokenSigner

log = Logger()

# A token carries the name, and has to stay below 4 KB whatever the name is written in.
_MAX_NAME = 128
_WRONG = "wrong user name or password"


@implementer(IAuthenticator)
@define(eq=False)
class CredAuthenticator:
    """
    Asks each checker in turn until one knows the credentials.

    All checkers share one space of names: ``anna`` of an htpasswd file and ``anna`` of the accounts are one principal,
    and a stored account of that name, when there is one, says whether she is active and an administrator. Where
    strangers may register accounts, a further checker therefore needs names that they can not take.

    :param checkers: any ``ICredentialsChecker``, which is asked for the kinds of credentials that it takes. Its avatar
        id, bytes in UTF-8 or text, is the name.
    """

    _checkers: Sequence[ICredentialsChecker]
    _accounts: IAccountStore
    _tokens: TokenSigner
    _realm: str = "dockreg"

    async def login(self, credentials: ICredentials) -> Principal:
        """
        See :meth:`.IAuthenticator.login`.

        :raises StoreUnavailable: no checker knows the credentials, and one of them did not work.
        """
        broken = False
        for checker in self._checkers:
            if not any(kind.providedBy(credentials) for kind in checker.credentialInterfaces):
                continue
            try:
                avatar = await maybeDeferred(checker.requestAvatarId, credentials)
            except (LoginFailed, Refused):
                continue
            except (RegistryError, CancelledError):
                raise
            except Exception:  # noqa: BLE001  # whatever breaks in a checker that others wrote, the next one may do
                log.failure("the checker {checker} failed", checker=type(checker).__name__)
                broken = True
                continue
            return await self._logged_in(avatar)
        if broken:
            raise StoreUnavailable("passwords can not be checked now; try again later")
        raise Unauthorized(_WRONG)

    async def redeem(self, token: str) -> Principal:
        """
        See :meth:`.IAuthenticator.redeem`.

        The account is looked up each time: a token ends with its account. A name that only a further checker knows
        passes until the token expires.
        """
        return await self.current(await self._tokens.redeem(token))

    async def current(self, principal: Principal) -> Principal:
        """See :meth:`.IAuthenticator.current`."""
        try:
            return await self._with_account(principal)
        except AccountInactive:
            raise Unauthorized("the account of this token is not active") from None

    def challenge(self, wanted: Access | None) -> Challenge:  # the same whatever is wanted
        """Basic for who has a password, Token for who was given one by the index."""
        return Challenge((f'Basic realm="{self._realm}"', "Token"))

    async def _logged_in(self, avatar: object) -> Principal:
        if avatar == ANONYMOUS_AVATAR:
            return ANONYMOUS
        name = _name(avatar)
        if name is None:
            log.warn("a checker gave an avatar id that can not be used as a name")
            raise Unauthorized(_WRONG)
        return await self._with_account(Principal(name))

    async def _with_account(self, principal: Principal) -> Principal:
        if principal.name is None:
            return principal
        try:
            account = await self._accounts.get(principal.name)
        except AccountUnknown:
            return principal
        if not account.active:
            raise AccountInactive(account.name)
        return evolve(principal, admin=account.admin)


def _name(avatar: object) -> str | None:
    if isinstance(avatar, bytes):
        try:
            avatar = avatar.decode("utf-8")
        except UnicodeDecodeError:
            return None
    if isinstance(avatar, str) and 0 < len(avatar) <= _MAX_NAME and avatar.isprintable():
        return avatar
    return None
