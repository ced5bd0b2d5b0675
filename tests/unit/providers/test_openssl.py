"""Tests of :mod:`dockreg.providers.openssl`."""

import contextlib
import errno
import select
import socket
import struct
from unittest import mock

from attrs import evolve
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from dockreg.providers import openssl
from dockreg.providers.encryption import prepare
from dockreg.providers.openssl import (
    RECORD_BYTES,
    DirectIntake,
    Intake,
    MakeIntake,
    PublicIntake,
    PublicOutlet,
    new_intake,
    new_outlet,
    read_all,
    read_all_publicly,
    take_sealed,
    take_sealed_publicly,
)
from tests.pairs import authority, issued


def server_context() -> SSL.Context:
    """What a server has."""
    pair = issued(authority(), "server")
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(pair.certificate)
    context.use_privatekey(pair.owner.key)
    context.set_options(SSL.OP_NO_TICKET)
    prepare(context)
    return context


def connected(version: int = SSL.TLS1_3_VERSION) -> tuple[SSL.Connection, SSL.Connection]:
    """A client and a server that know each other, in memory."""
    context = server_context()
    context.set_max_proto_version(version)
    server = SSL.Connection(context, None)
    server.set_accept_state()
    own = SSL.Context(SSL.TLS_CLIENT_METHOD)
    prepare(own)
    client = SSL.Connection(own, None)
    client.set_connect_state()
    for _ in range(3):
        for one, other in ((client, server), (server, client)):
            with contextlib.suppress(SSL.WantReadError):
                one.do_handshake()
            bring(one, other)
    return client, server


def bring(one: SSL.Connection, other: SSL.Connection) -> None:
    """Bring what the one has sent to the other."""
    with contextlib.suppress(SSL.WantReadError):
        while True:
            other.bio_write(one.bio_read(2**20))


class ReadingTests(SynchronousTestCase):
    """Both ways to read, beside each other."""

    def test_direct(self) -> None:
        """OpenSSL is asked itself. This fails when pyOpenSSL calls it in another way; all goes on then, more slowly."""
        self.assertTrue(openssl.DIRECT)
        self.assertIsNot(read_all_publicly, read_all)
        self.assertIsNot(take_sealed_publicly, take_sealed)
        self.assertIsNot(PublicIntake, new_intake)
        self.assertIsNot(PublicOutlet, new_outlet)

    def test_otherwise(self) -> None:
        """Where it can not be asked, the public way is all there is."""
        for name in ("_lib", "_ffi"):
            with mock.patch.object(SSL, name, None):
                self.assertIsNone(openssl._find())
                self.assertIsNone(openssl._find_functions())

    def test_agree(self) -> None:
        """Both give what came, then what comes when there is room for it again, and say the same at the end."""
        data = bytes(range(251)) * 400
        for read in (read_all, read_all_publicly):
            client, server = connected()
            client.sendall(data)
            bring(client, server)
            buffer = bytearray(3 * RECORD_BYTES)
            size, said = read(server, buffer)
            self.assertEqual((3 * RECORD_BYTES, None), (size, said))
            self.assertTrue(buffer == data[:size])
            client.send(b"last")
            client.shutdown()
            bring(client, server)
            wide = bytearray(10 * RECORD_BYTES)
            more, said = read(server, wide)
            self.assertTrue(bytes(wide[:more]) == data[size:] + b"last")
            self.assertIsInstance(said, SSL.ZeroReturnError)

    def test_nothing(self) -> None:
        """Without anything to read both say so, and leave the buffer alone and free."""
        for read in (read_all, read_all_publicly):
            _, server = connected()
            buffer = bytearray(RECORD_BYTES)
            size, said = read(server, buffer)
            self.assertEqual((0, bytes(RECORD_BYTES)), (size, bytes(buffer)))
            self.assertIsInstance(said, SSL.WantReadError)
            buffer.clear()

    def test_damaged(self) -> None:
        """What was sound is given, and what comes of the rest is told in the same words."""
        told = []
        for read in (read_all, read_all_publicly):
            client, server = connected()
            client.send(b"sound")
            bring(client, server)
            client.send(b"damaged")
            damaged = bytearray(client.bio_read(2**20))
            damaged[-1] ^= 1
            server.bio_write(bytes(damaged))
            buffer = bytearray(2 * RECORD_BYTES)
            size, said = read(server, buffer)
            self.assertEqual(b"sound", bytes(buffer[:size]))
            assert said is not None
            told.append((type(said), said.args))
        self.assertEqual(told[0], told[1])
        self.assertIs(SSL.Error, told[0][0])

    def test_sealed(self) -> None:
        """Both take what is to be sent, as much as there is room for, until there is nothing."""
        for take in (take_sealed, take_sealed_publicly):
            client, server = connected()
            server.send(b"s" * 1000)
            buffer = bytearray(600)
            for size in (600, 1000 + 22 - 600, 0):
                self.assertEqual(size, take(server, buffer))
                if size:
                    client.bio_write(bytes(buffer[:size]))
            self.assertEqual(b"s" * 1000, client.recv(2000))
            buffer.clear()


