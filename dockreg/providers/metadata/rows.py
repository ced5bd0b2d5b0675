"""Rows to values, and values to what both databases can store."""

from typing import Any

from sqlalchemy import Row

from dockreg.model.blobs import Blob, DerivedBlob, StoredBlob
from dockreg.model.conditions import Condition
from dockreg.model.digest import Digest
from dockreg.model.v1 import Checksums, ImageID, LayerFacts, V1Image
from dockreg.providers.metadata.tables import blobs, v1_images

AnyRow = Row[*tuple[Any, ...]]

_parents = v1_images.alias("parents")
_sources = blobs.alias("sources")

#: What :func:`stored_of` and :func:`facts_of` read.
STORED_COLUMNS = (
    blobs.c.digest,
    blobs.c.generation,
    blobs.c.size,
    blobs.c.compression,
    blobs.c.diff_id,
    blobs.c.uncompressed_size,
    blobs.c.entries,
    blobs.c.condition,
)
#: All of a blob but its bytes, which are wanted by who reads them and by nobody else.
ALL_BUT_CONTENT = tuple(column for column in blobs.columns if column is not blobs.c.content)
#: What :func:`blob_of` reads, from :data:`BLOB_TABLES`.
BLOB_COLUMNS = (
    *STORED_COLUMNS,
    _sources.c.digest.label("source_digest"),
    _sources.c.generation.label("source_generation"),
    _sources.c.size.label("source_size"),
    _sources.c.condition.label("source_condition"),
)
BLOB_TABLES = blobs.outerjoin(_sources, blobs.c.source_digest == _sources.c.digest)
#: What :func:`image_of` reads, from :data:`IMAGE_TABLES`.
IMAGE_COLUMNS = (
    v1_images.c.key,
    v1_images.c.image_id,
    v1_images.c.json,
    v1_images.c.parent_key,
    _parents.c.image_id.label("parent"),
    v1_images.c.payload,
    v1_images.c.tarsums,
    v1_images.c.summed,
    v1_images.c.pushed_by,
    v1_images.c.unannounced,
    *BLOB_COLUMNS,
)
IMAGE_TABLES = (
    v1_images.join(blobs, v1_images.c.layer_digest == blobs.c.digest)
    .outerjoin(_sources, blobs.c.source_digest == _sources.c.digest)
    .outerjoin(_parents, v1_images.c.parent_key == _parents.c.key)
)


def account_column(name: str | None) -> str:
    """How the name of an account is stored: empty for anonymous."""
    return "" if name is None else name


def account_name(column: str) -> str | None:
    """The opposite of :func:`account_column`."""
    return column or None


def storable(text: str) -> str:
    """``text`` without what UTF-8 or PostgreSQL does not take: lone surrogates and NUL become question marks."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def storable_or_none(text: str | None) -> str | None:
    """:func:`storable`, where there is text."""
    return None if text is None else storable(text)


def digest_of(column: str) -> Digest:
    """A digest that was checked before it was stored."""
    algorithm, _, encoded = column.partition(":")
    return Digest(algorithm, encoded)


def stored_of(row: AnyRow) -> StoredBlob:
    """The object of a row with :data:`STORED_COLUMNS`, which has one."""
    return StoredBlob(digest_of(row.digest), row.generation, row.size, condition_of(row.condition))


def condition_of(column: str | None) -> Condition | None:
    """What is wrong with an object."""
    return None if column is None else Condition(column)


def blob_of(row: AnyRow) -> Blob:
    """The blob in a row with :data:`BLOB_COLUMNS`."""
    if row.generation is not None:
        return stored_of(row)
    lost = condition_of(row.source_condition)
    source = StoredBlob(digest_of(row.source_digest), row.source_generation, row.source_size, lost)
    return DerivedBlob(digest_of(row.digest), row.size, source)


def facts_of(row: AnyRow) -> LayerFacts:
    """What is known of the layer in a row with :data:`STORED_COLUMNS`."""
    diff_id = None if row.diff_id is None else digest_of(row.diff_id)
    return LayerFacts(row.compression or "none", diff_id, row.uncompressed_size, row.entries)


def facts_columns(facts: LayerFacts) -> dict[str, str | int | None]:
    """The opposite of :func:`facts_of`."""
    return {
        "compression": facts.compression,
        "diff_id": None if facts.diff_id is None else str(facts.diff_id),
        "uncompressed_size": facts.uncompressed_size,
        "entries": facts.entries,
    }


def checksums_of(row: AnyRow) -> Checksums:
    """The checksums in a row."""
    return Checksums(row.payload, frozenset(row.tarsums.split()) if row.summed else None)


def checksums_columns(checksums: Checksums) -> dict[str, str | bool]:
    """The opposite of :func:`checksums_of`."""
    return {"payload": checksums.payload, **tarsums_columns(checksums.tarsums)}


def tarsums_columns(tarsums: frozenset[str] | None) -> dict[str, str | bool]:
    """The part of :func:`checksums_columns` that may be found out later."""
    return {"tarsums": " ".join(sorted(tarsums or ())), "summed": tarsums is not None}


def image_of(row: AnyRow) -> V1Image:
    """The image in a row with :data:`IMAGE_COLUMNS`."""
    return V1Image(
        key=row.key,
        image_id=ImageID(row.image_id),
        json=row.json,
        parent_key=row.parent_key,
        parent=None if row.parent is None else ImageID(row.parent),
        layer=blob_of(row),
        facts=facts_of(row),
        checksums=checksums_of(row),
        pushed_by=account_name(row.pushed_by),
    )
