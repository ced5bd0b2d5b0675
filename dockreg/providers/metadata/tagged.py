"""Tags that leave a manifest: it is noted when that was, for retention rules."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, delete, select, update

from dockreg.model.names import Tag
from dockreg.providers.metadata.collectionqueue import queue_untagged
from dockreg.providers.metadata.tables import manifests, tags


def drop_tag(connection: Connection, repository: int, tag: Tag, now: float) -> bool:
    """Remove a tag of a locked repository; whether there was one."""
    this = (tags.c.repository_key == repository) & (tags.c.name == tag.value)
    row = connection.execute(select(tags).where(this)).one_or_none()
    if row is None:
        return False
    connection.execute(delete(tags).where(this))
    leave(connection, (row.manifest_key, row.schema1_key), {}, now)
    queue_untagged(connection, row)
    return True


def leave(connection: Connection, was: Sequence[int | None], targets: Mapping[str, int | None], now: float) -> None:
    """A tag that pointed to the manifests ``was`` points to ``targets`` now."""
    left = [key for key in was if key is not None and key not in targets.values()]
    if left:
        connection.execute(update(manifests).where(manifests.c.key.in_(left)), {"untagged_at": now})
