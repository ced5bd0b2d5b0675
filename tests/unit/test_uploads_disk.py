"""Tests for dockreg.uploads: a disk that takes no more of the last bytes of a blob, or can not flush them."""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

from dockreg.blobupload import BlobUpload
from dockreg.callables import Piece
from dockreg.errors import StorageFull, StoreUnavailable
from dockreg.model.digest import Digest
from dockreg.providers.blobs import appending, staging
from tests.unit.v1case import ONE
from tests.unit.v2case import JOE, ThreadedTestCase

CONTENT = b"0123456789"
DIGEST = Digest.sha256(CONTENT)


class LastBytesTests(ThreadedTestCase):
    """The last bytes are written and committed in one job; the session goes on when that fails."""

    def test_full(self) -> None:
        """What the disk took of them stays behind what was there; a blob that comes whole has no file to go on with."""
        for before, kept in ((0, 0), (3, 7)):
            upload_id, part = self.begun(before)
            with self.full_after(4):
                self.refused(StorageFull, part.commit(DIGEST, [CONTENT[before:]]))
            self.result(part.release())
            self.check(upload_id, kept)

    def test_flush_fails(self) -> None:
        """Of bytes whose flush failed none is told to be there; what was suspended before is."""
        for before in (0, 3):
            upload_id, part = self.begun(before)
            with patch.object(os, "fsync", side_effect=[OSError(errno.EIO, "broken"), None, None]):
                self.refused(StoreUnavailable, part.commit(DIGEST, [CONTENT[before:]]))
            self.result(part.release())
            self.check(upload_id, before)

    def begun(self, before: int) -> tuple[str, BlobUpload]:
        """A session that has so many bytes, and is to be closed; without any its file is opened by the job that commits it."""
        upload_id = self.start()
        if before:
            self.result(self.append(ONE, upload_id, CONTENT[:before]))
        part: BlobUpload = self.result(self.uploads.resume(JOE, ONE, upload_id, None, DIGEST, soon=True))
        return upload_id, part

    def check(self, upload_id: str, size: int) -> None:
        """The session has so many bytes, tells so, and becomes the blob with the rest of them."""
        self.assertEqual(size, self.result(self.uploads.size(JOE, ONE, upload_id)))
        if size:
            self.assertEqual(size, self.result(self.metadata.uploads.get(ONE, upload_id)).received.size)
        self.result(self.finish(ONE, upload_id, CONTENT[size:], DIGEST))
        self.assertEqual((CONTENT, []), (self.content(ONE, DIGEST), self.files()))

    @contextmanager
    def full_after(self, size: int) -> Iterator[None]:
        """A disk that takes so many bytes, and no more."""

        def write(descriptor: int, chunks: Sequence[Piece]) -> int:
            os.write(descriptor, b"".join(chunks)[:size])
            raise OSError(errno.ENOSPC, "full")

        with patch.object(appending, "write_all", write), patch.object(staging, "write_all", write):
            yield
