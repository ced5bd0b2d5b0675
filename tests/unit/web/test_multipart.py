"""Several ranges in one response."""

from email import message_from_bytes

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import BlobUnknown
from dockreg.web.kernel import BlobCutShort
from dockreg.web.multipart import ByteRanges
from dockreg.web.ranges import select_several
from dockreg.web.requests import Request
from dockreg.web.sending import CHUNK_BYTES, send_blob
from tests.unit.web.test_sending import ETAG, SIZE, Reader, SendingCase
from tests.unit.web.wire import leave, statuses

BOUNDARY = "an-unguessable_Name0"


class ByteRangesTests(SynchronousTestCase):
    """What stands between the parts."""

    def body(self, content: bytes, header: str, content_type: bytes | None) -> tuple[ByteRanges, bytes]:
        ranges = ByteRanges(select_several(header, len(content)), content_type, BOUNDARY)
        parts = [ranges.head(part) + content[part.start : part.start + part.length] for part in ranges.parts]
        return ranges, b"".join([*parts, ranges.tail])

    def test_bytes(self) -> None:
        """Each part has its type and its place, and the last one is followed by the closing boundary."""
        ranges, body = self.body(b"0123456789", "bytes=7-8,0-1", b"text/plain")
        expected = (
            b"--an-unguessable_Name0\r\nContent-Type: text/plain\r\nContent-Range: bytes 7-8/10\r\n\r\n78"
            b"\r\n--an-unguessable_Name0\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01"
            b"\r\n--an-unguessable_Name0--\r\n"
        )
        self.assertEqual((expected, len(expected)), (body, ranges.length))

    def test_read_by_others(self) -> None:
        """The multipart parser of Python finds the parts."""
        for content_type in (b"application/x-tar", None):
            ranges, body = self.body(b"0123456789", "bytes=7-8,-1,0-1", content_type)
            message = message_from_bytes(b"Content-Type: " + ranges.media_type + b"\r\n\r\n" + body)
            parts = [part for part in message.walk() if not part.is_multipart()]
            places = ["bytes 7-9/10", "bytes 0-1/10"]
            self.assertEqual(places, [part["Content-Range"] for part in parts])
            self.assertEqual([b"789", b"01"], [part.get_payload(decode=True) for part in parts])
            self.assertEqual([], message.defects)


