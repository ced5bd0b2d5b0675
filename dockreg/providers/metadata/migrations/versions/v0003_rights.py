"""Groups, namespaces and grants."""

from alembic import op
from sqlalchemy import Boolean, Column, Double, ForeignKeyConstraint, PrimaryKeyConstraint, String

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXT = String().with_variant(String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "account_groups",
        Column("name", TEXT, nullable=False),
        Column("created_at", Double, nullable=False),
        PrimaryKeyConstraint("name", name=op.f("pk_account_groups")),
    )
    op.create_table(
        "account_group_members",
        Column("group_name", TEXT, nullable=False),
        Column("account", TEXT, nullable=False),
        ForeignKeyConstraint(
            ["group_name"],
            ["account_groups.name"],
            name=op.f("fk_account_group_members_group_name"),
            ondelete="CASCADE",
        ),
        PrimaryKeyConstraint("group_name", "account", name=op.f("pk_account_group_members")),
    )
    op.create_index(
        op.f("ix_account_group_members_account_group_name"), "account_group_members", ["account", "group_name"]
    )
    op.create_table(
        "namespaces",
        Column("name", TEXT, nullable=False),
        Column("private", Boolean),
        Column("created_at", Double, nullable=False),
        PrimaryKeyConstraint("name", name=op.f("pk_namespaces")),
    )
    op.create_table(
        "namespace_members",
        Column("namespace", TEXT, nullable=False),
        Column("subject", TEXT, nullable=False),
        Column("role", TEXT, nullable=False),
        ForeignKeyConstraint(
            ["namespace"], ["namespaces.name"], name=op.f("fk_namespace_members_namespace"), ondelete="CASCADE"
        ),
        PrimaryKeyConstraint("namespace", "subject", name=op.f("pk_namespace_members")),
    )
    op.create_index(op.f("ix_namespace_members_subject"), "namespace_members", ["subject"])
    op.create_table(
        "grants",
        Column("subject", TEXT, nullable=False),
        Column("pattern", TEXT, nullable=False),
        Column("wild", Boolean, nullable=False),
        Column("actions", TEXT, nullable=False),
        Column("created_at", Double, nullable=False),
        PrimaryKeyConstraint("subject", "pattern", name=op.f("pk_grants")),
    )
    op.create_index(op.f("ix_grants_subject_wild"), "grants", ["subject", "wild"])
