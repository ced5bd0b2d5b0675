"""Answers that are given before the body of their request has ended."""

from dockreg.web.bodies import BodyCut, CutReason
from dockreg.web.requests import Request
from tests.unit.web.wire import ChannelCase, head, statuses

KIBIBYTE = 1024


class EarlyAnswerTests(ChannelCase):
    """A response that is finished before its body."""

    def test_small_rest_is_dropped(self) -> None:
        """A small rest is read and dropped, and the connection lives on."""
        channel, transport = self.serve(self.ignore)
        channel.dataReceived(head("PUT /404", "Content-Length: 100"))
        channel.dataReceived(b"GET /200 HTTP/1.1\r\n\r\n" + bytes(79))
        self.assertEqual([404], statuses(transport))
        channel.dataReceived(head("GET /200"))
        self.assertEqual([404, 200], statuses(transport))
        self.assertNotIn(b"Connection: close", transport.value())

    def test_large_rest_closes(self) -> None:
        """With much to come the answer says close, the write side is closed, and what comes is dropped."""
        channel, transport = self.serve(self.ignore)
        channel.dataReceived(head("PUT /401", "Content-Length: 65537"))
        self.assertIn(b"Connection: close\r\n", transport.value())
        self.assertTrue(transport.half_closed)
        self.assertFalse(transport.disconnecting)
        self.assertTrue(transport.reading)
        channel.dataReceived(bytes(65537) + head("GET /200"))
        self.assertEqual(1, len(self.requests))

    def test_paused_reading_goes_on(self) -> None:
        """A connection whose body had filled its window is read again, to drop what comes."""

        async def refuse_later(request: Request) -> None:
            await self.gate
            request.setResponseCode(401)

        channel, transport = self.serve(refuse_later)
        channel.dataReceived(head("PUT /a", "Content-Length: 1000000") + bytes(20 * KIBIBYTE))
        self.assertFalse(transport.reading)
        self.gate.callback(None)
        self.assertTrue(transport.half_closed)
        self.assertTrue(transport.reading)

    def test_requests_behind_a_close(self) -> None:
        """Requests behind one that closes are not answered, and the close lingers, for more of them may be unread."""
        channel, transport = self.serve(self.wait)
        channel.dataReceived(head("GET /a", "Connection: close") + head("GET /b"))
        self.gate.callback(None)
        self.assertEqual([200], statuses(transport))
        self.assertEqual((True, False), (transport.half_closed, transport.disconnecting))

    def test_no_producer_is_left(self) -> None:
        """The channel leaves the transport before it closes for writing: else the transport would not do it."""
        channel, transport = self.serve(self.ignore)
        channel.dataReceived(head("PUT /401", "Content-Length: 65537"))
        self.assertIsNone(transport.producer)

    def test_chunked_rest_has_a_limit(self) -> None:
        """A chunked rest, whose size nobody knows, is dropped up to the limit; then the connection closes."""
        channel, transport = self.serve(self.ignore)
        channel.dataReceived(head("PUT /404", "Transfer-Encoding: chunked"))
        self.assertFalse(transport.half_closed)
        channel.dataReceived(b"8000\r\n" + bytes(0x8000) + b"\r\n")
        self.assertFalse(transport.half_closed)
        channel.dataReceived(b"8000\r\n" + bytes(0x8000) + b"\r\n")
        self.assertTrue(transport.half_closed)

    def test_chunked_rest_of_much(self) -> None:
        """The answer says close when a chunked rest is likely to be long: it failed, or there was much before."""
        for path, size, closes in (("/507", 0, True), ("/507", 10, True), ("/404", 10, False), ("/404", 65537, True)):

            async def refuse_later(request: Request, status: int = int(path[1:]), size: int = size) -> None:
                while sum(map(len, self.pieces)) < size:
                    self.pieces += await request.body.read()
                request.setResponseCode(status)

            self.pieces.clear()
            channel, transport = self.serve(refuse_later)
            channel.dataReceived(
                head(f"PUT {path}", "Transfer-Encoding: chunked") + b"%x\r\n" % (size + 1) + bytes(size)
            )
            self.assertEqual([int(path[1:])], statuses(transport))
            self.assertEqual(closes, b"Connection: close\r\n" in transport.value(), (path, size))
            self.assertEqual(closes, transport.half_closed)

    def test_rest_has_a_time(self) -> None:
        """A rest that does not come keeps the connection for the lingering time, and then for the idle time."""
        channel, transport = self.serve(self.ignore)
        channel.dataReceived(head("PUT /404", "Content-Length: 100"))
        self.server.pass_time(29)
        self.assertFalse(transport.half_closed)
        self.server.pass_time(1)
        self.assertTrue(transport.half_closed)
        self.server.pass_time(5)
        self.assertTrue(transport.aborted)

    def test_malformed_rest(self) -> None:
        """A rest that breaks its framing ends the connection, without a second answer."""
        channel, transport = self.serve(self.ignore)
        channel.dataReceived(head("PUT /404", "Transfer-Encoding: chunked") + b"zz\r\n" + head("GET /200"))
        self.assertEqual([404], statuses(transport))
        self.assertTrue(transport.half_closed)

    def test_reading_on_is_an_error(self) -> None:
        """A handler that reads after it has finished is told that nothing will come."""

        async def finish_then_read(request: Request) -> None:
            request.write(b"done")
            request.finish()
            try:
                await request.body.read()
            except BodyCut as cut:
                self.cuts.append(cut)

        channel, _ = self.serve(finish_then_read)
        channel.dataReceived(head("PUT /a", "Content-Length: 10") + b"abc")
        self.assertEqual([CutReason.ABANDONED], [cut.reason for cut in self.cuts])

    def test_finish_in_the_last_read(self) -> None:
        """A handler that finishes as the last byte comes keeps the connection, and the next request is answered."""
        channel, transport = self.serve(self.take)
        channel.dataReceived(head("PUT /a", "Content-Length: 3") + b"ab")
        channel.dataReceived(b"c" + head("PUT /b", "Content-Length: 1") + b"d")
        self.assertEqual([200, 200], statuses(transport))
