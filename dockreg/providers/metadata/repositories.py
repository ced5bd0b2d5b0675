"""Repositories and their tags."""

from collections.abc import Sequence

from sqlalchemy import Connection, Integer, bindparam, case, delete, exists, func, insert, literal, or_, select, update
from zope.interface import implementer

from dockreg.errors import Denied, TagUnknown
from dockreg.interfaces import IRepositoryStore
from dockreg.model.collection import Item, Kind
from dockreg.model.manifest import Manifest
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import RepositoryRecord, TagRecord
from dockreg.model.v1 import ImageID, TagClient, V1Image
from dockreg.providers.metadata.collectionqueue import column_of, queue, queue_blobs, queue_untagged
from dockreg.providers.metadata.links import NewRepositories, find_repository, link_image, lock_repository, unlink_blobs
from dockreg.providers.metadata.rows import AnyRow, account_name, digest_of, storable, storable_or_none
from dockreg.providers.metadata.tables import (
    manifests,
    repositories,
    repository_blobs,
    repository_v1_images,
    tags,
    v1_announcements,
    v1_image_list,
    v1_images,
)
from dockreg.providers.metadata.tagged import drop_tag, leave
from dockreg.providers.metadata.transactions import Database
from dockreg.providers.metadata.v1views import manifest_of, put_view

#: SQLite takes patterns of 50,000 bytes; no name is longer than 255 characters.
_MAX_TERM = 4096
_ASCII_LOWER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_LIKE_ESCAPES = str.maketrans({"!": "!!", "%": "!%", "_": "!_"})

_name = repositories.c.name
_SEARCH = (
    select(repositories)
    .where(
        repositories.c.deleted_at.is_(None),
        _name > bindparam("after"),
        or_(
            case((_name.like("%/%"), _name), else_=literal("library/") + _name).like(bindparam("pattern"), escape="!"),
            func.lower(repositories.c.description).like(bindparam("pattern"), escape="!"),
        ),
    )
    .order_by(_name)
    .limit(bindparam("limit", type_=Integer))
)
_TAGS = (
    select(tags, manifests.c.digest, v1_images.c.image_id)
    .select_from(
        tags.outerjoin(manifests, tags.c.manifest_key == manifests.c.key).outerjoin(
            v1_images, tags.c.image_key == v1_images.c.key
        )
    )
    .where(tags.c.repository_key == bindparam("repository"))
    .order_by(tags.c.name)
)
_TAG = _TAGS.where(tags.c.name == bindparam("tag"))
_TAG_NAMES = (
    select(tags.c.name)
    .where(
        tags.c.repository_key == bindparam("repository"),
        tags.c.manifest_key.is_not(None),
        tags.c.name > bindparam("after"),
    )
    .order_by(tags.c.name)
    .limit(bindparam("limit", type_=Integer))
)
_LISTED = (
    select(repositories)
    .where(
        repositories.c.deleted_at.is_(None),
        _name > bindparam("after"),
        exists().where(manifests.c.repository_key == repositories.c.key),
    )
    .order_by(_name)
    .limit(bindparam("limit", type_=Integer))
)


