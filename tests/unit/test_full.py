"""A disk without room: sessions keep what they have, what is refused says why, and all goes on when there is room."""

import errno
import os
from typing import Any, cast
from unittest.mock import patch

from dockreg.errors import StorageFull, StoreUnavailable
from dockreg.model.blobs import Recorded, StoredBlob
from dockreg.model.digest import Digest
from dockreg.providers.blobs.fileupload import FileUpload
from dockreg.providers.blobs.memory import MemoryBlobStore
from dockreg.room import Room
from tests.unit.v1case import ONE
from tests.unit.v2case import JOE, ThreadedTestCase, V2TestCase

CONTENT = b"0123456789"
DIGEST = Digest.sha256(CONTENT)


class FullTests(V2TestCase):
    """Without room a session keeps what it has, and goes on when there is room."""

    def setUp(self) -> None:
        super().setUp()
        self.shrink(len(CONTENT))

    def give_back(self, size: int) -> None:
        """Make room."""
        cast("MemoryBlobStore", self.registry.blobs).give_back(size)

    def check_room(self) -> None:
        """All the room is there again."""
        self.result(self.bring(ONE, CONTENT))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))

    def test_while_writing(self) -> None:
        """A session whose bytes found no room has those that did, and goes on."""
        upload_id = self.start()
        self.result(self.append(ONE, upload_id, CONTENT[:6]))
        self.refused(StorageFull, self.append(ONE, upload_id, CONTENT[:6]))
        self.assertEqual(6, self.result(self.uploads.size(JOE, ONE, upload_id)))
        self.result(self.finish(ONE, upload_id, CONTENT[6:], DIGEST))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))

    def test_while_closing(self) -> None:
        """The same when they came with the digest."""
        upload_id = self.start()
        content = CONTENT + b"x"
        self.refused(StorageFull, self.finish(ONE, upload_id, content, Digest.sha256(content)))
        self.assertEqual(0, self.result(self.uploads.size(JOE, ONE, upload_id)))
        self.give_back(1)
        self.result(self.finish(ONE, upload_id, content, Digest.sha256(content)))
        self.assertEqual(content, self.content(ONE, Digest.sha256(content)))

    def test_whole_blob(self) -> None:
        """A blob in one request that finds no room leaves nothing."""
        self.refused(StorageFull, self.bring(ONE, CONTENT + b"x"))
        self.check_room()


