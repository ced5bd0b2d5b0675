"""The rows of blobs."""

from sqlalchemy import Connection, bindparam, insert, select, update
from zope.interface import implementer

from dockreg.interfaces import IBlobIndex
from dockreg.model.blobs import StoredBlob
from dockreg.model.digest import Digest
from dockreg.model.v1 import LayerFacts
from dockreg.providers.metadata.rows import BLOB_COLUMNS, AnyRow, blob_of, facts_columns
from dockreg.providers.metadata.tables import blobs
from dockreg.providers.metadata.transactions import Database

_FIND = select(*BLOB_COLUMNS, blobs.c.leased_until).where(blobs.c.digest == bindparam("wanted"))
_LOCK = _FIND.with_for_update()


@implementer(IBlobIndex)
class SQLBlobIndex:
    """See :class:`~dockreg.interfaces.IBlobIndex`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, digest: Digest) -> StoredBlob | None:
        """See :class:`~dockreg.interfaces.IBlobIndex`; a derived blob has no object."""
        return await self._database.read(_find, digest)

    async def is_recorded(self, blob: StoredBlob) -> bool:
        """See :class:`~dockreg.interfaces.IBlobIndex`."""
        return await self._database.read(_is_recorded, blob)

    async def record(self, blob: StoredBlob, facts: LayerFacts | None, leased_until: float) -> StoredBlob:
        """See :class:`~dockreg.interfaces.IBlobIndex`."""
        return await self._database.write(record_blob, blob, facts, leased_until)


def record_blob(connection: Connection, blob: StoredBlob, facts: LayerFacts | None, leased_until: float) -> StoredBlob:
    """Insert the row of ``blob``, or complete the one that is there, and extend its lease."""
    row = connection.execute(_LOCK, {"wanted": str(blob.digest)}).one_or_none()
    if row is None:
        connection.execute(insert(blobs), _columns(blob, facts, leased_until))
        return blob
    changes: dict[str, object] = {"leased_until": max(leased_until, row.leased_until)}
    if row.generation is None:
        # A derived blob gets bytes of its own.
        changes |= {"generation": blob.generation, "source_digest": None}
    if facts is not None and row.compression is None:
        changes |= facts_columns(facts)
    connection.execute(update(blobs).where(blobs.c.digest == str(blob.digest)), changes)
    return blob if row.generation is None else blob_of(row)


def _columns(blob: StoredBlob, facts: LayerFacts | None, leased_until: float) -> dict[str, object]:
    known = {} if facts is None else facts_columns(facts)
    return {
        "digest": str(blob.digest),
        "generation": blob.generation,
        "size": blob.size,
        "leased_until": leased_until,
        **known,
    }


def _find(connection: Connection, digest: Digest) -> StoredBlob | None:
    row = connection.execute(_FIND, {"wanted": str(digest)}).one_or_none()
    return None if row is None or row.generation is None else blob_of(row)


def _is_recorded(connection: Connection, blob: StoredBlob) -> bool:
    row: AnyRow | None = connection.execute(_LOCK, {"wanted": str(blob.digest)}).one_or_none()
    if row is None and connection.dialect.name == "postgresql":
        # The process that wrote the object may be gone while the server still finishes its transaction: an insert
        # waits for the end of any other insert of this digest. This transaction is rolled back.
        connection.execute(insert(blobs), _columns(blob, None, 0.0))
    return row is not None and row.generation == blob.generation
