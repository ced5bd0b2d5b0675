"""
What people and programs log in with, beside accounts.

:mod:`dockreg.interfaces` says what holds for every method.
"""

from collections.abc import Mapping, Sequence

from zope.interface import Interface

from dockreg.model.accesstokens import AccessToken
from dockreg.model.accounts import Account
from dockreg.model.attempts import Count, Limit
from dockreg.model.audit import AuditEvent
from dockreg.model.invitations import Invitation


class IAccessTokenStore(Interface):
    """Access tokens, without their secrets."""

    async def add(token: AccessToken, digest: bytes, most: int) -> None:
        """
        Store a token. Those of the account that expired a month ago are forgotten.

        :param digest: of the token's text.
        :raises AccountUnknown: there is no such account.
        :raises AccountInvalid: it has ``most`` tokens already, which have not expired.
        """

    async def get(token_id: str) -> tuple[AccessToken, bytes]:
        """A token and the digest of its text. :raises AccessTokenUnknown: there is none."""

    async def list_all(account: str | None) -> Sequence[AccessToken]:
        """The tokens of an account, or of all, by account, the oldest first; expired ones too."""

    async def revoke(token_id: str, account: str | None) -> AccessToken:
        """
        Forget a token, and return it.

        :param account: whose it has to be; None for anybody's.
        :raises AccessTokenUnknown: there is none, or it is another's.
        """

    async def note_use(token_id: str, now: float) -> None:
        """Remember that the token was used; harmless when there is none."""


class IAttemptStore(Interface):
    """
    Failed attempts to log in, counted under keys of at most 32 bytes; what they are of is decided by the caller.

    What is noted here may be lost in a failure of power.
    """

    async def find(keys: tuple[bytes, ...]) -> Mapping[bytes, Count]:
        """What is counted under these keys, in every process; nothing of those under which nothing is."""

    async def begin(limits: Mapping[bytes, Limit], now: float) -> float:
        """
        Let an attempt through that is counted under all these keys, or say how many seconds it has to wait.

        Where none is free, the next one has to wait for this one: of several at once one is let through.
        """

    async def fail(limits: Mapping[bytes, Limit], now: float) -> None:
        """Count a failure under each of these keys."""

    async def succeed(key: bytes, now: float, until: float) -> None:
        """Forget the failures under the key, and remember until then that somebody logged in now."""

    async def expire(now: float, most: int) -> None:
        """Drop what is over, and of the rest all but ``most``: first what would be over first."""


class IAuditLog(Interface):
    """Where it is written down who did what."""

    def record(event: AuditEvent) -> None:
        """Keep the event. It is not waited for, and does not fail."""


class IInvitationStore(Interface):
    """Invitations, without their codes."""

    async def add(invitation: Invitation, digest: bytes) -> None:
        """
        Store an invitation. Those that expired a month ago, and were not used, are forgotten.

        :param digest: of the code.
        """

    async def get(digest: bytes) -> Invitation:
        """The invitation with this code, used or not. :raises InvitationInvalid: there is none."""

    async def list_all() -> Sequence[Invitation]:
        """Every invitation, the oldest first."""

    async def revoke(invitation_id: str) -> Invitation:
        """Forget an invitation, and return it. :raises InvitationUnknown: there is none."""

    async def redeem(digest: bytes, name: str, password_hash: str, email: str, now: float) -> Account:
        """
        Use the invitation, and make the account, or neither.

        :raises InvitationInvalid: there is none, it was used, or is over.
        :raises AccountExists: the name, or the e-mail address if not empty, is taken.
        """
