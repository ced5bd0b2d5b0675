"""
Blobs that the kernel sends: from a file to a socket, past the program (sendfile(2)). Over TLS a thread encrypts between.

A thread works for each client that is reading, so that several are served at once. One whose socket stays full goes
back to the reactor, which waits for room without a thread. The response's head is written by Twisted as ever; the
socket is ours once that has left, and is used under a descriptor of our own, so that none of Twisted's is watched twice.
"""

import errno
import os
import select
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from threading import Lock
from typing import Any, cast

from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorFDSet, ISSLTransport, ITCPTransport, IWriteDescriptor
from twisted.python.failure import Failure
from twisted.web import server
from zope.interface import implementer

from dockreg.callables import InThread
from dockreg.errors import StoreUnavailable
from dockreg.interfaces_readers import IBlobFile
from dockreg.interfaces_transports import ISealedTransport, SendSealed
from dockreg.web.sockets import unsent_bytes

#: Less is sent with its head by the ordinary path: one packet is better than two.
LEAST_BYTES = 128 * 1024
#: What a thread sends before others have their turn.
_TURN_BYTES = 32 * 1024 * 1024
#: What the kernel is asked to send at once. It takes longer for each byte of more, and several times as long of a whole file.
_PIECE_BYTES = 256 * 1024
#: What is read and encrypted at once. It stays in the cache of a processor, and more is not faster.
_SEALED_BYTES = 128 * 1024
#: How long a thread waits for a client whose socket is full, while nobody else waits for the thread.
_WAIT_MILLISECONDS = 10
#: What the kernel may hold that was encrypted and not sent yet. What a client reads that keeps up is in the cache of the
#: processor then. What it sends from a file is there or not as it is, and each time that room is waited for costs.
_UNSENT_BYTES = 256 * 1024
#: What a socket says whose client can not be reached any more, and a file does not.
_NETWORK = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN})


class BlobCutShort(Exception):
    """A blob ended before its size; the client was cut off so that it does not take it for whole."""


@define(eq=False)
class KernelSender:
    """
    Sends parts of files, over plain connections and over those of TLS that lend their encryption.

    :param reactor: waits for sockets that are full.
    :param in_thread: runs what blocks; one thread for each client that reads at the time.
    :param crowded: whether there are more clients than threads.
    """

    _reactor: IReactorFDSet
    _in_thread: InThread
    _crowded: Callable[[], bool]

    def takes(self, request: server.Request, reader: object, length: int) -> bool:
        """Whether this can be sent: a file, enough of it, over a connection that nothing unknown wraps."""
        if length < LEAST_BYTES or not IBlobFile.providedBy(reader):
            return False
        transport = request.transport
        # Of the class: what Twisted wraps around a connection provides all that the connection does.
        if ISealedTransport.implementedBy(type(transport)):
            return True
        return ITCPTransport.providedBy(transport) and not ISSLTransport.providedBy(transport) and _is_lowest(transport)

    async def send(self, request: server.Request, reader: Any, length: int, gone: Callable[[], bool]) -> None:
        """
        Send the head of the response, and ``length`` bytes of the reader as its body.

        :param gone: whether the client has left.
        :raises CancelledError: the client has gone.
        :raises BlobCutShort: the file ended too early.
        """
        transport = cast("Any", request.transport)
        sealed = ISealedTransport.providedBy(transport)
        stream = (
            _SealedStream(transport.fileno(), reader, length) if sealed else _Stream(transport.fileno(), reader, length)
        )
        wait = _Room(self._reactor, stream.socket)

        def note() -> bool:
            request.sentLength += stream.newly_sent()
            return not stream.left

        ours = cast("Any", request)
        ours.note_sent = note
        request.write(b"")
        try:
            if sealed:
                transport.flush()
            while unsent_bytes(transport):
                await wait.for_room()
                if gone():
                    raise CancelledError
            if isinstance(stream, _SealedStream):
                stream.send_sealed = transport.lend(stream.socket)
            await self._send_all(request, stream, wait, gone)
            # Not after a failure, when some of what was encrypted is not sent: the caller cuts the connection then.
            if sealed:
                transport.take_back()
        finally:
            ours.note_sent = None
            wait.stop()
            stream.close()

    async def _send_all(
        self, request: server.Request, stream: "_Stream", wait: "_Room", gone: Callable[[], bool]
    ) -> None:
        while stream.left:
            await self._in_thread(stream.push, self._crowded)
            request.sentLength += stream.newly_sent()
            if stream.broken or gone():
                raise CancelledError
            if stream.full:
                await wait.for_room()


def _is_lowest(transport: object) -> bool:
    return getattr(transport, "transport", None) is None


