"""Tests of :mod:`dockreg.providers.auth.ldapchecker`, with people who are in no directory."""

from typing import Any

from attrs import Factory, define
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.task import Clock

from dockreg.errors import Busy, StoreUnavailable, explained
from dockreg.interfaces_access import IDirectory
from dockreg.model.people import Person
from dockreg.providers.auth.ldapchecker import LDAPChecker, SearchingLDAPChecker
from dockreg.providers.auth.ldapwire import DirectoryTrouble
from dockreg.providers.auth.turns import Turns
from dockreg.testing import contracts_checkers
from dockreg.testing.contracts_auth import ContractCase
from tests.unit.providers.auth.support import Threads, memory_of

ANNA = Person("anna", frozenset({"ldap:dev"}))


@define(eq=False)
class People:
    """A directory in memory, which writes down what it is asked."""

    passwords: dict[str, bytes] = Factory(lambda: {"anna": b"secret", "berta": b"other"})
    asked: list[str] = Factory(list)
    trouble: str = ""
    clock: Clock | None = None
    seconds: float = 0

    def check_files(self) -> None:
        self.asked.append("files")
        self._answer()

    def authenticate(self, name: str, password: bytes) -> Person | None:
        self.asked.append(name)
        self._answer()
        return self._person(name) if self.passwords.get(name.lower()) == password else None

    def find(self, name: str) -> Person | None:
        self.asked.append(f"find {name}")
        self._answer()
        return self._person(name) if name in self.passwords else None

    def _answer(self) -> None:
        if self.clock is not None:
            self.clock.advance(self.seconds)
        if self.trouble:
            raise DirectoryTrouble(self.trouble)

    def _person(self, name: str) -> Person:
        return ANNA if name.lower() == "anna" else Person(name.lower())


class LDAPCheckerContractTests(contracts_checkers.PasswordCheckerContract, contracts_checkers.DirectoryContract):
    def setUp(self) -> None:
        self.clock = Clock()

    def make_checker(self) -> SearchingLDAPChecker:
        return SearchingLDAPChecker(People(), Turns(maybeDeferred), memory_of(self.clock), self.clock, 5)

    make_directory = make_checker

    def wait(self) -> None:
        self.clock.advance(1)


