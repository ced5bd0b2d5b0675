"""What is made of errors while the kernel sends a file; tests of real sending are in ``tests/integration/test_kernel.py``."""

import errno
import os
import socket
import struct
from functools import partial
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import StoreUnavailable
from dockreg.web import kernel
from dockreg.web.kernel import _PIECE_BYTES, _UNSENT_BYTES, _SealedStream, _Stream


class Reader:
    """A file of nothing."""

    def detach(self) -> tuple[int, int]:
        return os.open(os.devnull, os.O_RDONLY), 0


class UnsentTests(SynchronousTestCase):
    """How much the kernel may hold that was encrypted and is unsent."""

    def setUp(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.client = socket.create_connection(listening.getsockname())
        self.connection, _ = listening.accept()
        for each in (listening, self.client, self.connection):
            self.addCleanup(each.close)
        self.connection.setblocking(False)
        self.stream = _SealedStream(self.connection.fileno(), Reader(), 100)
        self.addCleanup(self.stream.close)
        self.seen: list[int] = []
        self.failures: list[OSError] = []

        def send(most: int) -> int:
            self.seen.append(self.unsent())
            if self.failures:
                raise self.failures.pop()
            return min(most, 10)

        self.patch(self.stream, "_send", send)
        self.patch(kernel, "_TURN_BYTES", 10)

    def unsent(self) -> int:
        """What is set now; 0 for what the system has for all."""
        return self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)

    def test_keeps_up(self) -> None:
        """It is little for a client that keeps up, until the end; whatever the connection sends after that is not meant."""
        while self.stream.left:
            self.stream.push(lambda: False)
        self.assertEqual([_UNSENT_BYTES] * 10, self.seen)
        self.stream.close()
        self.assertEqual(0, self.unsent())

    def test_crowded(self) -> None:
        """It is the whole buffer while more clients read than there are threads: each turn sends as much as it can."""
        for crowded, expected in ((False, _UNSENT_BYTES), (True, 0), (False, _UNSENT_BYTES)):
            self.stream.push(partial(bool, crowded))
            self.assertEqual(expected, self.seen[-1])

    def test_slow(self) -> None:
        """It is the whole buffer for a client that kept the thread waiting, and little again once it has kept up."""
        self.patch(self.stream, "_wait", lambda: False)
        for failures, full, expected in (
            ([], False, _UNSENT_BYTES), ([BlockingIOError()], True, _UNSENT_BYTES), ([BlockingIOError()], True, 0),
            ([], False, 0), ([], False, _UNSENT_BYTES),
        ):  # fmt: skip
            self.failures = list(failures)
            self.stream.push(lambda: False)
            self.assertEqual((full, expected), (self.stream.full, self.seen[-1]))

    def test_gone(self) -> None:
        """A client that has reset its connection meanwhile is no trouble."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()
        self.stream.push(lambda: False)
        self.stream.close()


class TurnTests(SynchronousTestCase):
    """One turn of a thread after the other."""

    def setUp(self) -> None:
        here, there = socket.socketpair()
        self.addCleanup(here.close)
        self.addCleanup(there.close)
        self.stream = _Stream(here.fileno(), Reader(), 100)
        self.addCleanup(self.stream.close)
        self.calls = 0
        self.failures: list[OSError] = []

        def sendfile(_socket: int, _file: int, _position: int, most: int) -> int:
            self.calls += 1
            if self.failures:
                raise self.failures.pop()
            return min(most, 10)

        self.patch(os, "sendfile", sendfile)
        self.patch(kernel, "_TURN_BYTES", 10)

    def test_slow(self) -> None:
        """A client whose socket stays full ends the turn, and the next one goes on."""
        self.patch(self.stream, "_wait", lambda: False)
        for failures, full in ([], False), ([BlockingIOError()], True), ([], False):
            self.failures = list(failures)
            self.stream.push(lambda: False)
            self.assertEqual(full, self.stream.full)
        self.assertEqual((80, 3), (self.stream.left, self.calls))

    def test_crowded(self) -> None:
        """Nobody waits for a full socket while more clients read than there are threads."""
        self.patch(self.stream, "_wait", self.fail)
        self.failures = [BlockingIOError()]
        self.stream.push(lambda: True)
        self.assertEqual((100, True), (self.stream.left, self.stream.full))

    def test_waits_for_room(self) -> None:
        """However often a socket is full for a moment, the turn goes on."""
        self.patch(self.stream, "_wait", lambda: True)
        self.failures = [BlockingIOError() for _ in range(100)]
        self.stream.push(lambda: False)
        self.assertEqual((90, False, 101), (self.stream.left, self.stream.full, self.calls))


class StreamTests(SynchronousTestCase):
    def stream(self, number: int) -> _Stream:
        """One whose sending fails like this."""

        def failing(*_args: Any) -> int:
            raise OSError(number, os.strerror(number))

        self.patch(os, "sendfile", failing)
        here, there = socket.socketpair()
        self.addCleanup(here.close)
        self.addCleanup(there.close)
        stream = _Stream(here.fileno(), Reader(), 100)
        self.addCleanup(stream.close)
        return stream

    def test_order(self) -> None:
        """The kernel is told that the file is sent from its beginning to its end; one that can not be told so is sent all the same."""
        told: list[int] = []

        def advise(_file: int, _first: int, _size: int, advice: int) -> None:
            told.append(advice)
            raise OSError(errno.ESPIPE, "it has no order")

        self.patch(os, "posix_fadvise", advise)
        with socket.socket() as connection:
            _Stream(connection.fileno(), Reader(), 100).close()
        self.assertEqual([os.POSIX_FADV_SEQUENTIAL], told)

    def test_pieces(self) -> None:
        """The kernel is asked for a piece at a time, and for no more than is left."""
        asked: list[int] = []

        def sendfile(_socket: int, _file: int, _position: int, most: int) -> int:
            asked.append(most)
            return most

        here, there = socket.socketpair()
        self.addCleanup(here.close)
        self.addCleanup(there.close)
        self.patch(os, "sendfile", sendfile)
        stream = _Stream(here.fileno(), Reader(), 2 * _PIECE_BYTES + 1)
        self.addCleanup(stream.close)
        stream.push(lambda: False)
        self.assertEqual([_PIECE_BYTES, _PIECE_BYTES, 1], asked)

    def test_client_that_is_gone(self) -> None:
        """Whatever the network calls it, the client is gone, and nothing is wrong with the blob."""
        for number in (errno.EPIPE, errno.ECONNRESET, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH):
            stream = self.stream(number)
            stream.push(lambda: False)
            self.assertTrue(stream.broken, errno.errorcode[number])

    def test_disk(self) -> None:
        """An error of the disk is one of the store."""
        stream = self.stream(errno.EIO)
        self.assertRaises(StoreUnavailable, stream.push, lambda: False)
        self.assertFalse(stream.broken)
