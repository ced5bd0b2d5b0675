"""What tests of upgrades begin with: a database of an older program, with something in each of its tables."""

from typing import Any

from alembic import command
from sqlalchemy import Connection, Engine, MetaData, func, insert, make_url, select, text

from dockreg.model.access import Action
from dockreg.model.accesstokens import AccessToken, parse_scope
from dockreg.model.accounts import SigningKey
from dockreg.model.attempts import Limit
from dockreg.model.blobs import Received
from dockreg.model.conditions import Condition
from dockreg.model.descriptors import Descriptor
from dockreg.model.digest import Digest
from dockreg.model.invitations import Invitation
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.repositories import Sparse
from dockreg.model.retention import Pull
from dockreg.model.rights import Member, Role, Subject
from dockreg.model.v1 import AnnouncedImage, LayerFacts, PushScope, TagClient
from dockreg.providers.metadata import schema
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.providers.metadata.tables import metadata
from dockreg.providers.metadata.tables_collection import collected_objects
from dockreg.providers.metadata.tables_retention import retention_gaps
from dockreg.providers.metadata.transactions import make_engine
from dockreg.testing.contracts import Contract
from dockreg.testing.contracts_manifests import some_index
from dockreg.testing.contracts_metadata import some_blob
from dockreg.testing.contracts_repositories import push, some_id, some_json, some_manifest, stage
from dockreg.testing.contracts_v2 import some_session
from tests.unit.providers.blobs.threads import at_once

APP, TEAM = RepositoryName("alice/app"), RepositoryName("team/app")
V1, LATEST = Tag("v1"), Tag("latest")
ALICE = Subject.account("alice")
LAYER, CONFIG, LOST = (some_blob(content) for content in (b"layer", b"config", b"lost"))
MANIFEST, VIEW = some_manifest([LAYER.digest]), some_manifest([Digest.sha256(b"of v1")])
INDEX = some_index([Descriptor(MANIFEST.media_type, MANIFEST.digest, len(MANIFEST.content))])
TAR = Digest.sha256(b"tar")
RECEIVED = Received(5, Digest.sha256(b"layer"))
ALIVE = Limit(1, 1.0, 2.0, 100.0)
#: The schema of the oldest program that somebody may still have, of the one before the last, and of the last few.
SCHEMAS = ("0001", "0010", "0012", "0014", "0015", "0016")
#: What each database has for itself, and what is empty as long as a registry goes on.
_OWN = {"lasting_version", "alembic_version", "uploads_ended", "uploads_horizon"}


async def fill(store: SQLMetadataStore) -> None:
    """Put something in each table."""
    await store.accounts.create("alice", "hash", "alice@example.org", False, 1.0)
    await store.accounts.create_robot("alice+ci", "alice", 1.0)
    await store.keys.add("v1", SigningKey("one", b"secret", 1.0))
    await store.access_tokens.add(
        AccessToken("t", "alice", "", (parse_scope("team/**:pull"),), 1.0, None), b"digest", 5
    )
    await store.invitations.add(Invitation("i", None, "bob@example.org", 1.0, 100.0, None), b"invited")
    await store.attempts.fail({b"k": ALIVE}, 1.0)
    await store.rights.create_group("friends", 1.0)
    await store.rights.add_to_group("friends", "alice")
    await store.rights.create_namespace("team", [ALICE], True, 1.0)
    await store.rights.set_member("team", Member(Subject.group("friends"), Role.WRITER))
    await store.rights.grant(ALICE, RepositoryPattern("team/*"), [Action.PULL], 1.0)
    await store.repositories.create(APP, "alice", 1.0)
    await store.quotas.set_quota("team", 1 << 30)
    await store.quotas.settle()
    for blob in (LAYER, CONFIG, LOST):
        await store.blobs.record_in(APP, blob, None, "alice", 1.0, 100.0)
        await store.blobs.record_in(TEAM, blob, None, "alice", 1.0, 100.0)
    await store.blobs.learn(LAYER.digest, LayerFacts("gzip", TAR, 3, 1))
    await store.conditions.note(LOST, Condition.MISSING, 2.0)
    await store.manifests.put(APP, MANIFEST, [LATEST], "alice", 2.0, Sparse.ALL, True)
    await store.manifests.put(APP, INDEX, (), "alice", 2.0, Sparse.ALL, True)
    image = await push(store, some_id(1), repositories=[APP], content=b"of v1")
    await store.repositories.tag_image(APP, V1, image, VIEW, TagClient(), 2.0)
    await store.images.announce(APP, "alice", [AnnouncedImage(some_id(2), None)], 2.0)
    await stage(store, PushScope(APP, "alice"), some_json(some_id(2), image), image, content=b"staged")
    await store.uploads.start(some_session(name=APP), 1e12)
    await store.uploads.record("one", RECEIVED, 2.0, 1e12)
    await store.retention.begin_run(2.0, 60.0)
    await store.retention.record_pulls([Pull(APP, LATEST, 3.0), Pull(APP, str(MANIFEST.digest), 3.0)])
    await store._database.write(_fill_rest)


def _fill_rest(connection: Connection) -> None:
    connection.execute(insert(collected_objects), {"digest": str(Digest.sha256(b"gone")), "generation": "g", "size": 4})
    connection.execute(insert(retention_gaps), {"began_at": 1.0, "ended_at": 2.0})


