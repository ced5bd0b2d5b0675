"""
Accounts: what the Hub API and the ``dockreg user`` command may make of a stored login.

The rules for names, passwords and e-mail addresses are those of the Docker Hub API ("Users"): a name is 4 to 30 of
``a-z0-9_``, a password has 5 characters or more. An e-mail address may be empty, for registries without one.

A robot is an account for programs: ``anna+ci`` belongs to ``anna`` and ends with her. It has no password, only access
tokens (:mod:`dockreg.accesstokens`).
"""

import re
from collections.abc import Sequence
from enum import Enum

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from dockreg.attempts import Attempts
from dockreg.errors import AccountExists, AccountInvalid, AccountUnknown
from dockreg.errors_access import InvitationInvalid
from dockreg.interfaces_access import IAccountStore, IPasswordHasher
from dockreg.interfaces_people import IInvitationStore
from dockreg.model.accounts import NO_HASH, ROBOT_MARK, Account, check_email, check_name
from dockreg.model.invitations import InvitationCode
from dockreg.model.networks import NO_ADDRESS

_ROBOT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,29}", re.ASCII)
_MIN_PASSWORD_CHARACTERS = 5
_MAX_PASSWORD_BYTES = 1024


class Registration(Enum):
    """Whether strangers may make accounts for themselves."""

    OPEN = "open"
    INVITATION = "invitation"
    CLOSED = "closed"


class EmailAddresses(Enum):
    """Whether accounts have an e-mail address."""

    OPTIONAL = "optional"
    REQUIRED = "required"
    NONE = "none"


