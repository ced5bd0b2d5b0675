"""
What puts items into the queue of collection: every change that ends a use of something, in its own transaction.

To be called last in a transaction: PostgreSQL holds a row of the queue from here to its end.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Select, text

from dockreg.model.collection import Item, Kind
from dockreg.providers.metadata.rows import AnyRow

# The same for SQLite and PostgreSQL. Who loses a use again begins a grace time again.
_PUT = text(
    "INSERT INTO collection_queue (kind, repository_key, subject, since, due_at)"
    " VALUES (:kind, :repository, :subject, NULL, :due_at)"
    " ON CONFLICT (kind, repository_key, subject) DO UPDATE SET since = NULL, due_at = excluded.due_at"
)


def queue(connection: Connection, items: Iterable[Item], due_at: float = 0.0) -> None:
    """
    Have items reviewed.

    :param due_at: 0 begins a grace time when the collector sees them; later than that for what has a lease until then.
    """
    # Sorted, so that two transactions that queue the same items do not wait for each other.
    rows = [
        {"kind": item.kind.value, "repository": item.repository, "subject": item.subject, "due_at": due_at}
        for item in sorted(set(items))
    ]
    if rows:
        connection.execute(_PUT, rows)


def queue_blobs(connection: Connection, digests: Collection[str], due_at: float = 0.0) -> None:
    """Have blobs reviewed."""
    queue(connection, [Item(Kind.BLOB, 0, digest) for digest in digests], due_at)


def queue_link(connection: Connection, repository: int, digest: str, due_at: float) -> None:
    """Have it reviewed whether a repository needs a blob. In fewer steps than others: each push of one takes these."""
    values = {"kind": Kind.LINK.value, "repository": repository, "subject": digest, "due_at": due_at}
    connection.execute(_PUT, values)


def queue_keys(connection: Connection, kind: Kind, repository: int, keys: Iterable[int | None]) -> None:
    """Have manifests or images reviewed; None among them is nothing."""
    queue(connection, [Item(kind, repository, str(key)) for key in keys if key is not None])


def untagged_by(tags: Iterable[AnyRow]) -> Sequence[Item]:
    """What tags pointed to, which were moved or removed."""
    pointed = [
        (kind, tag.repository_key, key)
        for tag in tags
        for kind, key in (
            (Kind.MANIFEST, tag.manifest_key),
            (Kind.MANIFEST, tag.schema1_key),
            (Kind.IMAGE_LINK, tag.image_key),
        )
    ]
    return [Item(kind, repository, str(key)) for kind, repository, key in pointed if key is not None]


def queue_untagged(connection: Connection, tag: AnyRow) -> None:
    """Have reviewed what a tag pointed to, which was moved or removed."""
    queue(connection, untagged_by([tag]))


def column_of(connection: Connection, query: Select[Any]) -> Sequence[str]:
    """The texts that a query finds."""
    return connection.execute(query).scalars().all()
