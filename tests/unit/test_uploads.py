"""Tests for dockreg.uploads: sessions by the clock, without a database, and cancelled; mounts by rights."""

from math import inf
from typing import Any

from dockreg.blobupload import GATHERED_BYTES, BlobUpload
from dockreg.errors import BodyTooLarge, DigestInvalid, RangeInvalid, StoreUnavailable, UploadBusy, UploadUnknown
from dockreg.jumps import Jumps
from dockreg.model.access import Action, Ceiling, Principal
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName
from dockreg.model.uploads import UploadLimits
from tests.unit.v1case import ONE, TWO
from tests.unit.v2case import JANE, JOE, NOBODY, ThreadedTestCase, V2TestCase

CONTENT = b"0123456789"
DIGEST = Digest.sha256(CONTENT)


class SessionTests(V2TestCase):
    """Whose sessions there are, and for how long."""

    def check_gone(self, upload_id: str) -> None:
        """Nobody can do anything with a session."""
        for work in (
            self.uploads.size(JOE, ONE, upload_id),
            self.uploads.resume(JOE, ONE, upload_id),
            self.uploads.cancel(JOE, ONE, upload_id),
        ):
            self.refused(UploadUnknown, work)
        self.assertEqual(0, self.result(self.registry.blobs.upload_size(upload_id)))

    def test_expiry(self) -> None:
        """A session ends when nobody has written to it for its time, not earlier, and its bytes go."""
        upload_id = self.start()
        self.result(self.append(ONE, upload_id, b"abc"))
        self.clock.advance(self.uploads.limits.session_seconds)
        self.assertEqual(0, self.result(self.uploads.expire()))
        self.assertEqual(3, self.result(self.uploads.size(JOE, ONE, upload_id)))
        self.clock.advance(1)
        self.assertEqual(1, self.result(self.uploads.expire()))
        self.check_gone(upload_id)

    def test_jump(self) -> None:
        """No session ends when the clock is set forward, for the whole time of one; then it does."""
        empty, begun = self.start(), self.start()
        self.result(self.append(ONE, begun, b"abc"))
        self.assertEqual(0, self.result(self.uploads.expire()))
        self.clock.advance(100 * self.uploads.limits.session_seconds)
        self.assertEqual(0, self.result(self.uploads.expire()))
        self.assertEqual([0, 3], [self.result(self.uploads.size(JOE, ONE, each)) for each in (empty, begun)])
        self.uploads._jumps = Jumps("a session", inf, 0)  # once that is over
        self.assertEqual(1, self.result(self.uploads.expire()))
        for each in (empty, begun):
            self.check_gone(each)

    def test_a_write_renews(self) -> None:
        """A write gives a session its whole time again; to ask how far it is does not."""
        written, asked = self.start(), self.start()
        self.uploads._jumps = Jumps("a session", inf, 0)  # as if it were asked for in between
        for _ in range(3):
            self.clock.advance(0.75 * self.uploads.limits.session_seconds)
            self.result(self.append(ONE, written, b"abc"))
            if self.clock.seconds() < 1_400_000_000 + self.uploads.limits.session_seconds:
                self.assertEqual(0, self.result(self.uploads.size(JOE, ONE, asked)))
                self.assertEqual(0, self.result(self.uploads.expire()))
        self.assertEqual(0, self.result(self.uploads.expire()))
        self.check_gone(asked)
        self.assertEqual(9, self.result(self.uploads.size(JOE, ONE, written)))

    def test_many(self) -> None:
        """All sessions whose time is over end at once, however many they are."""
        for _ in range(120):
            self.result(self.append(ONE, self.start(), b"abc"))
        self.clock.advance(self.uploads.limits.session_seconds + 1)
        kept = self.start()
        self.assertEqual(120, self.result(self.uploads.expire()))
        self.assertEqual(0, self.result(self.uploads.size(JOE, ONE, kept)))

    def test_others(self) -> None:
        """A session is its owner's and its repository's: to anybody else it is unknown, and nothing happens to it."""
        for owner, strangers in ((JOE, (JANE, NOBODY)), (NOBODY, (JOE,))):
            upload_id = self.start(ONE, owner)
            self.result(self.append(ONE, upload_id, b"abc", owner))
            for principal, name in ((owner, TWO), *((stranger, ONE) for stranger in strangers)):
                for work in (
                    self.uploads.size(principal, name, upload_id),
                    self.append(name, upload_id, b"intruder", principal),
                    self.finish(name, upload_id, b"", DIGEST, principal),
                    self.uploads.cancel(principal, name, upload_id),
                ):
                    self.refused(UploadUnknown, work)
            self.assertEqual(3, self.result(self.uploads.size(owner, ONE, upload_id)))

    def test_algorithm(self) -> None:
        """No session begins by an algorithm that nobody digests by, and a long name of one is not repeated."""
        sentence = self.refused(DigestInvalid, self.uploads.start(JOE, ONE, "md5" * 1000))
        self.assertLess(len(sentence), 400)

    def test_wrong_offset(self) -> None:
        """Who begins at another byte is told where to go on, and the session can be written to at once."""
        upload_id = self.start()
        self.result(self.append(ONE, upload_id, b"abc"))
        for offset in (0, 2, 4):
            self.assertIn(" 3 ", self.refused(RangeInvalid, self.append(ONE, upload_id, b"x", offset=offset)))
        self.result(self.append(ONE, upload_id, b"def", offset=3))
        self.assertEqual(6, self.result(self.uploads.size(JOE, ONE, upload_id)))

    def test_busy(self) -> None:
        """While a request writes nobody else resumes or cancels the session."""
        upload_id = self.start()
        part = self.result(self.uploads.resume(JOE, ONE, upload_id))
        self.refused(UploadBusy, self.uploads.resume(JOE, ONE, upload_id))
        self.refused(UploadBusy, self.uploads.cancel(JOE, ONE, upload_id))
        self.result(part.write([CONTENT]))
        self.result(part.commit(DIGEST))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))

    def test_limit(self) -> None:
        """A write over the limit of a blob is refused; what was there before stays, and may be completed."""
        self.uploads.limits = UploadLimits(max_blob=len(CONTENT))
        upload_id = self.start()
        self.result(self.append(ONE, upload_id, CONTENT[:8]))
        self.refused(BodyTooLarge, self.append(ONE, upload_id, b"abc"))
        self.result(self.finish(ONE, upload_id, CONTENT[8:], DIGEST))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))
        self.refused(BodyTooLarge, self.bring(ONE, CONTENT + b"x"))

    def test_at_once(self) -> None:
        """As much is received without a question as the limit of a blob leaves."""
        upload_id = self.start()
        self.result(self.append(ONE, upload_id, b"abc"))
        part = self.result(self.uploads.resume(JOE, ONE, upload_id))
        self.assertGreater(part.at_once(), len(CONTENT))
        self.result(part.release())
        self.uploads.limits = UploadLimits(max_blob=10)
        part = self.result(self.uploads.resume(JOE, ONE, upload_id))
        self.assertEqual(7, part.at_once())
        pieces = iter([b"de", b"f", b""])
        self.result(part.receive(lambda: next(pieces), 7))
        self.assertEqual((6, 4), (part.size, part.at_once()))
        self.result(part.release())
        self.assertEqual(6, self.result(self.uploads.size(JOE, ONE, upload_id)))

    def test_wrong_digest(self) -> None:
        """Bytes with another digest become no blob, and their session ends."""
        upload_id = self.start()
        self.refused(DigestInvalid, self.finish(ONE, upload_id, b"other", DIGEST))
        self.check_gone(upload_id)
        self.assertIsNone(self.result(self.metadata.blobs.find(DIGEST)))
        self.assertIsNone(self.result(self.metadata.blobs.find(Digest.sha256(b"other"))))

    def test_lease(self) -> None:
        """A blob is leased from its commit on, and a repository is made for it."""
        self.assertEqual(self.clock.seconds() + self.registry.lease_seconds, self.registry.lease_end())
        self.result(self.finish(TWO, self.start(TWO), CONTENT, DIGEST))
        self.assertEqual("joe", self.result(self.registry.get_repository(TWO)).owner)


