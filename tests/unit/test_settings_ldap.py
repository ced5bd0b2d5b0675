"""Every setting of a directory arrives in the part that it is for."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import attrs
from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from dockreg.config import ConfigError, read_config
from dockreg.configpeople import LDAPSettings
from dockreg.model.ldapserver import LDAPServer
from tests.support import require_module
from tests.unit.settingcase import Parts

_LDAP = "auth.checkers = ['ldap']\n[auth.ldap]\n"
_URL, _BASE = "url = 'ldaps://a'\n", "user_base = 'dc=a'\n"


@frozen
class Row:
    """A value in TOML, where it is to be seen in the checker, as what, and what it needs around it."""

    value: str
    seen: Callable[[Any], object]
    expected: object
    beside: str = _URL + _BASE


ROWS: Mapping[str, Row] = {
    "url": Row(
        "'ldaps://b ldap://127.0.0.1:1'",
        lambda checker: checker._directory._dialling.servers,
        [LDAPServer("ldaps", "b", 636), LDAPServer("ldap", "127.0.0.1", 1)],
        _BASE,
    ),
    "start_tls": Row(
        "true", lambda checker: checker._directory._dialling.start_tls, True, f"{_BASE}url = 'ldap://127.0.0.1'\n"
    ),
    "ca_file": Row("'/ca.pem'", lambda checker: checker._directory._dialling.ca_file, "/ca.pem"),
    "bind_dn": Row(
        "'cn=b'", lambda checker: checker._directory._reader.dn, "cn=b", f"{_URL}{_BASE}bind_password = 'x'\n"
    ),
    "bind_password": Row(
        "'b'", lambda checker: checker._directory._reader.password, "b", f"{_URL}{_BASE}bind_dn = 'cn=a'\n"
    ),
    "bind_password_file": Row(
        "'/b'", lambda checker: checker._directory._reader.password_file, "/b", f"{_URL}{_BASE}bind_dn = 'cn=a'\n"
    ),
    "user_dn": Row("'uid={name}'", lambda checker: checker._directory._people.dn, "uid={name}", _URL),
    "user_base": Row("'dc=b'", lambda checker: checker._directory._people.base, "dc=b", _URL),
    "user_filter": Row("'(x={name})'", lambda checker: checker._directory._people.filter, "(x={name})"),
    "user_attribute": Row("'mail'", lambda checker: checker._directory._people.attribute, "mail"),
    "group_base": Row("'ou=b'", lambda checker: checker._directory._groups.base, "ou=b"),
    "group_filter": Row("'(x={dn})'", lambda checker: checker._directory._groups.filter, "(x={dn})"),
    "group_attribute": Row("'ou'", lambda checker: checker._directory._groups.attribute, "ou"),
    "timeout_seconds": Row(
        "7", lambda checker: (checker._timeout_seconds, checker._directory._timeout_seconds), (7, 7)
    ),
    "connections": Row("9", lambda checker: checker._turns._at_once, 9),
    "queue": Row("11", lambda checker: checker._turns._queue, 11),
}


class LDAPSettingsTests(SynchronousTestCase):
    """From the key in the file to the checker."""

    def setUp(self) -> None:
        require_module("ldap")

    def test_complete(self) -> None:
        """Every key is looked at, here or below."""
        self.assertEqual(set(attrs.fields_dict(LDAPSettings)), {*ROWS, "allow_plaintext"})

    def test_arrives(self) -> None:
        """A value other than the default is what the checker has; without it the checker has another one."""
        parts = cache(Parts)
        for key, row in ROWS.items():
            with self.subTest(key=key):
                mine = parts(f"{_LDAP}{row.beside}{key} = {row.value}\n").checker
                self.assertEqual(row.expected, row.seen(mine))
                self.assertNotEqual(row.expected, row.seen(parts(_LDAP + _URL + _BASE).checker))

    def test_plaintext(self) -> None:
        """A directory elsewhere is reached without TLS when that is allowed, and not otherwise."""
        lines = f"{_LDAP}{_BASE}url = 'ldap://192.0.2.1'\n"
        self.assertRaises(ConfigError, read_config, lines)
        checker = Parts(f"{lines}allow_plaintext = true\n").checker
        self.assertEqual([LDAPServer("ldap", "192.0.2.1", 389)], checker._directory._dialling.servers)

    def test_threads(self) -> None:
        """There are as many threads as people may be asked about, and what is remembered has its time."""
        parts = Parts(f"auth.remember_seconds = 7\n{_LDAP}{_URL}{_BASE}connections = 9\n")
        self.assertEqual(9, parts.opened.threads.asking._size)
        self.assertEqual((7, 7), (parts.checker._verified._seconds, parts.checker._remember_seconds))

    def test_not_loaded(self) -> None:
        """Nothing that speaks LDAP is loaded unless it is asked for."""
        program = "import sys, dockreg.service, dockreg.cli.command; sys.exit('ldap' in sys.modules)"
        self.assertEqual(0, subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode)
