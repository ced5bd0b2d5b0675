"""Requests that go wrong: malformed, given up by their client, or failed by their handler."""

import contextlib
from io import BytesIO

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from dockreg.web.bodies import BodyCut, CutReason
from dockreg.web.limits import Limits
from dockreg.web.requests import Request
from tests.unit.web.wire import ChannelCase, head, leave, statuses


class BadRequestTests(ChannelCase):
    """Requests that cannot be understood."""

    def test_framing(self) -> None:
        """Ambiguous framing is refused with 400 and a lingering close; nothing behind it is parsed."""
        for framing in (
            ["Content-Length: 5", "Transfer-Encoding: chunked"],
            ["Content-Length: 1", "Content-Length: 1"],
        ):
            channel, transport = self.serve(self.ignore)
            channel.dataReceived(head("PUT /200", *framing, "X: y") + head("GET /200"))
            channel.dataReceived(head("GET /200"))
            self.assertEqual([400], statuses(transport))
            self.assertTrue(transport.half_closed)
            self.assertEqual([], self.requests)

    def test_headers_too_large(self) -> None:
        """Headers over the limit are refused, in one line or in many."""
        for extra in (["X: " + "y" * 20000], [f"X-{number}: {'y' * 100}" for number in range(200)]):
            channel, transport = self.serve(self.ignore)
            channel.dataReceived(head("GET /200", *extra))
            self.assertEqual([431], statuses(transport))

    def test_header_limit(self) -> None:
        """How large the headers may be is configured."""
        self.limits = Limits(header_bytes=200)
        for status, line in ((431, "GET /200"), (414, "GET /" + "0" * 200)):
            channel, transport = self.serve(self.ignore)
            channel.dataReceived(head(line, "X: " + "y" * 190))
            self.assertEqual([status], statuses(transport))
        channel, transport = self.serve(self.ignore)
        channel.dataReceived(head("GET /200", "X: " + "y" * 100))
        self.assertEqual([200], statuses(transport))

    def test_bytes_behind_a_broken_chunk(self) -> None:
        """What still comes while the handler makes up its mind is dropped, and the handler may answer."""

        async def answer_later(request: Request) -> bytes:
            try:
                return await self.take(request)
            except BodyCut:
                await self.gate
                request.setResponseCode(409)
                return b""

        channel, transport = self.serve(answer_later)
        channel.dataReceived(head("PUT /a", "Transfer-Encoding: chunked") + b"zz\r\n")
        self.assertFalse(transport.reading)
        channel.dataReceived(b"more\r\n")
        self.assertFalse(transport.half_closed)
        self.gate.callback(None)
        self.assertEqual([409], statuses(transport))

    def test_cut_after_the_response_began(self) -> None:
        """A connection whose body was cut is not used again, even if the response had promised otherwise."""

        async def answer_while_reading(request: Request) -> None:
            request.setHeader("Content-Length", "5")
            request.write(b"begun")
            with contextlib.suppress(BodyCut):
                await self.take(request)

        channel, transport = self.serve(answer_while_reading)
        channel.dataReceived(head("PUT /a", "Transfer-Encoding: chunked") + b"zz\r\n" + head("GET /200"))
        self.assertTrue(transport.half_closed)
        self.assertEqual(1, len(self.requests))

    def test_not_http(self) -> None:
        """Anything else gets 400."""
        channel, transport = self.serve(self.ignore)
        channel.dataReceived(b"EHLO example.org\r\n\r\n")
        self.assertEqual([400], statuses(transport))
        self.assertEqual([400], [record.status for record in self.server.records])

    def test_malformed_chunk(self) -> None:
        """A broken chunk cuts the body; the handler may still answer, and the connection ends."""

        async def answer_for_it(request: Request) -> bytes:
            try:
                return await self.take(request)
            except BodyCut:
                request.setResponseCode(409)
                return b""

        channel, transport = self.serve(answer_for_it)
        channel.dataReceived(head("PUT /a", "Transfer-Encoding: chunked") + b"1\r\na\r\nzz\r\n" + head("GET /200"))
        self.assertEqual([409], statuses(transport))
        self.assertEqual((CutReason.MALFORMED, [b"a"]), (self.cuts[0].reason, self.pieces))
        self.assertTrue(transport.half_closed)

    def test_malformed_chunk_by_default(self) -> None:
        """A handler that lets the cut pass answers 400."""
        channel, transport = self.serve(self.take)
        channel.dataReceived(head("PUT /a", "Transfer-Encoding: chunked") + b"zz\r\n")
        self.assertEqual([400], statuses(transport))

    def test_broken_in_mid_response(self) -> None:
        """A response that has begun is cut, and no status line is written into it."""

        async def answer_while_reading(request: Request) -> None:
            request.write(b"begun")
            await self.take(request)

        channel, transport = self.serve(answer_while_reading)
        channel.dataReceived(head("PUT /a", "Transfer-Encoding: chunked") + b"zz\r\n")
        self.assertEqual([200], statuses(transport))
        self.assertTrue(transport.aborted)
        self.assertFalse(transport.value().endswith(b"0\r\n\r\n"))


