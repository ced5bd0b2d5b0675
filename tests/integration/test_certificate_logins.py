"""People who come with a certificate, and what they may do then."""

import contextlib
import json
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread

from tests.integration.streaming import Client
from tests.integration.test_tls import TLSServiceCase, client_context
from tests.pairs import CLIENT, Pair, authority, issued


class CertificateLoginTests(TLSServiceCase):
    """A certificate is as good as a password, where it is asked for."""

    def setUp(self) -> None:
        super().setUp()
        self.people = authority("people")
        (self.folder / "people.pem").write_bytes(self.people.pem)

    async def serve(self, checkers: str, anonymous: str = "none") -> None:
        further = f"auth.anonymous = '{anonymous}'\nauth.registration = 'closed'\nauth.checkers = {checkers}\n"
        audit = f"log.audit = '{self.folder / 'audit.log'}'\n"
        settings = self.settings(f"client_ca = '{self.folder / 'people.pem'}'")
        self.service = await self.start(further + audit + settings)

    async def get(self, own: Pair | None, path: str = "/v2/", *headers: str) -> int:
        """The status of an answer to a client with this certificate."""
        file: Path | None = None if own is None else own.write(self.folder, "own")
        context = client_context(self.authority, file)

        def ask() -> Any:
            client = Client(
                self.port(self.service, 1), lambda plain: context.wrap_socket(plain, server_hostname="127.0.0.1")
            )
            with contextlib.closing(client):
                return client.ask(f"GET {path}", *headers)

        status = (await deferToThread(ask)).status
        assert isinstance(status, int)
        return status

    def person(self, name: str) -> Pair:
        return issued(self.people, name, usage=CLIENT)

    async def test_login(self) -> None:
        """Who has a certificate is let in by it; who has none, or one that is nobody's, is not."""
        await self.serve("['certificates']")
        anna = self.person("anna")
        self.assertEqual([200, 401], [await self.get(anna), await self.get(None)])
        self.assertEqual(401, await self.get(self.person(" odd ")))
        self.assertEqual([200, 401], [await self.get(anna, "/v1/users/"), await self.get(None, "/v1/users/")])

    async def test_header_first(self) -> None:
        """What a request says in its headers goes before the certificate of its connection."""
        await self.serve("['certificates']")
        self.assertEqual(401, await self.get(self.person("anna"), "/v2/", "Authorization: Basic YW5uYTp4"))

    async def test_no_robot(self) -> None:
        """A certificate makes nobody a robot."""
        await self.serve("['certificates']")
        self.assertEqual(401, await self.get(self.person("anna+ci")))

    async def test_not_asked(self) -> None:
        """Without the checker a certificate says nothing, and does no harm."""
        await self.serve("['accounts']", "pull")
        self.assertEqual([200, 200], [await self.get(each, "/v2/_catalog") for each in (self.person("anna"), None)])
        await self.serve("['accounts']")
        self.assertEqual(401, await self.get(self.person("anna")))

    async def test_written_down(self) -> None:
        """The audit log says that it was a certificate."""
        await self.serve("['certificates']")
        self.assertEqual(401, await self.get(self.person("anna+ci")))
        self.assertEqual(403, await self.get(self.person("anna"), "/metrics"))
        await self.service.stopService()
        lines = [json.loads(line) for line in (self.folder / "audit.log").read_text().splitlines()]
        self.assertEqual(
            [(None, "certificate", "denied"), ("anna", "certificate", "denied")],
            [(each["who"], each["how"], each["result"]) for each in lines],
        )