class ConnectedTestCase(SynchronousTestCase):
    """Two ends of a connection, and of a pair of sockets."""

    version = SSL.TLS1_3_VERSION

    def setUp(self) -> None:
        """Connect them."""
        self.client, self.server = connected(self.version)
        self.ours, self.theirs = socket.socketpair()
        for each in (self.ours, self.theirs):
            self.addCleanup(each.close)
            each.setblocking(False)


class IntakeTests(ConnectedTestCase):
    """What receives for a connection."""

    make: MakeIntake = staticmethod(new_intake)

    def intake(self) -> Intake:
        """One of the server."""
        return self.make(self.server)

    def sealed(self, data: bytes) -> bytes:
        """What the client sends for this."""
        self.client.sendall(data)
        return self.client.bio_read(2**20)

    def fill(self, intake: Intake, size: int) -> tuple[bytes, SSL.Error | None]:
        """What comes when there is so much room."""
        room = bytearray(size)
        came, said = intake.fill(self.ours.fileno(), memoryview(room))
        return bytes(room[:came]), said

    def test_fills(self) -> None:
        """Room is filled, however what comes is divided, and what is left comes next."""
        data = bytes(range(251)) * 500
        self.theirs.sendall(self.sealed(data))
        intake = self.intake()
        first, said = self.fill(intake, 100_000)
        self.assertEqual((100_000, None), (len(first), said))
        rest, said = self.fill(intake, 100_000)
        self.assertTrue(data == first + rest)
        self.assertIsInstance(said, SSL.WantReadError)
        self.assertRaises(BlockingIOError, self.fill, intake, 100)

    def test_handed_over(self) -> None:
        """What the connection has goes first, half a record too; what is left at the end is the connection's again."""
        data = bytes(range(251)) * 300
        sealed = self.sealed(data)
        self.server.bio_write(sealed[:20_000])
        begun = self.server.recv(10_000)
        self.theirs.sendall(sealed[20_000:-5])
        intake = self.intake()
        middle, _ = self.fill(intake, 35_000)
        intake.end()
        left = b""
        with contextlib.suppress(BlockingIOError):
            left = self.ours.recv(2**20)
        self.server.bio_write(left + sealed[-5:])
        room = bytearray(len(data))
        size, said = read_all(self.server, room)
        self.assertTrue(data == begun + middle + bytes(room[:size]))
        self.assertIsInstance(said, SSL.WantReadError)
        self.client.bio_write(self.written(b"answer"))
        self.assertEqual(b"answer", self.client.recv(100))

    def written(self, data: bytes) -> bytes:
        """What the server sends for this."""
        self.server.send(data)
        return self.server.bio_read(2**20)

    def test_unused(self) -> None:
        """One that got nothing changes nothing, and one after the other may receive."""
        self.intake().end()
        self.server.bio_write(self.sealed(b"one"))
        self.assertEqual(b"one", self.server.recv(10))
        for each in (b"two", b"three"):
            self.theirs.sendall(self.sealed(each))
            intake = self.intake()
            self.assertEqual(each, self.fill(intake, len(each))[0])
            intake.end()
            intake.end()
        self.server.bio_write(self.sealed(b"four"))
        self.assertEqual(b"four", self.server.recv(10))

    def test_answer_waits(self) -> None:
        """What is to be sent still is, in order, when the connection has its memories again."""
        self.server.bio_write(self.sealed(b"before"))
        self.server.send(b"first ")
        self.theirs.sendall(self.sealed(b"later"))
        intake = self.intake()
        found, _ = self.fill(intake, 100)
        intake.end()
        with contextlib.suppress(BlockingIOError):
            self.server.bio_write(self.ours.recv(2**20))
        with contextlib.suppress(SSL.WantReadError):
            found += self.server.recv(100)
        self.assertEqual(b"beforelater", found)
        self.client.bio_write(self.server.bio_read(2**20))
        self.client.bio_write(self.written(b"second"))
        self.assertEqual(b"first second", self.client.recv(100) + self.client.recv(100))

    def test_ends(self) -> None:
        """The end of the socket is told, after what came before it, and can be told from an announced one."""
        self.theirs.sendall(self.sealed(b"all"))
        self.theirs.close()
        came, said = self.fill(self.intake(), 100)
        self.assertEqual(b"all", came)
        assert isinstance(said, SSL.SysCallError)
        self.assertEqual((-1, "Unexpected EOF"), said.args)

    def test_orderly_end(self) -> None:
        """An end that the client announces is told after what came before it, and again afterwards."""
        sealed = self.sealed(b"all")
        self.client.shutdown()
        self.theirs.sendall(sealed + self.client.bio_read(2**20))
        intake = self.intake()
        came, said = self.fill(intake, 100)
        self.assertEqual(b"all", came)
        self.assertIsInstance(said, SSL.ZeroReturnError)
        intake.end()
        self.assertRaises(SSL.ZeroReturnError, self.server.recv, 10)

    def test_damage(self) -> None:
        """What was sound is given, and what is wrong with the rest told as ever."""
        sound, damaged = self.sealed(b"sound"), bytearray(self.sealed(b"damaged"))
        damaged[-1] ^= 1
        self.theirs.sendall(sound + damaged)
        came, said = self.fill(self.intake(), 100)
        self.assertEqual(b"sound", came)
        self.assertIs(SSL.Error, type(said))
        assert said is not None
        self.assertIn("bad record mac", str(said))

    def test_gone(self) -> None:
        """A socket that has broken says so, but what it gave before is not lost; other connections do not hear of it."""
        here = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(here.close)
        self.theirs = socket.create_connection(here.getsockname())
        self.addCleanup(self.theirs.close)
        self.ours, _ = here.accept()
        self.addCleanup(self.ours.close)
        self.ours.setblocking(False)
        self.theirs.sendall(self.sealed(b"before"))
        select.select([self.ours], [], [], 10)
        intake = self.intake()
        self.assertEqual(b"before", self.fill(intake, 6)[0])
        self.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.theirs.close()
        select.select([self.ours], [], [], 10)
        came, said = self.fill(intake, 100)
        self.assertEqual(b"", came)
        assert isinstance(said, SSL.SysCallError)
        self.assertEqual((errno.ECONNRESET, "ECONNRESET"), said.args)
        client, server = connected()
        client.send(b"another")
        bring(client, server)
        self.assertEqual(b"another", server.recv(100))
        self.assertRaises(SSL.WantReadError, server.recv, 100)


