"""
Access tokens: what programs log in with instead of a password, for an account of a person or of a robot.

A token says what its bearer reaches at most; what of that is allowed is decided by the rights of its account, each
time. It has a time to live, can be revoked, and is shown once: only a hash of it is kept. No slow one, for nobody guesses
256 random bits.
"""

import hmac
from collections.abc import Callable, Sequence

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dockreg.errors import AccountInvalid, RegistryError, Unauthorized
from dockreg.errors_access import AccessTokenUnknown
from dockreg.interfaces_people import IAccessTokenStore
from dockreg.model.access import Scope
from dockreg.model.accesstokens import AccessToken, TokenText

log = Logger()

MAX_TOKENS = 100
MAX_SCOPES = 50
MAX_DESCRIPTION = 200
#: The time of the last use is noted once in this time; a token that is in use costs no write per request.
NOTE_SECONDS = 3600.0


@define(eq=False)
class AccessTokens:
    """
    Makes, revokes and recognizes access tokens. Who may do so is decided by the caller.

    :param random_bytes: as many random bytes as it is asked for (``os.urandom`` in production).
    """

    _store: IAccessTokenStore
    _clock: IReactorTime
    _random_bytes: Callable[[int], bytes]
    _noted: dict[str, float] = field(init=False, factory=dict)

    async def create(
        self, account: str, scopes: Sequence[Scope], description: str, lifetime_seconds: float | None
    ) -> tuple[AccessToken, str]:
        """
        A new token for ``account``, and its text, which nobody can show again.

        :param lifetime_seconds: None for a token that does not expire.
        :raises AccountUnknown: there is no such account.
        :raises AccountInvalid: the account has too many tokens, or the token can not be as it is asked for.
        """
        if not 0 < len(scopes) <= MAX_SCOPES or not all(each.actions for each in scopes):
            raise AccountInvalid(f"an access token has 1 to {MAX_SCOPES} scopes, each with an action")
        if len(description) > MAX_DESCRIPTION or not (description.isprintable() or not description):
            raise AccountInvalid(f"a description has at most {MAX_DESCRIPTION} printable characters")
        if lifetime_seconds is not None and lifetime_seconds <= 0:
            raise AccountInvalid("an access token has to live for some time")
        now = self._clock.seconds()
        text = TokenText.make(self._random_bytes)
        expires_at = None if lifetime_seconds is None else now + lifetime_seconds
        token = AccessToken(text.token_id, account, description, tuple(scopes), now, expires_at)
        await self._store.add(token, text.digest, MAX_TOKENS)
        return token, text.text

    async def list_all(self, account: str | None = None) -> Sequence[AccessToken]:
        """The tokens of an account, or of all, expired ones too."""
        return await self._store.list_all(account)

    async def revoke(self, token_id: str, account: str | None = None) -> AccessToken:
        """
        End a token now, and all that was had for it.

        :param account: whose it has to be; None for anybody's.
        :raises AccessTokenUnknown: there is none, or it is another's.
        """
        return await self._store.revoke(token_id, account)

    async def presented(self, account: bytes, password: bytes) -> AccessToken | None:
        """
        The token that was sent as the password of ``account``; None when it is a password of another kind.

        :raises Unauthorized: it has the form of a token, and is not one of this account that is good now. Each reason
            takes the same time.
        """
        try:
            given = TokenText.parse(password.decode("ascii"))
        except UnicodeDecodeError:
            return None
        if given is None:
            return None
        token, digest = await self._find(given.token_id)
        # No answer before both were compared.
        right = hmac.compare_digest(digest, given.digest)
        own = token is not None and hmac.compare_digest(token.account.encode("utf-8"), account)
        if token is None or not right or not own or token.is_over(self._clock.seconds()):
            raise Unauthorized("wrong user name or access token, or the token has expired or was revoked")
        await self._note_use(token)
        return token

    async def current(self, token_id: str) -> AccessToken:
        """
        A token that was presented earlier, as it is now.

        :raises Unauthorized: it was revoked, or has expired.
        """
        token, _ = await self._find(token_id)
        if token is None or token.is_over(self._clock.seconds()):
            raise Unauthorized("the access token has expired or was revoked", "invalid_token")
        await self._note_use(token)
        return token

    async def _find(self, token_id: str) -> tuple[AccessToken | None, bytes]:
        try:
            return await self._store.get(token_id)
        except AccessTokenUnknown:
            return None, b""

    async def _note_use(self, token: AccessToken) -> None:
        now = self._clock.seconds()
        noted = self._noted.get(token.token_id, token.used_at)
        if noted is not None and abs(now - noted) < NOTE_SECONDS:
            return
        if len(self._noted) >= 1024:
            self._noted.clear()
        self._noted[token.token_id] = now
        try:
            await self._store.note_use(token.token_id, now)
        except RegistryError as problem:
            # A disk that is full is no reason to refuse a pull.
            log.warn("the use of an access token can not be noted: {problem}", problem=str(problem))
