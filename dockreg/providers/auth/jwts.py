"""
Signed JWTs (RFC 7519) as dockreg makes them and takes them back (RFC 8725).

Each kind of token has a ``typ``, an audience and keys of its own, so that none passes for another.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from dockreg.errors import Unauthorized
from dockreg.providers.auth.keys import LoadedKey, TokenKeys
from dockreg.providers.auth.remembered import Remembered

INVALID_TOKEN = "invalid_token"  # noqa: S105  # the word of RFC 6750

_CLOCK_SKEW_SECONDS = 300
#: How long, and of how many tokens, it is remembered that their signature is good.
_REMEMBERED_SECONDS = 60.0
_MOST_REMEMBERED = 1024
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_ALWAYS = ("iss", "aud", "iat", "exp", "jti")


@define(eq=False)
class JWTs:
    """
    Signs and verifies one kind of token.

    :param kind: the ``typ`` of the header (RFC 8725 3.11).
    :param required: the claims that each token has, beside those that all tokens have.
    :param max_size: what a token has at most, in characters.
    :param new_id: makes unique text.
    """

    _keys: TokenKeys
    _clock: IReactorTime
    _new_id: Callable[[], str]
    _kind: str
    _issuer: str
    _required: Sequence[str]
    _max_size: int
    # Claims of tokens whose signature was verified, with the key that it was verified by.
    _known: Remembered[tuple[LoadedKey, Mapping[str, Any]]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._known = Remembered(self._clock, _REMEMBERED_SECONDS, _MOST_REMEMBERED)

    async def sign(self, claims: Mapping[str, Any], audience: str, ends: int) -> str:
        """
        A token with these claims, which is good until ``ends``.

        :raises ValueError: it would be larger than a token may be.
        """
        import jwt  # noqa: PLC0415  # where nobody has a token it is never loaded

        key = await self._keys.signing()
        whole = {
            **claims,
            "iss": self._issuer,
            "aud": audience,
            "iat": int(self._clock.seconds()),
            "exp": ends,
            "jti": self._new_id(),
        }
        token = jwt.encode(whole, key.private, algorithm=key.algorithm, headers=self._header(key))
        if len(token) > self._max_size:
            raise ValueError("the token is too large")
        return token

    async def verified(self, token: str | None, audience: str) -> Mapping[str, Any]:
        """
        The claims of a token of this kind.

        :raises Unauthorized: not ours, changed, for somebody else, not valid yet, or expired.
        """
        if token is None or len(token) > self._max_size or not _COMPACT.fullmatch(token):
            raise invalid()
        keys = await self._keys.verifying()
        # A client sends its token with each request, and to verify a signature takes longer than most answers.
        proof = hashlib.sha256(f"{audience} {token}".encode()).digest()
        known = self._known.recall(proof)
        # A key that was withdrawn verifies nothing any more.
        if known is not None and keys.get(known[0].key_id) is known[0]:
            self._check_time(known[1])
            return known[1]
        key, claims = self._verified(token, audience, keys)
        self._check_time(claims)
        self._known.keep(proof, (key, claims))
        return claims

    def _verified(
        self, token: str, audience: str, keys: Mapping[str, LoadedKey]
    ) -> tuple[LoadedKey, Mapping[str, Any]]:
        import jwt  # noqa: PLC0415

        try:
            header = jwt.get_unverified_header(token)
            key = keys.get(header["kid"])
            if key is None or header != self._header(key):
                raise invalid()
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key.public,
                algorithms=[key.algorithm],
                audience=audience,
                issuer=self._issuer,
                options=self._options(),
            )
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, RecursionError):
            raise invalid() from None
        return key, MappingProxyType(claims)

    def _header(self, key: LoadedKey) -> dict[str, str]:
        return {"alg": key.algorithm, "kid": key.key_id, "typ": self._kind}

    def _options(self) -> Any:
        return {
            "require": [*_ALWAYS, *self._required],
            "strict_aud": True,
            # PyJWT would look at the clock of the machine; ours is an argument.
            "verify_exp": False,
            "verify_iat": False,
            "verify_nbf": False,
        }

    def _check_time(self, claims: Mapping[str, Any]) -> None:
        now = self._clock.seconds()
        issued, begins, ends = claims["iat"], claims.get("nbf", 0), claims["exp"]
        if not all(type(moment) is int for moment in (issued, begins, ends)):
            raise invalid()
        # Another process may have signed it by a clock that is ahead of ours; its end is kept to the second.
        if begins > now or issued > now + _CLOCK_SKEW_SECONDS:
            raise Unauthorized("the token is not valid yet; check the clock of the registry", INVALID_TOKEN)
        if ends <= now:
            raise Unauthorized("the token has expired; start the push or pull again", INVALID_TOKEN)


def invalid() -> Unauthorized:
    """What is told of every token that is not good, whatever is wrong with it."""
    return Unauthorized("the token is not valid", INVALID_TOKEN)
