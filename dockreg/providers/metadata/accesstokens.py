"""Stored access tokens."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update
from zope.interface import implementer

from dockreg.errors import AccountInvalid
from dockreg.errors_access import AccessTokenUnknown
from dockreg.interfaces_people import IAccessTokenStore
from dockreg.model.accesstokens import AccessToken, format_scopes, parse_scope
from dockreg.providers.metadata.accounts import lock_account
from dockreg.providers.metadata.rows import AnyRow, storable
from dockreg.providers.metadata.tables_people import access_tokens
from dockreg.providers.metadata.transactions import Database

#: How long an expired token is still listed.
_FORGET_SECONDS = 30 * 86400.0


@implementer(IAccessTokenStore)
class SQLAccessTokenStore:
    """See :class:`~dockreg.interfaces_people.IAccessTokenStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, token: AccessToken, digest: bytes, most: int) -> None:
        """See :class:`~dockreg.interfaces_people.IAccessTokenStore`."""
        await self._database.write(_add, token, digest, most)

    async def get(self, token_id: str) -> tuple[AccessToken, bytes]:
        """See :class:`~dockreg.interfaces_people.IAccessTokenStore`."""
        return await self._database.read(_get, token_id)

    async def list_all(self, account: str | None) -> Sequence[AccessToken]:
        """See :class:`~dockreg.interfaces_people.IAccessTokenStore`."""
        return await self._database.read(_list_all, account)

    async def revoke(self, token_id: str, account: str | None) -> AccessToken:
        """See :class:`~dockreg.interfaces_people.IAccessTokenStore`."""
        return await self._database.write(_revoke, token_id, account)

    async def note_use(self, token_id: str, now: float) -> None:
        """See :class:`~dockreg.interfaces_people.IAccessTokenStore`."""
        await self._database.write(_note_use, token_id, now)


def _columns(token: AccessToken) -> dict[str, Any]:
    return {
        "token_id": token.token_id,
        "account": token.account,
        "description": storable(token.description),
        "scopes": format_scopes(token.scopes),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "used_at": token.used_at,
    }


def _token(row: AnyRow) -> AccessToken:
    return AccessToken(
        token_id=row.token_id,
        account=row.account,
        description=row.description,
        scopes=tuple(map(parse_scope, row.scopes.split())),
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
    )


def _add(connection: Connection, token: AccessToken, digest: bytes, most: int) -> None:
    lock_account(connection, token.account)
    own = access_tokens.c.account == token.account
    long_ago = access_tokens.c.expires_at <= token.created_at - _FORGET_SECONDS
    connection.execute(delete(access_tokens).where(own, long_ago))
    good = access_tokens.c.expires_at.is_(None) | (access_tokens.c.expires_at > token.created_at)
    if connection.execute(select(func.count()).where(own, good)).scalar_one() >= most:
        raise AccountInvalid(f"{token.account} has {most} access tokens; revoke one first")
    connection.execute(insert(access_tokens), {**_columns(token), "digest": digest})


def _get(connection: Connection, token_id: str) -> tuple[AccessToken, bytes]:
    query = select(access_tokens).where(access_tokens.c.token_id == token_id)
    row = connection.execute(query).one_or_none() if token_id == storable(token_id) else None
    if row is None:
        raise AccessTokenUnknown(token_id)
    return _token(row), row.digest


def _list_all(connection: Connection, account: str | None) -> Sequence[AccessToken]:
    query = select(access_tokens).order_by(
        access_tokens.c.account, access_tokens.c.created_at, access_tokens.c.token_id
    )
    if account is not None:
        query = query.where(access_tokens.c.account == storable(account))
    return [_token(row) for row in connection.execute(query)]


def _revoke(connection: Connection, token_id: str, account: str | None) -> AccessToken:
    token, _ = _get(connection, token_id)
    if account not in (None, token.account):
        raise AccessTokenUnknown(token_id)
    connection.execute(delete(access_tokens).where(access_tokens.c.token_id == token_id))
    return token


def _note_use(connection: Connection, token_id: str, now: float) -> None:
    connection.execute(update(access_tokens).where(access_tokens.c.token_id == token_id), {"used_at": now})
