"""Tests for dockreg.collector: crashes between its steps, clocks that are set, failing stores."""

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import StoreUnavailable
from dockreg.model.access import Principal
from dockreg.model.blobs import StoredBlob
from dockreg.model.collection import Kind
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName
from tests.unit.collectioncase import LEASE, Worker, World, drain

NAME, JOE = RepositoryName("demo/app"), Principal("joe")
CONTENT = b"content"
DIGEST = Digest.sha256(CONTENT)


class CollectorTests(SynchronousTestCase):
    """Two processes on one database and one folder."""

    def setUp(self) -> None:
        self.world = World(Path(self.mktemp()).absolute())
        self.addCleanup(self.world.stop)

    def worker(self, number: int = 0) -> Worker:
        """One of the processes."""
        return self.world.workers[number]

    def upload(self) -> None:
        """Push the blob."""

        async def work() -> None:
            part = await self.worker().uploads.begin(JOE, NAME, DIGEST)
            await part.write([CONTENT])
            await part.commit(DIGEST)

        self.world.now(work())
        self.world.jobs.run_all()

    def is_whole(self) -> bool:
        """Whether the repository has the blob, and the blob its object."""
        found = self.world.now(self.worker().metadata.blobs.find_in(NAME, DIGEST))
        return found is not None and self.world.recorded() <= self.world.objects()

    def test_lease(self) -> None:
        """What was uploaded stays for its lease, which is renewed for who is told of it, and then goes."""
        self.upload()
        self.world.clock.advance(LEASE * 0.55)
        self.world.now(self.worker().registry.told_blob(JOE, NAME, DIGEST))
        self.world.clock.advance(LEASE * 0.99)
        self.world.now(drain(self.worker().collector))
        self.assertTrue(self.is_whole())
        self.world.clock.advance(LEASE * 0.01)
        self.world.now(drain(self.worker().collector))
        self.assertEqual((None, set()), (self.world.stored(DIGEST), self.world.objects()))

    def test_crash_before_the_object_is_removed(self) -> None:
        """The next round removes it; what was pushed meanwhile under the same digest is another object, and stays."""
        self.upload()
        # The start settles the series of the object: it is not for the next one to remove it.
        self.world.crash()
        self.world.clock.advance(LEASE + 1)
        old = self.world.objects()
        _ = self.world.begin(drain(self.worker().collector))
        while self.world.stored(DIGEST) is not None:
            self.world.jobs.run()
        self.world.crash()
        self.assertEqual(old, self.world.objects())
        self.upload()
        self.world.now(drain(self.worker().collector))
        self.assertTrue(self.is_whole())
        self.assertEqual(1, len(self.world.objects()))
        self.assertFalse(old & self.world.objects())

    def test_crash_after_the_object_was_removed(self) -> None:
        """That an object was removed and nobody could note it does no harm."""
        self.upload()
        self.world.clock.advance(LEASE + 1)
        _ = self.world.begin(drain(self.worker().collector))
        while self.world.objects():
            self.world.jobs.run()
        self.world.crash()
        self.world.now(drain(self.worker().collector))
        backlog = self.world.now(self.worker().metadata.collection.backlog(self.world.clock.seconds()))
        self.assertEqual((0, 0, 0), (backlog.due, backlog.waiting, backlog.objects))

    def test_one_leads(self) -> None:
        """While one process collects, another one does nothing; when it is gone, the other one takes over."""
        for number in (0, 1):
            self.world.now(self.worker(number).collector.tick())
        self.assertEqual([True, False], [bool(self.worker(number).collector.figures.last_run) for number in (0, 1)])
        self.world.clock.advance(7)
        self.world.now(self.worker(1).collector.tick())
        self.assertTrue(self.worker(1).collector.figures.last_run)

    def test_clock(self) -> None:
        """After a jump of the clock nothing is removed for a whole lease."""
        self.upload()
        collector = self.worker().collector
        self.world.now(collector.tick())
        self.world.clock.advance(LEASE * 10)
        self.world.now(collector.tick())
        self.assertTrue(self.is_whole())
        self.assertEqual(self.world.clock.seconds() + LEASE, collector.figures.paused_until)
        for _ in range(6):
            self.world.clock.advance(LEASE / 5)
            self.world.now(collector.tick())
        self.assertEqual(set(), self.world.objects())

    def test_object_that_stays(self) -> None:
        """An object that can not be removed is counted and tried again, and keeps no other from being removed."""
        self.upload()
        self.world.clock.advance(LEASE + 1)
        collector, store = self.worker().collector, self.worker().blobs
        refused = [True]

        async def delete(blob: StoredBlob) -> None:
            if refused.pop():
                refused.append(False)
                raise StoreUnavailable("the disk does not work")
            refused.append(False)
            await type(store).delete(store, blob)

        self.patch(store, "delete", delete)
        self.world.now(drain(collector))
        self.assertEqual((1, 1), (collector.figures.failures, len(self.world.objects())))
        self.world.now(drain(collector))
        self.assertEqual((1, 1, set()), (collector.figures.failures, collector.figures.objects, self.world.objects()))

    def test_plan(self) -> None:
        """What would be removed is told with what follows from it, and nothing is changed."""
        self.upload()
        self.world.clock.advance(LEASE + 1)

        async def plan() -> list[tuple[Kind, int]]:
            return [(each.item.kind, each.size) async for each in self.worker().collector.plan()]

        for _ in range(2):
            self.assertEqual([(Kind.LINK, 0), (Kind.BLOB, len(CONTENT))], self.world.now(plan()))
        self.assertTrue(self.is_whole())

    def test_reconciliation(self) -> None:
        """Objects that no row names are removed, and one that is about to be recorded is not."""
        self.upload()
        for folder, generation in ((DIGEST.encoded[:2], "stray"), ("ended", "ended~1")):
            stray = self.world.folder / "blobs" / "sha256" / folder / f"{DIGEST.encoded}.{generation}"
            stray.parent.mkdir()
            stray.write_bytes(CONTENT)

        async def commit() -> StoredBlob:
            upload = await self.worker(1).blobs.start_upload()
            await upload.write([b"other"])
            return await upload.commit()

        committed: StoredBlob = self.world.now(commit())
        self.world.now(self.worker().collector.sweep_all())
        self.assertEqual(2, self.worker().collector.figures.orphans)
        names = {f"{committed.digest.encoded}.{committed.generation}"} | self.world.recorded()
        self.assertEqual(names, self.world.objects())

    def test_race_with_an_answer(self) -> None:
        """Whoever is told that something is there finds it there, wherever a collection comes between."""
        for steps in range(12):
            self.upload()
            self.world.clock.advance(LEASE + 1)
            collecting = self.world.begin(drain(self.worker().collector))
            for _ in range(steps):
                if len(self.world.jobs):
                    self.world.jobs.run()
            told: Deferred[object] = self.world.begin(self.worker(1).registry.told_blob(JOE, NAME, DIGEST))
            outcomes: list[bool] = []
            _ = told.addCallbacks(lambda _: outcomes.append(True), lambda _: outcomes.append(False))  # noqa: B023
            while len(self.world.jobs):
                self.world.jobs.run(-1)
            self.successResultOf(collecting)
            self.assertEqual(outcomes, [self.is_whole()], steps)
