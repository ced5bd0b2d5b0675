"""
What people and programs log in with, beside accounts.

:mod:`dockreg.interfaces` says what holds for every method.
"""

from collections.abc import Sequence

from zope.interface import Interface

from dockreg.model.accesstokens import AccessToken
from dockreg.model.accounts import Account
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
