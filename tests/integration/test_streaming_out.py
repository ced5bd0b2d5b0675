"""Blobs to clients, foreign sites, TLS and the orderly stop, over real sockets."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from socket import socket
from typing import Any

from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import crypto
from twisted.internet.defer import Deferred
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web import server

from dockreg.web.sockets import unacknowledged_bytes, unsent_bytes
from tests.integration.streaming import Answer, Client, StreamingCase, chunked, content, digested, head, reactor

MEBIBYTE = 1024 * 1024


class BlobTests(StreamingCase):
    """Blobs to clients that read them, slowly or not to the end."""

    async def test_whole(self) -> None:
        """A blob of several chunks arrives whole, with its length, and the connection lives on."""
        sizes = (0, 1, 5 * MEBIBYTE + 3, 7)
        answers = await self.talk(lambda client: [client.ask(f"GET /blob/{size}") for size in sizes])
        for answer, size in zip(answers, sizes, strict=True):
            self.assertEqual((200, str(size)), (answer.status, answer.headers["content-length"]))
            self.assertEqual(content(0, size), answer.body)
        self.assertTrue(all(reader.closed for reader in self.application.readers))

    async def test_resumed_by_an_engine(self) -> None:
        """An engine resumes with one byte too many in its range, and takes an empty 416 for the end of the file."""
        size = 3 * MEBIBYTE

        def script(client: Client) -> list[Answer]:
            ranges = [f"{start}-{size}" for start in (MEBIBYTE, size - 1, size)]
            return [client.ask(f"GET /blob/{size}", f"Range: bytes={wanted}") for wanted in ranges]

        middle, last, end = await self.talk(script)
        self.assertEqual(206, middle.status)
        self.assertEqual(f"bytes {MEBIBYTE}-{size - 1}/{size}", middle.headers["content-range"])
        self.assertEqual(content(MEBIBYTE, 2 * MEBIBYTE), middle.body)
        self.assertEqual((206, content(size - 1, 1)), (last.status, last.body))
        self.assertEqual((416, "0"), (end.status, end.headers["content-length"]))
        self.assertEqual(f"bytes */{size}", end.headers["content-range"])

    async def test_head(self) -> None:
        """HEAD has the headers of GET and no body, and opens no blob."""

        def script(client: Client) -> tuple[bytes, bytes]:
            client.send(head(f"HEAD /blob/{MEBIBYTE}", "Connection: close"))
            return client.line(), client.rest()

        line, rest = await self.talk(script)
        self.assertEqual(b"HTTP/1.1 200 OK", line)
        self.assertIn(b"Content-Length: %d\r\n" % MEBIBYTE, rest)
        self.assertTrue(rest.endswith(b"\r\n\r\n"))
        self.assertEqual([], self.application.readers)

    async def test_slow_reader(self) -> None:
        """While a client does not read, nothing more is read from the blob; afterwards it gets the rest."""
        size = 64 * MEBIBYTE
        client = await self.connect()
        await deferToThread(client.send, head(f"GET /blob/{size}"))
        await self.until(lambda: self.application.readers)
        reader = self.application.readers[0]
        before = -1
        while reader.at != before:
            before = reader.at
            await deferLater(reactor, 0.1)
        self.assertTrue(before < size // 2, before)
        answer = await deferToThread(client.answer)
        self.assertTrue(answer.body == content(0, size))

    async def test_vanished_reader(self) -> None:
        """A client that leaves in the middle closes the blob, without a word in the log."""
        client = await self.connect()
        await deferToThread(client.send, head(f"GET /blob/{64 * MEBIBYTE}"))
        await deferToThread(client.line)
        client.close()
        await self.until(lambda: self.site.open_connections == 0)
        self.assertEqual([True], [reader.closed for reader in self.application.readers])
        self.assertEqual([(200, False)], [(record.status, record.complete) for record in self.records])

    async def test_blob_that_ends_early(self) -> None:
        """A blob that ends before its size never ends cleanly: the client sees that the response is cut."""
        client = await self.connect()
        cut = deferToThread(client.ask, f"GET /broken/{4 * MEBIBYTE}")
        await self.assertFailure(cut, EOFError, ConnectionResetError)
        self.assertEqual([True], [reader.closed for reader in self.application.readers])
        self.assertEqual(1, len(self.flushLoggedErrors()))
        self.assertEqual([False], [record.complete for record in self.records])


class StalledReaderTests(StreamingCase):
    """A client that stops reading."""

    limits = evolve(StreamingCase.limits, response_idle_seconds=0.4)

    async def test_cut(self) -> None:
        """A response that moves no byte for its time is cut."""
        client = await self.connect()
        await deferToThread(client.send, head(f"GET /blob/{64 * MEBIBYTE}"))
        await self.until(lambda: self.records)
        self.assertEqual([False], [record.complete for record in self.records])
        self.assertTrue(self.application.readers[0].closed)

    async def test_slow_is_not_stalled(self) -> None:
        """A response that moves now and then goes on for much longer than that time."""
        client = await self.connect()
        await deferToThread(client.send, head(f"GET /blob/{8 * MEBIBYTE}"))

        def sip() -> bytes:
            return client.socket.recv(300_000)

        for _ in range(8):
            await deferToThread(sip)
            await deferLater(reactor, 0.15)
        self.assertEqual([], [record for record in self.records if not record.complete])

    async def test_kernel_buffers_count(self) -> None:
        """What the kernel has and the client has not acknowledged is known, so that a crawl is not taken for a stop."""
        client = await self.connect()
        await deferToThread(client.ask, "GET /blob/1")
        (channel,) = self.site._channels
        self.assertEqual((0, 0), (unacknowledged_bytes(channel.transport), unsent_bytes(channel.transport)))
        await deferToThread(client.send, head(f"GET /blob/{64 * MEBIBYTE}"))
        await self.until(lambda: unsent_bytes(channel.transport) and unacknowledged_bytes(channel.transport))


class StopTests(StreamingCase):
    """The orderly stop."""

    async def test_running_upload_finishes(self) -> None:
        """Idle connections close, and an upload that runs is answered before the stop is over."""
        idle, busy = await self.connect(), await self.connect()
        await deferToThread(idle.ask, "GET /answer/200")
        await deferToThread(busy.send, head("PUT /gated", "Content-Length: 5") + b"he")
        await self.application.reached
        stopped = self.site.drain(10)
        self.assertEqual(b"", await deferToThread(idle.rest))
        self.assertFalse(stopped.called)
        self.application.gate.callback(None)
        await deferToThread(busy.send, b"llo")
        answer = await deferToThread(busy.answer)
        self.assertEqual((digested(b"hello"), "close"), (answer.body, answer.headers["connection"]))
        await stopped

    async def test_grace_ends(self) -> None:
        """What is not finished in time is cut off."""
        busy = await self.connect()
        await deferToThread(busy.send, head("PUT /upload", "Content-Length: 5") + b"he")
        await self.until(lambda: self.site.requests_in_flight)
        await self.site.drain(0.1)
        self.assertEqual((0, 0), (self.site.open_connections, self.site.requests_in_flight))


class ForeignSiteTests(StreamingCase):
    """The same application in a site of twisted.web, which buffers bodies."""

    def listen(self) -> int:
        self.site = self.make_site()
        return self.listen_with(server.Site(self.application.app.resource(), reactor=reactor))

    async def test_bodies(self) -> None:
        """Bodies of all sizes and framings arrive whole, and small documents are limited."""
        body = content(5, 300_000)

        def script(client: Client) -> list[Answer]:
            return [
                client.ask("PUT /upload", f"Content-Length: {len(body)}", body=body),
                client.ask("PUT /upload", "Transfer-Encoding: chunked", body=chunked(body, b"tail")),
                client.ask("PUT /upload"),
                client.ask("PUT /small", "Content-Length: 3", body=b"abc"),
                client.ask("PUT /small", "Content-Length: 1001", body=bytes(1001)),
            ]

        answers = await self.talk(script)
        expected = [digested(body), digested(body + b"tail"), digested(b""), b"abc"]
        self.assertEqual(expected, [answer.body for answer in answers[:4]])
        self.assertEqual(500, answers[4].status)
        self.assertEqual(1, len(self.flushLoggedErrors()))

    async def test_form(self) -> None:
        """A form that twisted.web has parsed can still be read as bytes."""
        data = b"name=value&" * 10
        kind = "Content-Type: application/x-www-form-urlencoded"

        def script(client: Client) -> Answer:
            return client.ask("POST /upload", kind, f"Content-Length: {len(data)}", body=data)

        self.assertEqual(digested(data), (await self.talk(script)).body)

    async def test_blob(self) -> None:
        """Blobs are sent, and one that ends early cuts the connection."""
        whole = await self.talk(lambda client: client.ask(f"GET /blob/{5 * MEBIBYTE}"))
        self.assertTrue(whole.body == content(0, 5 * MEBIBYTE))
        client = await self.connect()
        cut = deferToThread(client.ask, f"GET /broken/{4 * MEBIBYTE}")
        await self.assertFailure(cut, EOFError, ConnectionResetError)
        self.assertEqual([True, True], [reader.closed for reader in self.application.readers])
        self.flushLoggedErrors()


class TLSTests(StreamingCase):
    """The same over TLS."""

    def setUp(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = _certificate(self.key)
        super().setUp()

    def listen(self) -> int:
        self.site = self.make_site()
        options = CertificateOptions(
            privateKey=crypto.PKey.from_cryptography_key(self.key),
            certificate=crypto.X509.from_cryptography(self.certificate),
        )
        return self.listen_with(TLSMemoryBIOFactory(options, False, self.site))

    @staticmethod
    def wrap(plain: socket) -> socket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(plain)

    async def test_upload_and_blob(self) -> None:
        """A large body arrives whole, and a large blob is sent."""
        body = content(0, 8 * MEBIBYTE)

        def script(client: Client) -> tuple[Answer, Answer]:
            upload = client.ask("PUT /upload", f"Content-Length: {len(body)}", body=body)
            return upload, client.ask(f"GET /blob/{len(body)}")

        upload, blob = await self.talk(script)
        self.assertEqual(digested(body), upload.body)
        self.assertTrue(blob.body == body)

    async def test_slow_consumer(self) -> None:
        """A body that waits for its handler pauses reading, and arrives whole afterwards."""
        body = content(0, 16 * MEBIBYTE)
        client = await self.connect()
        asked: Deferred[Answer] = deferToThread(client.ask, "PUT /gated", f"Content-Length: {len(body)}", body=body)
        await self.application.reached
        await deferLater(reactor, 0.2)
        (channel,) = self.site._channels
        received = channel._body.received if channel._body is not None else len(body)
        self.assertTrue(received < MEBIBYTE, received)
        self.application.gate.callback(None)
        self.assertEqual(digested(body), (await asked).body)

    async def test_refusal_reaches_a_sender(self) -> None:
        """A client that sends 30 MB before it reads sends all of it, sees the refusal, and a proper end of TLS."""
        body = bytes(30 * MEBIBYTE)

        def script(client: Client) -> tuple[Answer, bytes]:
            return client.ask("PUT /answer/401", f"Content-Length: {len(body)}", body=body), client.rest()

        answer, rest = await self.talk(script)
        self.assertEqual((401, b""), (answer.status, rest))
        await self.until(lambda: self.site.open_connections == 0)


def _certificate(key: ec.EllipticCurvePrivateKey) -> Any:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "registry")])
    start = datetime(2020, 1, 1, tzinfo=UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
