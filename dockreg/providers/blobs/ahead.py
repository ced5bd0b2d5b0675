"""The next bytes, fetched while those before them are written and digested."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Final, Self

from dockreg.callables import Piece
from dockreg.providers.blobs.observing import Beside, Receivers

#: Of less at a time nothing is fetched ahead: who sends slowly is waited for by one thread, and not by two.
_LEAST_BYTES: Final = 256 * 1024


class Ahead:
    """
    All that a function returns until that is nothing.

    It is called in another thread, where a processor is free for that; here for as long as it gets none. What it returned has
    to stay as it is until the third call after that: one piece is fetched while the one before it is written, and the one before
    that digested. When the context ends no thread is at it any more; what was fetched and not taken is lost.
    """

    def __init__(self, fetch: Callable[[], Piece], receivers: Receivers, beside: Beside) -> None:
        self._fetch = fetch
        self._receivers = receivers
        self._beside = beside
        self._wanted: SimpleQueue[bool] = SimpleQueue()
        self._fetched: SimpleQueue[Piece | BaseException] = SimpleQueue()
        self._thread: Future[None] | None = None
        # Whether it has begun, and whether it has been asked for something.
        self._works = False
        self._asked = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        thread, self._thread = self._thread, None
        if thread is not None and not thread.cancel():
            self._wanted.put(False)
            thread.result()

    def __iter__(self) -> Iterator[Piece]:
        while piece := self._next():
            yield piece

    def _next(self) -> Piece:
        piece = self._answer() if self._asked else self._fetch()
        if len(piece) >= _LEAST_BYTES and self._receivers.are_few:
            self._ask()
        return piece

    def _ask(self) -> None:
        self._asked = True
        self._wanted.put(True)
        if self._thread is None:
            self._thread = self._beside.submit(self._work)

    def _answer(self) -> Piece:
        self._asked = False
        if not self._works and self._thread is not None and self._thread.cancel():
            self._thread = None
            self._wanted.get()
            return self._fetch()
        self._works = True
        fetched = self._fetched.get()
        if isinstance(fetched, BaseException):
            raise fetched
        return fetched

    def _work(self) -> None:
        while self._wanted.get():
            try:
                fetched: Piece | BaseException = self._fetch()
            except BaseException as failure:  # noqa: BLE001 - raised by whom it was done for
                fetched = failure
            self._fetched.put(fetched)
