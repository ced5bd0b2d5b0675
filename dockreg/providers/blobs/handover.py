"""Results of worker threads that must not be lost when nobody waits for them any more."""

from collections.abc import Callable
from threading import Lock
from typing import TypeVar

from dockreg.callables import InThread

T = TypeVar("T")


async def hand_over(in_thread: InThread, make: Callable[[], T], dispose: Callable[[T], None]) -> T:
    """
    The result of ``make``, which runs in a thread; when the caller is cancelled meanwhile, it goes to ``dispose``.

    A thread can not be cancelled, so its result may come when the coroutine that wanted it is gone: an open file would
    then stay open. ``dispose`` must be quick and raise nothing.
    """
    lock = Lock()
    made: list[T] = []
    gone = False

    def run() -> T:
        result = make()
        with lock:
            if not gone:
                made.append(result)
                return result
        dispose(result)
        return result

    try:
        return await in_thread(run)
    except BaseException:
        with lock:
            gone = True
        for result in made:
            dispose(result)
        raise
