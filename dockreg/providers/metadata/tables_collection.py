"""The tables of collection; :mod:`dockreg.providers.metadata.tables` says what holds for all tables."""

from sqlalchemy import BigInteger, Column, Double, Index, PrimaryKeyConstraint, Table

from dockreg.providers.metadata.tables import KEY, TEXT, metadata

# What may be garbage: an item as :class:`.Item` has it. Whatever ends a use of something puts it here, in the same
# transaction, with ``since`` NULL and ``due_at`` 0: nobody has looked at it. What was only just pushed is due when its
# lease ends. No foreign keys: an item may outlive what it is about, and keys are never used again.
collection_queue = Table(
    "collection_queue",
    metadata,
    Column("kind", TEXT, nullable=False),
    Column("repository_key", KEY, nullable=False),
    Column("subject", TEXT, nullable=False),
    Column("since", Double),
    Column("due_at", Double, nullable=False),
    PrimaryKeyConstraint("kind", "repository_key", "subject"),
    Index(None, "due_at"),
    sqlite_with_rowid=False,
)

# Objects whose rows are gone, and that are to be removed from the blob store.
collected_objects = Table(
    "collected_objects",
    metadata,
    Column("digest", TEXT, nullable=False),
    Column("generation", TEXT, nullable=False),
    Column("size", BigInteger, nullable=False),
    PrimaryKeyConstraint("digest", "generation"),
)

# One row. ``holder`` is the process that collects until ``held_until``, ``seen_at`` when one last looked at the clock,
# ``resume_at`` until when nothing is removed, ``rules`` the rules that the queue was filled by, ``phase`` and ``after``
# how far reconciliation is.
collection_state = Table(
    "collection_state",
    metadata,
    Column("key", KEY, primary_key=True, autoincrement=False),
    Column("holder", TEXT, nullable=False),
    Column("held_until", Double, nullable=False),
    Column("seen_at", Double),
    Column("resume_at", Double, nullable=False),
    Column("rules", TEXT, nullable=False),
    Column("phase", TEXT, nullable=False),
    Column("after", TEXT, nullable=False),
)

#: The row of :data:`collection_state` in a new database: nobody collects, and reconciliation begins.
FIRST_STATE = {
    "key": 1,
    "holder": "",
    "held_until": 0.0,
    "resume_at": 0.0,
    "rules": "",
    "phase": "repositories",
    "after": "",
}
