"""One connection: when the handler starts, when reading pauses, how a connection ends, and what refusals say."""

import json

from twisted.internet.defer import Deferred

from dockreg.web.limits import Limits
from dockreg.web.requests import Request
from tests.unit.web.wire import ChannelCase, Transport, head, statuses

KIBIBYTE = 1024


class StartTests(ChannelCase):
    """When a handler starts, and what it sees."""

    def test_at_the_end_of_the_headers(self) -> None:
        """The handler runs before any byte of the body has come."""
        channel, transport = self.serve(self.take)
        channel.dataReceived(head("PUT /a", "Content-Length: 5"))
        self.assertEqual(1, len(self.requests))
        channel.dataReceived(b"hel")
        channel.dataReceived(b"lo")
        self.assertEqual([b"hel", b"lo"], self.pieces)
        self.assertIn(b"took 5", transport.value())

    def test_handler_runs_once(self) -> None:
        """The end of the body does not start the handler again."""
        channel, transport = self.serve(self.ignore)
        channel.dataReceived(head("PUT /204", "Content-Length: 2") + b"ab" + head("GET /200"))
        self.assertEqual([204, 200], statuses(transport))
        self.assertEqual(2, len(self.requests))

    def test_continue_when_asked(self) -> None:
        """100 Continue is written when the handler first reads."""
        channel, transport = self.serve(self.wait)
        channel.dataReceived(head("PUT /a", "Content-Length: 2", "Expect: 100-continue"))
        self.assertEqual(b"", transport.value())
        self.gate.callback(None)
        self.assertEqual(b"HTTP/1.1 100 Continue\r\n\r\n", transport.value())

    def test_no_continue_when_bytes_came(self) -> None:
        """A client that did not wait is not told to go on."""
        channel, transport = self.serve(self.wait)
        channel.dataReceived(head("PUT /a", "Content-Length: 2", "Expect: 100-continue") + b"a")
        self.gate.callback(None)
        self.assertEqual(b"", transport.value())

    def test_no_continue_after_an_answer(self) -> None:
        """Once a response has begun there is no 100, and the connection will not be used again."""

        async def answer_then_read(request: Request) -> None:
            request.write(b"early")
            await request.body.read()

        channel, transport = self.serve(answer_then_read)
        channel.dataReceived(head("PUT /a", "Content-Length: 2", "Expect: 100-continue"))
        self.assertEqual([200], statuses(transport))
        self.assertIn(b"Connection: close\r\n", transport.value())

    def test_one_wakeup_for_a_read(self) -> None:
        """However many chunks one segment holds, the handler is woken once, with all of them."""
        channel, _ = self.serve(self.take)
        channel.dataReceived(head("PUT /a", "Transfer-Encoding: chunked"))
        self.between = Deferred()
        channel.dataReceived(b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n")
        self.assertEqual(b"abc", b"".join(self.pieces))

    def test_tls_hello(self) -> None:
        """The first byte of a TLS hello is answered in HTTP, at once, and nothing comes after that."""
        channel, transport = self.serve(self.take)
        channel.dataReceived(b"\x16\x03\x01")
        answer = transport.value()
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
        channel.dataReceived(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(answer, transport.value())


class BackPressureTests(ChannelCase):
    """Reading pauses with the handler."""

    limits = Limits(window_bytes=64 * KIBIBYTE, unasked_bytes=16 * KIBIBYTE)

    def test_unasked(self) -> None:
        """A body that was not asked for is read a little ahead, then no more until it is asked for."""
        channel, transport = self.serve(self.wait)
        channel.dataReceived(head("PUT /a", "Content-Length: 1000000"))
        self.assertTrue(transport.reading)
        channel.dataReceived(bytes(16 * KIBIBYTE))
        self.assertFalse(transport.reading)
        self.gate.callback(None)
        self.assertTrue(transport.reading)

    def test_slow_consumer(self) -> None:
        """While the consumer is busy no more than the window is queued; once it reads again, so do we."""
        channel, transport = self.serve(self.take)
        channel.dataReceived(head("PUT /a", "Content-Length: 1000000"))
        self.between = Deferred()
        sent = 0
        while transport.reading:
            channel.dataReceived(bytes(10 * KIBIBYTE))
            sent += 10
        # The consumer holds the first piece, the queue the window and at most one piece more.
        self.assertEqual(10 + 70, sent)
        busy, self.between = self.between, None
        busy.callback(None)
        self.assertTrue(transport.reading)
        self.assertEqual(80 * KIBIBYTE, sum(map(len, self.pieces)))

    def test_reading_resumes_behind_the_body(self) -> None:
        """Behind the last byte reading goes on, even if the handler has not caught up, to see the client leave."""
        channel, transport = self.serve(self.take)
        channel.dataReceived(head("PUT /a", f"Content-Length: {100 * KIBIBYTE}"))
        self.between = Deferred()
        channel.dataReceived(bytes(KIBIBYTE))
        channel.dataReceived(bytes(70 * KIBIBYTE))
        self.assertFalse(transport.reading)
        # Over TLS bytes still come that were decrypted before.
        channel.dataReceived(bytes(29 * KIBIBYTE))
        self.assertTrue(transport.reading)

    def test_full_send_buffer_does_not_stop_the_body(self) -> None:
        """A client that reads only after it has sent does not lock up a handler that answers while it reads."""
        channel, transport = self.serve(self.take)
        channel.dataReceived(head("PUT /a", "Content-Length: 1000000"))
        channel.pauseProducing()
        self.assertTrue(transport.reading)
        channel.resumeProducing()
        self.assertTrue(transport.reading)


class RefusalTests(ChannelCase):
    """Whoever refuses, the channel or the request, the response has a flat error."""

    def assert_flat(self, status: int, transport: Transport) -> None:
        """One response was written, a whole one of HTTP/1.1 that closes, with a sentence as its error."""
        start, _, body = transport.value().partition(b"\r\n\r\n")
        first, *lines = start.split(b"\r\n")
        self.assertEqual([b"HTTP/1.1", b"%d" % status], first.split(b" ")[:2])
        headers = dict(line.lower().split(b": ") for line in lines)
        self.assertEqual(
            (b"application/json", b"%d" % len(body), b"close"),
            (headers[b"content-type"], headers[b"content-length"], headers[b"connection"]),
        )
        document = json.loads(body)
        self.assertEqual(["error"], list(document))
        self.assertIsInstance(document["error"], str)

    def test_malformed(self) -> None:
        """What is no HTTP or has ambiguous framing gets 400, and what is longer than it may be, 414 or 431."""
        for status, request in (
            (400, b"EHLO example.org\r\n\r\n"),
            (400, head("PUT /200", "Content-Length: 5", "Transfer-Encoding: chunked")),
            (400, head("GET /200", "no header")),
            (400, head("GET /200", *["X: y"] * 501)),
            (414, head("GET /" + "y" * 20000)),
            (414, b"GET /" + b"y" * 20000),
            (431, head("GET /200", "X: " + "y" * 20000)),
            (431, head("GET /200")[:-2] + b"X: " + b"y" * 20000),
            (431, head("GET /200", *[f"X-{number}: {'y' * 100}" for number in range(200)])),
        ):
            channel, transport = self.serve(self.ignore)
            channel.dataReceived(request)
            self.assert_flat(status, transport)
            body = transport.value().partition(b"\r\n\r\n")[2]
            self.assertEqual(len(body), self.server.records[-1].bytes_sent)

    def test_too_slow(self) -> None:
        """Headers that do not end get 408."""
        channel, transport = self.serve(self.ignore)
        channel.dataReceived(b"GET /200 HTTP/1.1\r\nX: ")
        self.server.pass_time(self.limits.header_seconds)
        self.assert_flat(408, transport)

    def test_too_many(self) -> None:
        """A connection over the limit gets 503, and is told when to come again."""
        self.limits = Limits(connections_per_address=1)
        self.serve(self.ignore)
        _, transport = self.server.connect()
        self.assert_flat(503, transport)
        self.assertIn(b"\r\nRetry-After: 1\r\n", transport.value())

    def test_head(self) -> None:
        """A refusal of a HEAD request has no content, and the next connection's refusal has some again."""
        channel, transport = self.serve(self.ignore)
        channel.dataReceived(head("GET /200") + head("HEAD /200", "no header"))
        self.assertEqual([200, 400], statuses(transport))
        self.assertTrue(transport.value().endswith(b"\r\n\r\n"))
        channel, transport = self.serve(self.ignore)
        channel.dataReceived(head("HEAD /200") + b"nonsense\r\n")
        self.assertEqual([200, 400], statuses(transport))
        self.assertTrue(transport.value().endswith(b'"}'))

    def test_failed_handler(self) -> None:
        """A handler that fails is answered for with 500, without a word of what it raised."""

        async def fail(request: Request) -> bytes:
            raise ZeroDivisionError("secret")

        channel, transport = self.serve(fail)
        channel.dataReceived(head("GET /a", "Connection: close"))
        self.assert_flat(500, transport)
        self.assertNotIn(b"secret", transport.value())
        self.flushLoggedErrors(ZeroDivisionError)

    def test_cut_body(self) -> None:
        """A handler that lets a cut pass is answered for with its status and how far the body came."""
        channel, transport = self.serve(self.take)
        channel.dataReceived(head("PUT /a", "Transfer-Encoding: chunked") + b"1\r\na\r\nzz\r\n")
        self.assert_flat(400, transport)
        self.assertIn(b"after 1 of an unknown number bytes", transport.value())
