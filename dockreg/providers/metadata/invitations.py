"""Stored invitations."""

from collections.abc import Sequence
from typing import Any

from attrs import evolve
from sqlalchemy import Connection, Select, delete, insert, select, update
from zope.interface import implementer

from dockreg.errors_access import InvitationInvalid, InvitationUnknown
from dockreg.interfaces_people import IInvitationStore
from dockreg.model.accounts import Account
from dockreg.model.invitations import Invitation
from dockreg.providers.metadata.accounts import create_account
from dockreg.providers.metadata.rows import AnyRow, storable
from dockreg.providers.metadata.tables_people import invitations
from dockreg.providers.metadata.transactions import Database

#: How long an expired invitation is still listed.
_FORGET_SECONDS = 30 * 86400.0


@implementer(IInvitationStore)
class SQLInvitationStore:
    """See :class:`~dockreg.interfaces_people.IInvitationStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, invitation: Invitation, digest: bytes) -> None:
        """See :class:`~dockreg.interfaces_people.IInvitationStore`."""
        await self._database.write(_add, invitation, digest)

    async def get(self, digest: bytes) -> Invitation:
        """See :class:`~dockreg.interfaces_people.IInvitationStore`."""
        return await self._database.read(_get, digest)

    async def list_all(self) -> Sequence[Invitation]:
        """See :class:`~dockreg.interfaces_people.IInvitationStore`."""
        return await self._database.read(_list_all)

    async def revoke(self, invitation_id: str) -> Invitation:
        """See :class:`~dockreg.interfaces_people.IInvitationStore`."""
        return await self._database.write(_revoke, invitation_id)

    async def redeem(self, digest: bytes, name: str, password_hash: str, email: str, now: float) -> Account:
        """See :class:`~dockreg.interfaces_people.IInvitationStore`."""
        account = Account(storable(name), password_hash, storable(email), active=True, admin=False, created_at=now)
        return await self._database.write(_redeem, digest, account)


def _invitation(row: AnyRow) -> Invitation:
    return Invitation(row.invitation_id, row.name, row.email, row.created_at, row.expires_at, row.used_by)


def _add(connection: Connection, invitation: Invitation, digest: bytes) -> None:
    long_ago = invitations.c.expires_at <= invitation.created_at - _FORGET_SECONDS
    connection.execute(delete(invitations).where(invitations.c.used_by.is_(None), long_ago))
    values = {
        "invitation_id": invitation.invitation_id,
        "digest": digest,
        "name": invitation.name,
        "email": storable(invitation.email),
        "created_at": invitation.created_at,
        "expires_at": invitation.expires_at,
        "used_by": invitation.used_by,
    }
    connection.execute(insert(invitations), values)


def _get(connection: Connection, digest: bytes) -> Invitation:
    return _found(connection, select(invitations).where(invitations.c.digest == digest))


def _found(connection: Connection, query: Select[Any]) -> Invitation:
    row = connection.execute(query).one_or_none()
    if row is None:
        raise InvitationInvalid
    return _invitation(row)


def _list_all(connection: Connection) -> Sequence[Invitation]:
    query = select(invitations).order_by(invitations.c.created_at, invitations.c.invitation_id)
    return [_invitation(row) for row in connection.execute(query)]


def _revoke(connection: Connection, invitation_id: str) -> Invitation:
    same = invitations.c.invitation_id == storable(invitation_id)
    row = connection.execute(select(invitations).where(same)).one_or_none()
    if row is None:
        raise InvitationUnknown(invitation_id)
    connection.execute(delete(invitations).where(same))
    return _invitation(row)


def _redeem(connection: Connection, digest: bytes, account: Account) -> Account:
    # Who else wants to use it waits here, and then finds it used.
    invitation = _found(connection, select(invitations).where(invitations.c.digest == digest).with_for_update())
    if not invitation.is_good(account.created_at):
        raise InvitationInvalid
    created = create_account(connection, account, again=False)
    used = evolve(invitation, used_by=account.name)
    same = invitations.c.invitation_id == used.invitation_id
    connection.execute(update(invitations).where(same), {"used_by": used.used_by})
    return created
