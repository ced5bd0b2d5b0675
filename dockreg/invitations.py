"""Invitations: one account each, for who has the code. :class:`.Accounts` redeems them."""

from collections.abc import Callable, Sequence

from attrs import define
from twisted.internet.interfaces import IReactorTime

from dockreg.callables import IdentifierFactory
from dockreg.errors import AccountInvalid
from dockreg.interfaces_people import IInvitationStore
from dockreg.model.accounts import check_email, check_name
from dockreg.model.invitations import Invitation, InvitationCode


@define(eq=False)
class Invitations:
    """
    Makes and revokes invitations. Who may do so is decided by the caller.

    :param random_bytes: as many random bytes as it is asked for (``os.urandom`` in production).
    """

    _store: IInvitationStore
    _clock: IReactorTime
    _random_bytes: Callable[[int], bytes]
    _new_id: IdentifierFactory

    async def create(self, name: str | None, email: str, lifetime_seconds: float) -> tuple[Invitation, str]:
        """
        A new invitation and its code, which nobody can show again.

        :param name: the only name that the account may have.
        :param email: the only e-mail address that it may have; it needs not be given again.
        :raises AccountInvalid: no account could have this name or address.
        """
        if name is not None:
            check_name(name)
        check_email(email)
        if lifetime_seconds <= 0:
            raise AccountInvalid("an invitation has to be good for some time")
        now = self._clock.seconds()
        code = InvitationCode.make(self._random_bytes)
        invitation = Invitation(self._new_id(), name, email, now, now + lifetime_seconds)
        await self._store.add(invitation, code.digest)
        return invitation, str(code)

    async def list_all(self) -> Sequence[Invitation]:
        """Every invitation, the oldest first; used and expired ones too."""
        return await self._store.list_all()

    async def revoke(self, invitation_id: str) -> Invitation:
        """End an invitation. An account that was made with it stays. :raises InvitationUnknown: there is none."""
        return await self._store.revoke(invitation_id)
