"""Proxies before a registry, over real sockets."""

import json
import socket
from contextlib import closing
from pathlib import Path

from twisted.internet.threads import deferToThread

from tests.integration.test_service import ServiceTestCase

_TRUSTING = "http.trusted_proxies = ['127.0.0.1', 'unix']\nhttp.header_seconds = 0.5\n"
_REQUEST = b"GET /v1/_ping HTTP/1.1\r\nHost: r\r\nConnection: close\r\n"


def _whole(address: tuple[str, int] | str, data: bytes) -> bytes:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with closing(socket.socket(family)) as client:
        client.settimeout(10)
        client.connect(address)
        answer = b""
        try:
            client.sendall(data)
            while more := client.recv(65536):
                answer += more
        except ConnectionError:
            # A connection that is cut may be reset.
            pass
        return answer


class ProxyTests(ServiceTestCase):
    """Whose word is taken."""

    async def logged(self, listen: str, *sent: bytes, settings: str = _TRUSTING) -> list[str]:
        """The client of each request on record, for what was sent to a listener."""
        file = self.new_path()
        service = await self.start(f"{settings}v1.listen = ['{listen}']\n[log]\naccess = {str(file)!r}\n")
        path = listen.rpartition("unix:")[2]
        address = path if path != listen else ("127.0.0.1", self.port(service, 1))
        self.answers = [await deferToThread(_whole, address, each) for each in sent]
        await service.stopService()
        return [line.split()[0] for line in (file.read_text() if file.exists() else "").splitlines()]

    async def test_headers(self) -> None:
        """The client that a trusted proxy names is on record."""
        named = b"X-Forwarded-For: 192.0.2.66, 192.0.2.7\r\n\r\n"
        standard = b"Forwarded: for=192.0.2.66, for=192.0.2.8\r\n\r\n"
        sent = (_REQUEST + named, _REQUEST + standard, _REQUEST + b"\r\n")
        clients = await self.logged("tcp:0:interface=127.0.0.1", *sent)
        self.assertEqual(["192.0.2.7", "192.0.2.8", "127.0.0.1"], clients)

    async def test_strangers(self) -> None:
        """Nobody else is believed."""
        named = _REQUEST + b"X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7\r\n\r\n"
        trusting = "http.trusted_proxies = ['192.0.2.0/24']\n"
        self.assertEqual(["127.0.0.1"], await self.logged("tcp:0:interface=127.0.0.1", named, settings=trusting))

    async def test_unix_socket(self) -> None:
        """A proxy that comes through a unix socket is believed where that is configured."""
        path = Path(self.mktemp()).absolute()
        # A path of a socket is short.
        named = _REQUEST + b"X-Forwarded-For: 192.0.2.7\r\n\r\n"
        short = f"/tmp/dockreg-{path.parent.name}-{id(self)}"
        self.assertEqual(["192.0.2.7"], await self.logged(f"unix:{short}", named))
        self.assertEqual(["-"], await self.logged(f"unix:{short}", named, settings=""))

    async def test_proxy_protocol(self) -> None:
        """The client of a header of the PROXY protocol is on record; its own proxies are believed if they are trusted."""
        block = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x08\xc6\x33\x64\x01\x03\xe8\x01\xbb"
        sent = (
            b"PROXY TCP4 192.0.2.7 198.51.100.1 1000 443\r\n" + _REQUEST + b"X-Forwarded-For: 192.0.2.66\r\n\r\n",
            block + _REQUEST + b"\r\n",
            b"PROXY UNKNOWN\r\n" + _REQUEST + b"\r\n",
            b"PROXY TCP4 127.0.0.1 198.51.100.1 1000 443\r\n" + _REQUEST + b"X-Forwarded-For: 192.0.2.9\r\n\r\n",
        )
        clients = await self.logged("haproxy:tcp:0:interface=127.0.0.1", *sent)
        self.assertEqual(["192.0.2.7", "192.0.2.8", "127.0.0.1", "192.0.2.9"], clients)
        for answer in self.answers:
            self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)

    async def test_no_header(self) -> None:
        """Without a header, or with one that does not end in time, nothing is served."""
        sent = (_REQUEST + b"\r\n", b"PROXY TCP4 192.0.2.7", b"", b"PROXY TCP4 a b c d\r\n" + _REQUEST + b"\r\n")
        self.assertEqual([], await self.logged("haproxy:tcp:0:interface=127.0.0.1", *sent))
        self.assertEqual([b""] * 4, self.answers)

    async def test_strange_proxy(self) -> None:
        """A header of the PROXY protocol from somebody who is not trusted opens nothing."""
        sent = b"PROXY TCP4 192.0.2.7 198.51.100.1 1000 443\r\n" + _REQUEST + b"\r\n"
        settings = "http.trusted_proxies = ['192.0.2.0/24']\n"
        self.assertEqual([], await self.logged("haproxy:tcp:0:interface=127.0.0.1", sent, settings=settings))
        self.assertEqual([b""], self.answers)

    async def test_endpoint_of_old(self) -> None:
        """A listener without ``haproxy:`` takes no such header."""
        sent = b"PROXY TCP4 192.0.2.7 198.51.100.1 1000 443\r\n" + _REQUEST + b"\r\n"
        self.assertEqual(["127.0.0.1"], await self.logged("tcp:0:interface=127.0.0.1", sent))
        self.assertIn("error", json.loads(self.answers[0].partition(b"\r\n\r\n")[2]))
