"""What is known to be wrong with objects."""

from alembic import op
from sqlalchemy import Column, Double, String, text

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TEXT = String().with_variant(String(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns."""
    op.add_column("blobs", Column("condition", TEXT))
    op.add_column("blobs", Column("condition_at", Double))
    lost = text("condition IS NOT NULL")
    op.create_index("ix_blobs_lost", "blobs", ["digest"], sqlite_where=lost, postgresql_where=lost)
