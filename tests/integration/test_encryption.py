"""Blobs that a thread encrypts and sends, and what else goes through our TLS, over real sockets."""

import socket
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from attrs import evolve
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory

from dockreg.callables import InThread
from dockreg.providers.encryption import EncryptedConnection
from dockreg.providers.tls import ServerTLS, TLSFiles
from dockreg.web.sockets import READ_BYTES
from tests.integration import test_kernel
from tests.integration.streaming import (
    Answer,
    Client,
    StreamingCase,
    chunked,
    content,
    digested,
    head,
    reactor,
)
from tests.pairs import CLIENT, authority, issued


class Encrypted(StreamingCase):
    """Serves over TLS."""

    version = ssl.TLSVersion.TLSv1_3
    #: Whether clients are asked for a certificate, and have one.
    asks_clients = False

    def listen_with(self, factory: Factory[Any]) -> int:
        folder = Path(self.mktemp())
        folder.mkdir()
        owner = authority()
        path = issued(owner, "server").write(folder, "server")
        authorities = folder / "authorities.pem"
        authorities.write_bytes(owner.pem)
        files = TLSFiles(path, path, authorities if self.asks_clients else None)
        tls = ServerTLS(files, cast("InThread", maybeDeferred), reactor)
        self.successResultOf(Deferred.fromCoroutine(tls.load()))
        self.context = ssl.create_default_context(cadata=owner.pem.decode())
        self.context.maximum_version = self.version
        if self.asks_clients:
            self.context.load_cert_chain(issued(owner, "client", usage=CLIENT).write(folder, "client"))
        self.made: list[EncryptedConnection] = []
        around = tls.around(factory)
        make = around.buildProtocol

        def remember(addr: Any) -> Any:
            made = make(addr)
            assert isinstance(made, EncryptedConnection)
            self.made.append(made)
            return made

        self.patch(around, "buildProtocol", remember)
        return super().listen_with(around)

    def wrap(self, plain: socket.socket) -> socket.socket:
        return self.context.wrap_socket(plain, server_hostname="127.0.0.1")


class EncryptedCase(Encrypted, test_kernel.KernelCase):
    """Serves files over TLS."""


