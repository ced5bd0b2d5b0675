from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet.defer import maybeDeferred

from dockreg.interfaces import IMetadataStore
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.testing import contracts_metadata, contracts_repositories, contracts_v1

T = TypeVar("T")


def at_once(function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Awaitable[T]:
    return maybeDeferred(function, *args, **kwargs)


class _OnSQLite(contracts_metadata.MetadataContract):
    def make_metadata_store(self) -> IMetadataStore:
        return SQLMetadataStore(f"sqlite:///{self.mktemp()}/dockreg.sqlite", at_once)


class SQLMetadataStoreTests(_OnSQLite, contracts_metadata.MetadataStoreContract):
    """The promises of every metadata store, kept on SQLite."""


class SQLBlobIndexTests(_OnSQLite, contracts_metadata.BlobIndexContract):
    """The promises about blobs."""


class SQLRepositoryStoreTests(_OnSQLite, contracts_repositories.RepositoryStoreContract):
    """The promises about repositories."""


class SQLTagTests(_OnSQLite, contracts_repositories.TagStoreContract):
    """The promises about tags."""


class SQLAnnouncementsTests(_OnSQLite, contracts_v1.AnnouncementsContract):
    """The promises about image lists."""


class SQLStagingTests(_OnSQLite, contracts_v1.StagingContract):
    """The promises about images that are being pushed."""


class SQLCompletionTests(_OnSQLite, contracts_v1.CompletionContract):
    """The promises about complete images."""
