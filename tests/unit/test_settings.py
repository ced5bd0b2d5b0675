"""Every setting arrives in the part that it is for; jobs and ports of a registry come in their order."""

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import attrs
from attrs import frozen
from cryptography.x509 import Name
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from dockreg.accounts import EmailAddresses, Registration
from dockreg.callables import InThread
from dockreg.config import TABLES, Config, read_config
from dockreg.configured import door_settings
from dockreg.interfaces import IBlobStore, IMetadataStore, IRepositoryStore
from dockreg.interfaces_access import IAuthorizer
from dockreg.model.access import Access, Action, Principal
from dockreg.model.blobs import StoredBlob
from dockreg.model.digest import Digest
from dockreg.model.networks import Networks
from dockreg.model.platforms import Platform
from dockreg.model.repositories import Sparse
from dockreg.providers.auth.rules import ANONYMOUS_ACTIONS
from dockreg.providers.blobs.memory import MemoryBlobStore
from dockreg.providers.listening import allow_all
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.service import make_registry_service, open_registry
from dockreg.supervision import worker_count
from dockreg.web.assembly import make_doors, make_gate
from dockreg.web.exchange import Role

T = TypeVar("T")


@implementer(IBlobStore)
class OtherBlobs(MemoryBlobStore):
    """A blob store of somebody else, which writes down what is there when it recovers."""

    def __init__(self, in_thread: InThread, clock: Any, **options: object) -> None:
        super().__init__()
        self.options = options
        self.events: list[object] = []
        self._reactor = clock

    async def recover(
        self, is_recorded: Callable[[StoredBlob], Awaitable[bool]], is_resumable: Callable[[str], Awaitable[bool]]
    ) -> int:
        """As any, once the metadata has answered."""
        recorded = await is_recorded(StoredBlob(Digest.sha256(b""), "none", 0))
        self.events.append({"recorded": recorded, "ports": len(self._reactor.tcpServers)})
        return 0


@implementer(IMetadataStore)
class OtherMetadata(SQLMetadataStore):
    """A metadata store of somebody else."""

    def __init__(self, in_thread: InThread, clock: object, **options: object) -> None:
        super().__init__("sqlite://", in_thread)
        self.options = options


