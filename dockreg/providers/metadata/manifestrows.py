"""The rows of one manifest: itself, and what it refers to."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Select, bindparam, insert, select

from dockreg.errors import ReferencesUnknown
from dockreg.model.manifest import Descriptor, Manifest, Role
from dockreg.model.repositories import Sparse
from dockreg.providers.metadata.rows import AnyRow
from dockreg.providers.metadata.tables import (
    blobs,
    manifest_blobs,
    manifest_children,
    manifest_v1_images,
    manifests,
    repository_blobs,
)

#: So many digests one statement asks for. Statements are constant, so that they are compiled once; SQLite takes 999
#: parameters, and thirty times more where it was built to.
_SLOTS = (8, 32, 256)
#: An error names no more digests than that.
_MOST_NAMED = 20
_CHILD = "child"

_KEY = select(manifests.c.key).where(
    manifests.c.repository_key == bindparam("repository"), manifests.c.digest == bindparam("wanted")
)


def _names(slots: int) -> Sequence[str]:
    return [f"digest_{number}" for number in range(slots)]


def _for_each_size(query: Select[Any], column: Any) -> Mapping[int, Select[Any]]:
    return {slots: query.where(column.in_([bindparam(name) for name in _names(slots)])) for slots in _SLOTS}


_MANIFESTS = _for_each_size(
    select(manifests.c.digest).where(manifests.c.repository_key == bindparam("repository")), manifests.c.digest
)
_HELD = _for_each_size(
    select(blobs.c.digest, blobs.c.condition)
    .join(repository_blobs, repository_blobs.c.digest == blobs.c.digest)
    .where(repository_blobs.c.repository_key == bindparam("repository"))
    .with_for_update(read=True, key_share=True, of=blobs),
    blobs.c.digest,
)
_INSERT = insert(manifests)
_INSERT_BLOBS = insert(manifest_blobs)
_INSERT_CHILDREN = insert(manifest_children)


@frozen
class Origin:
    """Where a manifest comes from: who, when, and the manifest that it is another form of, if the registry made it."""

    pushed_by: str
    now: float
    derived: bool = False
    view_of: int | None = None


@frozen
class Present:
    """Which of the things that a manifest refers to are in its repository."""

    blobs: frozenset[str]
    manifests: frozenset[str]
    #: Those of the blobs whose bytes are lost: the repository has them, and they have to be pushed again.
    lost: frozenset[str] = frozenset()


def manifest_key(connection: Connection, repository: int, digest: str) -> int | None:
    """The key of a manifest of the repository."""
    return connection.execute(_KEY, {"repository": repository, "wanted": digest}).scalar_one_or_none()


def look_up(connection: Connection, repository: int, manifest: Manifest) -> Present:
    """What is there; the rows of the blobs are locked, so that nothing is collected before it is referred to."""
    children = {str(child.descriptor.digest) for child in manifest.children}
    found = frozenset(row.digest for row in _matching(connection, _MANIFESTS, repository, children))
    wanted = {str(reference.descriptor.digest) for reference in manifest.references} | (children - found)
    rows = [*_matching(connection, _HELD, repository, wanted)]
    lost = frozenset(row.digest for row in rows if row.condition is not None)
    return Present(frozenset(row.digest for row in rows), found, lost)


def require_references(manifest: Manifest, present: Present, sparse: Sparse) -> None:
    """:raises ReferencesUnknown: something is missing that must be there."""
    missing = []
    if sparse is not Sparse.ALL:
        missing += [each.descriptor.digest for each in manifest.references if each.required]
        missing += [each.descriptor.digest for each in manifest.children if not each.is_manifest]
    if sparse is Sparse.NONE:
        missing += [each.descriptor.digest for each in manifest.children if each.is_manifest]
    digests = dict.fromkeys(str(digest) for digest in missing)
    there = (present.blobs - present.lost) | present.manifests
    unknown = [digest for digest in digests if digest not in there]
    if unknown:
        raise ReferencesUnknown(tuple(unknown[:_MOST_NAMED]))


def insert_manifest(
    connection: Connection, repository: int, manifest: Manifest, present: Present, origin: Origin
) -> int:
    """Insert a manifest that the repository does not have, and return its key."""
    config = next((each.descriptor for each in manifest.references if each.role is Role.CONFIG), None)
    values = {
        "repository_key": repository,
        "digest": str(manifest.digest),
        "media_type": manifest.media_type,
        "content": manifest.content,
        "size": len(manifest.content),
        "config_digest": None if config is None else str(config.digest),
        "artifact_type": manifest.artifact_type,
        "subject": None if manifest.subject is None else str(manifest.subject.digest),
        "annotations": json.dumps(dict(manifest.annotations)) if manifest.annotations else None,
        "view_of": origin.view_of,
        "derived": origin.derived,
        "created_at": origin.now,
        "pushed_by": origin.pushed_by,
    }
    inserted = connection.execute(_INSERT, values).inserted_primary_key
    assert inserted is not None
    key: int = inserted[0]
    insert_references(connection, key, manifest, present)
    return key


def insert_references(connection: Connection, key: int, manifest: Manifest, present: Present) -> None:
    """Insert what a manifest refers to, of which nothing is there yet."""
    rows = [*_blob_rows(key, manifest, present)]
    if rows:
        connection.execute(_INSERT_BLOBS, rows)
    children = [
        {"manifest_key": key, "position": position, **_columns(child.descriptor)}
        for position, child in enumerate(manifest.children)
    ]
    if children:
        connection.execute(_INSERT_CHILDREN, children)


def map_image(connection: Connection, manifest: int, image: int) -> None:
    """Note that a manifest and a v1 image are the same."""
    view = {"manifest_key": manifest, "image_key": image}
    if not connection.execute(select(manifest_v1_images).filter_by(**view)).all():
        connection.execute(insert(manifest_v1_images), view)


def _blob_rows(key: int, manifest: Manifest, present: Present) -> Iterator[Mapping[str, Any]]:
    roles = [(each.role.value, each.descriptor) for each in manifest.references]
    roles += [
        (_CHILD, each.descriptor)
        for each in manifest.children
        if not each.is_manifest or str(each.descriptor.digest) in present.blobs
    ]
    for position, (role, descriptor) in enumerate(roles):
        columns = _columns(descriptor)
        held = columns["digest"] if columns["digest"] in present.blobs else None
        yield {"manifest_key": key, "position": position, "role": role, "held_digest": held, **columns}


def _columns(descriptor: Descriptor) -> dict[str, Any]:
    return {"digest": str(descriptor.digest), "media_type": descriptor.media_type, "size": descriptor.size}


def _matching(
    connection: Connection, queries: Mapping[int, Select[Any]], repository: int, digests: Collection[str]
) -> Iterator[AnyRow]:
    """The rows of those of ``digests`` that are there, asked for in batches."""
    wanted: Sequence[str] = sorted(digests)
    first = 0
    while first < len(wanted):
        slots = next((each for each in _SLOTS if each >= len(wanted) - first), _SLOTS[-1])
        batch = wanted[first : first + slots]
        # No digest is empty.
        values = dict(zip(_names(slots), [*batch, *[""] * (slots - len(batch))], strict=True))
        yield from connection.execute(queries[slots], {"repository": repository, **values})
        first += slots
