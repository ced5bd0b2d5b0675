"""Providers of somebody else, as a configuration would name them."""

from pathlib import Path

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from dockreg.callables import InThread
from dockreg.interfaces import IBlobStore, IMetadataStore, IRepositoryStore
from dockreg.interfaces_access import IAuthorizer
from dockreg.model.access import Access, Action, Principal
from dockreg.providers.blobs.memory import MemoryBlobStore
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.testing.authorizers import OneByOne

#: What the factories below were called with, newest last.
CALLS: list[tuple[str, object]] = []


@implementer(IBlobStore)
class ForgetfulBlobs(MemoryBlobStore):
    """Blobs in memory, at most ``room`` bytes of them."""


def forgetful_blobs(in_thread: InThread, clock: IReactorTime, room: int) -> IBlobStore:
    """A blob store, as ``blobs.provider`` names it."""
    CALLS.append(("blobs", room))
    return ForgetfulBlobs(room=room)


def sqlite_elsewhere(in_thread: InThread, clock: IReactorTime, file: str) -> IMetadataStore:
    """A metadata store, as ``metadata.provider`` names it."""
    CALLS.append(("metadata", file))
    return SQLMetadataStore(f"sqlite:///{Path(file).absolute()}", in_thread)


def not_a_blob_store(in_thread: InThread, clock: IReactorTime) -> object:
    """Something that is no blob store."""
    return object()


def two_people() -> InMemoryUsernamePasswordDatabaseDontUse:
    """A checker, as ``auth.checkers`` names it."""
    return InMemoryUsernamePasswordDatabaseDontUse(anna=b"secret", otto=b"secret")


@implementer(IAuthorizer)
class OnlyAnna(OneByOne):
    """Lets one person do everything, and nobody else anything."""

    def __init__(self, repositories: IRepositoryStore) -> None:
        self.repositories = repositories

    async def granted(self, principal: Principal, wanted: Access) -> frozenset[Action]:
        """All that is wanted, or nothing."""
        return wanted.actions if principal.name == "anna" else frozenset()
