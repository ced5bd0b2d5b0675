"""Key updates while OpenSSL reads from the socket itself."""

import _ssl
import contextlib
import ctypes
import socket

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from dockreg.providers.openssl import PublicIntake, new_intake
from tests.unit.providers.test_openssl import server_context


class KeyUpdateTests(SynchronousTestCase):
    """A client that wants other keys for both directions (RFC 8446 4.6.3), and that reads nothing."""

    def setUp(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        for each in (self.ours, self.theirs):
            self.addCleanup(each.close)
            each.setblocking(False)
        self.server = SSL.Connection(server_context(), None)
        self.server.set_accept_state()
        # pyOpenSSL can not ask for that, while what the interpreter has for its own module can.
        self.library = ctypes.CDLL(_ssl.__file__)
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
            getattr(self.library, name).restype = ctypes.c_void_p
        context = self.library.SSL_CTX_new(ctypes.c_void_p(self.library.TLS_client_method()))
        self.addCleanup(self.library.SSL_CTX_free, ctypes.c_void_p(context))
        self.client = ctypes.c_void_p(self.library.SSL_new(ctypes.c_void_p(context)))
        self.addCleanup(self.library.SSL_free, self.client)
        self.library.SSL_set_fd(self.client, self.theirs.fileno())
        self.library.SSL_set_connect_state(self.client)
        for _ in range(3):
            self.library.SSL_do_handshake(self.client)
            with contextlib.suppress(SSL.WantReadError, BlockingIOError):
                self.server.bio_write(self.ours.recv(2**20))
                self.server.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                self.ours.sendall(self.server.bio_read(2**20))
        # Tickets, if there are any.
        self.assertEqual(b"", self.heard())

    def say(self, data: bytes, *, asking: bool) -> None:
        """The client sends this. :param asking: it asks for other keys before."""
        if asking:
            self.assertEqual(1, self.library.SSL_key_update(self.client, 1))
            self.assertEqual(1, self.library.SSL_do_handshake(self.client))
        self.assertEqual(len(data), self.library.SSL_write(self.client, data, len(data)))

    def heard(self) -> bytes:
        """What the client reads."""
        room = ctypes.create_string_buffer(1000)
        size = self.library.SSL_read(self.client, room, len(room))
        return room.raw[: max(0, size)]

    def test_no_room(self) -> None:
        """While the answer finds no room nothing more is read, nothing is wrong, and later the connection goes on where it was."""
        for make in (new_intake, PublicIntake):
            self.say(b"first", asking=False)
            intake = make(self.server)
            room = memoryview(bytearray(100))
            self.assertEqual(5, intake.fill(self.ours.fileno(), room[:5])[0])
            for size in (4096, 1):
                with contextlib.suppress(BlockingIOError):
                    while True:
                        self.ours.send(bytes(size))
            # OpenSSL says the first answer with what it sends next, which is the second one.
            self.say(b"second", asking=True)
            self.say(b" third", asking=True)
            came = b""
            # A few attempts are as good as many: nothing has been read meanwhile.
            for _ in range(3):
                with contextlib.suppress(BlockingIOError):
                    size, said = intake.fill(self.ours.fileno(), room)
                    came += bytes(room[:size])
                    self.assertTrue(said is None or isinstance(said, SSL.WantReadError), repr(said))
            intake.end()
            with contextlib.suppress(BlockingIOError):
                self.server.bio_write(self.ours.recv(2**20))
            with contextlib.suppress(SSL.WantReadError):
                while True:
                    came += self.server.recv(100)
            self.assertEqual(b"second third", came)
            with contextlib.suppress(BlockingIOError):
                while True:
                    self.assertEqual(set(bytes(1)), set(self.theirs.recv(2**20)))
            self.server.send(b"answer")
            self.ours.sendall(self.server.bio_read(2**20))
            self.assertEqual(b"answer", self.heard())
