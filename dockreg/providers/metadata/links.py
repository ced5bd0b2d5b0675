"""What belongs to a repository: images with their ancestors, and blobs."""

from collections.abc import Collection, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists, func, insert, literal, select, text, update

from dockreg.errors import ImageConflict, ImageUnknown, NameUnknown
from dockreg.model.accounts import ROBOT_MARK
from dockreg.model.collection import Kind
from dockreg.model.names import RepositoryName
from dockreg.model.v1 import ImageID
from dockreg.providers.metadata.collectionqueue import column_of, queue_blobs, queue_keys
from dockreg.providers.metadata.ledger import COUNTING, is_counted, note_links, note_repository
from dockreg.providers.metadata.rows import AnyRow, account_column
from dockreg.providers.metadata.tables import (
    manifest_blobs,
    manifests,
    repositories,
    repository_blobs,
    repository_v1_images,
    v1_image_list,
    v1_images,
)
from dockreg.providers.metadata.tables_access import namespaces

FIND_REPOSITORY = select(repositories).where(
    repositories.c.name == bindparam("wanted"), repositories.c.deleted_at.is_(None)
)
# Enough to exclude each other, without stopping others that insert rows which refer to the repository.
_LOCK_REPOSITORY = FIND_REPOSITORY.add_columns(COUNTING).with_for_update(key_share=True)

_COUNTED = select(repositories.c.name, COUNTING).where(repositories.c.key == bindparam("wanted"))
# Deleted or not.
_LOCK_NAME = (
    select(repositories, COUNTING).where(repositories.c.name == bindparam("wanted")).with_for_update(key_share=True)
)

_NEW_PRIVATE = select(
    select(namespaces.c.private).where(namespaces.c.name == bindparam("namespace")).scalar_subquery().label("private"),
    COUNTING,
)
_LINKED_KEY = select(repository_v1_images.c.image_key).where(
    repository_v1_images.c.repository_key == bindparam("repository"),
    repository_v1_images.c.image_id == bindparam("image_id"),
)


# The same for SQLite and PostgreSQL.
_LINK_NEW = text(
    "INSERT INTO repository_blobs (repository_key, digest) VALUES (:repository, :digest)"
    " ON CONFLICT (repository_key, digest) DO NOTHING"
)
_LINK = insert(repository_blobs)
#: So many are linked one by one, by a statement that is compiled once.
_FEW = 4

# A manifest that was pushed before one of its layers holds that layer from now on.
_HOLD = (
    update(manifest_blobs)
    .where(
        manifest_blobs.c.digest == bindparam("arrived"),
        manifest_blobs.c.held_digest.is_(None),
        # Of each that lacks the blob: is it one of this repository's? Not the other way round, there may be many.
        exists().where(
            manifests.c.key == manifest_blobs.c.manifest_key, manifests.c.repository_key == bindparam("repository")
        ),
    )
    .values(held_digest=bindparam("arrived"))
)


def _unlinked_chain() -> Any:
    """An image and its ancestors up to the first that is linked, base first; ``taken``: what its id is linked with."""
    link, other = repository_v1_images, repository_v1_images.alias("other")
    columns = (v1_images.c.key, v1_images.c.image_id, v1_images.c.parent_key, v1_images.c.layer_digest)
    chain = (
        select(*columns, literal(0).label("depth"))
        .where(v1_images.c.key == bindparam("key"))
        .cte("unlinked", recursive=True)
    )
    linked = exists().where(link.c.repository_key == bindparam("repository"), link.c.image_key == v1_images.c.key)
    ancestors = select(*columns, chain.c.depth + 1).join(chain, v1_images.c.key == chain.c.parent_key).where(~linked)
    chain = chain.union_all(ancestors)
    same_id = (other.c.repository_key == bindparam("repository")) & (other.c.image_id == chain.c.image_id)
    return (
        select(chain, other.c.image_key.label("taken"))
        .select_from(chain.outerjoin(other, same_id))
        .order_by(chain.c.depth.desc())
    )


_UNLINKED_CHAIN = _unlinked_chain()


def lock_repository(connection: Connection, name: RepositoryName) -> AnyRow:
    """
    The row of a repository, which no other transaction changes until this one ends.

    :raises NameUnknown: there is none.
    """
    row = _known(connection.execute(_LOCK_REPOSITORY, {"wanted": name.value}).one_or_none(), name)
    note_repository(connection, row.key, name, row.counting)
    return row


def note_key(connection: Connection, repository: int) -> None:
    """A repository was locked by its key, and blobs will no longer be part of it."""
    row = connection.execute(_COUNTED, {"wanted": repository}).one()
    note_repository(connection, repository, RepositoryName(row.name), row.counting)


@frozen
class NewRepositories:
    """How repositories begin: ``private`` says what they are where their namespace does not."""

    private: bool = False

    def create(self, connection: Connection, name: RepositoryName, owner: str | None, now: float) -> int:
        """The key of the locked repository, which is made or brought back if it is not there (``IRepositoryStore.create``)."""
        row = connection.execute(_LOCK_NAME, {"wanted": name.value}).one_or_none()
        if row is not None:
            note_repository(connection, row.key, name, row.counting)
        if row is not None and row.deleted_at is None:
            return int(row.key)
        person = account_column(owner).partition(ROBOT_MARK)[0]
        if row is not None and row.owner == person:
            connection.execute(update(repositories).where(repositories.c.key == row.key), {"deleted_at": None})
            return int(row.key)
        of_namespace = connection.execute(_NEW_PRIVATE, {"namespace": name.namespace}).one()
        values = {
            "owner": person,
            "private": self.private if of_namespace.private is None else of_namespace.private,
            "description": "",
            "created_at": now,
        }
        if row is None:
            inserted = connection.execute(insert(repositories), {"name": name.value, **values}).inserted_primary_key
            assert inserted is not None
            note_repository(connection, int(inserted[0]), name, of_namespace.counting)
            return int(inserted[0])
        connection.execute(update(repositories).where(repositories.c.key == row.key), {"deleted_at": None, **values})
        _empty(connection, row.key)
        return int(row.key)


