"""Bodies as streams, without a connection."""

from collections.abc import Sequence
from io import BytesIO
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from zope.interface.verify import verifyObject

from dockreg.callables import Piece
from dockreg.errors import BodyTooLarge
from dockreg.web.bodies import (
    BUFFERED_READ_BYTES,
    EMPTY_BODY,
    BodyCut,
    BufferedBody,
    CutReason,
    IRequestBody,
    StreamedBody,
)
from dockreg.web.inflow import FLOWING_BYTES


class Wire:
    """Remembers what a body tells its connection."""

    def __init__(self) -> None:
        self.told: list[str] = []
        #: What a turn gives, if there is one.
        self.inflow: Any = None

    def body_asked(self) -> None:
        self.told.append("asked")

    def body_taken(self) -> None:
        self.told.append("taken")

    def begin_turn(self, first: Sequence[Piece], most: int) -> Any:
        if self.inflow is not None:
            self.told.append(f"begin {b''.join(first)!r} {most}")
        return self.inflow

    def settle_turn(self, inflow: Any, *, resting: bool) -> None:
        self.told.append("settle" if resting else "give up")


class StoredRequest:
    """As much of a buffered request as a body looks at."""

    def __init__(self, content: BytesIO, **headers: str) -> None:
        self.content = content
        self.requestHeaders = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})

    def getHeader(self, name: bytes) -> bytes | None:
        values = self.requestHeaders.getRawHeaders(name)
        return values[-1] if values else None


