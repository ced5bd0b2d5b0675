"""Listeners that are limited to one protocol."""

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dockreg.testing.ports import free_port
from tests.integration.bridgecase import ENGINE_1_9
from tests.processes import PreparedDaemon


class ListenerTests(SynchronousTestCase):
    """Listeners that are limited to one protocol, beside one that speaks both."""

    def setUp(self) -> None:
        self.only_v1, self.only_v2 = free_port(), free_port()
        listen = [
            f'[{api}]\nlisten = ["tcp:{port}:interface=127.0.0.1"]\n'
            for api, port in (("v1", self.only_v1), ("v2", self.only_v2))
        ]
        self.daemon = PreparedDaemon(Path(self.mktemp()).absolute(), config="".join(listen))
        self.daemon.start()
        self.addCleanup(self.daemon.kill)
        self.both = self.daemon.port

    def ask(self, port: int, path: str, agent: str = ENGINE_1_9) -> tuple[int, bytes, bool]:
        """Status, body, and whether the answer says that v2 is spoken."""
        self.daemon.port = port
        status, content, headers = self.daemon.request("GET", path, headers={"User-Agent": agent})
        return status, content, "docker-distribution-api-version" in headers

    def test_limited(self) -> None:
        """Where v2 is not spoken, all below it is a plain 404; where v1 is not, all below that is an error of v1."""
        for path in ("/v2/", "/v2", "/v2/x/manifests/y", "/v2/_catalog"):
            self.assertEqual((404, b"", False), self.ask(self.only_v1, path))
        for port in (self.both, self.only_v2):
            self.assertEqual((200, b"{}", True), self.ask(port, "/v2/"))
        for path in ("/v1/_ping", "/_ping", "/v1/search?q=", "/_status", "/v1/images/x/json"):
            status, content, _ = self.ask(self.only_v2, path)
            self.assertEqual((404, ["error"]), (status, list(json.loads(content))), path)
        for port in (self.both, self.only_v1):
            self.assertEqual((200, b"true"), self.ask(port, "/v1/_ping")[:2])

    def test_old_engine(self) -> None:
        """An engine before 1.6 sees no v2 on any of them."""
        for port in (self.both, self.only_v1, self.only_v2):
            self.assertEqual((404, b"", False), self.ask(port, "/v2/", "docker/1.5.0 go/go1.3.3"))
