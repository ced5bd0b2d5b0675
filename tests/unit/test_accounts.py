"""Tests of :mod:`dockreg.accounts`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from dockreg.accounts import Accounts
from dockreg.errors import AccountExists, AccountInvalid, AccountUnknown
from dockreg.providers.auth.hashing import PasswordHasher
from dockreg.providers.auth.turns import Turns
from dockreg.testing.accountstores import MemoryAccountStore
from dockreg.testing.contracts_auth import ContractCase
from tests.passwords import CHEAP
from tests.unit.providers.auth.support import Threads, cheap_hasher

_BAD_NAMES = ("", "ann", "a" * 31, "Anna", "anna ", "anna\n", "an-na", "ännä", "anna:x", "an/na", "anna\x00")
_BAD_EMAILS = ("x", "@", "a@", "@b", "a@b@c", "a b@c", "a@b\n", "a@b\x00", "a" * 65 + "@b", "a@" + "b" * 190)


class AccountsTests(ContractCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_400_000_000)
        self.store = MemoryAccountStore()
        self.hasher = cheap_hasher()
        self.accounts = Accounts(self.store, self.hasher, self.clock, "open")

    def test_register(self) -> None:
        """A stranger gets an active account without special rights, whose password is stored as a hash."""
        account = self.now(self.accounts.register("anna", "secret", "anna@example"))
        self.assertEqual(account, self.now(self.store.get("anna")))
        self.assertEqual(("anna@example", True, False), (account.email, account.active, account.admin))
        self.assertEqual(1_400_000_000, account.created_at)
        self.assertTrue(self.now(self.hasher.verify(account.password_hash, b"secret")))

    def test_bounds(self) -> None:
        """The longest and the shortest of everything are accepted, and an empty e-mail address."""
        for name, password, email in (
            ("anna", "12345", ""),
            ("a_1" + "z" * 27, "x" * 1024, "e@x"),
            ("0000", "é" * 512, "a" * 64 + "@" + "b" * 189),
        ):
            self.assertEqual(name, self.now(self.accounts.register(name, password, email)).name)

    def test_bad_names(self) -> None:
        """A name outside 4 to 30 of a-z, 0-9 and underscore is refused in a sentence that says so."""
        for name in _BAD_NAMES:
            error = self.fails(AccountInvalid, self.accounts.register(name, "secret", ""))
            self.assertIn("4 to 30", str(error), name)
        self.assertEqual([], self.now(self.accounts.list_all()))

    def test_bad_passwords(self) -> None:
        """A password below 5 characters, over 1,024 bytes or outside UTF-8 is refused."""
        for password in ("", "1234", "é" * 4, "x" * 1025, "é" * 513, "\ud800\ud800\ud800\ud800\ud800"):
            self.fails(AccountInvalid, self.accounts.register("anna", password, ""))
        self.assertEqual([], self.now(self.accounts.list_all()))

    def test_bad_emails(self) -> None:
        """What can not be an e-mail address is refused."""
        for email in _BAD_EMAILS:
            self.fails(AccountInvalid, self.accounts.register("anna", "secret", email))
        self.assertEqual([], self.now(self.accounts.list_all()))

    @given(st.text(), st.text(), st.text())
    def test_any_text(self, name: str, password: str, email: str) -> None:
        """Whatever is sent, there is an account or one of two errors."""
        accounts = Accounts(MemoryAccountStore(), self.hasher, self.clock, "open")
        done = Deferred.fromCoroutine(accounts.register(name, password, email))
        self.successResultOf(done.addErrback(lambda failure: failure.trap(AccountInvalid, AccountExists)))

    def test_taken(self) -> None:
        """A name or an e-mail address that is taken is refused, and the account stays as it was."""
        before = self.now(self.accounts.register("anna", "secret", "anna@example"))
        self.fails(AccountExists, self.accounts.register("anna", "other", "other@example"))
        self.fails(AccountExists, self.accounts.register("berta", "other", "anna@example"))
        self.assertEqual([before], self.now(self.accounts.list_all()))

    def test_login_of_engines_costs_no_hash(self) -> None:
        """A name that is taken, as every docker login sends, is refused before anything is hashed; so is a nobody."""
        self.now(self.accounts.register("anna", "secret", ""))
        threads = Threads()
        accounts = Accounts(self.store, PasswordHasher(Turns(threads), cost=CHEAP), self.clock, "open")
        self.fails(AccountExists, accounts.register("anna", "x", ""))
        self.fails(AccountUnknown, accounts.change("berta", password="newer"))
        self.assertEqual(0, threads.started)

    def test_closed(self) -> None:
        """While registration is closed every name is told the same, at the same cost, and none is made."""
        self.now(self.accounts.create("anna", "secret"))
        threads = Threads()
        accounts = Accounts(self.store, PasswordHasher(Turns(threads), cost=CHEAP), self.clock, "closed")
        texts = {
            str(self.fails(AccountExists, accounts.register(name, password, email)))
            for name in ("anna", "berta", *_BAD_NAMES)
            for password in ("secret", "")
            for email in ("", "x")
        }
        self.assertEqual({"Username or email already exists"}, texts)
        self.assertEqual(0, threads.started)
        self.assertEqual(["anna"], [account.name for account in self.now(self.accounts.list_all())])

    def test_create_while_closed(self) -> None:
        """An operator makes accounts, and administrators, while registration is closed, under the same rules."""
        accounts = Accounts(self.store, self.hasher, self.clock, "closed")
        self.assertTrue(self.now(accounts.create("root", "secret", admin=True)).admin)
        self.assertFalse(self.now(accounts.create("anna", "secret")).admin)
        self.fails(AccountInvalid, accounts.create("x", "secret"))
        self.fails(AccountExists, accounts.create("root", "secret"))

    def test_registration_is_open_or_closed(self) -> None:
        """There is no third way to register."""
        with self.assertRaises(ValueError):
            Accounts(self.store, self.hasher, self.clock, "ajar")

    def test_change(self) -> None:
        """What is given replaces what was there; the rest stays."""
        self.now(self.accounts.register("anna", "secret", "anna@example"))
        changed = self.now(self.accounts.change("anna", email="new@example"))
        self.assertEqual("new@example", changed.email)
        self.assertTrue(self.now(self.hasher.verify(changed.password_hash, b"secret")))
        changed = self.now(self.accounts.change("anna", password="newer"))
        self.assertEqual("new@example", changed.email)
        self.assertFalse(self.now(self.hasher.verify(changed.password_hash, b"secret")))
        self.assertTrue(self.now(self.hasher.verify(changed.password_hash, b"newer")))

    def test_change_refused(self) -> None:
        """A change outside the rules, or of nobody, changes nothing."""
        before = [self.now(self.accounts.register(name, "secret", f"{name}@example")) for name in ("anna", "berta")]
        self.fails(AccountInvalid, self.accounts.change("anna", password="x"))
        self.fails(AccountInvalid, self.accounts.change("anna", password="newer", email="x"))
        self.fails(AccountExists, self.accounts.change("anna", email="berta@example"))
        self.fails(AccountUnknown, self.accounts.change("carla", password="newer"))
        self.assertEqual(before, self.now(self.accounts.list_all()))

    def test_switches(self) -> None:
        """An account is disabled and enabled, and made an administrator, one without the other."""
        self.now(self.accounts.register("anna", "secret", ""))
        self.assertFalse(self.now(self.accounts.set_active("anna", active=False)).active)
        account = self.now(self.accounts.set_admin("anna", admin=True))
        self.assertEqual((False, True), (account.active, account.admin))
        self.assertTrue(self.now(self.accounts.set_active("anna", active=True)).active)
        self.assertEqual(self.now(self.accounts.get("anna")), self.now(self.store.get("anna")))
        self.fails(AccountUnknown, self.accounts.set_active("carla", active=False))
        self.fails(AccountUnknown, self.accounts.set_admin("carla", admin=True))

    def test_without_password(self) -> None:
        """An account without a password can be made, and no password is its."""
        account = self.now(self.accounts.create("anna", None))
        for password in (b"", b"!", b"None"):
            self.assertFalse(self.now(self.hasher.verify(account.password_hash, password)))

    def test_robot(self) -> None:
        """A robot bears the name of its owner before its own, has no password, and can be given no powers."""
        self.now(self.accounts.create("anna", "secret"))
        robot = self.now(self.accounts.create_robot("anna", "ci.2_x-y"))
        self.assertEqual(("anna+ci.2_x-y", "anna", 1_400_000_000), (robot.name, robot.owner, robot.created_at))
        self.fails(AccountInvalid, self.accounts.change(robot.name, password="secret"))
        self.fails(AccountInvalid, self.accounts.change(robot.name, email="a@b"))
        self.fails(AccountInvalid, self.accounts.set_admin(robot.name, admin=True))
        self.assertFalse(self.now(self.accounts.set_admin(robot.name, admin=False)).admin)
        self.assertFalse(self.now(self.accounts.set_active(robot.name, active=False)).is_usable)

    def test_robot_refused(self) -> None:
        """A robot needs a name within the rules, and an owner who is a person."""
        self.now(self.accounts.create("anna", "secret"))
        self.now(self.accounts.create_robot("anna", "ci"))
        self.fails(AccountExists, self.accounts.create_robot("anna", "ci"))
        self.fails(AccountUnknown, self.accounts.create_robot("berta", "ci"))
        self.fails(AccountInvalid, self.accounts.create_robot("anna+ci", "x"))
        for name in ("", "-ci", "Ci", "a" * 31, "ci\n", "c+i", "c i", "ç"):
            self.fails(AccountInvalid, self.accounts.create_robot("anna", name))

    def test_strangers_make_no_robots(self) -> None:
        """The name of a robot can not be registered, nor created as an account of its own."""
        for work in (self.accounts.register("anna+ci", "secret", ""), self.accounts.create("anna+ci", "secret")):
            self.fails(AccountInvalid, work)

    def test_deleted_name(self) -> None:
        """No stranger takes the name of an account that was deleted, at any cost; an operator may give it again."""
        self.now(self.accounts.register("anna", "secret", ""))
        self.now(self.accounts.delete("anna"))
        threads = Threads()
        accounts = Accounts(self.store, PasswordHasher(Turns(threads), cost=CHEAP), self.clock, "open")
        self.fails(AccountExists, accounts.register("anna", "other", ""))
        self.assertEqual(0, threads.started)
        self.fails(AccountUnknown, self.accounts.delete("anna"))
        self.assertEqual("anna", self.now(self.accounts.create("anna", "other")).name)

    def test_heir(self) -> None:
        """Repositories are given to another person, or the account stays."""
        for name in ("anna", "berta"):
            self.now(self.accounts.create(name, "secret"))
        self.now(self.accounts.create_robot("berta", "ci"))
        for heir, kind in (("anna", AccountInvalid), ("berta+ci", AccountInvalid), ("carla", AccountUnknown)):
            self.fails(kind, self.accounts.delete("anna", heir))
        self.now(self.accounts.delete("anna", "berta"))
        self.fails(AccountUnknown, self.accounts.get("anna"))