def _empty(connection: Connection, repository: int) -> None:
    """What a deleted repository has kept is not for somebody else."""
    held = select(repository_v1_images.c.image_key).where(repository_v1_images.c.repository_key == repository)
    images = connection.execute(held).scalars().all()
    digests = column_of(
        connection, select(repository_blobs.c.digest).where(repository_blobs.c.repository_key == repository)
    )
    for table in (repository_v1_images, v1_image_list):
        connection.execute(delete(table).where(table.c.repository_key == repository))
    unlink_blobs(connection, repository)
    queue_keys(connection, Kind.IMAGE, 0, images)
    queue_blobs(connection, digests)


def find_repository(connection: Connection, name: RepositoryName) -> AnyRow:
    """:raises NameUnknown: there is no such repository."""
    return _known(connection.execute(FIND_REPOSITORY, {"wanted": name.value}).one_or_none(), name)


def linked_key(connection: Connection, repository: int, image_id: ImageID) -> int | None:
    """The key of the image that a repository holds under an id."""
    values = {"repository": repository, "image_id": image_id.value}
    return connection.execute(_LINKED_KEY, values).scalar_one_or_none()


def link_image(connection: Connection, repository: int, image_id: ImageID, key: int) -> None:
    """
    Make an image, its ancestors and their layers part of a locked repository.

    :raises ImageConflict: it holds other content under one of the ids.
    :raises ImageUnknown: there is no image of this key any more.
    """
    if linked_key(connection, repository, image_id) == key:
        return
    chain = connection.execute(_UNLINKED_CHAIN, {"repository": repository, "key": key}).all()
    if not chain:
        raise ImageUnknown(image_id.value)
    seen: set[str] = set()
    for image in chain:
        if image.taken is not None or image.image_id in seen:
            raise ImageConflict(image.image_id)
        seen.add(image.image_id)
    connection.execute(
        insert(repository_v1_images),
        [{"repository_key": repository, "image_id": image.image_id, "image_key": image.key} for image in chain],
    )
    _list(connection, repository, [image.image_id for image in chain])
    link_blobs(connection, repository, {image.layer_digest for image in chain})


def link_blobs(
    connection: Connection, repository: int, digests: Collection[str], *, may_be_missed: bool = True
) -> None:
    """
    Make blobs part of a locked repository.

    :param may_be_missed: whether there may be a manifest that was pushed before them.
    """
    new = _link_few(connection, repository, digests) if len(digests) <= _FEW else _link(connection, repository, digests)
    if new:
        if may_be_missed:
            connection.execute(_HOLD, [{"repository": repository, "arrived": digest} for digest in new])
        note_links(connection, repository, new, 1)


def _link_few(connection: Connection, repository: int, digests: Collection[str]) -> Sequence[str]:
    def is_new(digest: str) -> bool:
        return connection.execute(_LINK_NEW, {"repository": repository, "digest": digest}).rowcount > 0

    return [digest for digest in sorted(digests) if is_new(digest)]


def _link(connection: Connection, repository: int, digests: Collection[str]) -> Sequence[str]:
    column = repository_blobs.c.digest
    known = select(column).where(repository_blobs.c.repository_key == repository, column.in_(digests))
    new = sorted(set(digests).difference(connection.execute(known).scalars()))
    if new:
        connection.execute(_LINK, [{"repository_key": repository, "digest": digest} for digest in new])
    return new


def unlink_blobs(connection: Connection, repository: int, *which: ColumnElement[bool]) -> int:
    """Make blobs no longer part of a locked repository: all, or those of which the conditions hold; return how many."""
    these = (repository_blobs.c.repository_key == repository, *which)
    if is_counted(connection, repository):
        digests = connection.execute(select(repository_blobs.c.digest).where(*these)).scalars().all()
        note_links(connection, repository, digests, -1)
    return connection.execute(delete(repository_blobs).where(*these)).rowcount


def next_position(connection: Connection, repository: int) -> int:
    """Where the next entry of the image list of a locked repository goes."""
    query = select(func.max(v1_image_list.c.position)).where(v1_image_list.c.repository_key == repository)
    last = connection.execute(query).scalar()
    return 0 if last is None else last + 1


def _list(connection: Connection, repository: int, image_ids: Sequence[str]) -> None:
    column = v1_image_list.c.image_id
    query = select(column).where(v1_image_list.c.repository_key == repository, column.in_(image_ids))
    known = set(connection.execute(query).scalars())
    new = [image_id for image_id in image_ids if image_id not in known]
    if new:
        first = next_position(connection, repository)
        rows = [
            {"repository_key": repository, "image_id": image_id, "position": position}
            for position, image_id in enumerate(new, first)
        ]
        connection.execute(insert(v1_image_list), rows)


def _known(row: AnyRow | None, name: RepositoryName) -> AnyRow:
    if row is None:
        raise NameUnknown(name.value)
    return row
