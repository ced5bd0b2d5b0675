"""Manifests of repositories, and who refers to them."""

import json
from collections.abc import Collection, Sequence

from sqlalchemy import BigInteger, Connection, Integer, LargeBinary, Select, bindparam, func, select, update
from zope.interface import implementer

from dockreg.errors import ManifestUnknown, TagChanged
from dockreg.interfaces import IManifestStore
from dockreg.model.collection import Kind
from dockreg.model.digest import Digest
from dockreg.model.manifest import Manifest
from dockreg.model.mediatypes import SCHEMA1_TYPES
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import Referrer, Sparse, StoredManifest
from dockreg.model.v1 import V1Image
from dockreg.providers.metadata.collectionqueue import queue_keys
from dockreg.providers.metadata.deletion import delete_manifest
from dockreg.providers.metadata.links import NewRepositories, find_repository, lock_repository
from dockreg.providers.metadata.manifestrows import (
    Origin,
    insert_manifest,
    look_up,
    manifest_key,
    require_references,
)
from dockreg.providers.metadata.rows import (
    IMAGE_COLUMNS,
    IMAGE_TABLES,
    AnyRow,
    account_column,
    digest_of,
    image_of,
)
from dockreg.providers.metadata.tables import manifest_v1_images, manifests, repositories, tags, v1_images
from dockreg.providers.metadata.tagging import current_tag, is_expected, point_tag, tag_known
from dockreg.providers.metadata.transactions import Database
from dockreg.providers.metadata.v1views import keep_image

_STORED = (
    manifests.c.media_type,
    manifests.c.digest,
    manifests.c.content,
    manifests.c.derived,
    manifests.c.v1_view,
)
_IN_REPOSITORY = (repositories.c.name == bindparam("name")) & repositories.c.deleted_at.is_(None)
_BY_DIGEST = (
    select(*_STORED)
    .join(repositories, repositories.c.key == manifests.c.repository_key)
    .where(_IN_REPOSITORY, manifests.c.digest == bindparam("wanted"))
)
_BY_TAG = (
    select(*_STORED)
    .select_from(
        repositories.join(tags, tags.c.repository_key == repositories.c.key).join(
            manifests, manifests.c.key == tags.c.manifest_key
        )
    )
    .where(_IN_REPOSITORY, tags.c.name == bindparam("wanted"))
)
_REFERRERS = (
    select(
        manifests.c.media_type,
        manifests.c.digest,
        manifests.c.size,
        manifests.c.artifact_type,
        manifests.c.annotations,
    )
    .join(repositories, repositories.c.key == manifests.c.repository_key)
    .where(
        _IN_REPOSITORY,
        manifests.c.subject == bindparam("wanted"),
        manifests.c.digest > bindparam("after"),
    )
    .order_by(manifests.c.digest)
    .limit(bindparam("limit", type_=Integer))
)
_OF_TYPE = _REFERRERS.where(manifests.c.artifact_type == bindparam("artifact_type"))
_SIGNED = (
    select(*_STORED)
    .select_from(
        repositories.join(tags, tags.c.repository_key == repositories.c.key).join(
            manifests, manifests.c.key == tags.c.schema1_key
        )
    )
    .where(_IN_REPOSITORY, tags.c.name == bindparam("wanted"))
)
_LATEST_IMAGE = select(func.max(manifest_v1_images.c.image_key)).where(
    manifest_v1_images.c.manifest_key == bindparam("manifest")
)
# What there is to do for a manifest that is there already; ``is_whole``: its bytes are what they were.
_KNOWN = select(
    manifests.c.key,
    manifests.c.derived,
    (manifests.c.content == bindparam("pushed_content", type_=LargeBinary)).label("is_whole"),
    select(func.max(manifest_v1_images.c.image_key))
    .where(manifest_v1_images.c.manifest_key == manifests.c.key)
    .scalar_subquery()
    .label("image_key"),
).where(manifests.c.repository_key == bindparam("repository"), manifests.c.digest == bindparam("wanted"))
_PUSHED = update(manifests).where(manifests.c.key == bindparam("manifest"))
_RESTORED = (
    update(manifests)
    .where(manifests.c.key == bindparam("manifest"))
    .values(content=bindparam("pushed_content", type_=LargeBinary), size=bindparam("pushed_size", type_=BigInteger))
)
_LATEST_ORIGINS = 50
_PUSHED_DIGESTS = (
    select(manifests.c.digest)
    .where(
        manifests.c.repository_key == bindparam("repository"),
        manifests.c.digest > bindparam("after"),
        manifests.c.derived.is_(False),
    )
    .order_by(manifests.c.digest)
    .limit(bindparam("limit", type_=Integer))
)
_ORIGINS = (
    select(repositories.c.name.label("repository"), *IMAGE_COLUMNS)
    .select_from(
        IMAGE_TABLES.join(manifest_v1_images, manifest_v1_images.c.image_key == v1_images.c.key)
        .join(manifests, manifests.c.key == manifest_v1_images.c.manifest_key)
        .join(repositories, repositories.c.key == manifests.c.repository_key)
    )
    .where(manifests.c.config_digest == bindparam("config"), repositories.c.deleted_at.is_(None))
    .order_by(v1_images.c.key.desc(), repositories.c.name)
    .limit(_LATEST_ORIGINS)
)


