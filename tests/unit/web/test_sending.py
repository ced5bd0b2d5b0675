"""Blobs to clients, with a transport that fills up when the test says so."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs
from zope.interface import implementer
from zope.interface.verify import verifyObject

from dockreg.errors import BlobUnknown
from dockreg.interfaces_blobs import IBlobReader
from dockreg.web.kernel import BlobCutShort
from dockreg.web.requests import Request
from dockreg.web.sending import CHUNK_BYTES, Pace, send_blob
from tests.unit.web.wire import ChannelCase, head, leave, statuses

SIZE = 3 * CHUNK_BYTES + 5
ETAG = '"sha256:abc"'


@implementer(IBlobReader)
class Reader:
    """Reads a blob that a test can hold up, shorten, or break."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self.data = data
        self.limits: list[int] = []
        self.closed = 0
        self.wait: Deferred[None] | None = None
        self.error: Exception | None = None

    async def read(self, limit: int) -> bytes:
        self.limits.append(limit)
        if self.wait is not None:
            await self.wait
        if self.error is not None and len(self.limits) > 1:
            raise self.error
        data, self.data = self.data[:limit], self.data[limit:]
        return data

    def close(self) -> None:
        self.closed += 1


class SendingCase(ChannelCase):
    """A connection on which one blob can be asked for."""

    def setUp(self) -> None:
        super().setUp()
        self.blob = bytes(range(256)) * (SIZE // 256) + b"tails"[: SIZE % 256]
        self.readers: list[Reader] = []
        self.prepare: Callable[[Reader], None] = lambda reader: None
        self.serve(self.send)

    async def send(self, request: Request) -> None:
        """Answer with the blob."""

        async def open_blob(start: int) -> Reader:
            self.readers.append(Reader(self.blob[start:]))
            self.prepare(self.readers[-1])
            return self.readers[-1]

        await send_blob(request, open_blob, len(self.blob), ETAG)

    def ask(self, line: str, *headers: str) -> tuple[bytes, bytes]:
        """Send a request; the head and the body of what was written."""
        self.transport.clear()
        self.channel.dataReceived(head(line, *headers))
        first, _, body = self.transport.value().partition(b"\r\n\r\n")
        return first, body


class SendTests(SendingCase):
    """The pace of a response, and its end."""

    def test_interfaces(self) -> None:
        """The stand-in is a blob reader."""
        verifyObject(IBlobReader, Reader(b""))

    def test_whole(self) -> None:
        """The blob is read in large chunks, sent with its length, closed, and the connection lives on."""
        first, body = self.ask("GET /a")
        self.assertIn(b"Content-Length: %d" % (SIZE), first)
        self.assertEqual(self.blob, body)
        self.assertEqual([CHUNK_BYTES] * 3 + [5], self.readers[0].limits)
        self.assertTrue(self.readers[0].closed)
        self.assertIsNone(self.channel._requestProducer)
        self.assertEqual(self.blob, self.ask("GET /a")[1])

    def test_full_transport(self) -> None:
        """While the transport is full, one chunk is read ahead and no more; the rest follows when it empties."""
        hold: Deferred[None] = Deferred()
        self.prepare = lambda reader: setattr(reader, "wait", hold)
        self.ask("GET /a")
        self.channel.pauseProducing()
        hold.callback(None)
        self.assertEqual(1, len(self.readers[0].limits))
        self.assertEqual(b"", self.transport.value())
        self.channel.resumeProducing()
        self.assertTrue(self.transport.value().endswith(self.blob))
        self.assertEqual([200], [record.status for record in self.server.records])

    def test_client_leaves_while_full(self) -> None:
        """A client that leaves while the transport is full ends the sending, silently, and closes the blob."""
        hold: Deferred[None] = Deferred()
        self.prepare = lambda reader: setattr(reader, "wait", hold)
        self.ask("GET /a")
        self.channel.pauseProducing()
        hold.callback(None)
        self.assert_silent_leave()

    def test_client_leaves_while_reading(self) -> None:
        """A client that leaves while the blob is read does too."""
        self.prepare = lambda reader: setattr(reader, "wait", Deferred())
        self.ask("GET /a")
        self.assert_silent_leave()

    def assert_silent_leave(self) -> None:
        """The client leaves."""
        with capturedLogs() as events:
            # A transport tells its producer first.
            self.channel.stopProducing()
            self.assertEqual(0, self.readers[0].closed)
            leave(self.channel)
        self.assertEqual([], [event for event in events if "log_failure" in event])
        self.assertEqual(1, self.readers[0].closed)
        self.assertEqual([False], [record.complete for record in self.server.records])

    def test_reader_fails(self) -> None:
        """A reader that fails after the first byte cuts the connection."""
        self.prepare = lambda reader: setattr(reader, "error", OSError("disk"))
        self.ask("GET /a")
        self.assertTrue(self.transport.aborted)
        self.assertEqual(1, self.readers[0].closed)
        self.assertEqual(1, len(self.flushLoggedErrors(OSError)))
        self.assertEqual([(200, False)], [(record.status, record.complete) for record in self.server.records])

    def test_blob_is_short(self) -> None:
        """A blob that ends before its size cuts the connection."""
        self.prepare = lambda reader: setattr(reader, "data", reader.data[:CHUNK_BYTES])
        self.ask("GET /a")
        self.assertTrue(self.transport.aborted)
        self.assertEqual(1, len(self.flushLoggedErrors(BlobCutShort)))

    def test_short_from_the_beginning(self) -> None:
        """A blob that ends before its first byte is an error like any other: nothing was sent yet."""
        self.prepare = lambda reader: setattr(reader, "data", b"")
        self.ask("GET /a")
        self.assertEqual([500], statuses(self.transport))
        self.assertEqual(1, self.readers[0].closed)
        self.flushLoggedErrors(BlobCutShort)

    def test_pace_of_a_client_that_has_gone(self) -> None:
        """Without Klein to cancel it, a coroutine learns at its next step that the client has gone."""

        async def hold(request: Request) -> None:
            self.pace = Pace(request)
            self.requests.append(request)
            await Deferred()

        channel, _ = self.serve(hold)
        channel.dataReceived(head("GET /a"))
        self.pace.pauseProducing()
        waiting = Deferred.fromCoroutine(self.pace.ready())
        self.assertNoResult(waiting)
        leave(channel)
        self.failureResultOf(waiting, CancelledError)
        self.failureResultOf(Deferred.fromCoroutine(self.pace.ready()), CancelledError)


class SendBlobTests(SendingCase):
    """Ranges, conditions and HEAD."""

    def test_range(self) -> None:
        """A range is a 206 with its bytes, from a blob opened there."""
        first, body = self.ask("GET /a", f"Range: bytes=1000000-{SIZE}")
        self.assertTrue(first.startswith(b"HTTP/1.1 206 "))
        self.assertIn(b"Content-Range: bytes 1000000-%d/%d" % (SIZE - 1, SIZE), first)
        self.assertIn(b"Content-Length: %d" % (SIZE - 1000000), first)
        self.assertEqual(self.blob[1000000:], body)

    def test_closed_range(self) -> None:
        """No byte behind a range is sent."""
        self.assertEqual(self.blob[5:10], self.ask("GET /a", "Range: bytes=5-9")[1])

    def test_unsatisfiable(self) -> None:
        """A range at the end is a 416 without a body, and opens nothing."""
        first, body = self.ask("GET /a", f"Range: bytes={SIZE}-{SIZE}")
        self.assertTrue(first.startswith(b"HTTP/1.1 416 "))
        self.assertIn(b"Content-Length: 0", first)
        self.assertIn(b"Content-Range: bytes */%d" % SIZE, first)
        self.assertEqual((b"", []), (body, self.readers))

    def test_head(self) -> None:
        """HEAD tells of the whole blob, ranges or not, sends nothing and opens nothing."""
        for headers in ([], ["Range: bytes=5-9"]):
            first, body = self.ask("HEAD /a", *headers)
            self.assertTrue(first.startswith(b"HTTP/1.1 200 "))
            self.assertIn(b"Content-Length: %d" % (SIZE), first)
            self.assertIn(b"Accept-Ranges: bytes", first)
            self.assertIn(b"ETag: " + ETAG.encode(), first)
            self.assertEqual((b"", []), (body, self.readers))

    def test_several_ranges(self) -> None:
        """Several ranges, in one header or in two, are answered with the whole."""
        for headers in (["Range: bytes=0-1,5-6"], ["Range: bytes=0-1", "Range: bytes=5-6"]):
            first, body = self.ask("GET /a", *headers)
            self.assertTrue(first.startswith(b"HTTP/1.1 200 "))
            self.assertEqual(SIZE, len(body))

    def test_if_range(self) -> None:
        """A range holds only for the content that the client has begun to fetch."""
        same = self.ask("GET /a", "Range: bytes=5-9", f"If-Range: {ETAG}")
        other = self.ask("GET /a", "Range: bytes=5-9", 'If-Range: "other"')
        self.assertEqual([5, SIZE], [len(same[1]), len(other[1])])

    def test_if_none_match(self) -> None:
        """A client that has this content is told so."""
        first, body = self.ask("GET /a", f"If-None-Match: {ETAG}")
        self.assertTrue(first.startswith(b"HTTP/1.1 304 "))
        self.assertEqual((b"", []), (body, self.readers))

    def test_empty(self) -> None:
        """An empty blob is a 200 with a length of 0."""
        self.blob = b""
        first, body = self.ask("GET /a")
        self.assertIn(b"Content-Length: 0", first)
        self.assertEqual((b"", []), (body, self.readers))

    def test_cannot_be_opened(self) -> None:
        """What cannot be opened leaves no header of the blob in the error."""

        async def fail(request: Request) -> None:
            async def open_blob(start: int) -> Any:
                raise BlobUnknown("sha256:abc")

            await send_blob(request, open_blob, SIZE, ETAG)

        channel, transport = self.serve(fail)
        channel.dataReceived(head("GET /a", "Range: bytes=5-9"))
        self.assertEqual([500], statuses(transport))
        for name in (b"ETag", b"Content-Range", b"Accept-Ranges"):
            self.assertNotIn(name, transport.value())
        self.flushLoggedErrors(BlobUnknown)
