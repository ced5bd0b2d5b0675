"""Where a setting is to be seen: the parts of a configuration, and providers of others."""

from collections.abc import Callable
from typing import Any, TypeVar

from attrs import frozen
from twisted.internet.testing import MemoryReactorClock

from dockreg.config import read_config
from dockreg.configured import door_settings
from dockreg.providers.listening import allow_all
from dockreg.service import make_registry_service, open_registry
from dockreg.web.assembly import make_doors, make_gate

T = TypeVar("T")


class Parts:
    """What a configuration becomes."""

    def __init__(self, text: str) -> None:
        self.config = config = read_config(text)
        reactor = MemoryReactorClock()
        self.service = make_registry_service(config, reactor)
        self.plan: Any = self.service._plan
        self.opened: Any = open_registry(config, reactor)
        self.core: Any = self.opened.core
        settings = door_settings(config)
        self.gate: Any = make_gate(self.core, settings, lambda: "id")
        self.doors: Any = make_doors(self.core, settings, reactor, lambda: "id", self.gate)

    @property
    def checker(self) -> Any:
        """The first that is asked for a password."""
        return self.known._checkers[0]

    @property
    def known(self) -> Any:
        """What is asked when it is no access token."""
        return self.core.authenticator._checked._others

    @property
    def attempts(self) -> Any:
        """What counts failures, for logins and registrations alike."""
        counting = self.core.authenticator._attempts
        assert counting is self.core.accounts._attempts
        return counting._limits

    @property
    def policy(self) -> Any:
        """What is judged by."""
        return self.core.registry.authorizer._policy

    @property
    def new(self) -> Any:
        """How repositories begin, and what is said of those that are not there."""
        return self.plan.metadata.repositories._new, self.policy.private

    @property
    def places(self) -> object:
        """Where things are kept on disk."""
        registry = self.core.registry
        return (
            registry.metadata._database.url.database,
            registry.blobs._store._store._folders.staging,
            self.plan.prepare.args[0].__self__,
        )

    @property
    def listeners(self) -> object:
        """Where connections are taken, and who judges that."""
        return [(each.description, each.judge is allow_all) for each in self.plan.listeners]

    @property
    def speaking(self) -> object:
        """Where connections are taken, and what is spoken there."""
        return [
            (each.description, sorted(api.value for api in each.factory.resource.apis)) for each in self.plan.listeners
        ]

    @property
    def logs(self) -> object:
        """Kind and path of each log file."""
        return [(type(each).__name__, each.lines.path) for each in self.service if hasattr(each, "lines")]

    @property
    def audit_reads(self) -> object:
        """Whether reads are written down."""
        endpoint, _ = self.opened.resource._routing.dispatcher.find(b"GET", b"/v2/")
        return endpoint.gate.audit and endpoint.gate.audit.reads

    def proxies(self, name: str) -> object:
        """What each site, and the maker of locations, has of the proxies."""
        sites = [each.factory.proxies for each in self.plan.listeners]
        return [getattr(each, name) for each in (*sites, self.doors.v2.uploads.locations.proxies)]

    def rates(self, name: str) -> object:
        """What the limit of requests has, which all sites have together."""
        rates = [each.factory.entrance.rates for each in self.plan.listeners]
        return [getattr(each, name) for each in rates if each is rates[0]]

    def tls(self, name: str) -> object:
        """What the TLS side of listeners has."""
        (tls,) = self.plan.reloads
        return getattr(tls._files, name)

    def seconds_of(self, job: str) -> object:
        """How often a job is done."""
        return next(each.seconds for each in self.plan.jobs if each.name == job)

    def limit(self, name: str) -> object:
        """What each site has for a limit."""
        return [getattr(each.factory.limits, name) for each in self.plan.listeners]


@frozen
class Row:
    """
    A value in TOML, where it is to be seen, and as what.

    ``beside`` is what the setting needs around it, ``instead`` a configuration with another value of it.
    """

    value: str
    seen: Callable[[Parts], object]
    expected: object
    beside: str = ""
    instead: str = ""


def limit_row(name: str, value: str, expected: object) -> Row:
    """The row of a limit of connections, which listeners of both kinds have."""

    def seen(parts: Parts) -> object:
        waits = [each.proxying.seconds for each in parts.plan.listeners] if name == "header_seconds" else []
        return [parts.limit(name), waits]

    wanted = [[expected] * 2, [expected] * 2 if name == "header_seconds" else []]
    return Row(value, seen, wanted, "metrics.listen = ['tcp:5001']\n")
