"""Tests for dockreg.blobupload: a blob is recorded by the thread that has written it, or by one of the database."""

from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred

from dockreg.errors import BodyTooLarge, StoreUnavailable, UploadUnknown
from dockreg.errors_quotas import QuotaExceeded
from dockreg.model.blobs import Received, Recorded, StoredBlob
from dockreg.model.conditions import Condition
from dockreg.model.digest import Digest
from dockreg.model.uploads import UploadLimits
from dockreg.quotas import Quotas
from tests.unit.v1case import ONE, TWO
from tests.unit.v2case import CONTENT, DIGEST, JOE, RecordingTestCase, ThreadedTestCase


class HereTests(RecordingTestCase):
    """What becomes of a blob whose bytes are all there."""

    def objects(self) -> int:
        """How many objects there are, wherever they belong to."""
        return sum(path.is_file() for path in (self.folder / "sha256").rglob("*"))

    def test_new(self) -> None:
        """It is recorded, and nothing unfinished is left."""
        self.result(self.finish(ONE, self.start(), CONTENT, DIGEST))
        self.assertEqual((CONTENT, []), (self.content(ONE, DIGEST), self.files()))

    def test_there_already(self) -> None:
        """Another object of the same bytes stays the one that is read, and the new one goes."""
        self.result(self.finish(ONE, self.start(), CONTENT, DIGEST))
        before = self.find()
        self.result(self.finish(TWO, self.start(TWO), CONTENT, DIGEST))
        self.assertEqual((before, 1, []), (self.find(), self.objects(), self.files()))
        self.assertEqual(CONTENT, self.content(TWO, DIGEST))

    def test_lost(self) -> None:
        """One that was lost is replaced, and put aside."""
        self.result(self.finish(ONE, self.start(), CONTENT, DIGEST))
        before = self.find()
        self.result(self.metadata.conditions.note(before, Condition.DAMAGED, 1.0))
        self.result(self.finish(ONE, self.start(), CONTENT, DIGEST))
        self.assertNotEqual(before, self.find())
        self.assertIsNone(self.find().lost)
        self.assertEqual((1, []), (self.objects(), self.files()))
        aside = [path.name for path in (self.folder / "quarantine").iterdir()]
        self.assertEqual([f"{DIGEST.encoded}.{before.generation}"], aside)

    def test_no_room(self) -> None:
        """Nothing is left of one that its namespace has no room for."""
        self.result(self.metadata.quotas.set_quota(ONE.namespace, 5))
        upload_id = self.start()
        self.refused(QuotaExceeded, self.finish(ONE, upload_id, CONTENT, DIGEST))
        self.assertIsNone(self.result(self.metadata.blobs.find(DIGEST)))
        self.assertEqual((0, []), (self.objects(), self.files()))

    def test_counted(self) -> None:
        """What was reserved for one that is one request is counted as the blob's from then on."""
        self.result(self.metadata.quotas.set_quota(ONE.namespace, 50))
        quotas = self.registry.quotas = Quotas(self.metadata, self.clock, lambda: "own")
        self.result(quotas.begin())
        self.result(self.bring(ONE, CONTENT))
        usage = self.result(self.metadata.quotas.usage(ONE.namespace))
        self.assertEqual((10, 0), (usage.used, usage.reserved))

    def test_counted_and_not_recorded(self) -> None:
        """What was reserved for one that is one request is given back when that could not be recorded."""
        self.result(self.metadata.quotas.set_quota(ONE.namespace, 50))
        quotas = self.registry.quotas = Quotas(self.metadata, self.clock, lambda: "own")
        self.result(quotas.begin())

        def fail(*_args: Any, **_options: Any) -> Any:
            raise StoreUnavailable("the database went away")

        with (
            patch.object(self.metadata.blobs, "record_in", fail),
            patch.object(self.metadata.blobs, "recorder", lambda *_args: fail),
        ):
            self.refused(StoreUnavailable, self.bring(ONE, CONTENT))
        usage = self.result(self.metadata.quotas.usage(ONE.namespace))
        self.assertEqual((0, 0, 0, []), (usage.used, usage.reserved, self.objects(), self.files()))

    def test_too_large(self) -> None:
        """One that grew over the limit by another request is not recorded."""
        upload_id = self.start()
        self.result(self.append(ONE, upload_id, CONTENT[:5]))
        part = self.result(self.uploads.resume(JOE, ONE, upload_id, None, DIGEST))
        part._limits = UploadLimits(max_blob=4)
        self.refused(BodyTooLarge, part.commit(Digest.sha256(CONTENT[:5])))
        self.assertIsNone(self.result(self.metadata.blobs.find(Digest.sha256(CONTENT[:5]))))
        self.assertEqual((0, []), (self.objects(), self.files()))

    def test_failed_to_say(self) -> None:
        """One whose transaction took place, though the database failed to say so, is there; its series is settled by a start."""
        record_in, recorder = self.metadata.blobs.record_in, self.metadata.blobs.recorder

        async def silent(*args: Any, **options: Any) -> None:
            await record_in(*args, **options)
            raise StoreUnavailable("the database went away")

        def silent_here(*args: Any) -> object:
            def record(blob: StoredBlob) -> Recorded:
                recorder(*args)(blob)
                raise StoreUnavailable("the database went away")

            return record

        with (
            patch.object(self.metadata.blobs, "record_in", silent),
            patch.object(self.metadata.blobs, "recorder", silent_here),
        ):
            self.refused(StoreUnavailable, self.finish(ONE, self.start(), CONTENT, DIGEST))
        self.assertEqual((CONTENT, 1, []), (self.content(ONE, DIGEST), self.objects(), self.files()))

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
            self.assertEqual((content, []), (self.content(ONE, digest), self.files()))
        self.assertIn(jobs, range(1, 19))