@implementer(IAuthorizer)
class OtherRules:
    """Rules of somebody else."""

    def __init__(self, repositories: IRepositoryStore) -> None:
        self.repositories = repositories

    async def granted(self, principal: Principal, wanted: Access) -> frozenset[Action]:
        """Nothing."""
        return frozenset()


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
    def places(self) -> object:
        """Where things are kept on disk."""
        registry = self.core.registry
        return (
            registry.metadata._database.url.database,
            registry.blobs._store._folders.staging,
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
            (each.description, sorted(api.value for api in each.factory.resource._apis)) for each in self.plan.listeners
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


def _limit(name: str, value: str, expected: object) -> Row:
    # Listeners of both kinds have the limits of connections.
    def seen(parts: Parts) -> object:
        waits = [each.proxying.seconds for each in parts.plan.listeners] if name == "header_seconds" else []
        return [parts.limit(name), waits]

    wanted = [[expected] * 2, [expected] * 2 if name == "header_seconds" else []]
    return Row(value, seen, wanted, "metrics.listen = ['tcp:5001']\n")


_TLS = "tls.listen = ['tcp:1']\n"
_CERTIFIED = f"{_TLS}tls.certificate = '/c'\n"
_INDEX = 'role = "registry"\n'
_OTHER_INDEX = f'{_INDEX}index.url = "http://other"\n'
_LOOPBACK = "tcp:5000:interface=127.0.0.1"
_CRED = "twisted.cred.checkers.InMemoryUsernamePasswordDatabaseDontUse"

_CERTIFICATES = "auth.checkers = ['certificates']\n"

_LIMITS: Mapping[str, tuple[str, object]] = {
    "header_seconds": ("1.5", 1.5),
    "header_bytes": ("2048", 2048),
    "keep_alive_seconds": ("2.5", 2.5),
    "body_idle_seconds": ("3.5", 3.5),
    "minimum_rate": ("7", 7),
    "rate_window_seconds": ("4.5", 4.5),
    "unasked_seconds": ("5.5", 5.5),
    "window_bytes": ("4097", 4097),
    "unasked_bytes": ("11", 11),
    "response_idle_seconds": ("6.5", 6.5),
    "drain_bytes": ("13", 13),
    "linger_seconds": ("7.5", 7.5),
    "linger_idle_seconds": ("8.5", 8.5),
    "connections_per_address": ("17", 17),
    "half_read_total": ("19", 19),
    "exempt_addresses": ('["192.0.2.1"]', Networks.parse(["192.0.2.1"])),
    "sweep_seconds": ("9.5", 9.5),
}

ROWS: Mapping[str, Row] = {
    "data_dir": Row('"/a"', lambda parts: parts.places, ("/a/metadata.sqlite3", Path("/a/blobs/staging"), Path("/a"))),
    "listen": Row('["tcp:1", "tcp:2"]', lambda parts: parts.listeners, [("tcp:1", False), ("tcp:2", False)]),
    "role": Row('"index"', lambda parts: (parts.doors.role, parts.doors.status.role), (Role.INDEX, Role.INDEX)),
    "allow_unauthenticated": Row("true", lambda parts: parts.listeners, [(_LOOPBACK, True)]),
    "workers": Row("3", lambda parts: worker_count(parts.opened.config), 3),
    "grace_seconds": Row("1.5", lambda parts: parts.plan.grace_seconds, 1.5),
    **{f"http.{name}": _limit(name, *values) for name, values in _LIMITS.items()},
    "http.trusted_proxies": Row(
        '["192.0.2.0/24"]',
        lambda parts: (parts.proxies("trusted"), [each.proxying.trusted for each in parts.plan.listeners]),
        ([Networks.parse(["192.0.2.0/24"])] * 3, [Networks.parse(["192.0.2.0/24"])] * 2),
        "metrics.listen = ['tcp:5001']\n",
    ),
    "http.proxy_headers": Row(
        '"forwarded"',
        lambda parts: parts.proxies("headers"),
        ["forwarded"] * 3,
        "metrics.listen = ['tcp:5001']\nhttp.trusted_proxies = ['192.0.2.2']\n",
    ),
    "http.cors_origins": Row(
        "['https://ui.example']",
        lambda parts: [each.factory.entrance.cross_origin.origins for each in parts.plan.listeners],
        [frozenset({"https://ui.example"})] * 2,
        "metrics.listen = ['tcp:5001']\n",
    ),
    "http.name_characters": Row("70", lambda parts: door_settings(parts.config).name_characters, 70),
    "http.url_bytes": Row(
        "600",
        lambda parts: [each.factory.entrance.url_bytes for each in parts.plan.listeners],
        [600] * 2,
        "metrics.listen = ['tcp:5001']\n",
    ),
    "http.requests_per_second": Row(
        "2.5", lambda parts: parts.rates("per_second"), [2.5] * 2, "metrics.listen = ['tcp:5001']\n"
    ),
    "http.request_burst": Row("7", lambda parts: parts.rates("burst"), [7] * 2, "metrics.listen = ['tcp:5001']\n"),
    "tls.hsts_seconds": Row(
        "3", lambda parts: [each.factory.entrance.hsts_seconds for each in parts.plan.listeners], [0, 3], _CERTIFIED
    ),
    "tls.listen": Row(
        "['tcp:1']",
        lambda parts: (parts.listeners, [each.around is not None for each in parts.plan.listeners]),
        ([(_LOOPBACK, False), ("tcp:1", False)], [False, True]),
        "tls.certificate = '/c'\n",
        "grace_seconds = 30\n",
    ),
    "tls.certificate": Row(
        "'/c'", lambda parts: parts.tls("certificate"), Path("/c"), _TLS, f"{_TLS}tls.certificate = '/d'\n"
    ),
    "tls.key": Row("'/k'", lambda parts: parts.tls("key"), Path("/k"), _CERTIFIED),
    "tls.client_ca": Row("'/ca'", lambda parts: parts.tls("client_ca"), Path("/ca"), _CERTIFIED),
    "tls.minimum": Row("'1.3'", lambda parts: parts.tls("minimum"), "1.3", _CERTIFIED),
    "v1.listen": Row("['tcp:1']", lambda parts: parts.speaking, [(_LOOPBACK, ["v1", "v2"]), ("tcp:1", ["v1"])]),
    "v1.endpoints": Row('["r.example"]', lambda parts: parts.doors.repositories.index.endpoints, ("r.example",)),
    "v1.max_json_bytes": Row("2001", lambda parts: parts.doors.images.max_json_bytes, 2001),
    "v1.max_list_bytes": Row("2002", lambda parts: parts.doors.repositories.max_list_bytes, 2002),
    "v1.max_list_entries": Row("2003", lambda parts: parts.doors.repositories.max_list_entries, 2003),
    "v1.max_layer_bytes": Row("2004", lambda parts: parts.doors.images.images.limits.max_layer, 2004),
    "v1.max_uncompressed_bytes": Row(
        "2005",
        lambda parts: (parts.core.images.limits.max_uncompressed, parts.doors.images.layer_files.max_uncompressed),
        (2005, 2005),
    ),
    "v1.max_layer_entries": Row("2006", lambda parts: parts.core.images.limits.max_entries, 2006),
    "v1.staging_seconds": Row("2007", lambda parts: parts.core.images.limits.staging_seconds, 2007),
    "v1.announcement_seconds": Row("2008", lambda parts: parts.core.images.limits.announcement_seconds, 2008),
    "v1.lease_seconds": Row("2009", lambda parts: parts.core.registry.lease_end(), 2009),
    "v1.max_ancestry": Row("2010", lambda parts: parts.core.images.limits.max_ancestry, 2010),
    "v2.listen": Row("['tcp:2']", lambda parts: parts.speaking, [(_LOOPBACK, ["v1", "v2"]), ("tcp:2", ["v2"])]),
    "v2.base_url": Row('"https://r/"', lambda parts: parts.doors.v2.uploads.locations.base_url, "https://r"),
    "v2.max_manifest_bytes": Row("3001", lambda parts: parts.doors.v2.manifests.max_bytes, 3001),
    "v2.max_blob_bytes": Row("3002", lambda parts: parts.core.uploads.limits.max_blob, 3002),
    "v2.session_seconds": Row("3003", lambda parts: parts.core.uploads.limits.session_seconds, 3003),
    "v2.max_list_entries": Row("304", lambda parts: parts.doors.v2.lists.max_entries, 304),
    "v2.max_referrers": Row("305", lambda parts: parts.doors.v2.lists.max_referrers, 305),
    "v2.sparse": Row('"all"', lambda parts: parts.core.manifests.sparse, Sparse.ALL),
    "v2.platform": Row(
        '"linux/arm/v6"', lambda parts: parts.core.manifests.views.platform, Platform("linux", "arm", "v6")
    ),
    "index.url": Row(
        '"http://index"', lambda parts: parts.core.authenticator._url, "http://index", _INDEX, _OTHER_INDEX
    ),
    "index.cache_seconds": Row(
        "5", lambda parts: parts.core.authenticator._lists._seconds, 5, _OTHER_INDEX, _OTHER_INDEX
    ),
    "auth.anonymous": Row('"pull"', lambda parts: parts.core.registry.authorizer._anonymous, ANONYMOUS_ACTIONS["pull"]),
    "auth.registration": Row('"closed"', lambda parts: parts.core.accounts._registration, Registration.CLOSED),
    "auth.email": Row('"none"', lambda parts: parts.core.accounts._email_addresses, EmailAddresses.NONE),
    "auth.checkers": Row(
        f"['{_CRED}', 'accounts']",
        lambda parts: [type(each).__name__ for each in parts.known._checkers],
        ["InMemoryUsernamePasswordDatabaseDontUse", "AccountsChecker"],
        beside='auth.registration = "closed"\n',
    ),
    "auth.authorizer": Row(
        f"'{__name__}.OtherRules'", lambda parts: type(parts.core.registry.authorizer).__name__, "OtherRules"
    ),
    "auth.token_seconds": Row(
        "61",
        lambda parts: (parts.core.tokens._lifetime_seconds, parts.known._tokens is parts.core.tokens),
        (61, True),
    ),
    "auth.challenge": Row('"basic"', lambda parts: parts.gate.sends_to_bearers, False),
    "auth.bearer_seconds": Row(
        "62",
        lambda parts: (parts.core.bearers._times.bearer, parts.core.bearers is parts.core.token_service),
        (62, True),
    ),
    "auth.refresh_seconds": Row("3600", lambda parts: parts.core.bearers._times.refresh, 3600),
    "auth.remember_seconds": Row("7", lambda parts: parts.checker._verified._seconds, 7),
    "auth.hash_workers": Row(
        "5",
        lambda parts: (
            parts.opened.threads.hashing._size,
            parts.core.accounts._hasher.turns._at_once,
            parts.checker._hasher is parts.core.accounts._hasher,
        ),
        (5, 5, True),
    ),
    "auth.hash_queue": Row("6", lambda parts: parts.core.accounts._hasher.turns._queue, 6),
    "auth.certificates.name": Row('"uri"', lambda parts: parts.checker._names, "uri", _CERTIFICATES),
    "auth.certificates.pattern": Row('"a+"', lambda parts: parts.checker._pattern, re.compile("a+"), _CERTIFICATES),
    "auth.certificates.issuers": Row(
        '["CN=ca"]', lambda parts: parts.checker._issuers, [Name.from_rfc4514_string("CN=ca")], _CERTIFICATES
    ),
    "auth.certificates.groups": Row('"ou"', lambda parts: parts.checker._groups, "ou", _CERTIFICATES),
    **{
        f"auth.attempts.{name}": Row(str(value), lambda parts, name=name: getattr(parts.attempts, name), value)  # type: ignore[misc]  # a default is no argument
        for name, value in {
            "per_client": 2,
            "per_account": 3,
            "per_address": 4,
            "registrations": 6,
            "first_seconds": 7,
            "most_seconds": 8,
            "forget_seconds": 9,
            "trust_seconds": 10,
        }.items()
    },
    "metadata.provider": Row(
        f"'{__name__}.OtherMetadata'", lambda parts: type(parts.plan.metadata).__name__, "OtherMetadata"
    ),
    "metadata.url": Row(
        "'sqlite:////x'", lambda parts: parts.plan.metadata._database.url.render_as_string(), "sqlite:////x"
    ),
    "metadata.options": Row(
        "{size = 5}",
        lambda parts: parts.plan.metadata.options,
        {"size": 5},
        f"metadata.provider = '{__name__}.OtherMetadata'\n",
    ),
    "blobs.provider": Row(f"'{__name__}.OtherBlobs'", lambda parts: type(parts.plan.blobs).__name__, "OtherBlobs"),
    "blobs.folder": Row("'/b'", lambda parts: parts.plan.blobs._store._folders.staging, Path("/b/staging")),
    "blobs.options": Row(
        "{size = 5}",
        lambda parts: parts.plan.blobs.options,
        {"size": 5},
        f"blobs.provider = '{__name__}.OtherBlobs'\n",
    ),
    "log.access": Row("'/access'", lambda parts: parts.logs, [("LogFile", "/access")]),
    "log.audit": Row("'/audit'", lambda parts: parts.logs, [("LogFile", "/audit")]),
    "log.audit_reads": Row("true", lambda parts: parts.audit_reads, True, "log.audit = '/audit'\n"),
    "log.json": Row("'/json'", lambda parts: parts.logs, [("JSONLog", "/json")]),
    "metrics.listen": Row("['tcp:5001']", lambda parts: parts.listeners, [(_LOOPBACK, False), ("tcp:5001", True)]),
}


class SettingsTests(SynchronousTestCase):
    """From the key in the file to the part that has a use for it."""

    def test_complete(self) -> None:
        """Every key of the configuration is looked at below."""
        keys = {each.name for each in attrs.fields(Config)} - set(TABLES)
        for table, kind in TABLES.items():
            if table == "auth.ldap":
                continue  # test_settings_ldap.py
            keys |= {f"{table}.{each.name}" for each in attrs.fields(kind)}
        self.assertEqual(sorted(keys - set(TABLES)), sorted(ROWS))

    def test_arrives(self) -> None:
        """A value other than the default is what the part has; without it the part has another one."""
        parts = cache(Parts)
        for key, row in ROWS.items():
            with self.subTest(key=key):
                self.assertEqual(row.expected, row.seen(parts(f"{row.beside}{key} = {row.value}\n")))
                self.assertNotEqual(row.expected, row.seen(parts(row.instead or row.beside)))
