"""Tests of :mod:`dockreg.providers.openssl`."""

import contextlib
from unittest import mock

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from dockreg.providers import openssl
from dockreg.providers.openssl import RECORD_BYTES, read_all, read_all_publicly, take_sealed, take_sealed_publicly
from tests.pairs import authority, issued


def connected() -> tuple[SSL.Connection, SSL.Connection]:
    """A client and a server that know each other, in memory."""
    pair = issued(authority(), "server")
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(pair.certificate)
    context.use_privatekey(pair.owner.key)
    context.set_options(SSL.OP_NO_TICKET)
    server = SSL.Connection(context, None)
    server.set_accept_state()
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
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

    def test_otherwise(self) -> None:
        """Where it can not be asked, the public way is all there is."""
        for name in ("_lib", "_ffi"):
            with mock.patch.object(SSL, name, None):
                self.assertIsNone(openssl._find())

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
