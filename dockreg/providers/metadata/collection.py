"""The queue of collection: reviewed, and what nothing keeps removed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Integer, Select, bindparam, delete, func, insert, select, tuple_, update
from zope.interface import implementer

from dockreg.interfaces_collection import ICollection
from dockreg.model.blobs import StoredBlob
from dockreg.model.collection import (
    MOST_COUNTED,
    Backlog,
    CollectionPolicy,
    Finding,
    Item,
    Kind,
    Outcome,
    Queued,
    Sweep,
    Verdict,
)
from dockreg.providers.metadata import collectionsweep
from dockreg.providers.metadata.blobs import is_recorded
from dockreg.providers.metadata.collectionfindings import Examination, InUse
from dockreg.providers.metadata.collectionqueue import queue
from dockreg.providers.metadata.deletion import doomed_with, remove_manifests, unlink_image
from dockreg.providers.metadata.links import note_key, unlink_blobs
from dockreg.providers.metadata.rows import ALL_BUT_CONTENT, AnyRow, digest_of
from dockreg.providers.metadata.tables import (
    blobs,
    repository_blobs,
    repository_v1_images,
    v1_image_list,
    v1_images,
)
from dockreg.providers.metadata.tables_collection import collected_objects, collection_queue, collection_state
from dockreg.providers.metadata.transactions import Database

_queue, _state, _objects = collection_queue, collection_state, collected_objects
_KEY = tuple_(_queue.c.kind, _queue.c.repository_key, _queue.c.subject)
#: Links of a deleted repository that go in one transaction.
_PART = 200
#: What is reviewed with all its holders told; more of them make no difference to who reads it.
_MOST_HOLDERS = 1000
#: Objects that are asked about in one transaction: PostgreSQL holds a lock for each that is not named.
_MOST_ASKED = 500
#: When something is looked at again that somebody is changing.
_IN_USE_SECONDS = 5.0
#: How far apart clocks of several machines may be.
_SKEW_SECONDS = 60.0
_DUE = (
    select(_queue)
    .where(_queue.c.due_at <= bindparam("now"))
    .order_by(_queue.c.due_at)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True)
)
_THIS = (
    (_queue.c.kind == bindparam("this_kind"))
    & (_queue.c.repository_key == bindparam("this_repository"))
    & (_queue.c.subject == bindparam("this_subject"))
)
_DONE = delete(_queue).where(_THIS)
_POSTPONE = update(_queue).where(_THIS).values(since=bindparam("began"), due_at=bindparam("until"))


@implementer(ICollection)
class SQLCollection:
    """See :class:`~dockreg.interfaces_collection.ICollection`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lead(
        self, holder: str, now: float, hold_seconds: float, gap_seconds: float, pause_seconds: float
    ) -> float | None:
        """See :class:`~dockreg.interfaces_collection.ICollection`."""
        row = await self._database.read(_leader)
        if row.holder == holder and now + hold_seconds / 2 < row.held_until <= now + hold_seconds:
            # Nothing to note yet, so that what others remember of the database stays true.
            return float(row.resume_at)
        return await self._database.write(_lead, holder, now, hold_seconds, gap_seconds, pause_seconds)

    async def review(
        self, policy: CollectionPolicy, now: float, limit: int, after: Item | None = None
    ) -> Sequence[Verdict]:
        """See :class:`~dockreg.interfaces_collection.ICollection`."""
        found = await self._database.read(_has_due, now) if after is None else True
        return await self._database.write(_review, policy, now, limit, after) if found else ()

    async def examine(self, items: Sequence[Queued], policy: CollectionPolicy, now: float) -> Sequence[Finding]:
        """See :class:`~dockreg.interfaces_collection.ICollection`."""
        return await self._database.read(_examine, items, policy, now)

    async def queued(self, after: Item | None, limit: int) -> Sequence[Queued]:
        """See :class:`~dockreg.interfaces_collection.ICollection`."""
        return await self._database.read(_queued, after, limit)

    async def removed_objects(self, after: StoredBlob | None, limit: int) -> Sequence[StoredBlob]:
        """See :class:`~dockreg.interfaces_collection.ICollection`."""
        return await self._database.read(_removed_objects, after, limit)

    async def forget_objects(self, blobs: Sequence[StoredBlob]) -> None:
        """See :class:`~dockreg.interfaces_collection.ICollection`."""
        await self._database.write(_forget_objects, blobs)

    async def orphans(self, blobs: Sequence[StoredBlob]) -> Sequence[StoredBlob]:
        """See :class:`~dockreg.interfaces_collection.ICollection`."""
        found: list[StoredBlob] = []
        for first in range(0, len(blobs), _MOST_ASKED):
            found += await self._database.read(_orphans, blobs[first : first + _MOST_ASKED])
        return found

    async def backlog(self, now: float) -> Backlog:
        """See :class:`~dockreg.interfaces_collection.ICollection`."""
        return await self._database.read(_backlog, now)

    async def sweep_state(self, policy: CollectionPolicy) -> Sweep:
        """See :class:`~dockreg.interfaces_collection.ICollection`."""
        row = await self._database.read(_leader)
        if row.rules == policy.fingerprint:
            return Sweep(row.phase, row.after)
        begun = Sweep(collectionsweep.PHASES[0])
        await self._database.write(_note_sweep, begun, policy.fingerprint)
        return begun

    async def begin_sweep(self) -> None:
        """See :class:`~dockreg.interfaces_collection.ICollection`."""
        await self._database.write(_note_sweep, Sweep(collectionsweep.PHASES[0]))

    async def sweep(self, state: Sweep, limit: int) -> tuple[Sweep, int]:
        """See :class:`~dockreg.interfaces_collection.ICollection`."""
        # Who has very many holders takes long to look at, and SQLite has one writer at a time.
        reached, found = await self._database.read(collectionsweep.look, state, limit)
        return await self._database.write(_move_sweep, state, reached, found)

    async def advance_sweep(self, state: Sweep) -> None:
        """See :class:`~dockreg.interfaces_collection.ICollection`."""
        await self._database.write(_note_sweep, state)


