"""Bodies that are written past the page cache."""

import errno
import fcntl
import os
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import get_ident
from typing import TypeVar

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from dockreg.errors import StorageFull, StoreUnavailable
from dockreg.interfaces import IBlobStore
from dockreg.model.blobs import NOTHING_RECEIVED
from dockreg.model.digest import Digest, Hasher
from dockreg.providers.blobs.digesting import KeptHashers
from dockreg.providers.blobs.direct import DirectIO
from dockreg.providers.blobs.disk import create_locked
from dockreg.providers.blobs.filesystem import FilesystemBlobStore
from dockreg.providers.blobs.fileupload import FileUpload
from dockreg.providers.blobs.observing import Beside, Helpers
from dockreg.providers.blobs.small import SmallObjects
from dockreg.providers.blobs.staging import Folders
from dockreg.providers.blobs.workshop import Beginning, Workshop
from dockreg.testing import contracts
from dockreg.testing.contracts_receiving import InPlace
from tests.unit.providers.blobs.test_filesystem import files_in, limit_files, new_id
from tests.unit.providers.blobs.threads import at_once

CONTENT = os.urandom(1 << 20)
SHORT = (1 << 20) - 4096
T = TypeVar("T")


class Written:
    """Stands in for ``os.write``: notes what is written past the page cache, and the thread that does it."""

    def __init__(self, case: SynchronousTestCase) -> None:
        self.sizes: list[int] = []
        self.threads: set[int] = set()
        #: What the system says of such a write.
        self.problem: int | None = None
        #: What is taken of one at most.
        self.most = 1 << 30
        self._write = os.write
        case.patch(os, "write", self.write)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """See :func:`os.write`."""
        if not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            return self._write(descriptor, data)
        if self.problem is not None:
            raise OSError(self.problem, os.strerror(self.problem))
        written = self._write(descriptor, data[: self.most])
        self.sizes.append(written)
        self.threads.add(get_ident())
        return written


class BusyThreads:
    """Threads that come to nothing: all is done by whom it is for, when he needs it."""

    def submit(self, _job: Callable[..., T], /, *_: object) -> "Future[T]":
        """See :class:`.Beside`."""
        return Future()


class DirectStoreTests(contracts.BlobStoreContract):
    """The promises of every blob store, by one that writes past the page cache."""

    def make_blob_store(self) -> IBlobStore:
        return self.store(Path(self.mktemp()))

    def make_full_blob_store(self) -> IBlobStore:
        limit_files(self, 1 << 20)
        return self.store(Path(self.mktemp()))

    def store(self, folder: Path, beside: Beside | None = None) -> FilesystemBlobStore:
        """A store whose threads end with the test. :param beside: threads to digest in; None: those that there are."""
        self.helpers = Helpers()
        self.addCleanup(self.helpers.stopService)
        self.direct = DirectIO(self.helpers.writers, Clock().seconds)
        return FilesystemBlobStore(folder, at_once, new_id, beside or self.helpers, self.helpers.begin, self.direct)

    async def test_blocks(self) -> None:
        """Whole blocks go past the cache, in a thread beside where a processor is free; the rest does not."""
        for processors in (1, 2, 4):
            self.patch(os, "cpu_count", lambda processors=processors: processors)
            written = Written(self)
            upload = await self.store(Path(self.mktemp())).start_upload()
            await upload.write([b"0" * 1000])
            await upload.receive(InPlace(CONTENT * 3, [len(CONTENT), len(CONTENT) - 1]))
            await upload.commit(Digest.sha256(b"0" * 1000 + CONTENT * 3))
            self.assertEqual([SHORT, SHORT, SHORT], written.sizes)
            self.assertEqual(processors == 1, written.threads == {get_ident()}, processors)

    async def test_ordinary(self) -> None:
        """What is little, or does not lie in memory as in the file, is written in the ordinary way; so is all where that is wanted."""
        written = Written(self)
        store = self.store(Path(self.mktemp()))
        ordinary = FilesystemBlobStore(Path(self.mktemp()), at_once, new_id)
        for each, fetch in (
            (store, InPlace(CONTENT, [200_000] * 10)),
            (store, iter([CONTENT, b""]).__next__),
            (ordinary, InPlace(CONTENT, [])),
        ):
            upload = await each.start_upload()
            await upload.receive(fetch)
            await upload.commit(Digest.sha256(CONTENT))
        self.assertEqual([], written.sizes)

    async def test_refused(self) -> None:
        """A file system that does not take the flag is not asked again; one that did once is."""
        written = Written(self)
        for before, possible in ((False, False), (True, True)):
            store = self.store(Path(self.mktemp()))
            for problem in ([None] if before else []) + [errno.EINVAL, errno.EINVAL, None]:
                written.problem, written.sizes = problem, []
                upload = await store.start_upload()
                await upload.receive(InPlace(CONTENT * 2, [len(CONTENT)]))
                await upload.commit(Digest.sha256(CONTENT * 2))
            self.assertEqual(possible, self.direct.is_useful)
            self.assertEqual([len(CONTENT)] * 2 if possible else [], written.sizes)

    async def test_little_at_a_time(self) -> None:
        """A disk that takes a part is given the rest, also when that is not a whole block."""
        written = Written(self)
        for most in (8192, 300_001):
            written.most = most
            upload = await self.store(Path(self.mktemp())).start_upload()
            await upload.receive(InPlace(CONTENT * 2, [len(CONTENT)]))
            await upload.commit(Digest.sha256(CONTENT * 2))

    async def test_no_room(self) -> None:
        """Of blocks for which there is no room what was taken counts, and the upload goes on behind it."""
        limit_files(self, (1 << 20) + 5000)
        for before in (b"", b"0" * 100):
            folder = Path(self.mktemp())
            store = self.store(folder)
            upload = await store.start_upload()
            await upload.write([before])
            await self.raises(StorageFull, upload.receive(InPlace(CONTENT * 3, [len(CONTENT)] * 2)))
            self.assertEqual((1 << 20) + 5000, upload.size)
            received = await upload.suspend()
            self.assertEqual(Digest.sha256((before + CONTENT * 2)[: received.size]), received.digest)
            await store.drop_upload(upload.upload_id)
            self.assertEqual(set(), files_in(folder))

    async def test_no_room_digested_later(self) -> None:
        """The same where bytes are digested as late as that can be: they were digested before those of which not all count."""
        self.patch(os, "cpu_count", lambda: 4)
        limit_files(self, (1 << 20) + 5000)
        store = self.store(Path(self.mktemp()), BusyThreads())
        upload = await store.start_upload()
        await self.raises(StorageFull, upload.receive(InPlace(CONTENT * 3, [len(CONTENT)] * 2)))
        received = await upload.suspend()
        self.assertEqual(Digest.sha256((CONTENT * 2)[: (1 << 20) + 5000]), received.digest)

    async def test_no_room_for_others(self) -> None:
        """Others who were told of bytes that found no room can not forget them: the upload must not become content."""
        limit_files(self, (1 << 20) + 5000)
        upload = await self.store(Path(self.mktemp())).start_upload([Hasher()])
        await self.raises(StorageFull, upload.receive(InPlace(CONTENT * 3, [len(CONTENT)] * 2)))
        await self.raises(StorageFull, upload.commit())
        await upload.abort()

    async def test_other_failures(self) -> None:
        """After a failure that is not the disk's nobody knows what is in the file: the upload must not become content."""
        upload = await self.store(Path(self.mktemp())).start_upload()

        def fail(*_: object) -> int:
            raise MemoryError

        self.patch(DirectIO, "write", fail)
        await self.raises(MemoryError, upload.receive(InPlace(CONTENT * 2, [len(CONTENT)])))
        await self.raises(MemoryError, upload.commit())
        await upload.abort()

    async def test_resumed(self) -> None:
        """What another process goes on with is digested from the file, where it is."""
        folder = Path(self.mktemp())
        upload = await self.store(folder).start_upload()
        await upload.receive(InPlace(CONTENT[:-1], []))
        received = await upload.suspend()
        store = self.store(folder)
        again = await store.resume_upload(upload.upload_id, received)
        await again.receive(InPlace(CONTENT, []))
        blob = await again.commit(Digest.sha256(CONTENT[:-1] + CONTENT))
        self.assertEqual(CONTENT[:-1] + CONTENT, await contracts.content_of(store, blob))