class StreamedBodyTests(SynchronousTestCase):
    """A body that is still arriving."""

    def setUp(self) -> None:
        self.wire = Wire()
        self.body = StreamedBody(10, self.wire, window_bytes=8, unasked_bytes=2)

    def read(self) -> Deferred[Any]:
        """Begin to read."""
        return Deferred.fromCoroutine(self.body.read())

    def test_interface(self) -> None:
        """The body has all that IRequestBody declares."""
        verifyObject(IRequestBody, self.body)
        verifyObject(IRequestBody, EMPTY_BODY)

    def test_chunks_as_they_came(self) -> None:
        """A read returns all that has come since the last, in the pieces that came."""
        self.body.add(b"ab")
        self.body.add(b"c")
        self.assertEqual([b"ab", b"c"], self.successResultOf(self.read()))
        self.body.add(b"d")
        self.assertEqual([b"d"], self.successResultOf(self.read()))

    def test_read_waits(self) -> None:
        """A read waits for the next piece, and the connection is told once that the body is wanted."""
        reading = self.read()
        self.assertNoResult(reading)
        self.body.add(b"ab")
        self.assertNoResult(reading)
        self.body.wake()
        self.assertEqual([b"ab"], self.successResultOf(reading))
        self.assertNoResult(self.read())
        self.assertEqual(["asked", "taken"], self.wire.told)

    def test_arrived(self) -> None:
        """Some bytes are waited for, or the end; what came stays where it is."""
        body = StreamedBody(100_000, self.wire, window_bytes=100_000, unasked_bytes=2)
        arriving = Deferred.fromCoroutine(body.arrived())
        self.assertEqual(["asked"], self.wire.told)
        for size in (0, 1, FLOWING_BYTES - 2):
            body.add(bytes(size))
            body.wake()
            self.assertNoResult(arriving)
        body.add(b"x")
        body.wake()
        self.assertEqual(FLOWING_BYTES, self.successResultOf(arriving))
        self.assertEqual(FLOWING_BYTES, self.successResultOf(Deferred.fromCoroutine(body.arrived())))
        self.assertEqual(
            [1, FLOWING_BYTES - 2, 1], [len(each) for each in self.successResultOf(Deferred.fromCoroutine(body.read()))]
        )

    def test_arrived_at_the_end(self) -> None:
        """Nobody waits for more than there will be, nor for more than is let in."""
        for name, argument in (("end", ()), ("cut", (CutReason.TIMED_OUT,)), ("add", (b"12345678",))):
            self.body = StreamedBody(10, self.wire, 8, 2)
            arriving = Deferred.fromCoroutine(self.body.arrived())
            self.body.add(b"")
            self.body.wake()
            self.assertNoResult(arriving)
            getattr(self.body, name)(*argument)
            self.body.wake()
            self.assertEqual(8 if name == "add" else 0, self.successResultOf(arriving))

    def test_arrived_of_others(self) -> None:
        """What was read as a whole, or is nothing, is there."""
        for body in (EMPTY_BODY, BufferedBody(StoredRequest(BytesIO(b"abc"), Content_Length="3"))):  # type: ignore[arg-type]
            self.assertEqual(0, self.successResultOf(Deferred.fromCoroutine(body.arrived())))

    def test_end(self) -> None:
        """After the last piece a read returns nothing, as often as it is asked."""
        self.body.add(b"0123456789")
        self.body.end()
        self.assertEqual([b"0123456789"], self.successResultOf(self.read()))
        self.assertEqual((), self.successResultOf(self.read()))
        self.assertEqual((), self.successResultOf(self.read()))

    def test_one_reader(self) -> None:
        """A second reader is a mistake."""
        first = self.read()
        self.failureResultOf(self.read(), RuntimeError)
        self.assertNoResult(first)

    def test_window(self) -> None:
        """Bytes are wanted until the window is full, and again once taken; it is small before the first read."""
        self.body.add(b"a")
        self.assertTrue(self.body.wants_bytes)
        self.body.add(b"b")
        self.assertFalse(self.body.wants_bytes)
        self.successResultOf(self.read())
        self.assertTrue(self.body.wants_bytes)
        self.body.add(b"1234567")
        self.assertTrue(self.body.wants_bytes)
        self.body.add(b"8")
        self.assertFalse(self.body.wants_bytes)

    def test_cut_after_the_queue(self) -> None:
        """What came before a cut can be read; then the cut is raised, and says how far the body got."""
        self.body.add(b"abc")
        self.body.cut(CutReason.DISCONNECTED)
        self.assertEqual([b"abc"], self.successResultOf(self.read()))
        cut = self.failureResultOf(self.read(), BodyCut).value
        self.assertEqual((CutReason.DISCONNECTED, 3, 10), (cut.reason, cut.received, cut.length))
        self.assertEqual("the client went away, after 3 of 10 bytes", str(cut))

    def test_cut_wakes(self) -> None:
        """A waiting reader is told of the cut."""
        reading = self.read()
        self.body.cut(CutReason.TIMED_OUT)
        self.body.wake()
        self.assertEqual(408, self.failureResultOf(reading, BodyCut).value.status)

    def test_complete_body_is_never_cut(self) -> None:
        """A client that leaves after the last byte has sent a whole body."""
        self.body.end()
        self.body.cut(CutReason.DISCONNECTED)
        self.assertEqual((), self.successResultOf(self.read()))

    def test_abandoned(self) -> None:
        """Once the response is finished nothing is kept, and whoever reads is told so at once."""
        self.body.add(b"abc")
        self.body.abandon()
        self.body.add(b"def")
        cut = self.failureResultOf(self.read(), BodyCut).value
        self.assertEqual((CutReason.ABANDONED, 6), (cut.reason, cut.received))

    def test_cancelled_reader_knows_why(self) -> None:
        """A reader that is cancelled because the client has gone sees the cut, another one a plain cancellation."""
        reading = self.read()
        self.body.cut(CutReason.DISCONNECTED)
        reading.cancel()
        self.failureResultOf(reading, BodyCut)
        self.body = StreamedBody(10, self.wire, 8, 2)
        reading = self.read()
        reading.cancel()
        self.assertNotIsInstance(self.failureResultOf(reading, CancelledError).value, BodyCut)

    def test_cut_is_a_cancellation(self) -> None:
        """Code that cleans up after cancelled handlers cleans up after a cut."""
        self.assertIsInstance(BodyCut(CutReason.MALFORMED, 1, None), CancelledError)

    def pour(self, result: "Deferred[None]") -> Deferred[Any]:
        """Begin to pour, into somebody who ends with this."""

        async def begin() -> None:
            self.wire.told.append("turn")

        self.wire.inflow = SimpleNamespace(fetch=lambda: b"", carried=4, begin=begin)

        async def receive(fetch: object) -> None:
            self.assertIs(self.wire.inflow, fetch)
            await result

        return Deferred.fromCoroutine(self.body.pour(receive, 100))

    def test_pour(self) -> None:
        """What is queued goes before what is poured; both count."""
        self.body.add(b"ab")
        self.assertEqual(6, self.successResultOf(self.pour(succeed(None))))
        self.assertEqual(["begin b'ab' 100", "turn", "settle"], self.wire.told)
        reading = self.read()
        self.assertNoResult(reading)

    def test_pour_refused(self) -> None:
        """Nothing is poured where the connection has it so, when the body has ended, or when it was cut."""
        self.assertEqual(0, self.successResultOf(Deferred.fromCoroutine(self.body.pour(self.fail, 100))))
        for ends in (lambda: self.body.end(), lambda: self.body.cut(CutReason.TIMED_OUT)):  # noqa: PLW0108 - of the body then
            self.body = StreamedBody(10, self.wire, 8, 2)
            ends()
            self.assertEqual(0, self.successResultOf(self.pour(succeed(None))))
        self.assertEqual([], self.wire.told)

    def test_pour_fails(self) -> None:
        """A receiver that fails has come to its end; one that is cancelled may not have."""
        self.failureResultOf(self.pour(fail(ZeroDivisionError())), ZeroDivisionError)
        pouring = self.pour(Deferred())
        pouring.cancel()
        self.failureResultOf(pouring, CancelledError)
        self.assertEqual(["settle", "give up"], [each for each in self.wire.told if each in ("settle", "give up")])

    def test_pour_of_others(self) -> None:
        """What was read as a whole, or is nothing, is not poured."""
        for body in (EMPTY_BODY, BufferedBody(StoredRequest(BytesIO(b"abc"), Content_Length="3"))):  # type: ignore[arg-type]
            self.assertEqual(0, self.successResultOf(Deferred.fromCoroutine(body.pour(self.fail, 100))))

    def test_collect(self) -> None:
        """A small document is the join of its pieces; the limit itself is allowed."""
        self.body.add(b"01234")
        collecting = Deferred.fromCoroutine(self.body.collect(10))
        self.body.add(b"56789")
        self.body.end()
        self.body.wake()
        self.assertEqual(b"0123456789", self.successResultOf(collecting))

    def test_collect_refuses_by_length(self) -> None:
        """A Content-Length over the limit is refused without asking the client to send."""
        refused = self.failureResultOf(Deferred.fromCoroutine(self.body.collect(9)), BodyTooLarge)
        self.assertEqual(9, refused.value.limit)
        self.assertEqual([], self.wire.told)

    def test_collect_refuses_by_bytes(self) -> None:
        """A chunked body is refused as soon as it has brought more than the limit."""
        self.body = StreamedBody(None, self.wire, 8, 2)
        collecting = Deferred.fromCoroutine(self.body.collect(3))
        self.body.add(b"abc")
        self.body.wake()
        self.assertNoResult(collecting)
        self.body.add(b"d")
        self.body.wake()
        self.failureResultOf(collecting, BodyTooLarge)


