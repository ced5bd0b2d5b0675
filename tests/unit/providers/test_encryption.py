"""Tests of :mod:`dockreg.providers.encryption`; those over sockets are in ``tests/integration/test_encryption.py``."""

import contextlib
import socket
from pathlib import Path
from typing import Any, cast

from OpenSSL import SSL
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dockreg.callables import InThread
from dockreg.interfaces_transports import ISealedTransport
from dockreg.providers.encryption import PIECE_BYTES, EncryptedConnection, Encryption
from dockreg.providers.openssl import RECORD_BYTES
from dockreg.providers.tls import ServerTLS, TLSFiles
from tests.pairs import authority, issued


class Pieces(StringTransport):
    """Remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.aborted = False
        # What it stands on, if it does.
        self.transport: object | None = None
        self.number = -1

    def fileno(self) -> int:
        return self.number

    def abortConnection(self) -> None:
        self.aborted = True

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def taken(self) -> list[bytes]:
        """What was written since."""
        pieces, self.pieces = self.pieces, []
        return pieces


class Behind(Protocol):
    """Remembers what it got."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        self.received.append(data)


class EncryptionCase(SynchronousTestCase):
    """A connection, and its client in memory."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        path = issued(authority(), "server").write(folder, "server")
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.tls = ServerTLS(TLSFiles(path, path), cast("InThread", maybeDeferred), self.clock)
        self.successResultOf(Deferred.fromCoroutine(self.tls.load()))
        self.behind = Behind()
        factory = Factory[Any].forProtocol(lambda: self.behind)
        self.connection = cast("EncryptedConnection", self.tls.around(factory).buildProtocol(None))
        self.transport = Pieces()
        self.connection.makeConnection(self.transport)
        self.client = self.make_client()
        self.handshake()

    def make_client(self) -> SSL.Connection:
        """A client."""
        client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        client.set_connect_state()
        return client

    def handshake(self) -> None:
        """Connect."""
        for _ in range(3):
            with contextlib.suppress(SSL.WantReadError):
                self.client.do_handshake()
            self.from_client()
            for piece in self.transport.taken():
                self.client.bio_write(piece)

    def from_client(self) -> None:
        """Bring all that the client has sent."""
        sent = self.outgoing()
        if sent:
            self.connection.dataReceived(sent)

    def outgoing(self) -> bytes:
        """All that the client has to send."""
        sent = b""
        while True:
            try:
                sent += self.client.bio_read(2**20)
            except SSL.WantReadError:
                return sent

    def read(self, sealed: bytes) -> bytes:
        """What the client makes of bytes."""
        self.client.bio_write(sealed)
        data = b""
        while True:
            try:
                data += self.client.recv(2**20)
            except SSL.WantReadError:
                return data

    @property
    def encryption(self) -> Encryption:
        """That of the server."""
        found = self.connection.getHandle()
        assert isinstance(found, Encryption)
        return found


class ConnectionTests(EncryptionCase):
    """:class:`dockreg.providers.encryption.EncryptedConnection`."""

    def test_interface(self) -> None:
        """It can be lent."""
        self.assertIsInstance(self.connection, EncryptedConnection)
        verifyObject(ISealedTransport, self.connection)

    def test_records_together(self) -> None:
        """All that came at once goes on in one piece; what came with the end of the connection as well."""
        self.client.sendall(b"a" * RECORD_BYTES * 3)
        self.client.sendall(b"b")
        self.from_client()
        self.assertEqual([b"a" * RECORD_BYTES * 3 + b"b"], self.behind.received)
        self.client.send(b"c")
        self.client.shutdown()
        self.from_client()
        self.assertEqual(b"c", self.behind.received[-1])
        self.assertTrue(self.transport.disconnecting)

    def test_halves(self) -> None:
        """A record that has come in halves is read once it is whole."""
        self.client.send(b"one")
        first = self.outgoing()
        self.client.send(b"two")
        sent = first + self.outgoing()
        for piece in (sent[: len(first) + 3], sent[len(first) + 3 :]):
            self.connection.dataReceived(piece)
        self.assertEqual([b"one", b"two"], self.behind.received)

    def test_damage(self) -> None:
        """What can not be decrypted ends the connection, after what was sound before it."""
        self.client.send(b"sound")
        sound = self.outgoing()
        self.client.send(b"damaged")
        damaged = bytearray(self.outgoing())
        damaged[-1] ^= 1
        self.connection.dataReceived(sound + bytes(damaged))
        self.assertEqual([b"sound"], self.behind.received)
        self.assertTrue(self.transport.disconnecting)

    def test_large_writes(self) -> None:
        """Much is encrypted in large pieces. This fails when Twisted writes by another private method."""
        data = b"d" * (2 * PIECE_BYTES + 5)
        self.connection.write(data)
        pieces = self.transport.taken()
        self.assertEqual(3, len(pieces))
        self.assertEqual(data, self.read(b"".join(pieces)))

    def test_flush(self) -> None:
        """Small writes leave at once when they are told to. This fails when Twisted keeps them in another way."""
        self.connection.write(b"small")
        self.assertEqual([], self.transport.taken())
        self.connection.flush()
        (piece,) = self.transport.taken()
        self.assertEqual(b"small", self.read(piece))

    def test_cut(self) -> None:
        """A connection that is cut says nothing more: the alert of an orderly end would make what came before look whole."""
        self.connection.write(b"half of it")
        self.connection.flush()
        self.assertEqual(b"half of it", self.read(b"".join(self.transport.taken())))
        self.connection.abortConnection()
        self.assertEqual(([], True), (self.transport.taken(), self.transport.aborted))
        self.connection.connectionLost(connectionDone)
        self.connection.abortConnection()

    def test_orderly_end(self) -> None:
        """One that is closed tells the client that nothing is missing."""
        self.connection.loseConnection()
        self.assertRaises(SSL.ZeroReturnError, self.read, b"".join(self.transport.taken()))

    def test_write_after_the_end(self) -> None:
        """Nothing is sent once the client has ended the connection, large or small."""
        self.client.shutdown()
        self.from_client()
        self.transport.taken()
        self.connection.write(b"d" * PIECE_BYTES)
        self.assertEqual([], self.transport.taken())


class EarlyLoanTests(EncryptionCase):
    """Encryption that is lent while something is being received."""

    def test_rest(self) -> None:
        """What was not decrypted yet is when the loan ends, though nothing else comes; so is an end that was seen."""
        data = bytes(range(250)) * 4000
        self.client.sendall(data)
        self.client.shutdown()

        def receive(piece: bytes) -> None:
            if not self.behind.received:
                ours, theirs = socket.socketpair()
                self.addCleanup(ours.close)
                self.addCleanup(theirs.close)
                self.connection.lend(ours.fileno())
            self.behind.received.append(piece)

        self.patch(self.behind, "dataReceived", receive)
        self.from_client()
        self.assertEqual((1, False), (len(self.behind.received), self.transport.disconnecting))
        self.connection.take_back()
        self.assertTrue(data == b"".join(self.behind.received))
        self.assertTrue(self.transport.disconnecting)


class LoanTests(EncryptionCase):
    """Encryption that is lent."""

    def setUp(self) -> None:
        super().setUp()
        self.ours, self.theirs = socket.socketpair()
        for each in (self.ours, self.theirs):
            self.addCleanup(each.close)
            each.setblocking(False)
        self.send = self.connection.lend(self.ours.fileno())

    def sent(self) -> bytes:
        """What the client reads of what was sent."""
        return self.read(self.theirs.recv(2**20))

    def test_sends(self) -> None:
        """What is encrypted meanwhile is what the client reads, and all goes on afterwards."""
        self.send(memoryview(b"e" * 100_000))
        self.assertEqual(b"e" * 100_000, self.sent())
        self.connection.take_back()
        self.connection.write(b"f" * 100_000)
        self.assertEqual(b"f" * 100_000, self.read(b"".join(self.transport.taken())))

    def test_what_comes(self) -> None:
        """What the client sends meanwhile waits, and no more is read than once."""
        self.client.send(b"one")
        self.from_client()
        self.assertEqual(([], "paused"), (self.behind.received, self.transport.producerState))
        self.connection.resumeProducing()
        self.assertEqual("paused", self.transport.producerState)
        self.client.send(b"two")
        self.from_client()
        self.connection.take_back()
        self.assertEqual(([b"onetwo"], "producing"), (self.behind.received, self.transport.producerState))

    def test_unwanted(self) -> None:
        """Who does not want to read is not made to by the end of a loan."""
        self.client.send(b"one")
        self.from_client()
        self.connection.pauseProducing()
        self.connection.take_back()
        self.assertEqual("paused", self.transport.producerState)
        self.connection.resumeProducing()
        self.assertEqual("producing", self.transport.producerState)

    def test_untouched(self) -> None:
        """Whatever is asked of it, nothing but the borrower touches it."""
        encryption = self.encryption
        for touch in (
            lambda: encryption.recv(10),
            lambda: encryption.bio_read(10),
            lambda: encryption.send(b"x"),
            encryption.shutdown,
        ):
            self.assertRaises(SSL.WantReadError, touch)
        encryption.bio_shutdown()
        self.send(memoryview(b"sealed"))
        self.assertEqual(b"sealed", self.sent())

    def test_abort(self) -> None:
        """A connection can be cut, and lost, while it is lent; nothing is written and taking it back does nothing."""
        self.connection.loseConnection()
        self.connection.abortConnection()
        self.assertEqual(([], True), (self.transport.taken(), self.transport.aborted))
        self.connection.connectionLost(connectionDone)
        self.connection.take_back()
        self.send(memoryview(b"for nobody"))