class DeadDatabaseTests(ThreadedTestCase):
    """A database that goes away while bytes come."""

    def part(self, upload_id: str) -> Any:
        part = self.result(self.uploads.resume(JOE, ONE, upload_id))
        self.result(part.write([CONTENT]))
        self.result(self.metadata.close())
        return part

    def test_while_suspending(self) -> None:
        """The bytes stay, and the session goes on behind them once the database is back."""
        upload_id = self.start()
        part = self.part(upload_id)
        self.refused(StoreUnavailable, part.pause())
        self.result(self.metadata.open())
        self.assertEqual(len(CONTENT), self.result(self.uploads.size(JOE, ONE, upload_id)))
        self.result(self.finish(ONE, upload_id, b"", DIGEST))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))

    def test_while_committing(self) -> None:
        """There is no blob, and what the disk has of it is settled by the next start."""
        part = self.part(self.start())
        self.refused(StoreUnavailable, part.commit(DIGEST))
        self.result(self.metadata.open())
        self.assertIsNone(self.result(self.metadata.blobs.find(DIGEST)))
        self.result(self.bring(ONE, CONTENT))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))


class SoonTests(ThreadedTestCase):
    """A request that brings few bytes may begin to write when they are there."""

    def resumed(self, upload_id: str) -> BlobUpload:
        """Such a request's part of a session."""
        part: BlobUpload = self.result(self.uploads.resume(JOE, ONE, upload_id, None, DIGEST, soon=True))
        return part

    def test_busy(self) -> None:
        """It is told then that another one writes to the session, and changes nothing for that one."""
        upload_id = self.start()
        first = self.result(self.uploads.resume(JOE, ONE, upload_id))
        self.result(first.write([CONTENT[:4]]))
        part = self.resumed(upload_id)
        self.refused(UploadBusy, part.commit(DIGEST, [CONTENT]))
        self.result(part.release())
        part = self.resumed(upload_id)
        self.result(part.write([CONTENT]))
        self.refused(UploadBusy, part.pause())
        self.result(part.release())
        part = self.resumed(upload_id)
        self.result(part.write([CONTENT]))
        self.result(part.release())
        self.refused(UploadBusy, self.resumed(upload_id).write([bytes(GATHERED_BYTES + 1)]))
        self.result(self.resumed(upload_id).release())
        self.result(first.commit(DIGEST, [CONTENT[4:]]))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))
        self.assertFalse(self.result(self.metadata.uploads.is_known(upload_id)))

    def test_went_away(self) -> None:
        """A client that goes away before it has sent anything leaves the session as it was."""
        upload_id = self.start()
        self.result(self.resumed(upload_id).release())
        self.result(self.resumed(upload_id).commit(DIGEST, [CONTENT]))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))
        self.assertEqual([], self.files())

    def test_wrong_digest(self) -> None:
        """Bytes of another digest end the session, with all that was written."""
        upload_id = self.start()
        self.refused(DigestInvalid, self.resumed(upload_id).commit(DIGEST, [b"other"]))
        self.assertFalse(self.result(self.metadata.uploads.is_known(upload_id)))
        self.assertEqual([], self.files())

    def test_layer_of_schema1(self) -> None:
        """Who looks at the bytes as a layer sees the last ones, too."""
        upload_id = self.start()
        part = self.result(self.uploads.resume(JOE, ONE, upload_id, None, DIGEST, inspect=True, soon=True))
        self.result(part.commit(DIGEST, [CONTENT]))
        self.assertIsNotNone(self.result(self.metadata.blobs.facts(DIGEST)))

    def test_limit(self) -> None:
        """The last bytes count for the limit of a blob."""
        self.uploads.limits = UploadLimits(max_blob=len(CONTENT) - 1)
        upload_id = self.start()
        part = self.resumed(upload_id)
        self.refused(BodyTooLarge, part.commit(DIGEST, [CONTENT]))
        self.result(part.release())
        self.assertEqual(0, self.result(self.uploads.size(JOE, ONE, upload_id)))

    def test_limit_of_two(self) -> None:
        """So does what another request has written since this one was let in."""
        self.uploads.limits = UploadLimits(max_blob=len(CONTENT))
        upload_id = self.start()
        part = self.resumed(upload_id)
        self.result(self.append(ONE, upload_id, CONTENT))
        self.refused(BodyTooLarge, part.commit(Digest.sha256(CONTENT + b"x"), [b"x"]))
        self.result(part.release())
        self.assertFalse(self.result(self.metadata.uploads.is_known(upload_id)))
        self.assertIsNone(self.result(self.metadata.blobs.find(Digest.sha256(CONTENT + b"x"))))
        self.assertEqual([], self.files())


