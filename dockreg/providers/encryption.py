"""
TLS connections that encrypt and decrypt many records at a time, and let a thread do it.

Twisted moves one record of 16 KiB at a time, which costs more than the encryption itself. Here all that one read has
brought goes on in one piece, large writes are encrypted in large pieces, the response of a large blob is encrypted by the
thread that reads its file, and most of a large body decrypted by the one that digests it. Keys, handshakes, alerts and the end of connections stay Twisted's business.
"""

from contextlib import suppress
from typing import Any, cast

from OpenSSL import SSL
from twisted.internet.interfaces import ITCPTransport
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import BufferingTLSTransport
from zope.interface import implementer

from dockreg.interfaces_transports import ISealedTransport, Receive, SendSealed
from dockreg.providers.openssl import RECORD_BYTES, Intake, Outlet, new_intake, new_outlet, read_all, take_sealed

#: What is encrypted at once by the thread of the reactor.
PIECE_BYTES = 256 * 1024
#: More than what encryption adds to a record (RFC 8446 5.2), and than what else may wait to be sent: alerts, tickets.
_ADDED_BYTES = 512
_OTHER_BYTES = 16 * 1024
#: ``SSL_MODE_ENABLE_PARTIAL_WRITE`` of SSL_CTX_set_mode(3), for which pyOpenSSL has no name. It sets it.
_PARTIAL_WRITES = 0x1
#: Where the one thread of the reactor encrypts and decrypts to. As objects of their own records would make the memory of the
#: process grow and shrink with each read.
_SCRATCH = bytearray((512 + 32) * 1024)


def prepare(context: SSL.Context) -> None:
    """Let connections of ``context`` encrypt all that they are given, rather than the first record of it."""
    context.clear_mode(_PARTIAL_WRITES)