@define(eq=False)
class Accounts:
    """Makes and changes accounts. Who may do so is decided by the caller."""

    _store: IAccountStore
    _hasher: IPasswordHasher
    _clock: IReactorTime
    _registration: Registration = field(default=Registration.OPEN, converter=Registration)
    _attempts: Attempts | None = None
    _invitations: IInvitationStore | None = None
    _email_addresses: EmailAddresses = field(default=EmailAddresses.OPTIONAL, converter=EmailAddresses)

    async def register(
        self, name: str, password: str, email: str, invitation: str = "", address: str = NO_ADDRESS
    ) -> Account:
        """
        Make an account for a stranger.

        While registration is closed nothing is looked at: names that are taken and names that are free give the same
        answer in the same time, which leads engines on to the check of the password (all engines, ``docker login``). Where
        an invitation is needed that is so without one.

        :param invitation: a code. Engines have no place to type one but that of the e-mail address, so where it is needed
            that is looked at, too.
        :param address: where the stranger is.
        :raises TooManyAttempts: there were too many from there lately.
        :raises InvitationInvalid: the invitation is not good, or not for this name or address.
        :raises AccountInvalid: the name, the password or the e-mail address is outside the rules.
        :raises AccountExists: the name or the e-mail address is taken, or registration is closed.
        :raises Busy: too many passwords are being hashed already.
        """
        if self._registration is Registration.INVITATION and not invitation and "@" not in email:
            invitation, email = email, ""
        if self._registration is Registration.CLOSED or (
            self._registration is Registration.INVITATION and not invitation
        ):
            raise AccountExists(name)
        if self._attempts is not None:
            await self._attempts.register(name, address)
        if invitation:
            return await self._redeem(invitation, name, password, email)
        return await self._create(name, password, email, admin=False, by_stranger=True)

    async def create(self, name: str, password: str | None, email: str = "", *, admin: bool = False) -> Account:
        """
        Make an account, whether registration is open or not; also under the name of one that was deleted, which has then
        what still bears that name.

        :param password: None for somebody who logs in by other means only, such as access tokens.
        :raises AccountInvalid: the name, the password or the e-mail address is outside the rules.
        :raises AccountExists: the name or the e-mail address is taken.
        :raises Busy: too many passwords are being hashed already.
        """
        return await self._create(name, password, email, admin=admin, by_stranger=False)

    async def create_robot(self, owner: str, name: str) -> Account:
        """
        Make the robot ``owner+name``.

        :raises AccountUnknown: there is no account ``owner``.
        :raises AccountInvalid: the name is outside the rules, the owner is a robot, or has too many.
        :raises AccountExists: there is this robot.
        """
        if not _ROBOT.fullmatch(name):
            raise AccountInvalid("a robot has a name of 1 to 30 of a-z, 0-9, '_', '.' and '-', without its owner's")
        if (await self._store.get(owner)).owner is not None:
            raise AccountInvalid("a robot can not have robots")
        return await self._store.create_robot(f"{owner}{ROBOT_MARK}{name}", owner, self._clock.seconds())

    async def list_robots(self, owner: str) -> Sequence[Account]:
        """The robots of an account, in the order of their names. :raises AccountUnknown: there is no such account."""
        await self._store.get(owner)
        return await self._store.list_robots(owner)

    async def delete(self, name: str, heir: str | None = None) -> None:
        """
        Remove an account and its robots, with the access tokens, grants and memberships of all of them.

        The repositories of a person stay as they are, owned by a name that nobody has: administrators reach them, and
        who was granted something. No stranger can register the name; who may :meth:`create` accounts can give it again.

        :param heir: the account that owns the repositories from now on.
        :raises AccountUnknown: there is none of this name, or no heir.
        :raises AccountInvalid: the heir is the account itself, or a robot.
        """
        if heir is not None and (heir == name or (await self._store.get(heir)).owner is not None):
            raise AccountInvalid("repositories are given to the account of another person")
        await self._store.delete(name, self._clock.seconds(), heir)

    async def change(self, name: str, password: str | None = None, email: str | None = None) -> Account:
        """
        Replace the password, the e-mail address, or both; what is None stays.

        :raises AccountUnknown: there is none of this name.
        :raises AccountInvalid: the password or the e-mail address is outside the rules, or the account is a robot;
            nothing is changed.
        :raises AccountExists: the e-mail address is another account's.
        :raises Busy: too many passwords are being hashed already.
        """
        secret = None if password is None else _password_bytes(password)
        if email is not None:
            self._check_email(email)
        if (await self._store.get(name)).owner is not None:
            raise AccountInvalid("a robot has neither a password nor an e-mail address")
        password_hash = None if secret is None else await self._hasher.hash(secret)
        return await self._store.change(name, password_hash=password_hash, email=email)

    async def set_active(self, name: str, *, active: bool) -> Account:
        """Enable or disable an account; its next request is judged by that. :raises AccountUnknown: there is none."""
        return await self._store.change(name, active=active)

    async def set_admin(self, name: str, *, admin: bool) -> Account:
        """
        Give or take the right to everything.

        :raises AccountUnknown: there is none of this name.
        :raises AccountInvalid: it is a robot.
        """
        if admin and (await self._store.get(name)).owner is not None:
            raise AccountInvalid("a robot can not be an administrator")
        return await self._store.change(name, admin=admin)

    async def get(self, name: str) -> Account:
        """:raises AccountUnknown: there is none of this name."""
        return await self._store.get(name)

    async def list_all(self) -> Sequence[Account]:
        """Every account, robots too, in the order of their names."""
        return await self._store.list_all()

    async def _create(self, name: str, password: str | None, email: str, *, admin: bool, by_stranger: bool) -> Account:
        check_name(name)
        if await self._is_taken(name, again=not by_stranger):
            # Every "docker login" comes by here: a name that is taken must not cost a hash.
            raise AccountExists(name)
        secret = None if password is None else _password_bytes(password)
        if by_stranger:
            email = self._kept(email)
        self._check_email(email)
        password_hash = NO_HASH if secret is None else await self._hasher.hash(secret)
        now = self._clock.seconds()
        return await self._store.create(name, password_hash, email, admin, now, again=not by_stranger)

    async def _redeem(self, typed: str, name: str, password: str, email: str) -> Account:
        code = InvitationCode.parse(typed)
        if code is None or self._invitations is None:
            raise InvitationInvalid
        invitation = await self._invitations.get(code.digest)
        if invitation.used_by == name:
            # Engines offer what was typed at the last login again.
            raise AccountExists(name)
        if not invitation.is_good(self._clock.seconds()):
            raise InvitationInvalid
        if invitation.name not in (None, name):
            raise InvitationInvalid("the invitation is for another user name")
        if invitation.email and email not in ("", invitation.email):
            raise InvitationInvalid("the invitation is for another e-mail address")
        check_name(name)
        if await self._is_taken(name, again=False):
            raise AccountExists(name)
        secret = _password_bytes(password)
        email = self._kept(email or invitation.email)
        self._check_email(email)
        password_hash = await self._hasher.hash(secret)
        return await self._invitations.redeem(code.digest, name, password_hash, email, self._clock.seconds())

    def _kept(self, email: str) -> str:
        # Engines ask for an address whether anybody wants it or not.
        return "" if self._email_addresses is EmailAddresses.NONE else email

    def _check_email(self, email: str) -> None:
        check_email(email)
        if self._email_addresses is EmailAddresses.NONE and email:
            raise AccountInvalid("this registry keeps no e-mail addresses")
        if self._email_addresses is EmailAddresses.REQUIRED and not email:
            raise AccountInvalid("an e-mail address is needed")

    async def _is_taken(self, name: str, *, again: bool) -> bool:
        try:
            await self._store.get(name)
        except AccountUnknown as unknown:
            return unknown.deleted and not again
        return True


def _password_bytes(password: str) -> bytes:
    if len(password) < _MIN_PASSWORD_CHARACTERS:
        raise AccountInvalid(f"a password has at least {_MIN_PASSWORD_CHARACTERS} characters")
    try:
        encoded = password.encode("utf-8")
    except UnicodeEncodeError:
        raise AccountInvalid("the password holds characters that can not be written in UTF-8") from None
    if len(encoded) > _MAX_PASSWORD_BYTES:
        raise AccountInvalid(f"a password has at most {_MAX_PASSWORD_BYTES} bytes in UTF-8")
    return encoded
