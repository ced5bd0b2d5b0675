"""
Two system calls at the same time.

The file system writes its journal for a new file and for its name in the folder; who flushes one after the other waits for it
twice, and the disk is told twice to write what it has. And who waits for the disk to take some bytes could digest them meanwhile.
"""

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread


class Begun:
    """A job that was begun."""

    def __init__(self, job: Callable[[], object]) -> None:
        self._job = job
        self._problem: BaseException | None = None
        self._under_way = Lock()
        self._under_way.acquire()

    def run(self) -> None:
        """Do it; for the thread."""
        try:
            self._job()
        except BaseException as problem:  # noqa: BLE001 - it is told to who waits
            self._problem = problem
        finally:
            self._under_way.release()

    def wait(self) -> None:
        """Return when it is over; once. Raises what it raised."""
        self._under_way.acquire()
        if self._problem is not None:
            raise self._problem


class Companion:
    """A thread for jobs that somebody waits for who does something else meanwhile; it starts when it is needed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = Lock()
        self._coming: SimpleQueue[Begun | None] = SimpleQueue()
        self._thread: Thread | None = None

    def begin(self, job: Callable[[], object]) -> Begun:
        """
        Have ``job`` done, after those that were begun before. Whoever does this is to wait before :meth:`stop`.

        Where the system has no thread to spare it is done here and now.
        """
        begun = Begun(job)
        with self._lock:
            has_thread = self._thread is not None or self._start()
            if has_thread:
                self._coming.put(begun)
        if not has_thread:
            begun.run()
        return begun

    def _start(self) -> bool:
        thread = Thread(target=self._work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        return True

    def stop(self) -> None:
        """End the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._coming.put(None)
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while (each := self._coming.get()) is not None:
            each.run()
            del each


class Companions:
    """Several of them, each with one who asks it at a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._idle: deque[Companion] = deque()

    def lend(self) -> Companion:
        """One that nobody asks; in any thread."""
        try:
            return self._idle.pop()
        except IndexError:
            return Companion(self._name)

    def give_back(self, companion: Companion) -> None:
        """It has nothing to do any more."""
        self._idle.append(companion)

    def stop(self) -> None:
        """End the threads of all who were given back."""
        while self._idle:
            self._idle.pop().stop()
