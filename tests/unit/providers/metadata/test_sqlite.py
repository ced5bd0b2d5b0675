import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, event, select, text
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from dockreg.callables import InThread
from dockreg.errors import AccountUnknown, NameUnknown, StorageFull, StoreUnavailable
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName
from dockreg.model.v1 import LayerFacts, TagClient
from dockreg.providers.metadata import collectionsweep, databasefile
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.providers.metadata.tables import blobs, manifest_blobs, metadata, repository_blobs
from dockreg.testing import contracts
from dockreg.testing.contracts_leases import DEFAULT
from dockreg.testing.contracts_metadata import some_blob
from dockreg.testing.contracts_repositories import BUSYBOX, LATEST, OTHER, push, some_id, some_manifest
from tests.unit.providers.blobs.threads import Threads, at_once


class SQLiteCase(contracts.Contract):
    """Tests on a database in ``self.path``."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "dockreg.sqlite"

    def store(self, in_thread: InThread = at_once) -> SQLMetadataStore:
        return SQLMetadataStore(f"sqlite:///{self.path}?timeout=0.05", in_thread)

    async def opened(self) -> SQLMetadataStore:
        store = self.store()
        await store.open()
        self.addCleanup(store.close)
        return store

    async def rows(self, store: SQLMetadataStore, query: Any) -> list[Any]:
        def execute(connection: Connection) -> list[Any]:
            return [tuple(row) for row in connection.execute(query)]

        return await store._database.read(execute)


class FileTests(SQLiteCase):
    """The database file."""

    async def test_modes(self) -> None:
        """The folder and every file in it are for their owner alone."""
        store = await self.opened()
        await store.repositories.create(BUSYBOX, None, 1.0)
        names = {path.name: path.stat().st_mode & 0o777 for path in sorted(self.path.parent.iterdir())}
        suffixes = ("", "-shm", "-wal", ".lock")
        self.assertEqual(dict.fromkeys((f"dockreg.sqlite{suffix}" for suffix in suffixes), 0o600), names)
        self.assertEqual(0o700, self.path.parent.stat().st_mode & 0o777)

    async def test_migrated_alone(self) -> None:
        """The schema is made in a transaction that excludes other writers from its beginning."""
        begun: list[str] = []

        def note(_c: object, _k: object, statement: str, _v: object, _x: object, _many: bool) -> None:
            if statement.startswith("BEGIN"):
                begun.append(statement)

        event.listen(Engine, "before_cursor_execute", note)
        self.addCleanup(event.remove, Engine, "before_cursor_execute", note)
        await self.opened()
        self.assertEqual("BEGIN IMMEDIATE", begun[0])

    async def test_looked_at_unlocked(self) -> None:
        """While reconciliation looks for what nothing refers to, others may write."""
        store = await self.opened()
        look, written = collectionsweep.look, []

        def look_while_written(*arguments: Any) -> Any:
            other = sqlite3.connect(self.path, timeout=0, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            written.append(other.execute("UPDATE collection_state SET seen_at = 1").rowcount)
            other.execute("COMMIT")
            other.close()
            return look(*arguments)

        self.patch(collectionsweep, "look", look_while_written)
        reached, _ = await store.collection.sweep(await store.collection.sweep_state(DEFAULT), 10)
        self.assertEqual(("manifests", [1]), (reached.phase, written))

    async def test_settings(self) -> None:
        """Connections flush each commit, write ahead, and check references."""
        store = await self.opened()
        for pragma, expected in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
            self.assertEqual([(expected,)], await self.rows(store, text(f"PRAGMA {pragma}")))

    async def test_other_mode(self) -> None:
        """A database that a copy has brought out of write-ahead mode is brought back, with what is in it."""
        store = await self.opened()
        await store.repositories.create(BUSYBOX, None, 1.0)
        await store.close()
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        self.assertEqual(("delete",), other.execute("PRAGMA journal_mode=DELETE").fetchone())
        store = await self.opened()
        self.assertEqual([("wal",)], await self.rows(store, text("PRAGMA journal_mode")))
        self.assertEqual(BUSYBOX, (await store.repositories.get(BUSYBOX)).name)

    async def test_schema(self) -> None:
        """The migrations make what the tables say."""
        await self.opened()
        engine = create_engine(f"sqlite:///{self.path}")
        with engine.connect() as connection:
            self.assertEqual([], compare_metadata(MigrationContext.configure(connection), metadata))
        engine.dispose()

    async def test_newer(self) -> None:
        """A database of a newer program is refused, and not changed."""
        await (await self.opened()).close()
        connection = sqlite3.connect(self.path)
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
        connection.close()
        problem = await self.raises(StoreUnavailable, self.store().open())
        self.assertIn("9999", problem.reason)

    async def test_not_a_database(self) -> None:
        """A file that is something else makes the store unavailable."""
        self.path.parent.mkdir()
        self.path.write_bytes(b"something else" * 1000)
        await self.raises(StoreUnavailable, self.store().open())

    async def test_no_folder(self) -> None:
        """Where no folder can be made, the store is unavailable."""
        self.path.parent.touch()
        await self.raises(StoreUnavailable, self.store().open())


class TroubleTests(SQLiteCase):
    """What SQLite says is told in our words."""

    async def test_locked(self) -> None:
        """A writer in another process that does not end makes the store unavailable; readers go on."""
        store = await self.opened()
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        with capturedLogs() as events:
            problem = await self.raises(StoreUnavailable, store.repositories.create(BUSYBOX, None, 1.0))
        self.assertEqual("the metadata store does not answer now", problem.reason)
        self.assertEqual(["database is locked"], [event["cause"] for event in events])
        await self.raises(NameUnknown, store.repositories.get(BUSYBOX))
        other.execute("ROLLBACK")
        await store.repositories.create(BUSYBOX, None, 1.0)

    async def test_waits_for_a_writer(self) -> None:
        """While another process writes it is looked often whether it still does, and for no longer than is allowed."""
        store = await self.opened()
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 4:
                other.execute("ROLLBACK")

        writer: Any = store._database._writer
        writer._pause, writer._wait_seconds = pause, 0.1
        await store.repositories.create(BUSYBOX, None, 1.0)
        self.assertEqual(4, len(pauses))
        self.assertLess(max(pauses), 0.001)
        other.execute("BEGIN IMMEDIATE")
        await self.raises(StoreUnavailable, store.repositories.create(OTHER, None, 1.0))
        self.assertLess(0.1, sum(pauses[4:]))
        self.assertLess(sum(pauses[4:]), 0.13)
        self.assertLessEqual(max(pauses), 0.02)
        other.execute("ROLLBACK")
        await store.repositories.create(OTHER, None, 1.0)

    async def test_full(self) -> None:
        """A database that can not grow means that the storage is full; nothing of the transaction stays."""
        store = await self.opened()

        def limit(connection: Connection) -> None:
            connection.execute(text("PRAGMA max_page_count = 1"))  # SQLite makes it the number that there is

        await store._database.write(limit)
        numbers = iter(range(10_000))
        made = 0

        async def fill() -> None:
            nonlocal made
            for number in numbers:
                await store.accounts.create(f"user{number}", "hash" * 100, "", admin=False, now=1.0)
                made += 1

        await self.raises(StorageFull, fill())
        self.assertEqual(made, len(await store.accounts.list_all()))

    async def test_gone(self) -> None:
        """While the file is gone nothing is written, and nothing made in its place; put back, it goes on as it was."""
        store = await self.opened()
        await store.repositories.create(BUSYBOX, None, 1.0)
        away = self.path.rename(self.path.with_name("away"))
        problem = await self.raises(StoreUnavailable, store.repositories.create(OTHER, None, 2.0))
        self.assertIn("put it back", problem.reason)
        await self.raises(StoreUnavailable, store.check())
        self.assertFalse(self.path.exists())
        away.rename(self.path)
        await store.repositories.create(OTHER, None, 2.0)
        await store.check()
        self.assertEqual(2, len(await store.repositories.search("", None, 10)))

    async def test_replaced(self) -> None:
        """Another file in its place is not written to, nor is the one that was."""
        store = await self.opened()
        self.path.rename(self.path.with_name("away"))
        self.path.write_bytes(b"")
        problem = await self.raises(StoreUnavailable, store.repositories.create(BUSYBOX, None, 1.0))
        self.assertIn("restart", problem.reason)
        self.assertEqual(b"", self.path.read_bytes())

    async def test_read_only(self) -> None:
        """A file that can only be read makes writes unavailable, and no more than that; and for no longer."""
        store = await self.opened()
        await store.repositories.create(BUSYBOX, None, 1.0)
        mode = "ro"

        def connect(where: str, **options: Any) -> sqlite3.Connection:
            made: sqlite3.Connection = sqlite3.connect(where.replace("mode=rw", f"mode={mode}"), **options)
            return made

        # SQLite does so by itself where the file can not be opened to be written, as on a file system that was mounted read-only.
        self.patch(databasefile, "sqlite3", SimpleNamespace(connect=connect, Connection=sqlite3.Connection))
        assert store._database._engine is not None
        assert store._database._writer is not None
        store._database._writer._give_back()
        store._database._engine.dispose()
        for _ in range(3):
            await self.raises(StoreUnavailable, store.repositories.create(OTHER, None, 2.0))
            self.assertEqual(BUSYBOX, (await store.repositories.get(BUSYBOX)).name)
        mode = "rw"
        await store.repositories.create(OTHER, None, 2.0)
        self.assertEqual(OTHER, (await store.repositories.get(OTHER)).name)

    async def test_our_mistakes(self) -> None:
        """A wrong statement is not the database's fault."""
        store = await self.opened()
        with self.assertRaisesRegex(Exception, "no such table"):
            await self.rows(store, text("SELECT * FROM nowhere"))

    async def test_secrets(self) -> None:
        """What the database complains about does not tell what was to be stored."""
        store = await self.opened()

        def insert(connection: Connection) -> None:
            connection.execute(
                text("INSERT INTO accounts (name, password_hash) VALUES (:name, 'x')"), {"name": "secret"}
            )

        with self.assertRaises(Exception) as caught:
            await store._database.write(insert)
        self.assertNotIn("secret", str(caught.exception))

    async def test_odd_names(self) -> None:
        """A name that no database can store is the name of nobody."""
        store = await self.opened()
        for name in ("a\0b", "\ud800"):
            problem = await self.raises(AccountUnknown, store.accounts.get(name))
            self.assertEqual(name, problem.name)
            await self.raises(AccountUnknown, store.accounts.change(name, admin=True))


