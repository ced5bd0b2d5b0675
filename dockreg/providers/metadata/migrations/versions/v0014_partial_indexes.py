"""Only rows that have what an index is for are in it."""

from alembic import op
from sqlalchemy import text

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

#: Table, the columns of the index, and the one that is nearly always NULL.
_INDEXES = (
    ("manifests", ["repository_key", "subject", "digest"], "subject"),
    ("manifests", ["view_of"], "view_of"),
    ("tags", ["schema1_key"], "schema1_key"),
    ("tags", ["image_key"], "image_key"),
)


def upgrade() -> None:
    """Make them again, smaller."""
    for table, columns, column in _INDEXES:
        name, here = op.f(f"ix_{table}_{'_'.join(columns)}"), text(f"{column} IS NOT NULL")
        op.drop_index(name, table_name=table)
        op.create_index(name, table, columns, sqlite_where=here, postgresql_where=here)
