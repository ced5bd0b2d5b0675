"""The rows of blobs, and which repositories they are part of."""

from collections.abc import Callable, Sequence

from sqlalchemy import (
    Connection,
    Integer,
    and_,
    bindparam,
    exists,
    insert,
    or_,
    select,
    update,
)
from zope.interface import implementer

from dockreg.errors import BlobInUse, BlobUnknown, NameUnknown
from dockreg.interfaces import IBlobIndex
from dockreg.model.blobs import Blob, Recorded, StoredBlob
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName
from dockreg.model.v1 import LayerFacts
from dockreg.providers.metadata.collectionqueue import queue_blobs, queue_link
from dockreg.providers.metadata.links import NewRepositories, link_blobs, lock_repository, unlink_blobs
from dockreg.providers.metadata.recording import record_blob, record_in
from dockreg.providers.metadata.rows import (
    BLOB_COLUMNS,
    BLOB_TABLES,
    STORED_COLUMNS,
    AnyRow,
    blob_of,
    facts_columns,
    facts_of,
    stored_of,
)
from dockreg.providers.metadata.tables import (
    blobs,
    manifest_blobs,
    manifest_children,
    manifests,
    repositories,
    repository_blobs,
    repository_v1_images,
    v1_images,
)
from dockreg.providers.metadata.transactions import Database

_FIND = select(*STORED_COLUMNS, blobs.c.leased_until).where(blobs.c.digest == bindparam("wanted"))
_LOCK = _FIND.with_for_update()
_FIND_IN = (
    select(*BLOB_COLUMNS)
    .select_from(
        BLOB_TABLES.join(repository_blobs, repository_blobs.c.digest == blobs.c.digest).join(
            repositories, repositories.c.key == repository_blobs.c.repository_key
        )
    )
    .where(
        repositories.c.name == bindparam("name"),
        repositories.c.deleted_at.is_(None),
        repository_blobs.c.digest == bindparam("wanted"),
    )
)
_CONTENT = select(blobs.c.content).where(
    blobs.c.digest == bindparam("wanted"), blobs.c.generation == bindparam("generation")
)
_CHANGE = update(blobs).where(blobs.c.digest == bindparam("wanted"))
_HOLDERS = (
    select(repositories.c.name)
    .join(repository_blobs, repository_blobs.c.repository_key == repositories.c.key)
    .where(repository_blobs.c.digest == bindparam("wanted"), repositories.c.deleted_at.is_(None))
    .order_by(repository_blobs.c.repository_key)
    .limit(bindparam("limit", type_=Integer))
)
_USERS = (
    select(manifests.c.digest)
    .where(
        manifests.c.repository_key == bindparam("repository"),
        or_(
            exists().where(
                manifest_blobs.c.manifest_key == manifests.c.key, manifest_blobs.c.held_digest == bindparam("wanted")
            ),
            exists().where(
                manifest_children.c.manifest_key == manifests.c.key, manifest_children.c.digest == bindparam("wanted")
            ),
        ),
    )
    .limit(1)
)
_IMAGE_USERS = (
    select(v1_images.c.image_id)
    .join(repository_v1_images, repository_v1_images.c.image_key == v1_images.c.key)
    .where(
        and_(
            repository_v1_images.c.repository_key == bindparam("repository"),
            v1_images.c.layer_digest == bindparam("wanted"),
        )
    )
    .limit(1)
)


@implementer(IBlobIndex)
class SQLBlobIndex:
    """See :class:`~dockreg.interfaces.IBlobIndex`."""

    def __init__(self, database: Database, new: NewRepositories) -> None:
        self._database = database
        self._new = new

    async def find(self, digest: Digest) -> StoredBlob | None:
        """See :class:`~dockreg.interfaces.IBlobIndex`; a derived blob has no object."""
        return await self._database.find(_find, digest)

    async def find_in(self, name: RepositoryName, digest: Digest) -> Blob | None:
        """See :class:`~dockreg.interfaces.IBlobIndex`."""
        return await self._database.find_lasting(_find_in, name, digest)

    async def holders(self, digest: Digest, limit: int) -> Sequence[RepositoryName]:
        """See :class:`~dockreg.interfaces.IBlobIndex`."""
        return await self._database.read(_holders, digest, limit)

    async def mount(
        self,
        name: RepositoryName,
        source: RepositoryName,
        digest: Digest,
        owner: str | None,
        now: float,
        leased_until: float,
    ) -> Blob | None:
        """See :class:`~dockreg.interfaces.IBlobIndex`."""
        return await self._database.write(
            _mount, name, source, digest, new=self._new, owner=owner, now=now, leased_until=leased_until
        )

    async def record_in(
        self,
        name: RepositoryName,
        blob: StoredBlob,
        facts: LayerFacts | None,
        owner: str | None,
        now: float,
        leased_until: float,
        upload_id: str | None = None,
        create: bool = True,
    ) -> StoredBlob:
        """See :class:`~dockreg.interfaces.IBlobIndex`."""

        def change(connection: Connection) -> StoredBlob:
            if create:
                repository = self._new.create(connection, name, owner, now)
            else:
                repository = lock_repository(connection, name).key
            return record_in(connection, repository, blob, facts, leased_until, upload_id).blob

        return await self._database.write(change)

    def recorder(
        self,
        name: RepositoryName,
        facts: LayerFacts | None,
        owner: str | None,
        now: float,
        leased_until: float,
        upload_id: str | None = None,
    ) -> Callable[[StoredBlob], Recorded]:
        """See :class:`~dockreg.interfaces.IBlobIndex`."""

        def change(connection: Connection, blob: StoredBlob) -> Recorded:
            repository = self._new.create(connection, name, owner, now)
            return record_in(connection, repository, blob, facts, leased_until, upload_id)

        def record(blob: StoredBlob) -> Recorded:
            return self._database.write_here(lambda connection: change(connection, blob))

        return record

    async def unlink(self, name: RepositoryName, digest: Digest) -> None:
        """See :class:`~dockreg.interfaces.IBlobIndex`."""
        await self._database.write(_unlink, name, digest)

    async def learn(self, digest: Digest, facts: LayerFacts) -> None:
        """See :class:`~dockreg.interfaces.IBlobIndex`."""
        await self._database.write(_learn, digest, facts)

    async def facts(self, digest: Digest) -> LayerFacts | None:
        """See :class:`~dockreg.interfaces.IBlobIndex`."""
        return await self._database.read(_facts, digest)

    async def content(self, blob: StoredBlob) -> bytes | None:
        """See :class:`~dockreg.interfaces.IBlobIndex`; not remembered, for whoever opens blobs does that."""
        return await self._database.look(_content, blob)

    async def is_recorded(self, blob: StoredBlob) -> bool:
        """See :class:`~dockreg.interfaces.IBlobIndex`."""
        return await self._database.read(is_recorded, blob)

    async def record(self, blob: StoredBlob, facts: LayerFacts | None, leased_until: float) -> StoredBlob:
        """See :class:`~dockreg.interfaces.IBlobIndex`."""

        def change(connection: Connection) -> StoredBlob:
            recorded = record_blob(connection, blob, facts, leased_until)
            queue_blobs(connection, [str(blob.digest)], leased_until)
            return recorded

        return await self._database.write(change)