def rows_of(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """All that is in a database, but for what it has for itself."""
    found = MetaData()
    found.reflect(connection)
    return {
        table.name: sorted((dict(row._mapping) for row in connection.execute(select(table))), key=repr)
        for table in found.sorted_tables
        if table.name not in _OWN
    }


class UpgradeCase(Contract):
    """Subclass it with tests, and say where databases are."""

    def new_url(self) -> str:
        """The URL of a database that has nothing yet."""
        raise NotImplementedError

    def engine(self, url: str) -> Engine:
        """Connections until the end of the test."""
        engine = make_engine(url, is_sqlite=make_url(url).get_backend_name() == "sqlite")
        self.addCleanup(engine.dispose)
        return engine

    async def opened(self, url: str) -> SQLMetadataStore:
        """A store until the end of the test."""
        store = SQLMetadataStore(url, at_once)
        await store.open()
        self.addCleanup(store.close)
        return store

    async def filled(self) -> dict[str, list[dict[str, Any]]]:
        """What a database of today has with something in each table."""
        url = self.new_url()
        await fill(await self.opened(url))
        with self.engine(url).connect() as connection:
            rows = rows_of(connection)
        self.assertEqual([], [name for name, found in rows.items() if not found])
        return rows

    def old(self, version: str, rows: dict[str, list[dict[str, Any]]]) -> tuple[str, dict[str, list[dict[str, Any]]]]:
        """The URL of a database of an older program, and of ``rows`` what it could hold."""
        url = self.new_url()
        self.make_file(url)
        with self.engine(url).begin() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
            command.upgrade(schema.alembic_config(connection), version)
            held = MetaData()
            held.reflect(connection)
            for table in held.sorted_tables:
                if table.name in _OWN:
                    continue
                connection.execute(table.delete())
                for row in rows[table.name]:
                    connection.execute(insert(table), {key: row[key] for key in row.keys() & table.c.keys()})
                _go_on_counting(connection, table.name)
            kept = rows_of(connection)
        return url, kept

    def make_file(self, url: str) -> None:
        """Make what an engine does not."""

    async def check(self, version: str, rows: dict[str, list[dict[str, Any]]]) -> None:
        """A database of this schema is whole once it was opened, and all that there is to do can be done with it."""
        url, before = self.old(version, rows)
        store = await self.opened(url)
        with self.engine(url).connect() as connection:
            after = rows_of(connection)
        for name, found in before.items():
            columns = found[0].keys()
            self.assertEqual(found, sorted(({key: row[key] for key in columns} for row in after[name]), key=repr), name)
        await self.use(store)

    async def use(self, store: SQLMetadataStore) -> None:
        """Read what was there, go on with what was begun, add to it, and delete it."""
        for reference in (LATEST, MANIFEST.digest):
            found = await store.manifests.get(APP, reference)
            self.assertEqual((MANIFEST.content, MANIFEST.media_type), (found.content, found.media_type))
        self.assertEqual([LATEST, V1], list(await store.repositories.tag_names(APP, "", 10)))
        image = await store.images.find_in(APP, some_id(1))
        assert image is not None
        self.assertEqual([(APP, image)], list(await store.manifests.origins(CONFIG.digest)))
        self.assertEqual("alice@example.org", (await store.accounts.get("alice")).email)
        self.assertEqual(RECEIVED, (await store.uploads.get(APP, "one")).received)
        await store.uploads.end("one")
        scope = PushScope(APP, "alice")
        (layer,) = await store.images.staged_layers(scope, some_id(2))
        child = await store.images.complete(layer, some_id(2), scope, [APP], 5.0)
        self.assertEqual([some_id(2), some_id(1)], list(await store.images.ancestry(child)))
        # Each row has a key of its own, behind those that were there.
        await store.blobs.record_in(RepositoryName("new"), LAYER, None, None, 5.0, 200.0)
        await store.blobs.record_in(RepositoryName("new"), CONFIG, None, None, 5.0, 200.0)
        await store.manifests.put(RepositoryName("new"), MANIFEST, [LATEST], "alice", 5.0, Sparse.NONE, True)
        await store.manifests.put(APP, MANIFEST, [Tag("more")], "alice", 5.0, Sparse.ALL, True)
        await store.keys.add("v1", SigningKey("two", b"secret", 5.0))
        await push(store, some_id(3), child, repositories=[APP], content=b"third", principal="alice")
        await store.repositories.set_private(APP, True)
        self.assertTrue((await store.repositories.get(APP)).private)
        await store.quotas.set_quota("alice", 1 << 30)
        await store.quotas.settle()
        self.assertEqual([], [each for each in await store.quotas.recount(None) if not each.is_right])
        await store.repositories.delete(APP, 6.0)
        self.assertEqual(["new"], [record.name.value for record in await store.repositories.listed("", 10)][:1])


def _go_on_counting(connection: Connection, name: str) -> None:
    """The keys that were given away are not given again, as if the database had given them."""
    table = metadata.tables[name]
    column = table.autoincrement_column
    if connection.dialect.name == "postgresql" and column is not None:
        last = connection.execute(select(func.max(column))).scalar()
        query = text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)")
        connection.execute(query, {"table": name, "column": column.name, "last": last})
