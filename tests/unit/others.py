"""Providers of somebody else, as a configuration names them."""

from collections.abc import Awaitable, Callable
from typing import Any

from zope.interface import implementer

from dockreg.callables import InThread
from dockreg.interfaces import IBlobStore, IMetadataStore, IRepositoryStore
from dockreg.interfaces_access import IAuthorizer
from dockreg.model.access import Access, Action, Principal
from dockreg.model.blobs import StoredBlob
from dockreg.model.digest import Digest
from dockreg.providers.blobs.memory import MemoryBlobStore
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.testing.authorizers import OneByOne


@implementer(IBlobStore)
class OtherBlobs(MemoryBlobStore):
    """A blob store of somebody else, which writes down what is there when it recovers."""

    def __init__(self, in_thread: InThread, clock: Any, **options: object) -> None:
        super().__init__()
        self.options = options
        self.events: list[object] = []
        self._reactor = clock

    async def recover(
        self, is_recorded: Callable[[StoredBlob], Awaitable[bool]], is_resumable: Callable[[str], Awaitable[bool]]
    ) -> int:
        """As any, once the metadata has answered."""
        recorded = await is_recorded(StoredBlob(Digest.sha256(b""), "none", 0))
        self.events.append({"recorded": recorded, "ports": len(self._reactor.tcpServers)})
        return 0


@implementer(IMetadataStore)
class OtherMetadata(SQLMetadataStore):
    """A metadata store of somebody else."""

    def __init__(self, in_thread: InThread, clock: object, **options: object) -> None:
        super().__init__("sqlite://", in_thread)
        self.options = options


@implementer(IAuthorizer)
class OtherRules(OneByOne):
    """Rules of somebody else."""

    def __init__(self, repositories: IRepositoryStore) -> None:
        self.repositories = repositories

    async def granted(self, principal: Principal, wanted: Access) -> frozenset[Action]:
        """Nothing."""
        return frozenset()
