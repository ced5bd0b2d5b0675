"""Fewer pages to write for each blob: no index that nobody reads, and rows in the index that they are found by."""

from alembic import op
from sqlalchemy import BigInteger, Column, Double, ForeignKeyConstraint, Integer, PrimaryKeyConstraint, String, text

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TEXT = String().with_variant(String(collation="C"), "postgresql")
KEY = BigInteger().with_variant(Integer, "sqlite")
_DERIVED = "source_digest IS NOT NULL"


def upgrade() -> None:
    """Drop and narrow indexes of blobs, and make tables of SQLite without row numbers. Nothing else of them changes."""
    op.drop_index(op.f("ix_blobs_leased_until"), "blobs")
    op.drop_index(op.f("ix_blobs_source_digest"), "blobs")
    op.create_index(
        op.f("ix_blobs_source_digest"),
        "blobs",
        ["source_digest"],
        sqlite_where=text(_DERIVED),
        postgresql_where=text(_DERIVED),
    )
    if op.get_context().dialect.name == "sqlite":
        _repository_blobs()
        _collection_queue()


def _repository_blobs() -> None:
    op.drop_index(op.f("ix_repository_blobs_digest_repository_key"), "repository_blobs")
    op.rename_table("repository_blobs", "old_repository_blobs")
    op.create_table(
        "repository_blobs",
        Column("repository_key", KEY, nullable=False),
        Column("digest", TEXT, nullable=False),
        _refers("digest", "blobs.digest"),
        _refers("repository_key", "repositories.key"),
        PrimaryKeyConstraint("repository_key", "digest", name=op.f("pk_repository_blobs")),
        sqlite_with_rowid=False,
    )
    _move("repository_blobs", "repository_key, digest")
    op.create_index(op.f("ix_repository_blobs_digest_repository_key"), "repository_blobs", ["digest", "repository_key"])


def _refers(column: str, target: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint([column], [target], name=op.f(f"fk_repository_blobs_{column}"), ondelete="RESTRICT")


def _collection_queue() -> None:
    op.drop_index(op.f("ix_collection_queue_due_at"), "collection_queue")
    op.rename_table("collection_queue", "old_collection_queue")
    op.create_table(
        "collection_queue",
        Column("kind", TEXT, nullable=False),
        Column("repository_key", KEY, nullable=False),
        Column("subject", TEXT, nullable=False),
        Column("since", Double),
        Column("due_at", Double, nullable=False),
        PrimaryKeyConstraint("kind", "repository_key", "subject", name=op.f("pk_collection_queue")),
        sqlite_with_rowid=False,
    )
    _move("collection_queue", "kind, repository_key, subject, since, due_at")
    op.create_index(op.f("ix_collection_queue_due_at"), "collection_queue", ["due_at"])


def _move(table: str, columns: str) -> None:
    """Move all rows of a table from the one that it replaces, in the order of their key."""
    first = columns.rpartition(", since")[0] or columns
    op.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM old_{table} ORDER BY {first}")  # noqa: S608
    op.drop_table(f"old_{table}")
