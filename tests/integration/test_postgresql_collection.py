"""Leases and collection on a real PostgreSQL server."""

from sqlalchemy import delete

from dockreg.interfaces import IMetadataStore
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.providers.metadata.tables_collection import collection_queue
from dockreg.testing import contracts_collection, contracts_collection_v1, contracts_leases, contracts_metadata
from tests.integration.test_postgresql import at_once, new_database


class _OnServer(contracts_metadata.MetadataContract):
    def make_metadata_store(self) -> IMetadataStore:
        return SQLMetadataStore(new_database(), at_once)


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
