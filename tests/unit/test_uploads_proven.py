"""Tests for dockreg.uploads: sessions that nobody has written down, in several processes."""

import os
from itertools import count
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred

from dockreg.errors import DigestInvalid, UploadBusy, UploadUnknown
from dockreg.errors_quotas import QuotaExceeded
from dockreg.model.blobs import NOTHING_RECEIVED, Recorded, StoredBlob
from dockreg.model.digest import Digest
from dockreg.model.uploads import UploadLimits
from dockreg.providers.blobs.filesystem import FilesystemBlobStore
from dockreg.quotas import Quotas
from dockreg.registry import Registry
from dockreg.room import Room
from dockreg.uploadids import UploadIDs
from dockreg.uploads import Uploads
from tests.unit.statements import statements
from tests.unit.v1case import ONE, TWO, here
from tests.unit.v2case import JANE, JOE, ThreadedTestCase

CONTENT = b"0123456789"
DIGEST = Digest.sha256(CONTENT)


class ProvenTests(ThreadedTestCase):
    """A session gets a row when it has received something that is to be kept, or never."""

    def setUp(self) -> None:
        super().setUp()
        numbers = count(1000)
        ids = UploadIDs(self.metadata.keys, self.clock, lambda: "other key", lambda size: next(numbers).to_bytes(size))
        registry = Registry(self.metadata, self.registry.blobs, self.policy, self.clock, self.registry.in_thread)
        self.other = Uploads(registry, ids, UploadLimits())

    def check_gone(self, upload_id: str) -> None:
        """It is unknown to everybody, and nothing is left of it."""
        for uploads in (self.uploads, self.other):
            for work in (
                uploads.size(JOE, ONE, upload_id),
                uploads.resume(JOE, ONE, upload_id),
                uploads.cancel(JOE, ONE, upload_id),
            ):
                self.refused(UploadUnknown, work)
        self.assertEqual([], self.files())

    def is_known(self, upload_id: str) -> bool:
        """Whether it has a row."""
        return bool(self.result(self.metadata.uploads.is_known(upload_id)))

    def test_one_request(self) -> None:
        """One whose bytes come with its end has no row, in whichever process, and is unknown from then on."""
        upload_id = self.start()
        self.assertEqual(0, self.result(self.other.size(JOE, ONE, upload_id)))
        part = self.result(self.other.resume(JOE, ONE, upload_id, None, DIGEST, soon=True))
        self.assertFalse(self.is_known(upload_id))
        self.result(part.commit(DIGEST, [CONTENT]))
        self.assertFalse(self.is_known(upload_id))
        self.check_gone(upload_id)

    def test_several_requests(self) -> None:
        """What has arrived is known to the next process, which ends it."""
        upload_id = self.start()
        self.result(self.append(ONE, upload_id, CONTENT[:4]))
        self.assertTrue(self.is_known(upload_id))
        self.assertEqual(4, self.result(self.other.size(JOE, ONE, upload_id)))
        part = self.result(self.other.resume(JOE, ONE, upload_id, 4, DIGEST))
        self.result(part.commit(DIGEST, [CONTENT[4:]]))
        self.check_gone(upload_id)

    def test_begun_again(self) -> None:
        """Another session like one that was begun is as good, until it has to be written down, or there may be no room."""
        begun = self.result(self.uploads.start(JOE, ONE))
        assert begun.again is not None
        upload_id = begun.again()
        assert upload_id is not None
        self.assertNotEqual(begun.session.upload_id, upload_id)
        self.assertFalse(self.is_known(upload_id))
        self.assertEqual(0, self.result(self.other.size(JOE, ONE, upload_id)))
        self.refused(UploadUnknown, self.other.size(JANE, ONE, upload_id))
        self.result(self.finish(ONE, upload_id, CONTENT, DIGEST))
        self.check_gone(upload_id)
        self.registry.room = Room(self.registry.blobs, self.clock, 1)
        self.assertIsNone(begun.again())
        self.result(self.registry.room.require())
        self.assertIsNotNone(begun.again())
        quotas = self.registry.quotas = Quotas(self.metadata, self.clock, lambda: "id")
        self.assertIsNotNone(begun.again())
        quotas.counting = True
        self.assertIsNone(begun.again())
        self.assertIsNone(self.result(self.uploads.start(JOE, ONE)).again)
        quotas.counting = False
        self.assertIsNotNone(begun.again())

    def test_begun_before(self) -> None:
        """When the clock was ahead once, a session has a row, and none is begun like it."""
        self.clock.advance(1000 * self.uploads.limits.session_seconds)
        self.result(self.metadata.uploads.expire(self.clock.seconds(), 100))
        self.clock.advance(-500 * self.uploads.limits.session_seconds)
        begun = self.result(self.uploads.start(JOE, ONE))
        self.assertTrue(self.is_known(begun.session.upload_id))
        self.assertIsNone(begun.again)

    def test_not_asked(self) -> None:
        """One that has just begun here is looked up when anybody has written since, and once it has been gone on with."""
        for written in (False, True):
            upload_id = self.start()
            if written:
                self.result(self.bring(TWO, b"by somebody else"))
            for again in (False, True):
                with statements() as seen:
                    part = self.result(self.uploads.resume(JOE, ONE, upload_id, None, DIGEST, soon=True))
                asked = any(" uploads " in statement for statement, _ in seen)
                self.assertEqual(written or again, asked)
                self.result(part.release())

    def test_not_theirs(self) -> None:
        """Who has not begun it, or names another repository, is told that there is none; who has goes on."""
        for principal, name in ((JANE, ONE), (JOE, TWO)):
            upload_id = self.start()
            self.refused(UploadUnknown, self.uploads.resume(principal, name, upload_id, None, DIGEST, soon=True))
            self.result(self.finish(ONE, upload_id, CONTENT, DIGEST))
            self.refused(UploadUnknown, self.uploads.resume(JOE, ONE, upload_id, None, DIGEST, soon=True))

    def test_many_begun(self) -> None:
        """What is remembered of those that were begun and left is bounded, and all of them last."""
        again = self.result(self.uploads.start(JOE, ONE)).again
        assert again is not None
        ids = [str(again()) for _ in range(1500)]
        self.assertLess(len(self.uploads._new), 1500)
        for upload_id in (ids[0], ids[-1]):
            self.assertEqual(0, self.result(self.uploads.size(JOE, ONE, upload_id)))

    def test_cancelled(self) -> None:
        """A session that was cancelled is unknown, whether it had received anything or not."""
        for content in (b"", CONTENT):
            upload_id = self.start()
            if content:
                self.result(self.append(ONE, upload_id, content))
            self.result(self.other.cancel(JOE, ONE, upload_id))
            self.check_gone(upload_id)

    def test_nothing_came(self) -> None:
        """Requests that bring nothing leave neither a row nor a file, and the session goes on."""
        upload_id = self.start()
        for finish in (False, True):
            part = self.result(self.uploads.resume(JOE, ONE, upload_id, 0, DIGEST if finish else None))
            self.result(part.pause())
            part = self.result(self.uploads.resume(JOE, ONE, upload_id, 0))
            self.result(part.release())
        self.assertFalse(self.is_known(upload_id))
        self.assertEqual([], self.files())
        self.result(self.append(ONE, upload_id, CONTENT))
        self.assertEqual(10, self.result(self.uploads.size(JOE, ONE, upload_id)))

    def test_went_away_at_once(self) -> None:
        """A client that goes away while its session is opened leaves no file, for nothing else tells of one that is empty."""
        upload_id = self.start()
        self.assertTrue(self.cancelled_after(0, self.uploads.resume(JOE, ONE, upload_id)))
        self.assertEqual([], self.files())
        self.result(self.append(ONE, upload_id, CONTENT[:4]))
        self.assertTrue(self.cancelled_after(0, self.uploads.resume(JOE, ONE, upload_id)))
        self.assertEqual(4, self.result(self.uploads.size(JOE, ONE, upload_id)))

    def test_ended_meanwhile(self) -> None:
        """Who has looked at a session before it ended keeps nothing for it."""
        upload_id = self.start()
        late = self.result(self.other.resume(JOE, ONE, upload_id, None, DIGEST, soon=True))
        self.result(self.finish(ONE, upload_id, CONTENT, DIGEST))
        self.result(late.write([CONTENT]))
        self.refused(UploadUnknown, late.pause())
        self.check_gone(upload_id)

    def test_begun_again_meanwhile(self) -> None:
        """What another request has brought while a session was ended is dropped with it."""
        uploads = self.metadata.uploads
        end = uploads.end

        async def late(upload_id: str) -> None:
            await self.append(ONE, upload_id, CONTENT)
            await end(upload_id)

        with patch.object(uploads, "end", late):
            upload_id = self.start()
            self.result(self.other.cancel(JOE, ONE, upload_id))
            self.check_gone(upload_id)
            upload_id = self.start()
            self.refused(DigestInvalid, self.finish(ONE, upload_id, b"other", DIGEST))
            self.check_gone(upload_id)

    def test_ended_and_busy(self) -> None:
        """Who finds his session ended drops its file though somebody has just looked at that, and is told that it has ended."""
        blobs = self.registry.blobs
        upload_id = self.start()
        late = self.result(self.uploads.resume(JOE, ONE, upload_id, None, DIGEST, soon=True))
        self.result(self.finish(ONE, upload_id, CONTENT, DIGEST))
        self.result(late.write([CONTENT]))
        drop, busy = blobs.drop_upload, [upload_id]

        async def drop_soon(each: str) -> None:
            if busy:
                raise UploadBusy(busy.pop())
            await drop(each)

        with patch.object(blobs, "drop_upload", drop_soon):
            self.refused(UploadUnknown, late.pause())
        self.check_gone(upload_id)

    def test_not_let_go_yet(self) -> None:
        """Who has noted what he received, and is about to let go of the file, does not make it stay."""
        uploads, blobs = self.metadata.uploads, self.registry.blobs
        end, drop = uploads.end, blobs.drop_upload
        busy = 0

        async def late(upload_id: str) -> None:
            nonlocal busy
            await self.append(ONE, upload_id, CONTENT)
            await end(upload_id)
            busy = 3

        async def drop_soon(upload_id: str) -> None:
            nonlocal busy
            if busy:
                busy -= 1
                raise UploadBusy(upload_id)
            await drop(upload_id)

        upload_id = self.start()
        with patch.object(uploads, "end", late), patch.object(blobs, "drop_upload", drop_soon):
            self.result(self.uploads.cancel(JOE, ONE, upload_id))
        self.check_gone(upload_id)

    def test_let_go_later(self) -> None:
        """Who takes his time to let go of a file that he has noted before the end does not make it stay, either."""
        uploads, blobs = self.metadata.uploads, self.registry.blobs
        end, held = uploads.end, list[Any]()

        async def late(upload_id: str) -> None:
            await end(upload_id)
            held.append(await blobs.resume_upload(upload_id, NOTHING_RECEIVED))

        upload_id = self.start()
        with patch.object(uploads, "end", late):
            self.result(self.uploads.cancel(JOE, ONE, upload_id))
        self.result(held[0].write([CONTENT]))
        self.clock.advance(0.1)
        self.result(held[0].suspend())
        self.assertEqual(1, len(self.files()))
        self.clock.advance(1)
        self.check_gone(upload_id)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_begun_again_before_its_end(self) -> None:
        """What another request has brought before the blob of a session was recorded is dropped with it."""
        recorder = self.metadata.blobs.recorder
        upload_id = self.start()

        def late(*args: Any) -> Any:
            def record(blob: StoredBlob) -> Recorded:
                self.result(self.append(ONE, upload_id, b"more"))
                return recorder(*args)(blob)

            return record

        with patch.object(self.metadata.blobs, "recorder", late):
            self.result(self.finish(ONE, upload_id, CONTENT, DIGEST))
        self.check_gone(upload_id)
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))

    def test_others(self) -> None:
        """It is its owner's and its repository's."""
        upload_id = self.start()
        for principal, name in ((JANE, ONE), (JOE, TWO)):
            self.refused(UploadUnknown, self.other.size(principal, name, upload_id))
            self.refused(UploadUnknown, self.other.cancel(principal, name, upload_id))
        self.assertEqual(0, self.result(self.other.size(JOE, ONE, upload_id)))

    def test_older(self) -> None:
        """A session that an earlier version has begun goes on, and ends."""
        upload_id = "a" * 24
        session = self.result(self.uploads.start(JOE, ONE)).session
        old = type(session)(upload_id, ONE, JOE.name, "sha256", session.received, 1.0)
        self.result(self.metadata.uploads.start(old, self.clock.seconds() + 100))
        self.result(self.append(ONE, upload_id, CONTENT[:4]))
        self.result(self.finish(ONE, upload_id, CONTENT[4:], DIGEST))
        self.check_gone(upload_id)

    def test_quotas_meanwhile(self) -> None:
        """A session from before blobs were counted is counted from its next request on."""
        upload_id = self.start()
        quotas = self.registry.quotas = Quotas(self.metadata, self.clock, lambda: "own")
        self.result(self.metadata.quotas.set_quota(ONE.namespace, 5))
        self.result(quotas.begin())
        part = self.result(self.uploads.resume(JOE, ONE, upload_id))
        self.assertTrue(self.is_known(upload_id))
        self.refused(QuotaExceeded, part.expect(6))
        self.result(part.release())
        self.assertEqual(0, self.result(self.uploads.size(JOE, ONE, upload_id)))

    def test_quotas_in_this_moment(self) -> None:
        """Nothing is reserved by a request that began before blobs were counted, for there is no row to reserve it for."""
        upload_id = self.start()
        quotas = self.registry.quotas = Quotas(self.metadata, self.clock, lambda: "own")
        resuming = Deferred.fromCoroutine(self.uploads.resume(JOE, ONE, upload_id))
        quotas.counting = True
        self.threads.run_all()
        part = self.successResultOf(resuming)
        self.result(part.write([CONTENT]))
        self.result(part.pause())
        self.assertEqual(10, self.result(self.uploads.size(JOE, ONE, upload_id)))

    def test_clock_was_ahead(self) -> None:
        """After a clock that was ahead sessions have rows, for the ids of those times have ended."""
        self.result(self.metadata.uploads.expire(2 * self.clock.seconds(), 10))
        upload_id = self.start()
        self.assertTrue(self.is_known(upload_id))
        self.result(self.finish(ONE, upload_id, CONTENT, DIGEST))
        self.check_gone(upload_id)

    def test_start_beside(self) -> None:
        """A process that starts while a session gets its first bytes leaves them alone."""
        upload_id = self.start()
        part = self.result(self.uploads.resume(JOE, ONE, upload_id))
        self.result(part.write([CONTENT]))
        asked: list[bool] = []

        async def is_resumable(each: str) -> bool:
            known = self.is_known(each)
            if not asked:
                self.result(part.pause())
            asked.append(known)
            return known

        beside = FilesystemBlobStore(self.folder, here, lambda: "beside-000000001")
        self.assertEqual(0, self.result(beside.recover(self.metadata.blobs.is_recorded, is_resumable)))
        self.assertEqual([False, True], asked)
        self.result(self.finish(ONE, upload_id, b"", DIGEST))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))

    def test_killed(self) -> None:
        """What a process leaves that is killed while it receives goes with the next start: nobody was told of it."""
        upload_id = self.start()
        part = self.result(self.uploads.resume(JOE, ONE, upload_id))
        self.result(part.write([CONTENT]))
        os.close(part._upload._descriptor)
        beside = FilesystemBlobStore(self.folder, here, lambda: "beside-000000001")
        self.assertEqual(
            1, self.result(beside.recover(self.metadata.blobs.is_recorded, self.metadata.uploads.is_known))
        )
        self.assertEqual([], self.files())
        self.assertEqual(0, self.result(self.uploads.size(JOE, ONE, upload_id)))
