"""Manifests last, too, until they are deleted."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_RENEW = "UPDATE lasting_version SET version = random()"
_CHANGES = (
    "UPDATE OF key, repository_key, digest, media_type, content, config_digest, derived, v1_view",
    "DELETE",
)


def upgrade() -> None:
    """Make what changes the number anew; PostgreSQL needs no such thing."""
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute("DROP TRIGGER lasting_manifests_update")
    for change in _CHANGES:
        name = f"lasting_manifests_{change.partition(' ')[0].lower()}"
        op.execute(f"CREATE TRIGGER {name} AFTER {change} ON manifests BEGIN {_RENEW}; END")
