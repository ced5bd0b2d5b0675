"""A number that changes when something changes that lasts."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_RENEW = "UPDATE lasting_version SET version = random()"
_ANY = ("INSERT", "UPDATE", "DELETE")
_CHANGES = {
    "accounts": _ANY,
    "account_group_members": _ANY,
    "namespaces": _ANY,
    "namespace_members": _ANY,
    "grants": _ANY,
    "repositories": _ANY,
    "signing_keys": _ANY,
    "quota_state": _ANY,
    "uploads_horizon": _ANY,
    "repository_blobs": ("UPDATE", "DELETE"),
    "blobs": (
        "UPDATE OF digest, generation, size, compression, diff_id, uncompressed_size, entries, source_digest, condition",
    ),
}


def upgrade() -> None:
    """Make the table, its row, and what changes it; PostgreSQL needs no such thing."""
    made = op.create_table(
        "lasting_version",
        Column("only", Integer, nullable=False, autoincrement=False),
        Column("version", BigInteger, nullable=False),
        PrimaryKeyConstraint("only", name=op.f("pk_lasting_version")),
    )
    op.bulk_insert(made, [{"only": 1, "version": 0}])
    if op.get_bind().dialect.name != "sqlite":
        return
    for table, changes in _CHANGES.items():
        for change in changes:
            name = f"lasting_{table}_{change.partition(' ')[0].lower()}"
            op.execute(f"CREATE TRIGGER {name} AFTER {change} ON {table} BEGIN {_RENEW}; END")
