"""The tables of upload sessions without rows; :mod:`dockreg.providers.metadata.tables` says what holds for all tables."""

from sqlalchemy import Column, Double, Integer, Table

from dockreg.providers.metadata.tables import TEXT, metadata

# Sessions that have ended, whose ids prove themselves: in the order of the times at which they would have ended anyway, so
# that a new one goes to the end of the table.
uploads_ended = Table("uploads_ended", metadata, Column("upload_id", TEXT, primary_key=True), sqlite_with_rowid=False)

# One row, or none: without a row no session lasts that would have ended before this.
uploads_horizon = Table(
    "uploads_horizon",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("ended_before", Double, nullable=False),
)
