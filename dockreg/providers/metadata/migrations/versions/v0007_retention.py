"""Retention rules."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKeyConstraint,
    Integer,
    PrimaryKeyConstraint,
    String,
)

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TEXT = String().with_variant(String(collation="C"), "postgresql")
KEY = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Make the tables, and a column for when tags leave."""
    op.add_column("manifests", Column("untagged_at", Double))
    op.create_table(
        "tag_pulls",
        Column("repository_key", KEY, nullable=False),
        Column("name", TEXT, nullable=False),
        Column("pulled_at", Double, nullable=False),
        PrimaryKeyConstraint("repository_key", "name", name=op.f("pk_tag_pulls")),
        ForeignKeyConstraint(
            ["repository_key", "name"],
            ["tags.repository_key", "tags.name"],
            name=op.f("fk_tag_pulls_repository_key_name"),
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "manifest_pulls",
        Column("manifest_key", KEY, nullable=False, autoincrement=False),
        Column("pulled_at", Double, nullable=False),
        PrimaryKeyConstraint("manifest_key", name=op.f("pk_manifest_pulls")),
        ForeignKeyConstraint(
            ["manifest_key"],
            ["manifests.key"],
            name=op.f("fk_manifest_pulls_manifest_key"),
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "retention_state",
        Column("only", Integer, nullable=False, autoincrement=False),
        Column("since", Double, nullable=False),
        Column("last_run", Double, nullable=False),
        Column("after", TEXT, nullable=False),
        PrimaryKeyConstraint("only", name=op.f("pk_retention_state")),
    )
    op.create_table(
        "retention_gaps",
        Column("began_at", Double, nullable=False, autoincrement=False),
        Column("ended_at", Double, nullable=False),
        PrimaryKeyConstraint("began_at", name=op.f("pk_retention_gaps")),
    )