@implementer(IRepositoryStore)
class SQLRepositoryStore:
    """See :class:`~dockreg.interfaces.IRepositoryStore`."""

    def __init__(self, database: Database, new: NewRepositories) -> None:
        self._database = database
        self._new = new

    async def get(self, name: RepositoryName) -> RepositoryRecord:
        """See :class:`~dockreg.interfaces.IRepositoryStore`."""
        return await self._database.find_lasting(_get, name)

    async def create(self, name: RepositoryName, owner: str | None, now: float) -> RepositoryRecord:
        """See :class:`~dockreg.interfaces.IRepositoryStore`."""
        return await self._database.write(_create, name, self._new, owner, now)

    async def delete(self, name: RepositoryName, now: float) -> None:
        """See :class:`~dockreg.interfaces.IRepositoryStore`."""
        await self._database.write(_delete, name, now)

    async def set_private(self, name: RepositoryName, private: bool) -> None:
        """See :class:`~dockreg.interfaces.IRepositoryStore`."""
        await self._database.write(_set_private, name, private)

    async def search(self, term: str, after: RepositoryName | None, limit: int) -> Sequence[RepositoryRecord]:
        """See :class:`~dockreg.interfaces.IRepositoryStore`; a term of more than 4096 characters finds nothing."""
        folded = term.translate(_ASCII_LOWER)
        if len(folded) > _MAX_TERM or folded != storable(folded):
            return ()
        return await self._database.read(_search, folded, "" if after is None else after.value, limit)

    async def list_tags(self, name: RepositoryName) -> Sequence[TagRecord]:
        """See :class:`~dockreg.interfaces.IRepositoryStore`."""
        return await self._database.read(_list_tags, name)

    async def get_tag(self, name: RepositoryName, tag: Tag) -> TagRecord:
        """See :class:`~dockreg.interfaces.IRepositoryStore`."""
        return await self._database.find(_get_tag, name, tag)

    async def tag_image(
        self,
        name: RepositoryName,
        tag: Tag,
        image: V1Image,
        manifest: Manifest | None,
        client: TagClient,
        now: float,
        overwrite: bool = True,
    ) -> None:
        """
        See :class:`~dockreg.interfaces.IRepositoryStore`.

        :raises ImageUnknown: the image is gone.
        :raises BlobUnknown: the manifest refers to a blob that is neither recorded nor the decompressed form of a layer.
        """
        await self._database.write(_tag_image, name, tag, image, manifest, client=client, now=now, overwrite=overwrite)

    async def delete_tag(self, name: RepositoryName, tag: Tag, now: float) -> None:
        """See :class:`~dockreg.interfaces.IRepositoryStore`."""
        await self._database.write(_delete_tag, name, tag, now)

    async def tag_names(self, name: RepositoryName, after: str, limit: int) -> Sequence[Tag]:
        """See :class:`~dockreg.interfaces.IRepositoryStore`."""
        return await self._database.find(_tag_names, name, after, limit)

    async def listed(self, after: str, limit: int) -> Sequence[RepositoryRecord]:
        """See :class:`~dockreg.interfaces.IRepositoryStore`."""
        return await self._database.find(_listed, after, limit)


def _record(row: AnyRow) -> RepositoryRecord:
    return RepositoryRecord(
        name=RepositoryName(row.name),
        owner=account_name(row.owner),
        private=row.private,
        description=row.description,
        created_at=row.created_at,
    )


def _get(connection: Connection, name: RepositoryName) -> RepositoryRecord:
    return _record(find_repository(connection, name))


def _create(
    connection: Connection, name: RepositoryName, new: NewRepositories, owner: str | None, now: float
) -> RepositoryRecord:
    new.create(connection, name, owner, now)
    return _get(connection, name)


def _delete(connection: Connection, name: RepositoryName, now: float) -> None:
    key = lock_repository(connection, name).key
    for table in (tags, manifests, v1_announcements):
        connection.execute(delete(table).where(table.c.repository_key == key))
    links = repository_v1_images
    held = select(links.c.image_id).where(links.c.repository_key == key)
    others = (v1_image_list.c.repository_key == key) & v1_image_list.c.image_id.not_in(held)
    connection.execute(delete(v1_image_list).where(others))
    layers = (
        select(v1_images.c.layer_digest)
        .join(links, links.c.image_key == v1_images.c.key)
        .where(links.c.repository_key == key)
    )
    unused = repository_blobs.c.digest.not_in(layers)
    mine = repository_blobs.c.repository_key == key
    digests = column_of(connection, select(repository_blobs.c.digest).where(mine, unused))
    unlink_blobs(connection, key, unused)
    connection.execute(update(repositories).where(repositories.c.key == key), {"deleted_at": now})
    queue(connection, [Item(Kind.REPOSITORY, key, "")])
    queue_blobs(connection, digests)


