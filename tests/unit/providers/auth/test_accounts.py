"""Tests of :mod:`dockreg.providers.auth.accounts`."""

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from dockreg.errors import AccountInactive, Busy
from dockreg.providers.auth.accounts import AccountsChecker
from dockreg.providers.auth.hashing import PasswordHasher
from dockreg.providers.auth.turns import Turns
from dockreg.testing import contracts_checkers
from dockreg.testing.accountstores import MemoryAccountStore
from dockreg.testing.contracts_auth import ContractCase
from tests.passwords import CHEAP
from tests.unit.providers.auth.support import Threads, cheap_hasher, memory_of


class AccountsCheckerContractTests(contracts_checkers.PasswordCheckerContract, contracts_checkers.DirectoryContract):
    def make_checker(self) -> AccountsChecker:
        store = MemoryAccountStore()
        for name, password in (("anna", b"secret"), ("berta", b"other")):
            stored = self.now(cheap_hasher().hash(password))
            self.now(store.create(name, stored, "", admin=False, now=0.0))
        return AccountsChecker(store, cheap_hasher(), memory_of(Clock()))

    make_directory = make_checker


class AccountsCheckerTests(ContractCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000)
        self.store = MemoryAccountStore()
        self.threads = Threads()
        self.checker = AccountsChecker(
            self.store, PasswordHasher(Turns(self.threads), cost=CHEAP), memory_of(self.clock)
        )
        self.add("anna", b"secret")
        self.add("berta", b"secret")

    def add(self, name: str, password: bytes) -> None:
        self.now(self.store.create(name, self.stored(password), "", admin=False, now=0.0))

    def stored(self, password: bytes) -> str:
        return self.now(cheap_hasher().hash(password))

    def ask(self, name: bytes | str, password: bytes | str) -> "Deferred[object]":
        """The answer of the checker, once the one hash that it may need is done."""
        answer = self.checker.requestAvatarId(UsernamePassword(name, password))  # type: ignore[arg-type]  # others pass text
        if self.threads.running:
            self.threads.finish_one()
        return answer  # type: ignore[return-value]  # a Deferred is not covariant

    def test_interface(self) -> None:
        """The checker plugs into twisted.cred, for names and passwords."""
        verifyObject(ICredentialsChecker, self.checker)
        self.assertEqual((IUsernamePassword,), self.checker.credentialInterfaces)

    def test_right(self) -> None:
        """The avatar id is the name, in bytes, whether the credentials are bytes or text."""
        self.assertEqual(b"anna", self.successResultOf(self.ask(b"anna", b"secret")))
        self.assertEqual(b"anna", self.successResultOf(self.ask("anna", "secret")))

    def test_wrong(self) -> None:
        """A wrong password is refused, and so is the password of somebody else."""
        self.now(self.store.change("berta", password_hash=self.stored(b"other")))
        for name, password in ((b"anna", b"wrong"), (b"anna", b""), (b"anna", b"other"), (b"ANNA", b"secret")):
            self.failureResultOf(self.ask(name, password), UnauthorizedLogin)

    def test_unknown_takes_as_long(self) -> None:
        """A name that is unknown, or can not be one, costs one hash, as a wrong password does, and says the same."""
        texts = set()
        for name in (b"anna", b"nobody", b"", b"\xff", b"anna\x00", b"anna\n"):
            before = self.threads.started
            texts.add(str(self.failureResultOf(self.ask(name, b"wrong"), UnauthorizedLogin).value))
            self.assertEqual(before + 1, self.threads.started, name)
        self.assertEqual(1, len(texts))

    def test_inactive(self) -> None:
        """That an account is disabled is told to who knows its password, and to nobody else."""
        self.now(self.store.change("anna", active=False))
        self.failureResultOf(self.ask(b"anna", b"secret"), AccountInactive)
        self.failureResultOf(self.ask(b"anna", b"wrong"), UnauthorizedLogin)

    def test_remembered(self) -> None:
        """What was verified is not hashed again for a minute."""
        self.successResultOf(self.ask(b"anna", b"secret"))
        self.clock.advance(59)
        self.successResultOf(self.ask(b"anna", b"secret"))
        self.assertEqual(1, self.threads.started)
        self.clock.advance(1)
        self.successResultOf(self.ask(b"anna", b"secret"))
        self.assertEqual(2, self.threads.started)

    def test_only_that(self) -> None:
        """Nothing but the very name and password is remembered; the border between them counts."""
        self.add("ann", b"whatever")
        self.successResultOf(self.ask(b"anna", b"secret"))
        for name, password in ((b"anna", b"secre"), (b"ann", b"asecret"), (b"anna", b"wrong")):
            self.failureResultOf(self.ask(name, password), UnauthorizedLogin)
        self.assertEqual(4, self.threads.started)

    def test_wrong_is_not_remembered(self) -> None:
        """A refusal is hashed for each time, and never turns into a yes."""
        for number in (1, 2):
            self.failureResultOf(self.ask(b"anna", b"wrong"), UnauthorizedLogin)
            self.assertEqual(number, self.threads.started)

    def test_changed_password(self) -> None:
        """A new password ends what was remembered at once."""
        self.successResultOf(self.ask(b"anna", b"secret"))
        self.now(self.store.change("anna", password_hash=self.stored(b"newer")))
        self.failureResultOf(self.ask(b"anna", b"secret"), UnauthorizedLogin)
        self.assertEqual(b"anna", self.successResultOf(self.ask(b"anna", b"newer")))

    def test_disabled_at_once(self) -> None:
        """Disabling an account ends what was remembered at once, and enabling it lets it in again."""
        self.successResultOf(self.ask(b"anna", b"secret"))
        self.now(self.store.change("anna", active=False))
        self.failureResultOf(self.ask(b"anna", b"secret"), AccountInactive)
        self.now(self.store.change("anna", active=True))
        self.successResultOf(self.ask(b"anna", b"secret"))

    def test_busy(self) -> None:
        """When too many passwords are being verified, the checker says so; who is remembered gets in meanwhile."""
        hasher = PasswordHasher(Turns(self.threads, at_once=1, queue=0), cost=CHEAP)
        self.checker = AccountsChecker(self.store, hasher, memory_of(self.clock))
        self.successResultOf(self.ask(b"anna", b"secret"))
        blocking = self.checker.requestAvatarId(UsernamePassword(b"berta", b"secret"))
        self.failureResultOf(self.checker.requestAvatarId(UsernamePassword(b"berta", b"secret")), Busy)
        self.assertEqual(
            b"anna", self.successResultOf(self.checker.requestAvatarId(UsernamePassword(b"anna", b"secret")))
        )
        self.threads.finish_one()
        self.successResultOf(blocking)
