"""Bodies of requests over real sockets, on our site with an unchanged Klein."""

import socket
import struct
from functools import partial
from typing import Any

from attrs import evolve

from dockreg.web.bodies import CutReason
from tests.integration.streaming import Answer, Client, StreamingCase, chunked, content, digested, head

MEBIBYTE = 1024 * 1024
SIZES = (0, 1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 3 * MEBIBYTE + 7)


class EarlyAnswerTests(StreamingCase):
    """Answers that do not wait for the body."""

    async def test_refused_without_a_body_byte(self) -> None:
        """An early refusal leaves before any byte of the body was sent, and the connection is closed after it."""
        for status in (401, 404, 409, 413):

            def script(client: Client, status: int = status) -> tuple[Answer, bytes]:
                client.send(head(f"PUT /answer/{status}", "Content-Length: 1000000"))
                return client.answer(), client.rest()

            answer, rest = await self.talk(script)
            self.assertEqual((status, b"answered %d" % status, b""), (answer.status, answer.body, rest))
            self.assertEqual("close", answer.headers["connection"])

    async def test_refusal_reaches_a_sender(self) -> None:
        """A client that sends 30 MB before it reads sends all of it without an error, and then sees the refusal."""
        body = content(0, 30 * MEBIBYTE)
        framings = {f"Content-Length: {len(body)}": body, "Transfer-Encoding: chunked": chunked(body)}

        for framing, data in framings.items():

            def script(client: Client, framing: str = framing, data: bytes = data) -> Answer:
                return client.ask("PUT /answer/401", framing, body=data)

            answer = await self.talk(script)
            self.assertEqual(401, answer.status)

    async def test_too_large_by_length(self) -> None:
        """A document whose Content-Length is over the limit is refused before the client is asked to send it."""

        def script(client: Client) -> tuple[bytes, bytes]:
            client.send(head("PUT /small", "Content-Length: 1001", "Expect: 100-continue"))
            return client.line(), client.rest()

        line, _ = await self.talk(script)
        self.assertEqual(b"HTTP/1.1 500 Internal Server Error", line)
        self.flushLoggedErrors()

    async def test_small_rest_keeps_the_connection(self) -> None:
        """The rest of a small body that nobody asked for is dropped, and the next request is answered."""
        body = b"GET /answer/418 HTTP/1.1\r\nHost: evil\r\n\r\n" * 50
        framings = {f"Content-Length: {len(body)}": body, "Transfer-Encoding: chunked": chunked(body, body)}

        for framing, data in framings.items():

            def script(client: Client, framing: str = framing, data: bytes = data) -> tuple[Answer, Answer]:
                client.send(head("PUT /answer/404", framing))
                first = client.answer()
                client.send(data)
                return first, client.ask("GET /answer/200")

            first, second = await self.talk(script)
            self.assertEqual([404, 200], [first.status, second.status])
        self.assertNotIn("answer 418", self.application.calls)

    async def test_rest_is_never_a_request(self) -> None:
        """A body made of requests is not parsed as requests when its response is finished early."""
        body = b"GET /answer/418 HTTP/1.1\r\nHost: evil\r\n\r\n" * 20_000

        def script(client: Client) -> tuple[Answer, bytes]:
            client.send(head("PUT /half", f"Content-Length: {len(body)}") + body)
            return client.answer(), client.rest()

        answer, rest = await self.talk(script)
        self.assertEqual((200, b""), (answer.status, rest))
        self.assertEqual([], self.application.calls)

    async def test_failing_handler(self) -> None:
        """A handler that fails without reading answers 500, and the client sees it."""

        def script(client: Client) -> Answer:
            return client.ask("PUT /raise", f"Content-Length: {MEBIBYTE}", body=bytes(MEBIBYTE))

        answer = await self.talk(script)
        self.assertEqual(500, answer.status)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))


class ExpectTests(StreamingCase):
    """``Expect: 100-continue``."""

    async def test_continues_when_asked(self) -> None:
        """100 is sent once the handler wants the body, and not before."""

        def wait(client: Client) -> bool:
            client.send(head("PUT /gated", "Content-Length: 5", "Expect: 100-continue"))
            quiet = client.silent_for(0.2)
            self.reactor_call(self.application.gate.callback, None)
            return quiet

        def script(client: Client) -> tuple[bool, Answer, Answer, Answer]:
            quiet = wait(client)
            go_on = client.answer()
            client.send(b"hello")
            return quiet, go_on, client.answer(), client.ask("GET /answer/200")

        quiet, go_on, answer, following = await self.talk(script)
        self.assertTrue(quiet)
        self.assertEqual([100, 200, 200], [go_on.status, answer.status, following.status])
        self.assertEqual(digested(b"hello"), answer.body)

    async def test_refused(self) -> None:
        """A refused client gets no 100, and whatever it sends is never answered."""

        def script(client: Client) -> tuple[Answer, bytes]:
            client.send(head("PUT /answer/401", "Content-Length: 5", "Expect: 100-continue"))
            answer = client.answer()
            client.send(head("GET /answer/200"))
            return answer, client.rest()

        answer, rest = await self.talk(script)
        self.assertEqual((401, "close", b""), (answer.status, answer.headers["connection"], rest))

    async def test_empty_body(self) -> None:
        """Nobody is asked to send nothing."""

        def script(client: Client) -> Answer:
            return client.ask("PUT /upload", "Content-Length: 0", "Expect: 100-continue")

        self.assertEqual(200, (await self.talk(script)).status)


