"""How much is read from sockets at once."""

from types import SimpleNamespace

from twisted.internet.abstract import FileDescriptor
from twisted.trial.unittest import SynchronousTestCase

from dockreg.web.sockets import READ_BYTES, ReadSizes

MIB = 1024 * 1024


class ReadSizesTests(SynchronousTestCase):
    """Larger reads for large bodies."""

    def test_usual(self) -> None:
        """Without a large body as much is read as Twisted reads."""
        self.assertEqual(READ_BYTES, FileDescriptor.bufferSize)

    def test_alone(self) -> None:
        """One body is read in pieces of the most bytes, until it has come."""
        sizes, transport = ReadSizes(MIB), FileDescriptor()
        sizes.begin(transport)
        self.assertEqual(MIB, transport.bufferSize)
        sizes.end(transport)
        self.assertEqual(READ_BYTES, transport.bufferSize)

    def test_shared(self) -> None:
        """Many bodies have a share each, which is never less than usual; all together stay within a bound."""
        sizes = ReadSizes(MIB)
        transports = [FileDescriptor() for _ in range(200)]
        for each in transports:
            sizes.begin(each)
        found = [each.bufferSize for each in transports]
        self.assertEqual(sorted(found, reverse=True), found)
        self.assertEqual((MIB, READ_BYTES), (found[0], found[-1]))
        self.assertLess(sum(found), 32 * MIB)
        for each in transports:
            sizes.end(each)
        sizes.begin(transports[-1])
        self.assertEqual(MIB, transports[-1].bufferSize)

    def test_wrapped(self) -> None:
        """Over TLS it is the socket below whose reads are larger; what has no size of reads is left alone."""
        sizes, socket = ReadSizes(MIB), FileDescriptor()
        sizes.begin(SimpleNamespace(transport=socket))
        self.assertEqual(MIB, socket.bufferSize)
        other = SimpleNamespace()
        sizes.begin(other)
        self.assertEqual({}, vars(other))
