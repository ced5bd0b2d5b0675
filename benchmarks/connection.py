"""One connection of the load, which plays one script."""

import os
import select
import socket
import ssl
import time

from attrs import define, field, frozen

from benchmarks.messages import Answer, FilePart, LoadFailed, Part, Request, Script, ends_chunks, joined_chunks

_ENCRYPTED_BYTES = 256 * 1024
_SEND_BYTES = 4 * 1024 * 1024
_READS_AT_ONCE = 32
_LONGEST_HEAD = 64 * 1024
#: A connection on which nothing moves for so long ends the load.
STALLED_SECONDS = 120.0

READ = select.EPOLLIN
BOTH = select.EPOLLIN | select.EPOLLOUT
_AGAIN = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


@frozen
class Target:
    """A server on this machine, and how to trust it."""

    port: int
    tls: ssl.SSLContext | None = None


@define(eq=False)
class Played:
    """What came of a load: operations that were completed, bytes both ways, and the seconds of each operation."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    sent: int = 0
    received: int = 0
    latencies: list[float] = field(factory=list)

    @property
    def operations(self) -> int:
        """Operations that were completed."""
        return len(self.latencies)


class Connection:
    """One script under way."""

    def __init__(self, target: Target, script: Script, played: Played, buffer: bytearray) -> None:
        self._target = target
        self._script = script
        self._played = played
        self._buffer = buffer
        self._view = memoryview(buffer)
        self._encrypted = target.tls is not None
        # What is done with a socket, in order: connecting, shaking hands, sending and reading.
        self._connected = False
        self._secure = not self._encrypted
        self._waits_to_read = False
        self.over = False
        self._request: Request
        self._following: Request | None = None
        self._answer: Answer | None = None
        self._outgoing: list[Part] = []
        self._position = 0
        self._partial = b""
        self._left = 0
        self._kept: list[bytes] = []
        self._last = b""
        self._began = 0.0
        self._in_operation = False
        self.socket = self._open()

    # Connecting

    def _open(self) -> socket.socket:
        opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.connect_ex(("127.0.0.1", self._target.port))
        self._connected, self._secure = False, not self._encrypted
        return opened

    def wait_until_ready(self) -> None:
        """Wait for the connection here; its time is nobody's."""
        while not (self._connected and self._secure):
            reading, writing = ([self.socket], []) if self._waits_to_read else ([], [self.socket])
            if not any(select.select(reading, writing, [], STALLED_SECONDS)):
                raise LoadFailed("the server does not accept a connection")
            self._establish()

    def _establish(self) -> None:
        if not self._connected:
            problem = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if problem:
                raise LoadFailed(f"the server does not accept a connection: {os.strerror(problem)}")
            self._connected = True
            if self._target.tls is not None:
                self.socket = self._target.tls.wrap_socket(
                    self.socket, server_hostname="127.0.0.1", do_handshake_on_connect=False
                )
        if isinstance(self.socket, ssl.SSLSocket) and not self._secure:
            try:
                self.socket.do_handshake()
            except _AGAIN as wanted:
                self._waits_to_read = isinstance(wanted, ssl.SSLWantReadError)
                return
            self._secure = True
            self._waits_to_read = False

    def start(self) -> None:
        """Begin the first operation, whether connected or not."""
        try:
            self._following = next(self._script)
        except StopIteration:
            self._end()
            return
        self._began = time.perf_counter()
        self._in_operation = True
        if self._connected and self._secure:
            self.ready(BOTH)

    def ready(self, events: int) -> None:
        """The socket can be read or written."""
        if not (self._connected and self._secure):
            self._establish()
            if not (self._connected and self._secure):
                return
        if self._following is not None:
            following, self._following = self._following, None
            self._send(following)
            return
        if events & select.EPOLLOUT and self._outgoing:
            self.writable()
        if events & ~select.EPOLLOUT:
            self.readable()

    @property
    def wants_to_write(self) -> bool:
        """Whether it waits for room to send, or for the connection."""
        return bool(self._outgoing) or (self._following is not None and not self._waits_to_read)

    def close(self) -> None:
        """Let go of the connection."""
        self.over = True
        self._script.close()
        self.socket.close()

    # Sending

    def _send(self, request: Request) -> None:
        self._request = request
        if not request.parts and not self._encrypted:
            # All but always the kernel takes a whole head at once.
            try:
                sent = self.socket.send(request.head)
            except BlockingIOError:
                sent = 0
            if sent == len(request.head):
                return
            self._outgoing, self._position = [request.head], sent
            return
        self._outgoing, self._position = [request.head, *request.parts], 0
        self.writable()

    def writable(self) -> None:
        """Send what the kernel takes."""
        try:
            while self._outgoing:
                part = self._outgoing[0]
                size = part.size if isinstance(part, FilePart) else len(part)
                while self._position < size:
                    self._position += self._send_some(part, size)
                self._outgoing.pop(0)
                self._position = 0
                if part is not self._request.head:
                    self._played.sent += size
        except _AGAIN:
            return
        except (BrokenPipeError, ConnectionResetError):
            # The server has refused the rest; its answer tells why, if it is still there to be read.
            self._outgoing = []

    def _send_some(self, part: Part, size: int) -> int:
        start = self._position
        if isinstance(part, bytes):
            return self.socket.send(part[start:] if start else part)
        if self._encrypted:
            return self.socket.send(part.file.view[start : min(size, start + _ENCRYPTED_BYTES)])
        return os.sendfile(self.socket.fileno(), part.file.descriptor, start, min(size - start, _SEND_BYTES))

    # Reading

    def readable(self) -> None:
        """Read what is there, and go on with the script when an answer is complete."""
        try:
            # Of an encrypted connection one call gives one record only.
            for _ in range(_READS_AT_ONCE if self._encrypted else 1):
                count = self.socket.recv_into(self._buffer)
                if not count:
                    raise LoadFailed(f"the server closed the connection: {self._request.head[:200]!r}")
                self._take(count)
                if self.over:
                    return
        except _AGAIN:
            return
        except ConnectionResetError:
            raise LoadFailed(f"the server reset the connection: {self._request.head[:200]!r}") from None

    def _take(self, count: int) -> None:
        start = 0
        if self._answer is None:
            start = self._take_head(count)
            if self._answer is None:
                return
        if self._answer.chunked:
            self._take_chunks(start, count)
        else:
            self._take_body(start, count)

    def _take_head(self, count: int) -> int:
        """Where the body begins."""
        end = self._buffer.find(b"\r\n\r\n", 0, count)
        if end < 0 or self._partial:
            return self._take_partial_head(count)
        self._begin_answer(bytes(self._buffer[: end + 2]))
        return end + 4

    def _take_partial_head(self, count: int) -> int:
        data = self._partial + bytes(self._buffer[:count])
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > _LONGEST_HEAD:
                raise LoadFailed("an answer's head has no end")
            self._partial = data
            return count
        start = end + 4 - len(self._partial)
        self._partial = b""
        self._begin_answer(data[: end + 2])
        return start

    def _begin_answer(self, head: bytes) -> None:
        bodyless = self._request.bodyless
        self._answer = answer = Answer(head, bodyless=bodyless)
        self._left = 0 if bodyless or answer.length is None else answer.length
        self._last = b""
        self._kept = []
        if answer.status not in self._request.expects:
            # Its body is the reason.
            self._request = Request(self._request.head, expects=(), keep=True)

    def _take_body(self, start: int, count: int) -> None:
        size = count - start
        if size > self._left:
            raise LoadFailed(f"an answer has {size - self._left} bytes too many: {self._request.head[:200]!r}")
        self._left -= size
        if size and (self._request.keep or self._request.hasher is not None):
            self._look_at(start, count)
        self._played.received += size
        if not self._left:
            self._complete(b"".join(self._kept))

    def _take_chunks(self, start: int, count: int) -> None:
        self._last = (self._last + bytes(self._view[max(start, count - 7) : count]))[-7:]
        if self._request.keep:
            self._look_at(start, count)
        self._played.received += count - start
        if ends_chunks(self._last):
            self._complete(joined_chunks(b"".join(self._kept)) if self._request.keep else b"")

    def _look_at(self, start: int, count: int) -> None:
        if self._request.keep:
            self._kept.append(bytes(self._view[start:count]))
        if self._request.hasher is not None:
            self._request.hasher.update(self._view[start:count])

    def _complete(self, body: bytes) -> None:
        now = time.perf_counter()
        request, answer = self._request, self._answer
        assert answer is not None
        answer.body = body
        if not request.expects:
            raise LoadFailed(f"{answer.status} for {request.head[:200]!r}: {body[:300]!r}")
        if request.length is not None and answer.length != request.length:
            raise LoadFailed(f"{answer.length} bytes, not {request.length}, for {request.head[:200]!r}")
        if request.ends:
            self._played.latencies.append(now - self._began)
            self._in_operation = False
        self._answer = None
        try:
            following = self._script.send(answer)
        except StopIteration:
            self._end()
            return
        if not self._in_operation:
            self._began = now
            self._in_operation = True
        if answer.closes:
            self.socket.close()
            self.socket = self._open()
            self._following = following
        else:
            self._send(following)

    def _end(self) -> None:
        self.over = True
        self.socket.close()