class CancelledTests(ThreadedTestCase):
    """A client that goes away at any moment leaves a session that can be gone on with, or a blob."""

    def sessions(self, work: Any) -> int:
        """Cancel ``work(upload_id)`` after each number of jobs, each time of a new session; return how many."""
        for jobs in range(100):
            upload_id = self.start()
            self.result(self.append(ONE, upload_id, CONTENT[:4]))
            cancelled = self.cancelled_after(jobs, work(upload_id))
            self.check(upload_id)
            if not cancelled:
                return jobs
        raise AssertionError("it does not end")

    def check(self, upload_id: str) -> None:
        """The session is gone and its blob there, or it has a part of the content, and takes the rest."""
        if not self.result(self.metadata.uploads.is_known(upload_id)):
            self.assertEqual(CONTENT, self.content(ONE, DIGEST))
        else:
            size = self.result(self.uploads.size(JOE, ONE, upload_id))
            self.assertIn(size, (4, len(CONTENT)))
            self.assertEqual(size, self.result(self.metadata.uploads.get(ONE, upload_id)).received.size)
            self.result(self.append(ONE, upload_id, b"", offset=size))
            self.result(self.finish(ONE, upload_id, CONTENT[size:], DIGEST))
            self.assertEqual(CONTENT, self.content(ONE, DIGEST))
        self.assertEqual([], self.files())

    def test_append(self) -> None:
        """While bytes are appended, the session has all of them afterwards or none."""
        self.assertGreater(self.sessions(lambda upload_id: self.append(ONE, upload_id, CONTENT[4:])), 1)

    def test_finish(self) -> None:
        """While a session is closed, it has all of them, or none, or has become the blob."""
        self.assertGreater(self.sessions(lambda upload_id: self.finish(ONE, upload_id, CONTENT[4:], DIGEST)), 1)

    def test_whole_blob(self) -> None:
        """While a request brings a whole blob, nothing is left but the blob, if it was complete."""
        jobs = 0
        while self.cancelled_after(jobs, self.bring(ONE, b"blob %d" % jobs)):
            self.assertEqual([], self.files())
            if self.result(self.metadata.blobs.find_in(ONE, Digest.sha256(b"blob %d" % jobs))) is not None:
                self.assertEqual(b"blob %d" % jobs, self.content(ONE, Digest.sha256(b"blob %d" % jobs)))
            jobs += 1
        self.assertGreater(jobs, 1)

    def test_at_once(self) -> None:
        """While one request brings all bytes of a session, it has become the blob afterwards, or can be gone on with."""

        async def bring(upload_id: str) -> None:
            part = await self.uploads.resume(JOE, ONE, upload_id, None, DIGEST, soon=True)
            try:
                await part.commit(DIGEST, [CONTENT])
            finally:
                await part.release()

        jobs = 0
        while self.cancelled_after(jobs, bring(upload_id := self.start())):
            if self.result(self.metadata.uploads.is_known(upload_id)):
                self.result(bring(upload_id))
            self.assertEqual(CONTENT, self.content(ONE, DIGEST))
            self.assertEqual([], self.files())
            jobs += 1
        self.assertEqual(1, jobs, "all is one job")

    def test_cancel(self) -> None:
        """While a session is being cancelled, it is as it was afterwards, or gone."""
        for jobs in range(3):
            upload_id = self.start()
            self.result(self.append(ONE, upload_id, CONTENT[:4]))
            self.cancelled_after(jobs, self.uploads.cancel(JOE, ONE, upload_id))
            if self.result(self.metadata.uploads.is_known(upload_id)):
                self.result(self.finish(ONE, upload_id, CONTENT[4:], DIGEST))
            self.assertEqual([], self.files())


