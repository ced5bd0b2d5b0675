"""
What every store of accounts and keys promises.

Subclass a contract and say how to make the store. Import this module, not the classes in it: trial would run an
imported contract as a test of its own.
"""

from collections.abc import Coroutine
from typing import Any

from zope.interface.verify import verifyObject

from dockreg.errors import AccountExists, AccountInvalid, AccountUnknown
from dockreg.interfaces_access import IAccountStore, IKeyStore
from dockreg.model.accounts import NO_HASH, Account, SigningKey
from dockreg.testing.contracts_auth import ContractCase


class AccountStoreContract(ContractCase):
    """What every IAccountStore promises."""

    def make_account_store(self) -> IAccountStore:
        """One without accounts."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Make a store with two accounts."""
        self.store = self.make_account_store()
        self.anna = self.now(self.store.create("anna", "hash-a", "anna@example", admin=False, now=1.5))
        self.root = self.now(self.store.create("root", "hash-r", "", admin=True, now=2.5))

    def test_interface(self) -> None:
        """The provider has all that IAccountStore declares."""
        verifyObject(IAccountStore, self.store)

    def test_create(self) -> None:
        """An account is active, and as it was given."""
        self.assertEqual(Account("anna", "hash-a", "anna@example", active=True, admin=False, created_at=1.5), self.anna)
        self.assertEqual(self.anna, self.now(self.store.get("anna")))
        self.assertEqual(self.root, self.now(self.store.get("root")))

    def unknown(self, name: str, work: Coroutine[Any, Any, Any]) -> bool:
        """Whether an account that is unknown was deleted."""
        problem = self.fails(AccountUnknown, work)
        assert isinstance(problem, AccountUnknown)
        self.assertEqual(name, problem.name)
        return problem.deleted

    def test_unknown(self) -> None:
        """A name that is not there, to the letter, is unknown, and can not be changed."""
        for name in ("berta", "Anna", "ann", "anna ", "anna\x00", "\n", ""):
            self.fails(AccountUnknown, self.store.get(name))
            self.fails(AccountUnknown, self.store.change(name, active=False))

    def test_taken(self) -> None:
        """A name or an e-mail address is taken once; an empty address never."""
        self.fails(AccountExists, self.store.create("anna", "x", "", admin=True, now=3.0))
        self.fails(AccountExists, self.store.create("berta", "x", "anna@example", admin=True, now=3.0))
        self.now(self.store.create("berta", "x", "", admin=False, now=3.0))
        self.assertEqual(self.anna, self.now(self.store.get("anna")))

    def test_list(self) -> None:
        """Accounts are listed in the order of their names."""
        self.now(self.store.create("berta", "x", "", admin=False, now=3.0))
        self.assertEqual(["anna", "berta", "root"], [account.name for account in self.now(self.store.list_all())])

    def test_change(self) -> None:
        """What is not None is replaced, also by nothing; the rest stays."""
        newer = "hash-n"
        changed = self.now(self.store.change("anna", password_hash=newer, active=False))
        self.assertEqual(Account("anna", "hash-n", "anna@example", active=False, admin=False, created_at=1.5), changed)
        changed = self.now(self.store.change("anna", email="", active=True, admin=True))
        self.assertEqual(Account("anna", "hash-n", "", active=True, admin=True, created_at=1.5), changed)
        self.assertEqual(changed, self.now(self.store.get("anna")))
        self.assertEqual(self.root, self.now(self.store.get("root")))

    def test_change_to_a_taken_address(self) -> None:
        """The e-mail address of another account can not be taken over; one's own can be set again."""
        self.fails(AccountExists, self.store.change("root", email="anna@example"))
        self.assertEqual(self.root, self.now(self.store.get("root")))
        self.assertEqual(self.anna, self.now(self.store.change("anna", email="anna@example")))

    def test_robot(self) -> None:
        """A robot is an account without a password, which is its owner's, and knows whether he is active."""
        robot = self.now(self.store.create_robot("anna+ci", "anna", now=3.5))
        expected = Account("anna+ci", NO_HASH, "", active=True, admin=False, created_at=3.5, owner="anna")
        self.assertEqual([expected] * 2, [robot, self.now(self.store.get("anna+ci"))])
        self.assertTrue(robot.is_usable)
        self.assertIn(expected, self.now(self.store.list_all()))
        self.now(self.store.change("anna", active=False))
        robot = self.now(self.store.get("anna+ci"))
        self.assertEqual((True, False, False), (robot.active, robot.owner_active, robot.is_usable))
        self.now(self.store.change("anna", active=True))
        self.assertFalse(self.now(self.store.change("anna+ci", active=False)).is_usable)

    def test_robots(self) -> None:
        """The robots of an account are listed in the order of their names; it has a number of them at most."""
        for name in ("anna+b", "anna+a"):
            self.now(self.store.create_robot(name, "anna", now=3.5, most=2))
        self.fails(AccountInvalid, self.store.create_robot("anna+c", "anna", now=3.5, most=2))
        self.now(self.store.create_robot("root+ci", "root", now=3.5, most=1))
        self.assertEqual(["anna+a", "anna+b"], [each.name for each in self.now(self.store.list_robots("anna"))])
        for name in ("anna+a", "carla", "a\x00", ""):
            self.assertEqual([], list(self.now(self.store.list_robots(name))))

    def test_robot_of_nobody(self) -> None:
        """A robot needs an owner, and a name that is free."""
        self.fails(AccountUnknown, self.store.create_robot("carla+ci", "carla", now=3.5))
        self.now(self.store.create_robot("anna+ci", "anna", now=3.5))
        self.fails(AccountExists, self.store.create_robot("anna+ci", "anna", now=3.5))
        self.now(self.store.delete("anna", now=4.0))
        self.fails(AccountUnknown, self.store.create_robot("anna+cd", "anna", now=5.0))

    def test_delete(self) -> None:
        """An account that was deleted is unknown, as one that was there; its robots are gone with it."""
        self.now(self.store.create_robot("anna+ci", "anna", now=3.5))
        self.now(self.store.create_robot("root+ci", "root", now=3.5))
        self.now(self.store.delete("anna", now=4.0))
        for doing in (self.store.get, self.store.change):
            self.assertTrue(self.unknown("anna", doing("anna")))
        for name in ("anna+ci", "carla"):
            self.assertFalse(self.unknown(name, self.store.get(name)))
        self.fails(AccountUnknown, self.store.delete("anna", now=5.0))
        self.assertEqual(["root", "root+ci"], [each.name for each in self.now(self.store.list_all())])

    def test_heir(self) -> None:
        """An heir has to be there, or nothing is deleted."""
        self.fails(AccountUnknown, self.store.delete("anna", now=4.0, heir="carla"))
        self.assertEqual(self.anna, self.now(self.store.get("anna")))
        self.now(self.store.delete("anna", now=4.0, heir="root"))
        self.assertEqual(["root"], [each.name for each in self.now(self.store.list_all())])

    def test_delete_robot(self) -> None:
        """A robot can be deleted alone, and made again."""
        first = self.now(self.store.create_robot("anna+ci", "anna", now=3.5))
        self.now(self.store.delete("anna+ci", now=4.0))
        self.fails(AccountUnknown, self.store.get("anna+ci"))
        self.assertEqual(self.anna, self.now(self.store.get("anna")))
        self.assertEqual(first, self.now(self.store.create_robot("anna+ci", "anna", now=3.5)))

    def test_again(self) -> None:
        """The name of a deleted account stays taken until it is given once more; its e-mail address is free."""
        self.now(self.store.delete("anna", now=4.0))
        self.fails(AccountExists, self.store.create("anna", "x", "", admin=False, now=5.0))
        self.now(self.store.create("berta", "x", "anna@example", admin=False, now=5.0))
        renewed = self.now(self.store.create("anna", "y", "", admin=False, now=6.5, again=True))
        expected = Account("anna", "y", "", active=True, admin=False, created_at=6.5, renewed_at=6.5)
        self.assertEqual([expected] * 2, [renewed, self.now(self.store.get("anna"))])
        self.fails(AccountExists, self.store.create("anna", "z", "", admin=False, now=7.0, again=True))
        self.assertIsNone(self.now(self.store.create("carla", "z", "", admin=False, now=7.0, again=True)).renewed_at)


