"""What is durable before what: the order in which the store of files makes, flushes, renames and removes."""

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import StoreUnavailable
from dockreg.interfaces_blobs import IUpload
from dockreg.model.blobs import NOTHING_RECEIVED, StoredBlob
from dockreg.model.digest import Digest
from dockreg.providers.blobs.disk import make_folder
from dockreg.providers.blobs.filesystem import FilesystemBlobStore
from dockreg.registry import Registry
from dockreg.testing import contracts
from tests.unit import v1case
from tests.unit.providers.blobs.recorder import DiskRecorder
from tests.unit.providers.blobs.threads import Threads, at_once

CONTENT = b"a layer"
DIGEST = Digest.sha256(CONTENT)
#: The id of an upload that can be resumed.
UPLOAD = "an-upload-0123456789"
FOLDER = f"sha256/{DIGEST.encoded[:2]}"


def names() -> Any:
    """A factory of the names of an upload and its generation, then of a second one."""
    return iter(("upload", "one", "later", "two")).__next__


def staged(upload_id: str) -> str:
    return f"staging/{upload_id}"


def note(upload_id: str, generation: str) -> str:
    return f"staging/{upload_id}.{DIGEST.encoded}.{generation}"


def stored(generation: str) -> str:
    return f"{FOLDER}/{DIGEST.encoded}.{generation}"


