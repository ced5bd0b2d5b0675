"""Providers of somebody else, as a configuration would name them."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from dockreg.callables import ByteObserver, InThread
from dockreg.interfaces import IBlobIndex, IBlobStore, IMetadataStore, IRepositoryStore
from dockreg.interfaces_access import IAuthorizer
from dockreg.interfaces_blobs import IUpload
from dockreg.model.access import Access, Action, Principal
from dockreg.model.blobs import StoredBlob
from dockreg.providers.blobs.memory import MemoryBlobStore
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.testing.authorizers import OneByOne

log = Logger()

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


class _OldUpload:
    """Another upload, but its ``commit`` is what it was before small blobs were rows."""

    def __init__(self, upload: IUpload) -> None:
        self._upload = upload

    def __getattr__(self, name: str) -> object:
        return getattr(self._upload, name)

    async def commit(self, expected: object = None, last: object = (), then: object = None) -> StoredBlob:
        """Without ``small_bytes``."""
        raise AssertionError


@implementer(IBlobStore)
class OldBlobs(MemoryBlobStore):
    """A blob store that was written for an older version."""

    async def start_upload(self, observers: Sequence[ByteObserver] = (), algorithm: str = "sha256") -> Any:
        """An upload of that version."""
        return _OldUpload(await super().start_upload(observers, algorithm))


def old_blobs(in_thread: InThread, clock: IReactorTime) -> IBlobStore:
    """That store."""
    return OldBlobs()


class _EndlessBlobs(MemoryBlobStore):
    """A blob store that does not get ready."""

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__()
        self._reactor = clock

    async def recover(self, *_arguments: object) -> int:
        """Never, which it says once the reactor runs and knows of signals."""
        await deferLater(self._reactor, 0)
        log.info("recovering for ever")
        await Deferred()
        raise AssertionError


def endless_blobs(in_thread: InThread, clock: IReactorTime) -> IBlobStore:
    """That store."""
    return _EndlessBlobs(clock)


def old_metadata(in_thread: InThread, clock: IReactorTime) -> IMetadataStore:
    """A metadata store that was written for an older version, which kept no blobs there."""
    store: Any = SQLMetadataStore("sqlite://", in_thread)
    names = [name for name in IBlobIndex.names(all=True) if name != "content"]
    store.blobs = SimpleNamespace(**{name: getattr(store.blobs, name) for name in names})
    made: IMetadataStore = store
    return made


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
