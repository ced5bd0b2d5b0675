"""Stored logins."""

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select, update
from zope.interface import implementer

from dockreg.errors import AccountExists, AccountUnknown
from dockreg.interfaces_access import IAccountStore
from dockreg.model.accounts import Account
from dockreg.providers.metadata.rows import AnyRow, storable
from dockreg.providers.metadata.tables import accounts
from dockreg.providers.metadata.transactions import Database


@implementer(IAccountStore)
class SQLAccountStore:
    """See :class:`~dockreg.interfaces_access.IAccountStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, name: str, password_hash: str, email: str, admin: bool, now: float) -> Account:
        """See :class:`~dockreg.interfaces_access.IAccountStore`."""
        account = Account(storable(name), password_hash, storable(email), active=True, admin=admin, created_at=now)
        await self._database.write(_create, account)
        return account

    async def get(self, name: str) -> Account:
        """See :class:`~dockreg.interfaces_access.IAccountStore`."""
        return await self._database.find(_get, name)

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


def _account(row: AnyRow) -> Account:
    return Account(
        name=row.name,
        password_hash=row.password_hash,
        email=row.email,
        active=row.active,
        admin=row.admin,
        created_at=row.created_at,
    )


def _get(connection: Connection, name: str) -> Account:
    # A name that can not be stored is nobody's; the databases would complain.
    query = select(accounts).where(accounts.c.name == name)
    row = connection.execute(query).one_or_none() if name == storable(name) else None
    if row is None:
        raise AccountUnknown(name)
    return _account(row)


def _list_all(connection: Connection) -> Sequence[Account]:
    return [_account(row) for row in connection.execute(select(accounts).order_by(accounts.c.name))]


def _create(connection: Connection, account: Account) -> None:
    same_name = select(accounts.c.name).where(accounts.c.name == account.name)
    if connection.execute(same_name).all() or _is_taken(connection, account.email, account.name):
        raise AccountExists(account.name)
    connection.execute(
        insert(accounts),
        {
            "name": account.name,
            "password_hash": account.password_hash,
            "email": account.email,
            "active": account.active,
            "admin": account.admin,
            "created_at": account.created_at,
        },
    )


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