@implementer(IManifestStore)
class SQLManifestStore:
    """See :class:`~dockreg.interfaces.IManifestStore`."""

    def __init__(self, database: Database, new: NewRepositories) -> None:
        self._database = database
        self._new = new

    async def put(
        self,
        name: RepositoryName,
        manifest: Manifest,
        tags: Collection[Tag],
        pushed_by: str | None,
        now: float,
        sparse: Sparse,
        overwrite: bool,
        image: V1Image | None = None,
        only_if: Collection[str] | None = None,
        signed: Digest | None = None,
    ) -> None:
        """See :class:`~dockreg.interfaces.IManifestStore`."""
        plain = tags if len(tags) == 1 and image is None and only_if is None and signed is None else ()

        def change(connection: Connection) -> None:
            for tag in plain:
                if tag_known(connection, name, manifest, tag, now):
                    return
            repository = self._new.create(connection, name, pushed_by, now)
            origin = Origin(account_column(pushed_by), now, derived=signed is not None)
            key, latest = _push(connection, repository, manifest, origin, sparse)
            if image is not None:
                keep_image(connection, repository, key, manifest, image)
                latest = connection.execute(_LATEST_IMAGE, {"manifest": key}).scalar()
            schema1 = None if signed is None else manifest_key(connection, repository, str(signed))
            for tag in tags:
                current = current_tag(connection, repository, tag)
                if only_if is not None and not is_expected(current, only_if):
                    raise TagChanged(str(tag))
                targets = {"manifest_key": key, "schema1_key": schema1}
                point_tag(connection, repository, tag, targets, current, image_key=latest, now=now, overwrite=overwrite)
            if not tags:
                queue_keys(connection, Kind.MANIFEST, repository, [key])

        await self._database.write(change)

    async def get(self, name: RepositoryName, reference: Tag | Digest) -> StoredManifest:
        """See :class:`~dockreg.interfaces.IManifestStore`."""
        if isinstance(reference, Digest):
            return await self._database.find_lasting(_get, name, reference)
        return await self._database.find(_get, name, reference)

    async def add_view(self, name: RepositoryName, digest: Digest, view: Manifest, now: float) -> None:
        """See :class:`~dockreg.interfaces.IManifestStore`."""
        await self._database.write(_add_view, name, digest, view, now)

    async def signed_form(self, name: RepositoryName, tag: Tag) -> StoredManifest | None:
        """See :class:`~dockreg.interfaces.IManifestStore`."""
        return await self._database.find(_signed_form, name, tag)

    async def delete(self, name: RepositoryName, digest: Digest) -> None:
        """See :class:`~dockreg.interfaces.IManifestStore`."""
        await self._database.write(delete_manifest, name, digest)

    async def list_referrers(
        self, name: RepositoryName, subject: Digest, artifact_type: str | None, after: str, limit: int
    ) -> Sequence[Referrer]:
        """See :class:`~dockreg.interfaces.IManifestStore`."""
        values = {"name": name.value, "wanted": str(subject), "after": after, "limit": limit}
        if artifact_type is None:
            return await self._database.read(_referrers, _REFERRERS, values)
        return await self._database.read(_referrers, _OF_TYPE, {**values, "artifact_type": artifact_type})

    async def pushed(self, name: RepositoryName, after: str, limit: int) -> Sequence[Digest]:
        """See :class:`~dockreg.interfaces_listing.IManifestList`."""
        return await self._database.read(_pushed, name, after, limit)

    async def origins(self, config: Digest) -> Sequence[tuple[RepositoryName, V1Image]]:
        """See :class:`~dockreg.interfaces.IManifestStore`; no more than the latest fifty."""
        return await self._database.find_lasting(_origins, config)


