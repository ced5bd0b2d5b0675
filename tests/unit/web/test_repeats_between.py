"""What answers that are given again leave behind them, and what they weigh."""

from itertools import product

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from dockreg.web.repeats import Repeat, Repeats
from tests.unit.web.test_heads import Served
from tests.unit.web.wire import Transport, head, statuses

ASKED = head("GET /a")
EMPTY = b"\r\n"


class BetweenTests(SynchronousTestCase):
    """Requests, and empty lines before and behind them."""

    def statuses(self, reads: list[bytes], *, keeps: bool) -> list[int]:
        """What comes of these reads, when the same was asked before."""
        served = Served(keeps=keeps)
        served.play([ASKED] * 3)
        served.connect()
        served.play(reads)
        self.assertEqual(int(keeps), len(served.site.repeats))
        return statuses(served.transport)

    def test_empty_line(self) -> None:
        """One empty line may come before each request, also behind one that is answered again; a second one may not."""
        reads = [ASKED + EMPTY, ASKED, EMPTY, ASKED]
        self.assertEqual([200, 200, 200], self.statuses(reads, keeps=True))
        self.assertEqual([200, 200, 400], self.statuses([*reads[:2], EMPTY, EMPTY, ASKED], keeps=True))

    def test_same(self) -> None:
        """However empty lines and requests come together, it is as if nothing was kept."""
        for reads in product((ASKED, EMPTY, ASKED + EMPTY, EMPTY + ASKED), repeat=4):
            with_memory, without = (self.statuses(list(reads), keeps=keeps) for keeps in (True, False))
            self.assertEqual(without, with_memory, reads)


class SealedTransport(Transport):
    """One that says that it is TLS."""

    def __init__(self) -> None:
        super().__init__()
        alsoProvides(self, ISSLTransport)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """See :class:`~twisted.internet.interfaces.ITCPTransport`."""


class SealedTests(SynchronousTestCase):
    """A site whose connections are plain or over TLS, as those of ``tcp:`` and ``ssl:`` endpoints in one list are."""

    def ask(self, served: Served, *, sealed: bool) -> list[bytes]:
        """What two of the same are shown as on a connection of its own, and ``True`` where they came by TLS."""
        channel = served.site.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1024))
        transport = SealedTransport() if sealed else Transport()
        assert channel is not None
        channel.makeConnection(transport)
        for _ in range(2):
            channel.dataReceived(ASKED)
        shown = [each for each in transport.value().split(b"\r\n") if each.startswith(b"X-Shown: ")]
        # Whether it came by TLS is the last but one of what is shown.
        return [each.rpartition(b", [")[0].rpartition(b", ")[2] for each in shown]

    def test_apart(self) -> None:
        """What was answered to one is not answered to the other: it may have ``https:`` in it, or ``http:``."""
        for first in (False, True):
            served = Served(keeps=True)
            for sealed in (first, first, not first, first, not first):
                self.assertEqual([str(sealed).encode()] * 2, self.ask(served, sealed=sealed))
            self.assertEqual(1, len(served.site.repeats))


class WeightTests(SynchronousTestCase):
    def test_texts(self) -> None:
        """What the log is told of each weighs as well: it may be four times what was sent."""
        clock, version = Clock(), object()
        repeats = Repeats(clock, most_bytes=200_000)
        for number in range(100):
            agent = (b"%d" % number + b"\xff" * 4000).decode("utf-8", "backslashreplace")
            answer = Repeat(b"x", 200, 1, ("GET", "/", agent))
            repeats.keep(b"%d" % number + b"\xff" * 4000, answer, 0, version, lambda: version)
        self.assertGreater(len(repeats), 1)
        self.assertLessEqual(20_000 * len(repeats), 200_000)