class OrderTests(TestCase):
    """What the disk gets before what."""

    def setUp(self) -> None:
        self.is_broken = False
        self.written = Written(self)
        self.events = self.written.sizes
        helpers = Helpers()
        self.addCleanup(helpers.stopService)
        folders = Folders(Path(self.mktemp()))
        folders.ensure(folders.staging)
        direct = DirectIO(helpers.writers, Clock().seconds)
        shop = Workshop(
            folders,
            KeptHashers(),
            SmallObjects(new_id),
            at_once,
            finish_writing=self.finish,
            beside=helpers,
            direct=direct,
        )
        opened = create_locked(folders.staged("upload")), Beginning(0, 0, Hasher(), None)
        self.upload = FileUpload(shop, "upload", lambda: opened, (), "sha256")
        self.content = b""

    def finish(self, descriptor: int, first: int, size: int) -> None:
        """Stands in for the kernel's."""
        self.assertEqual(first + size, os.fstat(descriptor).st_size)
        self.events.append(-size)
        if self.is_broken:
            raise OSError(errno.EIO, "broken")

    async def received(self, count: int, problem: int | None = None) -> list[int]:
        """
        What happens when so many MiB come: positive is what was written past the cache, negative what had to be on the disk.

        :param problem: what the system says of that.
        """
        self.written.problem = problem
        self.events.clear()
        # All but the last one end with a block.
        sizes = [len(CONTENT) + -self.upload.size % 4096, *[len(CONTENT)] * count][: count - 1]
        await self.upload.receive(InPlace(CONTENT * count, sizes))
        self.content += CONTENT * count
        return list(self.events)

    async def test_cached_first(self) -> None:
        """
        What is in the cache only is on the disk before what is behind it is written past the cache.

        After a failure of power the file could be longer than what there is of it otherwise.
        """
        self.assertEqual([len(CONTENT)] * 2, await self.received(2))
        self.assertEqual([len(CONTENT)] * 2, await self.received(2))
        await self.upload.write([b"0" * 1000])
        self.content += b"0" * 1000
        # The end of what one thread receives is written in the ordinary way, too.
        for _ in range(2):
            before = len(self.content)
            self.assertEqual([-(before + -before % 4096), len(CONTENT), SHORT], await self.received(2))
        blob = await self.upload.commit()
        self.assertEqual(Digest.sha256(self.content), blob.digest)

    async def test_broken_disk(self) -> None:
        """A disk that could not take it tells that once: nothing of the upload is kept then, for its flush would not fail."""
        await self.upload.write([b"0" * 1000])
        self.is_broken = True
        with self.assertRaises(StoreUnavailable):
            await self.received(2)
        self.assertEqual([-4096], self.events)
        self.assertEqual(NOTHING_RECEIVED, await self.upload.suspend())

    async def test_refused_first(self) -> None:
        """So is what was written in the ordinary way because the disk took it in no other."""
        await self.received(1)
        self.assertEqual([], await self.received(1, errno.EIO))
        self.assertEqual([-len(CONTENT) * 2, len(CONTENT)], await self.received(1))
