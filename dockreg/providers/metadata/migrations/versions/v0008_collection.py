"""The queue of collection. What older versions stored comes into it by a reconciliation, which begins by itself."""

from alembic import op
from sqlalchemy import BigInteger, Column, Double, Integer, PrimaryKeyConstraint, String, text

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TEXT = String().with_variant(String(collation="C"), "postgresql")
KEY = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Make the tables, and the leases of manifests."""
    op.create_table(
        "collection_queue",
        Column("kind", TEXT, nullable=False),
        Column("repository_key", KEY, nullable=False),
        Column("subject", TEXT, nullable=False),
        Column("since", Double),
        Column("due_at", Double, nullable=False),
        PrimaryKeyConstraint("kind", "repository_key", "subject", name=op.f("pk_collection_queue")),
    )
    op.create_index(op.f("ix_collection_queue_due_at"), "collection_queue", ["due_at"])
    op.create_table(
        "collected_objects",
        Column("digest", TEXT, nullable=False),
        Column("generation", TEXT, nullable=False),
        Column("size", BigInteger, nullable=False),
        PrimaryKeyConstraint("digest", "generation", name=op.f("pk_collected_objects")),
    )
    state = op.create_table(
        "collection_state",
        Column("key", KEY, nullable=False, autoincrement=False),
        Column("holder", TEXT, nullable=False),
        Column("held_until", Double, nullable=False),
        Column("seen_at", Double),
        Column("resume_at", Double, nullable=False),
        Column("rules", TEXT, nullable=False),
        Column("phase", TEXT, nullable=False),
        Column("after", TEXT, nullable=False),
        PrimaryKeyConstraint("key", name=op.f("pk_collection_state")),
    )
    first = {
        "key": 1,
        "holder": "",
        "held_until": 0.0,
        "resume_at": 0.0,
        "rules": "",
        "phase": "repositories",
        "after": "",
    }
    op.bulk_insert(state, [first])
    op.add_column("manifests", Column("leased_until", Double, nullable=False, server_default=text("0")))
