"""Small blobs that are kept in the metadata, from their push to their end."""

from typing import Any
from unittest.mock import patch

from attrs import evolve
from sqlalchemy import select, update
from twisted.internet.defer import Deferred

from dockreg.collector import Collector
from dockreg.errors import BlobUnknown, DigestInvalid, StorageFull, StoreUnavailable, UploadUnknown
from dockreg.errors_blobs import BlobLost
from dockreg.errors_quotas import QuotaExceeded
from dockreg.fsck import Examination, Finding
from dockreg.model.access import Principal
from dockreg.model.blobs import Recorded, StoredBlob
from dockreg.model.collection import CollectionPolicy
from dockreg.model.conditions import Condition
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName
from dockreg.providers.blobs.remembering import RememberingBlobStore
from dockreg.providers.blobs.small import DividedBlobStore
from dockreg.providers.metadata.tables import blobs
from dockreg.room import Room
from dockreg.scrub import Scrub, ScrubLimits
from tests.unit.statements import statements
from tests.unit.v1case import ONE, TWO
from tests.unit.v2case import CONTENT, DIGEST, JANE, JOE, RecordingTestCase


class SmallCase(RecordingTestCase):
    """With a limit of ten bytes."""

    def setUp(self) -> None:
        super().setUp()
        self.use(DividedBlobStore(self.registry.blobs, self.metadata.blobs.content))
        self.registry.small_bytes = 10

    def stored(self) -> list[str]:
        """All files, finished or not."""
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file())

    def objects(self) -> list[str]:
        """The files of objects."""
        return [name for name in self.stored() if len(name) > len(DIGEST.encoded)]

    async def finish(
        self, name: RepositoryName, upload_id: str, content: bytes, digest: Digest, principal: Principal = JOE
    ) -> None:
        """The last bytes of a session, which come soon, as the door takes them."""
        part = await self.uploads.resume(principal, name, upload_id, None, digest, soon=True)
        try:
            await part.expect(len(content))
            await part.write([content[:3], content[3:]])
            await part.commit(digest)
        finally:
            await part.release()

    def pushed(self, name: Any = ONE, content: bytes = CONTENT) -> StoredBlob:
        """A blob, in a session that this is all of."""
        digest = Digest.sha256(content)
        self.result(self.finish(name, self.start(name), content, digest))
        return self.find(digest)

    def damage(self, content: bytes | None) -> None:
        """Change what is kept."""
        change = update(blobs).where(blobs.c.digest == str(DIGEST)).values(content=content)
        self.result(self.metadata._database.write(lambda connection: connection.execute(change)))


