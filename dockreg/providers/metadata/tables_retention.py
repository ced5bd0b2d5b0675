"""
The tables of retention rules; :mod:`dockreg.providers.metadata.tables` says what holds for all tables.

When things were pulled is kept apart from the things, so that to note it holds up nobody who pushes.
"""

from sqlalchemy import Column, Double, ForeignKey, ForeignKeyConstraint, Integer, PrimaryKeyConstraint, Table

from dockreg.providers.metadata.tables import KEY, TEXT, metadata

tag_pulls = Table(
    "tag_pulls",
    metadata,
    Column("repository_key", KEY, nullable=False),
    Column("name", TEXT, nullable=False),
    Column("pulled_at", Double, nullable=False),
    PrimaryKeyConstraint("repository_key", "name"),
    ForeignKeyConstraint(["repository_key", "name"], ["tags.repository_key", "tags.name"], ondelete="CASCADE"),
)

manifest_pulls = Table(
    "manifest_pulls",
    metadata,
    Column("manifest_key", KEY, ForeignKey("manifests.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("pulled_at", Double, nullable=False),
)

# One row. ``last_run``: when the registry was last seen to be there; ``after``: behind which name the last run stopped.
retention_state = Table(
    "retention_state",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("since", Double, nullable=False),
    Column("last_run", Double, nullable=False),
    Column("after", TEXT, nullable=False),
)

# Times that were not seen pass.
retention_gaps = Table(
    "retention_gaps",
    metadata,
    Column("began_at", Double, primary_key=True, autoincrement=False),
    Column("ended_at", Double, nullable=False),
)