class KeyStoreContract(ContractCase):
    """What every IKeyStore promises."""

    def make_key_store(self) -> IKeyStore:
        """One without keys."""
        raise NotImplementedError

    def test_interface(self) -> None:
        """The provider has all that IKeyStore declares."""
        verifyObject(IKeyStore, self.make_key_store())

    def test_made_once(self) -> None:
        """The key of a purpose is made when it is first asked for, and stays."""
        store = self.make_key_store()
        first = SigningKey("one", b"\x00\xff" * 16, 1.5)
        self.assertEqual([first], list(self.now(store.get("a", lambda: first))))
        self.assertEqual([first], list(self.now(store.get("a", lambda: SigningKey("two", b"x" * 32, 2.5)))))

    def test_purposes(self) -> None:
        """Each purpose has keys of its own."""
        store = self.make_key_store()
        one, two = (SigningKey(name, b"x" * 32, 1.0) for name in ("one", "two"))
        self.assertEqual([one], list(self.now(store.get("a", lambda: one))))
        self.assertEqual([two], list(self.now(store.get("b", lambda: two))))

    def test_add(self) -> None:
        """A key that is added is the newest, whatever its time says; the others stay."""
        store = self.make_key_store()
        first, second, third = (
            SigningKey(name, b"x" * 32, time) for name, time in (("1", 5.0), ("2", 7.0), ("3", 3.0))
        )
        self.assertEqual(first, self.now(store.add("a", first)))
        self.assertEqual(second, self.now(store.add("a", second)))
        kept = SigningKey("3", b"x" * 32, 7.0)
        self.assertEqual(kept, self.now(store.add("a", third)))
        self.assertEqual([kept, second, first], list(self.now(store.get("a", lambda: first))))

    def test_remove(self) -> None:
        """A key that is removed is gone, for its purpose alone; one that is not there can be removed."""
        store = self.make_key_store()
        one, two = (SigningKey(name, b"x" * 32, 1.0) for name in ("one", "two"))
        for purpose, key in (("a", one), ("a", two), ("b", one)):
            self.now(store.add(purpose, key))
        self.now(store.remove("a", "one"))
        self.now(store.remove("a", "three"))
        self.now(store.remove("c", "one"))
        found = {purpose: list(keys) for purpose, keys in self.now(store.list_all()).items()}
        self.assertEqual({"a": [two], "b": [one]}, found)

    def test_list(self) -> None:
        """Without keys there is nothing to list; a purpose whose last key was removed is not listed."""
        store = self.make_key_store()
        self.assertEqual({}, dict(self.now(store.list_all())))
        self.now(store.add("a", SigningKey("one", b"x" * 32, 1.0)))
        self.now(store.remove("a", "one"))
        self.assertEqual({}, dict(self.now(store.list_all())))
