"""Who a client is by its certificate, over real connections."""

import ssl
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.web.server import Request

from dockreg.providers.tls import ServerTLS, TLSFiles
from dockreg.web.certificates import client_certificate
from tests.integration.streaming import Application, StreamingCase
from tests.integration.test_tls import client_context
from tests.pairs import CLIENT, Pair, authority, issued


class _Asking(Application):
    """An application that says who is asking."""

    def __init__(self) -> None:
        super().__init__()
        self.app.route("/who")(self.who)

    async def who(self, request: Request) -> bytes:
        certificate = client_certificate(request)
        return b"nobody" if certificate is None else certificate.subject.rfc4514_string().encode()


class ClientCertificateTests(StreamingCase):
    """:func:`dockreg.web.certificates.client_certificate`."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.authority, self.people = authority("servers"), authority("people")
        self.server = issued(self.authority, "server").write(self.folder, "server")
        super().setUp()
        self.application = _Asking()
        self.site.resource = self.application.app.resource()

    async def serve(self, *, ask: bool = True) -> None:
        """Listen with TLS, and ask clients for their certificates."""
        authorities = self.folder / "people.pem"
        authorities.write_bytes(self.people.pem)
        files = TLSFiles(self.server, self.server, authorities if ask else None)
        self.tls = ServerTLS(files, deferToThread, self.site.clock)
        await self.tls.load()
        listening: Any = self.tls.around(self.site)
        self.port = self.listen_with(listening)

    async def who(self, own: Pair | None, *chain: bytes, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> str:
        """Who a client with this certificate is to the server."""
        path = None if own is None else own.write(self.folder, "own", *chain)
        context = client_context(self.authority, path)
        context.maximum_version = version
        self.wrap = lambda plain: context.wrap_socket(plain, server_hostname="127.0.0.1")
        answer = await self.talk(lambda client: client.ask("GET /who"))
        return answer.body.decode()

    async def test_verified(self) -> None:
        """The certificate of a client is known when the authority has issued it, also by another one on the way."""
        await self.serve()
        middle = authority("middle", self.people)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            anna = issued(self.people, "anna", usage=CLIENT)
            self.assertEqual("CN=anna", await self.who(anna, version=version))
            otto = issued(middle, "otto", usage=CLIENT)
            self.assertEqual("CN=otto", await self.who(otto, middle.pem, version=version))

    async def test_none(self) -> None:
        """A client without a certificate is served, as nobody."""
        await self.serve()
        self.assertEqual("nobody", await self.who(None))

    async def test_not_asked(self) -> None:
        """Where clients are not asked, nobody has a certificate."""
        await self.serve(ask=False)
        self.assertEqual("nobody", await self.who(issued(self.people, "anna", usage=CLIENT)))

    async def test_not_verified(self) -> None:
        """A certificate of another authority, for another use, or that has expired, gets no connection."""
        await self.serve()
        for own in (
            issued(authority("people"), "anna", usage=CLIENT),
            issued(self.authority, "anna", usage=CLIENT),
            issued(self.people, "anna"),
            issued(self.people, "anna", usage=CLIENT, end=1_700_000_000),
            authority("people"),
        ):
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                with self.assertRaises((OSError, EOFError)):
                    await self.who(own, version=version)
        self.assertEqual([], self.application.calls)

    async def test_issued_by_a_person(self) -> None:
        """A certificate that somebody has issued who is no authority gets no connection."""
        await self.serve()
        anna = issued(self.people, "anna", usage=CLIENT)
        with self.assertRaises((OSError, EOFError)):
            await self.who(issued(anna, "admin", usage=CLIENT), anna.pem)

    async def test_authority_in_the_middle(self) -> None:
        """An authority that is named counts, although the one that has certified it is not named."""
        middle = authority("middle", self.people)
        self.people = middle
        await self.serve()
        self.assertEqual("CN=otto", await self.who(issued(middle, "otto", usage=CLIENT)))

    async def test_changed_authority(self) -> None:
        """Once the authority was changed, new connections with a certificate of the old one are refused."""
        await self.serve()
        anna = issued(self.people, "anna", usage=CLIENT)
        self.assertEqual("CN=anna", await self.who(anna))
        (self.folder / "people.pem").write_bytes(authority("others").pem)
        await self.tls.load()
        with self.assertRaises((OSError, EOFError)):
            await self.who(anna)

    async def test_plain(self) -> None:
        """Without TLS there are no certificates."""
        answer = await self.talk(lambda client: client.ask("GET /who"))
        self.assertEqual(b"nobody", answer.body)
