"""The ``twisted.cred`` checker for accounts in the metadata store."""

import hmac
from collections.abc import Callable
from typing import cast

from attrs import define, field, validators
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from dockreg.errors import AccountInactive, AccountUnknown
from dockreg.interfaces_access import IAccountStore, IPasswordHasher
from dockreg.model.accounts import Account
from dockreg.providers.auth.remembered import Remembered

_MAX_REMEMBERED = 1024


@implementer(ICredentialsChecker)
@define(eq=False)
class AccountsChecker:
    """
    Checks names and passwords against stored accounts.

    Engines send the password with every request, so what was verified is remembered for up to a minute: under a keyed
    hash, with a key that never leaves the process, of the name, the password and the stored hash. The account is read
    each time: a new password, or an account that was disabled, counts from the next request on.

    :param random_bytes: as many random bytes as it is asked for (``os.urandom`` in production).
    """

    credentialInterfaces = (IUsernamePassword,)

    _store: IAccountStore
    _hasher: IPasswordHasher
    _clock: IReactorTime
    _random_bytes: Callable[[int], bytes]
    _remember_seconds: float = field(default=60, validator=[validators.ge(0), validators.le(60)])
    _key: bytes = field(init=False)
    _verified: Remembered[bool] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._key = self._random_bytes(32)
        self._verified = Remembered(self._clock, self._remember_seconds, _MAX_REMEMBERED)

    def requestAvatarId(self, credentials: IUsernamePassword) -> Deferred[bytes | tuple[()]]:
        """
        The name of the account, as ``twisted.cred`` asks for it.

        :raises UnauthorizedLogin: there is no such account, or the password is another; both take the same time.
        :raises AccountInactive: the password is right, the account is disabled.
        :raises Busy: too many passwords are being verified already.
        """
        # The interface has no members for them, yet every checker reads these two.
        given = cast("UsernamePassword", credentials)
        return Deferred.fromCoroutine(self._check(_as_bytes(given.username), _as_bytes(given.password)))

    async def _check(self, name: bytes, password: bytes) -> bytes | tuple[()]:
        account = await self._find(name)
        if account is None:
            await self._hasher.verify_nobody(password)
            raise UnauthorizedLogin
        proof = self._proof(name, password, account.password_hash)
        if self._verified.recall(proof) is None:
            if not await self._hasher.verify(account.password_hash, password):
                raise UnauthorizedLogin
            self._verified.keep(proof, True)
        if not account.active:
            raise AccountInactive(account.name)
        return name

    async def _find(self, name: bytes) -> Account | None:
        try:
            return await self._store.get(name.decode("utf-8"))
        except (AccountUnknown, UnicodeDecodeError):
            return None

    def _proof(self, name: bytes, password: bytes, password_hash: str) -> bytes:
        proof = hmac.new(self._key, digestmod="sha256")
        for part in (name, password, password_hash.encode("utf-8")):
            proof.update(len(part).to_bytes(8, "big"))
            proof.update(part)
        return proof.digest()


def _as_bytes(text: bytes | str) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
