"""How far the scrub is."""

from alembic import op
from sqlalchemy import Column, Double, Integer, PrimaryKeyConstraint, String

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TEXT = String().with_variant(String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table, and its row."""
    scrubs = op.create_table(
        "scrubs",
        Column("key", Integer, nullable=False, autoincrement=False),
        Column("position", TEXT, nullable=False),
        Column("begun_at", Double),
        Column("finished_at", Double, nullable=False),
        Column("holder", TEXT, nullable=False),
        Column("held_until", Double, nullable=False),
        PrimaryKeyConstraint("key", name=op.f("pk_scrubs")),
    )
    op.bulk_insert(scrubs, [{"key": 1, "position": "", "finished_at": 0.0, "holder": "", "held_until": 0.0}])
