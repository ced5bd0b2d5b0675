"""Which manifests without a tag are in use: by an index that lists them, a manifest that they are the subject of, …"""

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import define, field
from sqlalchemy import Connection, Select, func, or_, select

from dockreg.model.collection import Kind
from dockreg.providers.metadata.rows import AnyRow
from dockreg.providers.metadata.tables import manifest_children, manifests, tags
from dockreg.providers.metadata.tables_collection import collection_queue

#: SQLite takes 900 parameters in one statement and more.
_BATCH = 400
#: What is related to more manifests than that stays.
_MOST = 5000
_root = func.coalesce(manifests.c.view_of, manifests.c.key)


@define
class Relations:
    """
    Manifests of one repository, and those that stay together.

    A manifest stays for an index that lists it, for its subject and for those whose subject it is. So it goes only when
    no tag and no lease is found on the way along these relations, and all that is there has been without one for long
    enough.
    """

    connection: Connection
    repository: int
    expire_seconds: float
    now: float
    _until: float | None = field(default=None, init=False)
    _reason: str | None = field(default=None, init=False)

    def reason(self, doomed: Sequence[int], asked: int) -> tuple[str | None, float | None]:
        """
        Why manifests stay, and until when if that ends by itself; nothing when they may go.

        :param doomed: the keys of those that would go together.
        :param asked: the one whose own time the caller knows.
        """
        seen, frontier = set(doomed), set(doomed)
        while frontier:
            rows = [*self._family(frontier)]
            tag = self._tag([row.key for row in rows])
            if tag is not None:
                return (f"tag {tag} needs it" if asked not in frontier else f"it has the tag {tag}"), None
            for row in rows:
                self._wait(row.leased_until, "it has a lease, or what it belongs to")
            for since in self._waiting(frontier - {asked}):
                waits = self.now if since is None else since
                self._wait(waits + self.expire_seconds, "what it belongs to has not been without a tag for long enough")
            frontier = self._related(rows) - seen
            seen |= frontier
            if len(seen) > _MOST:
                return "it is related to too many manifests", None
        return self._reason, self._until

    def _wait(self, until: float, reason: str) -> None:
        if until > max(self.now, self._until or 0.0):
            self._until, self._reason = until, reason

    def _family(self, keys: set[int]) -> Iterator[AnyRow]:
        columns = (manifests.c.key, manifests.c.digest, manifests.c.subject, manifests.c.leased_until)
        for some in _batches(keys):
            yield from self._all(select(*columns).where(or_(manifests.c.key.in_(some), manifests.c.view_of.in_(some))))

    def _tag(self, keys: Sequence[int]) -> str | None:
        for some in _batches(keys):
            pointing = or_(tags.c.manifest_key.in_(some), tags.c.schema1_key.in_(some))
            found: str | None = self.connection.execute(select(tags.c.name).where(pointing).limit(1)).scalar()
            if found is not None:
                return found
        return None

    def _waiting(self, keys: set[int]) -> Iterator[float | None]:
        """Since when others are without a tag, as far as they are in the queue; None for those nobody has looked at."""
        queue = collection_queue
        for some in _batches(keys):
            query = select(queue.c.since).where(
                queue.c.kind == Kind.MANIFEST.value,
                queue.c.repository_key == self.repository,
                queue.c.subject.in_([str(key) for key in some]),
            )
            yield from self.connection.execute(query).scalars()

    def _related(self, rows: Sequence[AnyRow]) -> set[int]:
        digests = {row.digest for row in rows}
        subjects = {row.subject for row in rows if row.subject is not None}
        here = select(_root).where(manifests.c.repository_key == self.repository)
        listing = here.join(manifest_children, manifest_children.c.manifest_key == manifests.c.key)
        found: set[int] = set()
        for some in _batches(digests):
            found |= self._found(listing.where(manifest_children.c.digest.in_(some)))
            found |= self._found(here.where(manifests.c.subject.in_(some)))
        for some in _batches(subjects):
            found |= self._found(here.where(manifests.c.digest.in_(some)))
        return found

    def _found(self, query: Select[Any]) -> set[int]:
        return set(self.connection.execute(query.limit(_MOST + 1)).scalars())

    def _all(self, query: Select[Any]) -> Sequence[AnyRow]:
        return self.connection.execute(query).all()


def _batches(keys: Any) -> Iterator[Sequence[Any]]:
    ordered = sorted(keys)
    for first in range(0, len(ordered), _BATCH):
        yield ordered[first : first + _BATCH]
