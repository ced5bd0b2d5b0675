import contextlib
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
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.names import RepositoryName
from dockreg.providers.metadata import schema
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.providers.metadata.tables import SCHEMA, metadata
from dockreg.providers.metadata.tables_lasting import triggers
from dockreg.providers.metadata.transactions import make_engine
from tests.schemas import parts_of
from tests.unit.providers.blobs.threads import at_once


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
        self.assertEqual(
            {f"trigger {name}": statement for name, statement in triggers()},
            {name: statement for name, statement in parts.items() if name.startswith("trigger ")},
        )

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


class LostTriggersTests(SchemaCase):
    """A database whose tables were made anew, or copied by a program that knows of no triggers."""

    #: What is done to a database in which nobody has written, and whether it is then to be mended.
    DAMAGES = (
        ("", False),
        ("DROP TRIGGER lasting_grants_insert", True),
        (
            "DROP TRIGGER lasting_grants_insert; CREATE TRIGGER lasting_grants_insert AFTER INSERT ON grants BEGIN SELECT 1; END",
            True,
        ),
        ("CREATE TRIGGER lasting_more AFTER INSERT ON grants BEGIN SELECT 1; END", True),
        ("CREATE TRIGGER audit AFTER INSERT ON grants BEGIN SELECT 1; END", False),
        ("DELETE FROM lasting_version", True),
        ("ALTER TABLE namespaces RENAME TO old; CREATE TABLE namespaces AS SELECT * FROM old; DROP TABLE old", True),
    )

    def opened(self, path: Path) -> tuple[Any, ...]:
        """The triggers of a database after it was opened, the version of what lasts, and whether the log tells of it."""
        engine = make_engine(f"sqlite:///{path}", is_sqlite=True)
        with capturedLogs() as events:
            schema.prepare(engine)
        engine.dispose()
        with contextlib.closing(sqlite3.connect(path)) as database:
            found = dict(database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall())
            ((version,),) = database.execute("SELECT version FROM lasting_version").fetchall()
        return found, version, bool(events)

    def test_made_again(self) -> None:
        """It has all of them once it was opened, and what was kept of it is forgotten; an operator's own stay."""
        for damage, mended in self.DAMAGES:
            path = self.path("damaged")
            self.assertEqual((dict(triggers()), 0, False), self.opened(path))
            with contextlib.closing(sqlite3.connect(path)) as database:
                database.executescript(damage)
            found, version, told = self.opened(path)
            found.pop("audit", None)
            self.assertEqual((dict(triggers()), mended, mended), (found, version != 0, told), damage)
            self.assertEqual(version, self.opened(path)[1])

    def test_migrated(self) -> None:
        """So has one that an older program had."""
        old = self.connected("old")
        command.upgrade(schema.alembic_config(old), "0016")
        old.exec_driver_sql("DROP TRIGGER lasting_blobs_update")
        schema.bring_up_to_date(old)
        found = old.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").all()
        self.assertEqual(dict(triggers()), dict(map(tuple, found)))

    def test_copied(self) -> None:
        """Rights that change are seen at once by who opens a copy without triggers."""
        path, copy = self.path("whole"), self.path("copy")
        self.opened(path)
        with contextlib.closing(sqlite3.connect(path)) as database, contextlib.closing(sqlite3.connect(copy)) as other:
            other.executescript("\n".join(each for each in database.iterdump() if "CREATE TRIGGER" not in each))
        reading, changing = self.store(copy), self.store(copy)
        name = RepositoryName("app")
        self.successResultOf(Deferred.fromCoroutine(changing.repositories.create(name, None, 1.0)))
        for private in (False, True, False):
            self.successResultOf(Deferred.fromCoroutine(changing.repositories.set_private(name, private)))
            found = self.successResultOf(Deferred.fromCoroutine(reading.repositories.get(name)))
            self.assertEqual(private, found.private)

    def store(self, path: Path) -> SQLMetadataStore:
        store = SQLMetadataStore(f"sqlite:///{path}", at_once)
        self.successResultOf(Deferred.fromCoroutine(store.open()))
        self.addCleanup(lambda: Deferred.fromCoroutine(store.close()))
        return store


def tables_in(parts: dict[str, object]) -> set[str]:
    return {name for name in parts if name.startswith("table ")}
