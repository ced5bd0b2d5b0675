"""Uploads in files over several requests, of one process and of several."""

import errno
import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import UploadBusy, UploadUnknown
from dockreg.interfaces import IBlobStore
from dockreg.interfaces_blobs import IUpload
from dockreg.model.blobs import NOTHING_RECEIVED, Received, StoredBlob
from dockreg.model.digest import Digest
from dockreg.providers.blobs import digesting
from dockreg.providers.blobs.digesting import KeptHashers
from dockreg.providers.blobs.staging import Folders
from dockreg.testing import contracts, contracts_uploads
from dockreg.testing.contracts_uploads import suspended
from tests.unit.providers.blobs.test_filesystem import all_files_in, files_in, filesystem, notes_in, open_descriptors
from tests.unit.providers.blobs.threads import Threads


class FilesystemUploadTests(contracts_uploads.UploadContract):
    """The promises of uploads over several requests, kept in files."""

    def make_blob_store(self) -> IBlobStore:
        return filesystem(Path(self.mktemp()))


class UnsealedUploadTests(contracts_uploads.UploadContract):
    """The same promises on a file system that has no extended attributes."""

    def setUp(self) -> None:
        self.patch(os, "setxattr", _not_supported)
        self.patch(os, "getxattr", _not_supported)

    def make_blob_store(self) -> IBlobStore:
        return filesystem(Path(self.mktemp()))


class ForgetfulUploadTests(contracts_uploads.UploadContract):
    """The same promises where no hasher is kept, as between processes."""

    def setUp(self) -> None:
        self.patch(KeptHashers, "keep", lambda *_: None)

    def make_blob_store(self) -> IBlobStore:
        return filesystem(Path(self.mktemp()))


def _not_supported(*_: object) -> None:
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


