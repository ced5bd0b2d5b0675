"""
Reconciliation: rows that nothing refers to are queued, whether something has queued them before or not.

Tables are read in the order of their keys, some rows at a time, so that it can be broken off and goes on where it was.
"""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection, exists, or_, select, tuple_

from dockreg.model.collection import Item, Kind, Sweep
from dockreg.providers.metadata.collectionqueue import queue
from dockreg.providers.metadata.tables import (
    blobs,
    manifest_blobs,
    manifest_v1_images,
    manifests,
    repositories,
    repository_blobs,
    repository_v1_images,
    tags,
    v1_images,
    v1_staged_layers,
)
from dockreg.providers.metadata.tables_collection import collection_queue

#: The last one is about the blob store.
PHASES = ("repositories", "manifests", "image-links", "images", "links", "blobs", "objects")
_links = repository_v1_images
_children = v1_images.alias("children")
_child_links = _links.alias("child_links")
_derived = blobs.alias("derived")
_Found = tuple[str | None, Sequence[Item]]


def look(connection: Connection, state: Sweep, limit: int) -> tuple[Sweep, Sequence[Item]]:
    """Look at the next rows: how far that comes, and what nothing refers to. It changes nothing."""
    after, found = _LOOKS[state.phase](connection, state.after, limit)
    if after is not None:
        return Sweep(state.phase, after), found
    return Sweep(PHASES[PHASES.index(state.phase) + 1]), found


def put(connection: Connection, found: Sequence[Item]) -> int:
    """Queue what was found; return how much of it was not queued yet. A review looks at it again, so it may be used by now."""
    new = [item for item in found if not _is_queued(connection, item)]
    queue(connection, new)
    return len(new)


def _is_queued(connection: Connection, item: Item) -> bool:
    """Who waits already goes on to wait from when he began."""
    kept = select(collection_queue.c.kind).filter_by(
        kind=item.kind.value, repository_key=item.repository, subject=item.subject
    )
    return connection.execute(kept).first() is not None


def _repositories(connection: Connection, after: str, limit: int) -> _Found:
    query = select(repositories.c.key, repositories.c.deleted_at).where(repositories.c.key > int(after or 0))
    rows = connection.execute(query.order_by(repositories.c.key).limit(limit)).all()
    deleted = [Item(Kind.REPOSITORY, row.key, "") for row in rows if row.deleted_at is not None]
    return (str(rows[-1].key) if len(rows) == limit else None), deleted


def _manifests(connection: Connection, after: str, limit: int) -> _Found:
    pointed = or_(tags.c.manifest_key == manifests.c.key, tags.c.schema1_key == manifests.c.key)
    query = select(
        manifests.c.key, manifests.c.repository_key, manifests.c.view_of, exists().where(pointed).label("used")
    )
    query = query.where(manifests.c.key > int(after or 0)).order_by(manifests.c.key).limit(limit)
    rows = connection.execute(query).all()
    untagged = [row for row in rows if row.view_of is None and not row.used]
    items = [Item(Kind.MANIFEST, row.repository_key, str(row.key)) for row in untagged]
    return (str(rows[-1].key) if len(rows) == limit else None), items


def _image_links(connection: Connection, after: str, limit: int) -> _Found:
    repository, _, image_id = after.partition(" ")
    here = _links.c.repository_key
    used = or_(
        exists().where(
            manifest_v1_images.c.image_key == _links.c.image_key,
            manifests.c.key == manifest_v1_images.c.manifest_key,
            manifests.c.repository_key == here,
        ),
        exists().where(tags.c.image_key == _links.c.image_key, tags.c.repository_key == here),
        exists().where(
            _children.c.parent_key == _links.c.image_key,
            _child_links.c.image_key == _children.c.key,
            _child_links.c.repository_key == here,
        ),
    )
    query = select(here, _links.c.image_id, _links.c.image_key, used.label("used"))
    query = query.where(tuple_(here, _links.c.image_id) > tuple_(int(repository or 0), image_id))
    rows = connection.execute(query.order_by(here, _links.c.image_id).limit(limit)).all()
    items = [Item(Kind.IMAGE_LINK, row.repository_key, str(row.image_key)) for row in rows if not row.used]
    return (f"{rows[-1].repository_key} {rows[-1].image_id}" if len(rows) == limit else None), items


def _images(connection: Connection, after: str, limit: int) -> _Found:
    used = or_(
        exists().where(_links.c.image_key == v1_images.c.key),
        exists().where(_children.c.parent_key == v1_images.c.key),
        exists().where(manifest_v1_images.c.image_key == v1_images.c.key),
        exists().where(tags.c.image_key == v1_images.c.key),
    )
    query = select(v1_images.c.key, used.label("used")).where(v1_images.c.key > int(after or 0))
    rows = connection.execute(query.order_by(v1_images.c.key).limit(limit)).all()
    items = [Item(Kind.IMAGE, 0, str(row.key)) for row in rows if not row.used]
    return (str(rows[-1].key) if len(rows) == limit else None), items


def _blob_links(connection: Connection, after: str, limit: int) -> _Found:
    repository, _, digest = after.partition(" ")
    links = repository_blobs
    used = or_(
        exists().where(
            manifest_blobs.c.held_digest == links.c.digest,
            manifests.c.key == manifest_blobs.c.manifest_key,
            manifests.c.repository_key == links.c.repository_key,
        ),
        exists().where(
            v1_images.c.layer_digest == links.c.digest,
            _links.c.image_key == v1_images.c.key,
            _links.c.repository_key == links.c.repository_key,
        ),
    )
    query = select(links.c.repository_key, links.c.digest, used.label("used"))
    query = query.where(tuple_(links.c.repository_key, links.c.digest) > tuple_(int(repository or 0), digest))
    rows = connection.execute(query.order_by(links.c.repository_key, links.c.digest).limit(limit)).all()
    items = [Item(Kind.LINK, row.repository_key, row.digest) for row in rows if not row.used]
    return (f"{rows[-1].repository_key} {rows[-1].digest}" if len(rows) == limit else None), items


def _blobs(connection: Connection, after: str, limit: int) -> _Found:
    used = or_(
        exists().where(repository_blobs.c.digest == blobs.c.digest),
        exists().where(v1_images.c.layer_digest == blobs.c.digest),
        exists().where(v1_staged_layers.c.digest == blobs.c.digest),
        exists().where(_derived.c.source_digest == blobs.c.digest),
    )
    query = select(blobs.c.digest, used.label("used")).where(blobs.c.digest > after)
    rows = connection.execute(query.order_by(blobs.c.digest).limit(limit)).all()
    items = [Item(Kind.BLOB, 0, row.digest) for row in rows if not row.used]
    return (rows[-1].digest if len(rows) == limit else None), items


_LOOKS: Mapping[str, Callable[[Connection, str, int], _Found]] = {
    "repositories": _repositories,
    "manifests": _manifests,
    "image-links": _image_links,
    "images": _images,
    "links": _blob_links,
    "blobs": _blobs,
}
