"""Bytes that are written under the name of their object while they come."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dockreg.callables import Ending, Piece
from dockreg.errors import DigestInvalid, StoreUnavailable, UploadBusy
from dockreg.interfaces_blobs import IUpload
from dockreg.model.blobs import NOTHING_RECEIVED, Received
from dockreg.model.digest import Digest
from dockreg.providers.blobs import fileupload
from dockreg.providers.blobs.filesystem import FilesystemBlobStore
from tests.unit.providers.blobs.recorder import DiskRecorder
from tests.unit.providers.blobs.test_filesystem import files_in
from tests.unit.providers.blobs.threads import at_once

CONTENT = b"a layer"
DIGEST = Digest.sha256(CONTENT)
UPLOAD = "an-upload-0123456789"
STAGED = f"staging/{UPLOAD}"
FOLDER = "sha256/one"


def stored(number: int) -> str:
    return f"{FOLDER}/{DIGEST.encoded}.one~{number:x}"


class ReceivedTests(SynchronousTestCase):
    """A session to which one request brings all bytes, many of them at once, with their digest."""

    def setUp(self) -> None:
        self.patch(fileupload, "_MUCH_BYTES", 3)
        self.open_store()

    def open_store(self) -> None:
        """One that has stored something."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.store = FilesystemBlobStore(self.folder, at_once, iter(("one", "two", "three")).__next__)
        self.done(self.upload("an-upload-9876543210").commit(DIGEST, [CONTENT]))
        self.disk = DiskRecorder(self, self.folder)

    def done(self, work: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def upload(self, upload_id: str = UPLOAD) -> Any:
        return self.done(self.store.resume_upload(upload_id, NOTHING_RECEIVED, later=True))

    def receive(self, upload: IUpload, *pieces: bytes, digest: Digest = DIGEST) -> Any:
        return Deferred.fromCoroutine(
            upload.receive(self.fetching(*pieces), Ending(len(CONTENT), digest, lambda _: True))
        )

    def fetching(self, *pieces: bytes) -> Callable[[], Piece]:
        """Gives these, and then nothing."""
        return iter([*pieces, b""]).__next__

    def left(self) -> set[str]:
        """The files that are there, but for what was stored before."""
        return files_in(self.folder) - {stored(1)}

    def test_order(self) -> None:
        """There is one name, and two flushes before anybody hears of it."""
        blob = self.successResultOf(self.receive(self.upload(), CONTENT[:3], CONTENT[3:]))
        self.assertEqual([f"create {stored(2)}", f"flush {stored(2)}", f"flush {FOLDER}"], self.disk.take())
        self.assertEqual(("one~2", CONTENT), (blob.generation, (self.folder / stored(2)).read_bytes()))
        self.assertEqual({stored(2)}, self.left())

    def test_little(self) -> None:
        """Of what comes slowly there is a staging file."""
        self.successResultOf(self.receive(self.upload(), CONTENT[:2], CONTENT[2:]))
        self.assertEqual(f"create {STAGED}", self.disk.take()[0])

    def test_not_all(self) -> None:
        """When not all comes it is a staging file, locked, as if it had never been anything else."""
        upload = self.upload()
        self.assertIsNone(self.successResultOf(self.receive(upload, CONTENT[:3])))
        self.assertEqual({STAGED}, self.left())
        self.failureResultOf(Deferred.fromCoroutine(self.store.resume_upload(UPLOAD, NOTHING_RECEIVED)), UploadBusy)
        self.disk.take()
        blob = self.done(upload.commit(DIGEST, [CONTENT[3:]]))
        # The kernel knows the file by the name that it had first.
        flushed, *named = self.disk.take()
        self.assertIn(f"flush {stored(2)}", flushed)
        self.assertEqual([f"rename {STAGED} {stored(3)}", f"flush {FOLDER}"], named)
        self.assertEqual(len(CONTENT), blob.size)

    def test_suspended(self) -> None:
        """What has come can be gone on with, also by another process."""
        upload = self.upload()
        self.receive(upload, CONTENT[:3])
        received = self.done(upload.suspend())
        self.assertEqual(Received(3, Digest.sha256(CONTENT[:3])), received)
        again = FilesystemBlobStore(self.folder, at_once, iter(("three",)).__next__)
        upload = self.done(again.resume_upload(UPLOAD, received))
        self.assertEqual(len(CONTENT), self.done(upload.commit(DIGEST, [CONTENT[3:]])).size)

    def test_other_bytes(self) -> None:
        """Of bytes with another digest nothing is left."""
        other = Digest.sha256(b"another")
        self.failureResultOf(self.receive(self.upload(), CONTENT, digest=other), DigestInvalid)
        self.assertEqual(set(), self.left())

    def receive_and_begin(self, store: FilesystemBlobStore, begin: Callable[[IUpload], Any]) -> Any:
        """Receive a part, and have somebody else do something with the same session of another store before nothing follows."""
        pieces = iter((CONTENT[:3], b""))

        def fetch() -> bytes:
            piece = next(pieces)
            if not piece:
                begin(self.done(store.resume_upload(UPLOAD, NOTHING_RECEIVED, later=True)))
            return piece

        ending = Ending(len(CONTENT), DIGEST, lambda _: True)
        return Deferred.fromCoroutine(self.upload().receive(fetch, ending))

    def test_begun_meanwhile(self) -> None:
        """Of two processes that bring bytes of one session at once, the one that does not bring all is told; the other's stay."""
        store = FilesystemBlobStore(self.folder, at_once, iter(("three",)).__next__)
        others: list[IUpload] = []

        def begin(other: IUpload) -> None:
            others.append(other)
            self.done(other.write([b"other"]))

        self.failureResultOf(self.receive_and_begin(store, begin), UploadBusy)
        self.assertEqual({STAGED}, self.left())
        self.assertEqual(5, self.done(others[0].suspend()).size)

    def test_one_of_a_process(self) -> None:
        """Others of the same process are told, until it is over, as they are while there is a staging file."""
        told = []

        def begin(other: IUpload) -> None:
            self.failureResultOf(Deferred.fromCoroutine(other.write([b"other"])), UploadBusy)
            self.failureResultOf(self.receive(other, CONTENT), UploadBusy)
            # Also who has all bytes, and would need no file.
            self.failureResultOf(Deferred.fromCoroutine(other.commit(DIGEST, [CONTENT])), UploadBusy)
            self.failureResultOf(
                Deferred.fromCoroutine(other.commit(DIGEST, [CONTENT], None, len(CONTENT))), UploadBusy
            )
            self.failureResultOf(Deferred.fromCoroutine(self.store.drop_upload(UPLOAD)), UploadBusy)
            told.append(other)

        self.assertIsNone(self.successResultOf(self.receive_and_begin(self.store, begin)))
        self.assertEqual((1, {STAGED}), (len(told), self.left()))
        other = self.upload("an-upload-0000000000")
        for _ in range(2):
            self.assertIsNotNone(self.successResultOf(self.receive(other, CONTENT)))
            other = self.upload("an-upload-0000000000")

    def test_no_name(self) -> None:
        """Where the object can not be begun a staging file has the bytes, and is committed if that can be done."""
        self.disk.broken = f"create {stored(2)}"
        blob = self.successResultOf(self.receive(self.upload(), CONTENT))
        self.assertEqual(("", "one~3"), (self.disk.broken, blob.generation))
        self.assertEqual({stored(3)}, self.left())

    def test_flush_fails(self) -> None:
        """What could not be flushed is no object, and the session is as it was before."""
        for broken in (f"flush {stored(2)}", f"flush {FOLDER}"):
            self.open_store()
            upload = self.upload()
            self.disk.broken = broken
            self.failureResultOf(self.receive(upload, CONTENT), StoreUnavailable)
            self.assertEqual("", self.disk.broken, "the step was never reached")
            self.assertEqual(set(), self.left(), broken)
            self.assertEqual(0, self.done(upload.suspend()).size, broken)
            again = self.upload()
            self.assertEqual(len(CONTENT), self.done(again.commit(DIGEST, [CONTENT])).size)

    def test_not_staged(self) -> None:
        """What has not come as a whole, and finds no other name, is lost, and nothing is left of it."""
        upload = self.upload()

        def refuse(*_: object) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        patch = self.patch(os, "link", refuse)
        self.failureResultOf(self.receive(upload, CONTENT[:3]), StoreUnavailable)
        patch.restore()
        self.assertEqual(set(), self.left())
        self.assertEqual(len(CONTENT), self.done(upload.commit(DIGEST, [CONTENT])).size)
