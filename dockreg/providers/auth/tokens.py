"""
Signed v1 tokens: who, one repository, which actions, until when.

A token is a JWT (RFC 7519) with ``kid`` and a ``typ`` of its own, wrapped into the text that the Hub documentation shows. The
members around the signature are for the eyes of a registry with a separate index, which knows nothing else: it believes
them once the index has accepted the whole. So a text whose repository or access is not what was signed is refused here.
"""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field, validators
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from dockreg.interfaces_access import IKeyStore, ITokenIssuer
from dockreg.model.access import ANONYMOUS, Action, Ceiling, Principal
from dockreg.model.names import RepositoryName
from dockreg.providers.auth.jwts import JWTs, invalid
from dockreg.providers.auth.keys import V1_TOKENS, TokenKeys
from dockreg.providers.auth.tokentext import TokenText, access_word

#: A JWT that was made for anything else is no v1 token.
TYPE = "dockreg-v1+jwt"
ISSUER = "dockreg"
AUDIENCE = "dockreg-v1"

_MAX_TOKEN = 4096


@implementer(ITokenIssuer)
@define(eq=False)
class TokenSigner:
    """
    Issues and redeems v1 tokens with the keys of the store.

    :param new_id: makes unique text, for keys and tokens.
    :param random_bytes: as many random bytes as it is asked for (``os.urandom`` in production).
    :param lifetime_seconds: longer than the longest push, for engines before 1.7 never take a newer token.
    """

    _store: IKeyStore
    _clock: IReactorTime
    _new_id: Callable[[], str]
    _random_bytes: Callable[[int], bytes]
    _lifetime_seconds: int = field(default=86400, validator=validators.ge(1))
    keys: TokenKeys = field(init=False)
    _jwts: JWTs = field(init=False)

    def __attrs_post_init__(self) -> None:
        new_id, lifetime = self._new_id, self._lifetime_seconds
        self.keys = TokenKeys(self._store, V1_TOKENS, self._clock, new_id, self._random_bytes, lifetime)
        self._jwts = JWTs(self.keys, self._clock, new_id, TYPE, ISSUER, ["repo", "actions"], _MAX_TOKEN)

    async def issue(self, principal: Principal, repository: RepositoryName, actions: frozenset[Action]) -> str:
        """
        A token that lets its bearer do ``actions``, as far as ``principal`` may do them when it is used.

        Each action brings :attr:`.Action.PULL` along; nothing else is implied (``access=write`` is the word for push,
        overwrite or both, ``access=delete`` for delete without these). A principal that came with a token is given no
        wider one: elsewhere than in its repository it is anonymous. Who came with a token of v2 is anonymous everywhere,
        for that one ends much sooner.
        """
        principal, actions = _narrowed(principal, repository, actions)
        claims: dict[str, Any] = {
            "repo": repository.value,
            "actions": sorted(action.value for action in actions),
        }
        if principal.name is not None:
            claims["sub"] = principal.name
        if principal.token_id is not None:
            claims["tid"] = principal.token_id
        if principal.password_mark is not None:
            claims["pwd"] = principal.password_mark
        ends = int(self._clock.seconds()) + self._lifetime_seconds
        signature = await self._jwts.sign(claims, AUDIENCE, ends)
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
        claims = await self._jwts.verified(said.signature, AUDIENCE)
        principal, repository, actions = _read(claims)
        if said.repository not in (None, repository.value, repository.v1):
            raise invalid()
        if said.access not in (None, access_word(actions)):
            raise invalid()
        return principal, claims["iat"]


def _read(claims: Mapping[str, Any]) -> tuple[Principal, RepositoryName, frozenset[Action]]:
    name, token_id, repository = claims.get("sub"), claims.get("tid"), claims["repo"]
    mark = claims.get("pwd")
    if not isinstance(repository, str) or not isinstance(token_id, str | None) or not isinstance(mark, str | None):
        raise invalid()
    try:
        actions = frozenset(Action(value) for value in claims["actions"])
    except (TypeError, ValueError):
        raise invalid() from None
    bound_to = RepositoryName(repository)
    ceiling = Ceiling.of(bound_to, actions)
    return Principal(name, ceiling=ceiling, token_id=token_id, password_mark=mark), bound_to, actions


def _narrowed(
    principal: Principal, repository: RepositoryName, actions: frozenset[Action]
) -> tuple[Principal, frozenset[Action]]:
    wider = actions | {Action.PULL} if actions else actions
    if principal.renewable or principal.decided:
        return ANONYMOUS, wider
    if principal.ceiling is None:
        return principal, wider
    reached = principal.within(repository)
    return (principal, wider & reached) if reached else (ANONYMOUS, wider)