def _find(connection: Connection, digest: Digest) -> StoredBlob | None:
    row = connection.execute(_FIND, {"wanted": str(digest)}).one_or_none()
    return None if row is None or row.generation is None else stored_of(row)


def _find_in(connection: Connection, name: RepositoryName, digest: Digest) -> Blob | None:
    row = connection.execute(_FIND_IN, {"name": name.value, "wanted": str(digest)}).one_or_none()
    return None if row is None else blob_of(row)


def _holders(connection: Connection, digest: Digest, limit: int) -> Sequence[RepositoryName]:
    values = {"wanted": str(digest), "limit": limit}
    return [RepositoryName(name) for name in connection.execute(_HOLDERS, values).scalars()]


def _mount(
    connection: Connection,
    name: RepositoryName,
    source: RepositoryName,
    digest: Digest,
    *,
    new: NewRepositories,
    owner: str | None,
    now: float,
    leased_until: float,
) -> Blob | None:
    found = _find_in(connection, source, digest)
    if found is None or found.lost is not None:
        return None
    # Repositories are locked before blobs, everywhere. The blob is looked for again under its lock.
    repository = new.create(connection, name, owner, now)
    row = connection.execute(_LOCK, {"wanted": str(digest)}).one_or_none()
    found = _find_in(connection, source, digest)
    if row is None or found is None:
        raise BlobUnknown(str(digest))
    link_blobs(connection, repository, [str(digest)])
    connection.execute(_CHANGE, {"wanted": str(digest), "leased_until": max(leased_until, row.leased_until)})
    queue_link(connection, repository, str(digest), leased_until)
    return found


def _unlink(connection: Connection, name: RepositoryName, digest: Digest) -> None:
    try:
        repository = lock_repository(connection, name).key
    except NameUnknown:
        raise BlobUnknown(str(digest)) from None
    values = {"repository": repository, "wanted": str(digest)}
    user = connection.execute(_USERS, values).scalar_one_or_none()
    if user is not None:
        raise BlobInUse(str(digest), f"manifest {user}")
    image = connection.execute(_IMAGE_USERS, values).scalar_one_or_none()
    if image is not None:
        raise BlobInUse(str(digest), f"v1 image {image}")
    if unlink_blobs(connection, repository, repository_blobs.c.digest == str(digest)) == 0:
        raise BlobUnknown(str(digest))
    queue_blobs(connection, [str(digest)])


def _learn(connection: Connection, digest: Digest, facts: LayerFacts) -> None:
    connection.execute(update(blobs).where(blobs.c.digest == str(digest)), facts_columns(facts))


def _facts(connection: Connection, digest: Digest) -> LayerFacts | None:
    row = connection.execute(_FIND, {"wanted": str(digest)}).one_or_none()
    return None if row is None or row.compression is None else facts_of(row)


def _content(connection: Connection, blob: StoredBlob) -> bytes | None:
    values = {"wanted": str(blob.digest), "generation": blob.generation}
    content: bytes | None = connection.execute(_CONTENT, values).scalar_one_or_none()
    return content


def is_recorded(connection: Connection, blob: StoredBlob) -> bool:
    """See ``IBlobIndex.is_recorded``; in a transaction that is rolled back."""
    row: AnyRow | None = connection.execute(_LOCK, {"wanted": str(blob.digest)}).one_or_none()
    if row is None and connection.dialect.name == "postgresql":
        # The process that wrote the object may be gone while the server still finishes its transaction: an insert
        # waits for the end of any other insert of this digest. This transaction is rolled back.
        values = {"digest": str(blob.digest), "generation": blob.generation, "size": blob.size, "leased_until": 0.0}
        connection.execute(insert(blobs), values)
    return row is not None and row.generation == blob.generation
