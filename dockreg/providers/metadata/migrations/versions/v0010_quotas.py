"""Quotas of namespaces."""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Integer, PrimaryKeyConstraint, String, text

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TEXT = String().with_variant(String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables, and a column for what uploads have reserved."""
    op.add_column("uploads", Column("reserved", BigInteger, nullable=False, server_default=text("0")))
    op.create_table(
        "namespace_usage",
        Column("namespace", TEXT, nullable=False),
        Column("used", BigInteger, nullable=False),
        Column("reserved", BigInteger, nullable=False),
        Column("quota", BigInteger),
        PrimaryKeyConstraint("namespace", name=op.f("pk_namespace_usage")),
    )
    op.create_table(
        "namespace_blobs",
        Column("namespace", TEXT, nullable=False),
        Column("digest", TEXT, nullable=False),
        Column("links", BigInteger, nullable=False),
        Column("size", BigInteger, nullable=False),
        PrimaryKeyConstraint("namespace", "digest", name=op.f("pk_namespace_blobs")),
    )
    op.create_table(
        "quota_state",
        Column("only", Integer, nullable=False, autoincrement=False),
        Column("counting", Boolean, nullable=False),
        PrimaryKeyConstraint("only", name=op.f("pk_quota_state")),
    )