def _set_private(connection: Connection, name: RepositoryName, private: bool) -> None:
    key = lock_repository(connection, name).key
    connection.execute(update(repositories).where(repositories.c.key == key), {"private": private})


def _search(connection: Connection, term: str, after: str, limit: int) -> Sequence[RepositoryRecord]:
    values = {"pattern": f"%{term.translate(_LIKE_ESCAPES)}%", "after": after, "limit": limit}
    return [_record(row) for row in connection.execute(_SEARCH, values)]


def _tag_record(row: AnyRow) -> TagRecord:
    return TagRecord(
        tag=Tag(row.name),
        digest=None if row.digest is None else digest_of(row.digest),
        image_id=None if row.image_id is None else ImageID(row.image_id),
        client=TagClient(
            last_update=row.last_update,
            docker_version=row.docker_version,
            docker_go_version=row.docker_go_version,
            arch=row.arch,
            os=row.os,
            kernel=row.kernel,
        ),
    )


def _list_tags(connection: Connection, name: RepositoryName) -> Sequence[TagRecord]:
    repository = find_repository(connection, name).key
    return [_tag_record(row) for row in connection.execute(_TAGS, {"repository": repository})]


def _get_tag(connection: Connection, name: RepositoryName, tag: Tag) -> TagRecord:
    repository = find_repository(connection, name).key
    row = connection.execute(_TAG, {"repository": repository, "tag": tag.value}).one_or_none()
    if row is None:
        raise TagUnknown(name.value, tag.value)
    return _tag_record(row)


def _tag_image(
    connection: Connection,
    name: RepositoryName,
    tag: Tag,
    image: V1Image,
    manifest: Manifest | None,
    *,
    client: TagClient,
    now: float,
    overwrite: bool,
) -> None:
    repository = lock_repository(connection, name).key
    link_image(connection, repository, image.image_id, image.key)
    this = (tags.c.repository_key == repository) & (tags.c.name == tag.value)
    current = connection.execute(select(tags).where(this)).one_or_none()
    if current is not None and current.image_key != image.key and not overwrite:
        raise Denied(f"tag {tag} exists, and the caller may not move it")
    if current is not None and current.image_key == image.key and current.manifest_key is not None:
        targets = {"manifest_key": current.manifest_key, "schema1_key": current.schema1_key}
    else:
        key = manifest_of(connection, repository, image.key)
        if key is None and manifest is not None:
            key = put_view(connection, repository, manifest, image, now)
        targets = {"manifest_key": key, "schema1_key": None}
    values = {
        **targets,
        "image_key": image.key,
        "updated_at": now,
        "last_update": client.last_update,
        "docker_version": storable_or_none(client.docker_version),
        "docker_go_version": storable_or_none(client.docker_go_version),
        "arch": storable(client.arch),
        "os": storable(client.os),
        "kernel": storable_or_none(client.kernel),
    }
    if current is None:
        connection.execute(insert(tags), {"repository_key": repository, "name": tag.value, **values})
        return
    connection.execute(update(tags).where(this), values)
    leave(connection, (current.manifest_key, current.schema1_key), targets, now)
    queue_untagged(connection, current)


def _delete_tag(connection: Connection, name: RepositoryName, tag: Tag, now: float) -> None:
    if not drop_tag(connection, lock_repository(connection, name).key, tag, now):
        raise TagUnknown(name.value, tag.value)


def _tag_names(connection: Connection, name: RepositoryName, after: str, limit: int) -> Sequence[Tag]:
    values = {"repository": find_repository(connection, name).key, "after": after, "limit": limit}
    return [Tag(found) for found in connection.execute(_TAG_NAMES, values).scalars()]


def _listed(connection: Connection, after: str, limit: int) -> Sequence[RepositoryRecord]:
    return [_record(row) for row in connection.execute(_LISTED, {"after": after, "limit": limit})]
