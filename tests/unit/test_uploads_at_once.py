"""Tests of what two requests, in two processes, bring to one upload session at once."""

from itertools import count, product
from typing import Any

from dockreg.blobupload import BlobUpload
from dockreg.errors import BlobUnknown, UploadUnknown
from dockreg.model.digest import Digest
from dockreg.model.uploads import UploadLimits
from dockreg.providers.blobs import fileupload
from dockreg.providers.blobs.filesystem import FilesystemBlobStore
from dockreg.providers.blobs.small import DividedBlobStore
from dockreg.quotas import Quotas
from dockreg.registry import Registry
from dockreg.uploadids import UploadIDs
from dockreg.uploads import Uploads
from tests.unit.test_received_whole import fetching
from tests.unit.v1case import ONE, TWO
from tests.unit.v2case import CONTENT, DIGEST, JOE, RecordingTestCase

OTHER = b"9876543210"


class AtOnceTests(RecordingTestCase):
    """Both were let in while the session lasted; the first one of them that is recorded ends it."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(fileupload, "_MUCH_BYTES", 3)
        names, keys = count(1), count(5000)
        store = FilesystemBlobStore(self.folder, self.threads.in_thread, lambda: f"elsewhere-{next(names):07}")
        ids = UploadIDs(self.metadata.keys, self.clock, lambda: "other key", lambda size: next(keys).to_bytes(size))
        beside = Registry(self.metadata, store, self.policy, self.clock, self.registry.in_thread)
        beside.recording_here = self.others
        self.other = Uploads(beside, ids, UploadLimits())
        for each in (self.registry, beside):
            each.blobs = DividedBlobStore(each.blobs, self.metadata.blobs.content)

    def objects(self) -> int:
        """How many files there are, finished or not."""
        return sum(path.is_file() for folder in ("sha256", "staging") for path in (self.folder / folder).rglob("*"))

    def part(self, uploads: Uploads, upload_id: str, digest: Digest) -> BlobUpload:
        """What one of them brings."""
        part: BlobUpload = self.result(uploads.resume(JOE, ONE, upload_id, None, digest, soon=True))
        return part

    async def end(self, part: BlobUpload, content: bytes, *, poured: bool) -> Any:
        """
        Bring all, as the door does.

        :param poured: fetched by a thread.
        """
        digest = Digest.sha256(content)
        try:
            if poured:
                part._gathers = False
                await part.receive_all(fetching(content), len(content), digest)
                return await part.commit(digest)
            return await part.commit(digest, [content])
        finally:
            await part.release()

    def check(self, upload_id: str) -> None:
        """The session has ended for both."""
        for uploads in (self.uploads, self.other):
            self.refused(UploadUnknown, uploads.resume(JOE, ONE, upload_id, None, DIGEST, soon=True))

    def test_other_bytes(self) -> None:
        """The second one is told that the session has ended, whatever both bring; of its bytes nothing is left."""
        for number, (small, first, second) in enumerate(product((0, 100), (False, True), (False, True))):
            self.registry.small_bytes = self.other.registry.small_bytes = small
            files, content = self.objects(), b"%d" % number + CONTENT
            upload_id = self.start()
            winner = self.part(self.uploads, upload_id, Digest.sha256(content))
            late = self.part(self.other, upload_id, Digest.sha256(OTHER))
            self.result(self.end(winner, content, poured=first))
            self.refused(UploadUnknown, self.end(late, OTHER, poured=second))
            self.check(upload_id)
            self.assertEqual(content, self.content(ONE, Digest.sha256(content)))
            self.refused(BlobUnknown, self.registry.find_blob(ONE, Digest.sha256(OTHER)))
            self.assertIsNone(self.result(self.metadata.blobs.find(Digest.sha256(OTHER))))
            self.assertEqual(files + (first or not small), self.objects())
        self.assertEqual(self.others, self.other.registry.recording_here)

    def test_same_bytes(self) -> None:
        """So it is told when both bring the same: what the first one was told is there stays."""
        for small, poured in product((0, 100), (False, True)):
            self.registry.small_bytes = self.other.registry.small_bytes = small
            upload_id, content = self.start(), b"%d %d" % (small, poured)
            digest = Digest.sha256(content)
            parts = [self.part(each, upload_id, digest) for each in (self.uploads, self.other)]
            self.result(self.end(parts[0], content, poured=poured))
            before, files = self.find(digest), self.objects()
            self.refused(UploadUnknown, self.end(parts[1], content, poured=poured))
            self.check(upload_id)
            self.assertEqual((before, files), (self.find(digest), self.objects()))
            self.assertEqual(content, self.content(ONE, digest))

    def test_pushed_elsewhere(self) -> None:
        """What the second one brings, and another session has brought, stays as well."""
        upload_id = self.start()
        late = self.part(self.other, upload_id, Digest.sha256(OTHER))
        self.result(self.bring(TWO, OTHER))
        self.result(self.finish(ONE, upload_id, CONTENT, DIGEST))
        self.refused(UploadUnknown, self.end(late, OTHER, poured=False))
        self.assertEqual(OTHER, self.content(TWO, Digest.sha256(OTHER)))
        self.refused(BlobUnknown, self.registry.find_blob(ONE, Digest.sha256(OTHER)))

    def test_cancelled(self) -> None:
        """A session that is cancelled while its last bytes come has no blob."""
        upload_id = self.start()
        late = self.part(self.other, upload_id, DIGEST)
        self.result(self.uploads.cancel(JOE, ONE, upload_id))
        self.refused(UploadUnknown, self.end(late, CONTENT, poured=False))
        self.assertIsNone(self.result(self.metadata.blobs.find(DIGEST)))
        self.assertEqual(0, self.objects())

    def test_counted(self) -> None:
        """Where blobs are counted the first one counts, and nothing stays reserved."""
        self.result(self.metadata.quotas.set_quota(ONE.namespace, 1000))
        for each in (self.registry, self.other.registry):
            each.quotas = Quotas(self.metadata, self.clock, lambda: "own")
            self.result(each.quotas.begin())
        upload_id = self.start()
        parts = [self.part(each, upload_id, DIGEST) for each in (self.uploads, self.other)]
        for part in parts:
            self.result(part.expect(10))
        self.result(self.end(parts[0], CONTENT, poured=False))
        self.refused(UploadUnknown, self.end(parts[1], OTHER, poured=False))
        usage = self.result(self.metadata.quotas.usage(ONE.namespace))
        self.assertEqual((10, 0), (usage.used, usage.reserved))
        self.check(upload_id)


class AtOnceByTheDatabaseTests(AtOnceTests):
    """The same, when as many others record where they are as may."""

    others = 8