#: All folders of objects are made at once.
FOLDERS = [f"make sha256/{number:02x}" for number in range(256)]
#: All that a commit asks of the disk, in a store that has no object yet.
FIRST_COMMIT = [
    f"create {note('upload', 'one')}",
    "flush staging/upload",
    "flush staging",
    "make sha256",
    "flush .",
    *FOLDERS,
    "flush sha256",
    f"rename staging/upload {stored('one')}",
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
        """Note, file, folder of notes, name of the object, its folder: then, and no sooner, the commit returns."""
        upload = self.start()
        self.disk.take()
        committing: Deferred[StoredBlob] = Deferred.fromCoroutine(upload.commit())
        returned = committing.addCallback(lambda blob: self.disk.lines.append(f"returned {blob.generation}"))
        self.assertNoResult(returned)
        self.threads.run_all()
        self.assertEqual([*FIRST_COMMIT, "returned one"], self.disk.take())

    def test_again(self) -> None:
        """Where the folders are there already, everything but their own names is flushed again."""
        self.finished(self.start().commit())
        upload = self.start()
        self.disk.take()
        self.finished(upload.commit())
        expected = [
            f"create {note('later', 'two')}",
            "flush staging/later",
            "flush staging",
            f"rename staging/later {stored('two')}",
            f"flush {FOLDER}",
        ]
        self.assertEqual(expected, self.disk.take())

    def test_another_process(self) -> None:
        """A store that did not make a folder flushes its name once more: its maker may not have come to that."""
        self.finished(self.start().commit())
        self.store = FilesystemBlobStore(self.folder, self.threads.in_thread, iter(("other", "three")).__next__)
        upload = self.start()
        self.disk.take()
        self.finished(upload.commit())
        lines = self.disk.take()
        self.assertIn("flush sha256", lines[: lines.index(f"rename staging/other {stored('three')}")])

    def test_every_failure(self) -> None:
        """Whichever step the disk refuses, the commit fails, and neither object nor note is left, only the upload."""
        for broken in (step for step in FIRST_COMMIT if step not in FOLDERS[1:]):
            self.open_store()
            upload = self.start()
            self.disk.broken = broken
            committing: Deferred[StoredBlob] = Deferred.fromCoroutine(upload.commit())
            self.threads.run_all()
            self.failureResultOf(committing, StoreUnavailable)
            self.assertEqual("", self.disk.broken, "the step was never reached")
            self.assertEqual(["upload"], [path.name for path in self.folder.rglob("*") if path.is_file()], broken)
            received = self.finished(upload.suspend())
            left = [path.read_bytes() for path in self.folder.rglob("*") if path.is_file()]
            # When its bytes were not flushed nobody knows what of them is on the disk.
            flushed = broken != FIRST_COMMIT[1]
            self.assertEqual((len(CONTENT), [CONTENT]) if flushed else (0, []), (received.size, left), broken)


class SuspensionTests(contracts.Contract):
    """What a suspended upload says that it has received is durable."""

    #: All that the first suspension asks of the disk.
    FIRST = [f"flush staging/{UPLOAD}", f"seal staging/{UPLOAD}", "flush staging"]

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
        """The bytes, then the note of their digest, then the name: then, and no sooner, the suspension returns."""
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
        self.assertEqual(self.FIRST[:2], self.disk.take())
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
        for broken in (self.FIRST[0], self.FIRST[2]):
            self.store = FilesystemBlobStore(self.folder, at_once, iter((UPLOAD, "one")).__next__)
            upload = await self.start()
            self.disk.broken = broken
            await self.raises(StoreUnavailable, upload.suspend())
            await upload.abort()
            self.assertEqual(0, upload.size)
            self.assertEqual([], [path for path in self.folder.rglob("*") if path.is_file()], broken)

    async def test_commit(self) -> None:
        """The commit of a resumed upload makes everything durable in the same order as any other."""
        received = await (await self.start()).suspend()
        upload = await self.store.resume_upload(UPLOAD, received)
        await upload.write([])
        self.disk.take()
        await upload.commit()
        self.assertEqual([line.replace("upload", UPLOAD) for line in FIRST_COMMIT], self.disk.take())


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
        # Once for the folder of what is unfinished, which was made, and once for the one that was there.
        self.assertEqual(2, steps[:rename].count("flush ."))


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
        """A deletion removes the object, flushes its folder, and then removes the note."""
        blob = await self.unconfirmed()
        await self.store.delete(blob)
        expected = [f"remove {stored('one')}", f"flush {FOLDER}", f"remove {note('upload', 'one')}"]
        self.assertEqual(expected, self.disk.take())

    async def test_delete_again(self) -> None:
        """An object that is gone is removed for good, too: who removed it may not have come to the flush."""
        blob = await self.unconfirmed()
        (self.folder / stored("one")).unlink()
        self.disk.take()
        await self.store.delete(blob)
        self.assertIn(f"flush {FOLDER}", self.disk.take())

    async def test_recovery(self) -> None:
        """Recovery removes what is not recorded in the same order."""
        await self.unconfirmed()
        copy = Path(self.mktemp())
        # Without the lock, which its process holds.
        for path in (note("upload", "one"), stored("one")):
            (copy / path).parent.mkdir(parents=True)
            (copy / path).write_bytes((self.folder / path).read_bytes())
        disk = DiskRecorder(self, copy)
        store = FilesystemBlobStore(copy, at_once, names())
        self.assertEqual(1, await store.recover(contracts.nothing_recorded, contracts.nothing_resumable))
        expected = [f"remove {stored('one')}", f"flush {FOLDER}", f"remove {note('upload', 'one')}"]
        self.assertEqual(expected, disk.take()[-3:])


class RecordTests(v1case.V1ImagesTestCase):
    """The metadata names an object only when it is durable."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.blob = StoredBlob(DIGEST, "one", len(CONTENT))
        #: Each step of the disk, and whether the object was recorded before it.
        self.steps: list[tuple[str, bool]] = []
        self.disk = DiskRecorder(self, self.folder, self.look)
        store = FilesystemBlobStore(self.folder, v1case.here, names())
        self.registry = Registry(self.metadata, store, self.policy, self.clock, v1case.here)
        self.images.registry = self.registry

    def look(self, line: str) -> None:
        self.steps.append((line, self.result(self.metadata.blobs.is_recorded(self.blob))))

    def test_after_the_last_flush(self) -> None:
        """A layer is recorded behind the last flush of its object, and before its note is removed."""
        caller = v1case.token(v1case.ONE)
        self.announce(caller, v1case.ONE, v1case.A)
        self.result(self.images.put_json(caller, v1case.A, v1case.document(v1case.A)))
        self.result(self.put_layer(caller, v1case.A, CONTENT))
        expected = [*((line, False) for line in FIRST_COMMIT), (f"remove {note('upload', 'one')}", True)]
        self.assertEqual(expected, self.steps[-len(expected) :])
        self.assertEqual([False], sorted({recorded for _, recorded in self.steps[: -len(expected)]}))

    def test_a_flush_that_fails(self) -> None:
        """A layer whose object could not be made durable is never recorded."""
        caller = v1case.token(v1case.ONE)
        self.announce(caller, v1case.ONE, v1case.A)
        self.result(self.images.put_json(caller, v1case.A, v1case.document(v1case.A)))
        self.disk.broken = f"flush {FOLDER}"
        self.refused(StoreUnavailable, self.put_layer(caller, v1case.A, CONTENT))
        self.assertFalse(self.result(self.metadata.blobs.is_recorded(self.blob)))
