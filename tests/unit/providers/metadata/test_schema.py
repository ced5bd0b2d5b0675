import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import IntegrityError
from twisted.trial.unittest import SynchronousTestCase

from dockreg.providers.metadata import schema
from dockreg.providers.metadata.tables import SCHEMA, metadata
from tests.schemas import parts_of


class SchemaCase(SynchronousTestCase):
    """Tests on databases of their own."""

    def connected(self, name: str) -> Connection:
        """A connection to a new database, in a transaction that ends with the test."""
        engine = create_engine(f"sqlite:///{self.path(name)}")
        self.addCleanup(engine.dispose)
        connection = engine.connect()
        self.addCleanup(connection.close)
        return connection

    def path(self, name: str) -> Path:
        folder = Path(self.mktemp())
        folder.mkdir()
        return folder / name


class MadeTests(SchemaCase):
    """A new database, which is made from the tables at once."""

    def test_equal(self) -> None:
        """It is what the migrations make: tables, columns, constraints, indexes, first rows and version."""
        made, migrated = self.connected("made"), self.connected("migrated")
        schema.make(made)
        schema.migrate(migrated, None)
        self.maxDiff = None
        self.assertEqual(parts_of(migrated), parts_of(made))

    def test_parts(self) -> None:
        """What is compared is all that there is, down to the words of a constraint and of an index."""
        made = self.connected("made")
        schema.make(made)
        parts = parts_of(made)
        self.assertEqual([{"version_num": SCHEMA}], parts["rows of alembic_version"])
        self.assertEqual({f"table {name}" for name in (*metadata.tables, "alembic_version")}, tables_in(parts))
        self.assertIn(
            "CONSTRAINT ck_blobs_has_bytes CHECK (generation IS NOT NULL OR source_digest IS NOT NULL)",
            parts["table blobs"],
        )
        self.assertIn("WHERE condition IS NOT NULL", str(parts["index ix_blobs_lost"]))

    def test_migrated(self) -> None:
        """Alembic finds no difference between the tables and what the migrations make."""
        migrated = self.connected("migrated")
        schema.migrate(migrated, None)
        self.assertEqual([], compare_metadata(MigrationContext.configure(migrated), metadata))

    def test_light(self) -> None:
        """Neither making a database nor opening one imports Alembic."""
        program = (
            "import sys\n"
            "from dockreg.providers.metadata.schema import prepare\n"
            "from dockreg.providers.metadata.transactions import make_engine\n"
            "for _ in range(2):\n"
            "    prepare(make_engine('sqlite:///' + sys.argv[1], is_sqlite=True))\n"
            "print('alembic' in sys.modules)\n"
        )
        path = self.path("made")
        done = subprocess.run([sys.executable, "-c", program, path], check=True, capture_output=True, text=True)
        self.assertEqual("False", done.stdout.strip())
        database = sqlite3.connect(path)
        self.addCleanup(database.close)
        self.assertEqual([(SCHEMA,)], database.execute("SELECT version_num FROM alembic_version").fetchall())


class OldTests(SchemaCase):
    """A database of an older program."""

    def test_migrated(self) -> None:
        """Each is brought up to date by the steps that it lacks, whatever its schema was; what it holds stays."""
        current = self.connected("current")
        schema.make(current)
        last = int(SCHEMA)
        for number in range(1, last):
            old = self.connected(f"old{number}")
            command.upgrade(schema.alembic_config(old), f"{number:04}")
            old.exec_driver_sql(
                "INSERT INTO repositories (name, owner, private, description, created_at) VALUES ('kept', '', FALSE, '', 2.0)"
            )
            schema.bring_up_to_date(old)
            parts = parts_of(old)
            (kept,) = parts.pop("rows of repositories")
            self.assertEqual(("kept", 2.0), (kept["name"], kept["created_at"]))
            # The number of what lasts is any one, once a repository was made.
            changed: dict[str, Any] = {"rows of repositories": [], "rows of lasting_version": []}
            self.assertEqual({**parts_of(current), **changed}, {**parts, **changed})

    def test_rows_move(self) -> None:
        """What is made anew on the way to fewer pages has the rows that it had, and what they refer to is held as before."""
        old = self.connected("old")
        old.exec_driver_sql("PRAGMA foreign_keys=ON")
        command.upgrade(schema.alembic_config(old), "0012")
        for statement in (
            "INSERT INTO repositories (key, name, owner, private, description, created_at) VALUES (7, 'a', '', FALSE, '', 2.0)",
            "INSERT INTO blobs (digest, generation, size, leased_until) VALUES ('b', 'g', 1, 2.0), ('c', 'g', 1, 2.0)",
            "INSERT INTO repository_blobs (repository_key, digest) VALUES (7, 'c'), (7, 'b')",
            "INSERT INTO collection_queue (kind, repository_key, subject, since, due_at) VALUES ('k', 7, 's', 1.5, 2.5)",
        ):
            old.exec_driver_sql(statement)
        schema.bring_up_to_date(old)
        self.assertEqual(
            ([(7, "b"), (7, "c")], [("k", 7, "s", 1.5, 2.5)]),
            tuple(
                old.exec_driver_sql(f"SELECT * FROM {name}").all() for name in ("repository_blobs", "collection_queue")
            ),
        )
        self.assertRaises(IntegrityError, old.exec_driver_sql, "DELETE FROM blobs WHERE digest = 'b'")
        self.assertRaises(IntegrityError, old.exec_driver_sql, "DELETE FROM repositories")


def tables_in(parts: dict[str, object]) -> set[str]:
    return {name for name in parts if name.startswith("table ")}
