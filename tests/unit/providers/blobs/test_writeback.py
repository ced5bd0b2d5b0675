import os
import sys
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.digest import Digest, Hasher
from dockreg.providers.blobs.digesting import KeptHashers
from dockreg.providers.blobs.disk import create_locked
from dockreg.providers.blobs.fileupload import FileUpload
from dockreg.providers.blobs.small import SmallObjects
from dockreg.providers.blobs.staging import Folders
from dockreg.providers.blobs.workshop import Beginning, Workshop
from dockreg.providers.blobs.writeback import STEP_BYTES, Begin, Writeback, begin_writing, finish_writing
from tests.unit.providers.blobs.threads import at_once

Begun = list[tuple[int, int]]


def noted(begun: Begun) -> Begin:
    def begin(_descriptor: int, first: int, size: int) -> None:
        begun.append((first, size))

    return begin


class WritebackTests(SynchronousTestCase):
    """When the kernel is told to begin with the bytes of a file."""

    def test_each_step_once(self) -> None:
        """It is told of all bytes since the last time, once they are enough."""
        begun: Begun = []
        writeback = Writeback(100, noted(begun))
        for size in (100 + STEP_BYTES - 1, 100 + STEP_BYTES, 200 + STEP_BYTES, 150 + 3 * STEP_BYTES):
            writeback.grew(-1, size)
        self.assertEqual([(100, STEP_BYTES), (100 + STEP_BYTES, 50 + 2 * STEP_BYTES)], begun)

    def test_without_the_call(self) -> None:
        """Where the system has no such call all is left to the flush."""
        Writeback(0, None).grew(-1, 10 * STEP_BYTES)

    def test_the_call(self) -> None:
        """The kernel takes it, and tells by its result of a descriptor that is none."""
        assert begin_writing is not None or not sys.platform.startswith("linux")
        if begin_writing is None:
            return
        with Path(self.mktemp()).open("wb") as file:
            file.write(bytes(8192))
            file.flush()
            self.assertEqual(0, begin_writing(file.fileno(), 0, 8192))
        self.assertEqual(-1, begin_writing(-1, 0, 8192))

    def test_to_the_end(self) -> None:
        """What waits for the disk raises what that says, and nothing where a file can not be asked so."""
        assert finish_writing is not None or not sys.platform.startswith("linux")
        if finish_writing is None:
            return
        with Path(self.mktemp()).open("wb") as file:
            file.write(bytes(8192))
            file.flush()
            finish_writing(file.fileno(), 0, 8192)
        self.assertRaises(OSError, finish_writing, -1, 0, 8192)
        for end in os.pipe():
            finish_writing(end, 0, 8192)
            os.close(end)


class UploadTests(SynchronousTestCase):
    """Uploads, while their bytes come."""

    def upload(self, begin: Begin | None) -> FileUpload:
        folders = Folders(Path(self.mktemp()))
        folders.ensure(folders.staging)
        shop = Workshop(folders, KeptHashers(), SmallObjects(lambda: "small"), at_once, begin)
        beginning = Beginning(0, 0, Hasher(), None)
        opened = create_locked(folders.staged("upload")), beginning
        return FileUpload(shop, "upload", lambda: opened, (), "sha256")

    def push(self, begin: Begin | None, content: bytes, piece: int) -> Digest:
        upload = self.upload(begin)
        for start in range(0, len(content), piece):
            self.successResultOf(Deferred.fromCoroutine(upload.write([content[start : start + piece]])))
        return self.successResultOf(Deferred.fromCoroutine(upload.commit())).digest

    def test_large(self) -> None:
        """The kernel begins while a large one comes, in steps; the blob is the same with and without."""
        content = os.urandom(1 << 20) * 20
        begun: Begun = []
        ways: list[Callable[[], Digest]] = [
            lambda: self.push(noted(begun), content, 1 << 20),
            lambda: self.push(None, content, 1 << 20),
            lambda: self.push(begin_writing, content, 3 << 20),
        ]
        self.assertEqual([Digest.sha256(content)] * 3, [way() for way in ways])
        self.assertEqual([(0, STEP_BYTES), (STEP_BYTES, STEP_BYTES)], begun)

    def test_small(self) -> None:
        """A small one is left to its flush."""
        begun: Begun = []
        self.push(noted(begun), bytes(1 << 20), 1 << 18)
        self.assertEqual([], begun)