class FramingTests(StreamingCase):
    """How a body ends, and how it does not."""

    async def test_lengths(self) -> None:
        """Bodies of every size arrive whole, by length and chunked, on one connection."""

        def script(client: Client) -> list[Answer]:
            answers = []
            for size in SIZES:
                data = content(size, size)
                answers.append(client.ask("PUT /upload", f"Content-Length: {size}", body=data))
                pieces = [data[at : at + 10_007] for at in range(0, size, 10_007)]
                answers.append(client.ask("PUT /upload", "Transfer-Encoding: chunked", body=chunked(*pieces)))
            return answers

        answers = await self.talk(script)
        expected = [digested(content(size, size)) for size in SIZES for _ in range(2)]
        self.assertEqual(expected, [answer.body for answer in answers])

    async def test_byte_by_byte(self) -> None:
        """A request that comes in single bytes is the same request."""

        def script(client: Client) -> Answer:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in head("PUT /upload", "Transfer-Encoding: chunked") + chunked(b"hello", b"world"):
                client.send(bytes([byte]))
            return client.answer()

        self.assertEqual(digested(b"helloworld"), (await self.talk(script)).body)

    async def test_cut_short(self) -> None:
        """A client that leaves in the middle leaves a cut body, however it leaves."""

        def leave(client: Client, data: bytes, *, reset: bool) -> None:
            client.send(data)
            if reset:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        cases = [
            (head("PUT /upload", "Content-Length: 10") + b"123", 3, 10),
            (head("PUT /upload", "Transfer-Encoding: chunked") + b"3\r\n123\r\n", 3, None),
            (head("PUT /upload", "Transfer-Encoding: chunked") + b"3\r\n123\r\n0\r\n", 3, None),
            (head("PUT /upload", "Transfer-Encoding: chunked") + b"9\r\n123", 3, None),
        ]
        for data, received, length in cases:
            for reset in (False, True):
                await self.talk(partial(leave, data=data, reset=reset))
                await self.until(lambda: self.application.cuts)
                cut = self.application.cuts.pop()
                if not reset:
                    # A reset may overtake what was sent before it.
                    self.assertEqual((received, length), (cut.received, cut.length))
                self.assertEqual(CutReason.DISCONNECTED, cut.reason)
                await self.until(lambda: self.site.open_connections == 0)
        self.assertEqual([499] * 8, [record.status for record in self.records])

    async def test_malformed_chunk(self) -> None:
        """A broken chunk cuts the body; the client is told so with 400, and the connection ends."""

        def script(client: Client) -> tuple[Answer, bytes]:
            client.send(head("PUT /upload", "Transfer-Encoding: chunked") + b"3\r\n123\r\nzz\r\n" + bytes(MEBIBYTE))
            return client.answer(), client.rest()

        answer, rest = await self.talk(script)
        self.assertEqual((400, "close", b""), (answer.status, answer.headers["connection"], rest))
        self.assertEqual([CutReason.MALFORMED], [cut.reason for cut in self.application.cuts])

    async def test_ambiguous_framing(self) -> None:
        """Framing that two parsers could read in two ways is refused, the handler does not run, the sender sees it."""
        framings = [
            ["Content-Length: 5", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: chunked", "Content-Length: 5"],
            ["Content-Length: 5", "Content-Length: 6"],
            ["Content-Length: +5"],
            ["Content-Length: 5, 5"],
            ["Transfer-Encoding: gzip, chunked"],
            ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding : chunked"],
            ["Content Length: 5"],
        ]
        for framing in framings:

            def script(client: Client, framing: list[str] = framing) -> tuple[Answer, bytes]:
                client.send(head("PUT /upload", *framing) + b"0\r\n\r\n" + bytes(3 * MEBIBYTE))
                return client.answer(), client.rest()

            answer, rest = await self.talk(script)
            self.assertEqual((400, b""), (answer.status, rest), framing)
        self.assertEqual([], self.application.calls)

    async def test_form_is_not_parsed(self) -> None:
        """A body of a form type reaches the handler as bytes, and is not parsed in memory."""
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=b"):
            data = b"--b\r\nname=value&" * 1000

            def script(client: Client, kind: str = kind, data: bytes = data) -> Answer:
                length = f"Content-Length: {len(data)}"
                return client.ask("POST /upload?q=1", f"Content-Type: {kind}", length, body=data)

            self.assertEqual(digested(data), (await self.talk(script)).body)
            self.assertEqual({b"q": [b"1"]}, self.application.arguments.pop())


class ConnectionTests(StreamingCase):
    """Several requests on a connection."""

    async def test_pipelined(self) -> None:
        """Requests behind a streamed upload wait for it, and are answered in order."""
        body = content(0, MEBIBYTE)
        uploads = head("PUT /upload", f"Content-Length: {len(body)}") + body
        uploads += head("GET /answer/201")
        uploads += head("PUT /upload", "Transfer-Encoding: chunked") + chunked(body, b"tail")
        uploads += head("PUT /answer/404", "Content-Length: 3") + b"abc" + head("GET /answer/202")

        def script(client: Client) -> list[Answer]:
            client.send(uploads)
            return [client.answer() for _ in range(5)]

        answers = await self.talk(script)
        self.assertEqual([200, 201, 200, 404, 202], [answer.status for answer in answers])
        self.assertEqual([digested(body), digested(body + b"tail")], [answers[0].body, answers[2].body])

    async def test_many_small_uploads(self) -> None:
        """A thousand pipelined uploads and refusals are answered one by one."""
        one = head("PUT /upload", "Content-Length: 5") + b"hello" + head("PUT /answer/409", "Content-Length: 2") + b"no"

        def script(client: Client) -> list[int]:
            client.send(one * 500)
            return [client.answer().status for _ in range(1000)]

        self.assertEqual([200, 409] * 500, await self.talk(script))

    async def test_old_http(self) -> None:
        """A client of HTTP/1.0 is answered, never told to continue, and the connection closed."""

        def script(client: Client) -> bytes:
            client.send(b"PUT /upload HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")
            return client.rest()

        answer = await self.talk(script)
        self.assertTrue(answer.startswith(b"HTTP/1.0 200 OK\r\n"), answer)
        self.assertTrue(answer.endswith(digested(b"hello")), answer)

    async def test_close_is_honoured(self) -> None:
        """``Connection: close`` closes the connection, also as one of several options."""

        def script(client: Client) -> tuple[Answer, bytes]:
            client.send(head("GET /answer/200", "Connection: foo, close"))
            return client.answer(), client.rest()

        answer, rest = await self.talk(script)
        self.assertEqual(("close", b""), (answer.headers["connection"], rest))

    async def test_tls_hello(self) -> None:
        """A TLS hello on a plain port is answered in HTTP, which clients recognise, and ends the connection at once."""

        def script(client: Client) -> bytes:
            client.send(bytes.fromhex("16030100c8010000c40303"))
            return client.rest()

        answer = await self.talk(script)
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
        self.assertEqual([400], [record.status for record in self.records])


class BackPressureTests(StreamingCase):
    """A consumer slower than its client."""

    async def test_unasked(self) -> None:
        """While the handler does not ask, hardly anything is read, and the client is held up."""
        body = bytes(30 * MEBIBYTE)

        def script(client: Client) -> tuple[int, Answer]:
            client.send(head("PUT /gated", f"Content-Length: {len(body)}"))
            sent = self.fill(client, body)
            self.reactor_call(self.application.gate.callback, None)
            client.send(body[sent:])
            return sent, client.answer()

        sent, answer = await self.talk(script)
        self.assertEqual(digested(body), answer.body)
        self.assertTrue(sent < 16 * MEBIBYTE, sent)

    @staticmethod
    def fill(client: Client, body: bytes) -> int:
        """Send until nothing is taken for a while; how much was."""
        client.socket.settimeout(0.3)
        sent = 0
        try:
            while sent < len(body):
                sent += client.socket.send(body[sent : sent + 65536])
        except TimeoutError:
            pass
        client.socket.settimeout(10)
        return sent


class TimeoutTests(StreamingCase):
    """Slow clients, in real time; ``tests/unit/web/test_channel.py`` has the exact times."""

    limits = evolve(
        StreamingCase.limits, header_seconds=0.3, body_idle_seconds=0.3, keep_alive_seconds=0.3, linger_idle_seconds=0.2
    )

    async def test_body_idle(self) -> None:
        """A body that stands still is answered with 408, and the connection ends."""

        def script(client: Client) -> tuple[Answer, bytes]:
            client.send(head("PUT /upload", "Content-Length: 10") + b"123")
            return client.answer(), client.rest()

        answer, rest = await self.talk(script)
        self.assertEqual((408, b""), (answer.status, rest))
        self.assertEqual([CutReason.TIMED_OUT], [cut.reason for cut in self.application.cuts])

    async def test_idle_connection(self) -> None:
        """A connection that asks nothing is closed, before a request and between two."""

        def script(client: Client) -> Any:
            answer = client.ask("PUT /upload", "Content-Length: 2", body=b"ab")
            return answer.status, client.rest()

        self.assertEqual((200, b""), await self.talk(script))
        self.assertEqual(b"", await self.talk(Client.rest))
