"""What is durable before what: the order in which the store of files makes, flushes, renames and removes."""

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import StoreUnavailable
from dockreg.interfaces_blobs import IUpload
from dockreg.model.blobs import NOTHING_RECEIVED, StoredBlob
from dockreg.model.digest import Digest
from dockreg.providers.blobs import series
from dockreg.providers.blobs.disk import make_folder
from dockreg.providers.blobs.filesystem import FilesystemBlobStore
from dockreg.registry import Registry
from dockreg.testing import contracts
from tests.unit import v1case
from tests.unit.providers.blobs.recorder import DiskRecorder
from tests.unit.providers.blobs.test_filesystem import files_in, notes_in
from tests.unit.providers.blobs.threads import Threads, at_once

CONTENT = b"a layer"
DIGEST = Digest.sha256(CONTENT)
#: The id of an upload that can be resumed.
UPLOAD = "an-upload-0123456789"
FOLDER = "sha256/one"
NOTE = "series/sha256.one"


def names() -> Any:
    """A factory of the names of an upload and of a series, then of other ones."""
    return iter(("upload", "one", "later", "two")).__next__


def stored(number: int) -> str:
    return f"{FOLDER}/{DIGEST.encoded}.one~{number:x}"


#: All that the first commit of a series asks of the disk before an object is made, in a store that has none yet.
FIRST = [
    "make series",
    "flush .",
    "make sha256",
    "flush .",
    f"create {NOTE}",
    "flush series",
    f"make {FOLDER}",
    "flush sha256",
]
#: All that a commit asks of the disk.
FIRST_COMMIT = ["flush staging/upload", *FIRST, f"rename staging/upload {stored(1)}", f"flush {FOLDER}"]
#: The same where all bytes come at once.
FIRST_WHOLE = [
    *FIRST[:2],
    "make staging",
    "flush .",
    *FIRST[2:],
    f"create {stored(1)}",
    f"flush {stored(1)}",
    f"flush {FOLDER}",
]


