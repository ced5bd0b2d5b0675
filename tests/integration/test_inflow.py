"""Bodies that threads read from real sockets."""

import contextlib
import random
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, cast

from attrs import evolve
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.web.server import Request

from dockreg.callables import Piece
from dockreg.web import inflow, receiving
from dockreg.web.bodies import CutReason, IRequestBody
from dockreg.web.inflow import Inflow, Inflows
from dockreg.web.site import Site
from dockreg.web.sockets import duplicate
from dockreg.web.watch import Phase
from tests.integration.streaming import (
    PATIENCE_SECONDS,
    Answer,
    Application,
    Client,
    StreamingCase,
    chunked,
    content,
    digested,
    head,
)

MEBIBYTE = 1024 * 1024
SIZE = 5 * MEBIBYTE + 7


class PouringApplication(Application):
    """Digests bodies in threads, which read them where they may."""

    def __init__(self) -> None:
        super().__init__()
        #: Bytes that threads have read.
        self.poured = 0
        #: Called with each piece, in a thread.
        self.look: Callable[[Piece], object] = len
        #: Fires when the thread has come to its end whose request was answered before.
        self.late: Deferred[int] | None = None
        #: Called when a thread has read a body to its end, in that thread.
        self.at_end: Callable[[], object] = lambda: None
        self.app.route("/poured", methods=["PUT"])(self.pour)
        self.app.route("/impatient", methods=["PUT"])(self.answer_first)

    async def pour(self, request: Request) -> bytes:
        """Digest the whole body."""
        body = IRequestBody(request)

        async def pour(seen: Any) -> int:
            def take(inflow: Inflow) -> None:
                while piece := inflow.fetch():
                    self.look(piece)
                    seen.update(piece)
                if inflow.is_whole:
                    self.at_end()

            poured = await body.pour(lambda fetch: deferToThread(take, cast("Inflow", fetch)), MEBIBYTE)
            self.poured += poured
            return poured

        return await self.digest(body, pour)

    async def answer_first(self, request: Request) -> bytes:
        """Answer while a thread still reads, which comes to its end when all is said."""
        body, answered = IRequestBody(request), threading.Event()
        _ = request.notifyFinish().addBoth(lambda _: answered.set())

        def take(fetch: Callable[[], Piece]) -> None:
            fetch()
            answered.wait(PATIENCE_SECONDS)

        while True:
            await body.read()
            self.late = Deferred.fromCoroutine(body.pour(lambda fetch: deferToThread(take, fetch), MEBIBYTE))
            if not self.late.called:
                return b"answered"


class InflowCase(StreamingCase):
    """Serves that application."""

    application: PouringApplication

    def make_application(self) -> PouringApplication:
        return PouringApplication()

    def make_site(self) -> Site:
        site = super().make_site()
        site.inflows = Inflows(lambda: False)
        return site


