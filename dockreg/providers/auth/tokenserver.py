"""
The tokens of v2, when another token server makes them (distribution, "Docker Registry v2 authentication").

What it has granted is granted: a right that it takes away ends with the token, and a token counts for ten minutes after
it was made, whatever end it names.
"""

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import jwt
from attrs import define
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from dockreg.errors import Unauthorized
from dockreg.interfaces_access import IAuthorizer, IBearers
from dockreg.model.access import Access, Action, Ceiling, Principal
from dockreg.model.names import RepositoryName
from dockreg.model.repositories import RepositoryRecord
from dockreg.model.scopes import parse_scope, reach_of
from dockreg.providers.auth.challenges import bearer_challenge
from dockreg.providers.auth.jwts import INVALID_TOKEN, invalid
from dockreg.providers.auth.trustedkeys import TrustedKeys

_MAX_TOKEN = 16 * 1024
_MAX_NAME = 128
_MAX_ENTRIES = 128
#: A token counts for so long after it was made.
_LONGEST_SECONDS = 600
#: The clock of the server may be ahead of ours.
_CLOCK_SKEW_SECONDS = 60
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
#: What tokens for registries call themselves; refresh tokens and tokens of identity do not.
_TYPES = frozenset({"jwt", "at+jwt", "dockreg-v2+jwt"})
#: Headers that change what a token means, and so have to be understood.
_NOT_UNDERSTOOD = frozenset({"crit", "b64", "zip"})


@implementer(IBearers)
@define(eq=False)
class ServerTokens:
    """
    Redeems the tokens of a server, and sends clients there.

    Keys, and places of keys, that a token brings along are not looked at.

    :param realm: the URL of the server, for clients.
    :param service: what this registry is called there, the audience of its tokens.
    :param issuer: what the server calls itself in its tokens.
    """

    _keys: TrustedKeys
    _clock: IReactorTime
    _realm: str
    _service: str
    _issuer: str

    async def redeem(self, token: str, origin: str) -> Principal:
        """
        See :meth:`.IBearers.redeem`; who it is and what he may is what the server says.

        :raises StoreUnavailable: the keys of the server can not be had.
        """
        claims = await self._verified(token)
        self._check_time(claims)
        reach = reach_of(_granted(claims.get("access")))
        return Principal(_name(claims), ceiling=Ceiling((reach,)), renewable=True, decided=True)

    def challenge(self, origin: str, wanted: Sequence[Access], fault: str) -> str:
        """See :meth:`.IBearers.challenge`."""
        return bearer_challenge(self._realm, self._service, wanted, fault)

    async def _verified(self, token: str) -> Mapping[str, Any]:
        if len(token) > _MAX_TOKEN or not _COMPACT.fullmatch(token):
            raise invalid()
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, TypeError, ValueError, RecursionError):
            raise invalid() from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        kind = str(header.get("typ", "JWT")).lower().removeprefix("application/")
        if not isinstance(algorithm, str) or not isinstance(key_id, str | None) or kind not in _TYPES:
            raise invalid()
        if _NOT_UNDERSTOOD & header.keys():
            raise invalid()
        for key in await self._keys.find(key_id, algorithm):
            claims = self._claims(token, key.public, algorithm)
            if claims is not None:
                return claims
        raise invalid()

    def _claims(self, token: str, public: Any, algorithm: str) -> Mapping[str, Any] | None:
        options: Any = {
            "require": ["iss", "aud", "exp"],
            # PyJWT would look at the clock of the machine; ours is an argument.
            "verify_exp": False,
            "verify_iat": False,
            "verify_nbf": False,
        }
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token, public, algorithms=[algorithm], audience=self._service, issuer=self._issuer, options=options
            )
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, RecursionError):
            return None
        return claims

    def _check_time(self, claims: Mapping[str, Any]) -> None:
        now = self._clock.seconds()
        moments = [claims.get(name) for name in ("iat", "nbf", "exp")]
        if not all(_is_moment(moment) for moment in moments if moment is not None):
            raise invalid()
        issued, begins, ends = moments
        made = issued if issued is not None else begins
        if made is None or ends is None:
            raise invalid()
        if any(moment is not None and moment > now + _CLOCK_SKEW_SECONDS for moment in (issued, begins)):
            raise Unauthorized(
                "the token is not valid yet; check the clocks of registry and token server", INVALID_TOKEN
            )
        if min(ends, made + _LONGEST_SECONDS) <= now:
            raise Unauthorized("the token has expired; ask for another one", INVALID_TOKEN)


@implementer(IAuthorizer)
@define(eq=False)
class Deciding:
    """Grants what another server has granted to its principals, and asks others about all others."""

    _others: IAuthorizer

    async def granted(self, principal: Principal, wanted: Access) -> frozenset[Action]:
        """See :meth:`.IAuthorizer.granted`."""
        if principal.decided:
            return wanted.actions & principal.within(wanted.repository)
        return await self._others.granted(principal, wanted)

    async def granted_each(
        self, principal: Principal, action: Action, names: Sequence[RepositoryName]
    ) -> Sequence[RepositoryName]:
        """See :meth:`.IAuthorizer.granted_each`."""
        if principal.decided:
            return [name for name in names if action in principal.within(name)]
        return await self._others.granted_each(principal, action, names)

    async def granted_among(
        self, principal: Principal, action: Action, records: Sequence[RepositoryRecord]
    ) -> Sequence[RepositoryRecord]:
        """See :meth:`.IAuthorizer.granted_among`."""
        if principal.decided:
            return [record for record in records if action in principal.within(record.name)]
        return await self._others.granted_among(principal, action, records)


def _is_moment(moment: object) -> bool:
    return isinstance(moment, int | float) and not isinstance(moment, bool) and isfinite(moment)


def _name(claims: Mapping[str, Any]) -> str | None:
    name = claims.get("sub") or None
    if name is not None and not (isinstance(name, str) and len(name) <= _MAX_NAME and name.isprintable()):
        raise invalid()
    return name


def _granted(access: object) -> list[Access]:
    """What the claim ``access`` says; what is not known means nothing, as in scopes."""
    if access is None:
        return []
    if not isinstance(access, list) or len(access) > _MAX_ENTRIES:
        raise invalid()
    found = []
    for entry in access:
        if not isinstance(entry, dict):
            raise invalid()
        kind, name, actions = entry.get("type"), entry.get("name"), entry.get("actions") or []
        if not isinstance(kind, str) or not isinstance(name, str) or not isinstance(actions, list):
            raise invalid()
        words = ",".join(action for action in actions if isinstance(action, str))
        found.append(parse_scope(f"{kind}:{name}:{words}"))
    return [each for each in found if each is not None]