class SuspendingTests(RecordingTestCase):
    """What becomes of bytes when their request ends."""

    def noted(self, upload_id: str) -> Received:
        """What is noted of a session."""
        received: Received = self.result(self.metadata.uploads.get(ONE, upload_id)).received
        return received

    def test_noted(self) -> None:
        """They are noted, each time, and the session goes on behind them."""
        upload_id = self.start()
        for first in (0, 4, 8):
            self.result(self.append(ONE, upload_id, CONTENT[first : first + 4], offset=first))
            arrived = CONTENT[: first + 4]
            self.assertEqual(Received(len(arrived), Digest.sha256(arrived)), self.noted(upload_id))
        self.result(self.finish(ONE, upload_id, b"", DIGEST))
        self.assertEqual((CONTENT, []), (self.content(ONE, DIGEST), self.files()))

    def test_ended_meanwhile(self) -> None:
        """A session that has ended keeps nothing."""
        for content in (b"", CONTENT[:4]):
            upload_id = self.start()
            if content:
                self.result(self.append(ONE, upload_id, content))
            part = self.result(self.uploads.resume(JOE, ONE, upload_id))
            self.result(part.write([CONTENT]))
            self.result(self.metadata.uploads.end(upload_id))
            self.refused(UploadUnknown, part.pause())
            self.assertEqual([], self.files())

    def test_silent_database(self) -> None:
        """The bytes stay while the database does not answer, and the session goes on."""
        upload_id = self.start()
        part = self.result(self.uploads.resume(JOE, ONE, upload_id))
        self.result(part.write([CONTENT[:4]]))
        self.result(self.metadata.close())
        self.refused(StoreUnavailable, part.pause())
        self.result(self.metadata.open())
        self.result(self.append(ONE, upload_id, CONTENT[4:], offset=4))
        self.result(self.finish(ONE, upload_id, b"", DIGEST))
        self.assertEqual((CONTENT, []), (self.content(ONE, DIGEST), self.files()))

    def test_went_away(self) -> None:
        """A client that goes away at any moment leaves a session that goes on."""
        for jobs in range(20):
            digest, upload_id = Digest.sha256(content := b"%d" % jobs), self.start()
            if not self.cancelled_after(jobs, self.append(ONE, upload_id, content)):
                break
            size = self.result(self.uploads.size(JOE, ONE, upload_id))
            self.result(self.finish(ONE, upload_id, content[size:], digest))
            self.assertEqual((content, []), (self.content(ONE, digest), self.files()))
        self.assertIn(jobs, range(1, 19))


class SuspendingElsewhereTests(SuspendingTests):
    """The same when so many record in threads for bytes that these are not to be taken up."""

    others = 8


class ElsewhereTests(HereTests):
    """The same when so many record in threads for bytes that these are not to be taken up."""

    others = 8


class JobsTests(ThreadedTestCase):
    """What a push is made of."""

    def test_one_job(self) -> None:
        """One whose bytes are few is one job of a thread; with many others its note goes by another one."""
        for others, expected in ((0, 1), (8, 2)):
            self.registry.recording_here = others
            digest = Digest.sha256(content := b"%d" % others)
            part = self.result(self.uploads.resume(JOE, ONE, self.start(), None, digest, soon=True))
            done = Deferred.fromCoroutine(part.commit(digest, [content]))
            jobs = 0
            while self.threads._jobs:
                jobs += 1
                self.threads.run()()
            self.successResultOf(done)
            self.assertEqual((expected, content), (jobs, self.content(ONE, digest)))
