"""v1 images that are being pushed: their jsons, their layers, and their completion."""

import hashlib
from collections.abc import Collection, Sequence

from sqlalchemy import Connection, bindparam, delete, exists, insert, select, update

from dockreg.errors import ImageUnknown, LayerMissing
from dockreg.model.blobs import StoredBlob
from dockreg.model.collection import Kind
from dockreg.model.names import RepositoryName
from dockreg.model.v1 import Checksums, ImageID, ImageJSON, LayerFacts, PushScope, StagedImage, StagedLayer, V1Image
from dockreg.providers.metadata.collectionqueue import queue_blobs, queue_keys
from dockreg.providers.metadata.links import link_image, linked_key, lock_repository
from dockreg.providers.metadata.recording import record_blob
from dockreg.providers.metadata.rows import (
    IMAGE_COLUMNS,
    IMAGE_TABLES,
    STORED_COLUMNS,
    account_column,
    checksums_columns,
    checksums_of,
    image_of,
    stored_of,
    tarsums_columns,
)
from dockreg.providers.metadata.tables import blobs, v1_images, v1_staged_images, v1_staged_layers

#: SQLite takes 900 parameters in one statement and more.
_BATCH = 500
_images, _layers = v1_staged_images, v1_staged_layers
_IN_SCOPE = (
    (_images.c.image_id == bindparam("wanted"))
    & (_images.c.repository == bindparam("scope_repository"))
    & (_images.c.principal == bindparam("scope_principal"))
)
_STAGED = (
    select(_images.c.key, _images.c.json, _images.c.parent_key)
    .where(_IN_SCOPE)
    .order_by(_images.c.staged_at.desc(), _images.c.key.desc())
)
_STAGED_LAYERS = (
    select(
        _layers.c.key.label("layer_key"),
        _layers.c.payload,
        _layers.c.tarsums,
        _layers.c.summed,
        _images.c.key,
        _images.c.json,
        _images.c.parent_key,
        v1_images.c.image_id.label("parent"),
        *STORED_COLUMNS,
    )
    .select_from(
        _layers.join(_images, _layers.c.staged_image_key == _images.c.key)
        .join(blobs, _layers.c.digest == blobs.c.digest)
        .outerjoin(v1_images, _images.c.parent_key == v1_images.c.key)
    )
    .where(_IN_SCOPE)
    .order_by(_layers.c.staged_at.desc(), _layers.c.key.desc())
)
_STAGED_LAYER = (
    select(_images.c.json, _images.c.parent_key)
    .select_from(_layers.join(_images, _layers.c.staged_image_key == _images.c.key))
    .where(_layers.c.key == bindparam("wanted"))
    .with_for_update(of=_layers)
)
_IMAGE = select(*IMAGE_COLUMNS).select_from(IMAGE_TABLES).where(v1_images.c.key == bindparam("wanted"))
_OWN_KEY = select(v1_images.c.key).where(
    v1_images.c.unannounced,
    v1_images.c.pushed_by == bindparam("pusher"),
    v1_images.c.image_id == bindparam("wanted"),
)


def stage_json(
    connection: Connection, scope: PushScope, document: ImageJSON, parent: V1Image | None, now: float
) -> None:
    """See ``IV1ImageStore.stage_json``."""
    if parent is not None:
        query = select(v1_images.c.key).where(v1_images.c.key == parent.key)
        if connection.execute(query.with_for_update(read=True, key_share=True)).one_or_none() is None:
            raise ImageUnknown(parent.image_id.value)
    identity = {
        "repository": "" if scope.repository is None else scope.repository.value,
        "principal": account_column(scope.principal),
        "image_id": document.image_id.value,
        "json_digest": hashlib.sha256(document.content).hexdigest(),
    }
    values = {"parent_key": None if parent is None else parent.key, "staged_at": now}
    if connection.execute(update(_images).filter_by(**identity), values).rowcount == 0:
        connection.execute(insert(_images), {**identity, "json": document.content, **values})


def staged(connection: Connection, scope: PushScope, image_id: ImageID, limit: int) -> Sequence[StagedImage]:
    """See ``IV1ImageStore.staged``."""
    rows = connection.execute(_STAGED.limit(limit), _scope(scope, image_id))
    return [StagedImage(row.key, row.json, row.parent_key) for row in rows]


def is_staged(connection: Connection, name: RepositoryName | None, principal: str, image_id: ImageID) -> bool:
    """See ``IV1ImageStore.is_staged``."""
    pushed = _images.c.principal == principal if name is None else _images.c.repository == name.value
    return bool(connection.execute(select(exists().where(_images.c.image_id == image_id.value, pushed))).scalar())


def stage_layer(
    connection: Connection,
    blob: StoredBlob,
    facts: LayerFacts,
    checksums: Sequence[tuple[StagedImage, Checksums]],
    *,
    now: float,
    leased_until: float,
) -> StoredBlob:
    """See ``IV1ImageStore.stage_layer``."""
    recorded = record_blob(connection, blob, facts, leased_until)
    keys = [image.key for image, _ in checksums]
    query = select(_images.c.key).where(_images.c.key.in_(keys)).with_for_update(read=True, key_share=True)
    still_staged = set(connection.execute(query).scalars())
    for image, sums in checksums:
        if image.key in still_staged:
            identity = {"staged_image_key": image.key, "digest": str(blob.digest)}
            values = {**checksums_columns(sums), "staged_at": now}
            if connection.execute(update(_layers).filter_by(**identity), values).rowcount == 0:
                connection.execute(insert(_layers), {**identity, **values})
    queue_blobs(connection, [str(blob.digest)], leased_until)
    return recorded


