"""When things were pulled, and the time that the registry has seen pass."""

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import Connection, bindparam, delete, func, insert, literal, select, update

from dockreg.model.names import Tag
from dockreg.model.retention import Gap, Pull, SeenTime
from dockreg.model.v1 import ImageID
from dockreg.providers.metadata.tables import manifests, repositories, repository_v1_images, tags
from dockreg.providers.metadata.tables_retention import manifest_pulls, retention_gaps, retention_state, tag_pulls

#: Gaps that are remembered, the latest; each is longer than three runs.
_MOST_GAPS = 1000

_IN_REPOSITORY = (repositories.c.name == bindparam("wanted_name")) & repositories.c.deleted_at.is_(None)
_TAG = (
    select(tags.c.repository_key, tags.c.name)
    .join(repositories, repositories.c.key == tags.c.repository_key)
    .where(_IN_REPOSITORY, tags.c.name == bindparam("wanted"))
    .with_for_update(read=True, key_share=True, of=tags)
)
_TAGS_OF_IMAGE = (
    select(tags.c.repository_key, tags.c.name)
    .select_from(
        repositories.join(repository_v1_images, repository_v1_images.c.repository_key == repositories.c.key).join(
            tags,
            (tags.c.image_key == repository_v1_images.c.image_key) & (tags.c.repository_key == repositories.c.key),
        )
    )
    .where(_IN_REPOSITORY, repository_v1_images.c.image_id == bindparam("wanted"))
    .with_for_update(read=True, key_share=True, of=tags)
)
# Another form of an image lives with the one that was pushed.
_MANIFEST = (
    select(func.coalesce(manifests.c.view_of, manifests.c.key).label("manifest_key"))
    .join(repositories, repositories.c.key == manifests.c.repository_key)
    .where(_IN_REPOSITORY, manifests.c.digest == bindparam("wanted"))
    .with_for_update(read=True, key_share=True, of=manifests)
)
_state = retention_state


def record(connection: Connection, pulls: Collection[Pull]) -> None:
    """See ``IRetentionStore.record_pulls``."""
    # In one order, so that two who note pulls of the same things do not wait for each other.
    for pull in sorted(pulls, key=lambda each: (each.repository, str(each.reference))):
        values = {"wanted_name": pull.repository.value, "wanted": str(pull.reference)}
        if isinstance(pull.reference, Tag | ImageID):
            query = _TAG if isinstance(pull.reference, Tag) else _TAGS_OF_IMAGE
            for row in connection.execute(query, values).all():
                _note_tag(connection, row.repository_key, row.name, pull.at)
        else:
            for row in connection.execute(_MANIFEST, values).all():
                _note_manifest(connection, row.manifest_key, pull.at)


def _note_tag(connection: Connection, repository: int, name: str, at: float) -> None:
    this = (tag_pulls.c.repository_key == repository) & (tag_pulls.c.name == name)
    if connection.execute(update(tag_pulls).where(this), {"pulled_at": at}).rowcount == 0:
        connection.execute(insert(tag_pulls), {"repository_key": repository, "name": name, "pulled_at": at})


def _note_manifest(connection: Connection, key: int, at: float) -> None:
    this = manifest_pulls.c.manifest_key == key
    if connection.execute(update(manifest_pulls).where(this), {"pulled_at": at}).rowcount == 0:
        connection.execute(insert(manifest_pulls), {"manifest_key": key, "pulled_at": at})


def look_at_clock(connection: Connection, now: float) -> SeenTime:
    """See ``IRetentionStore.look_at_clock``."""
    row = connection.execute(select(_state)).one_or_none()
    if row is None:
        return SeenTime(now, now)
    # A time in which nobody looked was not seen, for all that is known here.
    return SeenTime(now, row.since, [*_gaps(connection), *_unseen(row.last_run, now)])


def begin_run(connection: Connection, now: float, every: float) -> tuple[SeenTime, str] | None:
    """See ``IRetentionStore.begin_run``."""
    row = connection.execute(select(_state).with_for_update()).one_or_none()
    if row is None:
        connection.execute(insert(_state), {"only": 1, "since": now, "last_run": now, "after": ""})
        return SeenTime(now, now), ""
    if 0 <= now - row.last_run < every / 2:
        return None
    if now < row.last_run:
        # It had jumped ahead, or jumps back now: what lies ahead did not happen.
        connection.execute(delete(retention_gaps).where(retention_gaps.c.ended_at > now))
    elif now - row.last_run > 3 * every:
        connection.execute(insert(retention_gaps), {"began_at": row.last_run, "ended_at": now})
        _forget(connection)
    connection.execute(update(_state), {"last_run": now, "since": min(row.since, now)})
    return SeenTime(now, min(row.since, now), [*_gaps(connection)]), row.after


def end_run(connection: Connection, after: str) -> None:
    """See ``IRetentionStore.end_run``."""
    connection.execute(update(_state), {"after": after})


def _unseen(last_run: float, now: float) -> Sequence[Gap]:
    return [Gap(last_run, now)] if now > last_run else []


def _gaps(connection: Connection) -> Iterator[Gap]:
    for row in connection.execute(select(retention_gaps)):
        yield Gap(row.began_at, row.ended_at)


def _forget(connection: Connection) -> None:
    began = retention_gaps.c.began_at
    oldest = select(began).order_by(began.desc()).offset(_MOST_GAPS).limit(literal(1))
    first = connection.execute(oldest).scalar_one_or_none()
    if first is not None:
        connection.execute(delete(retention_gaps).where(began <= first))