def stored_manifest(row: AnyRow) -> StoredManifest:
    """The manifest in a row."""
    return StoredManifest(row.media_type, digest_of(row.digest), row.content, row.derived, row.v1_view is False)


def _get(connection: Connection, name: RepositoryName, reference: Tag | Digest) -> StoredManifest:
    query = _BY_DIGEST if isinstance(reference, Digest) else _BY_TAG
    row = connection.execute(query, {"name": name.value, "wanted": str(reference)}).one_or_none()
    if row is None:
        find_repository(connection, name)
        raise ManifestUnknown(name.value, str(reference))
    return stored_manifest(row)


def _signed_form(connection: Connection, name: RepositoryName, tag: Tag) -> StoredManifest | None:
    row = connection.execute(_SIGNED, {"name": name.value, "wanted": tag.value}).one_or_none()
    return None if row is None else stored_manifest(row)


def _push(
    connection: Connection, repository: int, manifest: Manifest, origin: Origin, sparse: Sparse
) -> tuple[int, int | None]:
    """
    The key of a manifest that is pushed, and that of the latest v1 image that is the same.

    One that the registry had made itself stands for itself from now on.
    """
    wanted = {"repository": repository, "wanted": str(manifest.digest), "pushed_content": manifest.content}
    known = connection.execute(_KNOWN, wanted).one_or_none()
    if known is None:
        present = look_up(connection, repository, manifest)
        require_references(manifest, present, sparse)
        return insert_manifest(connection, repository, manifest, present, origin), None
    if not origin.derived:
        if known.derived:
            pushed = {"derived": False, "view_of": None, "pushed_by": origin.pushed_by}
            connection.execute(_PUSHED, {"manifest": known.key, **pushed})
        if not known.is_whole and manifest.media_type not in SCHEMA1_TYPES:
            # Their digest does not cover their signatures.
            content = {"manifest": known.key, "pushed_content": manifest.content, "pushed_size": len(manifest.content)}
            connection.execute(_RESTORED, content)
    return known.key, known.image_key


def _add_view(connection: Connection, name: RepositoryName, digest: Digest, view: Manifest, now: float) -> None:
    repository = lock_repository(connection, name).key
    root = _root(connection, repository, name, digest)
    if manifest_key(connection, repository, str(view.digest)) is None:
        present = look_up(connection, repository, view)
        insert_manifest(connection, repository, view, present, Origin("", now, derived=True, view_of=root))


def _root(connection: Connection, repository: int, name: RepositoryName, digest: Digest) -> int:
    query = select(manifests.c.key, manifests.c.view_of).where(
        manifests.c.repository_key == repository, manifests.c.digest == str(digest)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise ManifestUnknown(name.value, str(digest))
    root: int = row.key if row.view_of is None else row.view_of
    return root


def _referrers(
    connection: Connection, query: Select[tuple[object, ...]], values: dict[str, object]
) -> Sequence[Referrer]:
    return [
        Referrer(
            media_type=row.media_type,
            digest=digest_of(row.digest),
            size=row.size,
            artifact_type=row.artifact_type,
            annotations={} if row.annotations is None else json.loads(row.annotations),
        )
        for row in connection.execute(query, values)
    ]


def _pushed(connection: Connection, name: RepositoryName, after: str, limit: int) -> Sequence[Digest]:
    values = {"repository": find_repository(connection, name).key, "after": after, "limit": limit}
    return [digest_of(digest) for digest in connection.execute(_PUSHED_DIGESTS, values).scalars()]


def _origins(connection: Connection, config: Digest) -> Sequence[tuple[RepositoryName, V1Image]]:
    rows = connection.execute(_ORIGINS, {"config": str(config)})
    return [(RepositoryName(row.repository), image_of(row)) for row in rows]
