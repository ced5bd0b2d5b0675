"""Tests of :mod:`dockreg.providers.auth.htpasswd`."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import bcrypt
from attrs import define
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from dockreg.errors import Busy, StoreUnavailable
from dockreg.model.people import Person
from dockreg.providers.auth.htpasswd import HtpasswdChecker, HtpasswdFile
from dockreg.providers.auth.turns import Turns
from dockreg.testing import contracts_checkers
from dockreg.testing.contracts_auth import ContractCase
from tests.unit.providers.auth.support import Threads, memory_of


def entry(name: bytes, password: bytes, cost: int = 4) -> bytes:
    return b"%s:%s\n" % (name, bcrypt.hashpw(password, bcrypt.gensalt(cost)))


#: Hashing once is enough for all tests.
ANNA, BERTA = entry(b"anna", b"secret"), entry(b"berta", b"other")


@define(eq=False)
class Looks:
    """An ``in_thread`` that works at once, and knows how often."""

    number: int = 0

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Deferred[Any]":
        self.number += 1
        return maybeDeferred(function, *args, **kwargs)


class HtpasswdCase(ContractCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000)
        self.path = Path(self.mktemp())
        self.looks = Looks()
        self.file = HtpasswdFile(self.path, self.looks, self.clock)
        self.put(ANNA + BERTA)

    def put(self, content: bytes) -> None:
        """Another file of this name, as editors leave it."""
        new = self.path.with_name("new")
        new.write_bytes(content)
        new.replace(self.path)

    def checker(self, turns: Turns | None = None) -> HtpasswdChecker:
        return HtpasswdChecker(self.file, turns or Turns(maybeDeferred), memory_of(self.clock))


class HtpasswdContractTests(
    HtpasswdCase, contracts_checkers.PasswordCheckerContract, contracts_checkers.DirectoryContract
):
    def make_checker(self) -> HtpasswdChecker:
        return self.checker()

    make_directory = make_checker


class HtpasswdFileTests(HtpasswdCase):
    def names(self) -> set[bytes]:
        return set(self.now(self.file.current()).entries)

    def test_once_a_second(self) -> None:
        """The file is looked at once a second at most, however many ask, and a change counts within that time."""
        for _ in range(5):
            self.assertEqual({b"anna", b"berta"}, self.names())
        self.put(ANNA)
        self.clock.advance(0.9)
        self.names()
        self.assertEqual(1, self.looks.number)
        self.clock.advance(0.1)
        self.assertEqual({b"anna"}, self.names())
        self.assertEqual(2, self.looks.number)

    def test_unchanged(self) -> None:
        """A file that is the same is not read again."""
        before = self.now(self.file.current())
        self.clock.advance(1)
        self.assertIs(before, self.now(self.file.current()))

    def test_every_change(self) -> None:
        """A change is seen when only the content is another: of the same size, with the time of before set back."""
        self.names()
        status = self.path.stat()
        self.path.write_bytes((BERTA + ANNA).replace(b"anna", b"emma"))
        os.utime(self.path, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.clock.advance(1)
        self.assertEqual({b"emma", b"berta"}, self.names())

    def test_broken(self) -> None:
        """A broken file, and one that is gone, leave what was read last; that is logged once, and good news as well."""
        self.names()
        with capturedLogs() as events:
            for change in (lambda: self.put(b"anna:$2y$04$half"), self.path.unlink):
                change()
                for _ in range(3):
                    self.clock.advance(1)
                    self.assertEqual({b"anna", b"berta"}, self.names())
            self.put(ANNA)
            self.clock.advance(1)
            self.assertEqual({b"anna"}, self.names())
        told = [formatEvent(event) for event in events]
        self.assertEqual(3, len(told), told)
        self.assertIn("the hash of line 1 is broken; the entries that were read before stay", told[0])
        self.assertIn("can not be read: No such file", told[1])
        self.assertIn("read 1 entries", told[2])

    def test_emptied(self) -> None:
        """A file that was emptied lets nobody in."""
        self.names()
        self.put(b"")
        self.clock.advance(1)
        self.assertEqual(set(), self.names())

    def test_never_good(self) -> None:
        """Without a good file there is nothing to fall back to, until there is one."""
        self.path.unlink()
        error = self.fails(StoreUnavailable, self.file.current())
        self.assertIn(str(self.path), str(error))
        self.fails(StoreUnavailable, self.file.current())
        self.assertEqual(1, self.looks.number)
        self.put(ANNA)
        self.clock.advance(1)
        self.assertEqual({b"anna"}, self.names())

    def test_no_file(self) -> None:
        """A folder or a pipe is not waited for."""
        self.path.unlink()
        for make in (os.mkfifo, lambda path: (path.unlink(), path.mkdir())):
            make(self.path)
            self.clock.advance(1)
            self.fails(StoreUnavailable, self.file.current())

    def test_refused_lines(self) -> None:
        """A line that is not used is told by its number, without anything of it."""
        self.put(ANNA + b"carla:hunter2\n" * 30)
        with capturedLogs() as events:
            self.assertEqual({b"anna"}, self.names())
        told = [formatEvent(event) for event in events]
        self.assertIn(f"line 2 of {self.path} is not used", told[1])
        self.assertEqual(22, len(told))
        self.assertIn("so are 10 further lines", told[-1])
        self.assertFalse([line for line in told if "carla" in line or "hunter2" in line])

    def test_slow_disk(self) -> None:
        """While somebody looks at the file others go on with what is known, and who asks first waits for it."""
        threads = Threads()
        self.file = HtpasswdFile(self.path, threads, self.clock)
        first = [Deferred.fromCoroutine(self.file.current()) for _ in range(2)]
        threads.finish_all()
        for each in first:
            self.successResultOf(each)
        self.assertEqual(1, threads.started)
        self.clock.advance(1)
        looking = Deferred.fromCoroutine(self.file.current())
        self.clock.advance(5)
        self.assertEqual({b"anna", b"berta"}, self.names())
        self.assertNoResult(looking)
        threads.finish_all()
        self.successResultOf(looking)
        self.assertEqual(2, threads.started)

    def test_gone_meanwhile(self) -> None:
        """Who goes away while waiting does not end the look at the file."""
        threads = Threads()
        self.file = HtpasswdFile(self.path, threads, self.clock)
        first = Deferred.fromCoroutine(self.file.current()).addErrback(lambda _: None)
        first.cancel()
        second = Deferred.fromCoroutine(self.file.current())
        threads.finish_all()
        self.assertIn(b"anna", self.successResultOf(second).entries)


class HtpasswdCheckerTests(HtpasswdCase):
    def ask(self, checker: HtpasswdChecker, name: bytes, password: bytes) -> "Deferred[Any]":
        return checker.requestAvatarId(UsernamePassword(name, password))

    def test_kinds(self) -> None:
        """The three spellings of bcrypt are one."""
        for kind in (b"$2a$", b"$2b$", b"$2y$"):
            self.put(ANNA.replace(b"$2b$", kind))
            self.clock.advance(1)
            checker = self.checker()
            self.assertEqual(b"anna", self.successResultOf(self.ask(checker, b"anna", b"secret")))
            self.failureResultOf(self.ask(checker, b"anna", b"wrong"), UnauthorizedLogin)

    def test_long_passwords(self) -> None:
        """A password of 72 bytes counts in full; of a longer one, or after a NUL, bcrypt would not see the rest."""
        full = b"x" * 72
        self.put(entry(b"anna", full))
        checker = self.checker()
        self.assertEqual(b"anna", self.successResultOf(self.ask(checker, b"anna", full)))
        for password in (full + b"y", full + b"\0", full[:-1] + b"y", b"x\0y"):
            self.failureResultOf(self.ask(checker, b"anna", password), UnauthorizedLogin)

    def test_same_work(self) -> None:
        """A wrong password of any entry and an unknown name take the rounds of the most expensive entry, in one turn."""
        self.put(entry(b"anna", b"secret", 4) + entry(b"berta", b"other", 7))
        checker = self.checker()
        for name in (b"anna", b"berta", b"nobody", b"", b"\xff"):
            rounds: list[int] = []
            real_hash, real_check = bcrypt.hashpw, bcrypt.checkpw

            def counted_hash(password: bytes, salt: bytes, rounds: list[int] = rounds, real: Any = real_hash) -> bytes:
                rounds.append(2 ** int(salt[4:6]))
                return bytes(real(password, salt))

            def counted_check(
                password: bytes, stored: bytes, rounds: list[int] = rounds, real: Any = real_check
            ) -> bool:
                rounds.append(2 ** int(stored[4:6]))
                return bool(real(password, stored))

            with mock.patch.multiple(bcrypt, hashpw=counted_hash, checkpw=counted_check):
                self.failureResultOf(self.ask(checker, name, b"wrong"), UnauthorizedLogin)
            self.assertEqual(2**7, sum(rounds), name)

    def test_remembered(self) -> None:
        """What was verified is not hashed again for its time; a wrong password is, each time."""
        threads = Threads()
        checker = self.checker(Turns(threads))
        first = self.ask(checker, b"anna", b"secret")
        threads.finish_all()
        self.successResultOf(first)
        self.successResultOf(self.ask(checker, b"anna", b"secret"))
        self.assertEqual(1, threads.started)
        for _ in range(2):
            wrong = self.ask(checker, b"anna", b"wrong")
            threads.finish_all()
            self.failureResultOf(wrong, UnauthorizedLogin)
        self.assertEqual(3, threads.started)

    def test_changed(self) -> None:
        """A new password, or a line that is gone, ends what was remembered, as soon as the file is looked at again."""
        checker = self.checker()
        for name, password in ((b"anna", b"secret"), (b"berta", b"other")):
            self.successResultOf(self.ask(checker, name, password))
        self.put(entry(b"anna", b"newer"))
        self.clock.advance(1)
        for name, password in ((b"anna", b"secret"), (b"berta", b"other")):
            self.failureResultOf(self.ask(checker, name, password), UnauthorizedLogin)
        self.assertEqual(b"anna", self.successResultOf(self.ask(checker, b"anna", b"newer")))
        self.assertIsNone(self.now(checker.find("berta")))
        self.assertEqual(Person("anna"), self.now(checker.find("anna")))

    def test_busy(self) -> None:
        """Hashes wait in the queue that all passwords share; who finds it full is told to come back."""
        threads = Threads()
        turns = Turns(threads, at_once=1, queue=0)
        checker = self.checker(turns)
        other = Deferred.fromCoroutine(turns.run(lambda: None))
        self.failureResultOf(self.ask(checker, b"anna", b"secret"), Busy)
        threads.finish_all()
        self.successResultOf(other)

    def test_open(self) -> None:
        """That there is no file to begin with is told at the start."""
        self.path.unlink()
        self.fails(StoreUnavailable, self.checker().open())
