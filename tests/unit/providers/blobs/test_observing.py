import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Barrier, Thread, current_thread, get_ident
from typing import Any, TypeVar

from twisted.trial.unittest import SynchronousTestCase

from dockreg.callables import Piece
from dockreg.providers.blobs.observing import LEAST_BYTES, Behind, Helpers, Receivers, observe

T = TypeVar("T")

_PATIENCE_SECONDS = 30


class Noting:
    """Keeps what it is told, and the thread that told it."""

    def __init__(self, barrier: Barrier | None = None) -> None:
        self.seen: list[Piece] = []
        self.threads: set[int] = set()
        self._barrier = barrier

    def update(self, data: Piece, /) -> None:
        if self._barrier is not None and not self.seen:
            self._barrier.wait(_PATIENCE_SECONDS)
        self.seen.append(data)
        self.threads.add(get_ident())


class Broken(Noting):
    """Takes one piece, and fails."""

    def update(self, data: Piece, /) -> None:
        super().update(data)
        raise ValueError("broken")


class Busy(Executor):
    """Threads that come to nothing."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        return Future()


class ObserveTests(SynchronousTestCase):
    """Several digests of the same bytes."""

    def setUp(self) -> None:
        self.beside = ThreadPoolExecutor(2)
        self.addCleanup(self.beside.shutdown)
        self.chunks: list[Piece] = [os.urandom(LEAST_BYTES), memoryview(os.urandom(1000)), b"end"]

    def test_at_the_same_time(self) -> None:
        """Each of them is at work before any of them is done, and is told everything in order."""
        barrier = Barrier(3)
        observers = [Noting(barrier) for _ in range(3)]
        observe(self.chunks, observers, self.beside)
        self.assertEqual([self.chunks] * 3, [each.seen for each in observers])
        self.assertEqual({get_ident()}, observers[0].threads)
        self.assertEqual(3, len(set.union(*(each.threads for each in observers))))

    def test_few_bytes(self) -> None:
        """A few bytes are told here, one after the other."""
        observers = [Noting() for _ in range(3)]
        observe([b"few", b"bytes"], observers, self.beside)
        self.assertEqual([[b"few", b"bytes"]] * 3, [each.seen for each in observers])
        self.assertEqual([{get_ident()}] * 3, [each.threads for each in observers])

    def test_alone(self) -> None:
        """One is told here, however many bytes there are; none is none."""
        alone = Noting()
        observe(self.chunks, [alone], self.beside)
        observe(self.chunks, [], self.beside)
        self.assertEqual((self.chunks, {get_ident()}), (alone.seen, alone.threads))

    def test_no_thread_is_free(self) -> None:
        """What no thread has begun with is done here."""
        observers = [Noting() for _ in range(3)]
        observe(self.chunks, observers, Busy())
        self.assertEqual([self.chunks] * 3, [each.seen for each in observers])
        self.assertEqual([{get_ident()}] * 3, [each.threads for each in observers])

    def test_failures(self) -> None:
        """Whichever of them fails, and wherever it is told, the others are told everything before that is said."""
        for beside in (self.beside, Busy()):
            for place in range(3):
                observers = [Noting() for _ in range(3)]
                observers[place] = Broken()
                with self.assertRaisesRegex(ValueError, "broken"):
                    observe(self.chunks, observers, beside)
                seen = [each.seen for each in observers]
                self.assertEqual(self.chunks[:1], seen.pop(place))
                self.assertEqual([self.chunks] * 2, seen)

    def test_digests(self) -> None:
        """Digests come out the same, of many pieces one after the other."""
        beside = Helpers()
        self.addCleanup(beside.stopService)
        digests = [hashlib.sha256(b"%d" % number) for number in range(3)]
        content = os.urandom(4 * LEAST_BYTES)
        for _ in range(50):
            observe([content], digests, beside)
        wanted = [hashlib.sha256(b"%d" % number + content * 50).digest() for number in range(3)]
        self.assertEqual(wanted, [each.digest() for each in digests])


class HelpersTests(SynchronousTestCase):
    """The threads of a service."""

    def test_life(self) -> None:
        """None is there without work; all end with the service, which may start again."""
        helpers = Helpers()
        helpers.stopService()
        for _ in range(2):
            helpers.startService()
            barrier = Barrier(2)

            def meet(barrier: Barrier = barrier) -> Thread:
                barrier.wait(_PATIENCE_SECONDS)
                return current_thread()

            meeting = helpers.submit(meet)
            barrier.wait(_PATIENCE_SECONDS)
            thread = meeting.result()
            self.assertTrue(thread.is_alive())
            helpers.stopService()
            self.assertFalse(thread.is_alive())

    def test_work_is_done(self) -> None:
        """What is under way is waited for."""
        helpers = Helpers()
        done: list[int] = []
        for number in range(20):
            helpers.submit(done.append, number)
        helpers.stopService()
        self.assertEqual(set(range(20)), set(done))


class Jobs:
    """Remembers what is to be done beside, and does it when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def submit(self, job: Callable[..., T], /, *args: Any) -> "Future[T]":
        """Remember a job."""
        future: Future[T] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(job(*args))
                except ZeroDivisionError as failure:
                    future.set_exception(failure)

        self.waiting.append(run)
        return future


class BehindTests(SynchronousTestCase):
    """Bytes that are digested while the next ones are received."""

    def setUp(self) -> None:
        self.jobs = Jobs()
        self.receivers = Receivers(processors=2)
        self.behind = Behind(self.receivers, self.jobs)
        self.seen: list[bytes] = []

    def update(self, data: Piece, /) -> None:
        """Observe."""
        self.seen.append(bytes(data[:1]))

    def test_behind(self) -> None:
        """The last bytes are told by a thread, those before them were told."""
        with self.receivers:
            for piece in (b"a", b"b"):
                self.behind.observe([piece * LEAST_BYTES], [self])
                self.assertNotIn(piece, self.seen)
                self.jobs.waiting.pop()()
                self.assertIn(piece, self.seen)
            self.behind.settle()
        self.assertEqual([b"a", b"b"], self.seen)

    def test_nobody_is_free(self) -> None:
        """What no thread has begun with is told before the next bytes, here, and once."""
        with self.receivers:
            self.behind.observe([b"a" * LEAST_BYTES], [self])
            self.behind.observe([b"b" * LEAST_BYTES], [self])
            self.assertEqual([b"a"], self.seen)
            self.behind.settle()
        for job in self.jobs.waiting:
            job()
        self.assertEqual([b"a", b"b"], self.seen)

    def test_at_once(self) -> None:
        """Little, for several observers, or with as many receivers as processors: nothing is left for later."""
        with self.receivers:
            self.assertTrue(self.receivers.are_few)
            self.behind.observe([b"a"], [self])
            with self.receivers:
                self.assertFalse(self.receivers.are_few)
                self.behind.observe([b"b" * LEAST_BYTES], [self])
            self.assertEqual([b"a", b"b"], self.seen)
            self.assertEqual([], self.jobs.waiting)
            self.assertTrue(self.receivers.are_few)

    def test_failure(self) -> None:
        """What fails behind is raised by whatever comes next."""

        class Refusing:
            def update(self, data: Piece, /) -> None:
                raise ZeroDivisionError

        with self.receivers:
            for runs in (True, False):
                self.behind.observe([b"a" * LEAST_BYTES], [Refusing()])
                if runs:
                    self.jobs.waiting.pop()()
                self.assertRaises(ZeroDivisionError, self.behind.observe, [b"b"], [self])
                self.behind.settle()
        self.assertEqual([], self.seen)
