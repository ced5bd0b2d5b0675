"""
Bytes of a body that a thread takes from the socket itself, past the reactor.

While a large body arrives quickly, the thread that digests and writes it also reads it: into memory that is used again
and again, and without telling anybody of each piece. The thread has its turn of some megabytes, during which the reactor
does not read. What is not in the middle of a body (its beginning, its end, what is between two chunks and is no plain
size) is left to the ordinary path, and so is a client that keeps a thread waiting.
"""

import os
import select
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Final

from attrs import define, field
from twisted.internet.defer import Deferred

from dockreg.callables import Piece
from dockreg.interfaces_transports import Receive
from dockreg.web.chunks import ChunkedDecoder
from dockreg.web.evenchunks import Scatter

#: Fewer bytes are not worth a turn.
LEAST_BYTES: Final = 256 * 1024
#: What the reactor reads at once when more is there; who sends less at a time needs no thread.
FLOWING_BYTES: Final = 32 * 1024
#: A body of which no more than that is to come is read to its end, with what is to be done there, and needs no turn.
SHORT_BYTES: Final = 4 * 1024 * 1024
#: What the reactor has read of it is copied to where the rest is read to, unless it is much.
_FIRST_BYTES: Final = 128 * 1024
#: The end of a longer one of known length, which is left to the reactor.
_END_BYTES: Final = 64 * 1024
#: What is read, digested and written at once: so much that the steps for it take little beside, so little that caches hold it.
_PIECE_BYTES: Final = 512 * 1024
#: The same where the memory of one piece is all that is needed.
_SINGLE_BYTES: Final = 1024 * 1024
#: How long a thread waits for a client that has sent nothing more, and how often in one turn.
_WAIT_MILLISECONDS: Final = 3
_MOST_WAITS: Final = 8
#: So much one may take while others wait for a thread.
_SHARE_BYTES: Final = 8 * 1024 * 1024
#: What those who wait for a turn may take together, so that the last of them waits no longer where many do.
_QUEUE_BYTES: Final = 256 * 1024 * 1024
#: Threads that read at the same time at most, however many processors there are: others need threads of the same pool, and
#: wait for a whole turn where all of them read.
_MOST_TURNS: Final = 8
#: Of one turn: while one is read into, what the others have may be written and digested.
_BUFFERS: Final = 3
#: The same of one whose pieces nobody receives while another one is written.
_PLAIN_BUFFERS: Final = 2
#: Buffers that are kept while nobody uses them.
_SPARE: Final = 4