class EmptyBodyTests(SynchronousTestCase):
    """A request without a body."""

    def test_nothing(self) -> None:
        """There is nothing to read, and its length is known."""
        self.assertEqual((), self.successResultOf(Deferred.fromCoroutine(EMPTY_BODY.read())))
        self.assertEqual(b"", self.successResultOf(Deferred.fromCoroutine(EMPTY_BODY.collect(1))))
        self.assertEqual(0, EMPTY_BODY.length)


class BufferedBodyTests(SynchronousTestCase):
    """A body that twisted.web has collected."""

    def make(self, data: bytes, **headers: str) -> tuple[BufferedBody, BytesIO]:
        """A body of ``data``, left at its end as a parser of forms would leave it."""
        content = BytesIO(data)
        content.seek(0, 2)
        request: Any = StoredRequest(content, **headers)
        return BufferedBody(request), content

    def read(self, body: BufferedBody) -> Any:
        """Read once."""
        return self.successResultOf(Deferred.fromCoroutine(body.read()))

    def test_interface(self) -> None:
        """The body has all that IRequestBody declares."""
        verifyObject(IRequestBody, self.make(b"")[0])

    def test_read(self) -> None:
        """A large body is read from its beginning, in pieces of bounded size."""
        data = bytes(range(256)) * (BUFFERED_READ_BYTES // 256) + b"tail"
        body, _ = self.make(data, Content_Length=str(len(data)))
        self.assertEqual([(data[:-4],), (b"tail",), ()], [self.read(body) for _ in range(3)])

    def test_length(self) -> None:
        """The length is that of Content-Length, 0 without one, and not known when chunked."""
        lengths = [self.make(b"abc", **headers)[0].length for headers in ({"Content_Length": "3"}, {})]
        self.assertEqual([3, 0], lengths)
        self.assertIsNone(self.make(b"abc", Transfer_Encoding="chunked")[0].length)

    def test_collect(self) -> None:
        """The limit holds here too."""
        body, _ = self.make(b"abc", Transfer_Encoding="chunked")
        self.failureResultOf(Deferred.fromCoroutine(body.collect(2)), BodyTooLarge)
        body, _ = self.make(b"abc", Content_Length="3")
        self.assertEqual(b"abc", self.successResultOf(Deferred.fromCoroutine(body.collect(3))))

    def test_client_gone(self) -> None:
        """Once twisted.web has closed the file, the body is cut."""
        body, content = self.make(b"abc", Content_Length="3")
        content.close()
        self.failureResultOf(Deferred.fromCoroutine(body.read()), BodyCut)
