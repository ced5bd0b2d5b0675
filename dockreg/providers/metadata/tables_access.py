"""
The tables of who may do what; :mod:`dockreg.providers.metadata.tables` says what holds for all tables.

A subject is the text of a :class:`.Subject`. Accounts are named, not referred to: they may be known elsewhere.
"""

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, PrimaryKeyConstraint, Table

from dockreg.providers.metadata.tables import TEXT, metadata

account_groups = Table(
    "account_groups",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("created_at", Double, nullable=False),
)

account_group_members = Table(
    "account_group_members",
    metadata,
    Column("group_name", TEXT, ForeignKey("account_groups.name", ondelete="CASCADE"), nullable=False),
    Column("account", TEXT, nullable=False),
    PrimaryKeyConstraint("group_name", "account"),
    Index(None, "account", "group_name"),
)

# ``private``: what new repositories are, NULL for what they are elsewhere.
namespaces = Table(
    "namespaces",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("private", Boolean),
    Column("created_at", Double, nullable=False),
)

namespace_members = Table(
    "namespace_members",
    metadata,
    Column("namespace", TEXT, ForeignKey("namespaces.name", ondelete="CASCADE"), nullable=False),
    Column("subject", TEXT, nullable=False),
    Column("role", TEXT, nullable=False),
    PrimaryKeyConstraint("namespace", "subject"),
    Index(None, "subject"),
)

# ``wild``: the pattern is not the name of one repository. ``actions`` are words with blanks between them.
grants = Table(
    "grants",
    metadata,
    Column("subject", TEXT, nullable=False),
    Column("pattern", TEXT, nullable=False),
    Column("wild", Boolean, nullable=False),
    Column("actions", TEXT, nullable=False),
    Column("created_at", Double, nullable=False),
    PrimaryKeyConstraint("subject", "pattern"),
    Index(None, "subject", "wild"),
)
