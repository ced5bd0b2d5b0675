"""Who has to wait before the next attempt to log in."""

from attrs import define
from twisted.cred.credentials import ICredentials, IUsernamePassword
from twisted.internet.defer import CancelledError
from zope.interface import implementer

from dockreg.attempts import Attempts
from dockreg.errors import AccountInactive, Unauthorized
from dockreg.interfaces_access import IAuthenticator
from dockreg.model.access import Access, Challenge, Principal
from dockreg.model.networks import NO_ADDRESS
from dockreg.providers.auth.verified import presented
from dockreg.shield import detached


@implementer(IAuthenticator)
@define(eq=False)
class ThrottledAuthenticator:
    """
    Lets names and passwords be checked by another authenticator, unless too many attempts failed lately.

    Names that nobody has are counted like others, or their limits would tell which they are.
    """

    _attempts: Attempts
    _checked: IAuthenticator

    async def login(self, credentials: ICredentials, address: str = NO_ADDRESS) -> Principal:
        """See :meth:`.IAuthenticator.login`."""
        if not IUsernamePassword.providedBy(credentials):
            # There is nothing to guess.
            return await self._checked.login(credentials, address)
        name = presented(credentials)[0].decode("utf-8", "surrogateescape")
        await self._attempts.begin(name, address)
        try:
            principal = await self._checked.login(credentials, address)
        except Unauthorized:
            await self._attempts.failed(name, address)
            raise
        except CancelledError:
            # To hang up early is no way around being counted.
            detached(self._attempts.failed(name, address))
            raise
        except AccountInactive:
            await self._attempts.succeeded(name, address)
            raise
        if principal.name is not None:
            await self._attempts.succeeded(name, address)
        return principal

    async def redeem(self, token: str) -> Principal:
        """See :meth:`.IAuthenticator.redeem`."""
        return await self._checked.redeem(token)

    async def current(self, principal: Principal, issued_at: float | None = None) -> Principal:
        """See :meth:`.IAuthenticator.current`."""
        return await self._checked.current(principal, issued_at)

    def challenge(self, wanted: Access | None) -> Challenge:
        """See :meth:`.IAuthenticator.challenge`."""
        return self._checked.challenge(wanted)
