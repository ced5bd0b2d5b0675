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
from dockreg.interfaces_access import IAccountStore, IPasswordHasher
from dockreg.model.accounts import NO_HASH, ROBOT_MARK, Account
from dockreg.model.networks import NO_ADDRESS

_NAME = re.compile(r"[a-z0-9_]{4,30}", re.ASCII)
_ROBOT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,29}", re.ASCII)
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")
_MIN_PASSWORD_CHARACTERS = 5
_MAX_PASSWORD_BYTES = 1024


class Registration(Enum):
    """Whether strangers may make accounts for themselves."""

    OPEN = "open"
    CLOSED = "closed"


@define(eq=False)
class Accounts:
    """Makes and changes accounts. Who may do so is decided by the caller."""

    _store: IAccountStore
    _hasher: IPasswordHasher
    _clock: IReactorTime
    _registration: Registration = field(default=Registration.OPEN, converter=Registration)
    _attempts: Attempts | None = None

    async def register(self, name: str, password: str, email: str, address: str = NO_ADDRESS) -> Account:
        """
        Make an account for a stranger.

        While registration is closed nothing is looked at: names that are taken and names that are free give the same
        answer in the same time, which leads engines on to the check of the password (all engines, ``docker login``).

        :param address: where the stranger is.
        :raises TooManyAttempts: there were too many from there lately.
        :raises AccountInvalid: the name, the password or the e-mail address is outside the rules.
        :raises AccountExists: the name or the e-mail address is taken, or registration is closed.
        :raises Busy: too many passwords are being hashed already.
        """
        if self._registration is Registration.CLOSED:
            raise AccountExists(name)
        if self._attempts is not None:
            self._attempts.register(name, address)
        return await self._create(name, password, email, admin=False, again=False)

    async def create(self, name: str, password: str | None, email: str = "", *, admin: bool = False) -> Account:
        """
        Make an account, whether registration is open or not; also under the name of one that was deleted, which has then
        what still bears that name.

        :param password: None for somebody who logs in by other means only, such as access tokens.
        :raises AccountInvalid: the name, the password or the e-mail address is outside the rules.
        :raises AccountExists: the name or the e-mail address is taken.
        :raises Busy: too many passwords are being hashed already.
        """
        return await self._create(name, password, email, admin=admin, again=True)

    async def create_robot(self, owner: str, name: str) -> Account:
        """
        Make the robot ``owner+name``.

        :raises AccountUnknown: there is no account ``owner``.
        :raises AccountInvalid: the name is outside the rules, or the owner is a robot.
        :raises AccountExists: there is this robot.
        """
        if not _ROBOT.fullmatch(name):
            raise AccountInvalid("a robot has a name of 1 to 30 of a-z, 0-9, '_', '.' and '-', without its owner's")
        if (await self._store.get(owner)).owner is not None:
            raise AccountInvalid("a robot can not have robots")
        return await self._store.create_robot(f"{owner}{ROBOT_MARK}{name}", owner, self._clock.seconds())

    async def delete(self, name: str) -> None:
        """
        Remove an account, its robots, and the access tokens of all of them.

        The repositories of a person stay as they are, owned by a name that nobody has: administrators reach them, and
        who was granted something. No stranger can register the name; who may :meth:`create` accounts can give it again.

        :raises AccountUnknown: there is none of this name.
        """
        await self._store.delete(name, self._clock.seconds())

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
            _check_email(email)
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

    async def _create(self, name: str, password: str | None, email: str, *, admin: bool, again: bool) -> Account:
        _check_name(name)
        if await self._is_taken(name, again=again):
            # Every "docker login" comes by here: a name that is taken must not cost a hash.
            raise AccountExists(name)
        secret = None if password is None else _password_bytes(password)
        _check_email(email)
        password_hash = NO_HASH if secret is None else await self._hasher.hash(secret)
        return await self._store.create(name, password_hash, email, admin, self._clock.seconds(), again=again)

    async def _is_taken(self, name: str, *, again: bool) -> bool:
        try:
            await self._store.get(name)
        except AccountUnknown as unknown:
            return unknown.deleted and not again
        return True


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise AccountInvalid("a user name is made of 4 to 30 of a-z, 0-9 and '_'")


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


def _check_email(email: str) -> None:
    if email and not (email.isprintable() and _EMAIL.fullmatch(email)):
        raise AccountInvalid("the e-mail address is not one; write name@host, or leave it empty")