class Encryption(SSL.Connection):
    """
    The state of a connection's TLS, in memory.

    While it is lent only whoever sends or receives touches it, for it must not be used by two threads at once. For everybody else it
    looks as if the client had sent nothing yet.
    """

    lent = False
    #: Whether the connection is being cut, when the client must not be told that it ended as it should.
    cut = False
    _held: list[bytes]
    # What receives, or sends, for the one to whom it is lent.
    _intake: Intake | None = None
    _outlet: Outlet | None = None
    # What was said when there was nothing more to read; Twisted asks again at once.
    _ended: SSL.Error | None = None

    def __init__(self, context: SSL.Context) -> None:
        super().__init__(context, None)
        self._held = []

    def recv(self, bufsiz: int, flags: int | None = None) -> bytes:
        """All that has come and can be decrypted, however much ``bufsiz`` says."""
        if self.lent:
            raise SSL.WantReadError
        ended, self._ended = self._ended, None
        if ended is None:
            size, ended = read_all(self, _SCRATCH)
            if size:
                self._ended = ended
                with memoryview(_SCRATCH) as scratch:
                    return bytes(scratch[:size])
        assert ended is not None
        try:
            raise ended
        finally:
            # Else it and this call would keep each other until a garbage collection.
            del ended

    def bio_write(self, buf: Any) -> int:
        """Take what has come from the client."""
        if self.lent:
            self._held.append(bytes(buf))
            return len(buf)
        if not buf:
            return 0
        if isinstance(self._ended, SSL.WantReadError):
            self._ended = None
        return super().bio_write(buf)

    def bio_read(self, bufsiz: int) -> bytes:
        """What is to be sent to the client."""
        if self.lent:
            raise SSL.WantReadError
        return super().bio_read(bufsiz)

    def send(self, buf: Any, flags: int = 0) -> int:
        """Encrypt."""
        if self.lent:
            raise SSL.WantReadError
        return super().send(buf, flags)

    def shutdown(self) -> bool:
        """Tell the client that nothing more comes."""
        if self.lent or self.cut:
            raise SSL.WantReadError
        return super().shutdown()

    def bio_shutdown(self) -> None:
        """Nothing more comes from the client."""
        if not self.lent:
            super().bio_shutdown()

    def seal(self, data: bytes | memoryview) -> memoryview:
        """Encrypt ``data`` in the thread of the reactor; returns all that is to be sent, until the next call."""
        super().send(data)
        room = _SCRATCH
        needed = len(data) + (len(data) // RECORD_BYTES + 1) * _ADDED_BYTES + _OTHER_BYTES
        if len(room) < needed:
            room = bytearray(needed)
        size = take_sealed(self, room)
        while size == len(room):
            room = room + bytes(size)
            size += take_sealed(self, memoryview(room)[size:])
        return memoryview(room)[:size]

    def receive(self, connection: int, room: memoryview) -> int:
        """See :data:`.Receive`. The interpreter is free meanwhile."""
        if self._intake is None or not (self._ended is None or isinstance(self._ended, SSL.WantReadError)):
            return 0
        size, self._ended = self._intake.fill(connection, room)
        return size

    def lend_receiving(self) -> Receive:
        """Only :meth:`receive` touches it from now on."""
        self.lent = True
        self._intake = new_intake(self)
        return self.receive

    def lend_sending(self, descriptor: int) -> SendSealed:
        """Nothing else touches it from now on."""
        self.lent = True
        self._outlet = new_outlet(self, descriptor)
        return self._outlet.send

    def returned(self) -> bytes:
        """It is lent no more. Returns what has come meanwhile, to be given to :meth:`bio_write`."""
        self.lent = False
        for each in (self._intake, self._outlet):
            if each is not None:
                each.end()
        self._intake = self._outlet = None
        held, self._held = self._held, []
        return b"".join(held)


@implementer(ISealedTransport)
class EncryptedConnection(BufferingTLSTransport):
    """
    A connection with TLS around it.

    ``_write`` and ``_aggregator`` are the only private names of Twisted here; a test fails when they mean something else.
    """

    # Twisted declares an optional transport, of no kind in particular.
    transport: Any
    # Whether reading waits for the end of a loan, and whether whoever is behind wants to read.
    _holding = False
    _wanted = True

    def flush(self) -> None:
        """See :meth:`ISealedTransport.flush`."""
        self._aggregator.flush()

    def lend(self, descriptor: int) -> SendSealed:
        """See :meth:`ISealedTransport.lend`."""
        encryption: Encryption = self.getHandle()
        return encryption.lend_sending(descriptor)

    def receiving_descriptor(self) -> int | None:
        """See :meth:`ISealedTransport.receiving_descriptor`."""
        encryption: Encryption = self.getHandle()
        # Something between TLS and its socket may keep what has come.
        is_lowest = ITCPTransport.providedBy(self.transport) and getattr(self.transport, "transport", None) is None
        if encryption.lent or encryption.cut or not is_lowest:
            return None
        descriptor: int = cast("Any", self.transport).fileno()
        return None if descriptor < 0 else descriptor

    def lend_receiving(self) -> Receive:
        """See :meth:`ISealedTransport.lend_receiving`."""
        encryption: Encryption = self.getHandle()
        return encryption.lend_receiving()

    def take_back(self, first: bytes = b"") -> None:
        """See :meth:`ISealedTransport.take_back`."""
        encryption: Encryption | None = self.getHandle()
        if encryption is None or not encryption.lent:
            # The connection is gone.
            return
        came = encryption.returned()
        if self._holding:
            self._holding = False
            if self._wanted:
                self.transport.resumeProducing()
        if first:
            ProtocolWrapper.dataReceived(self, first)
        # Even if nothing came meanwhile: some of what came before may wait to be decrypted.
        super().dataReceived(came)

    def abortConnection(self) -> None:
        """
        Cut the connection.

        Twisted relies on the transport below to drop the alert that says that all was sent (RFC 8446 6.1). One that sends at
        once does not.
        """
        encryption: Encryption | None = self.getHandle()
        if encryption is not None:
            encryption.cut = True
            super().abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Something has come from the client. While encryption is lent that is kept, and nothing more is read."""
        encryption: Encryption = self.getHandle()
        if encryption.lent and not self._holding:
            self._holding = True
            self.transport.pauseProducing()
        super().dataReceived(data)

    def pauseProducing(self) -> None:
        """Read no more."""
        self._wanted = False
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again."""
        self._wanted = True
        if not self._holding:
            self.transport.resumeProducing()

    def _write(self, data: bytes) -> None:
        """Encrypt and send: many records at once, where the parent takes them one by one."""
        encryption: Encryption | None = self.getHandle()
        done = 0
        if len(data) > RECORD_BYTES and encryption is not None and not encryption.lent:
            view = memoryview(data)
            # When it fails the handshake goes on, or the connection has ended: the parent finds out which.
            with suppress(SSL.Error):
                while done < len(data):
                    self.transport.write(bytes(encryption.seal(view[done : done + PIECE_BYTES])))
                    done += PIECE_BYTES
        if done < len(data):
            super()._write(data[done:] if done else data)
