"""
The body of a request as a stream.

Handlers ask for :class:`IRequestBody`. On a dockreg site it is a :class:`StreamedBody`, fed while the client sends; on
a foreign ``twisted.web.server.Site`` a :class:`BufferedBody` over what twisted.web has collected.
"""

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.components import registerAdapter
from twisted.web.server import Request
from zope.interface import Attribute, Interface, implementer

from dockreg.callables import Piece
from dockreg.errors import BodyTooLarge
from dockreg.web.inflow import FLOWING_BYTES, Inflow

#: What one read takes from a body that twisted.web has buffered, in bytes.
BUFFERED_READ_BYTES = 256 * 1024


#: Takes what a function returns until that is nothing.
Receive = Callable[[Callable[[], Piece]], Awaitable[None]]


class CutReason(Enum):
    """Why a body ended before its end."""

    DISCONNECTED = "the client went away"
    TIMED_OUT = "the client sent too slowly"
    MALFORMED = "the chunked framing is broken"
    ABANDONED = "the response was finished first"


class BodyCut(CancelledError):
    """
    The body ended before its end: nothing that came of it is the whole.

    A :class:`~twisted.internet.defer.CancelledError`, so that code which cleans up after a cancelled handler cleans up
    after this too, and Klein does not log a client's disappearance as a bug.
    """

    def __init__(self, reason: CutReason, received: int, length: int | None) -> None:
        super().__init__(reason, received, length)
        self.reason = reason
        #: Bytes that arrived.
        self.received = received
        #: Bytes that were announced, ``None`` for a chunked body.
        self.length = length

    def __str__(self) -> str:
        announced = "an unknown number" if self.length is None else self.length
        return f"{self.reason.value}, after {self.received} of {announced} bytes"

    @property
    def status(self) -> int | None:
        """The status to answer with, ``None`` when nobody is left to read it (RFC 9110 15.5)."""
        return {CutReason.TIMED_OUT: 408, CutReason.MALFORMED: 400}.get(self.reason)


class IRequestBody(Interface):
    """The body of one request. One reader at a time."""

    length: int | None = Attribute("Bytes announced by Content-Length, 0 without a body, None when chunked.")
    received: int = Attribute("Bytes that have arrived.")
    whole: bytes | None = Attribute("All of it, if it came with the head of the request; None when it has to be read.")

    async def read() -> Sequence[Piece]:
        """
        All chunks that came since the last call, as they came, at least one; ``()`` at the end.

        The first call is what makes a client that expects ``100 Continue`` send. While the handler does not call,
        reading from the client pauses, so that memory stays bounded.

        :raises BodyCut: the body ended before its end; whatever came before has been returned.
        """

    async def arrived() -> int:
        """
        Wait until what came is worth a look: the body had better be poured, or read. It stays where it is.

        :return: how many bytes wait to be read, as far as that is known.
        :raises RuntimeError: the body has a reader already.
        """

    async def pour(receive: Receive, most: int) -> int:  # noqa: N805 - zope.interface has no self
        """
        Have bytes received that come so quickly that somebody else had better read them; whether he does is ours to say.
        Who answers before this has ended has the connection cut.

        :param receive: as :meth:`.IUpload.receive`, called once if at all.
        :param most: bytes that it may get.
        :return: how many it got; 0 when it is time for :meth:`read`.
        """

    async def collect(limit: int, hold: Callable[[int], None] = ...) -> bytes:  # noqa: N805 - zope.interface has no self
        """
        The whole of a small document.

        :param limit: the most bytes that are accepted.
        :param hold: told of the bytes as they come, before they are kept; may raise.
        :raises BodyTooLarge: it is larger. A larger Content-Length is refused before the client is asked to send.
        :raises BodyCut: as for :meth:`read`.
        """


def _hold_any(_size: int) -> None:
    """Hold any number of bytes."""


