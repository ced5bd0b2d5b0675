"""People of a real LDAP server."""

import atexit
import threading
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from dockreg.checkers import make_directory
from dockreg.config import read_config
from dockreg.model.people import Person
from dockreg.providers.auth.ldapchecker import SearchingLDAPChecker
from dockreg.providers.auth.ldapwire import DirectoryTrouble
from dockreg.providers.auth.turns import Turns
from dockreg.testing import contracts_checkers
from tests.integration.silence import Misbehaving
from tests.integration.slapd import GROUPS, ODD, OPEN, PEOPLE, READER, READER_PASSWORD, SUFFIX, Server
from tests.support import require_module
from tests.unit.providers.auth.support import memory_of

_real_time: Any = reactor


@cache
def server() -> Server:
    """The server of this test run."""
    require_module("ldap")
    running = Server()
    atexit.register(running.remove)
    running.start()
    return running


def directory(clock: Any = _real_time, **settings: object) -> Any:
    """The directory that these settings of ``[auth.ldap]`` describe; by default, people found by a search."""
    reader = {} if "bind_dn" in settings else {"bind_dn": READER, "bind_password": READER_PASSWORD}
    place = {} if "user_dn" in settings or "user_base" in settings else {"user_base": PEOPLE}
    every = {"url": server().url, **reader, **place, "timeout_seconds": 10.0, **settings}
    lines = [
        f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for key, value in every.items()
    ]
    return make_directory(read_config("auth.checkers = ['ldap']\n[auth.ldap]\n" + "\n".join(lines)), clock)


NOBODY = {"bind_dn": ""}
WITH_GROUPS = {"group_base": GROUPS}
BY_NAME = {"user_dn": f"uid={{name}},{PEOPLE}"}


class LDAPContractTests(contracts_checkers.PasswordCheckerContract, contracts_checkers.DirectoryContract):
    """People who are found by a search."""

    settings: Mapping[str, object] = {}

    def setUp(self) -> None:
        self.clock = Clock()

    def make_checker(self) -> SearchingLDAPChecker:
        found = directory(**self.settings)
        return SearchingLDAPChecker(found, Turns(maybeDeferred), memory_of(self.clock), self.clock, 10)

    make_directory = make_checker

    def wait(self) -> None:
        self.clock.advance(1)


class LDAPByNameContractTests(LDAPContractTests):
    """People whose entries have names that are made of theirs."""

    settings = BY_NAME