class InflowTests(InflowCase):
    """What comes of a body does not depend on who reads it."""

    def framings(self, body: bytes) -> dict[str, bytes]:
        """The ways to send a body, by name."""
        cuts = random.Random(7)
        pieces, at = [], 0
        while at < len(body):
            size = cuts.choice((1, 7, 100, 5_000, 32_768, 1_000_000))
            pieces.append(body[at : at + size])
            at += size
        extended = b"".join(b"%x;name=value\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        docker = [body[first : first + 32_768] for first in range(0, len(body), 32_768)]
        return {
            f"Content-Length: {len(body)}": body,
            "Transfer-Encoding: chunked": chunked(*docker),
            "transfer-encoding: chunked": chunked(*pieces),
            "Transfer-encoding: chunked": chunked(body),
            "transfer-Encoding: chunked": extended + b"0\r\nX-Trailer: y\r\n\r\n",
        }

    async def test_whole(self) -> None:
        """A body is whole in every framing, threads have read most of it, and the next request is a request."""
        body = content(0, SIZE)
        for framing, data in self.framings(body).items():
            for path in ("/poured", "/upload"):

                def script(
                    client: Client, framing: str = framing, data: bytes = data, path: str = path
                ) -> list[Answer]:
                    client.send(head(f"PUT {path}", framing) + data + head("GET /answer/418"))
                    return [client.answer(), client.answer(), client.ask("GET /answer/200")]

                answers = await self.talk(script)
                self.assertEqual([200, 418, 200], [each.status for each in answers], framing)
                self.assertEqual(digested(body), answers[0].body, framing)
        self.assertGreater(self.application.poured, 5 * SIZE // 2)
        puts = [each for each in self.records if each.method == "PUT"]
        self.assertEqual({SIZE}, {each.bytes_received for each in puts})

    async def test_answered_first(self) -> None:
        """Who answers without waiting for the thread that reads has the connection cut, at once, and nothing goes on."""

        def script(client: Client) -> None:
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                client.send(head("PUT /impatient", f"Content-Length: {SIZE}") + content(0, SIZE))
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                client.rest()

        await self.talk(script)
        assert self.application.late is not None
        await self.application.late

    async def test_slow_sender(self) -> None:
        """A client that stops and goes on again at any place is read to its end."""
        body = content(0, 2 * MEBIBYTE)
        for framing, data in self.framings(body).items():

            def script(client: Client, framing: str = framing, data: bytes = data) -> Answer:
                client.send(head("PUT /poured", framing))
                for first in range(0, len(data), 300_001):
                    client.send(data[first : first + 300_001])
                    time.sleep(0.04)
                return client.answer()

            self.assertEqual(digested(body), (await self.talk(script)).body, framing)

    async def test_many(self) -> None:
        """Several at once do not mix."""
        bodies = [content(number, SIZE) for number in range(6)]

        def script(client: Client, body: bytes) -> Answer:
            return client.ask(
                "PUT /poured", "Transfer-Encoding: chunked", body=chunked(body[:MEBIBYTE], body[MEBIBYTE:])
            )

        talks = [self.talk(lambda client, body=body: script(client, body)) for body in bodies]  # type: ignore[misc]
        answers = await gatherResults([Deferred.fromCoroutine(each) for each in talks])
        self.assertEqual([digested(body) for body in bodies], [each.body for each in answers])

    async def test_vanished(self) -> None:
        """A client that goes away in the middle cuts the body, however it goes; what it has sent has been read."""
        sent = SIZE // 2
        for framing in (f"Content-Length: {SIZE}", "Transfer-Encoding: chunked"):
            for resets in (False, True):

                def script(client: Client, framing: str = framing, *, resets: bool = resets) -> None:
                    data = content(0, sent)
                    client.send(head("PUT /poured", framing))
                    client.send(data if "Length" in framing else b"%x\r\n%b" % (SIZE, data))
                    if resets:
                        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

                known = len(self.application.cuts)
                await self.talk(script)
                await self.until(lambda known=known: len(self.application.cuts) > known)  # type: ignore[misc]
                cut = self.application.cuts[-1]
                self.assertEqual(CutReason.DISCONNECTED, cut.reason)
                if not resets:
                    self.assertEqual(sent, cut.received)
        self.assertGreater(self.application.poured, sent)

    async def test_malformed(self) -> None:
        """A broken line between two chunks is found by whoever reads it; the client is told."""
        data = b"100000\r\n" + bytes(MEBIBYTE)

        def script(client: Client) -> tuple[Answer, bytes]:
            client.send(
                head("PUT /poured", "Transfer-Encoding: chunked")
                + data
                + b"\r\n"
                + data
                + b"\r\nz\r\nGET / HTTP/1.1\r\n\r\n"
            )
            return client.answer(), client.rest()

        answer, rest = await self.talk(script)
        self.assertEqual((400, b""), (answer.status, rest))
        self.assertEqual([CutReason.MALFORMED], [each.reason for each in self.application.cuts])
        self.assertEqual(2 * MEBIBYTE, self.application.cuts[0].received)

    async def test_failing_receiver(self) -> None:
        """A receiver that fails in the middle is answered for, and what the client still sends is no request."""

        def look(piece: Piece) -> None:
            if len(piece) > 100_000:
                raise ZeroDivisionError

        self.application.look = look
        body = b"GET /answer/418 HTTP/1.1\r\nHost: evil\r\n\r\n" * 100_000

        def script(client: Client) -> tuple[Answer, bytes]:
            client.send(head("PUT /poured", f"Content-Length: {len(body)}") + body)
            return client.answer(), client.rest()

        answer, rest = await self.talk(script)
        self.assertEqual((500, b""), (answer.status, rest))
        self.assertEqual([], self.application.calls)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))