class OlderIntakeTests(IntakeTests):
    """The same with TLS 1.2."""

    version = SSL.TLS1_2_VERSION


class PublicIntakeTests(IntakeTests):
    """The same in the way that keeps to what is public."""

    make = staticmethod(PublicIntake)


class WithoutContentTests(SynchronousTestCase):
    """Whoever sends much that carries nothing does not hold up a thread for ever."""

    def setUp(self) -> None:
        _, self.server = connected()
        self.ours, self.theirs = socket.socketpair()
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)
        self.ours.setblocking(False)

    def fill(self, intake: Intake) -> tuple[int, SSL.Error | None]:
        """What comes."""
        return intake.fill(self.ours.fileno(), memoryview(bytearray(500)))

    def test_direct(self) -> None:
        """OpenSSL comes back after each record; one is passed over, and another one ends it."""
        functions = openssl._functions
        assert functions is not None
        answers = [-1, -1, 7, -1, 9, -1, -1]
        deaf = evolve(
            functions,
            SSL_read=lambda *_: answers.pop(0),
            SSL_get_error=lambda *_: functions.SSL_ERROR_WANT_READ,
        )
        intake = DirectIntake(deaf, self.server)
        size, said = self.fill(intake)
        self.assertEqual((16, []), (size, answers))
        self.assertIsInstance(said, SSL.WantReadError)
        answers += [-1, -1]
        self.assertRaises(BlockingIOError, self.fill, intake)

    def test_comes_back(self) -> None:
        """While a thread reads, OpenSSL does not go on by itself; afterwards it does."""
        functions = openssl._functions
        assert functions is not None
        state, flag = self.server._ssl, functions.SSL_MODE_AUTO_RETRY
        modes = [functions.SSL_set_mode(state, 0) & flag]
        intake = DirectIntake(functions, self.server)
        modes.append(functions.SSL_set_mode(state, 0) & flag)
        intake.end()
        modes.append(functions.SSL_set_mode(state, 0) & flag)
        self.assertEqual([flag, 0, flag], modes)

    def test_publicly(self) -> None:
        """Only so much is taken."""
        self.theirs.sendall(bytes(200_000))
        self.patch(openssl, "read_all_publicly", lambda *_: (0, SSL.WantReadError()))
        self.patch(openssl, "_RECEIVED_BYTES", 1000)
        came, said = self.fill(PublicIntake(self.server))
        self.assertEqual(0, came)
        self.assertIsInstance(said, SSL.WantReadError)
        self.assertGreater(len(self.ours.recv(200_000)), 50_000)
