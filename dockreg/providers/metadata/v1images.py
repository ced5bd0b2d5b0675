"""v1 images: announced, staged, complete."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, and_, bindparam, exists, insert, select, update
from zope.interface import implementer

from dockreg.errors import ImageUnknown
from dockreg.interfaces_v1 import IV1ImageStore
from dockreg.model.blobs import StoredBlob
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.v1 import (
    AnnouncedImage,
    Checksums,
    ImageID,
    ImageJSON,
    LayerFacts,
    MadeImage,
    PushScope,
    StagedImage,
    StagedLayer,
    V1Image,
)
from dockreg.providers.metadata import v1staging, v1views
from dockreg.providers.metadata.chains import ANCESTRY, CHAIN
from dockreg.providers.metadata.links import find_repository, lock_repository, next_position
from dockreg.providers.metadata.rows import (
    IMAGE_COLUMNS,
    IMAGE_TABLES,
    account_column,
    checksums_of,
    image_of,
    storable_or_none,
)
from dockreg.providers.metadata.tables import (
    repositories,
    repository_v1_images,
    v1_announcements,
    v1_image_list,
    v1_images,
)
from dockreg.providers.metadata.transactions import Database

_links = repository_v1_images
_LIST = (
    select(
        v1_image_list.c.image_id, v1_image_list.c.checksum, v1_images.c.payload, v1_images.c.tarsums, v1_images.c.summed
    )
    .select_from(
        v1_image_list.outerjoin(
            _links,
            and_(
                _links.c.repository_key == v1_image_list.c.repository_key,
                _links.c.image_id == v1_image_list.c.image_id,
            ),
        ).outerjoin(v1_images, v1_images.c.key == _links.c.image_key)
    )
    .where(v1_image_list.c.repository_key == bindparam("repository"))
    .order_by(v1_image_list.c.position)
)
_LIST_UPDATE = (
    update(v1_image_list)
    .where(v1_image_list.c.repository_key == bindparam("repository"), v1_image_list.c.image_id == bindparam("wanted"))
    .values(checksum=bindparam("announced"))
)
_ANNOUNCED_AGAIN = (
    update(v1_announcements)
    .where(
        v1_announcements.c.repository_key == bindparam("repository"),
        v1_announcements.c.principal == bindparam("who"),
        v1_announcements.c.image_id == bindparam("wanted"),
    )
    .values(announced_at=bindparam("now"))
)
_ANNOUNCED_BY = (
    select(repositories.c.name)
    .join(v1_announcements, v1_announcements.c.repository_key == repositories.c.key)
    .where(
        v1_announcements.c.image_id == bindparam("wanted"),
        v1_announcements.c.principal == bindparam("who"),
        v1_announcements.c.announced_at >= bindparam("since"),
        repositories.c.deleted_at.is_(None),
    )
    .order_by(v1_announcements.c.announced_at.desc(), repositories.c.name)
)
_IS_LISTED = select(
    exists().where(
        v1_image_list.c.image_id == bindparam("wanted"),
        v1_image_list.c.repository_key == repositories.c.key,
        repositories.c.name == bindparam("name"),
        repositories.c.deleted_at.is_(None),
    )
)
_HOLDERS = (
    select(repositories.c.name)
    .select_from(
        v1_images.join(_links, _links.c.image_key == v1_images.c.key).join(
            repositories, repositories.c.key == _links.c.repository_key
        )
    )
    .where(v1_images.c.image_id == bindparam("wanted"), repositories.c.deleted_at.is_(None))
    .order_by(v1_images.c.key, repositories.c.name)
)
_OWN = (
    select(*IMAGE_COLUMNS)
    .select_from(IMAGE_TABLES)
    .where(
        v1_images.c.image_id == bindparam("wanted"),
        v1_images.c.unannounced,
        v1_images.c.pushed_by == bindparam("owner"),
    )
)
_HELD = (
    select(*IMAGE_COLUMNS)
    .select_from(
        IMAGE_TABLES.join(_links, _links.c.image_key == v1_images.c.key).join(
            repositories, repositories.c.key == _links.c.repository_key
        )
    )
    .where(
        _links.c.image_id == bindparam("wanted"),
        repositories.c.name == bindparam("name"),
        repositories.c.deleted_at.is_(None),
    )
)


@implementer(IV1ImageStore)
class SQLV1ImageStore:
    """See :class:`~dockreg.interfaces_v1.IV1ImageStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def announce(
        self, name: RepositoryName, principal: str | None, images: Sequence[AnnouncedImage], now: float
    ) -> None:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`."""
        await self._database.write(_announce, name, account_column(principal), images, now)

    async def list_images(self, name: RepositoryName) -> Sequence[AnnouncedImage]:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`; of several tarsums it is the first in ASCII order."""
        return await self._database.find(_list_images, name)

    async def announced_by(self, principal: str | None, image_id: ImageID, since: float) -> Sequence[RepositoryName]:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`."""
        return await self._database.read(_announced_by, account_column(principal), image_id, since)

    async def is_listed(self, name: RepositoryName, image_id: ImageID) -> bool:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`."""
        return await self._database.read(_is_listed, name, image_id)

    async def holders(self, image_id: ImageID) -> Sequence[RepositoryName]:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`."""
        return await self._database.find(_holders, image_id)

    async def find_own(self, image_id: ImageID, owner: str | None) -> V1Image | None:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`."""
        return await self._database.find(_find_own, image_id, account_column(owner))

    async def find_in(self, name: RepositoryName, image_id: ImageID) -> V1Image | None:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`."""
        return await self._database.find(_find_in, name, image_id)

    async def chain(self, image: V1Image) -> Sequence[V1Image]:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`. :raises ImageUnknown: the image is gone."""
        return await self._database.find(_chain, image)

    async def ancestry(self, image: V1Image) -> Sequence[ImageID]:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`. :raises ImageUnknown: the image is gone."""
        return await self._database.find(_ancestry, image)

    async def stage_json(self, scope: PushScope, document: ImageJSON, parent: V1Image | None, now: float) -> None:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`. :raises ImageUnknown: the parent is gone."""
        await self._database.write(v1staging.stage_json, scope, document, parent, now)

    async def staged(self, scope: PushScope, image_id: ImageID, limit: int = 8) -> Sequence[StagedImage]:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`."""
        return await self._database.read(v1staging.staged, scope, image_id, limit)

    async def is_staged(self, name: RepositoryName | None, principal: str | None, image_id: ImageID) -> bool:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`."""
        return await self._database.read(v1staging.is_staged, name, account_column(principal), image_id)

    async def stage_layer(
        self,
        blob: StoredBlob,
        facts: LayerFacts,
        checksums: Sequence[tuple[StagedImage, Checksums]],
        now: float,
        leased_until: float,
    ) -> StoredBlob:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`."""
        return await self._database.write(
            v1staging.stage_layer, blob, facts, checksums, now=now, leased_until=leased_until
        )

    async def staged_layers(self, scope: PushScope, image_id: ImageID) -> Sequence[StagedLayer]:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`."""
        return await self._database.read(v1staging.staged_layers, scope, image_id)

    async def keep_tarsums(self, of: StagedLayer | V1Image, tarsums: frozenset[str]) -> None:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`."""
        await self._database.write(v1staging.keep_tarsums, of, tarsums)

    async def complete(
        self,
        layer: StagedLayer,
        image_id: ImageID,
        scope: PushScope,
        repositories: Collection[RepositoryName],
        now: float,
    ) -> V1Image:
        """
        See :class:`~dockreg.interfaces_v1.IV1ImageStore`.

        :raises NameUnknown: one of the repositories is not there.
        :raises LayerMissing: the layer is no longer staged, and the image is not there either.
        """
        return await self._database.write(v1staging.complete, layer, image_id, scope, repositories, now=now)

    async def expire_staged(self, before: float) -> int:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`; an image is as young as its youngest layer."""
        return await self._database.write(v1staging.expire_staged, before)

    async def without_image(self, name: RepositoryName) -> Sequence[tuple[Tag, Digest]]:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`."""
        return await self._database.read(v1views.without_image, name)

    async def with_config(self, config: Digest) -> Sequence[tuple[RepositoryName, Digest]]:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`."""
        return await self._database.read(v1views.with_config, config)

    async def image_of(self, name: RepositoryName, digest: Digest) -> V1Image | None:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`; of several the latest."""
        return await self._database.read(v1views.manifest_image, name, digest)

    async def add_images(
        self, name: RepositoryName, digest: Digest, images: Sequence[MadeImage], pushed_by: str | None, now: float
    ) -> V1Image:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`."""
        return await self._database.write(v1views.add_images, name, digest, images, pushed_by=pushed_by, now=now)

    async def set_image(self, name: RepositoryName, tag: Tag, digest: Digest, image: V1Image) -> None:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`."""
        await self._database.write(v1views.set_image, name, tag, digest, image)

    async def set_imageless(self, name: RepositoryName, digest: Digest) -> None:
        """See :class:`~dockreg.interfaces_v1.IV1ImageStore`."""
        await self._database.write(v1views.set_imageless, name, digest)


def _announce(
    connection: Connection, name: RepositoryName, principal: str, images: Sequence[AnnouncedImage], now: float
) -> None:
    repository = lock_repository(connection, name).key
    checksums: dict[str, str | None] = {}
    for image in images:
        checksums[image.image_id.value] = storable_or_none(image.checksum) or checksums.get(image.image_id.value)
    _extend_list(connection, repository, checksums)
    query = select(v1_announcements.c.image_id).where(
        v1_announcements.c.repository_key == repository, v1_announcements.c.principal == principal
    )
    known = set(connection.execute(query).scalars())
    again = [
        {"repository": repository, "who": principal, "wanted": image_id, "now": now}
        for image_id in checksums
        if image_id in known
    ]
    new = [
        {"repository_key": repository, "principal": principal, "image_id": image_id, "announced_at": now}
        for image_id in checksums
        if image_id not in known
    ]
    if again:
        connection.execute(_ANNOUNCED_AGAIN, again)
    if new:
        connection.execute(insert(v1_announcements), new)


def _extend_list(connection: Connection, repository: int, checksums: dict[str, str | None]) -> None:
    columns = (v1_image_list.c.image_id, v1_image_list.c.checksum)
    query = select(*columns).where(v1_image_list.c.repository_key == repository)
    listed = {row.image_id: row.checksum for row in connection.execute(query)}
    changed = [
        {"repository": repository, "wanted": image_id, "announced": checksum}
        for image_id, checksum in checksums.items()
        if image_id in listed and checksum not in (None, listed[image_id])
    ]
    if changed:
        connection.execute(_LIST_UPDATE, changed)
    new = [image_id for image_id in checksums if image_id not in listed]
    if new:
        first = next_position(connection, repository)
        rows = [
            {"repository_key": repository, "image_id": image_id, "position": position, "checksum": checksums[image_id]}
            for position, image_id in enumerate(new, first)
        ]
        connection.execute(insert(v1_image_list), rows)


def _list_images(connection: Connection, name: RepositoryName) -> Sequence[AnnouncedImage]:
    repository = find_repository(connection, name).key
    images = []
    for row in connection.execute(_LIST, {"repository": repository}):
        checksum = row.checksum
        if row.payload is not None:
            ours = checksums_of(row)
            checksum = min(ours.tarsums or (), default=ours.payload) or None
        images.append(AnnouncedImage(ImageID(row.image_id), checksum))
    return images


def _announced_by(connection: Connection, principal: str, image_id: ImageID, since: float) -> Sequence[RepositoryName]:
    values = {"who": principal, "wanted": image_id.value, "since": since}
    return [RepositoryName(name) for name in connection.execute(_ANNOUNCED_BY, values).scalars()]


def _is_listed(connection: Connection, name: RepositoryName, image_id: ImageID) -> bool:
    return bool(connection.execute(_IS_LISTED, {"name": name.value, "wanted": image_id.value}).scalar())


def _holders(connection: Connection, image_id: ImageID) -> Sequence[RepositoryName]:
    return [RepositoryName(name) for name in connection.execute(_HOLDERS, {"wanted": image_id.value}).scalars()]


def _find_own(connection: Connection, image_id: ImageID, owner: str) -> V1Image | None:
    row = connection.execute(_OWN, {"wanted": image_id.value, "owner": owner}).one_or_none()
    return None if row is None else image_of(row)


def _find_in(connection: Connection, name: RepositoryName, image_id: ImageID) -> V1Image | None:
    row = connection.execute(_HELD, {"name": name.value, "wanted": image_id.value}).one_or_none()
    return None if row is None else image_of(row)


def _chain(connection: Connection, image: V1Image) -> Sequence[V1Image]:
    chain = [image_of(row) for row in connection.execute(CHAIN, {"start": image.key})]
    if not chain:
        raise ImageUnknown(image.image_id.value)
    return chain


def _ancestry(connection: Connection, image: V1Image) -> Sequence[ImageID]:
    ancestry = [ImageID(image_id) for image_id in connection.execute(ANCESTRY, {"start": image.key}).scalars()]
    if not ancestry:
        raise ImageUnknown(image.image_id.value)
    return ancestry