class CancellationTests(SynchronousTestCase):
    """Who asked may go away while a transaction runs."""

    def setUp(self) -> None:
        self.threads = Threads()
        self.store = SQLMetadataStore(f"sqlite:///{self.mktemp()}/dockreg.sqlite?timeout=0", self.threads.in_thread)
        self.now(self.store.open())

    def tearDown(self) -> None:
        self.now(self.store.close())

    def now(self, work: Any) -> Any:
        done = Deferred.fromCoroutine(work)
        self.threads.run_all()
        return self.successResultOf(done)

    def test_cancelled(self) -> None:
        """A transaction whose caller was cancelled ends as if he was there, and others can write."""
        writing = Deferred.fromCoroutine(self.store.repositories.create(BUSYBOX, None, 1.0))
        writing.cancel()
        self.failureResultOf(writing, CancelledError)
        self.threads.run_all()
        self.assertEqual(BUSYBOX, self.now(self.store.repositories.get(BUSYBOX)).name)
        self.now(self.store.repositories.create(OTHER, None, 1.0))

    def test_failed(self) -> None:
        """A transaction that fails is rolled back, and others can write."""
        failing = Deferred.fromCoroutine(self.store.repositories.delete(RepositoryName("nothing"), 1.0))
        self.threads.run_all()
        self.failureResultOf(failing, NameUnknown)
        self.now(self.store.repositories.create(OTHER, None, 1.0))