class SendTests(EncryptedCase, test_kernel.SendTests):
    """As over plain connections."""

    async def test_pipelined(self) -> None:
        """Requests that come while a thread encrypts wait, and are answered in order."""

        def script(client: Client) -> list[Answer]:
            client.send(head("GET /file") * 2 + head("GET /answer/200"))
            return [client.answer() for _ in range(3)]

        first, second, third = await self.talk(script)
        self.assertTrue(first.body == content(0, test_kernel.SIZE))
        self.assertTrue(second.body == content(0, test_kernel.SIZE))
        self.assertEqual(b"answered 200", third.body)

    async def test_body_meanwhile(self) -> None:
        """A large body that is sent while a response is under way arrives whole."""
        body = content(3, 6_000_000)

        def script(client: Client) -> list[Answer]:
            client.send(head("GET /file"))
            client.line()
            # Nothing was read meanwhile, so that the response is under way.
            client.send_and_gather(head("PUT /upload", "Transfer-Encoding: chunked") + chunked(body))
            return [Answer(200, {}, test_kernel.read_body(client)), client.answer()]

        first, second = await self.talk(script)
        self.assertTrue(first.body == content(0, test_kernel.SIZE))
        self.assertEqual(digested(body), second.body)

    async def test_reads_afterwards(self) -> None:
        """A connection on which something came meanwhile reads again, for as many requests as are sent."""

        def script(client: Client) -> list[bytes]:
            bodies = []
            for number in range(3):
                client.send(head("GET /file", "Range: bytes=0-9999999"))
                client.line()
                client.send(head(f"GET /answer/20{number}"))
                bodies += [test_kernel.read_body(client), client.answer().body]
            return bodies

        bodies = await self.talk(script)
        self.assertEqual([b"answered 200", b"answered 201", b"answered 202"], bodies[1::2])
        self.assertTrue(all(each == content(0, 10_000_000) for each in bodies[::2]))

    async def test_ordinary_path(self) -> None:
        """What is no file is sent by the reactor, whole."""
        answer = await self.talk(lambda client: client.ask(f"GET /blob/{test_kernel.SIZE}"))
        self.assertTrue(answer.body == content(0, test_kernel.SIZE))
        self.assertEqual(0, self.pushed)

    async def test_uploads(self) -> None:
        """Bodies arrive whole, in pieces of more than a record."""
        body = content(5, 20_000_000)

        def plain(client: Client) -> bytes:
            return client.ask("PUT /upload", f"Content-Length: {len(body)}", body=body).body

        def in_chunks(client: Client) -> bytes:
            pieces = [body[start : start + 70_001] for start in range(0, len(body), 70_001)]
            return client.ask("PUT /upload", "Transfer-Encoding: chunked", body=chunked(*pieces)).body

        sizes: list[int] = []
        receive = EncryptedConnection.dataReceived

        def watch(connection: EncryptedConnection, data: bytes) -> None:
            sizes.append(len(data))
            receive(connection, data)

        self.patch(EncryptedConnection, "dataReceived", watch)
        found = await gatherResults([Deferred.fromCoroutine(self.talk(each)) for each in (plain, in_chunks)])
        self.assertEqual([digested(body)] * 2, found)
        self.assertGreater(max(sizes), READ_BYTES)

    async def test_drain(self) -> None:
        """Clients that do not read are cut when the time to stop is over, and nothing stays open."""
        before = self.descriptors()
        clients = [await self.connect() for _ in range(3)]
        for client in clients:
            await deferToThread(client.send, head("GET /file"))
            await deferToThread(client.line)
        await self.site.drain(0.05)
        await self.until(lambda: self.busy == 0)
        self.assertEqual([False] * 3, [record.complete for record in self.records])
        for client in clients:
            await self.assertFailure(deferToThread(test_kernel.read_body, client), EOFError, ConnectionResetError)
            client.close()
        await self.until(lambda: self.descriptors() <= before)

    async def test_nothing_follows_a_cut(self) -> None:
        """A connection that is cut while its encryption is lent is never used for anything else."""
        client = await self.connect()
        await deferToThread(client.send, head("GET /file"))
        await deferToThread(client.line)
        (connection,) = self.made
        await self.until(lambda: connection.getHandle().lent and self.busy == 0)
        encryption = connection.getHandle()
        connection.loseConnection()
        connection.abortConnection()
        await self.until(lambda: self.records)
        self.assertTrue(encryption.lent)
        self.assertEqual([False], [record.complete for record in self.records])
        await self.assertFailure(deferToThread(test_kernel.read_body, client), EOFError, ConnectionResetError)


class Counted(ProtocolWrapper):
    """What somebody may put between TLS and the site."""

    def write(self, data: bytes) -> None:
        """Count."""
        cast("Counting", self.factory).written += len(data)
        super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """The same."""
        self.write(b"".join(data))


class Counting(WrappingFactory[Counted]):
    """Counts all that is written."""

    protocol = Counted
    written = 0


class WrappedTests(EncryptedCase):
    """A site that is not next to its TLS."""

    def listen_with(self, factory: Factory[Any]) -> int:
        self.counting = Counting(factory)
        return super().listen_with(self.counting)

    async def test_nothing_passes_by(self) -> None:
        """All goes through whatever is between, as over plain connections."""
        answer = await self.talk(lambda client: client.ask("GET /file"))
        self.assertTrue(answer.body == content(0, test_kernel.SIZE))
        self.assertEqual(0, self.pushed)
        self.assertGreater(self.counting.written, test_kernel.SIZE)


class OlderSendTests(SendTests):
    """With the version before."""

    version = ssl.TLSVersion.TLSv1_2


class StalledTests(EncryptedCase, test_kernel.StalledTests):
    """A client that stops reading."""

    limits = evolve(EncryptedCase.limits, response_idle_seconds=0.4)
