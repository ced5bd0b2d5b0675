"""
Signed v1 tokens: who, one repository, which actions, until when.

A token is a JWT (RFC 7519) with ``kid`` and a ``typ`` of its own, wrapped into the text that the Hub documentation shows. The
members around the signature are for the eyes of a registry with a separate index, which knows nothing else: it believes
them once the index has accepted the whole. So a text whose repository or access is not what was signed is refused here.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import jwt
from attrs import define, field, validators
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from dockreg.errors import Unauthorized
from dockreg.interfaces_access import IKeyStore, ITokenIssuer
from dockreg.model.access import ANONYMOUS, Action, Ceiling, Principal
from dockreg.model.accounts import SigningKey
from dockreg.model.names import RepositoryName
from dockreg.providers.auth.tokentext import TokenText, access_word

#: What the key store calls our keys.
PURPOSE = "v1-token"
#: The ``typ`` of the header (RFC 8725 3.11): a JWT made for anything else is no v1 token.
TYPE = "dockreg-v1+jwt"
ISSUER = "dockreg"
AUDIENCE = "dockreg-v1"
ALGORITHM = "HS256"

_KEY_BYTES = 32
_MAX_TOKEN = 4096
_CLOCK_SKEW_SECONDS = 300
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
# PyJWT would look at the clock of the machine; ours is an argument.
_OPTIONS: Any = {
    "require": ["iss", "aud", "repo", "actions", "iat", "exp", "jti"],
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


@implementer(ITokenIssuer)
@define(eq=False)
class TokenSigner:
    """
    Issues and redeems v1 tokens with the keys of the store: the newest signs, each of them verifies.

    The keys are read for each token, so a key that another process adds or drops counts at once.

    :param new_id: makes unique text, for keys and tokens.
    :param random_bytes: as many random bytes as it is asked for (``os.urandom`` in production).
    :param lifetime_seconds: longer than the longest push, for engines before 1.7 never take a newer token.
    """

    _keys: IKeyStore
    _clock: IReactorTime
    _new_id: Callable[[], str]
    _random_bytes: Callable[[int], bytes]
    _lifetime_seconds: int = field(default=86400, validator=validators.ge(1))

    async def issue(self, principal: Principal, repository: RepositoryName, actions: frozenset[Action]) -> str:
        """
        A token that lets its bearer do ``actions``, as far as ``principal`` may do them when it is used.

        Each action brings :attr:`.Action.PULL` along; nothing else is implied (``access=write`` is the word for push,
        overwrite or both, ``access=delete`` for delete without these). A principal that came with a token is given no
        wider one: elsewhere than in its repository it is anonymous.
        """
        now = int(self._clock.seconds())
        key = (await self._all_keys())[0]
        principal, actions = _narrowed(principal, repository, actions)
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "repo": repository.value,
            "actions": sorted(action.value for action in actions),
            "iat": now,
            "exp": now + self._lifetime_seconds,
            "jti": self._new_id(),
        }
        if principal.name is not None:
            claims["sub"] = principal.name
        if principal.token_id is not None:
            claims["tid"] = principal.token_id
        signature = jwt.encode(claims, key.secret, algorithm=ALGORITHM, headers=_header(key.key_id))
        return f'signature={signature},repository="{repository.v1}",access={access_word(actions)}'

    async def redeem(self, text: str) -> Principal:
        """
        The principal that a token names, with the ceiling that was signed; whether it may still do so is not known here.

        :raises Unauthorized: not ours, changed, not valid yet, or expired.
        """
        return (await self.opened(text))[0]

    async def opened(self, text: str) -> tuple[Principal, float]:
        """As :meth:`redeem`, and when the token was issued."""
        said = TokenText.parse(text)
        claims = await self._verified(said.signature)
        principal, repository, actions = self._read(claims)
        if said.repository not in (None, repository.value, repository.v1):
            raise _invalid()
        if said.access not in (None, access_word(actions)):
            raise _invalid()
        return principal, claims["iat"]

    async def _verified(self, signature: str | None) -> Mapping[str, Any]:
        if signature is None or len(signature) > _MAX_TOKEN or not _COMPACT.fullmatch(signature):
            raise _invalid()
        keys = {key.key_id: key for key in await self._all_keys()}
        try:
            header = jwt.get_unverified_header(signature)
            key = keys.get(header["kid"])
            if key is None or header != _header(key.key_id):
                raise _invalid()
            return jwt.decode(
                signature, key.secret, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER, options=_OPTIONS
            )
        except (jwt.PyJWTError, KeyError, TypeError, ValueError):
            raise _invalid() from None

    def _read(self, claims: Mapping[str, Any]) -> tuple[Principal, RepositoryName, frozenset[Action]]:
        self._check_time(claims)
        name, repository, token_id = claims.get("sub"), claims["repo"], claims.get("tid")
        if not isinstance(repository, str) or not isinstance(token_id, str | None):
            raise _invalid()
        try:
            actions = frozenset(Action(value) for value in claims["actions"])
        except (TypeError, ValueError):
            raise _invalid() from None
        bound_to = RepositoryName(repository)
        return Principal(name, ceiling=Ceiling.of(bound_to, actions), token_id=token_id), bound_to, actions

    def _check_time(self, claims: Mapping[str, Any]) -> None:
        now = self._clock.seconds()
        issued, begins, ends = claims["iat"], claims.get("nbf", 0), claims["exp"]
        if not all(type(moment) is int for moment in (issued, begins, ends)):
            raise _invalid()
        # Another process may have signed it by a clock that is ahead of ours; its end is kept to the second.
        if begins > now or issued > now + _CLOCK_SKEW_SECONDS:
            raise Unauthorized("the token is not valid yet; check the clock of the registry")
        if ends <= now:
            raise Unauthorized("the token has expired; start the push or pull again")

    async def _all_keys(self) -> list[SigningKey]:
        now = self._clock.seconds()
        return list(
            await self._keys.get(PURPOSE, lambda: SigningKey(self._new_id(), self._random_bytes(_KEY_BYTES), now))
        )


def _narrowed(
    principal: Principal, repository: RepositoryName, actions: frozenset[Action]
) -> tuple[Principal, frozenset[Action]]:
    wider = actions | {Action.PULL} if actions else actions
    if principal.ceiling is None:
        return principal, wider
    reached = principal.within(repository)
    return (principal, wider & reached) if reached else (ANONYMOUS, wider)


def _header(key_id: str) -> dict[str, str]:
    return {"alg": ALGORITHM, "kid": key_id, "typ": TYPE}


def _invalid() -> Unauthorized:
    return Unauthorized("the token is not valid")
