"""Stored logins."""

from collections.abc import Sequence
from typing import Any

from attrs import evolve
from sqlalchemy import Connection, delete, func, insert, select, update
from zope.interface import implementer

from dockreg.errors import AccountExists, AccountInvalid, AccountUnknown
from dockreg.interfaces_access import IAccountStore
from dockreg.model.accounts import NO_HASH, Account
from dockreg.model.rights import Subject
from dockreg.providers.metadata.rows import AnyRow, storable
from dockreg.providers.metadata.tables import accounts, repositories
from dockreg.providers.metadata.tables_access import account_group_members, grants, namespace_members
from dockreg.providers.metadata.tables_people import access_tokens
from dockreg.providers.metadata.transactions import Database

_owners = accounts.alias("owners")
_SELECT = select(accounts, _owners.c.active.label("owner_active")).outerjoin_from(
    accounts, _owners, accounts.c.owner == _owners.c.name
)


@implementer(IAccountStore)
class SQLAccountStore:
    """See :class:`~dockreg.interfaces_access.IAccountStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, name: str, password_hash: str, email: str, admin: bool, now: float, again: bool = False
    ) -> Account:
        """See :class:`~dockreg.interfaces_access.IAccountStore`."""
        account = Account(storable(name), password_hash, storable(email), active=True, admin=admin, created_at=now)
        return await self._database.write(create_account, account, again)

    async def create_robot(self, name: str, owner: str, now: float, most: int = 100) -> Account:
        """See :class:`~dockreg.interfaces_access.IAccountStore`."""
        return await self._database.write(_create_robot, storable(name), owner, now, most)

    async def list_robots(self, owner: str) -> Sequence[Account]:
        """See :class:`~dockreg.interfaces_access.IAccountStore`."""
        return await self._database.read(_list_robots, owner)

    async def delete(self, name: str, now: float, heir: str | None = None) -> None:
        """See :class:`~dockreg.interfaces_access.IAccountStore`."""
        await self._database.write(_delete, name, now, heir)

    async def get(self, name: str) -> Account:
        """See :class:`~dockreg.interfaces_access.IAccountStore`."""
        return await self._database.find_lasting(_get, name)

    async def list_all(self) -> Sequence[Account]:
        """See :class:`~dockreg.interfaces_access.IAccountStore`."""
        return await self._database.read(_list_all)

    async def change(
        self,
        name: str,
        password_hash: str | None = None,
        email: str | None = None,
        active: bool | None = None,
        admin: bool | None = None,
    ) -> Account:
        """See :class:`~dockreg.interfaces_access.IAccountStore`."""
        wanted = {
            "password_hash": password_hash,
            "email": None if email is None else storable(email),
            "active": active,
            "admin": admin,
        }
        changes = {column: value for column, value in wanted.items() if value is not None}
        return await self._database.write(_change, name, changes)


def lock_account(connection: Connection, name: str) -> None:
    """
    Let nobody delete the account before this transaction ends.

    :raises AccountUnknown: there is none.
    """
    query = select(accounts.c.name).where(accounts.c.name == storable(name), accounts.c.deleted_at.is_(None))
    if connection.execute(query.with_for_update()).one_or_none() is None:
        raise AccountUnknown(name)


def _account(row: AnyRow) -> Account:
    return Account(
        name=row.name,
        password_hash=row.password_hash,
        email=row.email,
        active=row.active,
        admin=row.admin,
        created_at=row.created_at,
        owner=row.owner,
        owner_active=row.owner is None or bool(row.owner_active),
        renewed_at=row.renewed_at,
    )


def _get(connection: Connection, name: str) -> Account:
    # A name that can not be stored is nobody's; the databases would complain.
    query = _SELECT.where(accounts.c.name == name)
    row = connection.execute(query).one_or_none() if name == storable(name) else None
    if row is None or row.deleted_at is not None:
        raise AccountUnknown(name, deleted=row is not None)
    return _account(row)


def _list_all(connection: Connection) -> Sequence[Account]:
    query = _SELECT.where(accounts.c.deleted_at.is_(None)).order_by(accounts.c.name)
    return [_account(row) for row in connection.execute(query)]


def _list_robots(connection: Connection, owner: str) -> Sequence[Account]:
    query = _SELECT.where(accounts.c.owner == storable(owner)).order_by(accounts.c.name)
    return [_account(row) for row in connection.execute(query)]


def create_account(connection: Connection, account: Account, again: bool) -> Account:
    """
    The account that was made, in a transaction that writes.

    :raises AccountExists: the name, or the e-mail address if not empty, is taken.
    """
    same_name = accounts.c.name == account.name
    if again and connection.execute(delete(accounts).where(same_name, accounts.c.deleted_at.is_not(None))).rowcount:
        account = evolve(account, renewed_at=account.created_at)
    taken = connection.execute(select(accounts.c.name).where(same_name)).all()
    if taken or _is_taken(connection, account.email, account.name):
        raise AccountExists(account.name)
    connection.execute(insert(accounts), _columns(account))
    return account


def _create_robot(connection: Connection, name: str, owner: str, now: float, most: int) -> Account:
    lock_account(connection, owner)
    if connection.execute(select(func.count()).where(accounts.c.owner == owner)).scalar_one() >= most:
        raise AccountInvalid(f"{owner} has {most} robots; delete one first")
    robot = Account(name, NO_HASH, "", active=True, admin=False, created_at=now, owner=owner)
    create_account(connection, robot, again=False)
    return _get(connection, name)


def _columns(account: Account) -> dict[str, Any]:
    return {
        "name": account.name,
        "password_hash": account.password_hash,
        "email": account.email,
        "active": account.active,
        "admin": account.admin,
        "created_at": account.created_at,
        "owner": account.owner,
        "renewed_at": account.renewed_at,
    }


def _delete(connection: Connection, name: str, now: float, heir: str | None) -> None:
    # In the order of their names, or two of these could wait for each other.
    for each in sorted({name, heir or name}):
        lock_account(connection, each)
    owner = connection.execute(select(accounts.c.owner).where(accounts.c.name == name)).scalar_one()
    robots = connection.execute(select(accounts.c.name).where(accounts.c.owner == name)).scalars().all()
    for each in (name, *robots):
        _forget_rights(connection, each)
        left_to = heir or owner or name
        connection.execute(update(repositories).where(repositories.c.owner == each), {"owner": left_to})
    # The tokens of robots go with their rows.
    connection.execute(delete(accounts).where(accounts.c.owner == name))
    connection.execute(delete(access_tokens).where(access_tokens.c.account == name))
    connection.execute(delete(accounts).where(accounts.c.name == name, accounts.c.owner.is_not(None)))
    rest = {"password_hash": NO_HASH, "email": "", "active": False, "admin": False, "deleted_at": now}
    connection.execute(update(accounts).where(accounts.c.name == name), rest)


def _forget_rights(connection: Connection, name: str) -> None:
    subject = str(Subject.account(name))
    connection.execute(delete(account_group_members).where(account_group_members.c.account == name))
    connection.execute(delete(namespace_members).where(namespace_members.c.subject == subject))
    connection.execute(delete(grants).where(grants.c.subject == subject))


def _change(connection: Connection, name: str, changes: dict[str, str | bool]) -> Account:
    _get(connection, name)
    if _is_taken(connection, str(changes.get("email", "")), name):
        raise AccountExists(name)
    if changes:
        connection.execute(update(accounts).where(accounts.c.name == name), changes)
    return _get(connection, name)


def _is_taken(connection: Connection, email: str, by_other_than: str) -> bool:
    """Whether another account has an address that is not empty."""
    others = select(accounts.c.name).where(accounts.c.email == email, accounts.c.name != by_other_than)
    return bool(email) and connection.execute(others).first() is not None