# Who collects


def _leader(connection: Connection) -> AnyRow:
    return connection.execute(select(_state)).one()


def _lead(
    connection: Connection, holder: str, now: float, hold_seconds: float, gap_seconds: float, pause_seconds: float
) -> float | None:
    row = connection.execute(select(_state).with_for_update()).one()
    # A lead beyond the longest one was taken by a clock that was wrong.
    if row.holder != holder and now < row.held_until <= now + hold_seconds:
        return None
    resume_at = min(row.resume_at, now + pause_seconds)
    moved = 0.0 if row.seen_at is None else now - row.seen_at
    # The clocks of two machines are not the same.
    if moved > gap_seconds or moved < -min(gap_seconds, _SKEW_SECONDS):
        resume_at = now + pause_seconds
    values = {"holder": holder, "held_until": now + hold_seconds, "seen_at": now, "resume_at": resume_at}
    connection.execute(update(_state), values)
    return float(resume_at)


# Reviews


def _has_due(connection: Connection, now: float) -> bool:
    return connection.execute(select(_queue.c.due_at).where(_queue.c.due_at <= now).limit(1)).first() is not None


def _review(
    connection: Connection, policy: CollectionPolicy, now: float, limit: int, after: Item | None
) -> Sequence[Verdict]:
    if after is None:
        rows = connection.execute(_DUE, {"now": now, "limit": limit}).all()
    else:
        rows = connection.execute(_behind(after, limit).with_for_update(skip_locked=True)).all()
    verdicts = []
    examination = Examination(connection, policy, now, lock=True)
    for row in rows:
        queued = _queued_of(row)
        if after is None and queued.since is None and queued.due_at == 0:
            _postpone(connection, queued.item, now, now + policy.grace_seconds)
            verdicts.append(Verdict(queued.item, Outcome.LATER, queued.item.subject, "its grace time begins"))
            continue
        try:
            verdicts.append(_judge(connection, queued, examination.of(queued), now))
        except InUse:
            _postpone(connection, queued.item, queued.since or now, now + _IN_USE_SECONDS)
            verdicts.append(Verdict(queued.item, Outcome.LATER, queued.item.subject, "somebody is changing it"))
    return verdicts