class SearchTests(SynchronousTestCase):
    """Finding people, and what is theirs."""

    def test_groups(self) -> None:
        """Somebody is in the groups that have the entry as a member, called after the directory."""
        asked = directory(**WITH_GROUPS)
        both = frozenset({"ldap:dev", "ldap:Domain Users"})
        self.assertEqual(Person("anna", both), asked.authenticate("anna", b"secret"))
        self.assertEqual(Person("berta", frozenset({"ldap:dev"})), asked.authenticate("berta", b"other"))
        self.assertEqual(Person("carla"), asked.authenticate("carla", b"third"))
        self.assertEqual(Person("anna", both), asked.find("anna"))
        self.assertEqual(Person("anna", both), directory(**BY_NAME, **WITH_GROUPS).authenticate("anna", b"secret"))

    def test_groups_by_name(self) -> None:
        """What a group is searched for by may be the name."""
        settings = {**WITH_GROUPS, "group_filter": f"(&(cn=dev)(member=uid={{name}},{PEOPLE}))"}
        self.assertEqual(frozenset({"ldap:dev"}), directory(**settings).find("berta").groups)

    def test_one_spelling(self) -> None:
        """The name is spelled as in the directory, however it was given, so that nobody is two people."""
        for settings in ({}, BY_NAME):
            for given in ("anna", "ANNA", "aNNa"):
                self.assertEqual(Person("anna"), directory(**settings).authenticate(given, b"secret"), given)
            self.assertIsNone(directory(**settings).find("ANNA"))

    def test_several_names(self) -> None:
        """Of several names the one that was given counts; where another thing was given, there has to be one only."""
        self.assertEqual(Person("carla"), directory().authenticate("carla", b"third"))
        self.assertEqual(Person("carlotta"), directory().authenticate("CARLOTTA", b"third"))
        by_mail = directory(user_filter="(|(uid={name})(mail={name}))")
        self.assertEqual(Person("anna"), by_mail.authenticate("anna@example.com", b"secret"))
        self.assertIsNone(by_mail.authenticate("carla@example.com", b"third"))
        self.assertIsNone(by_mail.authenticate("nameless@example.com", b"secret"))
        self.assertIsNone(by_mail.find("anna@example.com"))

    def test_ambiguous(self) -> None:
        """Where two people go by one name neither can log in, with any password."""
        everywhere = directory(user_base=SUFFIX)
        self.assertIsNone(everywhere.authenticate("twin", b"secret"))
        self.assertIsNone(everywhere.find("twin"))
        self.assertEqual(Person("twin"), directory().authenticate("twin", b"secret"))

    def test_elsewhere(self) -> None:
        """A part of the directory that is on another server is not asked."""
        self.assertEqual(Person("anna"), directory(user_base=SUFFIX).authenticate("anna", b"secret"))
        self.assertIsNone(directory(user_base=PEOPLE, user_filter="(ou={name})").find("elsewhere"))
        self.assertIsNone(directory(user_dn=f"ou={{name}},{PEOPLE}").authenticate("elsewhere", b"secret"))

    def test_without_reader(self) -> None:
        """Without a reader people are searched for as nobody; in entries by name, each person reads her own."""
        self.assertEqual(Person("emma"), directory(**NOBODY, user_base=OPEN).authenticate("emma", b"open"))
        self.assertEqual(Person("emma"), directory(**NOBODY, user_base=OPEN).find("emma"))
        alone = directory(**NOBODY, **BY_NAME)
        self.assertEqual(Person("anna"), alone.authenticate("ANNA", b"secret"))
        self.assertIsNone(alone.authenticate("anna", b"wrong"))
        self.assertEqual(
            (False, True, True), (alone.can_search, directory(**BY_NAME).can_search, directory().can_search)
        )

    def test_no_password(self) -> None:
        """
        Nobody gets in without a password.

        This server lets everybody bind who names an entry and gives no password, as nobody, and calls that a success.
        """
        trap = require_module("ldap").initialize(server().url)
        trap.simple_bind_s(f"uid=anna,{PEOPLE}", "")
        trap.unbind_s()
        for settings in ({}, BY_NAME, {**NOBODY, **BY_NAME}):
            for name in ("anna", "locked", "nobody"):
                self.assertIsNone(directory(**settings).authenticate(name, b""), name)
        self.assertIsNone(directory().authenticate("locked", b"secret"))


