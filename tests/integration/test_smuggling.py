"""
Requests that are made to be read in two ways, written to a socket.

Each attack hides a request in another one. It has succeeded when the hidden one is answered, or when the handler of the
other one sees a body that its sender may not have meant.
"""

import socket

from tests.integration.streaming import Answer, Client, StreamingCase, chunked, digested, head

_HIDDEN = head("GET /answer/418")
_PUT = "PUT /upload HTTP/1.1"


def _raw(first: str, *lines: bytes) -> bytes:
    return b"\r\n".join([first.encode(), b"Host: registry", *lines, b"", b""])


class HeaderTests(StreamingCase):
    """Headers that leave in doubt where a body ends."""

    async def assert_refused(self, attack: bytes, status: int = 400) -> None:
        """One answer comes, and nothing after it; no handler has run."""

        def script(client: Client) -> tuple[Answer, bytes]:
            client.send(attack)
            return client.answer(), client.rest()

        answer, rest = await self.talk(script)
        self.assertEqual((status, "close", b""), (answer.status, answer.headers["connection"], rest), attack)
        self.assertEqual([], self.application.calls, attack)

    async def test_two_lengths(self) -> None:
        """A length beside another length, or beside a coding, is refused, in whichever order."""
        chunk, length = b"Transfer-Encoding: chunked", b"Content-Length: 5"
        for lines in (
            [length, chunk],
            [chunk, length],
            [length, b"Content-Length: 6"],
            [length, length],
            [length, b"Content-Length: 0"],
            [b"Content-Length: 0", chunk],
            [chunk, b"Content-Length: 0"],
            [length, b"Transfer-Encoding: identity"],
            [b"Transfer-Encoding: identity", length],
            [chunk, b"Transfer-Encoding: identity"],
            [b"Transfer-Encoding: identity", chunk],
            [chunk, chunk],
            [b"content-length: 5", b"CONTENT-LENGTH: 5"],
        ):
            await self.assert_refused(_raw(_PUT, *lines) + b"0\r\n\r\n" + _HIDDEN)

    async def test_lengths(self) -> None:
        """A length that is not one number in digits is refused, however long it is."""
        for value in (
            b"+5", b"-5", b"5, 5", b"5,6", b"0x5", b"5 5", b"", b"5.0", b"1e1", b"\xb2", b"5;", b"9" * 20, b"9" * 5000, b"5\x00",
            b"5\x0b", b"_5", b"5_0",
        ):  # fmt: skip
            await self.assert_refused(_raw(_PUT, b"Content-Length: " + value) + b"hello" + _HIDDEN)

    async def test_codings(self) -> None:
        """A coding other than ``chunked`` alone is refused, however it is disguised."""
        for value in (
            b"xchunked", b"chunkedx", b"chunked, identity", b"identity, chunked", b"gzip, chunked", b"chunked, chunked", b"identity",
            b"", b'"chunked"', b"chunked;q=1", b"chunked\x00", b"\x0bchunked", b"chunked\x0b", b"\x0cchunked", b"chun ked",
            b"chunked,", b",chunked", b"\xefchunked", b"cow", b"chu\tnked",
        ):  # fmt: skip
            await self.assert_refused(_raw(_PUT, b"Transfer-Encoding: " + value) + b"0\r\n\r\n" + _HIDDEN)

    async def test_names(self) -> None:
        """A name that is not exactly a name is refused, and never taken for the name that it looks like."""
        for line in (
            b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked", b" Transfer-Encoding: chunked",
            b"Transfer\x00-Encoding: chunked", b"Transfer-Encoding\x0b: chunked", b"Transfer-Encoding\x00: chunked",
            b'"Transfer-Encoding": chunked', b"Transfer Encoding: chunked", b": chunked", b"Transfer-Encoding",
            b"Content-Length : 5", b"Content\xadLength: 5", b"Content-Length\r: 5", b"(Content-Length): 5",
        ):  # fmt: skip
            await self.assert_refused(_raw(_PUT, line) + b"0\r\n\r\n" + _HIDDEN)

    async def test_line_ends(self) -> None:
        """A line ends with CR and LF. One of them alone is refused, wherever it stands."""
        for attack in (
            b"PUT /upload HTTP/1.1\nHost: registry\nContent-Length: 5\n\nhello\r\n\r\n" + _HIDDEN,
            b"PUT /upload HTTP/1.1\r\nHost: registry\nContent-Length: 5\r\n\r\nhello" + _HIDDEN,
            b"PUT /upload HTTP/1.1\r\nHost: registry\rContent-Length: 5\r\n\r\nhello" + _HIDDEN,
            b"PUT /upload HTTP/1.1\r\nX: y\n\nGET /answer/418 HTTP/1.1\r\nHost: registry\r\n\r\n",
            b"PUT /upload HTTP/1.1\r\nX: y\n\r\nContent-Length: 5\r\n\r\nhello" + _HIDDEN,
            b"PUT /upload HTTP/1.1\r\nX: \rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + _HIDDEN,
            b"PUT /upload HTTP/1.1\rHost: registry\r\n\r\n" + _HIDDEN,
            b"PUT /upload\rGET /answer/418 HTTP/1.1\r\n\r\n",
        ):
            await self.assert_refused(attack)

    async def test_folded(self) -> None:
        """A header that goes on in the next line is refused, also where it is the first or the last one."""
        for lines in (
            [b"X: y", b" z", b"Content-Length: 5"],
            [b"Transfer-Encoding:", b" chunked"],
            [b"Transfer-Encoding: chunked", b" , identity"],
            [b"Content-Length: 5", b"\t5"],
            [b" X: y", b"Content-Length: 5"],
            [b"X: y", b" "],
        ):
            await self.assert_refused(_raw(_PUT, *lines) + b"0\r\n\r\n" + _HIDDEN)
        await self.assert_refused(b"PUT /upload HTTP/1.1\r\n Host: registry\r\n\r\n" + _HIDDEN)
        await self.assert_refused(b" PUT /upload HTTP/1.1\r\nHost: registry\r\n\r\n" + _HIDDEN)

    async def test_first_line(self) -> None:
        """A first line that is not a method, a target and a version is refused."""
        for first in (
            "PUT /upload", "PUT  /upload HTTP/1.1", "PUT /upload HTTP/1.1 ", "PUT\t/upload HTTP/1.1", "PUT /upload HTTP/1.2",
            "PUT /upload HTTP/2.0", "PUT /upload http/1.1", "PUT /upload HTTP/1.1x", "PUT /up load HTTP/1.1",
            "P(UT) /upload HTTP/1.1", "/upload HTTP/1.1", "PRI * HTTP/2.0", "PUT /upload HTTP/0.9", "PUT /\x7fupload HTTP/1.1 x",
        ):  # fmt: skip
            await self.assert_refused(_raw(first, b"Content-Length: 0") + _HIDDEN)

    async def test_old_version(self) -> None:
        """A coding in a request of HTTP/1.0, which has none, is refused."""
        await self.assert_refused(_raw("PUT /upload HTTP/1.0", b"Transfer-Encoding: chunked") + b"0\r\n\r\n" + _HIDDEN)