def _judge(connection: Connection, queued: Queued, finding: Finding | None, now: float) -> Verdict:
    item = queued.item
    if finding is None:
        _done(connection, item)
        return Verdict(item, Outcome.ABSENT, item.subject)
    if finding.holders:
        _done(connection, item)
        return Verdict(item, Outcome.KEPT, finding.name, finding.reason or "it is in use")
    if finding.reason is not None and finding.until is None:
        _done(connection, item)
        return Verdict(item, Outcome.KEPT, finding.name, finding.reason)
    if finding.reason is not None and finding.until is not None:
        _cut_lease(connection, finding)
        _postpone(connection, item, now if queued.since is None else queued.since, finding.until)
        return Verdict(item, Outcome.LATER, finding.name, finding.reason)
    _done(connection, item)
    _REMOVALS[item.kind](connection, item, now)
    return Verdict(item, Outcome.REMOVED, finding.name, "", finding.size)


def _cut_lease(connection: Connection, finding: Finding) -> None:
    """A lease that a wrong clock has given ends like one that was given now."""
    if finding.item.kind in (Kind.BLOB, Kind.LINK) and finding.until is not None:
        this = (blobs.c.digest == finding.item.subject) & (blobs.c.leased_until > finding.until)
        connection.execute(update(blobs).where(this), {"leased_until": finding.until})


def _postpone(connection: Connection, item: Item, began: float, until: float) -> None:
    connection.execute(_POSTPONE, {**_named(item), "began": began, "until": until})


def _done(connection: Connection, item: Item) -> None:
    connection.execute(_DONE, _named(item))


def _named(item: Item) -> dict[str, Any]:
    return {"this_kind": item.kind.value, "this_repository": item.repository, "this_subject": item.subject}


def _queued_of(row: AnyRow) -> Queued:
    return Queued(Item(Kind(row.kind), row.repository_key, row.subject), row.since, row.due_at)


# Removals. What was examined is locked, and is removed as it was examined. What that frees is reviewed without a further
# grace time.


def _remove_blob(connection: Connection, item: Item, now: float) -> None:
    row = connection.execute(select(*ALL_BUT_CONTENT).where(blobs.c.digest == item.subject)).one()
    connection.execute(delete(blobs).where(blobs.c.digest == row.digest))
    if row.generation is not None:
        values = {"digest": row.digest, "generation": row.generation, "size": row.size}
        connection.execute(insert(_objects), values)
    if row.source_digest is not None:
        queue(connection, [Item(Kind.BLOB, 0, row.source_digest)], now)


def _remove_link(connection: Connection, item: Item, now: float) -> None:
    links = repository_blobs
    note_key(connection, item.repository)
    unlink_blobs(connection, item.repository, links.c.digest == item.subject)
    queue(connection, [Item(Kind.BLOB, 0, item.subject)], now)


def _remove_manifest(connection: Connection, item: Item, now: float) -> None:
    doomed = doomed_with(connection, item.repository, int(item.subject))
    remove_manifests(connection, item.repository, doomed, now)


def _remove_image_link(connection: Connection, item: Item, now: float) -> None:
    parent, freed = unlink_image(connection, item.repository, int(item.subject))
    queue(connection, freed, now)
    if parent is not None:
        queue(connection, [Item(Kind.IMAGE_LINK, item.repository, str(parent))], now)


def _remove_image(connection: Connection, item: Item, now: float) -> None:
    key = int(item.subject)
    row = connection.execute(
        select(v1_images.c.parent_key, v1_images.c.layer_digest).where(v1_images.c.key == key)
    ).one()
    connection.execute(delete(v1_images).where(v1_images.c.key == key))
    freed = [Item(Kind.BLOB, 0, row.layer_digest)]
    if row.parent_key is not None:
        freed.append(Item(Kind.IMAGE, 0, str(row.parent_key)))
    queue(connection, freed, now)


def _remove_repository(connection: Connection, item: Item, now: float) -> None:
    """What a deleted repository has kept, a part at a time. Its row stays: it tells whether the repository was private."""
    images, links, key = repository_v1_images, repository_blobs, item.repository
    held = select(images.c.image_key, images.c.image_id).where(images.c.repository_key == key).limit(_PART)
    rows = connection.execute(held).all()
    digests: Sequence[str] = ()
    if rows:
        ids = [row.image_id for row in rows]
        connection.execute(delete(images).where(images.c.repository_key == key, images.c.image_id.in_(ids)))
        connection.execute(
            delete(v1_image_list).where(v1_image_list.c.repository_key == key, v1_image_list.c.image_id.in_(ids))
        )
    else:
        linked = select(links.c.digest).where(links.c.repository_key == key).limit(_PART)
        digests = connection.execute(linked).scalars().all()
        note_key(connection, key)
        unlink_blobs(connection, key, links.c.digest.in_(digests))
    freed = [Item(Kind.IMAGE, 0, str(row.image_key)) for row in rows]
    freed += [Item(Kind.BLOB, 0, digest) for digest in digests]
    if freed:
        queue(connection, [*freed, item], now)


