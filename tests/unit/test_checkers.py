"""Tests of :mod:`dockreg.checkers`."""

import sys
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.cred.checkers import FilePasswordDB, ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock

from dockreg.checkers import Checkers, Means, make_checkers, make_directory
from dockreg.config import ConfigError, read_config
from dockreg.providers.auth.accounts import AccountsChecker
from dockreg.providers.auth.htpasswd import HtpasswdChecker
from dockreg.testing.accountstores import MemoryAccountStore
from dockreg.testing.contracts_auth import ContractCase
from tests.unit.providers.auth.support import cheap_hasher, counted_bytes

MEMORY = "twisted.cred.checkers.InMemoryUsernamePasswordDatabaseDontUse"


class MakeCheckersTests(ContractCase):
    def make(self, *entries: str) -> Checkers:
        listed = ", ".join(f'"{each}"' for each in entries)
        config = read_config(f'auth.registration = "closed"\nauth.checkers = [{listed}]')
        means = Means(MemoryAccountStore(), cheap_hasher(), maybeDeferred, maybeDeferred, Clock(), counted_bytes())
        return make_checkers(config, means)

    def refused(self, entry: str) -> str:
        error = self.assertRaises(ConfigError, self.make, entry)
        assert isinstance(error, ConfigError)
        self.assertEqual("auth.checkers", error.key)
        return error.reason

    def ask(self, checker: ICredentialsChecker, name: bytes, password: bytes) -> Any:
        return maybeDeferred(checker.requestAvatarId, UsernamePassword(name, password))

    def test_in_order(self) -> None:
        """Checkers of every kind stand in the order in which they are named."""
        entries = (MEMORY, "htpasswd:/nowhere/a", "accounts", "unix", "htpasswd:/nowhere/b")
        names = [type(each).__name__ for each in self.make(*entries).checkers]
        expected = ["InMemoryUsernamePasswordDatabaseDontUse", "HtpasswdChecker", "AccountsChecker", "UNIXChecker"]
        self.assertEqual([*expected, "HtpasswdChecker"], names)
        self.assertEqual([], self.make().checkers)

    def test_dotted_paths(self) -> None:
        """A dotted path has dots or a colon before the name, as in ``pkgutil``; a package may have no dot."""
        for path in (MEMORY, f"{__name__}:{make_file_checker.__name__}"):
            self.assertEqual(1, len(self.make(path).checkers))
        self.assertIn("can not be imported", self.refused("nowhere:make"))
        self.assertIn("can not be imported", self.refused("nowhere.at.all"))

    def test_file(self) -> None:
        """The checker ``file`` of twistd reads its file."""
        path = Path(self.mktemp()).absolute()
        path.write_bytes(b"anna:secret\n")
        (checker,) = self.make(f"file:{path}").checkers
        self.assertIsInstance(checker, FilePasswordDB)
        self.assertEqual(b"anna", self.successResultOf(self.ask(checker, b"anna", b"secret")))
        self.failureResultOf(self.ask(checker, b"anna", b"wrong"), UnauthorizedLogin)

    def test_memory(self) -> None:
        """The checker ``memory`` of twistd knows those who are named, by names and passwords in any script."""
        (checker,) = self.make("memory:anna:secret:jürgen:pässwort").checkers
        self.assertEqual(b"anna", self.successResultOf(self.ask(checker, b"anna", b"secret")))
        juergen = "jürgen".encode()
        self.assertEqual(juergen, self.successResultOf(self.ask(checker, juergen, "pässwort".encode())))
        self.failureResultOf(self.ask(checker, b"anna", b"wrong"), UnauthorizedLogin)

    def test_unix(self) -> None:
        """The checker ``unix`` of twistd refuses who has no account of the system."""
        (checker,) = self.make("unix").checkers
        self.failureResultOf(self.ask(checker, b"nobody-has-this-name", b"x"), UnauthorizedLogin)

    def test_unknown_to_twistd(self) -> None:
        """A kind that twistd does not know is told with those that it knows, and without what stands behind it."""
        reason = self.refused("flie:/etc/sesame")
        self.assertIn("'flie'", reason)
        self.assertIn("file, ", reason)
        self.assertNotIn("sesame", reason)

    def test_argument_of_twistd(self) -> None:
        """An argument that a checker of twistd does not take is told without it."""
        reason = self.refused("memory:anna:sesame:berta")
        self.assertIn("name:password", reason)
        self.assertNotIn("sesame", reason)

    def test_never_asked(self) -> None:
        """A checker of twistd that takes no names and passwords is refused: nobody would ask it."""
        self.assertIn("never be asked", self.refused("anonymous"))

    def test_ldap_missing(self) -> None:
        """Where nothing that speaks LDAP is installed, it is said what to install."""
        lines = "auth.checkers = ['ldap']\n[auth.ldap]\nurl = 'ldaps://a'\nuser_base = 'dc=a'"
        with mock.patch.dict(sys.modules, {"dockreg.providers.auth.ldapdirectory": None}):
            error = self.assertRaises(ConfigError, make_directory, read_config(lines), Clock())
        self.assertIn("install dockreg[ldap]", str(error))

    def test_opened(self) -> None:
        """What is opened at the start are the htpasswd files."""
        path = Path(self.mktemp()).absolute()
        every = self.make("accounts", f"htpasswd:{path}")
        self.assertIsInstance(every.checkers[0], AccountsChecker)
        self.assertIsInstance(every.checkers[1], HtpasswdChecker)
        (opener,) = every.openers
        self.assertEqual(path, every.checkers[1]._file.path)  # type: ignore[attr-defined]
        path.write_bytes(b"")
        _ = self.successResultOf(maybeDeferred(opener))


def make_file_checker() -> ICredentialsChecker:
    """A factory as others have them."""
    return FilePasswordDB("/nowhere")
