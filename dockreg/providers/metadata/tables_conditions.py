"""The table of the scrub; see :mod:`dockreg.providers.metadata.tables`."""

from sqlalchemy import Column, Double, Integer, Table

from dockreg.providers.metadata.tables import TEXT, metadata

# One row. ``position``: the digest of the last object that was looked at; ``begun_at`` is NULL while none is under way.
scrubs = Table(
    "scrubs",
    metadata,
    Column("key", Integer, primary_key=True, autoincrement=False),
    Column("position", TEXT, nullable=False),
    Column("begun_at", Double),
    Column("finished_at", Double, nullable=False),
    Column("holder", TEXT, nullable=False),
    Column("held_until", Double, nullable=False),
)

#: The row of :data:`scrubs` in a new database.
FIRST_SCRUB = {"key": 1, "position": "", "finished_at": 0.0, "holder": "", "held_until": 0.0}
