"""How much is read from sockets at once."""

from types import SimpleNamespace

from twisted.internet.abstract import FileDescriptor
from twisted.trial.unittest import SynchronousTestCase

from dockreg.web.sockets import READ_BYTES, ReadSizes
from tests.unit.web.wire import ChannelCase, head, leave

KIBIBYTE = 1024
MIB = 1024 * KIBIBYTE


class ReadSizesTests(SynchronousTestCase):
    """Larger reads for large bodies."""

    def test_usual(self) -> None:
        """Without a large body as much is read as Twisted reads."""
        self.assertEqual(READ_BYTES, FileDescriptor.bufferSize)

    def test_alone(self) -> None:
        """One body is read in pieces of the most bytes, until it has come."""
        sizes, transport = ReadSizes(MIB), FileDescriptor()
        sizes.begin(transport, None)
        self.assertEqual(MIB, transport.bufferSize)
        sizes.end(transport)
        self.assertEqual(READ_BYTES, transport.bufferSize)

    def test_shared(self) -> None:
        """Many bodies have a share each, which is never less than usual; all together stay within a bound."""
        sizes = ReadSizes(MIB)
        transports = [FileDescriptor() for _ in range(200)]
        for each in transports:
            sizes.begin(each, MIB)
        found = [each.bufferSize for each in transports]
        self.assertEqual(sorted(found, reverse=True), found)
        self.assertEqual((MIB, READ_BYTES), (found[0], found[-1]))
        self.assertLess(sum(found), 32 * MIB)
        for each in transports:
            sizes.end(each)
        sizes.begin(transports[-1], MIB)
        self.assertEqual(MIB, transports[-1].bufferSize)

    def test_wrapped(self) -> None:
        """Over TLS it is the socket below whose reads are larger; what has no size of reads is left alone."""
        sizes, socket = ReadSizes(MIB), FileDescriptor()
        sizes.begin(SimpleNamespace(transport=socket), MIB)
        self.assertEqual(MIB, socket.bufferSize)
        other = SimpleNamespace()
        sizes.begin(other, MIB)
        self.assertEqual({}, vars(other))


class BodyReadTests(ChannelCase):
    """Which bodies are read so."""

    def test_larger_reads(self) -> None:
        """While a large body arrives reads are as large as the window; behind it, and for a small one, as ever."""
        channel, transport = self.serve(self.take)
        transport.bufferSize = READ_BYTES
        self.server.site.read_sizes = ReadSizes(100 * KIBIBYTE)
        channel.dataReceived(head("PUT /a", f"Content-Length: {READ_BYTES}"))
        self.assertEqual(READ_BYTES, transport.bufferSize)
        channel.dataReceived(bytes(READ_BYTES) + head("PUT /a", "Transfer-Encoding: chunked"))
        self.assertEqual(100 * KIBIBYTE, transport.bufferSize)
        channel.dataReceived(b"5\r\nhello\r\n0\r\n\r\n")
        self.assertEqual(READ_BYTES, transport.bufferSize)

    def test_larger_reads_end_with_the_client(self) -> None:
        """A client that leaves in the middle of its body takes no share any more."""
        channel, transport = self.serve(self.take)
        transport.bufferSize = READ_BYTES
        channel.dataReceived(head("PUT /a", "Content-Length: 1000000"))
        leave(channel)
        self.assertEqual(READ_BYTES, transport.bufferSize)