class SlowReceiverTests(InflowCase):
    """While a receiver takes its time."""

    limits = evolve(InflowCase.limits, body_idle_seconds=0.3)

    async def test_slow_receiver(self) -> None:
        """Time in which a thread is at work is not held against the client, which has to wait."""
        hold = threading.Event()
        self.application.look = lambda _: hold.wait(PATIENCE_SECONDS)
        sent: list[int] = []
        body = content(0, 8 * SIZE)

        def script(client: Client) -> tuple[int, Answer]:
            client.send(head("PUT /poured", f"Content-Length: {len(body)}"))
            client.socket.settimeout(1.0)
            try:
                while sum(sent) < len(body):
                    sent.append(client.socket.send(body[sum(sent) : sum(sent) + 100_000]))
            except TimeoutError:
                pass
            blocked = sum(sent)
            hold.set()
            client.socket.settimeout(PATIENCE_SECONDS)
            client.send(body[blocked:])
            return blocked, client.answer()

        blocked, answer = await self.talk(script)
        self.assertLess(blocked, len(body))
        self.assertEqual(digested(body), answer.body)

    async def test_client_stops(self) -> None:
        """A client that sends nothing more is cut off after the usual time."""

        def script(client: Client) -> Answer:
            client.send(head("PUT /poured", f"Content-Length: {2 * SIZE}") + content(0, SIZE))
            return client.answer()

        answer = await self.talk(script)
        self.assertEqual(408, answer.status)
        self.assertEqual([CutReason.TIMED_OUT], [each.reason for each in self.application.cuts])
        self.assertEqual(SIZE, self.application.cuts[0].received)

    async def test_vanished_meanwhile(self) -> None:
        """The connection of a client that is cut off while a thread is at its body is closed, and nothing is left."""
        hold = threading.Event()
        held: list[int] = []

        def look(piece: Piece) -> None:
            # What the reactor has read goes before what the thread reads.
            if isinstance(piece, memoryview):
                held.append(len(piece))
                hold.wait(PATIENCE_SECONDS)

        self.application.look = look

        def script(client: Client) -> None:
            # More than fits into buffers: it is there until the connection is cut.
            with contextlib.suppress(OSError):
                client.send(head("PUT /poured", f"Content-Length: {8 * SIZE}") + content(0, 8 * SIZE))

        talking = Deferred.fromCoroutine(self.talk(script))
        await self.until(lambda: bool(held))
        (channel,) = self.site._channels
        assert channel._body is not None
        before = channel._body.received
        channel.abort()
        await self.until(lambda: self.site.open_connections == 0)
        hold.set()
        await talking
        (record,) = self.records
        self.assertEqual((499, before + held[0]), (record.status, record.bytes_received))

    async def test_long_end(self) -> None:
        """A thread that has the whole body may take its time with the end; that the client goes is noticed meanwhile."""
        # The thread waits for the whole body, however the client is held up.
        self.patch(inflow, "_MOST_WAITS", 10_000)
        hold, came = threading.Event(), threading.Event()

        def at_end() -> None:
            came.set()
            hold.wait(PATIENCE_SECONDS)

        self.application.at_end = at_end
        body = content(0, MEBIBYTE)

        client = await self.connect()
        await deferToThread(client.send, head("PUT /poured", f"Content-Length: {len(body)}") + body)
        await deferToThread(came.wait, PATIENCE_SECONDS)
        (channel,) = self.site._channels
        await self.until(lambda: channel._watch.phase is Phase.HANDLING)
        await deferToThread(client.close)
        await self.until(lambda: self.site.open_connections == 0)
        hold.set()
        (record,) = self.records
        self.assertEqual((499, MEBIBYTE), (record.status, record.bytes_received))

    async def test_next_after_long_end(self) -> None:
        """The next request, which has come meanwhile, is answered."""
        self.patch(inflow, "_MOST_WAITS", 10_000)
        hold = threading.Event()
        self.application.at_end = lambda: hold.wait(PATIENCE_SECONDS)
        body = content(0, MEBIBYTE)

        def script(client: Client) -> list[Answer]:
            client.send(head("PUT /poured", f"Content-Length: {len(body)}") + body + head("GET /answer/418"))
            self.reactor_call(wait)
            return [client.answer(), client.answer()]

        def wait() -> None:
            if [each._watch.phase for each in self.site._channels] == [Phase.HANDLING]:
                hold.set()
            else:
                self.reactor_call(wait)

        answers = await self.talk(script)
        self.assertEqual([200, 418], [each.status for each in answers])
        self.assertEqual(digested(body), answers[0].body)

    async def test_no_descriptor(self) -> None:
        """A thread needs a descriptor of its own; when there is none left the reactor reads, and nothing is lost."""
        self.assertIsNone(duplicate(-1))
        self.patch(receiving, "duplicate", lambda _: None)
        body = content(0, SIZE)
        for framing, data in ((f"Content-Length: {SIZE}", body), ("Transfer-Encoding: chunked", chunked(body))):

            def script(client: Client, framing: str = framing, data: bytes = data) -> Answer:
                return client.ask("PUT /poured", framing, body=data)

            self.assertEqual(digested(body), (await self.talk(script)).body)
        self.assertEqual(0, self.application.poured)

    async def test_out_of_turn(self) -> None:
        """Bytes that come while a thread reads would have no place: whoever brings them, the connection is cut."""
        hold = threading.Event()
        self.application.look = lambda _: hold.wait(PATIENCE_SECONDS)

        def script(client: Client) -> bytes:
            client.send(head("PUT /poured", f"Content-Length: {SIZE}") + content(0, MEBIBYTE))
            self.reactor_call(out_of_turn)
            try:
                return client.rest()
            except ConnectionResetError:
                return b""

        def out_of_turn() -> None:
            (channel,) = self.site._channels
            if channel._inflow is None:
                self.reactor_call(out_of_turn)
            else:
                channel.dataReceived(b"x")

        self.assertEqual(b"", await self.talk(script))
        hold.set()
        await self.until(lambda: self.site.open_connections == 0)
