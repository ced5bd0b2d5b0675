"""Tests of bodies that pass piece by piece."""

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IConsumer
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer
from zope.interface.verify import verifyObject

from dockreg.cli.bodies import WINDOW, ArrivingBody, StreamedBody
from dockreg.cli.failures import ConnectionBroken


@implementer(IConsumer)
class Consumer:
    """Takes pieces until it has enough, as a connection does."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.body: StreamedBody | None = None
        self.pause_after: int | None = None

    def registerProducer(self, producer: Any, streaming: bool) -> None: ...

    def unregisterProducer(self) -> None: ...

    def write(self, data: bytes) -> None:
        self.pieces.append(data)
        if len(self.pieces) == self.pause_after and self.body is not None:
            self.body.pauseProducing()


class StreamedBodyTests(SynchronousTestCase):
    """Bodies of requests."""

    def start(self, pieces: Iterator[bytes], pause_after: int | None = None) -> tuple[StreamedBody, Deferred[None]]:
        self.consumer = Consumer()
        self.consumer.pause_after = pause_after
        self.seen: list[bytes] = []
        body = self.consumer.body = StreamedBody(pieces, maybeDeferred, self.seen.append)
        verifyObject(IBodyProducer, body)
        return body, body.startProducing(self.consumer)

    def test_all_pieces(self) -> None:
        """Every piece is written in its order; an empty one is passed over, for it would end a chunked body."""
        body, finished = self.start(iter([b"a", b"", b"b"]))
        self.successResultOf(finished)
        self.assertEqual([b"a", b"b"], self.consumer.pieces)
        self.assertEqual([b"a", b"b"], self.seen)
        self.assertTrue(body.complete)

    def test_waits_for_connection(self) -> None:
        """While the connection has enough, at most one further piece is made and none is written."""
        made: list[int] = []

        def pieces() -> Iterator[bytes]:
            for number in range(10):
                made.append(number)
                yield b"x"

        body, finished = self.start(pieces(), pause_after=2)
        self.assertEqual(([b"x"] * 2, [0, 1, 2]), (self.consumer.pieces, made))
        self.consumer.pause_after = None
        body.resumeProducing()
        self.successResultOf(finished)
        self.assertEqual(10, len(self.consumer.pieces))

    def test_stop(self) -> None:
        """Nothing is written once it is stopped, and the result never comes."""
        body, finished = self.start(iter([b"a", b"b", b"c"]), pause_after=1)
        body.stopProducing()
        self.assertNoResult(finished)
        self.assertEqual([b"a"], self.consumer.pieces)
        self.assertFalse(body.complete)

    def test_failure(self) -> None:
        """What goes wrong while a piece is made is the result."""

        def pieces() -> Iterator[bytes]:
            yield b"a"
            raise ValueError("broken")

        body, finished = self.start(pieces())
        self.failureResultOf(finished, ValueError)
        self.assertFalse(body.complete)


class ArrivingBodyTests(SynchronousTestCase):
    """Bodies of responses."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = StringTransport()
        self.body = ArrivingBody(self.clock, 60)
        self.body.makeConnection(self.transport)

    def next(self) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.body.next_pieces())

    def test_pieces(self) -> None:
        """What arrived is handed over as it came; at the end there is nothing."""
        self.body.dataReceived(b"a")
        self.body.dataReceived(b"b")
        self.assertEqual((b"a", b"b"), self.successResultOf(self.next()))
        waiting = self.next()
        self.assertNoResult(waiting)
        self.body.dataReceived(b"c")
        self.assertEqual((b"c",), self.successResultOf(waiting))
        self.body.connectionLost(Failure(ResponseDone()))
        self.assertEqual((), self.successResultOf(self.next()))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_no_length(self) -> None:
        """A body without any length ends with its connection."""
        self.body.dataReceived(b"a")
        self.body.connectionLost(Failure(PotentialDataLoss()))
        self.assertEqual((b"a",), self.successResultOf(self.next()))
        self.assertEqual((), self.successResultOf(self.next()))

    def test_cut_short(self) -> None:
        """What came before a connection broke is handed over, then the breaking is told."""
        self.body.dataReceived(b"a")
        self.body.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((b"a",), self.successResultOf(self.next()))
        self.failureResultOf(self.next(), ConnectionBroken)

    def test_back_pressure(self) -> None:
        """The sender waits while a window is kept, until it is taken."""
        self.body.dataReceived(b"x" * (WINDOW - 1))
        self.assertEqual("producing", self.transport.producerState)
        self.body.dataReceived(b"x")
        self.assertEqual("paused", self.transport.producerState)
        self.successResultOf(self.next())
        self.assertEqual("producing", self.transport.producerState)

    def test_silence(self) -> None:
        """A sender that is silent while it is waited for is given up, and its connection closed."""
        waiting = self.next()
        self.clock.advance(59)
        self.body.dataReceived(b"a")
        self.successResultOf(waiting)
        self.clock.advance(100)
        waiting = self.next()
        self.clock.advance(60)
        self.assertIn("60 seconds", self.failureResultOf(waiting, ConnectionBroken).value.message)
        self.assertTrue(self.transport.disconnecting)

    def test_drop(self) -> None:
        """A body that is dropped closes its connection; after the end that is harmless."""
        self.body.drop()
        self.assertTrue(self.transport.disconnecting)
        self.body.dataReceived(b"late")
        self.body.connectionLost(Failure(ConnectionLost()))
        self.body.drop()
        self.assertEqual((), self.successResultOf(self.next()))