async def _collect(body: IRequestBody, limit: int, hold: Callable[[int], None]) -> bytes:
    if body.length is not None and body.length > limit:
        raise BodyTooLarge(limit)
    parts: list[Piece] = []
    size = 0
    while chunks := await body.read():
        came = sum(map(len, chunks))
        size += came
        if size > limit:
            raise BodyTooLarge(limit)
        hold(came)
        parts.extend(chunks)
    return b"".join(parts)


class BodyWire(Protocol):
    """What a streamed body tells the connection that it comes from."""

    def body_asked(self) -> None:
        """The handler wants the body."""

    def body_taken(self) -> None:
        """There is room for more."""

    def begin_turn(self, first: Sequence[Piece], most: int) -> Inflow | None:
        """Let somebody else read, if it is worth it; what was read goes before that."""

    def settle_turn(self, inflow: Inflow, *, resting: bool) -> None:
        """He has come to his end, or is given up."""


@implementer(IRequestBody)
class StreamedBody:
    """
    A body that is still arriving.

    The wire side adds (:meth:`add`), ends (:meth:`end`) and cuts (:meth:`cut`), and then wakes the reader
    (:meth:`wake`) once it is ready for whatever the handler does next, such as finishing the response.
    """

    whole = None

    def __init__(self, length: int | None, wire: BodyWire, window_bytes: int, unasked_bytes: int) -> None:
        self.length = length
        self.received = 0
        self.asked = False
        self._wire = wire
        self._window_bytes = window_bytes
        self._unasked_bytes = unasked_bytes
        self._chunks: list[Piece] = []
        self._queued = 0
        self._ended = False
        self._cut: CutReason | None = None
        self._waiting: Deferred[None] | None = None
        # How many bytes whoever waits has to have.
        self._wanted = 1

    # For the connection

    @property
    def wants_bytes(self) -> bool:
        """Whether more should be read from the client now."""
        return self._cut is None and self._queued < (self._window_bytes if self.asked else self._unasked_bytes)

    @property
    def rest(self) -> int | None:
        """Bytes that are still to come, ``None`` for a chunked body."""
        return None if self.length is None else self.length - self.received

    def add(self, data: Piece) -> None:
        """Queue what has arrived; only count it when nobody will read it."""
        self.received += len(data)
        if self._cut is None and data:
            self._chunks.append(data)
            self._queued += len(data)

    def end(self) -> None:
        """All of the body has arrived."""
        self._ended = True

    def cut(self, reason: CutReason) -> None:
        """The body will not be completed; what is queued can still be read."""
        if self._cut is None and not self._ended:
            self._cut = reason

    def abandon(self) -> None:
        """Nobody will read the body any more: drop what is queued, and fail whoever reads nevertheless."""
        self._cut = self._cut or CutReason.ABANDONED
        self._chunks = []
        self._queued = 0
        self.wake()

    def wake(self) -> None:
        """Let a waiting reader see what has changed."""
        if self._waiting is not None and (self._queued >= self._wanted or self._ended or self._cut):
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)

    # For the handler

    async def read(self) -> Sequence[Piece]:
        """See :meth:`IRequestBody.read`."""
        await self._wait_for(1)
        if self._chunks:
            chunks, self._chunks, self._queued = self._chunks, [], 0
            self._wire.body_taken()
            return chunks
        if self._cut:
            raise BodyCut(self._cut, self.received, self.length)
        return ()

    async def arrived(self) -> int:
        """See :meth:`IRequestBody.arrived`."""
        await self._wait_for(min(FLOWING_BYTES, self._window_bytes))
        return self._queued

    async def _wait_for(self, size: int) -> None:
        if self._waiting is not None:
            raise RuntimeError("the body has a reader already")
        if not self.asked:
            self.asked = True
            self._wire.body_asked()
        if not (self._queued >= size or self._ended or self._cut):
            self._wanted = size
            self._waiting = Deferred(self._reader_cancelled)
            await self._waiting

    async def pour(self, receive: Receive, most: int) -> int:
        """See :meth:`IRequestBody.pour`."""
        if self._cut or self._ended or self._waiting is not None:
            return 0
        inflow = self._wire.begin_turn(self._chunks, most)
        if inflow is None:
            return 0
        first, self._chunks, self._queued = self._queued, [], 0
        resting = True
        try:
            await inflow.begin()
            await receive(inflow)
        except CancelledError:
            resting = False
            raise
        finally:
            self._wire.settle_turn(inflow, resting=resting)
        return first + inflow.carried

    async def collect(self, limit: int, hold: Callable[[int], None] = _hold_any) -> bytes:
        """See :meth:`IRequestBody.collect`."""
        return await _collect(self, limit, hold)

    def _reader_cancelled(self, waiting: Deferred[None]) -> None:
        # Klein cancels the handler when the client has gone: say so, rather than only "cancelled".
        self._waiting = None
        if self._cut:
            waiting.errback(BodyCut(self._cut, self.received, self.length))


