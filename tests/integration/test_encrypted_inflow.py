"""Bodies that threads read and decrypt, as over plain connections."""

import contextlib
import socket
import ssl
import threading
from typing import Any

from dockreg.providers.encryption import EncryptedConnection
from tests.integration import test_encryption, test_inflow
from tests.integration.streaming import PATIENCE_SECONDS, Answer, Client, chunked, content, digested, head


class InflowTests(test_encryption.Encrypted, test_inflow.InflowTests):
    """What comes of a body does not depend on who decrypts it."""

    def wrap(self, plain: socket.socket) -> socket.socket:
        """Read what servers of TLS 1.3 send unasked: who closes with bytes unread resets the connection."""
        wrapped = super().wrap(plain)
        assert isinstance(wrapped, ssl.SSLSocket)
        if wrapped.version() == "TLSv1.3":
            wrapped.settimeout(0.1)
            with contextlib.suppress(TimeoutError):
                wrapped.recv(1)
            wrapped.settimeout(PATIENCE_SECONDS)
        return wrapped

    async def test_orderly_end(self) -> None:
        """A client that says it has sent all, in the middle of a body, has cut it."""

        def script(client: Client) -> None:
            client.send(head("PUT /poured", f"Content-Length: {test_inflow.SIZE}"))
            client.send(content(0, test_inflow.MEBIBYTE))
            assert isinstance(client.socket, ssl.SSLSocket)
            client.socket.unwrap().close()

        await self.talk(script)
        await self.until(lambda: bool(self.application.cuts))
        self.assertEqual(test_inflow.MEBIBYTE, self.application.cuts[0].received)

    async def test_wrapped(self) -> None:
        """With something between TLS and its socket nothing is lent, and bodies come whole all the same."""
        self.patch(EncryptedConnection, "receiving_descriptor", lambda _: None)
        body = content(0, test_inflow.SIZE)

        def script(client: Client) -> Answer:
            return client.ask("PUT /poured", "Transfer-Encoding: chunked", body=chunked(body))

        self.assertEqual(digested(body), (await self.talk(script)).body)
        self.assertEqual(0, self.application.poured)

    async def test_other_threads(self) -> None:
        """Every turn may be that of another thread, while several bodies are decrypted at once."""
        threads: set[int] = set()
        lend = EncryptedConnection.lend_receiving

        def lend_and_note(connection: EncryptedConnection) -> Any:
            receive = lend(connection)

            def receive_and_note(descriptor: int, room: memoryview) -> int:
                threads.add(threading.get_ident())
                return receive(descriptor, room)

            return receive_and_note

        self.patch(EncryptedConnection, "lend_receiving", lend_and_note)
        await self.test_many()
        self.assertNotIn(threading.get_ident(), threads)
        self.assertTrue(threads)


class OlderInflowTests(InflowTests):
    """The same with TLS 1.2."""

    version = ssl.TLSVersion.TLSv1_2


class SlowReceiverTests(test_encryption.Encrypted, test_inflow.SlowReceiverTests):
    """While a receiver takes its time."""


class CertifiedTests(test_encryption.Encrypted, test_inflow.InflowCase):
    """Clients that have a certificate."""

    asks_clients = True

    async def test_in_turn(self) -> None:
        """Threads receive, and the reactor answers, in turn on one connection."""
        body = content(0, test_inflow.SIZE)

        def script(client: Client) -> list[Answer]:
            return [client.ask("PUT /poured", "Transfer-Encoding: chunked", body=chunked(body)) for _ in range(3)]

        answers = await self.talk(script)
        self.assertEqual([digested(body)] * 3, [each.body for each in answers])
        self.assertGreater(self.application.poured, 2 * test_inflow.SIZE)
        self.assertEqual(1, len(self.made))


class OlderCertifiedTests(CertifiedTests):
    """The same with TLS 1.2."""

    version = ssl.TLSVersion.TLSv1_2
