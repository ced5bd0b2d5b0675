"""Registries that share a database and a folder, whose threads and clock are moved by hand."""

import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, field
from sqlalchemy import Connection, select
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from dockreg.collector import Collector, CollectorLimits
from dockreg.manifests import Manifests
from dockreg.model.blobs import StoredBlob
from dockreg.model.collection import CollectionPolicy
from dockreg.model.digest import Digest
from dockreg.model.platforms import Platform
from dockreg.providers.blobs.filesystem import FilesystemBlobStore
from dockreg.providers.metadata import tables
from dockreg.providers.metadata.rows import digest_of
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.registry import AnnouncedImages, Registry
from dockreg.uploadids import UploadIDs
from dockreg.uploads import Uploads
from dockreg.v1images import V1Images
from dockreg.v1views import V1Views
from tests.databases import write_database
from tests.unit.v1case import Policy

T = TypeVar("T")
BEGIN = 1_400_000_000.0
LEASE, GRACE, REPUSH = 1000.0, 100.0, 3000.0
POLICY = CollectionPolicy(GRACE, LEASE, REPUSH)


class Jobs:
    """Work for threads, in the order in which the test wants it."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []
        self._never: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def in_thread(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Awaitable[T]:
        """The result of ``function``, when the test runs it."""
        done: Deferred[T] = Deferred()

        def run() -> None:
            try:
                result = function(*args, **kwargs)
            except Exception:  # noqa: BLE001 - it goes to who waits for it
                done.errback(Failure())
            else:
                done.callback(result)

        self._waiting.append(run)
        return done

    def run(self, number: int = 0) -> None:
        """Run one of those that wait."""
        self._waiting.pop(number % len(self._waiting))()

    def run_all(self) -> None:
        while self._waiting:
            self.run()

    def forget(self) -> None:
        """What has not begun is never done, and nobody cleans up: the process is gone."""
        self._never += self._waiting
        self._waiting.clear()


@define(eq=False)
class Worker:
    """One process of a registry."""

    folder: Path
    jobs: Jobs
    clock: Clock
    new_id: Callable[[], str]
    policy: CollectionPolicy
    metadata: SQLMetadataStore = field(init=False)
    blobs: FilesystemBlobStore = field(init=False)
    registry: Registry = field(init=False)
    uploads: Uploads = field(init=False)
    manifests: Manifests = field(init=False)
    images: V1Images = field(init=False)
    collector: Collector = field(init=False)

    def __attrs_post_init__(self) -> None:
        run = self.jobs.in_thread
        self.metadata = SQLMetadataStore(f"sqlite:///{self.folder}/metadata.sqlite3", run)
        self.blobs = FilesystemBlobStore(self.folder / "blobs", run, self.new_id)
        registry = Registry(self.metadata, self.blobs, Policy(), self.clock, run, self.policy.lease_seconds)
        views = V1Views(registry, Platform("linux", "amd64"))
        self.registry = registry
        numbers = count(1)
        ids = UploadIDs(self.metadata.keys, self.clock, self.new_id, lambda size: next(numbers).to_bytes(size))
        self.uploads = Uploads(registry, ids)
        self.manifests = Manifests(registry, views)
        self.images = V1Images(registry, AnnouncedImages(self.metadata), views)
        self.collector = Collector(
            self.metadata.collection, self.blobs, self.clock, self.policy, self.new_id(), CollectorLimits(1.0, 5, 100)
        )


class World:
    """Two processes of one registry. What they have begun goes on when the test lets it."""

    def __init__(self, folder: Path, policy: CollectionPolicy = POLICY, workers: int = 2) -> None:
        self.folder = folder
        self.policy = policy
        self.clock = Clock()
        self.clock.advance(BEGIN)
        self.jobs = Jobs()
        self._count = workers
        self._numbers = count(1)
        write_database(folder / "metadata.sqlite3")
        self.workers: list[Worker] = []
        self.start()

    def start(self) -> None:
        """As a registry starts: the database, and what a crash left among the blobs."""
        self.workers = [
            Worker(self.folder, self.jobs, self.clock, lambda: f"id-{next(self._numbers):014}", self.policy)
            for _ in range(self._count)
        ]
        for worker in self.workers:
            self.now(worker.metadata.open())
        self.recover()

    def recover(self) -> int:
        """Settle what processes that are gone left among the blobs."""
        metadata = self.workers[0].metadata
        return self.now(self.workers[0].blobs.recover(metadata.blobs.is_recorded, metadata.uploads.is_known))

    def stop(self) -> None:
        """Close the database."""
        for worker in self.workers:
            self.now(worker.metadata.close())

    def crash(self) -> None:
        """Both processes end where they are; the kernel drops their locks. Then they are started again."""
        self.jobs.forget()
        for worker in self.workers:
            folders = worker.blobs._folders
            for series in {*folders._series._current.values(), *folders._pending.values()}:
                os.close(series._descriptor)
            self.now(worker.metadata.close())
        self.start()

    def begin(self, work: Coroutine[Any, Any, T]) -> "Deferred[T]":
        """Begin something."""
        return Deferred.fromCoroutine(work)

    def now(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of something that nothing else comes between."""
        outcome: list[Any] = []
        _ = self.begin(work).addBoth(outcome.append)
        while not outcome:
            self.jobs.run()
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()
        return outcome[0]  # type: ignore[no-any-return]

    def rows(self, query: Any) -> Sequence[Any]:
        """What the database has."""

        def read(connection: Connection) -> Sequence[Any]:
            return connection.execute(query).all()

        database = self.workers[0].metadata._database
        return database._repeat(False, read)

    def objects(self) -> set[str]:
        """The names of stored objects."""
        return {path.name for path in (self.folder / "blobs").glob("sha*/*/*")}

    def recorded(self) -> set[str]:
        """The names of the objects that rows name."""
        query = select(tables.blobs.c.digest, tables.blobs.c.generation).where(tables.blobs.c.generation.is_not(None))
        return {f"{row.digest.partition(':')[2]}.{row.generation}" for row in self.rows(query)}

    def stored(self, digest: Digest) -> StoredBlob | None:
        """The object that a row names."""
        rows = self.rows(select(tables.blobs).where(tables.blobs.c.digest == str(digest)))
        return StoredBlob(digest_of(rows[0].digest), rows[0].generation, rows[0].size) if rows else None

    def digests(self) -> set[Digest]:
        """The blobs that there are."""
        return {digest_of(row.digest) for row in self.rows(select(tables.blobs.c.digest))}

    def collect_all(self) -> None:
        """Let all time pass that anything could wait for, with collections in between."""
        collector = self.workers[0].collector
        for _ in range(8):
            if not self.now(collector.collection.queued(None, 1)):
                break
            self.clock.advance(max(LEASE, REPUSH, GRACE) + 1)
            self.now(drain(collector))


async def drain(collector: Collector, *, grace: bool = True) -> list[Any]:
    """Collect all that is due."""
    return [verdict async for verdict in collector.collect(grace=grace)]