_REMOVALS: Mapping[Kind, Callable[[Connection, Item, float], None]] = {
    Kind.BLOB: _remove_blob,
    Kind.LINK: _remove_link,
    Kind.MANIFEST: _remove_manifest,
    Kind.IMAGE: _remove_image,
    Kind.IMAGE_LINK: _remove_image_link,
    Kind.REPOSITORY: _remove_repository,
}


# What is told


def _examine(
    connection: Connection, items: Sequence[Queued], policy: CollectionPolicy, now: float
) -> Sequence[Finding]:
    examination = Examination(connection, policy, now, most=_MOST_HOLDERS)
    return [finding for each in items if (finding := examination.of(each)) is not None]


def _behind(after: Item | None, limit: int) -> Select[Any]:
    query = select(_queue).order_by(_queue.c.kind, _queue.c.repository_key, _queue.c.subject).limit(limit)
    if after is None:
        return query
    return query.where(tuple_(after.kind.value, after.repository, after.subject) < _KEY)


def _queued(connection: Connection, after: Item | None, limit: int) -> Sequence[Queued]:
    return [_queued_of(row) for row in connection.execute(_behind(after, limit))]


def _backlog(connection: Connection, now: float) -> Backlog:
    def counted(query: Select[Any]) -> int:
        return int(
            connection.execute(select(func.count()).select_from(query.limit(MOST_COUNTED).subquery())).scalar_one()
        )

    due = _queue.c.due_at <= now
    # What nobody has looked at has no time yet.
    oldest = select(func.min(_queue.c.due_at)).where(due, _queue.c.due_at > 0)
    first = connection.execute(oldest).scalar()
    return Backlog(
        due=counted(select(_queue.c.due_at).where(due)),
        waiting=counted(select(_queue.c.due_at).where(_queue.c.due_at > now)),
        objects=counted(select(_objects.c.size)),
        oldest_seconds=0.0 if first is None else now - first,
    )


# Objects


def _removed_objects(connection: Connection, after: StoredBlob | None, limit: int) -> Sequence[StoredBlob]:
    query = select(_objects).order_by(_objects.c.digest, _objects.c.generation).limit(limit)
    if after is not None:
        query = query.where(
            tuple_(_objects.c.digest, _objects.c.generation) > tuple_(str(after.digest), after.generation)
        )
    return [StoredBlob(digest_of(row.digest), row.generation, row.size) for row in connection.execute(query)]


def _forget_objects(connection: Connection, removed: Sequence[StoredBlob]) -> None:
    this = (_objects.c.digest == bindparam("this_digest")) & (_objects.c.generation == bindparam("this_generation"))
    values = [{"this_digest": str(blob.digest), "this_generation": blob.generation} for blob in removed]
    if values:
        connection.execute(delete(_objects).where(this), values)


def _orphans(connection: Connection, found: Sequence[StoredBlob]) -> Sequence[StoredBlob]:
    digests = [str(blob.digest) for blob in found]
    query = select(blobs.c.digest, blobs.c.generation).where(blobs.c.digest.in_(digests))
    known = {(row.digest, row.generation) for row in connection.execute(query)}
    unknown = [blob for blob in found if (str(blob.digest), blob.generation) not in known]
    return [blob for blob in unknown if not is_recorded(connection, blob)]


def _note_sweep(connection: Connection, sweep: Sweep, rules: str | None = None) -> None:
    values = {"phase": sweep.phase, "after": sweep.after}
    connection.execute(update(_state), values if rules is None else {**values, "rules": rules})


def _move_sweep(connection: Connection, seen: Sweep, reached: Sweep, found: Sequence[Item]) -> tuple[Sweep, int]:
    row = connection.execute(select(_state).with_for_update()).one()
    now = Sweep(row.phase, row.after)
    if now != seen:
        # Another process has moved it on, or has begun again.
        return now, 0
    _note_sweep(connection, reached)
    return reached, collectionsweep.put(connection, found)
