"""Every setting arrives in the part that it is for; jobs and ports of a registry come in their order."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import attrs
from cryptography.x509 import Name
from twisted.trial.unittest import SynchronousTestCase

from dockreg.accounts import EmailAddresses, Registration
from dockreg.config import TABLES, Config
from dockreg.configured import door_settings, worker_count
from dockreg.model.access import Action
from dockreg.model.collection import UntaggedRule
from dockreg.model.networks import Networks
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.platforms import Platform
from dockreg.model.repositories import Sparse
from dockreg.model.retention import RetentionRule
from dockreg.model.rights import Rule, Subject
from dockreg.providers.auth.rules import ANONYMOUS_ACTIONS
from dockreg.providers.metadata.links import NewRepositories
from dockreg.web.exchange import Role
from tests.unit import others
from tests.unit.settingcase import Parts, Row, limit_row

_TLS = "tls.listen = ['tcp:1']\n"
_CERTIFIED = f"{_TLS}tls.certificate = '/c'\n"
_INDEX = 'role = "registry"\n'
_OTHER_INDEX = f'{_INDEX}index.url = "http://other"\n'
_LOOPBACK = "tcp:5000:interface=127.0.0.1"
_CRED = "twisted.cred.checkers.InMemoryUsernamePasswordDatabaseDontUse"
_RETENTION = "retention.rules = [{repositories = ['a/*'], keep_last = 3}]\n"

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


def _server(but: str = "", **more: object) -> str:
    values = {"realm": "https://other", "service": "other", "issuer": "other", **more}
    return "".join(f"auth.token_server.{name} = {value!r}\n" for name, value in values.items() if name != but)


COLLECTING = "the collection of garbage"
RULE = Rule(frozenset({Subject.group("dev")}), (RepositoryPattern("a/*"),), frozenset({Action.PULL}))
ROWS: Mapping[str, Row] = {
    "data_dir": Row('"/a"', lambda parts: parts.places, ("/a/metadata.sqlite3", Path("/a/blobs/staging"), Path("/a"))),
    "listen": Row('["tcp:1", "tcp:2"]', lambda parts: parts.listeners, [("tcp:1", False), ("tcp:2", False)]),
    "role": Row('"index"', lambda parts: (parts.doors.role, parts.doors.status.role), (Role.INDEX, Role.INDEX)),
    "allow_unauthenticated": Row("true", lambda parts: parts.listeners, [(_LOOPBACK, True)]),
    "workers": Row("3", lambda parts: worker_count(parts.opened.config), 3),
    "grace_seconds": Row("1.5", lambda parts: parts.plan.grace_seconds, 1.5),
    **{f"http.{name}": limit_row(name, *values) for name, values in _LIMITS.items()},
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
        "3",
        lambda parts: [each.factory.entrance.browsers.hsts_seconds for each in parts.plan.listeners],
        [0, 3],
        _CERTIFIED,
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
    "auth.anonymous": Row('"pull"', lambda parts: parts.policy.anonymous, ANONYMOUS_ACTIONS["pull"]),
    "auth.anonymous_search": Row('"off"', lambda parts: parts.doors.search.anonymous, "off"),
    "auth.new_repositories": Row('"private"', lambda parts: parts.new, (NewRepositories(private=True), True)),
    "auth.rules": Row(
        '[{who = ["group:dev"], repositories = ["a/*"], allow = ["pull"]}]', lambda parts: parts.policy.rules, (RULE,)
    ),
    "auth.registration": Row('"closed"', lambda parts: parts.core.accounts._registration, Registration.CLOSED),
    "auth.email": Row('"none"', lambda parts: parts.core.accounts._email_addresses, EmailAddresses.NONE),
    "auth.checkers": Row(
        f"['{_CRED}', 'accounts']",
        lambda parts: [type(each).__name__ for each in parts.known._checkers],
        ["InMemoryUsernamePasswordDatabaseDontUse", "AccountsChecker"],
        beside='auth.registration = "closed"\n',
    ),
    "auth.authorizer": Row(
        f"'{others.__name__}.OtherRules'",
        lambda parts: type(parts.core.registry.authorizer).__name__,
        "OtherRules",
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
    **{
        f"auth.token_server.{name}": Row(
            repr(value),
            lambda parts, name=name: getattr(parts.core.bearers, f"_{name}", None),  # type: ignore[misc]  # a default is no argument here
            value,
            _server(name, key_files=["/keys"]),
            "# nothing" if name == "realm" else _server(key_files=["/keys"]),
        )
        for name, value in (("realm", "https://a"), ("service", "s"), ("issuer", "t"))
    },
    "auth.token_server.key_files": Row(
        "['/a', '/b']",
        lambda parts: [each.__self__.__class__.__name__ for each in parts.plan.openers],
        ["TrustedKeys", "Quotas"],
        _server(),
        _server(key_url="https://a"),
    ),
    "auth.token_server.key_url": Row(
        "'https://a'",
        lambda parts: [each.__self__.__class__.__name__ for each in parts.plan.closers],
        ["OutboundAgent"],
        _server(),
        _server(key_files=["/keys"]),
    ),
    "auth.token_server.reread_seconds": Row(
        "7", lambda parts: parts.core.bearers._keys._reread_seconds, 7, _server(key_url="https://a")
    ),
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
        f"'{others.__name__}.OtherMetadata'", lambda parts: type(parts.plan.metadata).__name__, "OtherMetadata"
    ),
    "metadata.url": Row(
        "'sqlite:////x'", lambda parts: parts.plan.metadata._database.url.render_as_string(), "sqlite:////x"
    ),
    "metadata.options": Row(
        "{size = 5}",
        lambda parts: parts.plan.metadata.options,
        {"size": 5},
        f"metadata.provider = '{others.__name__}.OtherMetadata'\n",
    ),
    "blobs.provider": Row(
        f"'{others.__name__}.OtherBlobs'", lambda parts: type(parts.plan.blobs._store).__name__, "OtherBlobs"
    ),
    "blobs.folder": Row("'/b'", lambda parts: parts.plan.blobs._store._store._folders.staging, Path("/b/staging")),
    "blobs.reserve_bytes": Row("7", lambda parts: parts.core.registry.room._reserve, 7),
    "blobs.direct_io": Row("false", lambda parts: parts.plan.blobs._store._store._shop.direct, None),
    "blobs.small_bytes": Row("77", lambda parts: parts.core.registry.small_bytes, 77),
    "blobs.verify_reads": Row("true", lambda parts: parts.core.registry.soundness.verify, True),
    "blobs.options": Row(
        "{size = 5}",
        lambda parts: parts.plan.blobs._store.options,
        {"size": 5},
        f"blobs.provider = '{others.__name__}.OtherBlobs'\n",
    ),
    "quotas.default_bytes": Row(
        "77",
        lambda parts: (parts.plan.metadata.quotas._accounting.default, parts.plan.metadata.uploads._accounting.default),
        (77, 77),
    ),
    "retention.rules": Row(
        '[{repositories = ["a/*"], keep_last = 3}]',
        lambda parts: [
            parts.opened.keeping.retention and parts.opened.keeping.retention.rules,
            parts.core.registry.pulls is not None,
            [job.name for job in parts.plan.jobs if "retention" in job.name or "pulls" in job.name],
            [job.name for job in parts.plan.lasts],
        ],
        [
            [RetentionRule(1, (RepositoryPattern("a/*"),), keep_last=3)],
            True,
            ["the application of retention rules", "the writing down of pulls"],
            ["the writing down of pulls"],
        ],
    ),
    **{
        f"retention.{name}": Row(
            str(value),
            lambda parts, name=name: getattr(parts.opened.keeping.retention, name),  # type: ignore[misc]  # a default is no argument
            value,
            _RETENTION,
        )
        for name, value in {"interval_seconds": 61, "most_per_run": 7}.items()
    },
    "collection.enabled": Row("false", lambda parts: COLLECTING in [job.name for job in parts.plan.jobs], False),
    "collection.interval_seconds": Row(
        "11",
        lambda parts: (parts.opened.collector.limits.interval_seconds, parts.seconds_of(COLLECTING)),
        (11, 11),
    ),
    "collection.grace_seconds": Row("12", lambda parts: parts.opened.collector.policy.grace_seconds, 12),
    "collection.lease_seconds": Row(
        "2009",
        lambda parts: (parts.core.registry.lease_end(), parts.opened.collector.policy.lease_seconds),
        (2009, 2009),
    ),
    "collection.repush_seconds": Row("13", lambda parts: parts.opened.collector.policy.repush_seconds, 13),
    "collection.batch_items": Row("14", lambda parts: parts.opened.collector.limits.batch, 14),
    "collection.tick_items": Row("15", lambda parts: parts.opened.collector.limits.tick, 15),
    "collection.untagged": Row(
        '[{repositories = ["ci/**"], expire_seconds = 16}]',
        lambda parts: parts.opened.collector.policy.untagged,
        (UntaggedRule((RepositoryPattern("ci/**"),), 16),),
    ),
    "scrub.enabled": Row("false", lambda parts: "the scrub" in [each.name for each in parts.plan.jobs], False),
    "scrub.bytes_per_second": Row("5000", lambda parts: parts.opened.scrub._limits.bytes_per_second, 5000),
    "scrub.every_seconds": Row("61.5", lambda parts: parts.opened.scrub._limits.every_seconds, 61.5),
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