class BodyTests(StreamingCase):
    """Bodies that leave in doubt where they end."""

    async def assert_cut(self, body: bytes) -> None:
        """The handler never gets the whole of a chunked body, and the hidden request is not answered."""

        def script(client: Client) -> tuple[Answer, bytes]:
            client.send(head("PUT /upload", "Transfer-Encoding: chunked") + body + _HIDDEN)
            return client.answer(), client.rest()

        answer, rest = await self.talk(script)
        self.assertEqual((400, b""), (answer.status, rest), body)
        self.assertEqual(["upload"], self.application.calls, body)
        self.assertEqual(1, len(self.application.cuts), body)
        self.application.calls.clear()
        self.application.cuts.clear()

    async def test_chunk_sizes(self) -> None:
        """A size that is not hexadecimal digits ends the connection."""
        for size in (
            b"0x5",
            b"+5",
            b"-5",
            b"5 ",
            b" 5",
            b"5\t",
            b"\xb2",
            b"5_0",
            b"",
            b"zz",
            b"5\x00",
            b"5.",
            b"'5'",
            b"f" * 2000,
        ):
            await self.assert_cut(size + b"\r\nhello\r\n0\r\n\r\n")

    async def test_chunk_ends(self) -> None:
        """A chunk ends where its size says, with CR and LF, and so does the line of its size."""
        for body in (
            b"5\nhello\n0\n\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhelloX\r\n0\r\n\r\n",
            b"5\r\nhello\r0\r\n\r\n",
            b"5\r\nhell\r\n0\r\n\r\n",
            b"5\rhello\r\n0\r\n\r\n",
            b"5\r\r\nhello\r\n0\r\n\r\n",
            b"0\n\r\n" + b"\r\n",
        ):
            await self.assert_cut(body)

    async def test_extensions(self) -> None:
        """An extension of a chunk with anything but printable characters ends the connection, and so does a long one."""
        for extension in (b";a\nb", b";\n", b";a\rb", b";a\x00", b';a="\nGET /"', b";" + b"x" * 2000):
            await self.assert_cut(b"5" + extension + b"\r\nhello\r\n0\r\n\r\n")
            await self.assert_cut(b"5\r\nhello\r\n0" + extension + b"\r\n\r\n")

    async def test_trailers(self) -> None:
        """Lines behind the last chunk that are no headers end the connection."""
        for trailer in (
            b"GET /answer/418 HTTP/1.1", b"X: y\nZ: z", b"\n", b" X: y", b"X : y", b"X: \x00", b": y", b"X: y\r", b"X: " + b"y" * 70_000,
        ):  # fmt: skip
            await self.assert_cut(b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n\r\n")

    async def test_valid(self) -> None:
        """What is unusual but plain is taken: extensions, leading zeros, trailers, whose content is not looked at."""
        bodies = (
            b"5;a=b\r\nhello\r\n0\r\n\r\n",
            b'5;a="b c";d\r\nhello\r\n0;e\r\n\r\n',
            b"0005\r\nhello\r\n00\r\n\r\n",
            b"5\r\nhello\r\n0\r\nX: y\r\nContent-Length: 99\r\nTransfer-Encoding: gzip\r\n\r\n",
        )

        def script(client: Client) -> list[Answer]:
            put = head("PUT /upload", "Transfer-Encoding: CHUNKED")
            answers = []
            for body in bodies:
                client.send(put + body)
                answers.append(client.answer())
            return answers

        self.assertEqual([digested(b"hello")] * len(bodies), [answer.body for answer in await self.talk(script)])

    async def test_body_of_requests(self) -> None:
        """A body that consists of requests is a body, for every method and framing."""
        body = _HIDDEN * 10
        for method in ("PUT", "POST", "GET"):
            for framing, sent in (
                (f"Content-Length: {len(body)}", body),
                ("Transfer-Encoding: chunked", chunked(body)),
            ):

                def script(client: Client, method: str = method, framing: str = framing, sent: bytes = sent) -> Answer:
                    return client.ask(f"{method} /upload", framing, body=sent)

                self.assertEqual(digested(body), (await self.talk(script)).body)
        self.assertEqual(["upload"] * 6, self.application.calls)

    async def test_early_answer(self) -> None:
        """What is left of a body after an early answer is never a request, in whichever pieces it comes."""

        def script(client: Client) -> list[int]:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.send(head("PUT /answer/404", f"Content-Length: {len(_HIDDEN)}"))
            statuses = [client.answer().status]
            for byte in _HIDDEN + head("GET /answer/200"):
                client.send(bytes([byte]))
            return [*statuses, client.answer().status]

        self.assertEqual([404, 200], await self.talk(script))
        self.assertEqual(["answer 404", "answer 200"], self.application.calls)
