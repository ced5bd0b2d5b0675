"""What retention rules are applied to, and what goes by them."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, exists, func, literal, or_, select, union_all
from zope.interface import implementer

from dockreg.errors import NameUnknown
from dockreg.interfaces_retention import IRetentionStore
from dockreg.model.mediatypes import SCHEMA1_TYPES
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.retention import BlobUse, ManifestState, Pull, RepositoryContents, SeenTime, TagState
from dockreg.providers.metadata import pulls as pulled
from dockreg.providers.metadata.deletion import delete_manifest, doomed_with
from dockreg.providers.metadata.links import find_repository, lock_repository
from dockreg.providers.metadata.rows import AnyRow, digest_of
from dockreg.providers.metadata.tables import (
    blobs,
    manifest_blobs,
    manifest_children,
    manifest_v1_images,
    manifests,
    repositories,
    tags,
    v1_images,
)
from dockreg.providers.metadata.tables_retention import manifest_pulls, tag_pulls
from dockreg.providers.metadata.tagged import drop_tag
from dockreg.providers.metadata.transactions import Database

#: SQLite takes so many parameters in one statement.
_BATCH = 900

_of_manifest, _of_schema1 = manifest_pulls.alias("of_manifest"), manifest_pulls.alias("of_schema1")
_TAGS = (
    select(
        tags.c.name,
        tags.c.manifest_key,
        tags.c.schema1_key,
        tags.c.image_key,
        tags.c.updated_at,
        tag_pulls.c.pulled_at,
        _of_manifest.c.pulled_at.label("manifest_pulled_at"),
        _of_schema1.c.pulled_at.label("schema1_pulled_at"),
    )
    .select_from(
        tags.outerjoin(
            tag_pulls, (tag_pulls.c.repository_key == tags.c.repository_key) & (tag_pulls.c.name == tags.c.name)
        )
        .outerjoin(_of_manifest, _of_manifest.c.manifest_key == tags.c.manifest_key)
        .outerjoin(_of_schema1, _of_schema1.c.manifest_key == tags.c.schema1_key)
    )
    .where(tags.c.repository_key == bindparam("repository"))
    .order_by(tags.c.name)
)
_TAG = _TAGS.where(tags.c.name == bindparam("tag"))
_MANIFESTS = (
    select(
        manifests.c.key,
        manifests.c.digest,
        manifests.c.subject,
        manifests.c.view_of,
        manifests.c.created_at,
        manifests.c.untagged_at,
        manifest_pulls.c.pulled_at,
    )
    .outerjoin(manifest_pulls, manifest_pulls.c.manifest_key == manifests.c.key)
    .where(manifests.c.repository_key == bindparam("repository"))
)
_MANIFEST = _MANIFESTS.where(manifests.c.digest == bindparam("wanted"))
_CHILDREN = (
    select(manifest_children.c.manifest_key, manifest_children.c.digest)
    .join(manifests, manifests.c.key == manifest_children.c.manifest_key)
    .where(manifests.c.repository_key == bindparam("repository"))
)
# Forms of one image that go together (see ``deletion``).
_IMAGES = (
    select(manifest_v1_images.c.manifest_key, manifest_v1_images.c.image_key)
    .join(manifests, manifests.c.key == manifest_v1_images.c.manifest_key)
    .where(
        manifests.c.repository_key == bindparam("repository"),
        or_(manifests.c.derived, manifests.c.media_type.in_(SCHEMA1_TYPES)),
    )
)
_USES = (
    select(func.count())
    .select_from(manifest_blobs)
    .where(manifest_blobs.c.held_digest == blobs.c.digest)
    .correlate(blobs)
    .scalar_subquery()
)
_IMAGE_USES = (
    select(func.count())
    .select_from(v1_images)
    .where(v1_images.c.layer_digest == blobs.c.digest)
    .correlate(blobs)
    .scalar_subquery()
)
_name = repositories.c.name
_NAMES = (
    select(_name)
    .where(
        repositories.c.deleted_at.is_(None),
        _name > bindparam("after"),
        or_(
            exists().where(manifests.c.repository_key == repositories.c.key),
            exists().where(tags.c.repository_key == repositories.c.key),
        ),
    )
    .order_by(_name)
    .limit(bindparam("limit", type_=Integer))
)


@implementer(IRetentionStore)
class SQLRetentionStore:
    """See :class:`~dockreg.interfaces_retention.IRetentionStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record_pulls(self, pulls: Collection[Pull]) -> None:
        """See :class:`~dockreg.interfaces_retention.IRetentionStore`."""
        await self._database.note(pulled.record, pulls)

    async def look_at_clock(self, now: float) -> SeenTime:
        """See :class:`~dockreg.interfaces_retention.IRetentionStore`."""
        return await self._database.read(pulled.look_at_clock, now)

    async def begin_run(self, now: float, every: float) -> tuple[SeenTime, str] | None:
        """See :class:`~dockreg.interfaces_retention.IRetentionStore`."""
        return await self._database.write(pulled.begin_run, now, every)

    async def end_run(self, after: str) -> None:
        """See :class:`~dockreg.interfaces_retention.IRetentionStore`."""
        await self._database.write(pulled.end_run, after)

    async def names(self, after: str, limit: int) -> Sequence[RepositoryName]:
        """See :class:`~dockreg.interfaces_retention.IRetentionStore`."""
        return await self._database.read(_names, after, limit)

    async def contents(self, name: RepositoryName) -> RepositoryContents:
        """See :class:`~dockreg.interfaces_retention.IRetentionStore`."""
        return await self._database.read(_contents, name)

    async def blob_uses(self, name: RepositoryName, digests: Collection[str]) -> Mapping[str, Sequence[BlobUse]]:
        """See :class:`~dockreg.interfaces_retention.IRetentionStore`; a layer of a v1 image has another use."""
        return await self._database.read(_blob_uses, name, digests)

    async def remove_tag(self, name: RepositoryName, seen: TagState, now: float) -> bool:
        """See :class:`~dockreg.interfaces_retention.IRetentionStore`."""
        return await self._database.write(_remove_tag, name, seen, now)

    async def remove_manifest(self, name: RepositoryName, seen: ManifestState, latest: int, now: float) -> bool:
        """See :class:`~dockreg.interfaces_retention.IRetentionStore`."""
        return await self._database.write(_remove_manifest, name, seen, latest, now)


def _names(connection: Connection, after: str, limit: int) -> Sequence[RepositoryName]:
    found = connection.execute(_NAMES, {"after": after, "limit": limit}).scalars()
    return [RepositoryName(each) for each in found]


def _contents(connection: Connection, name: RepositoryName) -> RepositoryContents:
    values = {"repository": find_repository(connection, name).key}
    rows = {row.key: row for row in connection.execute(_MANIFESTS, values)}
    children: dict[int, set[str]] = defaultdict(set)
    for child in connection.execute(_CHILDREN, values):
        children[child.manifest_key].add(child.digest)
    kin = _kin([(row.manifest_key, row.image_key) for row in connection.execute(_IMAGES, values)])
    views: dict[int, list[float]] = defaultdict(list)
    for view in rows.values():
        if view.view_of is not None and view.pulled_at is not None:
            views[view.view_of].append(view.pulled_at)
    found = [
        ManifestState(
            digest=row.digest,
            created_at=row.created_at,
            untagged_at=row.untagged_at,
            pulled_at=_latest(row.pulled_at, *views[key]),
            subject=row.subject,
            children=frozenset(children[key]),
            kin=frozenset(rows[other].digest for other in kin.get(key, ()) if other in rows),
        )
        for key, row in rows.items()
        if row.view_of is None
    ]
    digests = {key: rows[row.view_of if row.view_of in rows else key].digest for key, row in rows.items()}
    listed = [_tag_state(row, digests) for row in connection.execute(_TAGS, values)]
    return RepositoryContents(listed, found, max(rows, default=0))


def _tag_state(row: AnyRow, digests: Mapping[int, str]) -> TagState:
    keys = (row.manifest_key, row.schema1_key)
    return TagState(
        tag=Tag(row.name),
        digests=tuple(digests[key] for key in keys if key in digests),
        updated_at=row.updated_at,
        pulled_at=_latest(row.pulled_at, row.manifest_pulled_at, row.schema1_pulled_at),
        targets=(*keys, row.image_key),
    )


def _kin(pairs: Collection[tuple[int, int]]) -> Mapping[int, frozenset[int]]:
    """Which manifests are forms of one image."""
    by_image: dict[int, set[int]] = defaultdict(set)
    for manifest, image in pairs:
        by_image[image].add(manifest)
    kin: dict[int, set[int]] = defaultdict(set)
    for together in by_image.values():
        for manifest in together:
            kin[manifest] |= together
    return {manifest: frozenset(others - {manifest}) for manifest, others in kin.items()}


def _latest(*moments: float | None) -> float | None:
    return max((moment for moment in moments if moment is not None), default=None)


def _blob_uses(
    connection: Connection, name: RepositoryName, digests: Collection[str]
) -> Mapping[str, Sequence[BlobUse]]:
    repository = find_repository(connection, name).key
    uses: dict[str, list[BlobUse]] = defaultdict(list)
    query = (
        select(manifests.c.digest.label("manifest"), blobs.c.digest, blobs.c.size, (_USES + _IMAGE_USES).label("uses"))
        .select_from(
            manifests.join(manifest_blobs, manifest_blobs.c.manifest_key == manifests.c.key).join(
                blobs, blobs.c.digest == manifest_blobs.c.held_digest
            )
        )
        .where(manifests.c.repository_key == repository)
    )
    for batch in _batches(sorted(digests)):
        for row in connection.execute(query.where(manifests.c.digest.in_(batch))):
            uses[row.manifest].append(BlobUse(row.digest, row.size, row.uses))
    return uses


def _batches(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(values), _BATCH):
        yield values[first : first + _BATCH]


def _remove_tag(connection: Connection, name: RepositoryName, seen: TagState, now: float) -> bool:
    try:
        repository = lock_repository(connection, name).key
    except NameUnknown:
        return False
    row = connection.execute(_TAG, {"repository": repository, "tag": seen.tag.value}).one_or_none()
    if row is None:
        return False
    current = _tag_state(row, {})
    if (current.targets, current.updated_at, current.pulled_at) != (seen.targets, seen.updated_at, seen.pulled_at):
        return False
    return drop_tag(connection, repository, seen.tag, now)


def _remove_manifest(
    connection: Connection, name: RepositoryName, seen: ManifestState, latest: int, now: float
) -> bool:
    try:
        repository = lock_repository(connection, name).key
    except NameUnknown:
        return False
    row = connection.execute(_MANIFEST, {"repository": repository, "wanted": seen.digest}).one_or_none()
    if row is None or row.view_of is not None or row.untagged_at != seen.untagged_at:
        return False
    keys = doomed_with(connection, repository, row.key)
    leased = select(manifests.c.key).where(manifests.c.key.in_(keys), manifests.c.leased_until > now)
    if connection.execute(leased).first() is not None:
        return False
    if _is_needed(connection, repository, keys, latest) or _pulled_at(connection, row.key) != seen.pulled_at:
        return False
    delete_manifest(connection, name, digest_of(seen.digest))
    return True


def _pulled_at(connection: Connection, key: int) -> float | None:
    """When the manifest, or another form of it that lives with it, was pulled."""
    family = select(manifests.c.key).where(or_(manifests.c.key == key, manifests.c.view_of == key))
    query = select(func.max(manifest_pulls.c.pulled_at)).where(manifest_pulls.c.manifest_key.in_(family))
    found: float | None = connection.execute(query).scalar()
    return found


def _is_needed(connection: Connection, repository: int, keys: Sequence[int], latest: int) -> bool:
    """Whether something of the repository needs one of these manifests: a tag, an index, a subject, a referrer."""
    family = select(manifests.c.key).where(or_(manifests.c.key.in_(keys), manifests.c.view_of.in_(keys)))
    digests = select(manifests.c.digest).where(manifests.c.key.in_(keys))
    subjects = select(manifests.c.subject).where(manifests.c.key.in_(keys), manifests.c.subject.is_not(None))
    here = (manifests.c.repository_key == repository) & manifests.c.key.not_in(keys)
    tagged = or_(tags.c.manifest_key == manifests.c.key, tags.c.schema1_key == manifests.c.key)
    reasons: list[Any] = [
        select(literal(1)).where(or_(tags.c.manifest_key.in_(family), tags.c.schema1_key.in_(family))),
        select(literal(1))
        .select_from(manifest_children.join(manifests, manifests.c.key == manifest_children.c.manifest_key))
        .where(here, manifest_children.c.digest.in_(digests)),
        select(literal(1)).select_from(manifests).where(here, manifests.c.digest.in_(subjects)),
        select(literal(1))
        .select_from(manifests)
        .where(here, manifests.c.subject.in_(digests), or_(manifests.c.key > latest, exists().where(tagged))),
    ]
    return connection.execute(union_all(*reasons).limit(1)).first() is not None
