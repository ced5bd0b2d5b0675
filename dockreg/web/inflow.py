"""
Bytes of a body that a thread takes from the socket itself, past the reactor.

While a large body arrives quickly, the thread that digests and writes it also reads it: into memory that is used again
and again, and without telling anybody of each piece. The thread has its turn of some megabytes, during which the reactor
does not read. What is not in the middle of a body (its beginning, its end, what is between two chunks and is no plain
size) is left to the ordinary path, and so is a client that keeps a thread waiting.

Who writes past the page cache of the kernel has the bytes lie in memory as they will lie in the file: a position in the file
and the address of its byte have the same remainder by :data:`.BLOCK_BYTES`. What comes is gathered to pieces that are worth a
write of their own, and end where a block ends; the bytes behind that begin the next piece.
"""

import mmap
import os
import select
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Final

from attrs import define, field
from twisted.internet.defer import Deferred

from dockreg.callables import BLOCK_BYTES, Piece
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
#: The same where the memory of one piece is all that is needed, or where all that comes is a few of them.
_SINGLE_BYTES: Final = 1024 * 1024
#: The same where the device takes it from there: while one piece is written another one is digested, and for each of them
#: threads wait for each other.
_DIRECT_BYTES: Final = 2 * 1024 * 1024
#: With less room than that in a piece of chunks no more is read into it: the lines between them need some, too.
_LEAST_ROOM_BYTES: Final = 16 * 1024
#: How long a thread waits for a client that has sent nothing more, and how often in one turn; and once more for each
#: :data:`FLOWING_BYTES` that have come.
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
    _spare: deque[mmap.mmap] = field(factory=deque, init=False)

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

    def take_buffer(self) -> mmap.mmap:
        """Memory for one turn, which begins with a page; may be called in any thread."""
        try:
            return self._spare.pop()
        except IndexError:
            return mmap.mmap(-1, _DIRECT_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def give_back(self, buffer: mmap.mmap) -> None:
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
        self._buffers: deque[mmap.mmap] = deque()
        self._most_buffers = _BUFFERS if self.decrypts else _PLAIN_BUFFERS
        self._piece_bytes = _PIECE_BYTES
        # Where in a file the next byte to be given is to be, if that matters; and what was read behind the end of a block.
        self._position: int | None = None
        self._left = b""
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
        piece = self._begun_piece() or self._received_piece()
        if self._position is not None:
            self._position += len(piece)
        return piece

    __call__ = fetch

    def reuse(self) -> None:
        """Each piece is needed until the next one is fetched, and no longer."""
        self._most_buffers = 1
        if not self._short:
            # Of a short body the client is to send the rest while its first piece is written.
            self._piece_bytes = _SINGLE_BYTES

    def align(self, position: int) -> None:
        """
        Bytes lie in memory as in a file, of which the next byte has this position; see :meth:`.IUpload.receive`.

        Before the first of them is fetched.
        """
        self._position = position
        self._piece_bytes = _SINGLE_BYTES if self._short else _DIRECT_BYTES

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

    @property
    def _gathers(self) -> bool:
        """Whether pieces are to be large, and not only soon there."""
        return self._short or self._position is not None

    def _begun_piece(self) -> Piece:
        """What the reactor has read, unless that is copied to where the rest comes to."""
        if self._gathers and len(self._first) <= _FIRST_BYTES:
            return b""
        first, self._first = self._first, b""
        return first

    def _received_piece(self) -> Piece:
        with self._lock:
            if self._closed:
                # What was read before is the upload's all the same.
                begun, self._first, self._left = self._first or self._left, b"", b""
                return begun
            self._running = True
        try:
            return self._receive_piece()
        finally:
            with self._lock:
                self._running = False
                if self._closed:
                    os.close(self._socket)

    def _receive_piece(self) -> Piece:
        if len(self._buffers) < self._most_buffers:
            self._buffers.append(self._owner.take_buffer())
        else:
            self._buffers.rotate(-1)
        buffer = self._buffers[-1]
        begin = 0 if self._position is None else self._position % BLOCK_BYTES
        end = self._fill(buffer, begin)
        return memoryview(buffer)[begin:end] if begin < end else b""

    def _fill(self, buffer: mmap.mmap, begin: int) -> int:
        """Read into a buffer, behind ``begin``; where the bytes of the body end that are to be given now."""
        view, end = memoryview(buffer)[: self._piece_bytes], begin
        for begun in (self._first, self._left):
            view[end : end + len(begun)] = begun
            end += len(begun)
        self._first = self._left = b""
        # With so much nobody waits for more: all of a short body, for that is written in few steps, as is what goes to the disk.
        enough = len(view) if self._short else begin + _SINGLE_BYTES if self._gathers else begin + 1
        room_bytes = 0 if self._decoder is None else _LEAST_ROOM_BYTES
        while len(view) - end > room_bytes and self.taken < self._most and not (self.dry or self._has_share()):
            carried = self._read_on(buffer, view, end, waits=end < enough)
            if carried is None:
                break
            end += carried
            if end >= enough and not self._gathers:
                break
        if self._position is not None and end - begin >= LEAST_BYTES and self.taken < self._most and not self.dry:
            block = end - end % BLOCK_BYTES
            self._left = bytes(view[block:end])
            return block
        return end

    def _read_on(self, buffer: mmap.mmap, view: memoryview, end: int, *, waits: bool) -> int | None:
        """One read behind what is there: how many bytes of the body it has brought, None where nothing has come."""
        room = view[end:]
        scatter = None if self.rest else self._scatter(room)
        kept = len(self.rest)
        room[:kept] = self.rest
        came = self._read(room[kept : kept + self._most - self.taken], scatter, waits=waits)
        if not came:
            return None
        self.taken += came
        carried = self._carried(buffer, end, kept + came, scatter)
        self.carried += carried
        return carried

    def _has_share(self) -> bool:
        return self.taken >= _SHARE_BYTES and self._owner.crowded()

    def _scatter(self, view: memoryview) -> Scatter | None:
        """How to have the kernel leave out what is between chunks; None where it can not, or nobody knows what will be there."""
        if self._decoder is None or self.decrypts:
            return None
        return self._decoder.scatter(view, self._most - self.taken)

    def _read(self, room: memoryview, scatter: Scatter | None, *, waits: bool) -> int:
        receive = self._receive if scatter is None else scatter.read
        while True:
            try:
                came = receive(self._socket, room)
            except BlockingIOError:
                if not waits:
                    return 0
                self._waits += 1
                if (
                    self._waits <= _MOST_WAITS + self.taken // FLOWING_BYTES
                    and not self._owner.crowded()
                    and self._wait()
                ):
                    continue
                came = 0
            except OSError:
                # The reactor will find out, too.
                came = 0
            self.dry = not came
            return came

    def _carried(self, buffer: mmap.mmap, begin: int, size: int, scatter: Scatter | None) -> int:
        """How many bytes of the body are in a buffer, of what was read behind ``begin``."""
        if self._decoder is None:
            return size
        if scatter is not None:
            carried, self.rest, plain = self._decoder.scattered(scatter, size)
        else:
            carried, at, plain = self._decoder.compact(buffer, begin, begin + size)
            self.rest = buffer[at : begin + size]
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