class SendSeveralTests(SendingCase):
    """Parts to clients, with a transport that fills up when the test says so."""

    async def send(self, request: Request) -> None:
        """Answer with the blob, or with parts of it."""

        async def open_blob(start: int) -> Reader:
            self.readers.append(Reader(self.blob[start:]))
            self.prepare(self.readers[-1])
            return self.readers[-1]

        request.setHeader(b"Content-Type", b"application/x-tar")
        await send_blob(request, open_blob, len(self.blob), ETAG, several=True, new_id=lambda: BOUNDARY)

    def parts(self, header: str) -> list[bytes]:
        """The bytes of the parts that ``header`` asks for, from a response that is well-formed."""
        first, body = self.ask("GET /a", f"Range: {header}")
        self.assertTrue(first.startswith(b"HTTP/1.1 206 "))
        self.assertIn(b"Content-Length: %d" % len(body), first)
        self.assertIn(b"Content-Type: multipart/byteranges; boundary=an-unguessable_Name0", first)
        self.assertEqual(1, first.count(b"\r\nContent-Type: "))
        self.assertIn(b"ETag: " + ETAG.encode(), first)
        self.assertNotIn(b"Content-Range", first)
        nothing, *parts, end = (b"\r\n" + body).split(b"\r\n--" + BOUNDARY.encode())
        self.assertEqual((b"", b"--\r\n"), (nothing, end))
        return [part.partition(b"\r\n\r\n")[2] for part in parts]

    def test_parts(self) -> None:
        """Each part has its bytes, from a blob that is opened there and closed; the connection lives on."""
        blob = self.blob
        self.assertEqual([blob[5:10], blob[:3], blob[-2:]], self.parts("bytes=5-9,0-2,-2"))
        self.assertEqual([1, 1, 1], [reader.closed for reader in self.readers])
        self.assertIsNone(self.channel._requestProducer)
        self.assertEqual(blob, self.ask("GET /a")[1])

    def test_large_parts(self) -> None:
        """Parts are read in chunks, and nothing is read that lies behind them."""
        last = SIZE - 10
        parts = self.parts(f"bytes=0-{CHUNK_BYTES},{CHUNK_BYTES + 10}-{last}")
        self.assertTrue([self.blob[: CHUNK_BYTES + 1], self.blob[CHUNK_BYTES + 10 : last + 1]] == parts)
        self.assertEqual([CHUNK_BYTES, 1], self.readers[0].limits)
        self.assertTrue(max(self.readers[1].limits) <= CHUNK_BYTES)

    def test_one(self) -> None:
        """What comes down to one part is sent as one."""
        for header in ("bytes=5-9", "bytes=5-7,6-9", f"bytes=5-9,{SIZE}-"):
            first, body = self.ask("GET /a", f"Range: {header}")
            self.assertTrue(first.startswith(b"HTTP/1.1 206 "))
            self.assertIn(b"Content-Range: bytes 5-9/%d" % SIZE, first)
            self.assertIn(b"Content-Type: application/x-tar", first)
            self.assertEqual(self.blob[5:10], body)

    def test_whole(self) -> None:
        """Too many ranges, or too many bytes, are answered with the whole; so are two headers, or other content."""
        for headers in (
            ["Range: bytes=" + ",".join(f"{number}-{number}" for number in range(0, 34, 2))],
            ["Range: bytes=0-,0-1"],
            ["Range: bytes=0-1", "Range: bytes=5-6"],
            ["Range: bytes=0-1,5-6", 'If-Range: "other"'],
        ):
            first, body = self.ask("GET /a", *headers)
            self.assertTrue(first.startswith(b"HTTP/1.1 200 "))
            self.assertTrue(body == self.blob)

    def test_same_content(self) -> None:
        """Parts are sent when If-Range names this very content."""
        first, _ = self.ask("GET /a", "Range: bytes=0-1,5-6", f"If-Range: {ETAG}")
        self.assertTrue(first.startswith(b"HTTP/1.1 206 "))

    def test_unsatisfiable(self) -> None:
        """Ranges that are all outside are a 416 without a body, and open nothing."""
        first, body = self.ask("GET /a", f"Range: bytes={SIZE}-,-0")
        self.assertTrue(first.startswith(b"HTTP/1.1 416 "))
        self.assertIn(b"Content-Range: bytes */%d" % SIZE, first)
        self.assertEqual((b"", []), (body, self.readers))

    def test_head(self) -> None:
        """HEAD tells of the whole blob."""
        first, body = self.ask("HEAD /a", "Range: bytes=0-1,5-6")
        self.assertTrue(first.startswith(b"HTTP/1.1 200 "))
        self.assertIn(b"Content-Length: %d" % SIZE, first)
        self.assertIn(b"Content-Type: application/x-tar", first)
        self.assertEqual((b"", []), (body, self.readers))

    def test_without_names(self) -> None:
        """Where nothing makes boundaries several ranges are answered with the whole."""

        async def send(request: Request) -> None:
            async def open_blob(start: int) -> Reader:
                return Reader(self.blob[start:])

            await send_blob(request, open_blob, len(self.blob), ETAG, several=True)

        self.channel, self.transport = self.serve(send)
        self.assertTrue(self.ask("GET /a", "Range: bytes=0-1,5-6")[0].startswith(b"HTTP/1.1 200 "))

    def test_full_transport(self) -> None:
        """While the transport is full no further part is opened; the rest follows when it empties."""
        hold: Deferred[None] = Deferred()
        self.prepare = lambda reader: setattr(reader, "wait", hold)
        self.ask("GET /a", "Range: bytes=0-9,20-29")
        self.channel.pauseProducing()
        hold.callback(None)
        self.assertEqual((1, b""), (len(self.readers), self.transport.value()))
        self.channel.resumeProducing()
        self.assertTrue(self.transport.value().endswith(self.blob[20:30] + b"\r\n--an-unguessable_Name0--\r\n"))
        self.assertEqual([(206, True)], [(record.status, record.complete) for record in self.server.records])

    def test_client_leaves(self) -> None:
        """A client that leaves in the middle of the second part ends the sending, silently, and closes the blob."""
        self.prepare = lambda reader: setattr(reader, "wait", Deferred() if len(self.readers) == 2 else None)
        self.ask("GET /a", "Range: bytes=0-9,20-29,40-49")
        self.channel.stopProducing()
        leave(self.channel)
        self.assertEqual([1, 1], [reader.closed for reader in self.readers])
        self.assertEqual([False], [record.complete for record in self.server.records])

    def test_second_part_is_short(self) -> None:
        """A part that ends before its size cuts the connection, and closes the blob."""
        self.prepare = lambda reader: setattr(reader, "data", reader.data[: 10 if len(self.readers) == 1 else 5])
        self.ask("GET /a", "Range: bytes=0-9,20-29")
        self.assertTrue(self.transport.aborted)
        self.assertEqual([1, 1], [reader.closed for reader in self.readers])
        self.assertEqual(1, len(self.flushLoggedErrors(BlobCutShort)))

    def test_short_from_the_beginning(self) -> None:
        """A blob that ends before its first byte is an error like any other: nothing was sent yet."""
        self.prepare = lambda reader: setattr(reader, "data", b"")
        self.ask("GET /a", "Range: bytes=0-9,20-29")
        self.assertEqual([500], statuses(self.transport))
        self.assertEqual(1, self.readers[0].closed)
        self.flushLoggedErrors(BlobCutShort)

    def test_gone_between_parts(self) -> None:
        """A blob that can not be opened for the second part cuts the connection."""

        def vanish(reader: Reader) -> None:
            if len(self.readers) == 2:
                raise BlobUnknown("sha256:abc")

        self.prepare = vanish
        self.ask("GET /a", "Range: bytes=0-9,20-29")
        self.assertTrue(self.transport.aborted)
        self.assertEqual(1, self.readers[0].closed)
        self.assertEqual(1, len(self.flushLoggedErrors(BlobUnknown)))
