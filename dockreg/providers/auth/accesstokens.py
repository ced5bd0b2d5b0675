"""Who comes with an access token, and who with something that was had for one."""

from attrs import define, evolve
from twisted.cred.credentials import ICredentials, IUsernamePassword
from zope.interface import implementer

from dockreg.accesstokens import AccessTokens
from dockreg.errors import Unauthorized
from dockreg.interfaces_access import IAuthenticator
from dockreg.model.access import Access, Challenge, Principal
from dockreg.model.accounts import ROBOT_MARK
from dockreg.model.networks import NO_ADDRESS
from dockreg.providers.auth.verified import presented


@implementer(IAuthenticator)
@define(eq=False)
class AccessTokenAuthenticator:
    """
    Takes access tokens in the place of passwords, and asks another authenticator about all else.

    What is had for an access token, such as a v1 token, names it: it reaches no further than the access token does
    now, and ends with it.
    """

    _tokens: AccessTokens
    _others: IAuthenticator

    async def login(self, credentials: ICredentials, address: str = NO_ADDRESS) -> Principal:
        """See :meth:`.IAuthenticator.login`."""
        bearer = await self._bearer(credentials)
        if bearer is not None:
            return bearer
        principal = await self._others.login(credentials, address)
        if principal.name is not None and ROBOT_MARK in principal.name:
            # Whoever else has such a name, it is not the robot.
            raise Unauthorized("a robot logs in with an access token only")
        return principal

    async def redeem(self, token: str) -> Principal:
        """See :meth:`.IAuthenticator.redeem`."""
        return await self._lowered(await self._others.redeem(token))

    async def current(self, principal: Principal, issued_at: float | None = None) -> Principal:
        """See :meth:`.IAuthenticator.current`."""
        return await self._lowered(await self._others.current(principal, issued_at))

    def challenge(self, wanted: Access | None) -> Challenge:
        """See :meth:`.IAuthenticator.challenge`."""
        return self._others.challenge(wanted)

    async def _bearer(self, credentials: ICredentials) -> Principal | None:
        if not IUsernamePassword.providedBy(credentials):
            return None
        token = await self._tokens.presented(*presented(credentials))
        if token is None:
            return None
        return await self._others.current(
            Principal(token.account, ceiling=token.lowered(None), token_id=token.token_id)
        )

    async def _lowered(self, principal: Principal) -> Principal:
        if principal.token_id is None:
            return principal
        token = await self._tokens.current(principal.token_id)
        if token.account != principal.name:
            raise Unauthorized("the token is not valid", "invalid_token")
        return evolve(principal, ceiling=token.lowered(principal.ceiling))
