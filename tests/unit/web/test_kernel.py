"""What is made of errors while the kernel sends a file; tests of real sending are in ``tests/integration/test_kernel.py``."""

import errno
import os
import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import StoreUnavailable
from dockreg.web.kernel import _Stream


class Reader:
    """A file of nothing."""

    def detach(self) -> tuple[int, int]:
        return os.open(os.devnull, os.O_RDONLY), 0


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
