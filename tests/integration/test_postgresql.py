"""The metadata store on a real PostgreSQL server."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, insert, text
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from dockreg.errors import AccountExists, StoreUnavailable
from dockreg.errors_access import InvitationInvalid
from dockreg.interfaces import IMetadataStore
from dockreg.interfaces_access import IAccountStore, IKeyStore
from dockreg.interfaces_people import IAccessTokenStore, IAttemptStore, IInvitationStore
from dockreg.interfaces_rights import IRightsStore
from dockreg.model.accounts import SigningKey
from dockreg.model.attempts import Limit
from dockreg.model.invitations import Invitation
from dockreg.model.names import RepositoryName
from dockreg.model.v1 import PushScope
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.providers.metadata.tables import blobs, metadata
from dockreg.testing import (
    contracts_accounts,
    contracts_attempts,
    contracts_conditions,
    contracts_contents,
    contracts_listing,
    contracts_manifests,
    contracts_metadata,
    contracts_people,
    contracts_references,
    contracts_repositories,
    contracts_retention,
    contracts_rights,
    contracts_tagging,
    contracts_v1,
    contracts_v2,
)
from dockreg.testing.contracts_metadata import some_blob
from dockreg.testing.contracts_repositories import some_id, some_json, stage
from tests.integration.postgresql import made_database, new_database, server

T = TypeVar("T")


def at_once(function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Awaitable[T]:
    return maybeDeferred(function, *args, **kwargs)


def together(*work: Coroutine[Any, Any, T]) -> "Deferred[list[T]]":
    return gatherResults([Deferred.fromCoroutine(each) for each in work], consumeErrors=True)


class _OnPostgreSQL(contracts_metadata.MetadataContract):
    def make_metadata_store(self) -> IMetadataStore:
        return SQLMetadataStore(made_database(), at_once)


class PostgreSQLMetadataStoreTests(_OnPostgreSQL, contracts_metadata.MetadataStoreContract):
    """The promises of every metadata store, kept on PostgreSQL."""


class PostgreSQLBlobIndexTests(_OnPostgreSQL, contracts_metadata.BlobIndexContract):
    """The promises about blobs."""


class PostgreSQLContentTests(_OnPostgreSQL, contracts_contents.ContentContract):
    """The promises about the bytes of small blobs."""


class PostgreSQLConditionStoreTests(_OnPostgreSQL, contracts_conditions.ConditionContract):
    """The promises about blobs whose bytes are lost."""


class PostgreSQLReferenceStoreTests(_OnPostgreSQL, contracts_references.ReferenceContract):
    """The promises about references."""


class PostgreSQLScrubTests(_OnPostgreSQL, contracts_references.ScrubContract):
    """The promises about the scrub."""


class PostgreSQLRepositoryStoreTests(_OnPostgreSQL, contracts_repositories.RepositoryStoreContract):
    """The promises about repositories."""


class PostgreSQLTagTests(_OnPostgreSQL, contracts_repositories.TagStoreContract):
    """The promises about tags."""


class PostgreSQLUploadStoreTests(_OnPostgreSQL, contracts_v2.UploadStoreContract):
    """The promises about upload sessions."""


class PostgreSQLRepositoryBlobsTests(_OnPostgreSQL, contracts_v2.RepositoryBlobsContract):
    """The promises about the blobs of repositories."""


class PostgreSQLManifestStoreTests(_OnPostgreSQL, contracts_manifests.ManifestStoreContract):
    """The promises about manifests."""


class PostgreSQLTaggingTests(_OnPostgreSQL, contracts_tagging.TaggingContract):
    """The promises about another tag of a manifest."""


class PostgreSQLManifestListTests(_OnPostgreSQL, contracts_listing.ManifestListContract):
    """The promises about lists of manifests."""


class PostgreSQLViewTests(_OnPostgreSQL, contracts_manifests.ViewContract):
    """The promises about manifests as v1 images."""


class PostgreSQLAnnouncementsTests(_OnPostgreSQL, contracts_v1.AnnouncementsContract):
    """The promises about image lists."""


class PostgreSQLStagingTests(_OnPostgreSQL, contracts_v1.StagingContract):
    """The promises about images that are being pushed."""


class PostgreSQLRetentionStoreTests(_OnPostgreSQL, contracts_retention.RetentionStoreContract):
    """The promises about pulls and what rules look at."""


class PostgreSQLRetentionClockTests(_OnPostgreSQL, contracts_retention.RetentionClockContract):
    """The promises about the time that is seen pass."""


class PostgreSQLRemovalTests(_OnPostgreSQL, contracts_retention.RemovalContract):
    """The promises about what goes by rules."""


class PostgreSQLCompletionTests(_OnPostgreSQL, contracts_v1.CompletionContract):
    """The promises about complete images."""


class PostgreSQLAccountStoreTests(contracts_accounts.AccountStoreContract):
    """The promises about accounts."""

    def make_account_store(self) -> IAccountStore:
        store = SQLMetadataStore(made_database(), at_once)
        self.addCleanup(lambda: self.now(store.close()))
        self.now(store.open())
        return store.accounts


class PostgreSQLKeyStoreTests(contracts_accounts.KeyStoreContract):
    """The promises about keys."""

    def make_key_store(self) -> IKeyStore:
        store = SQLMetadataStore(made_database(), at_once)
        self.addCleanup(lambda: self.now(store.close()))
        self.now(store.open())
        return store.keys


class PostgreSQLAccessTokenStoreTests(contracts_people.AccessTokenStoreContract):
    """The promises about access tokens."""

    def make_stores(self) -> tuple[IAccessTokenStore, IAccountStore]:
        store = SQLMetadataStore(made_database(), at_once)
        self.addCleanup(lambda: self.now(store.close()))
        self.now(store.open())
        return store.access_tokens, store.accounts


class PostgreSQLRightsStoreTests(contracts_rights.RightsStoreContract):
    """The promises about groups, namespaces and grants."""

    def make_rights_store(self) -> IRightsStore:
        self.metadata = SQLMetadataStore(made_database(), at_once)
        self.addCleanup(lambda: self.now(self.metadata.close()))
        self.now(self.metadata.open())
        return self.metadata.rights

    def make_account(self, name: str, now: float) -> None:
        self.now(self.metadata.accounts.create(name, "x", "", admin=False, now=now))

    def make_repository(self, name: RepositoryName, owner: str | None, now: float, *, private: bool = False) -> None:
        self.now(self.metadata.repositories.create(name, owner, now))
        self.now(self.metadata.repositories.set_private(name, private))


class PostgreSQLInvitationStoreTests(contracts_people.InvitationStoreContract):
    """The promises about invitations."""

    def make_stores(self) -> tuple[IInvitationStore, IAccountStore]:
        store = SQLMetadataStore(made_database(), at_once)
        self.addCleanup(lambda: self.now(store.close()))
        self.now(store.open())
        return store.invitations, store.accounts


class PostgreSQLAttemptStoreTests(contracts_attempts.AttemptStoreContract):
    """The promises about failed attempts to log in."""

    def make_attempt_store(self) -> IAttemptStore:
        store = SQLMetadataStore(made_database(), at_once)
        self.addCleanup(lambda: self.now(store.close()))
        self.now(store.open())
        return store.attempts


class InterplayTests(TestCase):
    """What transactions of PostgreSQL that run at once make of each other."""

    async def stores(self, number: int) -> Sequence[SQLMetadataStore]:
        """Stores with connections of their own to one empty database, opened at once."""
        self.url = new_database()
        stores = [SQLMetadataStore(self.url, deferToThread) for _ in range(number)]
        for store in stores:
            self.addCleanup(store.close)
        await together(*[store.open() for store in stores])
        return stores

    async def test_schema(self) -> None:
        """Stores that open an empty database at once agree on its schema, which is that of the tables."""
        await self.stores(4)
        engine = create_engine(self.url)
        with engine.connect() as connection:
            self.assertEqual([], compare_metadata(MigrationContext.configure(connection), metadata))
        engine.dispose()

    async def test_keys(self) -> None:
        """Stores that ask for a key at once are given the same."""
        stores = await self.stores(4)
        made = [partial(SigningKey, str(number), bytes([number]) * 32, 1.0) for number in range(4)]
        given = await together(*[store.keys.get("tokens", make) for store, make in zip(stores, made, strict=True)])
        self.assertEqual([1] * 4, [len(keys) for keys in given])
        self.assertEqual(1, len({keys[0] for keys in given}))

    async def test_record(self) -> None:
        """Of objects that are recorded at once under one digest one wins, and all are told which."""
        stores = await self.stores(4)
        for turn in range(5):
            content = b"%d" % turn
            objects = [some_blob(content, f"generation-{number}") for number in range(4)]
            recorded = await together(
                *[store.blobs.record(blob, None, 1.0) for store, blob in zip(stores, objects, strict=True)]
            )
            self.assertEqual({await stores[0].blobs.find(objects[0].digest)}, set(recorded))

    async def test_record_content(self) -> None:
        """So it is with small ones that are recorded with their bytes: those of the one that wins are there, and of no other."""
        stores = await self.stores(4)
        for turn in range(5):
            objects = [contracts_contents.small_blob(b"%d" % turn, str(number)) for number in range(4)]
            recorded = await together(
                *[store.blobs.record(blob, None, 1.0) for store, blob in zip(stores, objects, strict=True)]
            )
            (winner,) = set(recorded)
            contents = {blob: await stores[0].blobs.content(blob) for blob in objects}
            self.assertEqual({blob: blob.content if blob == winner else None for blob in objects}, contents)

    async def test_create_repository(self) -> None:
        """A repository that is created by several at once is created once."""
        stores = await self.stores(4)
        records = await together(
            *[
                store.repositories.create(RepositoryName("busybox"), f"user-{number}", 1.0)
                for number, store in enumerate(stores)
            ]
        )
        self.assertEqual(1, len(set(records)))

    async def test_create_account(self) -> None:
        """An account that is created by several at once belongs to one of them."""
        stores = await self.stores(4)

        async def create(store: SQLMetadataStore, password_hash: str) -> bool:
            try:
                await store.accounts.create("alice", password_hash, "", admin=False, now=1.0)
            except AccountExists:
                return False
            return True

        created = await together(*[create(store, str(number)) for number, store in enumerate(stores)])
        self.assertEqual(1, sum(created))
        self.assertEqual(str(created.index(True)), (await stores[0].accounts.get("alice")).password_hash)

    async def test_redeem(self) -> None:
        """Of several who use an invitation at once one gets an account."""
        stores = await self.stores(4)
        await stores[0].invitations.add(Invitation("one", None, "", 1.0, 9.0), b"x" * 32)

        async def redeem(store: SQLMetadataStore, name: str) -> bool:
            try:
                await store.invitations.redeem(b"x" * 32, name, "hash", "", 2.0)
            except InvitationInvalid:
                return False
            return True

        made = await together(*[redeem(store, f"user{number}") for number, store in enumerate(stores)])
        self.assertEqual([f"user{made.index(True)}"], [each.name for each in await stores[0].accounts.list_all()])

    async def test_failed_attempts(self) -> None:
        """Failures that several count at once are all counted, and one attempt is let through of several after them."""
        stores = await self.stores(4)
        limit = Limit(free=3, first_seconds=5.0, most_seconds=60.0, forget_seconds=600.0)
        limits = dict.fromkeys((b"a" * 32, b"b" * 32, b"c" * 32), limit)
        await together(*[store.attempts.fail(limits, 1000.0) for store in stores for _ in range(3)])
        found = await stores[0].attempts.find(tuple(limits))
        self.assertEqual([12] * 3, [count.failures for count in found.values()])
        waits = await together(*[store.attempts.begin(limits, 1100.0) for store in stores])
        self.assertEqual([0.0, 60.0, 60.0, 60.0], sorted(waits))

    async def test_complete(self) -> None:
        """A pusher who completes an image from several scopes at once has one image, and all are given it."""
        stores = await self.stores(2)
        for number in range(5):
            scopes = [PushScope(None, "alice"), PushScope(RepositoryName("busybox"), "alice")]
            layers = [
                await stage(stores[0], scope, some_json(some_id(number), comment=str(scope.repository)))
                for scope in scopes
            ]
            images = await together(
                *[
                    store.images.complete(layer, some_id(number), scope, [], 2.0)
                    for store, layer, scope in zip(stores, layers, scopes, strict=True)
                ]
            )
            self.assertEqual(images[0], images[1])

    async def test_announce(self) -> None:
        """Several who complete images in one repository at once all find theirs in its list."""
        stores = await self.stores(4)
        name = RepositoryName("busybox")
        await stores[0].repositories.create(name, None, 1.0)
        scope = PushScope(name, None)
        layers = [await stage(stores[0], scope, some_json(some_id(number))) for number in range(8)]
        await together(
            *[
                stores[number % 4].images.complete(layer, some_id(number), scope, [name], 2.0)
                for number, layer in enumerate(layers)
            ]
        )
        listed = await stores[0].images.list_images(name)
        self.assertEqual({some_id(number) for number in range(8)}, {image.image_id for image in listed})

    async def test_is_recorded_waits(self) -> None:
        """Whether an object is recorded is answered when the transaction that may be recording it has ended."""
        (store,) = await self.stores(1)
        engine = create_engine(self.url)
        for end in ("commit", "rollback"):
            blob = some_blob(end.encode())
            with engine.connect() as connection:
                values = {"digest": str(blob.digest), "generation": blob.generation, "size": 5, "leased_until": 1.0}
                connection.execute(insert(blobs), values)
                answer = Deferred.fromCoroutine(store.blobs.is_recorded(blob))
                # Only when the server says that somebody waits is the question known to have been asked.
                await deferToThread(until_somebody_waits, self.url)
                self.assertFalse(answer.called)
                getattr(connection, end)()
            self.assertEqual(end == "commit", await answer)
        engine.dispose()
        self.assertFalse(await store.blobs.is_recorded(some_blob(b"rollback")))

    async def test_restart(self) -> None:
        """A server that was restarted is used again at once, though every connection of the pool was cut."""
        stores = await self.stores(1)
        await together(*[stores[0].check() for _ in range(4)])
        await deferToThread(server().restart)
        created = await stores[0].repositories.create(RepositoryName("busybox"), None, 1.0)
        self.assertEqual(created, await stores[0].repositories.get(RepositoryName("busybox")))

    async def test_unreachable(self) -> None:
        """A server that is not there makes the store unavailable."""
        store = SQLMetadataStore(f"postgresql+psycopg://dockreg@/postgres?host={self.mktemp()}", deferToThread)
        try:
            await store.open()
        except StoreUnavailable as problem:
            self.assertEqual("the metadata store does not answer now", problem.reason)
        else:
            self.fail("it was opened")


def until_somebody_waits(url: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with engine.connect() as connection:
        for _ in range(2000):
            if connection.execute(waiting).scalar_one():
                break
            connection.execute(text("SELECT pg_sleep(0.005)"))
    engine.dispose()
