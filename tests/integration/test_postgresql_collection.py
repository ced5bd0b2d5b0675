"""Leases and collection on a real PostgreSQL server."""

from typing import Any, cast

from sqlalchemy import delete
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import blockingCallFromThread, deferToThread

from dockreg.interfaces import IMetadataStore
from dockreg.model.collection import Kind, LeaseWanted
from dockreg.providers.metadata import collection
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.providers.metadata.tables_collection import collection_queue
from dockreg.testing import contracts_collection, contracts_collection_v1, contracts_leases, contracts_metadata
from dockreg.testing.contracts_leases import EXPIRING, MANIFEST, CollectionCase
from dockreg.testing.contracts_repositories import BUSYBOX
from tests.integration.postgresql import made_database
from tests.integration.test_postgresql import at_once, until_somebody_waits


class _OnServer(contracts_metadata.MetadataContract):
    def make_metadata_store(self) -> IMetadataStore:
        return SQLMetadataStore(made_database(), at_once)


class PostgreSQLLeaseStoreTests(_OnServer, contracts_leases.LeaseStoreContract):
    """The promises about leases."""


class PostgreSQLCollectionTests(_OnServer, contracts_collection.CollectionContract):
    """The promises about collection."""


class PostgreSQLV1CollectionTests(_OnServer, contracts_collection_v1.V1CollectionContract):
    """The promises about the collection of v1 images."""


class PostgreSQLSweepTests(_OnServer, contracts_collection_v1.SweepContract):
    """The promises about reconciliation."""

    async def empty_queue(self, metadata: IMetadataStore) -> None:
        assert isinstance(metadata, SQLMetadataStore)
        await metadata._database.write(lambda connection: connection.execute(delete(collection_queue)).rowcount)


class LeaseInRemovalTests(CollectionCase):
    """Leases of what is removed in the same moment."""

    def make_metadata_store(self) -> IMetadataStore:
        self.url = made_database()
        return SQLMetadataStore(self.url, deferToThread)

    async def test_manifest(self) -> None:
        """Who wants a lease of a manifest that was found to be garbage waits until it is gone, and is told that it is."""
        metadata = await self.with_image(tag=False)
        await self.put(metadata, MANIFEST)
        await metadata.collection.review(EXPIRING, 1000.0, 50)
        wanted = [LeaseWanted(Kind.MANIFEST, BUSYBOX, str(MANIFEST.digest))]
        answers: list[Deferred[Any]] = []
        judge = collection._judge

        def ask() -> None:
            answers.append(Deferred.fromCoroutine(metadata.leases.lease(wanted, 1e6)))

        def judge_later(connection: Any, queued: Any, finding: Any, now: float) -> Any:
            if queued.item.kind is Kind.MANIFEST:
                blockingCallFromThread(cast("IReactorFromThreads", reactor), ask)
                until_somebody_waits(self.url)
            return judge(connection, queued, finding, now)

        self.patch(collection, "_judge", judge_later)
        await metadata.collection.review(EXPIRING, 1100.0, 50)
        (answer,) = answers
        self.assertEqual([False], list(await answer))
        self.assertEqual([False], await self.has(metadata, MANIFEST))
