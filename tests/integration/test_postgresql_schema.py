"""The schema on a real PostgreSQL server."""

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine
from twisted.trial.unittest import SynchronousTestCase

from dockreg.providers.metadata import schema
from dockreg.providers.metadata.tables import metadata
from tests.integration.postgresql import new_database
from tests.schemas import parts_of
from tests.upgrades import SCHEMAS, UpgradeCase


class PostgreSQLSchemaTests(SynchronousTestCase):
    """A database is the same whichever way it was made."""

    def connected(self) -> Connection:
        engine = create_engine(new_database())
        self.addCleanup(engine.dispose)
        connection = engine.connect()
        self.addCleanup(connection.close)
        return connection

    def test_made(self) -> None:
        """One that is made from the tables is what the migrations make, and Alembic finds no difference either."""
        made, migrated = self.connected(), self.connected()
        schema.make(made)
        schema.migrate(migrated, None)
        self.maxDiff = None
        parts = parts_of(made)
        self.assertEqual(parts_of(migrated), parts)
        self.assertEqual((True, "", "C", None), parts["column repositories name"][1:])
        self.assertEqual([], compare_metadata(MigrationContext.configure(migrated), metadata))

    def test_old(self) -> None:
        """One that an older program made is brought up to date."""
        current, old = self.connected(), self.connected()
        schema.make(current)
        command.upgrade(schema.alembic_config(old), "0001")
        schema.bring_up_to_date(old)
        self.assertEqual(parts_of(current), parts_of(old))


class PostgreSQLUpgradeTests(UpgradeCase):
    """Databases of PostgreSQL that older programs have left, with something in each table."""

    def new_url(self) -> str:
        return new_database()

    async def test_upgraded(self) -> None:
        """All that was there is there after the upgrade, whatever the schema was, and the registry goes on with it."""
        rows = await self.filled()
        for version in SCHEMAS:
            await self.check(version, rows)
