"""Failed attempts to log in."""

from alembic import op
from sqlalchemy import Column, Double, Integer, LargeBinary, PrimaryKeyConstraint

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "login_attempts",
        Column("key", LargeBinary, nullable=False),
        Column("failures", Integer, nullable=False),
        Column("last_at", Double, nullable=False),
        Column("until", Double, nullable=False),
        Column("trusted_at", Double),
        Column("expires_at", Double, nullable=False),
        PrimaryKeyConstraint("key", name=op.f("pk_login_attempts")),
    )
    op.create_index(op.f("ix_login_attempts_expires_at"), "login_attempts", ["expires_at"])
