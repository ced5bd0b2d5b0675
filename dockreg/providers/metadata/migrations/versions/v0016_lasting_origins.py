"""Which v1 images manifests are lasts, too."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_RENEW = "UPDATE lasting_version SET version = random()"
_CHANGES = {
    "manifest_v1_images": ("INSERT", "UPDATE", "DELETE"),
    "manifests": ("UPDATE OF key, repository_key, config_digest",),
    "v1_images": ("UPDATE",),
}


def upgrade() -> None:
    """Make what changes the number; PostgreSQL needs no such thing."""
    if op.get_bind().dialect.name != "sqlite":
        return
    for table, changes in _CHANGES.items():
        for change in changes:
            name = f"lasting_{table}_{change.partition(' ')[0].lower()}"
            op.execute(f"CREATE TRIGGER {name} AFTER {change} ON {table} BEGIN {_RENEW}; END")
