"""What a manifest is in v1, and what a v1 image is as a manifest."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, bindparam, func, insert, select, update

from dockreg.errors import BlobUnknown, ImageConflict, ManifestUnknown
from dockreg.model.descriptors import Descriptor
from dockreg.model.digest import Digest
from dockreg.model.manifest import Manifest, Role
from dockreg.model.mediatypes import SCHEMA1_TYPES
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.v1 import MadeImage, V1Image
from dockreg.providers.metadata import ledger
from dockreg.providers.metadata.chains import CHAIN
from dockreg.providers.metadata.links import (
    find_repository,
    link_blobs,
    link_image,
    linked_key,
    lock_repository,
)
from dockreg.providers.metadata.manifestrows import Origin, insert_manifest, look_up, manifest_key, map_image
from dockreg.providers.metadata.rows import (
    IMAGE_COLUMNS,
    IMAGE_TABLES,
    account_column,
    digest_of,
    image_of,
)
from dockreg.providers.metadata.tables import (
    blobs,
    manifest_v1_images,
    manifests,
    repositories,
    repository_blobs,
    tags,
    v1_images,
)

#: Layers that a v2 client can read as they are; it gets the uncompressed tar of others.
_READABLE = frozenset({"none", "gzip"})

_WITHOUT = (
    select(tags.c.name, manifests.c.digest)
    .join(manifests, manifests.c.key == tags.c.manifest_key)
    .where(
        tags.c.repository_key == bindparam("repository"),
        tags.c.image_key.is_(None),
        manifests.c.v1_view.is_not(False),
    )
    .order_by(tags.c.name)
)
_WITH_CONFIG = (
    select(repositories.c.name, manifests.c.digest)
    .join(manifests, manifests.c.repository_key == repositories.c.key)
    .where(manifests.c.config_digest == bindparam("config"), repositories.c.deleted_at.is_(None))
    .order_by(manifests.c.key)
)
_IMAGE_OF = (
    select(*IMAGE_COLUMNS)
    .select_from(
        IMAGE_TABLES.join(manifest_v1_images, manifest_v1_images.c.image_key == v1_images.c.key)
        .join(manifests, manifests.c.key == manifest_v1_images.c.manifest_key)
        .join(repositories, repositories.c.key == manifests.c.repository_key)
    )
    .where(
        repositories.c.name == bindparam("name"),
        repositories.c.deleted_at.is_(None),
        manifests.c.digest == bindparam("wanted"),
    )
    .order_by(v1_images.c.key.desc())
    .limit(1)
)
_IMAGE = select(*IMAGE_COLUMNS).select_from(IMAGE_TABLES).where(v1_images.c.key == bindparam("wanted"))


def put_view(connection: Connection, repository: int, manifest: Manifest, image: V1Image, now: float) -> int:
    """
    Keep the schema2 form of a v1 image in a locked repository, and return its key.

    :raises BlobUnknown: it refers to a blob that is neither recorded nor the decompressed form of a layer.
    """
    digests = {str(reference.descriptor.digest) for reference in manifest.references}
    _derive_missing(connection, digests, image)
    link_blobs(connection, repository, digests)
    key = manifest_key(connection, repository, str(manifest.digest))
    if key is None:
        origin = Origin(account_column(image.pushed_by), now, derived=True)
        key = insert_manifest(connection, repository, manifest, look_up(connection, repository, manifest), origin)
    map_image(connection, key, image.key)
    return key


def manifest_of(connection: Connection, repository: int, image: int) -> int | None:
    """The key of the manifest that a v1 image is in a repository, if it has one: the one that was pushed, if any was."""
    query = (
        select(manifests.c.key)
        .join(manifest_v1_images, manifest_v1_images.c.manifest_key == manifests.c.key)
        .where(
            manifests.c.repository_key == repository,
            manifest_v1_images.c.image_key == image,
            manifests.c.media_type.not_in(SCHEMA1_TYPES),
        )
        .order_by(manifests.c.derived, manifests.c.key)
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


def without_image(connection: Connection, name: RepositoryName) -> Sequence[tuple[Tag, Digest]]:
    """See ``IV1ImageStore.without_image``."""
    rows = connection.execute(_WITHOUT, {"repository": find_repository(connection, name).key})
    return [(Tag(row.name), digest_of(row.digest)) for row in rows]


def with_config(connection: Connection, config: Digest) -> Sequence[tuple[RepositoryName, Digest]]:
    """See ``IV1ImageStore.with_config``."""
    rows = connection.execute(_WITH_CONFIG, {"config": str(config)})
    return [(RepositoryName(row.name), digest_of(row.digest)) for row in rows]


def manifest_image(connection: Connection, name: RepositoryName, digest: Digest) -> V1Image | None:
    """See ``IV1ImageStore.image_of``."""
    row = connection.execute(_IMAGE_OF, {"name": name.value, "wanted": str(digest)}).one_or_none()
    return None if row is None else image_of(row)


def add_images(
    connection: Connection,
    name: RepositoryName,
    digest: Digest,
    images: Sequence[MadeImage],
    *,
    pushed_by: str | None,
    now: float,
) -> V1Image:
    """See ``IV1ImageStore.add_images``."""
    repository = lock_repository(connection, name).key
    # Who pulls is not refused for what others have pushed.
    ledger.of(connection).refuses = False
    manifest = manifest_key(connection, repository, str(digest))
    if manifest is None:
        raise ManifestUnknown(name.value, str(digest))
    parent: int | None = None
    for image in images:
        layer = _layer_of(connection, repository, image)
        held = linked_key(connection, repository, image.image_id)
        if held is None:
            held = _same_image(connection, image, parent, layer)
            if held is None:
                held = _insert_image(connection, image, parent, layer, pushed_by=account_column(pushed_by), now=now)
            link_image(connection, repository, image.image_id, held)
        else:
            _require_same(connection, held, image, parent, layer)
        parent = held
    assert parent is not None
    map_image(connection, manifest, parent)
    mine = (tags.c.manifest_key == manifest) & tags.c.image_key.is_(None)
    connection.execute(update(tags).where(mine), {"image_key": parent})
    return image_of(connection.execute(_IMAGE, {"wanted": parent}).one())


def _require_same(connection: Connection, held: int, image: MadeImage, parent: int | None, layer: str) -> None:
    """
    An id says nothing of the content, and a config may claim what it likes: what counts is what the layers are.

    :raises ImageConflict: what the repository holds under the id is something else.
    """
    row = connection.execute(_IMAGE, {"wanted": held}).one()
    same_layer = row.digest == layer or _is_same_tar(connection, row.diff_id, layer)
    if row.parent_key != parent or not same_layer or (image.exact and row.json != image.json):
        raise ImageConflict(image.image_id.value)


def _is_same_tar(connection: Connection, diff_id: str | None, layer: str) -> bool:
    """Whether a blob unpacks to the tar ``diff_id``, as far as that was found out by unpacking it."""
    measured = connection.execute(select(blobs.c.diff_id).where(blobs.c.digest == layer)).scalar_one_or_none()
    return diff_id is not None and diff_id in (layer, measured)


def keep_image(connection: Connection, repository: int, key: int, manifest: Manifest, image: V1Image) -> None:
    """
    Note that a pushed manifest is a v1 image that has the same config, if the layers of both have the same content.

    Layers without files need not be in the manifest: its config has them in its history. Where the repository has another
    image under one of the ids, the manifest gets ids of its own when it is asked for.
    """
    chain = connection.execute(CHAIN, {"start": image.key}).all()[::-1]
    layers = [str(each.descriptor.digest) for each in manifest.references if each.role is Role.LAYER]
    for rows in (chain, [row for row in chain if row.entries != 0]):
        if len(rows) == len(layers) and all(
            row.digest == layer or _is_same_tar(connection, row.diff_id, layer)
            for row, layer in zip(rows, layers, strict=True)
        ):
            break
    else:
        return
    # The layers of the image may be other blobs than those that were pushed now: nobody is refused for that.
    ledger.of(connection).refuses = False
    try:
        link_image(connection, repository, image.image_id, image.key)
    except ImageConflict:
        return
    map_image(connection, key, image.key)


def set_image(connection: Connection, name: RepositoryName, tag: Tag, digest: Digest, image: V1Image) -> None:
    """See ``IV1ImageStore.set_image``."""
    repository = lock_repository(connection, name).key
    if linked_key(connection, repository, image.image_id) != image.key:
        return
    this = (
        (tags.c.repository_key == repository)
        & (tags.c.name == tag.value)
        & (tags.c.manifest_key == manifest_key(connection, repository, str(digest)))
    )
    connection.execute(update(tags).where(this), {"image_key": image.key})


def set_imageless(connection: Connection, name: RepositoryName, digest: Digest) -> None:
    """See ``IV1ImageStore.set_imageless``."""
    repository = lock_repository(connection, name).key
    this = (manifests.c.repository_key == repository) & (manifests.c.digest == str(digest))
    connection.execute(update(manifests).where(this), {"v1_view": False})


def _layer_of(connection: Connection, repository: int, image: MadeImage) -> str:
    """The digest of the blob that old engines get as the layer, which is part of the repository."""
    held = select(repository_blobs.c.digest).where(
        repository_blobs.c.repository_key == repository, repository_blobs.c.digest == str(image.layer)
    )
    if connection.execute(held).one_or_none() is None:
        raise BlobUnknown(str(image.layer))
    if image.unpacked is None:
        return str(image.layer)
    _derive(connection, image.unpacked, str(image.layer))
    link_blobs(connection, repository, [str(image.unpacked.digest)])
    return str(image.unpacked.digest)


def _same_image(connection: Connection, image: MadeImage, parent: int | None, layer: str) -> int | None:
    """The key of an image that was made of the same content for another repository."""
    same = v1_images.c.parent_key.is_(None) if parent is None else v1_images.c.parent_key == parent
    query = select(func.min(v1_images.c.key)).where(
        v1_images.c.image_id == image.image_id.value,
        v1_images.c.layer_digest == layer,
        v1_images.c.json == image.json,
        v1_images.c.unannounced.is_(False),
        same,
    )
    return connection.execute(query).scalar()


def _insert_image(
    connection: Connection, image: MadeImage, parent: int | None, layer: str, *, pushed_by: str, now: float
) -> int:
    # Nobody has claimed a checksum of it: engines do not look at any when they pull.
    values = {
        "image_id": image.image_id.value,
        "json": image.json,
        "parent_key": parent,
        "layer_digest": layer,
        "payload": "",
        "tarsums": "",
        "pushed_by": pushed_by,
        "unannounced": False,
        "created_at": now,
    }
    inserted = connection.execute(insert(v1_images), values).inserted_primary_key
    assert inserted is not None
    return int(inserted[0])


def _derive_missing(connection: Connection, digests: Collection[str], image: V1Image) -> None:
    # Locked, so that nothing that was found here is collected before it is referred to.
    query = select(blobs.c.digest).where(blobs.c.digest.in_(digests)).with_for_update(read=True, key_share=True)
    missing = set(digests).difference(connection.execute(query).scalars())
    if not missing:
        return
    for layer in connection.execute(CHAIN, {"start": image.key}):
        if layer.diff_id in missing and layer.compression not in _READABLE:
            missing.remove(layer.diff_id)
            unpacked = Descriptor("", digest_of(layer.diff_id), layer.uncompressed_size)
            _derive(connection, unpacked, layer.digest)
    if missing:
        raise BlobUnknown(min(missing))


def _derive(connection: Connection, unpacked: Descriptor, source: str) -> None:
    """A blob without bytes of its own, unless its bytes are there anyway."""
    digest = str(unpacked.digest)
    if connection.execute(select(blobs.c.digest).where(blobs.c.digest == digest)).one_or_none() is not None:
        return
    values = {
        "digest": digest,
        "size": unpacked.size,
        "leased_until": 0.0,
        "compression": "none",
        "diff_id": digest,
        "uncompressed_size": unpacked.size,
        "entries": connection.execute(select(blobs.c.entries).where(blobs.c.digest == source)).scalar_one(),
        "source_digest": source,
    }
    connection.execute(insert(blobs), values)
