"""Tarsums that nobody has computed yet."""

from alembic import op
from sqlalchemy import Boolean, Column, true

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Note whether those of an image and of a received layer are known. Of all that are there they are."""
    for table in ("v1_images", "v1_staged_layers"):
        op.add_column(table, Column("summed", Boolean, nullable=False, server_default=true()))