class SmallTests(SmallCase):
    """How they come, and are read."""

    def test_new(self) -> None:
        """One is recorded with its bytes, and there is no file at any time; its session has ended."""
        with patch("dockreg.providers.blobs.staging.os.open", side_effect=AssertionError):
            upload_id = self.start()
            self.result(self.finish(ONE, upload_id, CONTENT, DIGEST))
            self.assertTrue(self.find().in_metadata)
            self.assertEqual(CONTENT, self.content(ONE, DIGEST))
        self.assertEqual([], self.stored())
        self.refused(UploadUnknown, self.uploads.size(JOE, ONE, upload_id))

    def test_larger(self) -> None:
        """A larger one is a file, and so is what has come in several requests; both kinds are read side by side."""
        self.pushed()
        self.assertFalse(self.pushed(content=CONTENT + b"0").in_metadata)
        upload_id = self.start()
        self.result(self.append(ONE, upload_id, b"01234"))
        digest = Digest.sha256(b"0123401234")
        self.result(self.finish(ONE, upload_id, b"01234", digest))
        self.assertFalse(self.find(digest).in_metadata)
        for content in (CONTENT, CONTENT + b"0", b"0123401234"):
            self.assertEqual(content, self.content(ONE, Digest.sha256(content)))

    def test_off(self) -> None:
        """With a limit of 0 each is a file."""
        self.registry.small_bytes = 0
        self.assertFalse(self.pushed().in_metadata)
        self.assertFalse(self.pushed(content=b"").in_metadata)
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))

    def test_short_of_room(self) -> None:
        """So it is while the disk of the database has no more room than is to stay free there."""
        free = 1000

        async def free_for_rows() -> int:
            return free

        self.registry.room = Room(self.registry.blobs, self.clock, 1000, free_for_rows)
        self.assertFalse(self.pushed().in_metadata)
        free, content = 1001, b"later"
        self.clock.advance(1)
        self.assertTrue(self.pushed(content=content).in_metadata)
        self.assertEqual(content, self.content(ONE, Digest.sha256(content)))

    def test_there_already(self) -> None:
        """Another object of the same bytes stays the one that is read, wherever it is, and nothing is added."""
        for first, second in ((0, 10), (10, 0), (10, 10)):
            content = b"%d then %d" % (first, second)
            self.registry.small_bytes = first
            before = self.pushed(content=content)
            self.registry.small_bytes = second
            self.assertEqual(before, self.pushed(TWO, content))
            self.assertEqual(first > 0, before.in_metadata)
            self.assertEqual(content, self.content(TWO, before.digest))
        self.assertEqual(1, len(self.objects()))

    def test_other_digest(self) -> None:
        """What has another digest is not kept, and its session ends."""
        self.refused(DigestInvalid, self.finish(ONE, self.start(), CONTENT, Digest.sha256(b"other")))
        self.assertIsNone(self.result(self.metadata.blobs.find(DIGEST)))
        self.assertEqual([], self.stored())

    def test_busy(self) -> None:
        """Where another request writes to the session, this one has to wait, as for any blob; its bytes are not touched."""
        upload_id = self.start()
        other = self.result(self.uploads.resume(JOE, ONE, upload_id, None))
        self.result(other._upload.write([b"other"]))
        self.refused(Exception, self.finish(ONE, upload_id, CONTENT, DIGEST))
        self.result(other.pause())
        self.assertEqual(5, self.result(self.uploads.size(JOE, ONE, upload_id)))

    def test_mounted(self) -> None:
        """A mount is a row, as of any blob."""
        self.pushed()
        self.assertIsNotNone(self.result(self.uploads.mount(JOE, TWO, DIGEST, ONE)))
        self.assertEqual(CONTENT, self.content(TWO, DIGEST))

    def test_no_room(self) -> None:
        """Nothing is left of one that its namespace has no room for; one that has is counted."""
        self.result(self.metadata.quotas.set_quota(ONE.namespace, 9))
        self.refused(QuotaExceeded, self.finish(ONE, self.start(), CONTENT, DIGEST))
        self.assertIsNone(self.result(self.metadata.blobs.find(DIGEST)))
        self.assertEqual([], self.stored())
        self.result(self.metadata.quotas.set_quota(ONE.namespace, 10))
        self.pushed()
        self.assertEqual(10, self.result(self.metadata.quotas.usage(ONE.namespace)).used)

    def failing(self, problem: Exception, *, afterwards: bool = False) -> Any:
        """Have the database fail to record, or to say that it has."""
        recorder, record_in = self.metadata.blobs.recorder, self.metadata.blobs.record_in

        def here(*args: Any) -> object:
            def record(blob: StoredBlob) -> Recorded:
                if afterwards:
                    recorder(*args)(blob)
                raise problem

            return record

        async def later(*args: Any, **options: Any) -> None:
            if afterwards:
                await record_in(*args, **options)
            raise problem

        return patch.multiple(self.metadata.blobs, recorder=here, record_in=later)

    def test_not_recorded(self) -> None:
        """The session of one that could not be recorded goes on with its bytes, in this process or another one."""
        for problem in (StoreUnavailable("the database went away"), StorageFull()):
            upload_id = self.start()
            with self.failing(problem):
                self.refused(type(problem), self.finish(ONE, upload_id, CONTENT, DIGEST))
            self.assertEqual(10, self.result(self.uploads.size(JOE, ONE, upload_id)))
            self.result(self.finish(ONE, upload_id, b"", DIGEST))
            self.assertEqual(CONTENT, self.content(ONE, DIGEST))

    def test_failed_to_say(self) -> None:
        """One whose transaction took place, though the database failed to say so, is there, and nothing is left over."""
        with self.failing(StoreUnavailable("the database went away"), afterwards=True):
            self.refused(StoreUnavailable, self.finish(ONE, self.start(), CONTENT, DIGEST))
        self.assertEqual((CONTENT, []), (self.content(ONE, DIGEST), self.stored()))

    def test_went_away(self) -> None:
        """A client that goes away at any moment of the end leaves a blob, or a session that goes on."""
        for jobs in range(20):
            digest = Digest.sha256(content := b"%d" % jobs)
            upload_id = self.start()
            if not self.cancelled_after(jobs, self.finish(ONE, upload_id, content, digest)):
                break
            if self.result(self.metadata.blobs.find_in(ONE, digest)) is None:
                size = self.result(self.uploads.size(JOE, ONE, upload_id))
                self.result(self.finish(ONE, upload_id, content[size:], digest))
            self.assertEqual(content, self.content(ONE, digest))
        self.assertIn(jobs, range(1, 19))


class SmallByTheDatabaseTests(SmallTests):
    """The same, when as many others record where they are as may."""

    others = 8