class MountTests(V2TestCase):
    """Blobs of other repositories."""

    def setUp(self) -> None:
        super().setUp()
        self.result(self.bring(ONE, CONTENT))

    def mount(self, principal: Principal, source: RepositoryName | None, name: RepositoryName = TWO) -> bool:
        mounted = self.result(self.uploads.mount(principal, name, DIGEST, source))
        return mounted is not None and mounted == self.result(self.metadata.blobs.find_in(name, DIGEST))

    def check_nothing(self) -> None:
        self.assertIsNone(self.result(self.metadata.blobs.find_in(TWO, DIGEST)))
        self.assertEqual([ONE], list(self.result(self.metadata.blobs.holders(DIGEST, 10))))

    def test_source_that_may_be_read(self) -> None:
        """Whoever may pull from the source mounts from it, named or not."""
        self.assertTrue(self.mount(JANE, ONE))
        self.assertTrue(self.mount(JOE, None, RepositoryName("demo/three")))
        self.assertTrue(self.mount(JOE, None, ONE))

    def test_source_that_may_not_be_read(self) -> None:
        """Whoever may not is answered as if there was no such blob."""
        self.policy.refused.add(("jane", Action.PULL, ONE))
        for source in (ONE, None):
            self.assertFalse(self.mount(JANE, source))
        self.check_nothing()
        self.result(self.bring(RepositoryName("demo/zzz"), CONTENT))
        self.assertFalse(self.mount(JANE, ONE))
        self.assertTrue(self.mount(JANE, None))

    def test_token(self) -> None:
        """The bearer of a token for one repository reaches no other one."""
        ceiling = Ceiling.of(TWO, frozenset({Action.PULL, Action.PUSH}))
        for source in (ONE, None):
            self.assertFalse(self.mount(Principal("joe", ceiling=ceiling), source))
        self.check_nothing()

    def test_source_without_it(self) -> None:
        """A source that does not have the blob, or is not there, gives nothing, though another one has it."""
        self.result(self.bring(RepositoryName("demo/zzz"), b"something else"))
        for source in ("demo/zzz", "demo/nowhere"):
            self.assertFalse(self.mount(JOE, RepositoryName(source)))
        self.check_nothing()
