"""All bytes that are left of a blob, which a thread fetches and commits."""

import errno
import os
from collections.abc import Callable, Sequence
from typing import Any

from dockreg.blobupload import BlobUpload
from dockreg.callables import Piece
from dockreg.errors import BodyTooLarge, DigestInvalid, StorageFull, UploadUnknown
from dockreg.model.digest import Digest
from dockreg.model.uploads import UploadLimits
from dockreg.providers.blobs import appending, fileupload
from dockreg.providers.blobs.disk import write_some
from tests.unit.v1case import ONE
from tests.unit.v2case import JOE, ThreadedTestCase

CONTENT = b"0123456789"
DIGEST = Digest.sha256(CONTENT)


def fetching(*pieces: Piece) -> Callable[[], Piece]:
    """Gives these, and then nothing."""
    return iter([*pieces, b""]).__next__


class WholeTests(ThreadedTestCase):
    """A request that brings all bytes, or all that are left."""

    def resumed(self, upload_id: str, digest: Digest = DIGEST) -> BlobUpload:
        """A request's part of a session, to which more than a few bytes come."""
        part: BlobUpload = self.result(self.uploads.resume(JOE, ONE, upload_id, None, digest, soon=True))
        part._gathers = False
        return part

    async def bring_all(self, part: BlobUpload, pieces: Sequence[Piece], size: int = len(CONTENT)) -> Any:
        """What the door does when it is told of all."""
        try:
            await part.receive_all(fetching(*pieces), size, DIGEST)
            return await part.commit(DIGEST)
        finally:
            await part.release()

    def check_session(self, upload_id: str | None, size: int) -> None:
        """The session has so many bytes, and takes the others."""
        assert upload_id is not None
        self.assertEqual(size, self.result(self.uploads.size(JOE, ONE, upload_id)))
        self.result(self.finish(ONE, upload_id, CONTENT[size:], DIGEST))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))

    def check_gone(self, upload_id: str | None) -> None:
        """Nothing is left of the session."""
        assert upload_id is not None
        self.refused(UploadUnknown, self.uploads.size(JOE, ONE, upload_id))
        self.assertEqual([], self.files())

    def test_one_job(self) -> None:
        """It is received, committed and recorded by one job."""
        part = self.resumed(self.start())
        work = self.bring_all(part, [CONTENT[:3], CONTENT[3:]])
        self.assertFalse(self.cancelled_after(1, work))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))
        self.check_gone(part.upload_id)

    def test_behind_others(self) -> None:
        """It may come behind what the session has."""
        upload_id = self.start()
        self.result(self.append(ONE, upload_id, CONTENT[:4]))
        self.result(self.bring_all(self.resumed(upload_id), [CONTENT[4:]], 6))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))

    def test_not_all(self) -> None:
        """When not all comes the request goes on, and ends as any other."""
        part = self.resumed(self.start())
        self.result(part.receive_all(fetching(CONTENT[:3]), 10, DIGEST))
        self.result(part.write([CONTENT[3:5]]))
        self.result(part.receive_all(fetching(CONTENT[5:]), 5, DIGEST))
        self.assertEqual(DIGEST, self.result(part.commit(DIGEST)).digest)
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))

    def test_broken_off(self) -> None:
        """What has come of a client that went away stays with the session."""
        part = self.resumed(self.start())
        self.result(part.receive_all(fetching(CONTENT[:3]), 10, DIGEST))
        self.result(part.release())
        self.check_session(part.upload_id, 3)

    def test_cancelled(self) -> None:
        """A client that goes away while it is received has a session with what came, or the blob when all came."""
        part = self.resumed(self.start())
        self.assertTrue(self.cancelled_after(0, self.bring_all(part, [CONTENT[:3]])))
        self.check_session(part.upload_id, 3)
        part = self.resumed(self.start())
        self.assertTrue(self.cancelled_after(0, self.bring_all(part, [CONTENT])))
        self.check_gone(part.upload_id)

    def test_other_digest(self) -> None:
        """Other bytes are no blob, and the session ends."""
        part = self.resumed(self.start())
        self.refused(DigestInvalid, self.bring_all(part, [b"9876543210"]))
        self.check_gone(part.upload_id)

    def test_full(self) -> None:
        """What found room stays when the disk is full in the middle, or when the bytes are to be flushed."""

        def refuse(*_: object) -> int:
            raise OSError(errno.ENOSPC, "no room")

        upload_id = self.start()
        patch = self.patch(os, "fsync", refuse)
        self.refused(StorageFull, self.bring_all(self.resumed(upload_id), [CONTENT]))
        patch.restore()
        self.check_session(upload_id, 0)
        upload_id = self.start()
        self.patch(appending, "write_some", lambda descriptor, piece: write_some(descriptor, piece[:2]))
        patch = self.patch(appending, "write_all", refuse)
        self.refused(StorageFull, self.bring_all(self.resumed(upload_id), [CONTENT]))
        patch.restore()
        self.check_session(upload_id, 2)

    def test_limit(self) -> None:
        """More than a blob may have, of which another request brought some, is no blob."""
        upload_id = self.start()
        part = self.resumed(upload_id)
        self.result(self.append(ONE, upload_id, b"ab"))
        part._limits = UploadLimits(max_blob=len(CONTENT))
        digest = Digest.sha256(b"ab" + CONTENT)
        self.refused(BodyTooLarge, part.receive_all(fetching(CONTENT), 10, digest))
        self.check_gone(upload_id)

    def test_many(self) -> None:
        """When many record in threads already, it is committed by a job of its own."""
        part = self.resumed(self.start())
        self.registry.recording_here = 8
        self.assertTrue(self.cancelled_after(1, self.bring_all(part, [CONTENT])))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))
        self.check_gone(part.upload_id)


class ObjectTests(WholeTests):
    """The same where the first bytes are taken for many, and are written under the name of the object."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(fileupload, "_MUCH_BYTES", 1)
