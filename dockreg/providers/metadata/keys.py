"""Keys that the registry made."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, bindparam, insert, select
from zope.interface import implementer

from dockreg.interfaces_access import IKeyStore
from dockreg.model.accounts import SigningKey
from dockreg.providers.metadata.schema import take_turns
from dockreg.providers.metadata.tables import signing_keys
from dockreg.providers.metadata.transactions import Database

_FIND = (
    select(signing_keys)
    .where(signing_keys.c.purpose == bindparam("wanted"))
    .order_by(signing_keys.c.created_at.desc(), signing_keys.c.key.desc())
)


@implementer(IKeyStore)
class SQLKeyStore:
    """See :class:`~dockreg.interfaces_access.IKeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, purpose: str, make: Callable[[], SigningKey]) -> Sequence[SigningKey]:
        """See :class:`~dockreg.interfaces_access.IKeyStore`."""
        found = await self._database.find(_find, purpose)
        return found or await self._database.write(_find_or_make, purpose, make)


def _find(connection: Connection, purpose: str) -> Sequence[SigningKey]:
    rows = connection.execute(_FIND, {"wanted": purpose})
    return [SigningKey(row.key_id, row.secret, row.created_at) for row in rows]


def _find_or_make(connection: Connection, purpose: str, make: Callable[[], SigningKey]) -> Sequence[SigningKey]:
    take_turns(connection)
    if not (found := _find(connection, purpose)):
        key = make()
        values = {"purpose": purpose, "key_id": key.key_id, "secret": key.secret, "created_at": key.created_at}
        connection.execute(insert(signing_keys), values)
        found = [key]
    return found
