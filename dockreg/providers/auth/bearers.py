"""
The tokens of v2, when the registry is its own token service.

A bearer token says who, what was asked for, and what of that was granted when it was made (``access``, in docker's
form). What counts for a request is what was asked for, as far as the rights of that moment allow it: a client whose token
has the scope, and which may not, is told so, and is not sent for another token.

Both kinds of token end with the account, with the password that they were had for, and with the access token that was
presented instead of one. A refresh token stands for these credentials.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen, validators
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from dockreg.errors import AccountUnknown, NameUnknown, Unauthorized
from dockreg.interfaces import IRepositoryStore
from dockreg.interfaces_access import (
    IAccountStore,
    IAuthenticator,
    IAuthorizer,
    IBearers,
    IKeyStore,
    ITokenService,
)
from dockreg.model.access import NOTHING, Access, Action, Ceiling, Principal, Reach
from dockreg.model.accounts import password_mark
from dockreg.model.names import RepositoryName
from dockreg.model.scopes import claims_of, parse_scopes, reach_of, scope_of
from dockreg.model.tokens import Bearer, Renewal, service_of
from dockreg.providers.auth.challenges import bearer_challenge
from dockreg.providers.auth.jwts import INVALID_TOKEN, JWTs, invalid
from dockreg.providers.auth.keys import BEARERS, REFRESHERS, TokenKeys, public_members

BEARER_TYPE = "dockreg-v2+jwt"
REFRESH_TYPE = "dockreg-refresh+jwt"
ISSUER = "dockreg"
#: Where the token service is, below the origin of the registry.
PATH = "/v2/token"

#: A token has to fit into a header, with others beside it, whatever the scopes that are taken and the name.
_MAX_TOKEN = 14 * 1024
_LONGEST_BEARER = 600


@frozen
class TokenTimes:
    """How long tokens are good, in seconds."""

    bearer: int = field(default=300, validator=[validators.ge(1), validators.le(_LONGEST_BEARER)])
    refresh: int = field(default=90 * 86400, validator=validators.ge(1))


@define(eq=False)
class OwnKeys:
    """The keys of both kinds of token."""

    bearers: TokenKeys
    refreshers: TokenKeys

    @classmethod
    def make(
        cls,
        store: IKeyStore,
        clock: IReactorTime,
        new_id: Callable[[], str],
        random_bytes: Callable[[int], bytes],
        times: TokenTimes,
    ) -> "OwnKeys":
        """Keys in ``store``."""
        return cls(
            TokenKeys(store, BEARERS, clock, new_id, random_bytes, times.bearer),
            TokenKeys(store, REFRESHERS, clock, new_id, random_bytes, times.refresh),
        )


@implementer(IBearers, ITokenService)
@define(eq=False)
class OwnTokens:
    """
    Issues and redeems bearer tokens and refresh tokens.

    :param authorizer: what is granted now is asked there.
    :param new_id: makes unique text.
    """

    _keys: OwnKeys
    _authenticator: IAuthenticator
    _authorizer: IAuthorizer
    _accounts: IAccountStore
    _repositories: IRepositoryStore
    _clock: IReactorTime
    _new_id: Callable[[], str]
    _times: TokenTimes = field(factory=TokenTimes)
    _bearers: JWTs = field(init=False)
    _refreshers: JWTs = field(init=False)

    def __attrs_post_init__(self) -> None:
        def kind(keys: TokenKeys, name: str, *required: str) -> JWTs:
            return JWTs(keys, self._clock, self._new_id, name, ISSUER, required, _MAX_TOKEN)

        self._bearers = kind(self._keys.bearers, BEARER_TYPE, "asked", "access")
        self._refreshers = kind(self._keys.refreshers, REFRESH_TYPE, "sub", "bound")

    async def issue(self, principal: Principal, wanted: Sequence[Access], service: str) -> Bearer:
        """See :meth:`.ITokenService.issue`."""
        if principal.ceiling is not None and principal.token_id is None:
            raise Unauthorized("a token is given for user name and password, not for a part of what they allow")
        now = int(self._clock.seconds())
        granted = [Access(each.repository, await self._granted(principal, each)) for each in wanted]
        claims = {**_said_of(principal), "access": claims_of(granted), "asked": scope_of(wanted), "nbf": now}
        ends = now + self._times.bearer
        return Bearer(await self._bearers.sign(claims, service, ends), now, ends, granted)

    async def issue_refresh(self, principal: Principal, service: str, ends: int | None = None) -> str | None:
        """
        See :meth:`.ITokenService.issue_refresh`.

        Who is known from elsewhere gets none: it would not be known when the password there is another.
        """
        bound = await self._bound(principal)
        if bound is None:
            return None
        latest = int(self._clock.seconds()) + self._times.refresh
        claims = {**_said_of(principal), "bound": bound}
        return await self._refreshers.sign(claims, service, latest if ends is None else min(ends, latest))

    async def refresh(self, token: str, service: str) -> Renewal:
        """See :meth:`.ITokenService.refresh`."""
        claims = await self._refreshers.verified(token, service)
        principal = await self._current(claims, None)
        if claims["bound"] != await self._bound(principal):
            raise Unauthorized("the password is another one now; log in again", INVALID_TOKEN)
        return Renewal(principal, claims["exp"])

    async def public_keys(self) -> Sequence[Mapping[str, str]]:
        """See :meth:`.ITokenService.public_keys`."""
        return [public_members(key) for key in (await self._keys.bearers.verifying()).values()]

    async def redeem(self, token: str, origin: str) -> Principal:
        """See :meth:`.IBearers.redeem`."""
        claims = await self._bearers.verified(token, service_of(origin))
        asked = claims["asked"]
        if not isinstance(asked, str):
            raise invalid()
        return await self._current(claims, reach_of(parse_scopes([asked])))

    def challenge(self, origin: str, wanted: Sequence[Access], fault: str) -> str:
        """See :meth:`.IBearers.challenge`."""
        return bearer_challenge(f"{origin}{PATH}", service_of(origin), wanted, fault)

    async def _current(self, claims: Mapping[str, Any], asked: Reach | None) -> Principal:
        name, token_id, mark = claims.get("sub"), claims.get("tid"), claims.get("pwd")
        if not isinstance(token_id, str | None) or not isinstance(mark, str | None):
            raise invalid()
        ceiling = None if asked is None else Ceiling((asked,))
        renewable = asked is not None
        principal = Principal(name, ceiling=ceiling, renewable=renewable, token_id=token_id, password_mark=mark)
        try:
            return await self._authenticator.current(principal, claims["iat"])
        except Unauthorized as problem:
            raise Unauthorized(problem.reason, INVALID_TOKEN) from None

    async def _granted(self, principal: Principal, wanted: Access) -> frozenset[Action]:
        """
        What of ``wanted`` is allowed, told of a repository only where it tells no more than the repository itself.

        Who may not pull is not told whether a repository is there. One that is not there is judged as if it were about
        to be created: who may not create it is told the same as of one that is closed to him.
        """
        asked = Access(wanted.repository, wanted.actions | {Action.PULL, Action.PUSH})
        granted = await self._authorizer.granted(principal, asked)
        if wanted.repository is not None and Action.PUSH not in granted and not await self._is_there(wanted.repository):
            return NOTHING
        return granted & wanted.actions if Action.PULL in granted else NOTHING

    async def _is_there(self, name: RepositoryName) -> bool:
        try:
            await self._repositories.get(name)
        except NameUnknown:
            return False
        return True

    async def _bound(self, principal: Principal) -> str | None:
        """What a refresh token ends with, beside the account; None when that can not be known."""
        if principal.name is None:
            return None
        if principal.token_id is not None:
            return f"token {principal.token_id}"
        try:
            account = await self._accounts.get(principal.name)
        except AccountUnknown:
            return None
        mark = password_mark(account)
        return None if mark is None else f"password {mark}"


def _said_of(principal: Principal) -> dict[str, Any]:
    """The claims about who it is. How far an access token reaches is looked up when the token is used."""
    said = {"sub": principal.name, "tid": principal.token_id, "pwd": principal.password_mark}
    return {claim: value for claim, value in said.items() if value is not None}
