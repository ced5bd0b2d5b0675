"""Keys that the registry made."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import evolve
from sqlalchemy import Connection, bindparam, delete, insert, select
from zope.interface import implementer

from dockreg.interfaces_access import IKeyStore
from dockreg.model.accounts import SigningKey
from dockreg.providers.metadata.schema import take_turns
from dockreg.providers.metadata.tables import signing_keys
from dockreg.providers.metadata.transactions import Database

_FIND_ALL = select(signing_keys).order_by(signing_keys.c.created_at.desc(), signing_keys.c.key.desc())
_FIND = _FIND_ALL.where(signing_keys.c.purpose == bindparam("wanted"))


@implementer(IKeyStore)
class SQLKeyStore:
    """See :class:`~dockreg.interfaces_access.IKeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, purpose: str, make: Callable[[], SigningKey]) -> Sequence[SigningKey]:
        """See :class:`~dockreg.interfaces_access.IKeyStore`."""
        found = await self._database.find_lasting(_find, purpose)
        return found or await self._database.write(_find_or_make, purpose, make)

    async def add(self, purpose: str, key: SigningKey) -> SigningKey:
        """See :class:`~dockreg.interfaces_access.IKeyStore`."""
        return await self._database.write(_add, purpose, key)

    async def remove(self, purpose: str, key_id: str) -> None:
        """See :class:`~dockreg.interfaces_access.IKeyStore`."""
        await self._database.write(_remove, purpose, key_id)

    async def list_all(self) -> Mapping[str, Sequence[SigningKey]]:
        """See :class:`~dockreg.interfaces_access.IKeyStore`."""
        return await self._database.read(_find_all)


def _find(connection: Connection, purpose: str) -> Sequence[SigningKey]:
    return [_key(row) for row in connection.execute(_FIND, {"wanted": purpose})]


def _find_all(connection: Connection) -> Mapping[str, Sequence[SigningKey]]:
    found: dict[str, list[SigningKey]] = {}
    for row in connection.execute(_FIND_ALL):
        found.setdefault(row.purpose, []).append(_key(row))
    return found


def _key(row: Any) -> SigningKey:
    return SigningKey(row.key_id, row.secret, row.created_at)


def _find_or_make(connection: Connection, purpose: str, make: Callable[[], SigningKey]) -> Sequence[SigningKey]:
    take_turns(connection)
    if not (found := _find(connection, purpose)):
        found = [_insert(connection, purpose, make())]
    return found


def _add(connection: Connection, purpose: str, key: SigningKey) -> SigningKey:
    take_turns(connection)
    newest = max((each.created_at for each in _find(connection, purpose)), default=key.created_at)
    # The clock of who adds may be behind; of keys of one time the one that was added last is the newest.
    return _insert(connection, purpose, evolve(key, created_at=max(key.created_at, newest)))


def _insert(connection: Connection, purpose: str, key: SigningKey) -> SigningKey:
    values = {"purpose": purpose, "key_id": key.key_id, "secret": key.secret, "created_at": key.created_at}
    connection.execute(insert(signing_keys), values)
    return key


def _remove(connection: Connection, purpose: str, key_id: str) -> None:
    connection.execute(delete(signing_keys).where(signing_keys.c.purpose == purpose, signing_keys.c.key_id == key_id))
