"""The ``twisted.cred`` checker for accounts in the metadata store."""

from attrs import define
from twisted.cred.credentials import ICredentials, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from zope.interface import implementer

from dockreg.errors import AccountInactive, AccountUnknown
from dockreg.interfaces_access import IAccountStore, IDirectory, IPasswordHasher, IStoredPeople
from dockreg.model.accounts import Account
from dockreg.model.people import Person
from dockreg.providers.auth.verified import Verified, presented


@implementer(IStoredPeople, IDirectory)
@define(eq=False)
class AccountsChecker:
    """
    Checks names and passwords against stored accounts.

    What was verified is remembered together with the stored hash, and the account is read each time: a new password, or
    an account that was disabled, counts from the next request on.
    """

    credentialInterfaces = (IUsernamePassword,)

    _store: IAccountStore
    _hasher: IPasswordHasher
    _verified: Verified[bool]

    def requestAvatarId(self, credentials: IUsernamePassword) -> Deferred[bytes | tuple[()]]:
        """
        The name of the account, as ``twisted.cred`` asks for it.

        :raises UnauthorizedLogin: there is no such account, or the password is another; both take the same time.
        :raises AccountInactive: the password is right, the account is disabled.
        :raises Busy: too many passwords are being verified already.
        """
        return Deferred.fromCoroutine(self.avatar_id(credentials))

    async def find(self, name: str) -> Person | None:
        """See :meth:`.IDirectory.find`; a disabled account is one, too."""
        account = await self._account(name)
        return None if account is None else Person(account.name)

    async def avatar_id(self, credentials: ICredentials) -> bytes | tuple[()]:
        """See :class:`.IAwaitedChecker`."""
        name, password = presented(credentials)
        account = await self._account(_as_text(name))
        if account is None:
            await self._hasher.verify_nobody(password)
            raise UnauthorizedLogin
        stored = account.password_hash
        if self._verified.recall(name, password, stored.encode("utf-8")) is None:
            if not await self._hasher.verify(stored, password):
                raise UnauthorizedLogin
            self._verified.keep(True, name, password, stored.encode("utf-8"))
        if not account.is_usable:
            raise AccountInactive(account.name)
        return name

    async def _account(self, name: str | None) -> Account | None:
        if name is None:
            return None
        try:
            return await self._store.get(name)
        except AccountUnknown:
            return None


def _as_text(name: bytes) -> str | None:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return None