def staged_layers(connection: Connection, scope: PushScope, image_id: ImageID) -> Sequence[StagedLayer]:
    """See ``IV1ImageStore.staged_layers``."""
    return [
        StagedLayer(
            key=row.layer_key,
            image_key=row.key,
            json=row.json,
            parent=None if row.parent is None else ImageID(row.parent),
            parent_key=row.parent_key,
            blob=stored_of(row),
            checksums=checksums_of(row),
        )
        for row in connection.execute(_STAGED_LAYERS, _scope(scope, image_id))
    ]


def keep_tarsums(connection: Connection, of: StagedLayer | V1Image, tarsums: frozenset[str]) -> None:
    """See ``IV1ImageStore.keep_tarsums``."""
    table = _layers if isinstance(of, StagedLayer) else v1_images
    connection.execute(update(table).where(table.c.key == of.key).values(tarsums_columns(tarsums)))


def complete(
    connection: Connection,
    layer: StagedLayer,
    image_id: ImageID,
    scope: PushScope,
    repositories: Collection[RepositoryName],
    *,
    now: float,
) -> V1Image:
    """See ``IV1ImageStore.complete``."""
    # In one order, so that two who complete images in the same repositories do not wait for each other.
    rows = {name: lock_repository(connection, name).key for name in sorted(set(repositories))}
    wanted = [rows[name] for name in repositories]
    key = _held_key(connection, wanted, image_id, scope)
    if key is None:
        key = _insert(connection, layer, image_id, scope, unannounced=not wanted, now=now)
        for repository in wanted:
            link_image(connection, repository, image_id, key)
    dropped = select(_images.c.key).where(_IN_SCOPE).with_for_update().params(_scope(scope, image_id))
    keys = connection.execute(dropped).scalars().all()
    complete = image_of(connection.execute(_IMAGE, {"wanted": key}).one())
    _drop(connection, keys)
    for repository in wanted:
        queue_keys(connection, Kind.IMAGE_LINK, repository, [key])
    if not wanted:
        queue_keys(connection, Kind.IMAGE, 0, [key])
    return complete


def expire_staged(connection: Connection, before: float) -> int:
    """See ``IV1ImageStore.expire_staged``."""
    younger = exists().where(_layers.c.staged_image_key == _images.c.key, _layers.c.staged_at >= before)
    expired = select(_images.c.key).where(_images.c.staged_at < before, ~younger).with_for_update()
    keys = connection.execute(expired).scalars().all()
    for first in range(0, len(keys), _BATCH):
        _drop(connection, keys[first : first + _BATCH])
    return len(keys)


def _drop(connection: Connection, keys: Sequence[int]) -> None:
    """Forget staged images with their layers, which nothing else may refer to."""
    if not keys:
        return
    of_these = _layers.c.staged_image_key.in_(keys)
    digests = connection.execute(select(_layers.c.digest).where(of_these).distinct()).scalars().all()
    parents = connection.execute(select(_images.c.parent_key).where(_images.c.key.in_(keys))).scalars().all()
    connection.execute(delete(_images).where(_images.c.key.in_(keys)))
    queue_keys(connection, Kind.IMAGE, 0, parents)
    queue_blobs(connection, digests)


def _scope(scope: PushScope, image_id: ImageID) -> dict[str, str]:
    return {
        "wanted": image_id.value,
        "scope_repository": "" if scope.repository is None else scope.repository.value,
        "scope_principal": account_column(scope.principal),
    }


def _held_key(connection: Connection, repositories: Sequence[int], image_id: ImageID, scope: PushScope) -> int | None:
    """The key of the image that one of the repositories, or of none the pusher, holds under this id."""
    if not repositories:
        values = {"wanted": image_id.value, "pusher": account_column(scope.principal)}
        return connection.execute(_OWN_KEY, values).scalar_one_or_none()
    keys = (linked_key(connection, repository, image_id) for repository in repositories)
    return next((key for key in keys if key is not None), None)


def _insert(
    connection: Connection, layer: StagedLayer, image_id: ImageID, scope: PushScope, *, unannounced: bool, now: float
) -> int:
    staged = connection.execute(_STAGED_LAYER, {"wanted": layer.key}).one_or_none()
    if staged is None:
        raise LayerMissing(image_id.value)
    inserted = connection.execute(
        insert(v1_images),
        {
            "image_id": image_id.value,
            "json": staged.json,
            "parent_key": staged.parent_key,
            "layer_digest": str(layer.blob.digest),
            **checksums_columns(layer.checksums),
            "pushed_by": account_column(scope.principal),
            "unannounced": unannounced,
            "created_at": now,
        },
    )
    assert inserted.inserted_primary_key is not None
    key: int = inserted.inserted_primary_key[0]
    return key
