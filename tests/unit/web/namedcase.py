"""A registry that knows somebody, whom its authenticator is asked about."""

import base64
from typing import Any

from attrs import evolve
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from dockreg.config import read_config
from dockreg.configured import door_settings
from dockreg.model.access import Principal
from dockreg.model.networks import NO_ADDRESS
from dockreg.service import open_registry
from dockreg.web.assembly import make_resource
from dockreg.web.records import RequestRecord
from dockreg.web.site import Site
from tests.unit.providers.auth.support import cheap_hasher
from tests.unit.web.wire import Transport, head

CLOSED = """
[auth]
anonymous = "none"
registration = "closed"
"""


def asking(password: str = "secret", line: str = "GET /v2/") -> bytes:
    """A request of joe."""
    return head(line, "Authorization: Basic " + base64.b64encode(f"joe:{password}".encode()).decode())


class Counted:
    """The authenticator of a registry, and how often somebody was looked at."""

    def __init__(self, authenticator: Any) -> None:
        self._authenticator = authenticator
        self.logins = 0

    async def login(self, credentials: Any, address: str = NO_ADDRESS) -> Principal:
        """See :meth:`.IAuthenticator.login`."""
        self.logins += 1
        found: Principal = await self._authenticator.login(credentials, address)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._authenticator, name)


class NamedCase(SynchronousTestCase):
    """A registry that knows joe, and connections to it."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.reactor.advance(1000.25)
        config = read_config(f"data_dir = {self.mktemp()!r}\nblobs.reserve_bytes = 0{CLOSED}")
        opened = open_registry(config, self.reactor)
        for each in (opened.threads.database, opened.threads.hashing, opened.threads.bytes):
            each.startService()
            self.addCleanup(each.stopService)
        self.core = opened.core
        self.metadata = self.core.registry.metadata
        self.result(self.metadata.open())
        self.addCleanup(lambda: self.result(self.metadata.close()))
        password = self.result(cheap_hasher().hash(b"secret"))
        self.result(self.metadata.accounts.create("joe", password, "", admin=False, now=1.0))
        self.counted = Counted(self.core.authenticator)
        counted: Any = self.counted
        core = evolve(self.core, authenticator=counted)
        self.records: list[RequestRecord] = []
        resource = make_resource(core, door_settings(config), self.reactor, lambda: "an-id")
        self.site = Site(resource, self.reactor, None, self.records.append)
        self.channel = self.connect()

    def result(self, work: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def connect(self, host: str = "192.0.2.1") -> Any:
        channel: Any = self.site.buildProtocol(IPv4Address("TCP", host, 1024))
        channel.makeConnection(Transport(host))
        return channel

    def ask(self, data: bytes, channel: Any = None) -> tuple[int, int]:
        """The status of the answer, and how often somebody was looked at for it."""
        channel = channel or self.channel
        before = self.counted.logins
        channel.transport.clear()
        channel.dataReceived(data)
        return int(channel.transport.value().split()[1]), self.counted.logins - before