class SuspendedCase(contracts.Contract):
    """A store, and another process that shares its folder."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.store = filesystem(self.folder)
        self.other = filesystem(self.folder)


class LayoutTests(SuspendedCase):
    """Where things are."""

    async def test_sha512(self) -> None:
        """An object with a sha512 digest is in a series of its own, whose note says so."""
        await contracts.store(self.store)
        upload = await self.store.start_upload(algorithm="sha512")
        blob = await upload.commit()
        series = blob.generation.partition("~")[0]
        self.assertIn(f"sha512/{series}/{blob.digest.encoded}.{blob.generation}", files_in(self.folder))
        self.assertIn(f"series/sha512.{series}", notes_in(self.folder))
        self.assertTrue(all(len(Path(path).name) <= 255 for path in all_files_in(self.folder)))

    async def test_longest_id(self) -> None:
        """The longest id that can be resumed names a file."""
        upload = await self.store.resume_upload("x" * 64, NOTHING_RECEIVED, algorithm="sha512")
        await self.store.confirm(await upload.commit())

    async def test_descriptors(self) -> None:
        """No file stays open."""
        before = open_descriptors()
        upload_id, received = await suspended(self.store, [b"abc"])
        await self.raises(UploadUnknown, self.store.resume_upload(upload_id, Received(4, None)))
        await self.raises(UploadUnknown, self.store.resume_upload("x" * 20, Received(4, None)))
        upload = await self.store.resume_upload(upload_id, received)
        await self.raises(UploadBusy, self.other.resume_upload(upload_id, received))
        await self.raises(UploadBusy, self.other.drop_upload(upload_id))
        await upload.suspend()
        await self.store.drop_upload(upload_id)
        self.assertEqual((before, set()), (open_descriptors(), files_in(self.folder)))


class OtherProcessTests(SuspendedCase):
    """Processes that share a folder keep out of each other's way."""

    async def test_one_writer(self) -> None:
        """An upload that another process is writing to is busy, until that lets go of it."""
        upload_id, received = await suspended(self.store, [b"abc"])
        upload = await self.store.resume_upload(upload_id, received)
        await self.raises(UploadBusy, self.other.resume_upload(upload_id, received))
        await self.raises(UploadBusy, self.other.drop_upload(upload_id))
        self.assertEqual(3, await self.other.upload_size(upload_id))
        received = await upload.suspend()
        await (await self.other.resume_upload(upload_id, received)).suspend()
        await self.other.drop_upload(upload_id)

    async def test_begun_twice(self) -> None:
        """Of two processes that begin the same upload one is told that it is busy."""
        upload = await self.store.resume_upload("x" * 20, NOTHING_RECEIVED)
        await self.raises(UploadBusy, self.other.resume_upload("x" * 20, NOTHING_RECEIVED))
        await upload.abort()

    async def test_recovery(self) -> None:
        """Recovery leaves alone what another process is writing to, whether the metadata knows it or not."""
        upload_id, received = await suspended(self.store, [b"abc"])
        upload = await self.store.resume_upload(upload_id, received)
        self.assertEqual(0, await self.other.recover(contracts.nothing_recorded, contracts.nothing_resumable))
        await upload.suspend()
        self.assertEqual(1, await self.other.recover(contracts.nothing_recorded, contracts.nothing_resumable))

    async def test_resumed_during_recovery(self) -> None:
        """Recovery does not keep anybody from resuming an upload that the metadata knows."""
        upload_id, received = await suspended(self.store, [b"abc"])
        answer: Deferred[bool] = Deferred()
        recovering = Deferred.fromCoroutine(self.other.recover(contracts.nothing_recorded, lambda _: answer))
        upload = await self.store.resume_upload(upload_id, received)
        answer.callback(True)
        self.assertEqual(0, await recovering)
        await upload.commit()

    async def test_recovery_of_a_crash(self) -> None:
        """Of a crash in a commit the upload stays, which its client may commit again; the note goes."""
        upload_id, received = await suspended(self.store, [b"abc"])
        upload = await self.store.resume_upload(upload_id, received)
        blob = await upload.commit()
        copy = Path(self.mktemp())
        shutil.copytree(self.folder, copy)
        Folders(copy).object_path(blob).rename(copy / "staging" / upload_id)

        async def is_resumable(name: str) -> bool:
            return name == upload_id

        store = filesystem(copy)
        self.assertEqual(0, await store.recover(contracts.nothing_recorded, is_resumable))
        self.assertEqual({f"staging/{upload_id}"}, all_files_in(copy))
        upload = await store.resume_upload(upload_id, received)
        await upload.commit(Digest.sha256(b"abc"))

    async def test_recovery_of_a_sha512_note(self) -> None:
        """The note of a sha512 object is asked about by that digest."""
        blob = await (await self.store.start_upload(algorithm="sha512")).commit()
        copy = Path(self.mktemp())
        shutil.copytree(self.folder, copy)
        asked = []

        async def is_recorded(found: object) -> bool:
            asked.append(found)
            return False

        self.assertEqual(1, await filesystem(copy).recover(is_recorded, contracts.nothing_resumable))
        self.assertEqual(([blob], set()), (asked, all_files_in(copy)))

    async def test_foreign_files(self) -> None:
        """The metadata is not asked about files whose names can not be those of uploads; they are dropped."""
        staging = self.folder / "staging"
        staging.mkdir(parents=True)
        for name in (b"short", b"x" * 80, b"\xff" * 20, b"a.b.c"):
            os.close(os.open(os.fsencode(staging) + b"/" + name, os.O_CREAT))

        async def fail(_upload_id: str) -> bool:
            raise AssertionError

        self.assertEqual(4, await self.store.recover(contracts.nothing_recorded, fail))

    async def test_became_an_object(self) -> None:
        """A file that was committed between its opening and its lock is not taken for the upload that it was."""
        upload_id, received = await suspended(self.store, [b"abc"])
        upload = await self.store.resume_upload(upload_id, received)
        flock = fcntl.flock
        blobs: list[StoredBlob] = []

        def commit_first(descriptor: int, operation: int) -> None:
            if not blobs:
                self.patch(fcntl, "flock", flock)
                blobs.append(self.successResultOf(Deferred.fromCoroutine(upload.commit())))
            flock(descriptor, operation)

        for noted in (received, NOTHING_RECEIVED):
            self.patch(fcntl, "flock", commit_first)
            resuming = self.other.resume_upload(upload_id, noted)
            if noted.size:
                await self.raises(UploadUnknown, resuming)
                upload = await self.store.resume_upload(upload_id, NOTHING_RECEIVED)
                await upload.write([b"abc"])
            else:
                fresh = await resuming
                await fresh.write([b"others"])
                await fresh.abort()
            self.assertEqual(b"abc", await contracts.content_of(self.store, blobs.pop()))


