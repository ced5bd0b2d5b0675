"""Settings that show on the wire."""

import json
from typing import Any

from twisted.application.service import MultiService
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.web.server import Site

from dockreg.config import read_config
from dockreg.lifecycle import RegistryService
from dockreg.service import registry_resource
from tests.integration import test_service

IMAGE = test_service.IMAGE


class WireTests(test_service.ServiceTestCase):
    """A service with small limits."""

    timeout = 30

    async def test_header_seconds(self) -> None:
        """Headers that are not complete in time are answered with 408, and the connection is closed."""
        service = await self.start("[http]\nheader_seconds = 0.2\nsweep_seconds = 0.05\n")
        slow = await self.connect(service)
        slow.transport.write(b"GET /v1/_ping HTTP/1.1\r\nHost: x\r\n")
        status, *_ = (await slow.ended).split(b"\r\n")
        self.assertEqual(b"HTTP/1.1 408 Request Timeout", status)

    async def test_max_json_bytes(self) -> None:
        """An image json that is too large is refused with 413, one of the size that is allowed is taken."""
        service = await self.start("[v1]\nmax_json_bytes = 2048\n")
        head = json.dumps({"id": IMAGE}).encode()
        for size, status in ((2049, 413), (2048, 200)):
            answer = await self.ask(service, f"/v1/images/{IMAGE}/json", "PUT", data=head.ljust(size))
            self.assertEqual(status, answer[0], answer)


class EmbeddedRoleTests(test_service.ServiceTestCase):
    """``role = "registry"`` in an application that knows the people itself."""

    async def test_nobody_pushes_without_a_name(self) -> None:
        """With an authenticator of the application nobody pushes without a name, whatever the role is."""
        parent = MultiService()
        config = read_config(f"data_dir = {str(self.data)!r}\nrole = 'registry'\nindex.url = 'http://127.0.0.1:1'\n")
        people = InMemoryUsernamePasswordDatabaseDontUse(anna=b"secret")
        root = registry_resource(config, self.reactor, parent, people)
        port: Any = self.reactor.listenTCP(0, Site(root), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        await self.turn()
        self.addCleanup(parent.stopService)
        parent.startService()
        (registry,) = list(parent)
        assert isinstance(registry, RegistryService)
        await registry.when_started()
        url = f"http://127.0.0.1:{port.getHost().port}/v1/images/{IMAGE}/json"
        document = json.dumps({"id": IMAGE}).encode()
        for who, status in ((None, 401), (("anna", "secret"), 200)):
            answer = await self.client.put(url, data=document, auth=who)
            self.assertEqual(status, answer.code, who)
            await answer.content()