class LDAPCheckerTests(ContractCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.people = People()
        self.checker = self.make()

    def make(self, in_thread: Any = maybeDeferred, at_once: int = 2, queue: int = 2) -> SearchingLDAPChecker:
        turns = Turns(in_thread, at_once, queue)
        return SearchingLDAPChecker(self.people, turns, memory_of(self.clock), self.clock, 5)

    def ask(self, name: bytes, password: bytes) -> "Deferred[Any]":
        return maybeDeferred(self.checker.requestAvatarId, UsernamePassword(name, password))

    def test_directory(self) -> None:
        """Only a checker that can search is one that can be asked about people."""
        plain = LDAPChecker(self.people, Turns(maybeDeferred), memory_of(self.clock), self.clock, 5)
        self.assertTrue(IDirectory.providedBy(self.checker))
        self.assertFalse(IDirectory.providedBy(plain))

    def test_remembered(self) -> None:
        """Who was verified is not asked for again for a minute, by the very name and password; a refusal is."""
        for name in (b"anna", b"ANNA", b"anna"):
            self.assertEqual(ANNA, self.successResultOf(self.ask(name, b"secret")))
        self.assertEqual(["anna", "ANNA"], self.people.asked)
        self.clock.advance(60)
        self.successResultOf(self.ask(b"anna", b"secret"))
        self.assertEqual(3, len(self.people.asked))
        for _ in range(2):
            refused = self.ask(b"anna", b"wrong")
            self.clock.advance(1)
            self.failureResultOf(refused, UnauthorizedLogin)
        self.assertEqual(5, len(self.people.asked))

    def test_never_asked(self) -> None:
        """The directory does not see an empty password, nor a name that nobody could have."""
        for name, password in (
            (b"anna", b""),
            (b"", b"x"),
            (b"\xff", b"x"),
            (b"anna\x00", b"secret"),
            (b"a" * 257, b"x"),
        ):
            refused = self.ask(name, password)
            self.clock.advance(1)
            self.failureResultOf(refused, UnauthorizedLogin)
        self.assertEqual([], self.people.asked)

    def test_refusals_take_the_same(self) -> None:
        """A refusal comes half a second after the question, whether there was something to do for it or not."""
        self.people.clock = self.clock
        for seconds, name, password in (
            (0.0, b"nobody", b"x"),
            (0.01, b"anna", b"x"),
            (0.3, b"anna", b"x"),
            (0.0, b"a", b""),
        ):
            self.people.seconds = seconds
            begin = self.clock.seconds()
            refused = self.ask(name, password)
            self.clock.advance(begin + 0.49 - self.clock.seconds())
            self.assertNoResult(refused)
            self.clock.advance(0.02)
            self.failureResultOf(refused, UnauthorizedLogin)
        self.people.seconds = 0.7
        late = self.ask(b"anna", b"wrong")
        self.clock.advance(0.29)
        self.assertNoResult(late)
        self.clock.advance(0.02)
        self.failureResultOf(late, UnauthorizedLogin)

    def test_right_at_once(self) -> None:
        """The right password is not kept waiting."""
        self.assertEqual(ANNA, self.successResultOf(self.ask(b"anna", b"secret")))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_trouble(self) -> None:
        """A directory that can not be asked is no refusal; the reason is for the operator."""
        self.people.trouble = "127.0.0.1:389: Connection refused"
        for question in (self.ask(b"anna", b"secret"), Deferred.fromCoroutine(self.checker.find("anna"))):
            error = self.failureResultOf(question, StoreUnavailable).value
            self.assertNotIn("127.0.0.1", str(error))
            self.assertIn("Connection refused", explained(error))

    def test_no_answer(self) -> None:
        """Who waits for longer than the directory may take, in the queue and for the answer, is told so."""
        threads = Threads()
        self.checker = self.make(threads, at_once=1)
        first, second = self.ask(b"anna", b"secret"), self.ask(b"berta", b"other")
        self.clock.advance(9.9)
        self.assertNoResult(first)
        self.clock.advance(0.2)
        for each in (first, second):
            self.failureResultOf(each, StoreUnavailable)
        self.people.trouble = "no answer in time"
        threads.finish_all()
        self.assertEqual(["anna"], self.people.asked)
        self.assertEqual([], self.flushLoggedErrors())

    def test_busy(self) -> None:
        """Who finds the queue full is told to come back."""
        threads = Threads()
        self.checker = self.make(threads, at_once=1, queue=1)
        waiting = [self.ask(b"anna", b"secret") for _ in range(2)]
        self.failureResultOf(self.ask(b"anna", b"secret"), Busy)
        threads.finish_all()
        for each in waiting:
            self.assertEqual(ANNA, self.successResultOf(each))

    def test_gone(self) -> None:
        """A client that goes away is not waited for, and neither is its refusal."""
        refused = self.ask(b"anna", b"wrong")
        refused.cancel()
        self.failureResultOf(refused, CancelledError)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_found(self) -> None:
        """Who is there, and who is not, is remembered as well."""
        for _ in range(3):
            self.assertEqual(ANNA, self.now(self.checker.find("anna")))
            self.assertIsNone(self.now(self.checker.find("nobody")))
        self.assertEqual(["find anna", "find nobody"], self.people.asked)
        self.clock.advance(60)
        del self.people.passwords["anna"]
        self.assertIsNone(self.now(self.checker.find("anna")))

    def test_open(self) -> None:
        """The files are looked at at the start, and the directory is not asked."""
        self.now(self.checker.open())
        self.assertEqual(["files"], self.people.asked)
        self.people.trouble = "/etc/ca.pem can not be read"
        self.assertIn("/etc/ca.pem", explained(self.fails(StoreUnavailable, self.checker.open())))
