"""Small blobs are kept in their rows."""

from alembic import op
from sqlalchemy import Column, LargeBinary

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what is in files stays there."""
    op.add_column("blobs", Column("content", LargeBinary))
