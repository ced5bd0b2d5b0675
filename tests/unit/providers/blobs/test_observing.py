import hashlib
import os
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Barrier, Thread, current_thread, get_ident
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dockreg.callables import Piece
from dockreg.providers.blobs.observing import LEAST_BYTES, Helpers, observe

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