class CommitTests(SynchronousTestCase):
    """An object is durable before anybody hears of it."""

    def setUp(self) -> None:
        self.threads = Threads()
        self.open_store()

    def open_store(self) -> None:
        """A new, empty store."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.store = FilesystemBlobStore(self.folder, self.threads.in_thread, names())
        self.disk = DiskRecorder(self, self.folder)

    def finished(self, work: Any) -> Any:
        done: Deferred[Any] = Deferred.fromCoroutine(work)
        self.threads.run_all()
        return self.successResultOf(done)

    def start(self) -> IUpload:
        """An upload that has its bytes."""
        upload: IUpload = self.finished(self.store.start_upload())
        self.finished(upload.write([CONTENT]))
        return upload

    def test_order(self) -> None:
        """File, note, folder of notes, name of the object, its folder: then, and no sooner, the commit returns."""
        upload = self.start()
        self.disk.take()
        committing: Deferred[StoredBlob] = Deferred.fromCoroutine(upload.commit())
        returned = committing.addCallback(lambda blob: self.disk.lines.append(f"returned {blob.generation}"))
        self.assertNoResult(returned)
        self.threads.run_all()
        self.assertEqual([*FIRST_COMMIT, "returned one~1"], self.disk.take())

    def test_again(self) -> None:
        """Further objects of a series need no note of their own."""
        self.finished(self.start().commit())
        upload = self.start()
        self.disk.take()
        self.finished(upload.commit())
        expected = ["flush staging/later", f"rename staging/later {stored(2)}", f"flush {FOLDER}"]
        self.assertEqual(expected, self.disk.take())

    def test_next_series(self) -> None:
        """A series that has come to its end is followed by another one; its note goes with the last confirmation."""
        self.patch(series, "LENGTH", 1)
        first = self.finished(self.start().commit())
        self.disk.take()
        second = self.finished(self.start().commit())
        self.assertIn("create series/sha256.two", self.disk.take())
        self.assertEqual(["one~1", "two~1"], [first.generation, second.generation])
        self.finished(self.store.confirm(first))
        self.assertEqual([f"remove {NOTE}"], self.disk.take())
        self.finished(self.store.confirm(second))
        # More may come, as far as that knows.
        self.assertEqual([], self.disk.take())

    def test_whole(self) -> None:
        """Bytes that come at once are written under the name of the object, when the note is durable."""
        expected = [line.replace("one", "upload") for line in (*FIRST_WHOLE, "returned one~1")]
        self.assertEqual(expected, self.whole())

    def test_whole_again(self) -> None:
        """A further one takes two flushes."""
        self.finished(self.start().commit())
        expected = [f"create {stored(2)}", f"flush {stored(2)}", f"flush {FOLDER}", "returned one~2"]
        self.assertEqual(expected, self.whole())

    def whole(self) -> list[str]:
        """What a session that is begun and closed by one request asks of the disk."""
        upload: IUpload = self.finished(self.store.resume_upload(UPLOAD, NOTHING_RECEIVED, later=True))
        self.disk.take()
        committing: Deferred[StoredBlob] = Deferred.fromCoroutine(upload.commit(DIGEST, [CONTENT[:3], CONTENT[3:]]))
        returned = committing.addCallback(lambda blob: self.disk.lines.append(f"returned {blob.generation}"))
        self.threads.run_all()
        blob = self.successResultOf(committing)
        self.assertIsNone(self.successResultOf(returned), blob)
        return self.disk.take()

    def test_removed_folder(self) -> None:
        """A series whose folder somebody has removed, for it was empty, is given up; the next one has the object."""
        first = self.finished(self.start().commit())
        (self.folder / stored(1)).unlink()
        (self.folder / FOLDER).rmdir()
        upload = self.start()
        self.assertEqual("two~1", self.finished(upload.commit()).generation)
        self.finished(self.store.confirm(first))
        self.assertEqual(["series/sha256.two"], sorted(notes_in(self.folder)))

    def test_a_flush_that_failed(self) -> None:
        """When a folder could not be flushed, no other object is added to it, and its note stays."""
        self.open_store()
        upload = self.start()
        self.disk.broken = f"flush {FOLDER}"
        committing: Deferred[StoredBlob] = Deferred.fromCoroutine(upload.commit())
        self.threads.run_all()
        self.failureResultOf(committing, StoreUnavailable)
        self.assertEqual("later~1", self.finished(upload.commit()).generation)
        self.assertEqual({NOTE, "series/sha256.later"}, notes_in(self.folder))

    def test_every_failure(self) -> None:
        """Whichever step the disk refuses, the commit fails, and neither object nor note is left, only the upload."""
        for broken in FIRST_COMMIT:
            self.open_store()
            upload = self.start()
            self.disk.broken = broken
            committing: Deferred[StoredBlob] = Deferred.fromCoroutine(upload.commit())
            self.threads.run_all()
            self.failureResultOf(committing, StoreUnavailable)
            self.assertEqual("", self.disk.broken, "the step was never reached")
            self.assertEqual({"staging/upload"}, files_in(self.folder), broken)
            # That of a series which was begun has more objects to come, or is left to recovery.
            begun = broken in FIRST_COMMIT[len(FIRST) + 1 :]
            self.assertEqual({NOTE} if begun else set(), notes_in(self.folder), broken)
            received = self.finished(upload.suspend())
            left = [(self.folder / path).read_bytes() for path in files_in(self.folder)]
            # When its bytes were not flushed nobody knows what of them is on the disk.
            flushed = broken != FIRST_COMMIT[0]
            self.assertEqual((len(CONTENT), [CONTENT]) if flushed else (0, []), (received.size, left), broken)


class SuspensionTests(contracts.Contract):
    """What a suspended upload says that it has received is durable."""

    #: All that the first suspension asks of the disk.
    FIRST = [f"flush staging/{UPLOAD}", "flush staging", f"seal staging/{UPLOAD}"]

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.threads = Threads()
        self.disk = DiskRecorder(self, self.folder)
        self.store = FilesystemBlobStore(self.folder, at_once, iter((UPLOAD, "one")).__next__)

    async def start(self) -> IUpload:
        """An upload that has its bytes."""
        upload = await self.store.start_upload()
        await upload.write([CONTENT])
        self.disk.take()
        return upload

    async def test_order(self) -> None:
        """The bytes, the name, and the note of the digest: then, and no sooner, the suspension returns."""
        self.store = FilesystemBlobStore(self.folder, self.threads.in_thread, iter((UPLOAD, "one")).__next__)
        starting = Deferred.fromCoroutine(self.start())
        self.threads.run_all()
        upload = await starting
        suspending = Deferred.fromCoroutine(upload.suspend())
        returned = suspending.addCallback(lambda received: self.disk.lines.append(f"returned {received.size}"))
        self.threads.run_all()
        await returned
        self.assertEqual([*self.FIRST, f"returned {len(CONTENT)}"], self.disk.take())

    async def test_again(self) -> None:
        """A name that is durable is not flushed again, nor are bytes when no more came."""
        received = await (await self.start()).suspend()
        upload = await self.store.resume_upload(UPLOAD, received)
        await upload.write([CONTENT])
        self.disk.take()
        received = await upload.suspend()
        self.assertEqual([self.FIRST[0], self.FIRST[2]], self.disk.take())
        await (await self.store.resume_upload(UPLOAD, received)).suspend()
        self.assertEqual([], self.disk.take())

    async def test_not_noted(self) -> None:
        """Bytes, and a name, of which nobody was told before are flushed, whoever wrote them."""
        await (await self.start()).suspend()
        self.disk.take()
        upload = await self.store.resume_upload(UPLOAD, NOTHING_RECEIVED)
        self.disk.take()
        self.assertEqual(len(CONTENT), (await upload.suspend()).size)
        self.assertEqual(self.FIRST, self.disk.take())

    async def test_empty(self) -> None:
        """Nothing of an upload without bytes needs to be durable."""
        upload = await self.store.start_upload()
        self.disk.take()
        await upload.suspend()
        self.assertEqual([], self.disk.take())

    async def test_every_failure(self) -> None:
        """Where the disk refuses to flush, the suspension fails, and nothing is left of what was not suspended before."""
        for broken in self.FIRST[:2]:
            self.store = FilesystemBlobStore(self.folder, at_once, iter((UPLOAD, "one")).__next__)
            upload = await self.start()
            self.disk.broken = broken
            await self.raises(StoreUnavailable, upload.suspend())
            await upload.abort()
            self.assertEqual(0, upload.size)
            self.assertEqual([], [path for path in self.folder.rglob("*") if path.is_file()], broken)

    async def test_commit(self) -> None:
        """The commit of a resumed upload makes everything durable in the same order as any other, but for what is."""
        received = await (await self.start()).suspend()
        upload = await self.store.resume_upload(UPLOAD, received)
        self.disk.take()
        await upload.commit()
        self.assertEqual([line.replace("upload", UPLOAD) for line in FIRST_COMMIT[1:]], self.disk.take())

    async def test_commit_of_more(self) -> None:
        """Bytes that came since are flushed."""
        received = await (await self.start()).suspend()
        upload = await self.store.resume_upload(UPLOAD, received)
        await upload.write([CONTENT])
        self.disk.take()
        await upload.commit()
        self.assertEqual(f"flush staging/{UPLOAD}", self.disk.take()[0])


class FolderTests(SynchronousTestCase):
    """A name in a folder is durable once that folder is flushed."""

    def test_new_folders(self) -> None:
        """Of folders that are made each is flushed into the one above, up to one that was there."""
        there = Path(self.mktemp())
        there.mkdir()
        disk = DiskRecorder(self, there)
        make_folder(there / "a" / "b" / "c")
        self.assertEqual(["make a", "flush .", "make a/b", "flush a", "make a/b/c", "flush a/b"], disk.take())

    def test_first_upload(self) -> None:
        """The folder of the store, and that of what is unfinished, are durable before a file is made in them."""
        there = Path(self.mktemp())
        there.mkdir()
        disk = DiskRecorder(self, there)
        store = FilesystemBlobStore(there / "store", at_once, names())
        self.successResultOf(Deferred.fromCoroutine(store.start_upload()))
        expected = ["make store", "flush .", "make store/staging", "flush store", "create store/staging/upload"]
        self.assertEqual(expected, disk.take())

    def test_folder_of_another_process(self) -> None:
        """A folder whose maker may have died before its flush is flushed again, at every level."""
        there = Path(self.mktemp())
        (there / "sha256").mkdir(parents=True)
        disk = DiskRecorder(self, there)
        store = FilesystemBlobStore(there, at_once, names())
        upload = self.successResultOf(Deferred.fromCoroutine(store.start_upload()))
        self.successResultOf(Deferred.fromCoroutine(upload.write([CONTENT])))
        self.successResultOf(Deferred.fromCoroutine(upload.commit()))
        steps = disk.take()
        rename = next(number for number, step in enumerate(steps) if step.startswith("rename"))
        # Once for the folders of what is unfinished and of notes, which were made, and once for the one that was there.
        self.assertEqual(3, steps[:rename].count("flush ."))


class RemovalTests(contracts.Contract):
    """An object is gone for good before its note goes."""

    async def unconfirmed(self) -> StoredBlob:
        """An object that was committed, and whose note is still there."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.disk = DiskRecorder(self, self.folder)
        self.store = FilesystemBlobStore(self.folder, at_once, names())
        upload = await self.store.start_upload()
        await upload.write([CONTENT])
        blob = await upload.commit()
        self.disk.take()
        return blob

    async def test_delete(self) -> None:
        """A deletion removes the object, flushes its folder, which goes when it is empty, and then the note may go."""
        self.patch(series, "LENGTH", 1)
        blob = await self.unconfirmed()
        upload = await self.store.start_upload()
        await upload.commit()
        self.disk.take()
        await self.store.delete(blob)
        expected = [f"remove {stored(1)}", f"flush {FOLDER}", "flush sha256", f"remove {NOTE}"]
        self.assertEqual(expected, self.disk.take())

    async def test_delete_again(self) -> None:
        """An object that is gone is removed for good, too: who removed it may not have come to the flush."""
        blob = await self.unconfirmed()
        (self.folder / stored(1)).unlink()
        self.disk.take()
        await self.store.delete(blob)
        self.assertIn(f"flush {FOLDER}", self.disk.take())

    async def test_recovery(self) -> None:
        """Recovery removes what is not recorded in the same order."""
        await self.unconfirmed()
        copy = Path(self.mktemp())
        # Without the lock, which its process holds.
        for path in (NOTE, stored(1)):
            (copy / path).parent.mkdir(parents=True)
            (copy / path).write_bytes((self.folder / path).read_bytes())
        disk = DiskRecorder(self, copy)
        store = FilesystemBlobStore(copy, at_once, names())
        self.assertEqual(1, await store.recover(contracts.nothing_recorded, contracts.nothing_resumable))
        expected = [f"remove {stored(1)}", f"flush {FOLDER}", "flush sha256", f"remove {NOTE}"]
        self.assertEqual(expected, disk.take()[-4:])


