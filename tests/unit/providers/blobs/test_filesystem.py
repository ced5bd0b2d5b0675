import os
import resource
import shutil
from collections.abc import Coroutine
from itertools import count
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from dockreg.callables import InThread, Piece
from dockreg.errors import BlobUnknown, StorageFull, StoreUnavailable
from dockreg.interfaces import IBlobStore
from dockreg.interfaces_blobs import IBlobReader, IUpload
from dockreg.model.blobs import StoredBlob
from dockreg.model.digest import Digest
from dockreg.providers.blobs.filesystem import FilesystemBlobStore
from dockreg.providers.blobs.staging import Folders
from dockreg.testing import contracts
from tests.unit.providers.blobs.threads import Threads, at_once

_numbers = count(1)


def new_id() -> str:
    return f"id-{next(_numbers):021}"


def filesystem(folder: Path, in_thread: InThread = at_once) -> FilesystemBlobStore:
    return FilesystemBlobStore(folder, in_thread, new_id)


def all_files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def files_in(folder: Path) -> set[str]:
    """Without the notes of series, which last."""
    return {path for path in all_files_in(folder) if not path.startswith("series/")}


def notes_in(folder: Path) -> set[str]:
    """The notes of series."""
    return all_files_in(folder) - files_in(folder)


def modes_in(folder: Path) -> set[tuple[bool, int]]:
    """Whether it is a folder, and its mode, of everything."""
    return {(path.is_dir(), path.stat().st_mode & 0o777) for path in (folder, *folder.rglob("*"))}


def open_descriptors() -> int:
    """How many there are, without those of the notes of series, which last."""
    links = (os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink())  # noqa: PTH115 - text
    return sum("/series/" not in link for link in links)


