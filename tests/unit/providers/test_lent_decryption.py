"""Tests of decryption that is lent (:mod:`dockreg.providers.encryption`)."""

import socket

from OpenSSL import SSL
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import connectionDone
from zope.interface import alsoProvides

from dockreg.interfaces_transports import Receive
from tests.unit.providers import test_encryption


class ReceivingTests(test_encryption.EncryptionCase):
    """Decryption that is lent."""

    def setUp(self) -> None:
        super().setUp()
        self.ours, self.theirs = socket.socketpair()
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)
        for each in (self.ours, self.theirs):
            each.setblocking(False)
        self.room = memoryview(bytearray(100_000))
        alsoProvides(self.transport, ITCPTransport)
        self.transport.number = self.ours.fileno()

    def lend(self) -> Receive:
        """The loan."""
        self.assertEqual(self.ours.fileno(), self.connection.receiving_descriptor())
        return self.connection.lend_receiving()

    def send(self) -> None:
        """Send what the client has to send through the socket."""
        self.theirs.sendall(self.outgoing())

    def test_receives(self) -> None:
        """What comes is put where it is wanted, as much as there is room for, and what is left comes when the loan ends."""
        data = bytes(range(250)) * 600
        self.client.sendall(data)
        receive = self.lend()
        self.send()
        size = receive(self.ours.fileno(), self.room)
        self.assertEqual(len(self.room), size)
        self.assertTrue(data[:size] == self.room)
        self.connection.take_back()
        self.connection.dataReceived(self.ours.recv(2**20))
        self.assertTrue(data[size:] == b"".join(self.behind.received))
        self.client.send(b"later")
        self.from_client()
        self.assertEqual(b"later", self.behind.received[-1])

    def test_came_before(self) -> None:
        """What had come before comes first, half a record too; what nobody has taken goes before what is left."""
        self.client.send(b"one")
        first = self.outgoing()
        self.connection.dataReceived(first[:10])
        receive = self.lend()
        self.client.send(b"two")
        self.theirs.sendall(first[10:] + self.outgoing())
        self.assertEqual(2, receive(self.ours.fileno(), self.room[:2]))
        self.connection.take_back(b"on")
        self.connection.dataReceived(self.ours.recv(1000))
        self.assertEqual([b"on", b"e", b"two"], self.behind.received)

    def test_nothing(self) -> None:
        """When nothing has come that is said, as a socket says it; and so is that all has come."""
        receive = self.lend()
        self.assertRaises(BlockingIOError, receive, self.ours.fileno(), self.room)
        self.client.send(b"all")
        self.send()
        self.theirs.close()
        self.assertEqual(3, receive(self.ours.fileno(), self.room))
        self.assertEqual(0, receive(self.ours.fileno(), self.room))

    def test_orderly_end(self) -> None:
        """An end that the client announces is for the reactor; so is what is damaged."""
        self.client.send(b"all")
        self.client.shutdown()
        self.send()
        receive = self.lend()
        self.assertEqual(3, receive(self.ours.fileno(), self.room))
        self.assertEqual(0, receive(self.ours.fileno(), self.room))
        self.assertFalse(self.transport.disconnecting)
        self.connection.take_back()
        self.assertTrue(self.transport.disconnecting)

    def test_damage(self) -> None:
        """What was sound before something that is not counts; the connection ends when the loan does."""
        self.client.send(b"sound")
        sound = self.outgoing()
        self.client.send(b"damaged")
        damaged = bytearray(self.outgoing())
        damaged[-1] ^= 1
        self.theirs.sendall(sound + damaged)
        receive = self.lend()
        self.assertEqual(5, receive(self.ours.fileno(), self.room))
        self.assertEqual(b"sound", bytes(self.room[:5]))
        self.assertEqual(0, receive(self.ours.fileno(), self.room))
        self.connection.take_back(b"sound")
        self.assertEqual(([b"sound"], True), (self.behind.received, self.transport.disconnecting))

    def test_writes_wait(self) -> None:
        """What is written meanwhile is sent when the loan ends, and so is the end of the connection behind it."""
        self.lend()
        self.connection.write(b"an answer")
        self.connection.flush()
        self.connection.loseConnection()
        self.assertEqual([], self.transport.taken())
        self.connection.take_back()
        self.assertEqual(b"an answer", self.read(self.transport.pieces[0]))
        self.assertRaises(SSL.ZeroReturnError, self.read, b"".join(self.transport.taken()[1:]))

    def test_lent_again(self) -> None:
        """Whoever gets what nobody has taken may lend at once."""
        receive = self.lend()
        self.client.send(b"first and more")
        self.send()
        self.assertEqual(5, receive(self.ours.fileno(), self.room[:5]))

        def take(_: bytes) -> None:
            self.lend()

        self.patch(self.behind, "dataReceived", take)
        self.connection.take_back(b"first")
        self.assertTrue(self.encryption.lent)
        self.assertEqual(9, receive(self.ours.fileno(), self.room[:9]))
        self.assertEqual(b" and more", bytes(self.room[:9]))

    def test_abort(self) -> None:
        """A connection can be cut and lost meanwhile; nothing is said to the client."""
        receive = self.lend()
        self.connection.abortConnection()
        self.connection.connectionLost(connectionDone)
        self.assertEqual([], self.transport.taken())
        self.assertRaises(BlockingIOError, receive, self.ours.fileno(), self.room)
        self.connection.take_back()

    def test_not_lent(self) -> None:
        """Nothing is lent twice, of a connection that is cut or lost, or of one with something before its socket."""
        self.lend()
        self.assertIsNone(self.connection.receiving_descriptor())
        self.connection.take_back()
        self.transport.transport = object()
        self.assertIsNone(self.connection.receiving_descriptor())
        self.transport.transport, self.transport.number = None, -1
        self.assertIsNone(self.connection.receiving_descriptor())
        self.transport.number = self.ours.fileno()
        self.connection.abortConnection()
        self.assertIsNone(self.connection.receiving_descriptor())