@define(eq=False)
class Inflows:
    """
    What all connections have in common that may be read by threads.

    :param crowded: whether somebody waits for a thread.
    :param turns: how many threads may read at the same time. More than there are processors contend for the interpreter, and
        their buffers for the caches.
    """

    _crowded: Callable[[], bool]
    _turns: int = field(factory=lambda: min(os.cpu_count() or 1, _MOST_TURNS))
    _waiting: deque[Deferred[None]] = field(factory=deque, init=False)
    _hands_over: bool = field(default=False, init=False)
    _spare: deque[bytearray] = field(factory=deque, init=False)

    @property
    def most_bytes(self) -> int:
        """What a turn may take now."""
        return max(2 * LEAST_BYTES, _QUEUE_BYTES // max(1, len(self._waiting)))

    def crowded(self) -> bool:
        """Whether somebody waits for a thread, or for his turn."""
        return bool(self._waiting) or self._crowded()

    async def begin(self) -> None:
        """Wait for a turn."""
        if self._turns and not self._waiting:
            self._turns -= 1
            return
        turn: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(turn)
        await turn

    def end(self) -> None:
        """A turn that was waited for is over."""
        self._turns += 1
        if self._hands_over:
            # Who has been given it just now has come to his end at once: the disk is full, say. However many do so one
            # after the other, they do it in this loop, and not one within the other.
            return
        self._hands_over = True
        try:
            while self._turns and self._waiting:
                self._turns -= 1
                self._waiting.popleft().callback(None)
        finally:
            self._hands_over = False

    def take_buffer(self) -> bytearray:
        """Memory for one turn; may be called in any thread."""
        try:
            return self._spare.pop()
        except IndexError:
            return bytearray(_SINGLE_BYTES)

    def give_back(self, buffer: bytearray) -> None:
        """Nobody looks at this any more."""
        if len(self._spare) < _SPARE:
            self._spare.append(buffer)


class Inflow:
    """
    One turn of a thread with a connection.

    :param connection: a descriptor of its own of a socket that does not block; it is closed at the end.
    :param receive: takes bytes from there.
    :param decoder: of a body in chunks, at rest; None where all bytes are of the body.
    :param begun: bytes that came from there for the decoder, and are not the whole of a line.
    :param first: what the reactor has read of the body already.
    :param most: bytes that may be taken.
    :param short: whether that is all of the body, and little.
    """

    def __init__(
        self,
        owner: Inflows,
        connection: int,
        receive: Receive,
        decoder: ChunkedDecoder | None,
        begun: bytes,
        first: bytes,
        most: int,
        *,
        short: bool = False,
    ) -> None:
        self._owner = owner
        self._receive = receive
        self._decoder = decoder
        self._first = first
        self._most = most
        self._short = short
        #: What came and is not a part of the middle of the body, to be taken by the reactor after the turn.
        self.rest = begun
        #: Bytes that were received, and those of the body among them.
        self.taken = 0
        self.carried = 0
        #: Whether to fetch something is work for a processor; see :meth:`.IUpload.receive`.
        self.decrypts = receive is not receive_plain
        #: Whether the turn ended because nothing more was there, or something that is for the reactor.
        self.dry = False
        # What was read into last is at the end, what is read into next at the beginning.
        self._buffers: deque[bytearray] = deque()
        self._buffer: bytearray | None = None
        self._most_buffers = _BUFFERS if self.decrypts else _PLAIN_BUFFERS
        self._piece_bytes = _PIECE_BYTES
        self._waits = 0
        self._begun = False
        self._socket = connection
        self._lock = Lock()
        self._running = False
        self._closed = False

    @property
    def is_whole(self) -> bool:
        """Whether all of the body has been taken; may be asked for in any thread."""
        # The last of what a turn counts: who asks is to find all of it counted. A short one carries all that it takes.
        return self._short and self.carried == self._most

    async def begin(self) -> None:
        """Wait until it is its turn. A short one takes little time of a thread, but for what is to be done at its end."""
        if self._short:
            return
        await self._owner.begin()
        self._begun = True

    def fetch(self) -> Piece:
        """The next bytes of the body, in a thread; none at the end of the turn. How long they are there is in :meth:`.IUpload.receive`."""
        if self._first and not (self._short and len(self._first) <= _FIRST_BYTES):
            first, self._first = self._first, b""
            return first
        with self._lock:
            if self._closed:
                # What the reactor has read is the upload's all the same.
                first, self._first = self._first, b""
                return first
            self._running = True
        try:
            return self._fetch()
        finally:
            with self._lock:
                self._running = False
                if self._closed:
                    os.close(self._socket)

    __call__ = fetch

    def reuse(self) -> None:
        """Each piece is needed until the next one is fetched, and no longer."""
        self._most_buffers = 1
        if not self._short:
            # Of a short body the client is to send the rest while its first piece is written.
            self._piece_bytes = _SINGLE_BYTES

    def end(self, *, resting: bool) -> None:
        """
        The turn is over; in the thread of the reactor. Harmless when it was said before.

        :param resting: no thread is at it any more. Otherwise one may still be reading, and what it reads is lost.
        """
        with self._lock:
            if not self._closed and not self._running:
                os.close(self._socket)
            self._closed = True
        if self._begun:
            self._begun = False
            self._owner.end()
        if resting:
            for each in self._buffers:
                self._owner.give_back(each)
            self._buffers.clear()

    def _fetch(self) -> Piece:
        if len(self._buffers) < self._most_buffers:
            self._buffers.append(self._owner.take_buffer())
        else:
            self._buffers.rotate(-1)
        self._buffer = self._buffers[-1]
        view = memoryview(self._buffer)[: self._piece_bytes]
        if self._short:
            return self._fill(view)
        while not self.dry and self.taken < self._most and not self._is_enough():
            scatter = None if self.rest else self._scatter(view)
            kept = len(self.rest)
            view[:kept] = self.rest
            came = self._read(view[kept : kept + self._most - self.taken], scatter)
            self.taken += came
            carried = self._carried(view, kept + came, scatter) if came else 0
            self.carried += carried
            if carried:
                return view[:carried]
        return b""

    def _fill(self, view: memoryview) -> Piece:
        """All that is left of a short body, or what there is room for, so that it is written in few steps."""
        at = len(self._first)
        view[:at], self._first = self._first, b""
        while at < len(view) and self.taken < self._most and not self.dry:
            came = self._read(view[at : at + self._most - self.taken], None)
            at += came
            self.taken += came
            self.carried += came
        return view[:at]

    def _is_enough(self) -> bool:
        return self.taken >= _SHARE_BYTES and self._owner.crowded()

    def _scatter(self, view: memoryview) -> Scatter | None:
        """How to have the kernel leave out what is between chunks; None where it can not, or nobody knows what will be there."""
        if self._decoder is None or self.decrypts:
            return None
        return self._decoder.scatter(view, self._most - self.taken)

    def _read(self, room: memoryview, scatter: Scatter | None) -> int:
        receive = self._receive if scatter is None else scatter.read
        while True:
            try:
                came = receive(self._socket, room)
            except BlockingIOError:
                self._waits += 1
                if self._waits <= _MOST_WAITS and not self._owner.crowded() and self._wait():
                    continue
                came = 0
            except OSError:
                # The reactor will find out, too.
                came = 0
            self.dry = not came
            return came

    def _carried(self, view: memoryview, size: int, scatter: Scatter | None) -> int:
        """Where the bytes of the body end that are at the beginning of the buffer."""
        if self._decoder is None or self._buffer is None:
            return size
        if scatter is not None:
            carried, self.rest, plain = self._decoder.scattered(scatter, size)
        else:
            carried, at, plain = self._decoder.compact(self._buffer, size)
            self.rest = bytes(view[at:size])
        self.dry = not plain
        return carried

    def _wait(self) -> bool:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(_WAIT_MILLISECONDS))


def receive_plain(connection: int, room: memoryview) -> int:
    """The :data:`.Receive` of a connection that nothing wraps."""
    return os.readv(connection, [room])


def most_of(length_left: int | None, most: int) -> int:
    """How many bytes a turn may take of a body of which so many are left; None: nobody knows how many."""
    return most if length_left is None else min(most, length_left - _END_BYTES)
