"""A manifest goes, and with it what was there for its sake only."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, exists, or_, select, update

from dockreg.errors import ManifestUnknown
from dockreg.model.digest import Digest
from dockreg.model.mediatypes import SCHEMA1_TYPES
from dockreg.model.names import RepositoryName
from dockreg.providers.metadata.links import lock_repository
from dockreg.providers.metadata.tables import (
    manifest_v1_images,
    manifests,
    repository_v1_images,
    tags,
    v1_image_list,
    v1_images,
)

_links = repository_v1_images
_IS_TAGGED = select(
    exists().where(
        tags.c.manifest_key == bindparam("made"),
        or_(tags.c.schema1_key.is_(None), tags.c.schema1_key != bindparam("root")),
    )
)
_children = v1_images.alias("children")
# Why a repository keeps an image: a manifest or a tag of v1 alone is that image, or it has a child of the image.
_IS_NEEDED = select(
    or_(
        exists().where(
            manifest_v1_images.c.image_key == bindparam("image"),
            manifests.c.key == manifest_v1_images.c.manifest_key,
            manifests.c.repository_key == bindparam("repository"),
        ),
        exists().where(
            tags.c.image_key == bindparam("image"),
            tags.c.manifest_key.is_(None),
            tags.c.repository_key == bindparam("repository"),
        ),
        exists().where(
            _children.c.parent_key == bindparam("image"),
            _links.c.image_key == _children.c.key,
            _links.c.repository_key == bindparam("repository"),
        ),
    )
)


def delete_manifest(connection: Connection, name: RepositoryName, digest: Digest) -> None:
    """See ``IManifestStore.delete``."""
    repository = lock_repository(connection, name).key
    query = select(manifests.c.key, manifests.c.view_of).where(
        manifests.c.repository_key == repository, manifests.c.digest == str(digest)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise ManifestUnknown(name.value, str(digest))
    doomed = doomed_with(connection, repository, row.key if row.view_of is None else row.view_of)
    family = select(manifests.c.key).where(or_(manifests.c.key.in_(doomed), manifests.c.view_of.in_(doomed)))
    was = select(manifest_v1_images.c.image_key).where(manifest_v1_images.c.manifest_key.in_(family)).distinct()
    images = connection.execute(was).scalars().all()
    with_tags = or_(tags.c.manifest_key.in_(family), tags.c.schema1_key.in_(family))
    connection.execute(delete(tags).where(with_tags))
    connection.execute(delete(manifests).where(manifests.c.key.in_(doomed)))
    for image in images:
        _unlink_chain(connection, repository, image)


def doomed_with(connection: Connection, repository: int, root: int) -> Sequence[int]:
    """
    The keys of a manifest and of those that go with it.

    With the schema2 form that the registry made of an image go the schema1 manifests that it was pushed with; with the
    last of these, and of the tags that are the image for other reasons, goes that form.
    """
    own = select(manifests.c.media_type, manifests.c.derived).where(manifests.c.key == root)
    media_type, derived = connection.execute(own).one()
    images = select(manifest_v1_images.c.image_key).where(manifest_v1_images.c.manifest_key == root)
    same = (
        select(manifests.c.key, manifests.c.media_type, manifests.c.derived)
        .join(manifest_v1_images, manifest_v1_images.c.manifest_key == manifests.c.key)
        .where(
            manifests.c.repository_key == repository,
            manifests.c.key != root,
            manifests.c.view_of.is_(None),
            manifest_v1_images.c.image_key.in_(images),
        )
    )
    others = connection.execute(same).all()
    signed = [other.key for other in others if other.media_type in SCHEMA1_TYPES]
    if derived:
        return [root, *signed]
    if media_type not in SCHEMA1_TYPES or signed:
        return [root]
    made = [other.key for other in others if other.derived]
    return [root, *(key for key in made if not connection.execute(_IS_TAGGED, {"made": key, "root": root}).scalar())]


def _unlink_chain(connection: Connection, repository: int, image: int | None) -> None:
    """Unlink an image and its ancestors, down to the first that something else in the repository needs."""
    while image is not None:
        values = {"repository": repository, "image": image}
        if connection.execute(_IS_NEEDED, values).scalar():
            return
        row = connection.execute(select(v1_images.c.image_id, v1_images.c.parent_key).where(v1_images.c.key == image))
        image_id, parent = row.one()
        this = (_links.c.repository_key == repository) & (_links.c.image_key == image)
        connection.execute(delete(_links).where(this))
        listed = (v1_image_list.c.repository_key == repository) & (v1_image_list.c.image_id == image_id)
        connection.execute(delete(v1_image_list).where(listed))
        of_index = (tags.c.repository_key == repository) & (tags.c.image_key == image)
        connection.execute(update(tags).where(of_index), {"image_key": None})
        image = parent
