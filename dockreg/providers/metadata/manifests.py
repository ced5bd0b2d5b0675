"""Manifests and what they refer to."""

from collections.abc import Collection

from sqlalchemy import Connection, insert, select

from dockreg.errors import BlobUnknown
from dockreg.model.manifest import Manifest, Role
from dockreg.model.v1 import V1Image
from dockreg.providers.metadata.chains import CHAIN
from dockreg.providers.metadata.links import link_blobs
from dockreg.providers.metadata.rows import account_column
from dockreg.providers.metadata.tables import blobs, manifest_blobs, manifest_v1_images, manifests

#: Layers that a v2 client can read as they are; it gets the uncompressed tar of others.
_READABLE = frozenset({"none", "gzip"})


def put_manifest(connection: Connection, repository: int, manifest: Manifest, image: V1Image, now: float) -> int:
    """
    Keep the schema2 view of a v1 image in a locked repository, and return its key.

    :raises BlobUnknown: it refers to a blob that is neither recorded nor the decompressed form of a layer.
    """
    digests = {str(reference.descriptor.digest) for reference in manifest.references}
    _derive_missing(connection, digests, image)
    link_blobs(connection, repository, digests)
    query = select(manifests.c.key).where(
        manifests.c.repository_key == repository, manifests.c.digest == str(manifest.digest)
    )
    key = connection.execute(query).scalar_one_or_none()
    if key is None:
        key = _insert(connection, repository, manifest, image, now)
    view = {"manifest_key": key, "image_key": image.key}
    if not connection.execute(select(manifest_v1_images).filter_by(**view)).all():
        connection.execute(insert(manifest_v1_images), view)
    return key


def _insert(connection: Connection, repository: int, manifest: Manifest, image: V1Image, now: float) -> int:
    config = next((each.descriptor for each in manifest.references if each.role is Role.CONFIG), None)
    inserted = connection.execute(
        insert(manifests),
        {
            "repository_key": repository,
            "digest": str(manifest.digest),
            "media_type": manifest.media_type,
            "content": manifest.content,
            "size": len(manifest.content),
            "config_digest": None if config is None else str(config.digest),
            "created_at": now,
            "pushed_by": account_column(image.pushed_by),
        },
    )
    assert inserted.inserted_primary_key is not None
    key: int = inserted.inserted_primary_key[0]
    rows = [
        {
            "manifest_key": key,
            "position": position,
            "role": reference.role.value,
            "digest": str(reference.descriptor.digest),
            "media_type": reference.descriptor.media_type,
            "size": reference.descriptor.size,
        }
        for position, reference in enumerate(manifest.references)
    ]
    if rows:
        connection.execute(insert(manifest_blobs), rows)
    return key


def _derive_missing(connection: Connection, digests: Collection[str], image: V1Image) -> None:
    # Locked, so that nothing that was found here is collected before it is referred to.
    query = select(blobs.c.digest).where(blobs.c.digest.in_(digests)).with_for_update(read=True, key_share=True)
    missing = set(digests).difference(connection.execute(query).scalars())
    if not missing:
        return
    for layer in connection.execute(CHAIN, {"start": image.key}):
        if layer.diff_id in missing and layer.compression not in _READABLE:
            missing.remove(layer.diff_id)
            connection.execute(
                insert(blobs),
                {
                    "digest": layer.diff_id,
                    "size": layer.uncompressed_size,
                    "leased_until": 0.0,
                    "compression": "none",
                    "diff_id": layer.diff_id,
                    "uncompressed_size": layer.uncompressed_size,
                    "entries": layer.entries,
                    "source_digest": layer.digest,
                },
            )
    if missing:
        raise BlobUnknown(min(missing))
