import hashlib
import os
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Barrier, Thread, current_thread, get_ident
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dockreg.callables import Piece
from dockreg.providers.blobs.observing import LEAST_BYTES, Behind, Helpers, Receivers, observe

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


class Late(Executor):
    """Has a thread for the second job that it is given, and for those after it."""

    def __init__(self, threads: Executor) -> None:
        self.threads = threads
        self.jobs = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.jobs += 1
        return Future() if self.jobs == 1 else self.threads.submit(fn, *args, **kwargs)


class Waiting(Noting):
    """Is told when it may go on with each piece."""

    def __init__(self) -> None:
        super().__init__()
        self.may: SimpleQueue[None] = SimpleQueue()

    def update(self, data: Piece, /) -> None:
        self.may.get(timeout=_PATIENCE_SECONDS)
        super().update(bytes(data[:1]))


class BehindTests(SynchronousTestCase):
    """Bytes that are digested while the next ones are received."""

    def setUp(self) -> None:
        self.threads = ThreadPoolExecutor(2)
        self.addCleanup(self.threads.shutdown)
        self.receivers = Receivers(processors=4)

    def tell(self, behind: Behind, letters: str, *observers: Noting) -> None:
        """As somebody who receives these pieces."""
        for each in letters:
            behind.observe([each.encode() * LEAST_BYTES], observers)

    def test_behind(self) -> None:
        """Nobody waits for the last bytes before the next ones are there; at the end all are told, by one thread."""
        behind, observer = Behind(self.receivers, self.threads), Waiting()
        with self.receivers:
            for letter in "abc":
                self.tell(behind, letter, observer)
                self.assertNotIn(letter.encode(), observer.seen)
                observer.may.put(None)
            behind.end()
        self.assertEqual([b"a", b"b", b"c"], observer.seen)
        self.assertEqual(1, len(observer.threads - {get_ident()}))

    def test_several(self) -> None:
        """The first is told by one thread, the others by another one, at the same time; the next pieces by the same ones."""
        barrier = Barrier(2)
        observers = [Noting(barrier), Noting(barrier), Noting()]
        behind = Behind(self.receivers, self.threads)
        with self.receivers:
            self.tell(behind, "abc", *observers)
            behind.end()
        first, second, third = (each.threads for each in observers)
        self.assertEqual([3, 3, 3], [len(each.seen) for each in observers])
        self.assertEqual((1, 1, second), (len(first), len(second), third))
        self.assertFalse(first & (second | {get_ident()}))

    def test_nobody_is_free(self) -> None:
        """What no thread has begun with is told before the next bytes, here, and once."""
        behind, observers = Behind(self.receivers, Busy()), [Noting(), Noting()]
        with self.receivers:
            self.tell(behind, "a", *observers)
            self.assertEqual([[], []], [each.seen for each in observers])
            self.tell(behind, "b", *observers)
            self.assertEqual([1, 1], [len(each.seen) for each in observers])
            behind.end()
        self.assertEqual([2, 2], [len(each.seen) for each in observers])
        self.assertEqual([{get_ident()}] * 2, [each.threads for each in observers])

    def test_free_later(self) -> None:
        """A thread that becomes free goes on where this one has stopped."""
        behind, observer = Behind(self.receivers, Late(self.threads)), Waiting()
        with self.receivers:
            self.tell(behind, "a", observer)
            observer.may.put(None)
            self.tell(behind, "b", observer)
            self.assertEqual({get_ident()}, observer.threads)
            observer.may.put(None)
            behind.end()
        self.assertEqual([b"a", b"b"], observer.seen)

    def test_threads_are_let_go(self) -> None:
        """After the end they are there for others, and for the next bytes."""
        behind, observers = Behind(self.receivers, self.threads), [Noting(), Noting()]
        with self.receivers:
            for _ in range(5):
                self.tell(behind, "ab", *observers)
                behind.end()
                behind.end()
        self.assertEqual([10, 10], [len(each.seen) for each in observers])
        self.assertEqual([7, 7], list(self.threads.map(len, ["threads"] * 2)))

    def test_two_processors(self) -> None:
        """The digest of the blob is made here, and others meanwhile; nobody else is needed for it alone."""
        self.receivers = Receivers(processors=2)
        barrier = Barrier(2)
        observers = [Noting(barrier), Noting(barrier), Noting()]
        alone = Noting()
        behind = Behind(self.receivers, self.threads)
        with self.receivers:
            self.tell(behind, "abc", *observers)
            behind.end()
            self.tell(behind, "ab", alone)
            self.assertEqual(2, len(alone.seen))
        first, second, third = (each.threads for each in observers)
        self.assertEqual([3, 3, 3], [len(each.seen) for each in observers])
        self.assertEqual(({get_ident()}, {get_ident()}), (first, alone.threads))
        self.assertEqual((1, second), (len(second - first), third))

    def test_at_once(self) -> None:
        """Little, or with as many receivers as processors: nothing is left for later, and nothing comes out of order."""
        behind, observers = Behind(self.receivers, self.threads), [Noting(), Noting()]
        with self.receivers:
            self.assertEqual(4, self.receivers.processors)
            self.tell(behind, "a", *observers)
            behind.observe([b"b"], observers)
            self.assertEqual([2, 2], [len(each.seen) for each in observers])
            with self.receivers, self.receivers, self.receivers:
                self.assertEqual(1, self.receivers.processors)
                self.tell(behind, "c", *observers)
                self.assertEqual([3, 3], [len(each.seen) for each in observers])
            for each in observers:
                self.assertEqual(b"abc", b"".join(bytes(piece[:1]) for piece in each.seen))
            behind.end()

    def test_failure(self) -> None:
        """What fails behind is raised by whatever comes next, when all others have been told."""
        for beside in (self.threads, Busy()):
            for place in range(3):
                observers = [Noting() for _ in range(3)]
                observers[place] = Broken()
                behind = Behind(self.receivers, beside)
                with self.receivers:
                    self.tell(behind, "a", *observers)
                    self.assertRaisesRegex(ValueError, "broken", self.tell, behind, "b", *observers)
                    behind.end()
                    self.assertEqual([1], [len(each.seen) for each in observers[:2]][:1])
                    self.tell(behind, "c", *observers)
                    self.assertRaisesRegex(ValueError, "broken", behind.end)
                    behind.end()
