"""Upload sessions without a row."""

from alembic import op
from sqlalchemy import Column, Double, Integer, PrimaryKeyConstraint, String

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TEXT = String().with_variant(String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables of those that have ended."""
    op.create_table(
        "uploads_ended",
        Column("upload_id", TEXT, nullable=False),
        PrimaryKeyConstraint("upload_id", name=op.f("pk_uploads_ended")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "uploads_horizon",
        Column("only", Integer, nullable=False, autoincrement=False),
        Column("ended_before", Double, nullable=False),
        PrimaryKeyConstraint("only", name=op.f("pk_uploads_horizon")),
    )
