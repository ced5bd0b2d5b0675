"""What alembic runs to migrate: the steps, on the connection and in the transaction that it is given."""

from alembic import context
from sqlalchemy import Connection

from dockreg.providers.metadata import (
    tables_collection,  # noqa: F401  # whose tables are a part of it
    tables_people,  # noqa: F401
    tables_quotas,  # noqa: F401
    tables_retention,  # noqa: F401
)
from dockreg.providers.metadata.tables import metadata


def migrate() -> None:
    """Run the steps that are missing."""
    connection: Connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


migrate()