class RecordTests(v1case.V1ImagesTestCase):
    """The metadata names an object only when it is durable."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.blob = StoredBlob(DIGEST, "one~1", len(CONTENT))
        #: Each step of the disk, and whether the object was recorded before it.
        self.steps: list[tuple[str, bool]] = []
        self.disk = DiskRecorder(self, self.folder, self.look)
        store = FilesystemBlobStore(self.folder, v1case.here, names())
        self.registry = Registry(self.metadata, store, self.policy, self.clock, v1case.here)
        self.images.registry = self.registry

    def look(self, line: str) -> None:
        self.steps.append((line, self.result(self.metadata.blobs.is_recorded(self.blob))))

    def test_after_the_last_flush(self) -> None:
        """A layer is recorded behind the last flush of its object."""
        caller = v1case.token(v1case.ONE)
        self.announce(caller, v1case.ONE, v1case.A)
        self.result(self.images.put_json(caller, v1case.A, v1case.document(v1case.A)))
        self.result(self.put_layer(caller, v1case.A, CONTENT))
        self.assertEqual([(line, False) for line in FIRST_COMMIT], self.steps[-len(FIRST_COMMIT) :])
        self.assertEqual([False], sorted({recorded for _, recorded in self.steps}))
        self.assertTrue(self.result(self.metadata.blobs.is_recorded(self.blob)))

    def test_a_flush_that_fails(self) -> None:
        """A layer whose object could not be made durable is never recorded."""
        caller = v1case.token(v1case.ONE)
        self.announce(caller, v1case.ONE, v1case.A)
        self.result(self.images.put_json(caller, v1case.A, v1case.document(v1case.A)))
        self.disk.broken = f"flush {FOLDER}"
        self.refused(StoreUnavailable, self.put_layer(caller, v1case.A, CONTENT))
        self.assertFalse(self.result(self.metadata.blobs.is_recorded(self.blob)))
