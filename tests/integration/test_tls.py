"""TLS over real sockets: what is spoken, who is asked, and how certificates change."""

import contextlib
import ssl
import threading
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs

from dockreg.config import read_config
from dockreg.lifecycle import RegistryService, StartFailed
from dockreg.service import make_registry_service
from tests.integration.streaming import PATIENCE_SECONDS, Client, head
from tests.integration.test_service import ServiceTestCase
from tests.pairs import Pair, authority, issued

MEBIBYTE = 1024 * 1024


def client_context(trusted: Pair, own: Path | None = None) -> ssl.SSLContext:
    """What a careful client uses."""
    context = ssl.create_default_context(cadata=trusted.pem.decode())
    if own is not None:
        context.load_cert_chain(own)
    return context


class TLSServiceCase(ServiceTestCase):
    """A service that speaks TLS."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.new_path()
        self.folder.mkdir()
        self.authority = authority()
        self.write("first")

    def write(self, name: str) -> None:
        """Put a new certificate where the service reads it."""
        issued(self.authority, name).write(self.folder, "server")

    def settings(self, *lines: str, listen: str = "tcp:0:interface=127.0.0.1") -> str:
        """Lines of configuration."""
        path = str(self.folder / "server.pem")
        return "\n".join(["[tls]", f"listen = ['{listen}']", f"certificate = '{path}'", *lines, ""])

    async def ask_tls(self, service: RegistryService, context: ssl.SSLContext | None = None, number: int = 1) -> Any:
        """Status and headers of an answer, and the session's facts: version, cipher, protocol, certificate's name."""
        port = self.port(service, number)
        return await deferToThread(_ask, port, context or client_context(self.authority))


def _ask(port: int, context: ssl.SSLContext) -> Any:
    with contextlib.closing(
        Client(port, lambda plain: context.wrap_socket(plain, server_hostname="127.0.0.1"))
    ) as client:
        answer = client.ask("GET /v1/_ping")
        secure: Any = client.socket
        return answer, facts(secure)


def facts(secure: ssl.SSLSocket) -> dict[str, Any]:
    """What was negotiated."""
    certificate: Any = secure.getpeercert()
    cipher: Any = secure.cipher()
    return {
        "version": secure.version(),
        "cipher": cipher[0],
        "protocol": secure.selected_alpn_protocol(),
        "compression": secure.compression(),
        "name": certificate["subject"][0][0][1] if certificate else None,
    }


class NegotiationTests(TLSServiceCase):
    """What is spoken."""

    async def test_served(self) -> None:
        """A registry is served over TLS beside the plain listener, with the newest version and HTTP/1.1."""
        service = await self.start(self.settings())
        context = client_context(self.authority)
        context.set_alpn_protocols(["h2", "http/1.1"])
        answer, found = await self.ask_tls(service, context)
        self.assertEqual((200, b"true"), (answer.status, answer.body))
        expected = {"version": "TLSv1.3", "protocol": "http/1.1", "compression": None, "name": "first"}
        self.assertEqual(expected, {key: found[key] for key in expected})
        self.assertEqual(200, (await self.ask(service, "/v1/_ping"))[0])

    async def test_only_http2(self) -> None:
        """A client that offers another protocol only is served without one."""
        service = await self.start(self.settings())
        context = client_context(self.authority)
        context.set_alpn_protocols(["h2"])
        answer, found = await self.ask_tls(service, context)
        self.assertEqual((200, None), (answer.status, found["protocol"]))

    async def test_versions(self) -> None:
        """TLS 1.2 is the lowest version by default, and with ciphers that authenticate."""
        service = await self.start(self.settings())
        context = client_context(self.authority)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        answer, found = await self.ask_tls(service, context)
        self.assertEqual((200, "TLSv1.2"), (answer.status, found["version"]))
        self.assertRegex(found["cipher"], r"^ECDHE-.*(GCM|POLY1305)")
        for older in ("ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "AES128-GCM-SHA256"):
            context.set_ciphers(older)
            with self.assertRaises(ssl.SSLError, msg=older):
                await self.ask_tls(service, context)

    async def test_minimum(self) -> None:
        """The lowest version can be 1.3."""
        service = await self.start(self.settings("minimum = '1.3'"))
        context = client_context(self.authority)
        self.assertEqual("TLSv1.3", (await self.ask_tls(service, context))[1]["version"])
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with self.assertRaises(ssl.SSLError):
            await self.ask_tls(service, context)

    async def test_no_resumption(self) -> None:
        """Nothing is remembered of a client: each connection proves anew who it is."""
        service = await self.start(self.settings())
        context = client_context(self.authority)

        def twice(port: int) -> list[bool | None]:
            reused = []
            session = None
            for _ in range(2):
                plain = Client(port).socket
                with contextlib.closing(
                    context.wrap_socket(plain, server_hostname="127.0.0.1", session=session)
                ) as client:
                    client.sendall(head("GET /v1/_ping"))
                    client.recv(1)
                    session = client.session if client.session is not None and client.session.has_ticket else None
                    reused.append(client.session_reused)
            return reused

        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context.maximum_version = version
            self.assertEqual([False, False], await deferToThread(twice, self.port(service, 1)))

    async def test_only_tls(self) -> None:
        """There need not be a plain listener."""
        top = f"data_dir = {str(self.data)!r}\nlisten = []\n"
        service = make_registry_service(read_config(top + self.settings()), self.reactor)
        self.addCleanup(service.stopService)
        service.startService()
        await service.when_started()
        self.assertEqual(1, len(service.addresses))
        self.assertEqual(200, (await self.ask_tls(service, number=0))[0].status)

    async def test_proxied(self) -> None:
        """The header of the PROXY protocol comes before TLS, and its client is on record."""
        log = self.new_path()
        settings = self.settings(listen="haproxy:tcp:0:interface=127.0.0.1")
        service = await self.start(f"http.trusted_proxies = ['127.0.0.1']\n{settings}[log]\naccess = {str(log)!r}\n")
        context = client_context(self.authority)

        def through_proxy(port: int) -> bytes:
            plain = Client(port).socket
            plain.sendall(b"PROXY TCP4 192.0.2.7 198.51.100.1 1000 443\r\n")
            with contextlib.closing(context.wrap_socket(plain, server_hostname="127.0.0.1")) as client:
                client.sendall(head("GET /v1/_ping", "Connection: close"))
                return client.recv(65536)

        answer = await deferToThread(through_proxy, self.port(service, 1))
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)
        await service.stopService()
        self.assertEqual(["192.0.2.7"], [line.split()[0] for line in log.read_text().splitlines()])

    async def test_slow_handshake(self) -> None:
        """A handshake that is not begun, or not ended, in time is cut."""
        service = await self.start("http.header_seconds = 0.3\nhttp.sweep_seconds = 0.1\n" + self.settings())
        for begun in (b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):

            def wait(port: int, begun: bytes = begun) -> bytes:
                with contextlib.closing(Client(port)) as client, contextlib.suppress(ConnectionResetError):
                    client.send(begun)
                    return client.rest()
                return b""

            self.assertEqual(b"", await deferToThread(wait, self.port(service, 1)))

    async def test_plain_request(self) -> None:
        """A plain request on a listener of TLS is not answered in plain text."""
        service = await self.start(self.settings())

        def plain(port: int) -> bytes:
            with contextlib.closing(Client(port)) as client:
                client.send(head("GET /v1/_ping"))
                return client.rest()

        self.assertNotIn(b"HTTP", await deferToThread(plain, self.port(service, 1)))


class StartTests(TLSServiceCase):
    """How a service with TLS starts, and how it does not."""

    async def test_bad_certificate(self) -> None:
        """A certificate that can not be used fails the start, with the setting and what is wrong."""
        await self.turn()
        (self.folder / "server.pem").write_bytes(b"nothing")
        service = self.make(self.settings())
        service.startService()
        with self.assertRaises(StartFailed) as caught:
            await service.when_started()
        self.assertIn("tls.certificate", str(caught.exception))
        self.assertEqual([], service.addresses)

    async def test_reach(self) -> None:
        """While everybody may push, other machines are not served, with or without TLS."""
        await self.turn()
        service = self.make(self.settings(listen="tcp:0"))
        service.startService()
        with self.assertRaises(StartFailed) as caught:
            await service.when_started()
        self.assertIn("everybody may push", str(caught.exception))
        other = await self.start("auth.anonymous = 'pull'\n" + self.settings(listen="tcp:0"))
        self.assertEqual(2, len(other.addresses))

    async def test_figures(self) -> None:
        """When the certificate ends is among the figures."""
        service = await self.start("metrics.listen = ['tcp:0:interface=127.0.0.1']\n" + self.settings())
        url = f"http://127.0.0.1:{self.port(service, 2)}/metrics"
        text = await (await self.client.get(url)).text()
        self.assertIn("dockreg_tls_certificate_expires_seconds 4.7", text)


class ReloadTests(TLSServiceCase):
    """Certificates that change."""

    async def test_new_certificate(self) -> None:
        """New connections get what was read last, and a connection that is open goes on with what it has."""
        service = await self.start(self.settings())
        context = client_context(self.authority)

        def begin(port: int) -> Client:
            return Client(port, lambda plain: context.wrap_socket(plain, server_hostname="127.0.0.1"))

        def ask(client: Client) -> tuple[int, str]:
            secure: Any = client.socket
            return client.ask("GET /v1/_ping").status, facts(secure)["name"]

        old = await deferToThread(begin, self.port(service, 1))
        self.addCleanup(old.close)
        self.assertEqual((200, "first"), await deferToThread(ask, old))
        self.write("second")
        self.assertEqual("first", (await self.ask_tls(service))[1]["name"])
        await service.reload()
        self.assertEqual("second", (await self.ask_tls(service))[1]["name"])
        self.assertEqual((200, "first"), await deferToThread(ask, old))

    async def test_slow_upload(self) -> None:
        """An upload that is under way while certificates change is stored as if nothing had happened."""
        service = await self.start(self.settings())
        context, port = client_context(self.authority), self.port(service, 1)
        half, go_on = threading.Event(), threading.Event()

        def upload() -> int:
            with contextlib.closing(
                Client(port, lambda plain: context.wrap_socket(plain, server_hostname="127.0.0.1"))
            ) as client:
                started = client.ask("POST /v2/demo/blobs/uploads/", "Content-Length: 0")
                client.send(head(f"PATCH {started.headers['location']}", f"Content-Length: {2 * MEBIBYTE}"))
                client.send(bytes(MEBIBYTE))
                half.set()
                go_on.wait(PATIENCE_SECONDS)
                client.send(bytes(MEBIBYTE))
                return client.answer().status

        uploading = deferToThread(upload)
        await deferToThread(half.wait, PATIENCE_SECONDS)
        self.write("second")
        await service.reload()
        self.assertEqual("second", (await self.ask_tls(service))[1]["name"])
        go_on.set()
        self.assertEqual(202, await uploading)

    async def test_bad_certificate(self) -> None:
        """What can not be used is logged with its setting, and what was read before stays in use."""
        service = await self.start(self.settings())
        whole = (self.folder / "server.pem").read_bytes()
        for content in (b"", whole[: len(whole) // 2], issued(self.authority, "x").pem + whole):
            (self.folder / "server.pem").write_bytes(content)
            with capturedLogs() as events:
                await service.reload()
            (problem,) = [event["problem"] for event in events if event["log_level"].name == "warn"]
            self.assertIn("server.pem", problem)
            self.assertEqual("first", (await self.ask_tls(service))[1]["name"])

    async def test_not_open(self) -> None:
        """Before the start and after the stop there is nothing to read."""
        service = self.make(self.settings())
        (self.folder / "server.pem").unlink()
        with capturedLogs() as events:
            await service.reload()
        self.assertEqual([], list(events))

    async def test_without_tls(self) -> None:
        """A service without TLS has nothing to read."""
        service = await self.start()
        await service.reload()
        self.assertEqual(200, (await self.ask(service, "/v1/_ping"))[0])
