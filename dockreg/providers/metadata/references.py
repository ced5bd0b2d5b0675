"""References between rows, looked at in pages, each in one transaction."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Integer, Select, String, bindparam, cast, delete, exists, select, update
from zope.interface import implementer

from dockreg.interfaces_blobs import IReferenceStore
from dockreg.model.manifest import Manifest
from dockreg.model.names import RepositoryName
from dockreg.model.references import BrokenReference, Fault, ImagePage, KeptManifest, ManifestPage
from dockreg.providers.metadata import ledger
from dockreg.providers.metadata.links import link_blobs, lock_repository
from dockreg.providers.metadata.manifestrows import insert_references, look_up
from dockreg.providers.metadata.manifests import stored_manifest
from dockreg.providers.metadata.tables import (
    blobs,
    manifest_blobs,
    manifest_children,
    manifests,
    repositories,
    repository_blobs,
    repository_v1_images,
    tags,
    v1_images,
)
from dockreg.providers.metadata.transactions import Database

_LIMIT = bindparam("limit", type_=Integer)
_MANIFESTS = (
    select(
        manifests.c.key,
        repositories.c.name.label("repository"),
        manifests.c.media_type,
        manifests.c.digest,
        manifests.c.content,
        manifests.c.derived,
        manifests.c.v1_view,
    )
    .join(repositories, repositories.c.key == manifests.c.repository_key)
    .where(manifests.c.key > bindparam("after"))
    .order_by(manifests.c.key)
    .limit(_LIMIT)
)
_BETWEEN = manifests.c.key.between(bindparam("first"), bindparam("last"))
_IMAGES_BETWEEN = v1_images.c.key.between(bindparam("first"), bindparam("last"))
_part, _links, _parents = repository_blobs, repository_v1_images, repository_v1_images.alias("parents")


def _is_part(repository: Any, digest: Any) -> Any:
    return exists().where(_part.c.repository_key == repository, _part.c.digest == digest)


def _references(table: Any) -> Select[Any]:
    key = table.c.manifest_key
    return select(key.label("key"), table.c.digest).where(key.between(bindparam("first"), bindparam("last")))


_REFERENCES = (_references(manifest_blobs), _references(manifest_children))
_of_manifests = select(repositories.c.name, manifests.c.digest.label("holder")).select_from(
    manifests.join(repositories, repositories.c.key == manifests.c.repository_key)
)
_with_blobs = _of_manifests.add_columns(manifest_blobs.c.digest.label("target")).join(
    manifest_blobs, manifest_blobs.c.manifest_key == manifests.c.key
)
_with_images = (
    select(repositories.c.name, v1_images.c.image_id.label("holder"))
    .select_from(
        v1_images.join(_links, _links.c.image_key == v1_images.c.key).join(
            repositories, repositories.c.key == _links.c.repository_key
        )
    )
    .where(_IMAGES_BETWEEN)
)
_parent = v1_images.alias("parent")
#: What is wrong with manifests, and with v1 images, and how it is found.
_OF_MANIFESTS: Sequence[tuple[Fault, Select[Any]]] = (
    (
        Fault.BLOB_NOT_LINKED,
        _with_blobs.where(
            _BETWEEN,
            manifest_blobs.c.held_digest.is_not(None),
            ~_is_part(manifests.c.repository_key, manifest_blobs.c.held_digest),
        ),
    ),
    (
        Fault.BLOB_NOT_HELD,
        _with_blobs.where(
            _BETWEEN,
            manifest_blobs.c.held_digest.is_(None),
            _is_part(manifests.c.repository_key, manifest_blobs.c.digest),
        ),
    ),
    (
        Fault.TAG_ASTRAY,
        select(repositories.c.name, tags.c.name.label("holder"), manifests.c.digest.label("target"))
        .select_from(
            manifests.join(tags, tags.c.manifest_key == manifests.c.key).join(
                repositories, repositories.c.key == tags.c.repository_key
            )
        )
        .where(_BETWEEN, tags.c.repository_key != manifests.c.repository_key),
    ),
)
_OF_IMAGES: Sequence[tuple[Fault, Select[Any]]] = (
    (
        Fault.LAYER_NOT_LINKED,
        _with_images.add_columns(v1_images.c.layer_digest.label("target")).where(
            ~_is_part(_links.c.repository_key, v1_images.c.layer_digest)
        ),
    ),
    (
        Fault.PARENT_NOT_LINKED,
        _with_images.add_columns(cast(_parent.c.image_id, String).label("target"))
        .join(_parent, _parent.c.key == v1_images.c.parent_key)
        .where(
            ~exists().where(
                _parents.c.repository_key == _links.c.repository_key, _parents.c.image_key == v1_images.c.parent_key
            )
        ),
    ),
)
_IMAGE_KEYS = (
    select(v1_images.c.key).where(v1_images.c.key > bindparam("after")).order_by(v1_images.c.key).limit(_LIMIT)
)
#: What can be made right: the blob is there, and something of the repository needs it.
_LINKING = frozenset({Fault.BLOB_NOT_LINKED, Fault.LAYER_NOT_LINKED})


@implementer(IReferenceStore)
class SQLReferenceStore:
    """See :class:`~dockreg.interfaces_blobs.IReferenceStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look_at_manifests(self, after: int, limit: int) -> ManifestPage:
        """See :class:`~dockreg.interfaces_blobs.IReferenceStore`."""
        return await self._database.read(_look_at_manifests, after, limit)

    async def look_at_images(self, after: int, limit: int) -> ImagePage:
        """See :class:`~dockreg.interfaces_blobs.IReferenceStore`."""
        return await self._database.read(_look_at_images, after, limit)

    async def mend(self, broken: BrokenReference) -> bool:
        """See :class:`~dockreg.interfaces_blobs.IReferenceStore`."""
        return await self._database.write(_mend, broken)

    async def write_references(self, kept: KeptManifest, manifest: Manifest) -> bool:
        """See :class:`~dockreg.interfaces_blobs.IReferenceStore`."""
        return await self._database.write(_write_references, kept, manifest)


def _look_at_manifests(connection: Connection, after: int, limit: int) -> ManifestPage:
    rows = connection.execute(_MANIFESTS, {"after": after, "limit": limit}).all()
    if not rows:
        return ManifestPage((), ())
    between = {"first": rows[0].key, "last": rows[-1].key}
    references: dict[int, set[str]] = defaultdict(set)
    for query in _REFERENCES:
        for row in connection.execute(query, between):
            references[row.key].add(row.digest)
    kept = [
        KeptManifest(row.key, RepositoryName(row.repository), stored_manifest(row), frozenset(references[row.key]))
        for row in rows
    ]
    return ManifestPage(kept, _broken(connection, _OF_MANIFESTS, between))


def _look_at_images(connection: Connection, after: int, limit: int) -> ImagePage:
    keys = connection.execute(_IMAGE_KEYS, {"after": after, "limit": limit}).scalars().all()
    if not keys:
        return ImagePage((), None)
    return ImagePage(_broken(connection, _OF_IMAGES, {"first": keys[0], "last": keys[-1]}), keys[-1])


def _broken(
    connection: Connection, queries: Sequence[tuple[Fault, Select[Any]]], between: dict[str, int]
) -> Sequence[BrokenReference]:
    found: dict[BrokenReference, None] = {}
    for fault, query in queries:
        for row in connection.execute(query, between):
            found[BrokenReference(fault, RepositoryName(row.name), row.holder, row.target)] = None
    return list(found)


def _mend(connection: Connection, broken: BrokenReference) -> bool:
    key = lock_repository(connection, broken.repository).key
    if broken.fault in _LINKING:
        locked = select(blobs.c.digest).where(blobs.c.digest == broken.target).with_for_update()
        if connection.execute(locked).one_or_none() is None:
            return False
        # It counts, and a quota does not keep anything from being repaired.
        ledger.of(connection).refuses = False
        link_blobs(connection, key, [broken.target])
        return True
    if broken.fault is not Fault.BLOB_NOT_HELD:
        return False
    manifest = select(manifests.c.key).where(manifests.c.repository_key == key, manifests.c.digest == broken.holder)
    these = (
        (manifest_blobs.c.manifest_key == manifest.scalar_subquery())
        & (manifest_blobs.c.digest == broken.target)
        & _is_part(key, broken.target)
    )
    return connection.execute(update(manifest_blobs).where(these), {"held_digest": broken.target}).rowcount > 0


def _write_references(connection: Connection, kept: KeptManifest, manifest: Manifest) -> bool:
    repository = lock_repository(connection, kept.repository).key
    this = select(manifests.c.key).where(manifests.c.key == kept.key, manifests.c.repository_key == repository)
    if connection.execute(this).one_or_none() is None:
        return False
    for table in (manifest_blobs, manifest_children):
        connection.execute(delete(table).where(table.c.manifest_key == kept.key))
    insert_references(connection, kept.key, manifest, look_up(connection, repository, manifest))
    return True