class LeavingTests(ChannelCase):
    """Clients that go away."""

    def test_in_mid_body(self) -> None:
        """The handler is told how far the body came; nothing is answered, and nothing logged as an error."""
        channel, transport = self.serve(self.take)
        channel.dataReceived(head("PUT /a", "Content-Length: 10") + b"abc")
        with capturedLogs() as events:
            leave(channel)
        self.assertEqual([(CutReason.DISCONNECTED, 3, 10)], [(c.reason, c.received, c.length) for c in self.cuts])
        self.assertEqual(b"", transport.value())
        self.assertEqual([], [event for event in events if "log_failure" in event])
        self.assertEqual([(499, False)], [(record.status, record.complete) for record in self.server.records])

    def test_reader_that_nobody_cancels(self) -> None:
        """Code that reads the body apart from the handler is told too."""

        async def detach(request: Request) -> None:
            self.reading = Deferred.fromCoroutine(self.take(request))
            await Deferred()

        channel, _ = self.serve(detach)
        channel.dataReceived(head("PUT /a", "Content-Length: 10") + b"abc")
        leave(channel)
        self.failureResultOf(self.reading, BodyCut)

    def test_after_the_response(self) -> None:
        """A client that leaves while the rest of its body is dropped has had its answer: one record, complete."""
        channel, _ = self.serve(self.ignore)
        channel.dataReceived(head("PUT /404", "Content-Length: 10"))
        leave(channel)
        self.assertEqual([(404, True)], [(record.status, record.complete) for record in self.server.records])

    def test_while_the_handler_is_busy(self) -> None:
        """A handler that is busy elsewhere is cancelled."""
        cancelled: list[bool] = []
        self.gate = Deferred(lambda _: cancelled.append(True))
        channel, _ = self.serve(self.wait)
        channel.dataReceived(head("PUT /a", "Content-Length: 10") + b"abc")
        leave(channel)
        self.assertEqual([True], cancelled)

    def test_site_remembers_paused_connections(self) -> None:
        """A connection that is neither read nor written is held by its site until it ends."""
        channel, transport = self.serve(self.wait)
        channel.dataReceived(head("PUT /a", "Content-Length: 100000") + bytes(20000))
        self.assertFalse(transport.reading)
        self.assertEqual(1, self.server.site.open_connections)
        leave(channel)
        self.assertEqual(0, self.server.site.open_connections)


class FailingHandlerTests(ChannelCase):
    """Handlers that fail."""

    def test_before_the_response(self) -> None:
        """A failure is logged and answered with 500, with a flat error without a traceback."""

        async def fail(request: Request) -> bytes:
            raise ZeroDivisionError("secret")

        channel, transport = self.serve(fail)
        channel.dataReceived(head("GET /a"))
        self.assertEqual([500], statuses(transport))
        self.assertNotIn(b"secret", transport.value())
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_in_mid_response(self) -> None:
        """A response that has begun is cut off, and never gets a proper end."""

        async def fail(request: Request) -> bytes:
            request.write(b"begun")
            raise ZeroDivisionError

        channel, transport = self.serve(fail)
        channel.dataReceived(head("GET /a"))
        self.assertTrue(transport.aborted)
        self.assertTrue(transport.value().endswith(b"5\r\nbegun\r\n"), transport.value())
        self.flushLoggedErrors(ZeroDivisionError)
        self.assertEqual([(200, False)], [(record.status, record.complete) for record in self.server.records])

    def test_writing_on(self) -> None:
        """What a handler writes after the response was cut off is dropped."""

        async def write_on(request: Request) -> None:
            request.write(b"begun")
            request.abort()
            request.write(b"more")

        channel, transport = self.serve(write_on)
        # A real transport tells of its end a moment later.
        transport.protocol = None
        channel.dataReceived(head("GET /a"))
        self.assertTrue(transport.aborted)
        self.assertTrue(transport.value().endswith(b"begun\r\n"), transport.value())

    def test_no_file_for_a_body(self) -> None:
        """No temporary file is opened for a large body."""
        channel, _ = self.serve(self.wait)
        channel.dataReceived(head("PUT /a", "Content-Length: 1000000000"))
        self.assertIsInstance(self.requests[0].content, BytesIO)

    def test_no_type_by_default(self) -> None:
        """A response gets no Content-Type that its handler did not choose."""
        channel, transport = self.serve(self.ignore)
        channel.dataReceived(head("GET /404"))
        self.assertNotIn(b"\r\nContent-Type: ", transport.value())