@implementer(IRequestBody)
class WholeBody:
    """A small body that has come together with its head: nobody waits for it, and nothing is paused."""

    def __init__(self, data: bytes) -> None:
        self.whole = data
        self.length = self.received = len(data)
        self._chunks: Sequence[Piece] = (data,)

    async def read(self) -> Sequence[Piece]:
        """See :meth:`IRequestBody.read`."""
        chunks, self._chunks = self._chunks, ()
        return chunks

    async def arrived(self) -> int:
        """See :meth:`IRequestBody.arrived`."""
        return sum(map(len, self._chunks))

    async def pour(self, receive: Receive, most: int) -> int:
        """See :meth:`IRequestBody.pour`."""
        return 0

    async def collect(self, limit: int, hold: Callable[[int], None] = _hold_any) -> bytes:
        """See :meth:`IRequestBody.collect`."""
        if self.length > limit:
            raise BodyTooLarge(limit)
        chunks, self._chunks = self._chunks, ()
        if not chunks:
            return b""
        hold(self.length)
        return bytes(chunks[0])


@implementer(IRequestBody)
class EmptyBody:
    """The body of a request that has none."""

    length = received = 0
    whole = None

    async def read(self) -> Sequence[Piece]:
        """See :meth:`IRequestBody.read`."""
        return ()

    async def arrived(self) -> int:
        """See :meth:`IRequestBody.arrived`."""
        return 0

    async def pour(self, receive: Receive, most: int) -> int:
        """See :meth:`IRequestBody.pour`."""
        return 0

    async def collect(self, limit: int, hold: Callable[[int], None] = _hold_any) -> bytes:
        """See :meth:`IRequestBody.collect`."""
        return b""


EMPTY_BODY = EmptyBody()


@implementer(IRequestBody)
class BufferedBody:
    """
    The body that twisted.web collected, in memory or in a temporary file, before it called the handler.

    Reads block the reactor no longer than one file read: what twisted.web has just written is in the page cache.
    """

    whole = None

    def __init__(self, request: Request) -> None:
        self._content = request.content
        chunked = request.requestHeaders.hasHeader(b"Transfer-Encoding")
        self.length: int | None = None
        if not chunked:
            self.length = int(request.getHeader(b"Content-Length") or 0)
        self.received = 0
        if self._content is not None and not self._content.closed:
            self._content.seek(0)

    async def read(self) -> Sequence[Piece]:
        """See :meth:`IRequestBody.read`."""
        if self._content is None or self._content.closed:
            # twisted.web closes it when the client has gone, and when the response is finished.
            raise BodyCut(CutReason.DISCONNECTED, self.received, self.length)
        data = self._content.read(BUFFERED_READ_BYTES)
        self.received += len(data)
        return (data,) if data else ()

    async def arrived(self) -> int:
        """See :meth:`IRequestBody.arrived`."""
        return 0

    async def pour(self, receive: Receive, most: int) -> int:
        """See :meth:`IRequestBody.pour`."""
        return 0

    async def collect(self, limit: int, hold: Callable[[int], None] = _hold_any) -> bytes:
        """See :meth:`IRequestBody.collect`."""
        return await _collect(self, limit, hold)


# The one place that decides what a foreign request's body is; dockreg.web.requests does it for our own.
registerAdapter(BufferedBody, Request, IRequestBody)
