"""Tests of :mod:`dockreg.config`."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.config import TABLES, Config, ConfigError, HTTPSettings, read_config
from dockreg.configpeople import shown_checkers
from dockreg.model.networks import Networks
from dockreg.web.limits import Limits

_ROOT = Path(__file__).resolve().parents[2]

_TOKENS = '[auth.token_server]\nrealm = "https://auth.example/token"\nservice = "r"\nissuer = "i"\n'
_LDAP = "auth.checkers = ['ldap']\n[auth.ldap]\n"
_SERVER, _BASE = "url = 'ldaps://ldap.example.com'\n", "user_base = 'dc=example'\n"

#: The same for a directory: the lines of its table, and its key.
BAD_LDAP = [
    ("url = 'http://ldap.example.com'", "url", "'http://ldap.example.com' is not of the form"),
    ("url = 'ldaps://a ldap'", "url", "'ldap' has more in it"),
    (f"{_BASE}url = 'ldap://ldap.example.com'", "url", "passwords to ldap.example.com:389 in plain text"),
    (f"{_BASE}url = 'ldap://127.0.0.1 ldap://192.0.2.1'", "url", "passwords to 192.0.2.1:389 in plain text"),
    (f"{_SERVER}{_BASE}start_tls = true", "start_tls", "ldap:// only"),
    (f"url = 'ldap://127.0.0.1'\n{_BASE}ca_file = '/ca.pem'", "ca_file", "no effect without TLS"),
    ("ca_file = 'ca.pem'", "ca_file", "absolute path"),
    (_SERVER, "user_base", "or else user_dn"),
    (f"{_SERVER}{_BASE}user_dn = 'uid={{name}}'", "user_base", "not both"),
    ("user_dn = 'uid=name'", "user_dn", "must have {name} in it"),
    ("user_filter = '(uid=name)'", "user_filter", "must have {name} in it"),
    ("user_filter = 'uid={name}'", "user_filter", "in parentheses"),
    ("group_filter = '(member=dn)'", "group_filter", "must have {dn} or {name} in it"),
    (f"{_SERVER}{_BASE}bind_dn = 'cn=x'", "bind_dn", "must have a password"),
    (f"{_SERVER}{_BASE}bind_password = 'x'", "bind_dn", "only it"),
    (f"{_SERVER}{_BASE}bind_password = 'x'\nbind_password_file = '/x'", "bind_password", "beside bind_password_file"),
    ("timeout_seconds = 0", "timeout_seconds", "0.1 or more"),
]

_RETENTION = '[[retention.rules]]\nrepositories = ["a"]\n'
_RULE = '[[auth.rules]]\nwho = ["anna"]\nrepositories = ["a"]\ndeny = ["pull"]\n'
#: What is wrong, the key that the message names, and a part of what it says.
BAD = [
    ("listen = 5000", "listen", "list of texts"),
    ("listen = []", "listen", "at least one"),
    ('listen = ["tcp:1", 2]', "listen", "list of texts"),
    ("data_dir = 1", "data_dir", "folder"),
    ('data_dir = ""', "data_dir", "folder"),
    ('role = "hub"', "role", "standalone, index, registry"),
    ('role = "registry"', "index.url", "must name the index"),
    ('[index]\nurl = "https://index"', "index.url", "no effect unless role is registry"),
    ('role = "index"\n[index]\nurl = "https://index"', "index.url", "no effect unless role is registry"),
    ("[index]\ncache_seconds = 5", "index.cache_seconds", "no effect unless role is registry"),
    ('role = "registry"\n[index]\nurl = "ftp://index"', "index.url", "http"),
    ('role = "registry"\n[index]\nurl = "http://me@index"', "index.url", "user name"),
    ("allow_unauthenticated = 1", "allow_unauthenticated", "true or false"),
    ("grace_seconds = -1", "grace_seconds", "0 or more"),
    ("grace_seconds = nan", "grace_seconds", "0 or more"),
    ("grace_seconds = inf", "grace_seconds", "0 or more"),
    ('grace_seconds = "30"', "grace_seconds", "number of seconds"),
    ("grace_seconds = true", "grace_seconds", "number of seconds"),
    ("http = 1", "http", "[http]"),
    ("[http]\nheader_second = 1", "http.header_second", "no such key"),
    ("[http]\nheader_bytes = 10.5", "http.header_bytes", "whole number"),
    ("[htpp]\nheader_seconds = 1", "htpp", "no such key"),
    ('[v1]\nendpoints = ["a b"]', "v1.endpoints", "'a b'"),
    ('[v1]\nendpoints = ["http://a"]', "v1.endpoints", "host:port"),
    ('[http]\nexempt_addresses = ["localhost"]', "http.exempt_addresses", "'localhost' is no IP address"),
    ('[http]\nexempt_addresses = ["10.0.0.1/8"]', "http.exempt_addresses", "'10.0.0.1/8' has bits behind"),
    ('[tls]\nlisten = ["tcp:1"]', "tls.certificate", "must name a file in PEM"),
    ('[tls]\ncertificate = "/c"', "tls.certificate", "no effect unless tls.listen names"),
    ('[tls]\nlisten = ["ssl:1:privateKey=/k"]\ncertificate = "/c"', "tls.listen", "TLS of its own"),
    ('[tls]\nlisten = ["haproxy:tls:/k"]\ncertificate = "/c"', "tls.listen", "TLS of its own"),
    ('[tls]\nlisten = ["tcp:1"]\ncertificate = "/c"\nminimum = "1.1"', "tls.minimum", "1.2, 1.3"),
    ('[tls]\nlisten = ["tcp:1"]\ncertificate = "/c"\nminimum = 1.2', "tls.minimum", "1.2, 1.3"),
    ('[tls]\nlisten = ["tcp:1"]\ncertificate = "/c"\nhsts_seconds = -1', "tls.hsts_seconds", "0 or more"),
    ('[http]\ntrusted_proxies = ["proxy.example"]', "http.trusted_proxies", "names are not looked up"),
    ('[http]\ncors_origins = ["*"]', "http.cors_origins", "'*' is no origin"),
    ('[http]\ncors_origins = ["https://ui.example/"]', "http.cors_origins", "no origin"),
    ('[http]\ncors_origins = ["https://UI.example"]', "http.cors_origins", "no origin"),
    ('[http]\ncors_origins = ["ui.example"]', "http.cors_origins", "no origin"),
    ("[http]\nrequests_per_second = -1", "http.requests_per_second", "0 or more"),
    ('[http]\nrequests_per_second = "many"', "http.requests_per_second", "a number"),
    ("[http]\nrequests_per_second = 0\nrequest_burst = 5", "http.request_burst", "requests_per_second is 0"),
    ("[http]\nname_characters = 256", "http.name_characters", "255 or less"),
    ("[http]\nurl_bytes = 100", "http.url_bytes", "512 or more"),
    ('[http]\nproxy_headers = "x-real-ip"', "http.proxy_headers", "auto, forwarded, x-forwarded"),
    ('[http]\nproxy_headers = "forwarded"', "http.proxy_headers", "unless http.trusted_proxies names somebody"),
    ("[http]\nminimum_rate = 0\nrate_window_seconds = 5", "http.rate_window_seconds", "minimum_rate is 0"),
    ("[v1]\nmax_ancestry = 0", "v1.max_ancestry", "1 or more"),
    ("[v1]\nmax_uncompressed_bytes = 0", "v1.max_uncompressed_bytes", "1 or more"),
    ("[v1]\nmax_layer_entries = 0", "v1.max_layer_entries", "1 or more"),
    ("[collection]\ninterval_seconds = 0", "collection.interval_seconds", "0.1 or more"),
    ("[collection]\nlease_seconds = 0", "collection.lease_seconds", "1 or more"),
    ("[blobs]\nsmall_bytes = 65537", "blobs.small_bytes", "65536 or less"),
    ("[blobs]\nsmall_bytes = -1", "blobs.small_bytes", "0 or more"),
    ("[collection]\nbatch_items = 1001", "collection.batch_items", "1000 or less"),
    ("[collection]\nenabled = false\ntick_items = 5", "collection.tick_items", "collection.enabled is false"),
    ('[collection]\nuntagged = "keep"', "collection.untagged", "[[collection.untagged]]"),
    (
        f'{_RETENTION}expire_untagged_seconds = 3600\n[[collection.untagged]]\nrepositories = ["a"]\nkeep = true',
        "collection.untagged",
        "beside expire_untagged_seconds",
    ),
    ('[retention]\nrules = "all"', "retention.rules", "[[retention.rules]]"),
    ("[[retention.rules]]\nkeep_last = 1", "retention.rules", "rule 1: must say which 'repositories'"),
    (_RETENTION, "retention.rules", "must say what goes"),
    (f'{_RETENTION}keep = ["v*"]\nexpire_untagged_seconds = 3600', "retention.rules", "'keep' has no effect"),
    (f"{_RETENTION}expire_unpulled_seconds = 60", "retention.rules", "'expire_unpulled_seconds' must be 3600 or more"),
    (f"{_RETENTION}keep_last = 0", "retention.rules", "'keep_last' must be 1 or more"),
    (f'{_RETENTION}keep_last = 1\nkeep = ["a b"]', "retention.rules", "'a b' is not a pattern of tags"),
    (f"{_RETENTION}keep_first = 1", "retention.rules", "there is no such key: keep_first"),
    ("[retention]\nmost_per_run = 5", "retention.most_per_run", "unless there are [[retention.rules]]"),
    ("[quotas]\ndefault_bytes = -1", "quotas.default_bytes", "0 or more"),
    ("[[collection.untagged]]\nkeep = true", "collection.untagged", "rule 1: must say which 'repositories'"),
    ('[[collection.untagged]]\nrepositories = ["a"]', "collection.untagged", "'keep = true' or 'expire_seconds'"),
    (
        '[[collection.untagged]]\nrepositories = ["a"]\nkeep = true\nexpire_seconds = 5',
        "collection.untagged",
        "'keep = true' or 'expire_seconds'",
    ),
    ('[[collection.untagged]]\nrepositories = ["A"]\nkeep = true', "collection.untagged", "'A' is not a pattern"),
    ('[[collection.untagged]]\nrepositories = ["a"]\nexpire = 5', "collection.untagged", "no such key: expire"),
    (
        '[[collection.untagged]]\nrepositories = ["a"]\nexpire_seconds = -1',
        "collection.untagged",
        "'expire_seconds' must be 0 or more",
    ),
    ('[auth]\nanonymous = "admin"', "auth.anonymous", "push, pull, none"),
    ('[auth]\nanonymous_search = "yes"', "auth.anonymous_search", "auto, on, off"),
    ('[auth]\nnew_repositories = "secret"', "auth.new_repositories", "public, private"),
    ('[auth]\nrules = "all"', "auth.rules", "[[auth.rules]]"),
    ('[auth]\nrules = ["all"]', "auth.rules", "rule 1: must be a table"),
    ('[[auth.rules]]\nrepositories = ["a"]\nallow = ["pull"]', "auth.rules", "rule 1: must say 'who'"),
    ('[[auth.rules]]\nwho = ["anna"]\nallow = ["pull"]', "auth.rules", "which 'repositories'"),
    ('[[auth.rules]]\nwho = ["anna"]\nrepositories = ["a"]', "auth.rules", "to 'allow' or to 'deny'"),
    ('[[auth.rules]]\nwho = "anna"\nrepositories = ["a"]\nallow = ["pull"]', "auth.rules", "'who' must be a list"),
    ('[[auth.rules]]\nwho = ["an na "]\nrepositories = ["a"]\nallow = ["pull"]', "auth.rules", "'an na ' is nobody"),
    ('[[auth.rules]]\nwho = ["anna"]\nrepositories = ["A"]\nallow = ["pull"]', "auth.rules", "'A' is not a pattern"),
    ('[[auth.rules]]\nwho = ["anna"]\nrepositories = ["a"]\nallow = ["read"]', "auth.rules", "'read' is no action"),
    (
        f'{_RULE}[[auth.rules]]\nwhom = ["anna"]\nrepositories = ["a"]',
        "auth.rules",
        "rule 2: there is no such key: whom",
    ),
    ("[auth]\nremember_seconds = 61", "auth.remember_seconds", "60 or less"),
    ("[auth]\nhash_workers = true", "auth.hash_workers", "whole number"),
    ('[auth]\ncheckers = [":x"]', "auth.checkers", "dotted path"),
    ('[auth]\ncheckers = ["a..b"]', "auth.checkers", "dotted path"),
    ('[auth]\ncheckers = ["accounts:x"]', "auth.checkers", "nothing behind it"),
    ('[auth]\ncheckers = ["htpasswd"]', "auth.checkers", "absolute path"),
    ('[auth]\ncheckers = ["htpasswd:people"]', "auth.checkers", "absolute path"),
    ('[auth]\ncheckers = ["accounts", "accounts"]', "auth.checkers", "twice"),
    ('[auth]\ncheckers = ["accounts", "htpasswd:/a"]', "auth.registration", "strangers take names"),
    *((f"{_LDAP}{line}", f"auth.ldap.{key}", part) for line, key, part in BAD_LDAP),
    ("auth.checkers = ['ldap']", "auth.ldap.url", "must name the directory"),
    ("[auth.ldap]\nconnections = 5", "auth.ldap.connections", "unless auth.checkers has 'ldap'"),
    ('[auth.certificates]\nname = "serial"', "auth.certificates.name", "cn, email, uri, dns"),
    ('[auth.certificates]\npattern = "("', "auth.certificates.pattern", "regular expression"),
    ('[auth.certificates]\nissuers = ["our CA"]', "auth.certificates.issuers", "'our CA'"),
    ('[auth.certificates]\nname = "email"', "auth.certificates.name", "unless auth.checkers has 'certificates'"),
    ("[auth]\ncertificates = 1", "auth.certificates", "[auth.certificates]"),
    ("[auth.certificates]\nsubject = 1", "auth.certificates.subject", "no such key"),
    ('[auth]\nauthorizer = "rules"', "auth.authorizer", "dotted path"),
    ('[auth]\ncheckers = ["a.b", "accounts"]', "auth.registration", "strangers take names"),
    ('role = "index"\n[auth]\ncheckers = []', "auth.checkers", "must not be empty"),
    ('[auth]\nauthorizer = "a.b"\nanonymous = "none"', "auth.anonymous", "no effect beside auth.authorizer"),
    (
        '[auth]\nauthorizer = "a.b"\n[[auth.rules]]\nwho = ["a"]\nrepositories = ["a"]\nallow = ["pull"]',
        "auth.rules",
        "no effect beside auth.authorizer",
    ),
    ("[auth]\ncheckers = ['a.b']\nremember_seconds = 5", "auth.remember_seconds", "unless auth.checkers has"),
    ('allow_unauthenticated = true\n[auth]\nanonymous = "pull"', "allow_unauthenticated", "unless everybody may push"),
    ('allow_unauthenticated = true\n[auth]\nauthorizer = "a.b"', "allow_unauthenticated", "unless everybody may push"),
    ("[auth]\ntoken_server = 1", "auth.token_server", "write [auth.token_server]"),
    ("[auth.token_server]\nother = 1", "auth.token_server.other", "no such key"),
    ('[auth.token_server]\nservice = "r"', "auth.token_server.service", "unless auth.token_server.realm"),
    (_TOKENS, "auth.token_server.key_files", "not both"),
    (f'{_TOKENS}key_files = ["/a"]\nkey_url = "https://a"', "auth.token_server.key_files", "not both"),
    (f'{_TOKENS}key_url = "http://auth.example/keys"', "auth.token_server.key_url", "https"),
    (f'{_TOKENS}key_url = "file:///keys"', "auth.token_server.key_url", "https"),
    (_TOKENS.replace('service = "r"', "") + 'key_files = ["/a"]', "auth.token_server.service", "must be set"),
    (_TOKENS.replace('issuer = "i"', "") + 'key_files = ["/a"]', "auth.token_server.issuer", "must be set"),
    (f'auth.bearer_seconds = 100\n{_TOKENS}key_files = ["/a"]', "auth.bearer_seconds", "makes the tokens"),
    ('[metadata]\nprovider = "mysql"', "metadata.provider", "dotted path"),
    ('[metadata]\nprovider = "a.b"\nurl = "sqlite:///x"', "metadata.url", "another provider than sql"),
    ("[metadata.options]\na = 1", "metadata.options", "other providers"),
    ("[metadata]\noptions = 1", "metadata.options", "table"),
    ("[blobs.options]\na = 1", "blobs.options", "other providers"),
    ('[blobs]\nprovider = "a..b"', "blobs.provider", "dotted path"),
    ('[blobs]\nprovider = "a.b"\nfolder = "x"', "blobs.folder", "another provider than files"),
    ("[log]\naccess = 1", "log.access", "text"),
    ('[metrics]\nlisten = "tcp:1"', "metrics.listen", "list of texts"),
]

#: What has no effect in a role, each with another value than its default.
IDLE = {
    "registry": [
        "allow_unauthenticated = true",
        'auth.anonymous = "none"',
        'auth.anonymous_search = "on"',
        'auth.new_repositories = "private"',
        'auth.rules = [{who = ["anna"], repositories = ["a"], allow = ["pull"]}]',
        'auth.registration = "closed"',
        'auth.checkers = ["accounts", "a.b"]',
        'auth.authorizer = "a.b"',
        "auth.token_seconds = 60",
        'auth.challenge = "basic"',
        "auth.bearer_seconds = 100",
        "auth.refresh_seconds = 1000",
        "auth.remember_seconds = 5",
        "auth.hash_workers = 4",
        "auth.hash_queue = 4",
        'v1.endpoints = ["registry.example"]',
        "v1.max_list_entries = 5",
        "v1.announcement_seconds = 60",
    ],
    "index": [
        "v1.max_json_bytes = 2048",
        "v1.max_layer_bytes = 2048",
        "v1.max_uncompressed_bytes = 2048",
        "v1.max_layer_entries = 5",
        "v1.staging_seconds = 60",
        "v1.announcement_seconds = 60",
        "v1.max_ancestry = 5",
        'auth.challenge = "basic"',
        "auth.bearer_seconds = 100",
        "auth.refresh_seconds = 1000",
        "collection.enabled = false",
        "collection.grace_seconds = 60",
        "collection.lease_seconds = 60",
        "collection.batch_items = 5",
        'collection.untagged = [{repositories = ["**"], keep = true}]',
    ],
}


class ReadConfigTests(SynchronousTestCase):
    """:func:`dockreg.config.read_config`."""

    def test_empty(self) -> None:
        """An empty file is the default configuration."""
        self.assertEqual(Config(), read_config(""))

    def test_example(self) -> None:
        """The example shows every key of every table, each with its default."""
        text = (_ROOT / "etc" / "dockreg.toml").read_text(encoding="utf-8")
        self.assertEqual(Config(), read_config(text))
        document = tomllib.loads(text)
        self.assertEqual({each.name for each in attrs.fields(Config)}, set(document))
        for name, kind in TABLES.items():
            self.assertEqual({each.name for each in attrs.fields(kind)}, set(_table(document, name)))

    def test_documented(self) -> None:
        """The documentation has every key of every table, each with its default, and no other."""
        text = (_ROOT / "docs" / "configuration.rst").read_text(encoding="utf-8")
        tables = re.split(r"^\[([\w.]+)\]\n[-~]+\n", text, flags=re.MULTILINE)
        lines = ["".join(_documented(tables[0]))]
        for name, section in zip(tables[1::2], tables[2::2], strict=True):
            lines += [f"[{name}]\n", *_documented(section)]
        documented = tomllib.loads("".join(lines))
        self.assertEqual(Config(), read_config("".join(lines)))
        self.assertEqual({each.name for each in attrs.fields(Config)}, set(documented))
        for name, kind in TABLES.items():
            self.assertEqual({each.name for each in attrs.fields(kind)}, set(_table(documented, name)))

    def test_limits_of_connections(self) -> None:
        """What can be set under ``[http]`` are the limits of the web layer, with the same defaults."""
        settings = attrs.asdict(HTTPSettings())
        settings["exempt_addresses"] = Networks.parse(settings["exempt_addresses"])
        # These are about who is believed, who may read, and what can be named, not about the connection.
        others = ("trusted_proxies", "proxy_headers", "cors_origins", "name_characters")
        self.assertEqual([(), "auto", (), 255], [settings.pop(name) for name in others])
        self.assertEqual(attrs.asdict(Limits(), recurse=False), settings)

    def test_bad(self) -> None:
        """A mistake is told with its file, its key and what to change."""
        for text, key, part in BAD:
            error = self.assertRaises(ConfigError, read_config, text, "/etc/d.toml")
            self.assertEqual(("/etc/d.toml", key), (error.file, error.key), text)
            self.assertIn(part, str(error), text)
            self.assertTrue(str(error).startswith(f"/etc/d.toml: {key}: "), text)

    def test_idle(self) -> None:
        """A value that would have no effect in the role is refused by its key; the default of the same key is not."""
        for role, lines in IDLE.items():
            top = f'role = "{role}"\n' + ('index.url = "https://index"\n' if role == "registry" else "")
            for line in lines:
                key = line.partition(" ")[0]
                error = self.assertRaises(ConfigError, read_config, top + line)
                self.assertEqual(key, error.key)
                self.assertIn("has no effect", error.reason)
                table, _, name = key.rpartition(".")
                default = getattr(getattr(Config(), table) if table else Config(), name)
                read_config(f"{top}{key} = {_toml(default)}")

    def test_roles(self) -> None:
        """What has an effect in a role can be set there."""
        read_config('role = "registry"\nindex.url = "https://index"\nindex.cache_seconds = 5\nv1.max_layer_bytes = 5')
        read_config('role = "index"\nauth.anonymous = "pull"\nv1.endpoints = ["r"]\nv1.max_list_entries = 5')
        read_config('auth.anonymous = "none"\nv1.endpoints = ["r"]\nv1.max_ancestry = 5\nv1.announcement_seconds = 60')

    def test_example_in_each_role(self) -> None:
        """The example with another role is a configuration too, although it shows keys without effect there."""
        text = (_ROOT / "etc" / "dockreg.toml").read_text(encoding="utf-8")
        index = text.replace('role = "standalone"', 'role = "index"')
        registry = text.replace('role = "standalone"', 'role = "registry"')
        registry = registry.replace('\nurl = ""', '\nurl = "http://i"', 1)
        self.assertEqual(("index", "registry"), (read_config(index).role, read_config(registry).role))

    def test_proxies(self) -> None:
        """Addresses of both kinds are addresses of proxies."""
        config = read_config(
            'http.exempt_addresses = ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "10.0.0.0/8", "unix"]'
        )
        self.assertEqual(5, len(config.http.exempt_addresses))

    def test_every_key_is_checked(self) -> None:
        """No key takes a value of any type."""
        for name, kind in {"": Config, **TABLES}.items():
            for each in attrs.fields(kind):
                text = (f"[{name}]\n" if name else "") + f"{each.name} = 2026-11-23"
                error = self.assertRaises(ConfigError, read_config, text)
                self.assertEqual(f"{name}.{each.name}".lstrip("."), error.key)

    def test_not_toml(self) -> None:
        """A file that is no TOML is told with the place of the mistake."""
        error = self.assertRaises(ConfigError, read_config, "a = = 1", "/etc/d.toml")
        self.assertIn("/etc/d.toml: not TOML: ", str(error))
        self.assertIn("line 1", str(error))

    @given(st.text(max_size=60))
    def test_any_text(self, text: str) -> None:
        """Whatever the file holds, the outcome is a configuration or a sentence."""
        try:
            read_config(text)
        except ConfigError as error:
            self.assertNotEqual("", str(error))

    def test_secrets(self) -> None:
        """The representation of a configuration shows no database password."""
        config = read_config('[metadata]\nurl = "postgresql+psycopg://dockreg:sesame@db/dockreg"')
        self.assertNotIn("sesame", repr(config))

    def test_secrets_of_checkers(self) -> None:
        """So is what a checker of others checks with; where an htpasswd file is may be seen."""
        config = read_config('auth.checkers = ["memory:anna:sesame", "htpasswd:/etc/people", "a.b:c", "unix"]')
        self.assertNotIn("sesame", repr(config))
        shown = ["memory:(not shown)", "htpasswd:/etc/people", "a.b:c", "unix"]
        self.assertEqual(shown, shown_checkers(config.auth.checkers))

    def test_directories(self) -> None:
        """A directory may be reached in each of these ways, and people found in each of these."""
        for url in ("ldaps://a ldaps://b", "ldap://127.0.0.1", "ldapi://%2Frun%2Fldapi ldap://localhost"):
            config = read_config(f"{_LDAP}url = '{url}'\n{_BASE}")
            self.assertEqual(len(url.split()), len(config.auth.ldap.servers))
        for lines in ("start_tls = true\nca_file = '/ca.pem'", "allow_plaintext = true"):
            read_config(f"{_LDAP}url = 'ldap://ldap.example.com'\nuser_dn = 'uid={{name}}'\n{lines}")

    def test_secret_of_a_directory(self) -> None:
        """The representation of a configuration shows no password for a directory."""
        config = read_config(f"{_LDAP}{_SERVER}{_BASE}bind_dn = 'cn=x'\nbind_password = 'sesame'")
        self.assertNotIn("sesame", repr(config))

    def test_third_party(self) -> None:
        """A provider named by a dotted path may have options."""
        config = read_config('[blobs]\nprovider = "acme.blobs:Store"\n[blobs.options]\nbucket = "b"')
        self.assertEqual({"bucket": "b"}, config.blobs.options)


def _table(document: Any, name: str) -> Any:
    for part in name.split("."):
        document = document[part]
    return document


def _documented(section: str) -> list[str]:
    # A key is a line of its own; its text ends with its default.
    found = re.findall(r"^``(\w+)``\n(?:  .*\n)*?  Default: ``(.*)``\.$", section, re.MULTILINE)
    assert len(found) == len(re.findall(r"^``\w+``$", section, re.MULTILINE)), section
    return [f"{key} = {value}\n" for key, value in found]


def _toml(value: object) -> str:
    # JSON spells all values that are asked for here as TOML does.
    return json.dumps(list(value) if isinstance(value, tuple) else value)
