from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sqlalchemy import delete
from twisted.internet.defer import maybeDeferred

from dockreg.interfaces import IMetadataStore
from dockreg.providers.metadata import collection
from dockreg.providers.metadata.blobs import is_recorded
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.providers.metadata.tables_collection import collection_queue
from dockreg.testing import (
    contracts_collection,
    contracts_collection_v1,
    contracts_conditions,
    contracts_contents,
    contracts_leases,
    contracts_listing,
    contracts_manifests,
    contracts_metadata,
    contracts_quotas,
    contracts_references,
    contracts_repositories,
    contracts_retention,
    contracts_tagging,
    contracts_v1,
    contracts_v2,
)
from dockreg.testing.contracts_metadata import some_blob
from tests.databases import write_database

T = TypeVar("T")


def at_once(function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Awaitable[T]:
    return maybeDeferred(function, *args, **kwargs)


class _OnSQLite(contracts_metadata.MetadataContract):
    def make_metadata_store(self) -> IMetadataStore:
        return SQLMetadataStore(f"sqlite:///{write_database(f'{self.mktemp()}/dockreg.sqlite')}", at_once)


class SQLMetadataStoreTests(_OnSQLite, contracts_metadata.MetadataStoreContract):
    """The promises of every metadata store, kept on SQLite."""


class SQLBlobIndexTests(_OnSQLite, contracts_metadata.BlobIndexContract):
    """The promises about blobs."""


class SQLContentTests(_OnSQLite, contracts_contents.ContentContract):
    """The promises about the bytes of small blobs."""


class SQLConditionStoreTests(_OnSQLite, contracts_conditions.ConditionContract):
    """The promises about blobs whose bytes are lost."""


class SQLReferenceStoreTests(_OnSQLite, contracts_references.ReferenceContract):
    """The promises about references."""


class SQLScrubTests(_OnSQLite, contracts_references.ScrubContract):
    """The promises about the scrub."""


class SQLRepositoryStoreTests(_OnSQLite, contracts_repositories.RepositoryStoreContract):
    """The promises about repositories."""


class SQLTagTests(_OnSQLite, contracts_repositories.TagStoreContract):
    """The promises about tags."""


class SQLUploadStoreTests(_OnSQLite, contracts_v2.UploadStoreContract):
    """The promises about upload sessions."""


class SQLRepositoryBlobsTests(_OnSQLite, contracts_v2.RepositoryBlobsContract):
    """The promises about the blobs of repositories."""


class SQLManifestStoreTests(_OnSQLite, contracts_manifests.ManifestStoreContract):
    """The promises about manifests."""


class SQLTaggingTests(_OnSQLite, contracts_tagging.TaggingContract):
    """The promises about another tag of a manifest."""


class SQLManifestListTests(_OnSQLite, contracts_listing.ManifestListContract):
    """The promises about lists of manifests."""


class SQLViewTests(_OnSQLite, contracts_manifests.ViewContract):
    """The promises about manifests as v1 images."""


class SQLAnnouncementsTests(_OnSQLite, contracts_v1.AnnouncementsContract):
    """The promises about image lists."""


class SQLStagingTests(_OnSQLite, contracts_v1.StagingContract):
    """The promises about images that are being pushed."""


class SQLCompletionTests(_OnSQLite, contracts_v1.CompletionContract):
    """The promises about complete images."""


class SQLRetentionStoreTests(_OnSQLite, contracts_retention.RetentionStoreContract):
    """The promises about pulls and what rules look at."""


class SQLRetentionClockTests(_OnSQLite, contracts_retention.RetentionClockContract):
    """The promises about the time that is seen pass."""


class SQLRemovalTests(_OnSQLite, contracts_retention.RemovalContract):
    """The promises about what goes by rules."""


class SQLLeaseStoreTests(_OnSQLite, contracts_leases.LeaseStoreContract):
    """The promises about leases."""


class SQLCollectionTests(_OnSQLite, contracts_collection.CollectionContract):
    """The promises about collection."""

    async def test_parts(self) -> None:
        """Very many objects are asked about in several transactions, since each keeps others from recording them."""
        metadata = await self.opened()
        transactions: list[Any] = []

        def note(connection: Any, blob: Any) -> bool:
            transactions.append(connection)
            return is_recorded(connection, blob)

        self.patch(collection, "is_recorded", note)
        await metadata.collection.orphans([some_blob(b"%d" % number) for number in range(1200)])
        self.assertEqual([500, 500, 200], list(Counter(map(id, transactions)).values()))


class SQLV1CollectionTests(_OnSQLite, contracts_collection_v1.V1CollectionContract):
    """The promises about the collection of v1 images."""


class SQLSweepTests(_OnSQLite, contracts_collection_v1.SweepContract):
    """The promises about reconciliation."""

    async def empty_queue(self, metadata: IMetadataStore) -> None:
        assert isinstance(metadata, SQLMetadataStore)
        await metadata._database.write(lambda connection: connection.execute(delete(collection_queue)).rowcount)


class SQLQuotaStoreTests(_OnSQLite, contracts_quotas.QuotaStoreContract):
    """The promises about what is used."""


class SQLReservationTests(_OnSQLite, contracts_quotas.ReservationContract):
    """The promises about what is reserved."""
