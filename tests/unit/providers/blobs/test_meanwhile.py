"""Tests for flushes that go on at the same time."""

from functools import partial
from pathlib import Path
from threading import Event, Thread, get_ident
from threading import enumerate as all_threads
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import StoreUnavailable
from dockreg.model.blobs import NOTHING_RECEIVED, StoredBlob
from dockreg.model.digest import Digest
from dockreg.providers.blobs.filesystem import FilesystemBlobStore
from dockreg.providers.blobs.meanwhile import Begun, Companion
from dockreg.providers.blobs.observing import Helpers
from tests.unit.providers.blobs.recorder import DiskRecorder
from tests.unit.providers.blobs.test_filesystem import all_files_in
from tests.unit.providers.blobs.threads import at_once

CONTENT = b"a layer"
DIGEST = Digest.sha256(CONTENT)
UPLOAD = "an-upload-0123456789"
FOLDER = "sha256/series-00000000001"
OBJECT = f"{FOLDER}/{DIGEST.encoded}.series-00000000001~1"


def own_threads() -> list[Thread]:
    return [each for each in all_threads() if each.name == "dockreg flushes"]


class CompanionTests(SynchronousTestCase):
    """The thread."""

    def setUp(self) -> None:
        self.flusher = Companion("dockreg flushes")
        self.addCleanup(self.flusher.stop)

    def test_beside(self) -> None:
        """What was begun goes on while who began it does something else, and one after the other."""
        may_end, ran = Event(), list[int]()

        def first() -> None:
            may_end.wait(10)
            ran.append(get_ident())

        one, two = self.flusher.begin(first), self.flusher.begin(lambda: ran.append(2))
        self.assertEqual([], ran)
        may_end.set()
        two.wait()
        one.wait()
        self.assertNotEqual(get_ident(), ran[0])
        self.assertEqual([2], ran[1:])

    def test_no_thread_to_spare(self) -> None:
        """Where the system has no more threads, what is begun is done at once; later there may be one again."""
        ran: list[int] = []
        with patch.object(Thread, "start", side_effect=RuntimeError("can't start new thread")):
            for each in range(2):
                begun = self.flusher.begin(lambda: ran.append(get_ident()))
                self.assertEqual([get_ident()] * (each + 1), ran)
                begun.wait()
        self.flusher.begin(lambda: ran.append(get_ident())).wait()
        self.assertNotEqual(get_ident(), ran[-1])

    def test_problem(self) -> None:
        """Who waits is told what went wrong, and the thread goes on."""

        def fail() -> None:
            raise OSError("broken")

        begun = self.flusher.begin(fail)
        self.assertRaises(OSError, begun.wait)
        self.flusher.begin(lambda: None).wait()

    def test_stop(self) -> None:
        """There is no thread before it is needed, one however often it is, and none after the end; it may begin again."""
        before = len(own_threads())
        for _ in range(2):
            self.flusher.stop()
            self.assertEqual(before, len(own_threads()))
            for _ in range(2):
                self.flusher.begin(lambda: None).wait()
            self.assertEqual(before + 1, len(own_threads()))
        self.flusher.stop()
        self.assertEqual(before, len(own_threads()))

    def test_service(self) -> None:
        """It ends with the threads that help."""
        helpers = Helpers()
        helpers.begin(lambda: None).wait()
        before = len(own_threads())
        helpers.stopService()
        self.assertEqual(before - 1, len(own_threads()))


class StoreTests(SynchronousTestCase):
    """A small blob, whose bytes and name are flushed at the same time."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.flusher = Companion("dockreg flushes")
        self.addCleanup(self.flusher.stop)
        self.waited: list[int] = []
        self.store = FilesystemBlobStore(self.folder, at_once, lambda: "series-00000000001", begin=self.begin)
        self.disk = DiskRecorder(self, self.folder)

    def begin(self, job: object) -> Begun:
        """Notes how many lines there were when somebody began to wait."""
        assert callable(job)
        begun = self.flusher.begin(job)
        wait = begun.wait

        def noted() -> None:
            wait()
            self.waited.append(len(self.disk.lines))

        begun.wait = noted  # type: ignore[method-assign]  # of this one
        return begun

    def commit(self) -> StoredBlob:
        upload = self.successResultOf(
            Deferred.fromCoroutine(self.store.resume_upload(UPLOAD, NOTHING_RECEIVED, later=True))
        )
        work = Deferred.fromCoroutine(upload.commit(DIGEST, [CONTENT]))
        result = self.successResultOf(work.addErrback(lambda failure: failure.value))
        if isinstance(result, Exception):
            raise result
        assert isinstance(result, StoredBlob)
        return result

    def test_both(self) -> None:
        """Both are over before anybody hears of it; the name is there before its flush begins."""
        self.assertEqual(DIGEST, self.commit().digest)
        lines = self.disk.take()
        created = lines.index(f"create {OBJECT}")
        self.assertEqual({f"flush {OBJECT}", f"flush {FOLDER}"}, set(lines[created + 1 :]))
        self.assertEqual([created + 3], self.waited)

    def test_refused(self) -> None:
        """When the disk refuses either nothing is left, and the other one is over."""
        for broken in (f"flush {OBJECT}", f"flush {FOLDER}"):
            self.disk.broken = broken
            self.assertRaises(StoreUnavailable, self.commit)
            self.assertEqual("", self.disk.broken)
            self.assertEqual(set(), {each for each in all_files_in(self.folder) if str(each).startswith("sha256/")})
            self.setUp()

    def test_suspended(self) -> None:
        """So are those of an upload that is suspended, before anybody is told."""
        for broken in ("", f"flush staging/{UPLOAD}", "flush staging"):
            upload = self.successResultOf(
                Deferred.fromCoroutine(self.store.resume_upload(UPLOAD, NOTHING_RECEIVED, later=True))
            )
            self.disk.take()
            self.disk.broken = broken
            told: list[int] = []

            def tell(_received: object, told: list[int] = told) -> None:
                told.append(len(self.disk.lines))

            work = Deferred.fromCoroutine(upload.suspend(tell, [CONTENT]))
            self.assertEqual("", self.disk.broken)
            lines = self.disk.take()
            self.assertEqual(
                {f"flush staging/{UPLOAD}", "flush staging"}, {each for each in lines if "flush" in each} - {"flush ."}
            )
            if broken:
                self.failureResultOf(work, StoreUnavailable)
                self.assertEqual([], told)
                self.assertEqual(set(), all_files_in(self.folder))
            else:
                self.assertEqual(len(CONTENT), self.successResultOf(work).size)
                self.assertEqual([len(lines)], told)
            self.setUp()

    def test_shared(self) -> None:
        """Names that were made while another flush went on are flushed together."""
        self.commit()
        series = self.store._folders._series._current["sha256"]
        self.disk.take()
        may_go = Event()
        held = self.flusher.begin(lambda: may_go.wait(10))
        begun = [self.flusher.begin(partial(series.flush_names, series.named())) for _ in range(3)]
        may_go.set()
        for each in (held, *begun):
            each.wait()
        self.assertEqual([f"flush {FOLDER}"], self.disk.take())
