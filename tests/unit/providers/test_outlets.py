"""Tests of what sends for a connection (:mod:`dockreg.providers.openssl`)."""

import contextlib
import gc
import socket

from OpenSSL import SSL

from dockreg.providers.openssl import MakeOutlet, Outlet, PublicOutlet, new_outlet, read_all
from tests.unit.providers import test_openssl
from tests.unit.providers.test_openssl import bring, connected


class OutletTests(test_openssl.ConnectedTestCase):
    """What sends for a connection."""

    make: MakeOutlet = staticmethod(new_outlet)

    def outlet(self) -> Outlet:
        """One of the server."""
        return self.make(self.server, self.ours.fileno())

    def read(self) -> bytes:
        """What the client reads of what has been sent."""
        with contextlib.suppress(BlockingIOError):
            while sealed := self.theirs.recv(2**20):
                self.client.bio_write(sealed)
        room = bytearray(2**20)
        size, _ = read_all(self.client, room)
        return bytes(room[:size])

    def test_sends(self) -> None:
        """All arrives, in order, behind what was encrypted before and not sent; all goes on in memory afterwards."""
        self.server.send(b"first ")
        outlet = self.outlet()
        outlet.send(memoryview(b"second " * 5000))
        outlet.send(memoryview(b"third"))
        self.assertEqual(b"first " + b"second " * 5000 + b"third", self.read())
        outlet.end()
        self.server.send(b"fourth")
        self.client.bio_write(self.server.bio_read(1000))
        self.assertEqual(b"fourth", self.client.recv(100))
        self.assertRaises(SSL.WantReadError, self.server.recv, 10)
        self.client.send(b"fifth")
        bring(self.client, self.server)
        self.assertEqual(b"fifth", self.server.recv(10))

    def test_full(self) -> None:
        """A socket without room says so, until the client has read; nothing is lost or doubled."""
        data = bytes(range(251)) * 4000
        outlet, found, refused = self.outlet(), b"", 0
        while True:
            try:
                outlet.send(memoryview(data))
                break
            except BlockingIOError:
                refused += 1
                found += self.read()
        self.assertTrue(data == found + self.read())
        self.assertGreater(refused, 0)
        outlet.send(memoryview(b"last"))
        self.assertEqual(b"last", self.read())

    def test_came_before(self) -> None:
        """What had come and was not read, half a record too, is read afterwards."""
        self.client.send(b"read before" * 2000)
        sealed = self.client.bio_read(2**20)
        self.server.bio_write(sealed[:20_000])
        begun = self.server.recv(5)
        outlet = self.outlet()
        outlet.send(memoryview(b"answer"))
        outlet.end()
        self.server.bio_write(sealed[20_000:])
        room = bytearray(2**20)
        size, _ = read_all(self.server, room)
        self.assertEqual(b"read before" * 2000, begun + bytes(room[:size]))
        self.assertEqual(b"answer", self.read())

    def test_gone(self) -> None:
        """A client that has gone breaks the socket; other connections of this thread do not hear of it."""
        outlet = self.outlet()
        self.theirs.close()
        self.assertRaises(BrokenPipeError, outlet.send, memoryview(b"for nobody"))
        self.client, self.server = connected(self.version)
        self.ours, self.theirs = socket.socketpair()
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)
        self.theirs.setblocking(False)
        self.outlet().send(memoryview(b"for somebody"))
        self.assertEqual(b"for somebody", self.read())
        self.assertRaises(SSL.WantReadError, self.client.recv, 1)

    def test_ended(self) -> None:
        """Who has said that nothing more comes can not send, and is told so as ever."""
        self.server.shutdown()
        self.assertRaises(SSL.Error, self.outlet().send, memoryview(b"more"))
        _, self.server = connected(self.version)
        self.outlet().send(memoryview(b"something"))

    def test_forgotten(self) -> None:
        """A connection that is let go of in the middle leaves the socket as it is."""
        outlet = self.outlet()
        with contextlib.suppress(BlockingIOError):
            outlet.send(memoryview(bytes(2**20)))
        del outlet
        self.server = self.client
        gc.collect()
        self.assertTrue(self.theirs.recv(100))
        self.ours.getpeername()


class OlderOutletTests(OutletTests):
    """The same with TLS 1.2."""

    version = SSL.TLS1_2_VERSION


class PublicOutletTests(OutletTests):
    """The same in the way that keeps to what is public."""

    make = staticmethod(PublicOutlet)
