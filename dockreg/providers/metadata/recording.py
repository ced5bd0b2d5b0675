"""What is written of a blob whose bytes are durable: each push of one waits for it."""

from sqlalchemy import Connection, TextClause, bindparam, delete, text, update

from dockreg.errors import UploadUnknown
from dockreg.model.blobs import Recorded, StoredBlob
from dockreg.model.v1 import LayerFacts
from dockreg.providers.metadata import ledger
from dockreg.providers.metadata.collectionqueue import queue_link
from dockreg.providers.metadata.links import link_blobs
from dockreg.providers.metadata.rows import AnyRow, facts_columns, stored_of
from dockreg.providers.metadata.tables import blobs, uploads
from dockreg.providers.metadata.uploads import drop_rows, may_have_expired, remember_ended

_FACTS = ("compression", "diff_id", "uncompressed_size", "entries")


def _record_statement(*more: str) -> TextClause:
    """
    The same for SQLite and PostgreSQL; one statement, whether the blob is there or not.

    It returns columns of the row as it is from now on; whether the upload session has a row; whether a manifest of the
    repository lacks the blob.
    """
    columns = "".join(f", {each}" for each in more)
    values = "".join(f", :{each}" for each in more)
    return text(
        f"INSERT INTO blobs (digest, generation, size, leased_until{columns}, content)"  # noqa: S608 - names of columns
        f" VALUES (:digest, :generation, :size, :lease{values}, :content)"
        " ON CONFLICT (digest) DO UPDATE SET leased_until ="
        " CASE WHEN excluded.leased_until > blobs.leased_until THEN excluded.leased_until ELSE blobs.leased_until END"
        " RETURNING digest, generation, size, compression, diff_id, uncompressed_size, entries, condition,"
        " EXISTS (SELECT 1 FROM uploads WHERE upload_id = :upload_id) AS has_session,"
        " EXISTS (SELECT 1 FROM manifest_blobs JOIN manifests ON manifests.key = manifest_blobs.manifest_key"
        " WHERE manifest_blobs.digest = :digest AND held_digest IS NULL AND repository_key = :repository) AS is_missed"
    )


_RECORD = _record_statement()
_RECORD_LAYER = _record_statement(*_FACTS)
_COMPLETE = update(blobs).where(blobs.c.digest == bindparam("wanted"))
_END_UPLOAD = delete(uploads).where(uploads.c.upload_id == bindparam("wanted"))


def record_in(
    connection: Connection,
    repository: int,
    blob: StoredBlob,
    facts: LayerFacts | None,
    leased_until: float,
    upload_id: str | None,
) -> Recorded:
    """Make a blob part of a locked repository. :raises UploadUnknown: the session has ended already."""
    recorded, row = _record_blob(connection, blob, facts, leased_until, repository, upload_id)
    digest = str(blob.digest)
    # Who pushes a manifest to this repository has its lock until he is done.
    link_blobs(connection, repository, (digest,), may_be_missed=row.is_missed)
    if upload_id is not None:
        if not remember_ended(connection, upload_id) and not may_have_expired(connection, upload_id):
            # Another request has ended it, here or in another process, since this one was let in.
            raise UploadUnknown(upload_id)
        if ledger.is_counted(connection, repository):
            drop_rows(connection, [upload_id])
        elif row.has_session or connection.dialect.name == "postgresql":
            # There somebody else may have made the row before it was this one's turn.
            connection.execute(_END_UPLOAD, {"wanted": upload_id})
    queue_link(connection, repository, digest, leased_until)
    return recorded


def record_blob(connection: Connection, blob: StoredBlob, facts: LayerFacts | None, leased_until: float) -> StoredBlob:
    """Insert the row of ``blob``, or complete the one that is there, and extend its lease."""
    recorded, _ = _record_blob(connection, blob, facts, leased_until)
    return recorded.blob


def _record_blob(
    connection: Connection,
    blob: StoredBlob,
    facts: LayerFacts | None,
    leased_until: float,
    repository: int | None = None,
    upload_id: str | None = None,
) -> tuple[Recorded, AnyRow]:
    values: dict[str, object] = {
        "digest": str(blob.digest),
        "generation": blob.generation,
        "size": blob.size,
        "lease": leased_until,
        "content": blob.content,
        "upload_id": upload_id,
        "repository": repository,
    }
    if facts is None:
        row = connection.execute(_RECORD, values).one()
        if row.generation == blob.generation and row.condition is None:
            return Recorded(blob), row
    else:
        row = connection.execute(_RECORD_LAYER, values | facts_columns(facts)).one()
    return _complete(connection, row, blob, facts), row


def _complete(connection: Connection, row: AnyRow, blob: StoredBlob, facts: LayerFacts | None) -> Recorded:
    """What was there already may lack bytes, or what is known of the layer."""
    changes: dict[str, object] = {}
    replaced = row.generation is None or (row.condition is not None and row.generation != blob.generation)
    if replaced:
        # A derived blob gets bytes of its own, and one that is lost gets them again.
        changes |= {"generation": blob.generation, "content": blob.content}
        changes |= {"source_digest": None, "condition": None, "condition_at": None}
    if facts is not None and row.compression is None:
        changes |= facts_columns(facts)
    if changes:
        connection.execute(_COMPLETE, {"wanted": str(blob.digest), **changes})
    if not replaced:
        return Recorded(stored_of(row))
    return Recorded(blob, stored_of(row) if row.generation is not None else None)
