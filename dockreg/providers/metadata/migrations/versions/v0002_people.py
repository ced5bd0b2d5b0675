"""Robots, accounts that were deleted, and access tokens."""

from alembic import op
from sqlalchemy import Column, Double, ForeignKeyConstraint, LargeBinary, PrimaryKeyConstraint, String

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = String().with_variant(String(collation="C"), "postgresql")


def upgrade() -> None:
    """Add to the accounts, and make the table of tokens."""
    op.add_column("accounts", Column("owner", TEXT))
    op.add_column("accounts", Column("deleted_at", Double))
    op.add_column("accounts", Column("renewed_at", Double))
    op.create_index(op.f("ix_accounts_owner"), "accounts", ["owner"])
    op.create_table(
        "access_tokens",
        Column("token_id", TEXT, nullable=False),
        Column("account", TEXT, nullable=False),
        Column("digest", LargeBinary, nullable=False),
        Column("description", TEXT, nullable=False),
        Column("scopes", TEXT, nullable=False),
        Column("created_at", Double, nullable=False),
        Column("expires_at", Double),
        Column("used_at", Double),
        PrimaryKeyConstraint("token_id", name=op.f("pk_access_tokens")),
        ForeignKeyConstraint(["account"], ["accounts.name"], name=op.f("fk_access_tokens_account"), ondelete="CASCADE"),
    )
    op.create_index(op.f("ix_access_tokens_account"), "access_tokens", ["account"])
