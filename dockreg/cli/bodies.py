"""Bodies of requests and responses that pass piece by piece, at the speed of the slower side."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from dockreg.callables import InThread
from dockreg.cli.failures import ConnectionBroken

#: What a download keeps in memory before it makes the sender wait, in bytes.
WINDOW = 1024 * 1024


@implementer(IBodyProducer)
class StreamedBody:
    """
    The body of a request, chunked because its length is not known before its end.

    :param pieces: made one by one in a worker thread, each when the one before has left.
    :param in_thread: runs ``next`` on them.
    :param on_piece: called with each piece that was handed to the connection.
    """

    length = UNKNOWN_LENGTH

    def __init__(self, pieces: Iterator[bytes], in_thread: InThread, on_piece: Callable[[bytes], None]) -> None:
        self._pieces = pieces
        self._in_thread = in_thread
        self._on_piece = on_piece
        self._finished: Deferred[None] = Deferred(lambda _cancelled: self.stopProducing())
        self._stopped = False
        self._paused: Deferred[None] | None = None
        #: Whether all pieces were handed to the connection.
        self.complete = False

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Begin to write; the result fires after the last piece, and never once :meth:`stopProducing` was called."""
        self._sending = Deferred.fromCoroutine(self._send(consumer)).addCallbacks(self._end, self._fail)
        return self._finished

    async def _send(self, consumer: IConsumer) -> None:
        while not self._stopped:
            piece = await self._in_thread(next, self._pieces, None)
            if piece is None:
                self.complete = True
                return
            if self._paused is not None:
                await self._paused
            # An empty chunk would end the body (RFC 9112 7.1).
            if piece and not self._stopped:
                consumer.write(piece)
                self._on_piece(piece)

    def _end(self, _: None) -> None:
        if not self._stopped:
            self._finished.callback(None)

    def _fail(self, failure: Failure) -> None:
        if not self._stopped:
            self._finished.errback(failure)

    def pauseProducing(self) -> None:
        """The connection has enough for now."""
        if self._paused is None:
            self._paused = Deferred()

    def resumeProducing(self) -> None:
        """The connection takes more."""
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.callback(None)

    def stopProducing(self) -> None:
        """Nobody wants the rest."""
        self._stopped = True
        self.resumeProducing()


class ArrivingBody(Protocol):
    """
    The body of a response, taken piece by piece with :meth:`next_pieces`.

    :param idle_seconds: how long the sender may be silent while it is waited for.
    """

    def __init__(self, clock: IReactorTime, idle_seconds: float) -> None:
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._ended = False
        self._trouble: str | None = None
        self._waiting: Deferred[None] | None = None
        self._idle: IDelayedCall | None = None

    async def next_pieces(self) -> Sequence[bytes]:
        """
        What has arrived since the last call, at least one byte; empty after the end of the body.

        :raises ConnectionBroken: the body was cut short, or nothing came for too long.
        """
        if not self._pieces and not self._ended:
            await self._wait()
        pieces = tuple(self._pieces)
        self._pieces.clear()
        self._size = 0
        if self._paused and not self._ended and self.transport is not None:
            self._paused = False
            self.transport.resumeProducing()  # type: ignore[attr-defined]  # bodies arrive from a push producer
        if not pieces and self._trouble is not None:
            raise ConnectionBroken(self._trouble)
        return pieces

    async def _wait(self) -> None:
        self._waiting = Deferred()
        self._idle = self._clock.callLater(self._idle_seconds, self._give_up)
        try:
            await self._waiting
        finally:
            self._waiting = None
            if self._idle.active():
                self._idle.cancel()

    def _give_up(self) -> None:
        self._trouble = f"the registry sent nothing for {self._idle_seconds:g} seconds"
        self.drop()

    def drop(self) -> None:
        """The rest is not wanted: close the connection. Harmless after the end."""
        if not self._ended and self.transport is not None:
            self._ended = True
            self.transport.loseConnection()
            self._wake()

    def dataReceived(self, data: bytes) -> None:
        """Keep what arrived, and make the sender wait when that is much."""
        if self._ended:
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= WINDOW and not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pauseProducing()  # type: ignore[attr-defined]  # as above
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The body is over; a body without any length ends with its connection (RFC 9112 6.3)."""
        if not self._ended:
            self._ended = True
            if reason.check(ResponseDone, PotentialDataLoss) is None:
                self._trouble = f"the connection broke in the middle of an answer ({reason.getErrorMessage()})"
            self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