class CancellationTests(SynchronousTestCase):
    """Who asked may go away while a thread is at work."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.threads = Threads()
        self.store = filesystem(self.folder, self.threads.in_thread)
        self.upload_id, self.received = self.finished(suspended(self.store, [b"abc"]))
        self.before = open_descriptors()

    def finished(self, work: Any) -> Any:
        done: Deferred[Any] = Deferred.fromCoroutine(work)
        self.threads.run_all()
        return self.successResultOf(done)

    def resume(self) -> IUpload:
        upload: IUpload = self.finished(self.store.resume_upload(self.upload_id, self.received))
        return upload

    def test_resume(self) -> None:
        """An upload that nobody waits for any more is let go of, keeps its bytes, and need not be read again."""

        def refuse(*_: object) -> int:
            raise AssertionError

        self.patch(os, "preadv", refuse)
        for handed_over in (False, True):
            done = Deferred.fromCoroutine(self.store.resume_upload(self.upload_id, self.received))
            if handed_over:
                deliver = self.threads.run()
                done.cancel()
                deliver()
            else:
                done.cancel()
                self.threads.run_all()
            self.failureResultOf(done, CancelledError)
            self.assertEqual(self.before, open_descriptors())
        upload = self.resume()
        self.finished(upload.write([b"d"]))
        self.assertEqual(Digest.sha256(b"abcd"), self.finished(upload.commit()).digest)

    def test_write(self) -> None:
        """A suspension after a cancelled write waits for that write, and has its bytes."""
        upload = self.resume()
        writing = Deferred.fromCoroutine(upload.write([b"def"]))
        writing.cancel()
        self.failureResultOf(writing, CancelledError)
        self.assertEqual(Received(6, Digest.sha256(b"abcdef")), self.finished(upload.suspend()))

    def test_suspend(self) -> None:
        """A suspension that nobody waits for any more takes place."""
        suspending = Deferred.fromCoroutine(self.resume().suspend())
        suspending.cancel()
        self.failureResultOf(suspending, CancelledError)
        self.threads.run_all()
        self.assertEqual(self.before, open_descriptors())
        self.resume()

    def test_commit(self) -> None:
        """A commit that nobody waits for any more is taken back."""
        committing = Deferred.fromCoroutine(self.resume().commit())
        committing.cancel()
        self.threads.run_all()
        self.failureResultOf(committing, CancelledError)
        self.assertEqual((set(), self.before), (files_in(self.folder), open_descriptors()))

    def test_abort_while_reading(self) -> None:
        """An abort does not wait until a large file has been read."""
        upload: Any = self.resume()
        upload._hasher = upload._known = None
        preadv = os.preadv

        def read(*args: Any) -> int:
            upload._dropping = True
            return preadv(*args)

        self.patch(os, "preadv", read)
        self.patch(digesting, "_PIECE_BYTES", 2)
        writing = Deferred.fromCoroutine(upload.write([b"d"]))
        self.threads.run_all()
        self.failureResultOf(writing, ValueError)
        self.finished(upload.abort())
        self.assertEqual((set(), self.before), (files_in(self.folder), open_descriptors()))
