"""Leases of blobs, manifests and v1 images."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select, update
from zope.interface import implementer

from dockreg.interfaces_collection import ILeaseStore
from dockreg.model.collection import Kind, LeaseWanted
from dockreg.providers.metadata.tables import blobs, manifests, repositories, repository_blobs, v1_images
from dockreg.providers.metadata.transactions import Database

_here = (repositories.c.name == bindparam("name")) & repositories.c.deleted_at.is_(None)
# What the lease of each kind is written to, and whether it is there. An image stays as long as the lease of its layer.
_BLOB: Select[Any] = (
    select(blobs.c.leased_until, blobs.c.digest)
    .join(repository_blobs, repository_blobs.c.digest == blobs.c.digest)
    .join(repositories, repositories.c.key == repository_blobs.c.repository_key)
    .where(_here, blobs.c.digest == bindparam("subject"))
)
_IMAGE: Select[Any] = (
    select(blobs.c.leased_until, blobs.c.digest)
    .join(v1_images, v1_images.c.layer_digest == blobs.c.digest)
    .where(v1_images.c.key == bindparam("subject"))
)
_MANIFEST: Select[Any] = (
    select(manifests.c.leased_until, manifests.c.key)
    .join(repositories, repositories.c.key == manifests.c.repository_key)
    .where(_here, manifests.c.digest == bindparam("subject"))
)
# Who collects or expires a manifest, or one that lists it, holds the lock of its repository: so that is waited for.
_LOCKED = {Kind.MANIFEST: _MANIFEST.with_for_update(read=True, of=repositories)}
_QUERIES = {Kind.BLOB: _BLOB, Kind.IMAGE: _IMAGE, Kind.MANIFEST: _MANIFEST}
_EXTEND_BLOB = (
    update(blobs)
    .where(blobs.c.digest == bindparam("this"), blobs.c.leased_until < bindparam("until"))
    .values(leased_until=bindparam("until"))
)
_EXTEND_MANIFEST = (
    update(manifests)
    .where(manifests.c.key == bindparam("this"), manifests.c.leased_until < bindparam("until"))
    .values(leased_until=bindparam("until"))
)


@implementer(ILeaseStore)
class SQLLeaseStore:
    """See :class:`~dockreg.interfaces_collection.ILeaseStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def leased_until(self, wanted: LeaseWanted) -> float | None:
        """See :class:`~dockreg.interfaces_collection.ILeaseStore`."""
        return await self._database.find(_leased_until, wanted)

    async def lease(self, wanted: Sequence[LeaseWanted], leased_until: float) -> Sequence[bool]:
        """See :class:`~dockreg.interfaces_collection.ILeaseStore`."""
        return await self._database.write(_lease, wanted, leased_until)


def _values(wanted: LeaseWanted) -> dict[str, object]:
    if wanted.kind is Kind.IMAGE:
        return {"subject": int(wanted.subject)}
    return {"name": "" if wanted.repository is None else wanted.repository.value, "subject": wanted.subject}


def _order(wanted: LeaseWanted) -> tuple[bool, str, str, str]:
    is_manifest = wanted.kind is Kind.MANIFEST
    repository = wanted.repository.value if is_manifest and wanted.repository is not None else ""
    return not is_manifest, repository, wanted.kind.value, wanted.subject


def _leased_until(connection: Connection, wanted: LeaseWanted) -> float | None:
    row = connection.execute(_QUERIES[wanted.kind], _values(wanted)).one_or_none()
    return None if row is None else row.leased_until


def _lease(connection: Connection, wanted: Sequence[LeaseWanted], until: float) -> Sequence[bool]:
    found = {}
    # In one order, so that two who lease the same do not wait for each other; repositories are locked before blobs.
    for each in sorted(set(wanted), key=_order):
        row = connection.execute(_LOCKED.get(each.kind, _QUERIES[each.kind]), _values(each)).one_or_none()
        if row is not None:
            extend = _EXTEND_MANIFEST if each.kind is Kind.MANIFEST else _EXTEND_BLOB
            connection.execute(extend, {"this": row[1], "until": until})
            # Who collects it holds the lock of the row that was just written, or had it: so it is looked for again.
            row = connection.execute(_QUERIES[each.kind], _values(each)).one_or_none()
        found[each] = row is not None
    return [found[each] for each in wanted]
