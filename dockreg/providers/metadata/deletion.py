"""A manifest goes, and with it what was there for its sake only."""

from collections.abc import Sequence

from sqlalchemy import Connection, Select, bindparam, delete, exists, or_, select, update

from dockreg.errors import ManifestUnknown
from dockreg.model.collection import Item, Kind
from dockreg.model.digest import Digest
from dockreg.model.mediatypes import SCHEMA1_TYPES
from dockreg.model.names import RepositoryName
from dockreg.providers.metadata.collectionqueue import queue, untagged_by
from dockreg.providers.metadata.links import lock_repository
from dockreg.providers.metadata.tables import (
    manifest_blobs,
    manifest_children,
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
    remove_manifests(connection, repository, doomed_with(connection, repository, row.view_of or row.key))


def remove_manifests(connection: Connection, repository: int, doomed: Sequence[int], due_at: float = 0.0) -> None:
    """
    Remove manifests of a locked repository, all that :func:`doomed_with` tells, and the tags that point to them.

    :param due_at: as for :func:`.queue`, for what may go with them.
    """
    family = family_of(doomed)
    freed = freed_by(connection, repository, doomed)
    images = [int(item.subject) for item in freed if item.kind is Kind.IMAGE_LINK]
    with_tags = or_(tags.c.manifest_key.in_(family), tags.c.schema1_key.in_(family))
    gone = {row.key for row in connection.execute(family)}
    untagged = connection.execute(select(tags).where(with_tags)).all()
    connection.execute(delete(tags).where(with_tags))
    connection.execute(delete(manifests).where(manifests.c.key.in_(doomed)))
    for image in images:
        freed += _unlink_chain(connection, repository, image)
    freed += [item for item in untagged_by(untagged) if item.kind is not Kind.MANIFEST or int(item.subject) not in gone]
    queue(connection, [item for item in freed if item.kind is not Kind.IMAGE_LINK], due_at)


def family_of(doomed: Sequence[int]) -> Select[tuple[int]]:
    """The keys of manifests and of their other forms."""
    return select(manifests.c.key).where(or_(manifests.c.key.in_(doomed), manifests.c.view_of.in_(doomed)))


def freed_by(connection: Connection, repository: int, doomed: Sequence[int]) -> list[Item]:
    """What may go when manifests go: their blobs, children and images, what they refer to, and what refers to them."""
    family = family_of(doomed)
    held = select(manifest_blobs.c.held_digest).where(
        manifest_blobs.c.manifest_key.in_(family), manifest_blobs.c.held_digest.is_not(None)
    )
    mapped = select(manifest_v1_images.c.image_key).where(manifest_v1_images.c.manifest_key.in_(family))
    children = select(manifest_children.c.digest).where(manifest_children.c.manifest_key.in_(family))
    digests = select(manifests.c.digest).where(manifests.c.key.in_(family))
    subjects = select(manifests.c.subject).where(manifests.c.key.in_(family), manifests.c.subject.is_not(None))
    here = select(manifests.c.key).where(manifests.c.repository_key == repository)
    keys: set[int] = set()
    for query in (
        here.where(manifests.c.digest.in_(children)),
        here.where(manifests.c.digest.in_(subjects)),
        here.where(manifests.c.subject.in_(digests)),
    ):
        keys |= set(connection.execute(query).scalars())
    keys -= set(connection.execute(family).scalars())
    return [
        *(Item(Kind.LINK, repository, digest) for digest in connection.execute(held.distinct()).scalars()),
        *(Item(Kind.MANIFEST, repository, str(key)) for key in sorted(keys)),
        *(Item(Kind.IMAGE_LINK, repository, str(key)) for key in connection.execute(mapped.distinct()).scalars()),
    ]


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


def _unlink_chain(connection: Connection, repository: int, image: int | None) -> list[Item]:
    """Unlink an image and its ancestors, down to the first that something else in the repository needs."""
    freed: list[Item] = []
    while image is not None:
        if connection.execute(_IS_NEEDED, {"repository": repository, "image": image}).scalar():
            break
        parent, more = unlink_image(connection, repository, image)
        freed += more
        image = parent
    return freed


def unlink_image(connection: Connection, repository: int, image: int) -> tuple[int | None, Sequence[Item]]:
    """Unlink one image, and return the key of its parent and what may go now."""
    columns = (v1_images.c.image_id, v1_images.c.parent_key, v1_images.c.layer_digest)
    row = connection.execute(select(*columns).where(v1_images.c.key == image)).one()
    this = (_links.c.repository_key == repository) & (_links.c.image_key == image)
    connection.execute(delete(_links).where(this))
    listed = (v1_image_list.c.repository_key == repository) & (v1_image_list.c.image_id == row.image_id)
    connection.execute(delete(v1_image_list).where(listed))
    of_index = (tags.c.repository_key == repository) & (tags.c.image_key == image)
    connection.execute(update(tags).where(of_index), {"image_key": None})
    return row.parent_key, [Item(Kind.IMAGE, 0, str(image)), Item(Kind.LINK, repository, row.layer_digest)]