def limit_files(case: TestCase, size: int) -> None:
    """Let no file grow beyond ``size`` bytes until the test is over."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    case.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, old)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))


class FilesystemBlobStoreTests(contracts.BlobStoreContract):
    """The promises of every blob store, kept in files."""

    def make_blob_store(self) -> IBlobStore:
        return filesystem(Path(self.mktemp()))

    def make_full_blob_store(self) -> IBlobStore:
        limit_files(self, 1 << 20)
        return filesystem(Path(self.mktemp()))


class LayoutTests(contracts.Contract):
    """Where things are."""

    async def test_object(self) -> None:
        """An object is a file named by digest and generation, in the folder of its series."""
        folder = Path(self.mktemp())
        blob = await contracts.store(filesystem(folder))
        series = blob.generation.partition("~")[0]
        self.assertEqual({f"sha256/{series}/{blob.digest.encoded}.{blob.generation}"}, files_in(folder))
        self.assertEqual({f"series/sha256.{series}"}, notes_in(folder))

    async def test_object_of_before(self) -> None:
        """An object that was stored before there were series is found by the first letters of its digest."""
        folder = Path(self.mktemp())
        store = filesystem(folder)
        blob = StoredBlob(Digest.sha256(contracts.CONTENT), "a-generation-of-before", len(contracts.CONTENT))
        encoded = blob.digest.encoded
        path = folder / "sha256" / encoded[:2] / f"{encoded}.{blob.generation}"
        path.parent.mkdir(parents=True)
        path.write_bytes(contracts.CONTENT)
        self.assertEqual(contracts.CONTENT, await contracts.content_of(store, blob))
        self.assertEqual([blob], (await store.stored("", 10)).objects)
        # One that is not where it belongs is not found, and so none.
        path.with_name(f"{encoded}.series~1").write_bytes(contracts.CONTENT)
        self.assertEqual([blob], (await store.stored("", 10)).objects)
        path.with_name(f"{encoded}.series~1").unlink()
        await store.delete(blob)
        self.assertEqual((set(), True), (files_in(folder), path.parent.is_dir()))

    async def test_modes(self) -> None:
        """Files and folders are for their owner alone."""
        folder = Path(self.mktemp())
        store = filesystem(folder)
        await contracts.store(store)
        await store.start_upload()
        self.assertEqual({(True, 0o700), (False, 0o600)}, modes_in(folder))

    async def test_nothing_left(self) -> None:
        """An aborted upload, a refused commit and a check leave no file."""
        folder = Path(self.mktemp())
        store = filesystem(folder)
        upload = await store.start_upload()
        await upload.write([b"x"])
        await upload.abort()
        upload = await store.start_upload()
        await self.raises(Exception, upload.commit(Digest.sha256(b"other")))
        await store.check()
        self.assertEqual(set(), files_in(folder))

    async def test_delete_unconfirmed(self) -> None:
        """Deleting an object that was never confirmed removes it, and settles it."""
        folder = Path(self.mktemp())
        store = filesystem(folder)
        blob = await (await store.start_upload()).commit()
        self.assertEqual(1, len(files_in(folder)))
        self.assertEqual([], (await store.stored("", 10)).objects)
        await store.delete(blob)
        self.assertEqual((set(), set()), (files_in(folder), set(store._folders.unconfirmed)))

    async def test_descriptors(self) -> None:
        """No file stays open."""
        store = filesystem(Path(self.mktemp()))
        before = open_descriptors()
        blob = await contracts.store(store)
        await contracts.content_of(store, blob)
        await self.raises(BlobUnknown, store.open(StoredBlob(blob.digest, blob.generation, 0)))
        upload = await store.start_upload()
        await upload.write([b"x"])
        await upload.abort()
        upload = await store.start_upload()
        await self.raises(Exception, upload.commit(Digest.sha256(b"other")))
        await store.delete(await (await store.start_upload()).commit())
        await store.check()
        await store.recover(contracts.nothing_recorded, contracts.nothing_resumable)
        self.assertEqual(before, open_descriptors())

    async def test_fileno(self) -> None:
        """A reader offers its descriptor, whose own position reads do not move."""
        store = filesystem(Path(self.mktemp()))
        reader: Any = await store.open(await contracts.store(store))
        await reader.read(3)
        self.assertEqual(contracts.CONTENT, os.pread(reader.detach()[0], 100, 0))
        reader.close()

    async def test_not_a_folder(self) -> None:
        """Where no folder can be made, the store is unavailable."""
        folder = Path(self.mktemp())
        await contracts.store(filesystem(folder))
        (file,) = files_in(folder)
        store = filesystem(folder / file)
        await self.raises(StoreUnavailable, store.check())
        await self.raises(StoreUnavailable, store.start_upload())
        await self.raises(StoreUnavailable, store.recover(contracts.nothing_recorded, contracts.nothing_resumable))


class NoRoomTests(contracts.Contract):
    """A limit for the size of files stands for a full disk."""

    async def test_nothing_left(self) -> None:
        """An upload that found no room leaves nothing."""
        folder = Path(self.mktemp())
        limit_files(self, 1 << 20)
        upload = await filesystem(folder).start_upload()
        await self.raises(StorageFull, upload.write([b"x" * (1 << 20), b"y"]))
        await upload.abort()
        self.assertEqual(set(), files_in(folder))


class ObserverTests(contracts.Contract):
    """Observers may refuse."""

    async def test_refusal(self) -> None:
        """What an observer raises ends the upload: bytes that it did not see are never committed."""

        class Refusing:
            def update(self, data: Piece, /) -> None:
                raise StorageFull

        upload = await filesystem(Path(self.mktemp())).start_upload([Refusing()])
        await self.raises(StorageFull, upload.write([b"x"]))
        await self.raises(StorageFull, upload.commit())


class RecoveryTests(contracts.Contract):
    """A copy of the folder has the files and not the locks: it is what a killed process leaves."""

    def after_crash(self, folder: Path) -> Path:
        copy = Path(self.mktemp())
        shutil.copytree(folder, copy)
        return copy

    async def recovered(self, folder: Path, *recorded: StoredBlob) -> tuple[int, set[str]]:
        """What recovery says and leaves, when ``recorded`` is what the metadata names."""
        copy = self.after_crash(folder)
        before = open_descriptors()

        async def is_recorded(blob: StoredBlob) -> bool:
            return blob in recorded

        number = await filesystem(copy).recover(is_recorded, contracts.nothing_resumable)
        self.assertEqual(before, open_descriptors())
        self.assertEqual(
            (0, all_files_in(copy)),
            (await filesystem(copy).recover(is_recorded, contracts.nothing_resumable), all_files_in(copy)),
        )
        return number, all_files_in(copy)

    async def test_upload(self) -> None:
        """An upload without a writer is dropped."""
        folder = Path(self.mktemp())
        upload = await filesystem(folder).start_upload()
        await upload.write([b"x"])
        self.assertEqual((1, set()), await self.recovered(folder))

    async def test_noted(self) -> None:
        """A crash before the rename leaves a note and a staging file: both go, and the empty folder with them."""
        folder = Path(self.mktemp())
        blob = await (await filesystem(folder).start_upload()).commit()
        _object(folder, blob).rename(folder / "staging" / "id")
        self.assertEqual((1, set()), await self.recovered(folder))

    async def test_not_recorded(self) -> None:
        """A committed object that the metadata does not name is removed with its note."""
        folder = Path(self.mktemp())
        blob = await (await filesystem(folder).start_upload()).commit()
        other = StoredBlob(blob.digest, "other", blob.size)
        self.assertEqual((1, set()), await self.recovered(folder, other))

    async def test_recorded(self) -> None:
        """A committed object that the metadata names stays, its note goes."""
        folder = Path(self.mktemp())
        blob = await (await filesystem(folder).start_upload()).commit()
        kept = {str(_object(folder, blob).relative_to(folder))}
        self.assertEqual((0, kept), await self.recovered(folder, blob))

    async def test_no_answer(self) -> None:
        """When the metadata does not answer nothing is removed, and the next recovery asks again."""
        folder = Path(self.mktemp())
        blob = await (await filesystem(folder).start_upload()).commit()
        copy = self.after_crash(folder)

        async def no_answer(_blob: StoredBlob) -> bool:
            raise StoreUnavailable("no database")

        before = open_descriptors()
        await self.raises(StoreUnavailable, filesystem(copy).recover(no_answer, contracts.nothing_resumable))
        self.assertEqual((before, all_files_in(folder)), (open_descriptors(), all_files_in(copy)))
        self.assertTrue(_object(copy, blob).exists())
        self.assertEqual(1, await filesystem(copy).recover(contracts.nothing_recorded, contracts.nothing_resumable))

    async def test_empty(self) -> None:
        """There is nothing to settle in a folder that does not exist yet."""
        self.assertEqual(
            0, await filesystem(Path(self.mktemp())).recover(contracts.nothing_recorded, contracts.nothing_resumable)
        )


class CancellationTests(SynchronousTestCase):
    """Who asked may go away while a thread is at work."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.threads = Threads()
        self.store = filesystem(self.folder, self.threads.in_thread)
        self.before = open_descriptors()

    def begin(self, work: Coroutine[Any, Any, Any]) -> "Deferred[Any]":
        return Deferred.fromCoroutine(work)

    def finished(self, work: Coroutine[Any, Any, Any]) -> Any:
        done = self.begin(work)
        self.threads.run_all()
        return self.successResultOf(done)

    def cancel_both_ways(self, work: Coroutine[Any, Any, Any], *, handed_over: bool) -> None:
        """Cancel while the job has not run, or when it has run and its result is on the way."""
        done = self.begin(work)
        if handed_over:
            deliver = self.threads.run()
            done.cancel()
            deliver()
        else:
            done.cancel()
            self.threads.run_all()
        self.failureResultOf(done, CancelledError)

    def test_start(self) -> None:
        """An upload that nobody waits for any more leaves neither file nor descriptor."""
        for handed_over in (False, True):
            self.cancel_both_ways(self.store.start_upload(), handed_over=handed_over)
            self.assertEqual((set(), self.before), (files_in(self.folder), open_descriptors()))

    def test_open(self) -> None:
        """A reader that nobody waits for any more is closed."""
        done = self.begin(contracts.store(self.store))
        self.threads.run_all()
        blob = self.successResultOf(done)
        for handed_over in (False, True):
            self.cancel_both_ways(self.store.open(blob), handed_over=handed_over)
            self.assertEqual(self.before, open_descriptors())

    def test_write(self) -> None:
        """An abort after a cancelled write waits for that write, and leaves nothing."""
        upload: IUpload = self.finished(self.store.start_upload())
        writing = self.begin(upload.write([b"x"]))
        writing.cancel()
        self.failureResultOf(writing, CancelledError)
        self.finished(upload.abort())
        self.assertEqual((set(), self.before), (files_in(self.folder), open_descriptors()))

    def test_commit(self) -> None:
        """A commit that nobody waits for any more is taken back."""
        for handed_over in (False, True):
            upload: IUpload = self.finished(self.store.start_upload())
            self.cancel_both_ways(upload.commit(), handed_over=handed_over)
            self.finished(upload.abort())
            self.assertEqual((set(), self.before), (files_in(self.folder), open_descriptors()))

    def test_read(self) -> None:
        """A close while a read is under way closes the file when the read is over."""
        blob = self.finished(contracts.store(self.store))
        reader: IBlobReader = self.finished(self.store.open(blob))
        reading = self.begin(reader.read(3))
        reader.close()
        reader.close()
        self.assertEqual(self.before + 1, open_descriptors())
        self.threads.run_all()
        self.assertEqual(contracts.CONTENT[:3], self.successResultOf(reading))
        self.assertEqual(self.before, open_descriptors())

    def test_recover(self) -> None:
        """A recovery that is cancelled while the metadata is asked lets go of its lock."""
        blob = self.finished(self._unconfirmed())
        copy = Path(self.mktemp())
        shutil.copytree(self.folder, copy)
        before = len(list(Path("/proc/self/fd").iterdir()))
        recovering = self.begin(filesystem(copy).recover(lambda _blob: Deferred(), contracts.nothing_resumable))
        self.assertEqual(before + 1, len(list(Path("/proc/self/fd").iterdir())))
        recovering.cancel()
        self.failureResultOf(recovering, CancelledError)
        self.assertEqual(before, len(list(Path("/proc/self/fd").iterdir())))
        self.assertTrue(_object(copy, blob).exists())

    async def _unconfirmed(self) -> StoredBlob:
        upload = await self.store.start_upload()
        return await upload.commit()


def _object(folder: Path, blob: StoredBlob) -> Path:
    return Folders(folder).object_path(blob)