class FullDiskTests(ThreadedTestCase):
    """The same of a disk that takes bytes, and says when they are flushed that it has no room for them."""

    def failing(self, name: str, number: int = errno.ENOSPC, times: int = 1) -> None:
        """Let a function of :mod:`os` fail so many times."""
        real, failures = getattr(os, name), iter(range(times))

        def function(*args: Any, **options: Any) -> Any:
            if next(failures, None) is not None:
                raise OSError(number, os.strerror(number))
            return real(*args, **options)

        self.patch(os, name, function)

    def check_goes_on(self, upload_id: str, size: int) -> None:
        """The session has the first ``size`` bytes, wherever it is resumed, and becomes the blob."""
        self.assertIsNone(self.result(self.metadata.blobs.find_in(ONE, DIGEST)))
        self.assertEqual(size, self.result(self.uploads.size(JOE, ONE, upload_id)))
        self.result(self.finish(ONE, upload_id, CONTENT[size:], DIGEST))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))
        self.assertEqual([], self.files())

    def test_while_suspending(self) -> None:
        """A session whose bytes can not be made durable has those that were before."""
        upload_id = self.start()
        self.result(self.append(ONE, upload_id, CONTENT[:3]))
        for number, problem in ((errno.ENOSPC, StorageFull), (errno.EIO, StoreUnavailable)):
            self.failing("fdatasync", number)
            self.refused(problem, self.append(ONE, upload_id, CONTENT[3:6]))
            self.assertEqual(3, self.result(self.uploads.size(JOE, ONE, upload_id)))
        self.check_goes_on(upload_id, 3)

    def test_while_suspending_the_first(self) -> None:
        """It is empty when there were none."""
        upload_id = self.start()
        self.failing("fdatasync")
        self.refused(StorageFull, self.append(ONE, upload_id, CONTENT[:3]))
        self.assertEqual([], self.files())
        self.check_goes_on(upload_id, 0)

    def test_while_flushing_the_blob(self) -> None:
        """A blob that can not be made durable is none, and the session has what it had before this request."""
        for number, problem in ((errno.ENOSPC, StorageFull), (errno.EIO, StoreUnavailable)):
            upload_id = self.start()
            self.result(self.append(ONE, upload_id, CONTENT[:4]))
            self.failing("fsync", number)
            self.refused(problem, self.finish(ONE, upload_id, CONTENT[4:], DIGEST))
            self.check_goes_on(upload_id, 4)
            self.result(self.metadata.blobs.unlink(ONE, DIGEST))

    def test_while_naming_the_blob(self) -> None:
        """A blob that gets no name leaves the session with all its bytes, however far its commit came."""
        for name in ("rename", "fsync"):
            upload_id = self.start()
            self.result(self.append(ONE, upload_id, CONTENT[:4]))
            part = self.result(self.uploads.resume(JOE, ONE, upload_id))
            self.result(part.write([CONTENT[4:]]))
            self.patch(FileUpload, "_flush", lambda *_: None)
            self.failing(name)
            self.refused(StorageFull, part.commit(DIGEST))
            self.assertEqual(len(CONTENT), self.result(self.uploads.size(JOE, ONE, upload_id)))
            self.assertEqual(1, len(self.files()))
            self.result(self.uploads.cancel(JOE, ONE, upload_id))
        upload_id = self.start()
        self.failing("rename")
        self.refused(StorageFull, self.finish(ONE, upload_id, CONTENT, DIGEST))
        self.check_goes_on(upload_id, len(CONTENT))

    def test_full_database(self) -> None:
        """A blob that the database has no room to record becomes its session again."""
        self.check_full_database()

    def test_full_database_busy(self) -> None:
        """So it does when threads for bytes are not to record it."""
        self.registry.recording_here = 8
        self.check_full_database()

    def check_full_database(self) -> None:
        """Record a blob where there is no room for it, in whichever thread."""

        async def full(*_args: object, **_options: object) -> None:
            raise StorageFull

        def full_here(_blob: StoredBlob) -> Recorded:
            raise StorageFull

        upload_id = self.start()
        with (
            patch.object(self.metadata.blobs, "record_in", full),
            patch.object(self.metadata.blobs, "recorder", lambda *_: full_here),
        ):
            self.refused(StorageFull, self.finish(ONE, upload_id, CONTENT, DIGEST))
        self.check_goes_on(upload_id, len(CONTENT))

    def test_silent_database(self) -> None:
        """The same when the database does not even say whether it knows the blob already."""
        self.registry.recording_here = 8
        upload_id = self.start()
        real = self.metadata.blobs.find

        async def silent(*_args: object) -> None:
            raise StoreUnavailable("the database is being started")

        self.patch(self.metadata.blobs, "find", silent)
        self.refused(StoreUnavailable, self.finish(ONE, upload_id, CONTENT, DIGEST))
        self.patch(self.metadata.blobs, "find", real)
        self.check_goes_on(upload_id, len(CONTENT))


class ReserveTests(V2TestCase):
    """Blobs leave room for metadata."""

    def setUp(self) -> None:
        super().setUp()
        self.shrink(100)
        self.store = cast("MemoryBlobStore", self.registry.blobs)
        self.registry.room = Room(self.registry.blobs, self.clock, 100 - len(CONTENT))

    def test_not_taken(self) -> None:
        """What would take the reserve is refused while it comes; what came before stays, and goes on."""
        upload_id = self.start()
        self.result(self.append(ONE, upload_id, CONTENT[:6]))
        self.refused(StorageFull, self.append(ONE, upload_id, CONTENT[:6]))
        self.assertEqual(6, self.result(self.uploads.size(JOE, ONE, upload_id)))
        self.result(self.finish(ONE, upload_id, CONTENT[6:], DIGEST))
        self.assertEqual(CONTENT, self.content(ONE, DIGEST))

    def test_announced(self) -> None:
        """What is announced to be too large is refused before it comes, in a sentence that says why."""
        part = self.result(self.uploads.resume(JOE, ONE, self.start()))
        self.result(part.expect(len(CONTENT)))
        self.assertIn("blobs.reserve_bytes", self.refused(StorageFull, part.expect(len(CONTENT) + 1)))
        self.result(part.release())

    def test_nothing_begins(self) -> None:
        """Without room no session begins; once there is room, one does."""
        self.result(self.bring(ONE, CONTENT))
        self.refused(StorageFull, self.uploads.start(JOE, ONE))
        self.store.give_back(1)
        self.clock.advance(1)
        self.start()
