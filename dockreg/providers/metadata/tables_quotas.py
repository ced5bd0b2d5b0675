"""The tables of quotas; :mod:`dockreg.providers.metadata.tables` says what holds for all tables."""

from sqlalchemy import BigInteger, Boolean, Column, Integer, PrimaryKeyConstraint, Table

from dockreg.providers.metadata.tables import TEXT, metadata

# ``quota``: NULL for what others may have. Who changes a row of ``namespace_blobs`` has locked that of its namespace.
namespace_usage = Table(
    "namespace_usage",
    metadata,
    Column("namespace", TEXT, primary_key=True),
    Column("used", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("quota", BigInteger),
)

# ``links``: of how many repositories of the namespace the blob is a part.
namespace_blobs = Table(
    "namespace_blobs",
    metadata,
    Column("namespace", TEXT, nullable=False),
    Column("digest", TEXT, nullable=False),
    Column("links", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    PrimaryKeyConstraint("namespace", "digest"),
)

# One row: whether blobs are counted.
quota_state = Table(
    "quota_state",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("counting", Boolean, nullable=False),
)