class RowTests(SQLiteCase):
    """Rows that no interface shows yet: the collector and the v2 door will need them."""

    async def test_lease(self) -> None:
        """A lease is extended, and never shortened."""
        store = await self.opened()
        for leased_until, expected in ((5.0, 5.0), (9.0, 9.0), (7.0, 9.0)):
            await store.blobs.record(some_blob(), None, leased_until)
            self.assertEqual([(expected,)], await self.rows(store, select(blobs.c.leased_until)))

    async def test_facts(self) -> None:
        """Facts are added to a blob that was recorded without them, and stay what they are."""
        store = await self.opened()
        facts = LayerFacts("gzip", Digest.sha256(b"tar"), 3, 1)
        for given in (None, facts, LayerFacts("xz"), None):
            await store.blobs.record(some_blob(), given, 1.0)
        query = select(blobs.c.compression, blobs.c.diff_id, blobs.c.uncompressed_size, blobs.c.entries)
        self.assertEqual([("gzip", str(facts.diff_id), 3, 1)], await self.rows(store, query))

    async def test_derived(self) -> None:
        """The uncompressed tar of an xz layer refers to that layer, until it has bytes of its own."""
        store = await self.opened()
        await store.repositories.create(BUSYBOX, None, 1.0)
        await store.blobs.record(some_blob(b"config"), None, 1.0)
        facts = LayerFacts("xz", Digest.sha256(b"tar"), 3, 7)
        image = await push(store, some_id(1), content=b"tar.xz", facts=facts)
        manifest = some_manifest([Digest.sha256(b"tar")])
        await store.repositories.tag_image(BUSYBOX, LATEST, image, manifest, TagClient(), 5.0)
        query = select(blobs.c.generation, blobs.c.size, blobs.c.source_digest, blobs.c.compression, blobs.c.entries)
        query = query.where(blobs.c.digest == str(Digest.sha256(b"tar")))
        self.assertEqual([(None, 3, str(Digest.sha256(b"tar.xz")), "none", 7)], await self.rows(store, query))
        await store.blobs.record(some_blob(b"tar", "own"), None, 1.0)
        self.assertEqual([("own", 3, None, "none", 7)], await self.rows(store, query))

    async def test_references(self) -> None:
        """Config and layers of a manifest are its references and belong to the repository; images bring their layers."""
        store = await self.opened()
        await store.repositories.create(BUSYBOX, None, 1.0)
        await store.blobs.record(some_blob(b"config"), None, 1.0)
        base = await push(store, some_id(1), content=b"base")
        image = await push(store, some_id(2), base)
        linked = select(repository_blobs.c.digest)
        config, layer, below = (str(Digest.sha256(content)) for content in (b"config", b"layer", b"base"))
        self.assertEqual({(layer,), (below,)}, set(await self.rows(store, linked)))
        manifest = some_manifest([base.layer.digest, image.layer.digest, base.layer.digest])
        await store.repositories.tag_image(BUSYBOX, LATEST, image, manifest, TagClient(), 5.0)
        query = select(manifest_blobs.c.role, manifest_blobs.c.digest).order_by(manifest_blobs.c.position)
        expected = [("config", config), ("layer", below), ("layer", layer), ("layer", below)]
        self.assertEqual(expected, await self.rows(store, query))
        self.assertEqual({(config,), (layer,), (below,)}, set(await self.rows(store, linked)))
        await store.repositories.delete(BUSYBOX, 6.0)
        self.assertEqual({(layer,), (below,)}, set(await self.rows(store, linked)))

    async def test_in_use(self) -> None:
        """A blob that is referred to can not be deleted."""
        store = await self.opened()
        await store.repositories.create(BUSYBOX, None, 1.0)
        await push(store, some_id(1))

        def delete(connection: Connection) -> None:
            connection.execute(blobs.delete())

        with self.assertRaisesRegex(Exception, "FOREIGN KEY"):
            await store._database.write(delete)
