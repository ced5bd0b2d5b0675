"""Few bytes of an upload, which are handed to a thread with what is to be done at their end."""

from dockreg.blobupload import GATHERED_BYTES, BlobUpload
from dockreg.errors import BodyTooLarge
from dockreg.model.digest import Digest
from dockreg.model.uploads import UploadLimits
from tests.unit.v1case import ONE
from tests.unit.v2case import JOE, ThreadedTestCase

CONTENT = b"0123456789"
DIGEST = Digest.sha256(CONTENT)


class GatheredTests(ThreadedTestCase):
    """The first bytes of a body wait for its end, or for more than a few."""

    def resumed(self, upload_id: str) -> BlobUpload:
        """A request's part of a session."""
        part: BlobUpload = self.result(self.uploads.resume(JOE, ONE, upload_id, soon=True))
        return part

    def held(self, content: bytes, pieces: int = 3) -> BlobUpload:
        """A part that has content, in pieces."""
        part = self.resumed(self.start())
        for start in range(0, len(content), -(-len(content) // pieces)):
            self.result(part.write([memoryview(content)[start : start + -(-len(content) // pieces)]]))
        self.assertEqual(len(content), part.size)
        return part

    def test_few(self) -> None:
        """Few have no file before the end of the request; then all of them are in the session."""
        part = self.held(CONTENT)
        self.assertEqual([], self.files())
        self.result(part.pause())
        assert part.upload_id is not None
        self.assertEqual([part.upload_id], self.files())
        self.assertEqual(len(CONTENT), self.result(self.uploads.size(JOE, ONE, part.upload_id)))
        self.result(self.resumed(part.upload_id).commit(DIGEST))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))
        self.assertEqual([], self.files())

    def test_closed(self) -> None:
        """The request that brings them may close the session, too."""
        self.result(self.held(CONTENT[:-1]).commit(DIGEST, [CONTENT[-1:]]))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))

    def test_many(self) -> None:
        """More than that are written as they come."""
        content = bytes(GATHERED_BYTES)
        part = self.held(content)
        self.assertEqual([], self.files())
        self.result(part.write([b"x"]))
        self.assertEqual(1, len(self.files()))
        self.result(part.write([b"y"]))
        assert part.upload_id is not None
        self.assertEqual(GATHERED_BYTES + 2, self.result(self.registry.blobs.upload_size(part.upload_id)))
        self.result(part.commit(Digest.sha256(content + b"xy")))

    def test_announced(self) -> None:
        """A body that is known to be larger is written from its first byte on."""
        part = self.resumed(self.start())
        self.result(part.expect(GATHERED_BYTES + 1))
        self.result(part.write([b"x"]))
        self.assertEqual(1, len(self.files()))
        self.result(part.release())

    def test_elsewhere(self) -> None:
        """What is received elsewhere comes behind them."""
        part = self.held(CONTENT[:5])
        rest = iter([CONTENT[5:], b""])
        self.result(part.receive(rest.__next__, len(CONTENT) - 5))
        self.result(part.commit(DIGEST))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))

    def test_went_away(self) -> None:
        """Those of a client that goes away are kept."""
        part = self.held(CONTENT[:5])
        self.result(part.release())
        assert part.upload_id is not None
        self.assertEqual(5, self.result(self.uploads.size(JOE, ONE, part.upload_id)))
        self.result(self.finish(ONE, part.upload_id, CONTENT[5:], DIGEST))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))

    def test_limit(self) -> None:
        """They count for the limit of a blob."""
        self.uploads.limits = UploadLimits(max_blob=len(CONTENT))
        part = self.held(CONTENT)
        self.refused(BodyTooLarge, part.write([b"x"]))
        self.result(part.release())