class InjectionTests(SynchronousTestCase):
    """Names that mean something in a filter or a distinguished name."""

    def test_own_characters(self) -> None:
        """A person whose name is made of such characters logs in like any other, with her groups."""
        expected = Person(ODD, frozenset({"ldap:Domain Users"}))
        for settings in ({}, BY_NAME):
            self.assertEqual(expected, directory(**settings, **WITH_GROUPS).authenticate(ODD, b"odd"))
            self.assertEqual(expected, directory(**settings, **WITH_GROUPS).find(ODD))

    def test_filters(self) -> None:
        """No name widens the filter: with anna's password nobody but anna gets in."""
        groups = {**WITH_GROUPS, "group_filter": "(&(cn={name})(member={dn}))"}
        for name in (
            "*", "a*", "ann?", "anna)(objectClass=*", "*)(uid=anna", "*)(|(uid=anna", "anna)(|(cn=*", "\\61nna", "anna\\00",
            ")", "(", "\\", "{name}", "x)(uid=anna))(|(uid=x", "anna\x00", "anna\x00)(uid=*",
        ):  # fmt: skip
            for settings in ({}, groups, {"user_filter": "(&(objectClass=person)(uid={name}))"}):
                self.assertIsNone(directory(**settings).authenticate(name, b"secret"), name)
                self.assertIsNone(directory(**settings).find(name), name)

    def test_names_of_entries(self) -> None:
        """No name leads to another entry than one with exactly that name in its place."""
        for name in (
            f"anna,{PEOPLE}", "anna,ou=people", "anna+uid=anna", "anna\\,ou=x", "#616e6e61", "anna;", "anna\x00", '"anna"',
            "x,uid=anna",
        ):  # fmt: skip
            for settings in (BY_NAME, {**NOBODY, **BY_NAME}):
                self.assertIsNone(directory(**settings).authenticate(name, b"secret"), name)
            self.assertIsNone(directory(**BY_NAME).find(name), name)

    def test_template_in_a_name(self) -> None:
        """What a name holds is not filled in again, in whichever order the places come."""
        person = Person("{dn}", frozenset({"ldap:braces"}))
        for text in ("(&(description={name})(member={dn}))", "(&(member={dn})(description={name}))"):
            self.assertEqual(person, directory(**WITH_GROUPS, group_filter=text).authenticate("{dn}", b"braces"))
        self.assertIsNone(directory(**BY_NAME).find("{name}"))


class ConnectionTests(SynchronousTestCase):
    """Ways to the server, and from those that do not behave."""

    def trouble(self, **settings: object) -> str:
        """What is said when the directory can not be asked; nobody and nothing waits any longer by then."""
        asked = directory(**settings)
        error = self.assertRaises(DirectoryTrouble, asked.authenticate, "anna", b"secret")
        for thread in threading.enumerate():
            if thread.name == "dockreg ldap relay":
                thread.join(5)
                self.assertFalse(thread.is_alive())
        return str(error)

    def test_each_way(self) -> None:
        """TLS from the beginning, after StartTLS, and a unix socket are ways to the same people."""
        tls = {"ca_file": str(server().authority)}
        for way in (
            {"url": server().tls_url, **tls},
            {"url": server().url, "start_tls": True, **tls},
            {"url": server().local_url},
            {"url": f"ldap://127.0.0.1:1 ldapi://%2Fnowhere {server().url}"},
        ):
            self.assertEqual(Person("anna"), directory(**way).authenticate("anna", b"secret"), way)
            self.assertIsNone(directory(**way).authenticate("anna", b"wrong"), way)
            directory(**way).probe()

    def test_certificates(self) -> None:
        """A server whose certificate is somebody else's, or of an authority that is not trusted, gets no password."""
        for way in ({"url": server().tls_url}, {"url": server().url, "start_tls": True}):
            self.assertIn("its certificate is not good", self.trouble(**way))
            by_name = {key: str(value).replace("127.0.0.1", "localhost") for key, value in way.items() if key == "url"}
            told = self.trouble(**{**way, **by_name}, ca_file=str(server().authority))
            self.assertIn("its certificate is not good", told)

    def test_files(self) -> None:
        """A file with authorities or with the password that is not there, or holds none, is told by its name."""
        empty = server().folder / "empty"
        empty.write_bytes(b"\n")
        for path in (server().folder / "nothing", empty):
            for settings in (
                {"url": server().tls_url, "ca_file": str(path)},
                {"bind_dn": READER, "bind_password_file": str(path)},
            ):
                self.assertIn(str(path), self.trouble(**settings))
                error = self.assertRaises(DirectoryTrouble, directory(**settings).check_files)
                self.assertIn(str(path), str(error))

    def test_password_file(self) -> None:
        """The password of the reader may be in a file, with or without an end of line, and be changed there."""
        path = server().folder / "password"
        asked = directory(bind_dn=READER, bind_password_file=str(path))
        for content in (READER_PASSWORD, READER_PASSWORD + "\n", READER_PASSWORD + "\r\n"):
            path.write_text(content, newline="")
            self.assertEqual(Person("anna"), asked.authenticate("anna", b"secret"))
        path.write_text("another")
        self.assertIn(f"it refuses {READER}", self.trouble(bind_dn=READER, bind_password_file=str(path)))

    def test_places(self) -> None:
        """A place that is not there is told, to who logs in and to who asks beforehand."""
        for settings in ({"user_base": "ou=nowhere,dc=example,dc=com"}, {"group_base": "ou=nowhere,dc=example,dc=com"}):
            self.assertIn("No such object", self.trouble(**settings))
            error = self.assertRaises(DirectoryTrouble, directory(**settings).probe)
            self.assertIn("there is no ou=nowhere", str(error))

    def test_nobody_there(self) -> None:
        """A server that is not there is told with its address."""
        self.assertEqual("127.0.0.1:1: Connection refused", self.trouble(url="ldap://127.0.0.1:1"))
        told = self.trouble(url="ldap://127.0.0.1:1 ldapi://%2Fnowhere")
        self.assertEqual("127.0.0.1:1: Connection refused; /nowhere: No such file or directory", told)

    def silent(self, act: Callable[[Any], object] = lambda _: None, url: str = "ldap", **settings: object) -> str:
        with Misbehaving(act) as other:
            return self.trouble(url=f"{url}://127.0.0.1:{other.port}", timeout_seconds=0.3, **settings)

    def test_silence(self) -> None:
        """A server that takes the connection and says nothing costs no more than its time, whatever it is waited for."""
        self.assertEqual("no answer in time", self.silent())
        for settings in ({"url": "ldaps"}, {"start_tls": True}):
            told = self.silent(ca_file=str(server().authority), **settings)
            self.assertIn("no answer in time", told)

    def test_silence_after_the_first_server(self) -> None:
        """A silent server leaves time for the next one."""
        with Misbehaving() as other:
            urls = f"ldaps://127.0.0.1:{other.port} {server().tls_url}"
            asked = directory(url=urls, ca_file=str(server().authority), timeout_seconds=1.0)
            self.assertEqual(Person("anna"), asked.authenticate("anna", b"secret"))

    def test_nonsense(self) -> None:
        """What is no LDAP ends the question at once."""
        self.assertEqual("it ended the connection", self.silent(lambda connection: connection.close()))
        for junk in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 100, b"\x30\x84\xff\xff\xff\xff"):
            self.silent(partial(_send, junk))


