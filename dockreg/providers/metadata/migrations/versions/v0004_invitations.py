"""Invitations."""

from alembic import op
from sqlalchemy import Column, Double, LargeBinary, PrimaryKeyConstraint, String, UniqueConstraint

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TEXT = String().with_variant(String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "invitations",
        Column("invitation_id", TEXT, nullable=False),
        Column("digest", LargeBinary, nullable=False),
        Column("name", TEXT),
        Column("email", TEXT, nullable=False),
        Column("created_at", Double, nullable=False),
        Column("expires_at", Double, nullable=False),
        Column("used_by", TEXT),
        PrimaryKeyConstraint("invitation_id", name=op.f("pk_invitations")),
        UniqueConstraint("digest", name=op.f("uq_invitations_digest")),
    )