class _Stream:
    """A file on its way into a socket."""

    def __init__(self, connection: int, reader: Any, length: int) -> None:
        self.left = length
        self._told = length
        #: Whether the last turn ended because the socket was full.
        self.full = False
        #: Whether the client has left.
        self.broken = False
        self.socket = os.dup(connection)
        try:
            self._file, self._position = reader.detach()
        except BaseException:
            os.close(self.socket)
            raise
        # What is not in the cache is read in larger pieces, while those before them are sent.
        with suppress(OSError):
            os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        self._lock = Lock()
        self._running = False
        self._closed = False
        self._poll = select.poll()
        self._poll.register(self.socket, select.POLLOUT)

    def newly_sent(self) -> int:
        """How many bytes were sent since this was asked the last time; in the thread of the reactor."""
        left = self.left
        sent, self._told = self._told - left, left
        return sent

    def push(self, crowded: Callable[[], bool]) -> None:
        """Send for one turn; in a thread."""
        with self._lock:
            if self._closed:
                return
            self._running = True
        try:
            self._push(crowded)
        finally:
            with self._lock:
                self._running = False
                if self._closed:
                    self._release()

    def _push(self, crowded: Callable[[], bool]) -> None:
        self.full = False
        turn = min(self.left, _TURN_BYTES)
        while turn and not self._closed:
            try:
                sent = self._send(turn)
            except BlockingIOError:
                if crowded() or not self._wait():
                    self.full = True
                    return
                continue
            except OSError as problem:
                if isinstance(problem, ConnectionError) or problem.errno in _NETWORK:
                    self.broken = True
                    return
                reason = os.strerror(problem.errno or 0)
                raise StoreUnavailable(f"the blob store does not work now: {reason}") from problem
            if not sent:
                raise BlobCutShort(f"{self.left} bytes are missing")
            self._position += sent
            self.left -= sent
            turn -= sent

    def _send(self, most: int) -> int:
        """Send up to ``most`` bytes of the file; returns how many, 0 at its end. :raises BlockingIOError: no room."""
        return os.sendfile(self.socket, self._file, self._position, min(most, _PIECE_BYTES))

    def _wait(self) -> bool:
        return bool(self._poll.poll(_WAIT_MILLISECONDS))

    def close(self) -> None:
        """Let go of file and socket, as soon as no thread uses them: their numbers may be others' then."""
        with self._lock:
            if not self._closed:
                self._closed = True
                if not self._running:
                    self._release()

    def _release(self) -> None:
        os.close(self._file)
        os.close(self.socket)


class _SealedStream(_Stream):
    """A file on its way into a socket through TLS."""

    #: What encrypts and sends; to be set before anything is sent.
    send_sealed: SendSealed
    # What was read and is not sent yet, and how much that is.
    _room = memoryview(b"")
    _holds = 0
    # Whether the kernel holds little.
    _is_short = False

    def _push(self, crowded: Callable[[], bool]) -> None:
        self._keep_short(short=not self.full and not crowded())
        super()._push(crowded)

    def _release(self) -> None:
        self._keep_short(short=False)
        super()._release()

    def _send(self, most: int) -> int:
        if not self._holds:
            # The same memory each time: new one would be given to the system and taken from it again and again.
            room = self._room or memoryview(bytearray(_SEALED_BYTES))
            self._room = room
            self._holds = os.preadv(self._file, [room[:most]], self._position)
            if not self._holds:
                return 0
        self.send_sealed(self._room[: self._holds])
        sent, self._holds = self._holds, 0
        return sent

    def _keep_short(self, *, short: bool) -> None:
        """Let the kernel hold little that is unsent, for a client that keeps up; others get its whole buffer at a time."""
        if short == self._is_short:
            return
        self._is_short = short
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=self.socket)
        try:
            # 0 is what the system has for all sockets. What is no TCP has no such option.
            with suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES if short else 0)
        finally:
            connection.detach()


@implementer(IWriteDescriptor)
class _Room:
    """Waits in the reactor until a socket has room."""

    def __init__(self, reactor: IReactorFDSet, descriptor: int) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._waiting: Deferred[None] | None = None

    def for_room(self) -> Awaitable[None]:
        """Fires when something can be written, or the connection has broken."""
        self._waiting = Deferred()
        self._reactor.addWriter(self)
        return self._waiting

    def stop(self) -> None:
        """Wait no more."""
        self._reactor.removeWriter(self)
        self._waiting = None

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "dockreg"

    def doWrite(self) -> None:
        self._fire()

    def connectionLost(self, reason: Failure) -> None:
        self._fire()

    def _fire(self) -> None:
        self._reactor.removeWriter(self)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
