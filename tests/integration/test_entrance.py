"""What every request comes through, in a whole service over real sockets."""

import contextlib
import json
from typing import Any

from twisted.internet.threads import deferToThread

from dockreg.lifecycle import RegistryService
from tests.integration.streaming import Answer, Client, head
from tests.integration.test_tls import TLSServiceCase, client_context

_BROWSER = ("Accept: text/html,*/*", "Upgrade-Insecure-Requests: 1")


class EntranceTests(TLSServiceCase):
    """Plain and TLS listeners of one service."""

    async def get(
        self, service: RegistryService, path: str, *headers: str, number: int = 0, tls: bool = False
    ) -> Answer:
        """The answer on one of its listeners."""
        context, port = client_context(self.authority), self.port(service, number)

        def ask() -> Answer:
            wrap: Any = (lambda plain: context.wrap_socket(plain, server_hostname="127.0.0.1")) if tls else None
            with contextlib.closing(Client(port, wrap)) as client:
                client.send(head(f"GET {path}", *headers))
                return client.answer()

        return await deferToThread(ask)

    async def test_browsers(self) -> None:
        """A browser is sent from the plain listener to the port of TLS, and told there to stay with it."""
        service = await self.start(self.settings("hsts_seconds = 99"))
        sent = await self.get(service, "/v2/?a=b", *_BROWSER)
        self.assertEqual(
            (307, f"https://registry:{self.port(service, 1)}/v2/?a=b"), (sent.status, sent.headers["location"])
        )
        there = await self.get(service, "/v2/", *_BROWSER, number=1, tls=True)
        self.assertEqual((200, "max-age=99"), (there.status, there.headers["strict-transport-security"]))
        client = await self.get(service, "/v2/")
        self.assertEqual(200, client.status)
        self.assertNotIn("strict-transport-security", client.headers)

    async def test_restart(self) -> None:
        """After a restart browsers are sent to where TLS is spoken then."""
        service = await self.start(self.settings("hsts_seconds = 0"))
        for _ in range(2):
            sent = await self.get(service, "/", *_BROWSER)
            self.assertEqual(f"https://registry:{self.port(service, 1)}/", sent.headers["location"])
            there = await self.get(service, "/", number=1, tls=True)
            self.assertNotIn("strict-transport-security", there.headers)
            await service.stopService()
            service.startService()
            await service.when_started()

    async def test_without_tls(self) -> None:
        """Where there is no TLS, browsers are served as everybody."""
        service = await self.start()
        self.assertEqual(200, (await self.get(service, "/", *_BROWSER)).status)

    async def test_base_url(self) -> None:
        """Where the URL for all is one of TLS, browsers are sent there."""
        service = await self.start("[v2]\nbase_url = 'https://r.example'\n")
        self.assertEqual("https://r.example/x", (await self.get(service, "/x", *_BROWSER)).headers["location"])

    async def test_rates(self) -> None:
        """A client has one limit on all listeners; this machine has none, nor has who comes to look at the figures."""
        service = await self.start(
            "http.trusted_proxies = ['127.0.0.1']\nhttp.requests_per_second = 0.001\nhttp.request_burst = 2\n"
            "metrics.listen = ['tcp:0:interface=127.0.0.1']\n" + self.settings()
        )
        client = "X-Forwarded-For: 192.0.2.7"
        first = [await self.get(service, "/v2/", client), await self.get(service, "/v2/", client, number=1, tls=True)]
        self.assertEqual([200, 200], [answer.status for answer in first])
        for number, tls, path in ((0, False, "/v2/"), (1, True, "/v1/_ping"), (2, False, "/metrics")):
            answer = await self.get(service, path, client, number=number, tls=tls)
            self.assertEqual(429, answer.status)
            self.assertGreater(int(answer.headers["retry-after"]), 900)
            self.assertIn("error", json.loads(answer.body).popitem()[0])
        self.assertEqual([200] * 5, [(await self.get(service, "/v2/")).status for _ in range(5)])
        self.assertEqual(200, (await self.get(service, "/v2/", "X-Forwarded-For: 192.0.2.8")).status)

    async def test_other_origins(self) -> None:
        """A page of a listed origin may read, here and on TLS."""
        service = await self.start("http.cors_origins = ['https://ui.example']\n" + self.settings())
        for number, tls in ((0, False), (1, True)):
            answer = await self.get(service, "/v2/", "Origin: https://ui.example", number=number, tls=tls)
            self.assertEqual("https://ui.example", answer.headers["access-control-allow-origin"])