def _send(data: bytes, connection: Any) -> None:
    connection.sendall(data)


class RememberedTests(SynchronousTestCase):
    """The checker over a server that goes away and comes back."""

    def test_gone(self) -> None:
        """Who was verified gets in for a while without the server; nobody else does, and then nobody."""
        from dockreg.errors import StoreUnavailable

        own = Server()
        self.addCleanup(own.remove)
        own.start()
        clock = Clock()
        checker = SearchingLDAPChecker(
            directory(url=own.url, **WITH_GROUPS), Turns(maybeDeferred), memory_of(clock), clock, 10
        )

        def ask(password: bytes) -> Any:
            answer = maybeDeferred(checker.requestAvatarId, UsernamePassword(b"anna", password))
            clock.advance(1)
            return answer

        self.assertEqual("anna", self.successResultOf(ask(b"secret")).name)
        own.stop()
        self.assertIn("ldap:dev", self.successResultOf(ask(b"secret")).groups)
        self.failureResultOf(ask(b"wrong"), StoreUnavailable)
        clock.advance(60)
        with capturedLogs() as events:
            error = self.failureResultOf(ask(b"secret"), StoreUnavailable).value
        self.assertIn("Connection refused", str(error.__cause__))
        self.assertFalse([event for event in events if "secret" in (formatEvent(event) or "")])
        own.start()
        self.assertEqual("anna", self.successResultOf(ask(b"secret")).name)
        self.failureResultOf(ask(b"wrong"), UnauthorizedLogin)