class LostTests(SmallCase):
    """One that is not what it was."""

    def looked_at(self) -> Scrub:
        scrub = Scrub(
            self.metadata,
            self.registry.blobs,
            self.registry.soundness,
            self.clock,
            ScrubLimits(1 << 30),
            "this",
            lambda: False,
        )
        self.clock.advance(40 * 86400)
        done = self.outcome_of(scrub.round())
        self.assertIsNone(done)
        return scrub

    def outcome_of(self, work: Any) -> Any:
        done = Deferred.fromCoroutine(work)
        for _ in range(10):
            self.threads.run_all()
            self.clock.advance(1)
        return self.successResultOf(done)

    def examined(self, **how: Any) -> list[Finding]:
        examination = Examination(
            self.metadata, self.registry.blobs, self.registry.soundness, self.threads.in_thread, **how
        )

        async def findings() -> list[Finding]:
            return [each async for each in examination.run()]

        found: list[Finding] = self.result(findings())
        return found

    def test_scrub(self) -> None:
        """The scrub finds it, and nobody has it until it is pushed again; what was known of it is replaced with it."""
        self.pushed()
        self.assertEqual((1, 0), (self.looked_at().blobs, self.looked_at().lost))
        before = self.find()
        self.damage(CONTENT[::-1])
        self.assertEqual(1, self.looked_at().lost)
        self.assertEqual(Condition.DAMAGED, self.find().lost)
        self.refused(BlobLost, self.registry.find_blob(ONE, DIGEST))
        self.assertIsNone(self.result(self.uploads.mount(JOE, TWO, DIGEST, ONE)))
        after = self.pushed()
        self.assertNotEqual(before, after)
        self.assertIsNone(after.lost)
        self.assertEqual((CONTENT, []), (self.content(ONE, DIGEST), self.stored()))
        self.assertEqual(0, self.looked_at().lost)

    def test_read(self) -> None:
        """Who reads one whose bytes are not there finds it, too."""
        self.pushed()
        for content, condition in ((None, Condition.MISSING), (b"short", Condition.DAMAGED)):
            self.damage(content)
            self.refused(BlobLost, self.registry.read_blob(ONE, DIGEST, 100))
            self.assertEqual(condition, self.find().lost)
            self.pushed()
            self.assertEqual(CONTENT, self.content(ONE, DIGEST))

    def test_remembered(self) -> None:
        """Who remembers bytes that another process has found missing looks for them again, and does not say that they are there."""
        self.use(RememberingBlobStore(self.registry.blobs))
        before = self.pushed()
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))
        self.damage(None)
        self.result(self.metadata.conditions.note(before, Condition.MISSING, 1.0))
        self.refused(BlobLost, self.registry.find_blob(ONE, DIGEST))
        self.damage(CONTENT)
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))
        self.assertIsNone(self.find().lost)

    def test_verified(self) -> None:
        """With verification nobody gets all of one whose bytes have changed."""
        self.pushed()
        self.registry.soundness.verify = True
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))
        self.damage(CONTENT[::-1])
        self.refused(BlobLost, self.registry.read_blob(ONE, DIGEST, 100))
        self.assertEqual(Condition.DAMAGED, self.find().lost)

    def test_fsck(self) -> None:
        """An examination finds it, quick or not, and a repair makes it lost; a push repairs it."""
        self.pushed()
        self.assertEqual([], self.examined())
        self.assertEqual([], self.examined(quick=True))
        self.damage(CONTENT[::-1])
        self.assertEqual([], self.examined(quick=True))
        (finding,) = self.examined(repair=True)
        self.assertIn("damaged", finding.sentence)
        self.assertEqual(Condition.DAMAGED, self.find().lost)
        self.pushed()
        self.damage(b"short")
        self.assertEqual(1, len(self.examined(quick=True)))
        self.pushed()
        self.damage(CONTENT)
        self.assertEqual([], self.examined())


class CollectedTests(SmallCase):
    """The end of one that nobody needs."""

    def test_collected(self) -> None:
        """It goes with its row, as one in a file does; a push of the same bytes is another object."""
        before = self.pushed()
        self.pushed(content=b"a large one")
        collector = Collector(
            self.metadata.collection, self.registry.blobs, self.clock, CollectionPolicy(0, 0, 0), "this"
        )
        self.clock.advance(10 * 86400)

        async def collect() -> int:
            gone = len([each async for each in collector.collect()])
            await collector.sweep_all()
            return gone

        with statements() as seen:
            self.assertGreater(self.result(collect()), 0)
        # Nobody has read what goes.
        self.assertEqual([], [each for each, _ in seen if "blobs.content" in each])
        self.assertEqual((2, 21, 0), (collector.figures.objects, collector.figures.bytes, collector.figures.orphans))
        self.assertIsNone(self.result(self.metadata.blobs.find(DIGEST)))
        self.assertIsNone(self.result(self.metadata.blobs.content(before)))
        left = select(blobs.c.digest).where(blobs.c.content.is_not(None))
        rows = self.result(self.metadata._database.read(lambda connection: connection.execute(left).all()))
        self.assertEqual([], list(rows))
        after = self.pushed()
        self.assertNotEqual(before, after)
        self.refused(BlobLost, self.registry.blobs.open(before))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))

    def test_others(self) -> None:
        """Who has not got the blob is told nothing of it, and may push it."""
        self.pushed()
        self.refused(BlobUnknown, self.registry.find_blob(TWO, DIGEST))
        self.result(self.finish(TWO, self.start(TWO, JANE), CONTENT, DIGEST, JANE))
        self.assertEqual(CONTENT, self.content(TWO, DIGEST))
        self.assertEqual(evolve(self.find(), content=None), self.find())
