"""
What every store of access tokens and of invitations promises.

Subclass a contract and say how to make the store. Import this module, not the classes in it: trial would run an
imported contract as a test of its own.
"""

from typing import Any

from attrs import evolve
from zope.interface.verify import verifyObject

from dockreg.errors import AccountExists, AccountInvalid, AccountUnknown
from dockreg.errors_access import AccessTokenUnknown, InvitationInvalid, InvitationUnknown
from dockreg.interfaces_access import IAccountStore
from dockreg.interfaces_people import IAccessTokenStore, IInvitationStore
from dockreg.model.accesstokens import AccessToken, parse_scope
from dockreg.model.invitations import Invitation
from dockreg.testing.contracts_auth import ContractCase

_DAY = 86400.0


class AccessTokenStoreContract(ContractCase):
    """What every IAccessTokenStore promises."""

    def make_stores(self) -> tuple[IAccessTokenStore, IAccountStore]:
        """One without tokens, and the accounts that they are for."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Make a store with one token, and three accounts."""
        self.store, self.accounts = self.make_stores()
        for name in ("anna", "berta"):
            self.now(self.accounts.create(name, "hash", "", admin=False, now=1.0))
        self.now(self.accounts.create_robot("anna+ci", "anna", 2.0))
        scopes = (parse_scope("team/**:pull,push"), parse_scope("busybox:*"))
        self.token = AccessToken("one", "anna", "für die Bücher", scopes, 10.5, 100.25)
        self.add(self.token)

    def add(self, token: AccessToken, digest: bytes = b"\x00\xff" * 16, most: int = 5) -> None:
        """Store a token."""
        self.now(self.store.add(token, digest, most))

    def another(self, token_id: str, **changes: Any) -> AccessToken:
        """A token that differs from the first in its id, and in these."""
        return evolve(self.token, **{"token_id": token_id, **changes})

    def ids(self, account: str | None) -> list[str]:
        """The ids of what is listed."""
        return [each.token_id for each in self.now(self.store.list_all(account))]

    def test_interface(self) -> None:
        """The provider has all that IAccessTokenStore declares."""
        verifyObject(IAccessTokenStore, self.store)

    def test_add(self) -> None:
        """A token is what it was, with the digest that it was given."""
        self.assertEqual((self.token, b"\x00\xff" * 16), self.now(self.store.get("one")))
        forever = AccessToken("two", "berta", "", self.token.scopes, 11.0, None)
        self.add(forever, b"x" * 32)
        self.assertEqual((forever, b"x" * 32), self.now(self.store.get("two")))

    def test_unknown(self) -> None:
        """An id that is not there, to the letter, is unknown."""
        for token_id in ("two", "One", "one ", "one\x00", "\ud800", ""):
            self.fails(AccessTokenUnknown, self.store.get(token_id))
            self.fails(AccessTokenUnknown, self.store.revoke(token_id, None))

    def test_no_account(self) -> None:
        """A token for nobody can not be stored."""
        self.fails(AccountUnknown, self.store.add(self.another("x", account="carla"), b"x", 5))
        self.assertEqual(["one"], self.ids(None))

    def test_most(self) -> None:
        """An account has a number of tokens at most; expired ones do not count, and those of others neither."""
        self.fails(AccountInvalid, self.store.add(self.another("two"), b"x", 1))
        self.add(self.another("three", account="berta"), most=1)
        self.add(self.another("four", created_at=100.25, expires_at=None), most=1)
        self.assertEqual(["one", "four"], self.ids("anna"))

    def test_forgotten(self) -> None:
        """What expired a month before another token is made is forgotten, of the same account."""
        self.add(self.another("hers", account="berta"))
        self.add(self.another("two", created_at=100.0 + 30 * _DAY, expires_at=None))
        self.assertEqual(["one", "two"], self.ids("anna"))
        self.add(self.another("three", created_at=100.5 + 30 * _DAY, expires_at=None))
        self.assertEqual(["two", "three"], self.ids("anna"))
        self.assertEqual(["hers"], self.ids("berta"))

    def test_list(self) -> None:
        """Tokens are listed by account, the oldest first."""
        self.add(self.another("b", account="berta", created_at=1.0))
        self.add(self.another("c", created_at=10.0))
        self.add(self.another("r", account="anna+ci", created_at=1.0))
        self.assertEqual(["c", "one", "r", "b"], self.ids(None))
        self.assertEqual(["c", "one"], self.ids("anna"))
        self.assertEqual(["r"], self.ids("anna+ci"))
        self.assertEqual([], self.ids("nobody"))

    def test_revoke(self) -> None:
        """A token that was revoked is gone, and returned once."""
        self.fails(AccessTokenUnknown, self.store.revoke("one", "berta"))
        self.assertEqual(self.token, self.now(self.store.revoke("one", "anna")))
        self.fails(AccessTokenUnknown, self.store.revoke("one", "anna"))
        self.fails(AccessTokenUnknown, self.store.get("one"))
        self.add(self.token)
        self.assertEqual(self.token, self.now(self.store.revoke("one", None)))

    def test_note_use(self) -> None:
        """The time of the last use is that which was noted last."""
        for moment in (20.5, 30.0):
            self.now(self.store.note_use("one", moment))
            self.assertEqual(moment, self.now(self.store.get("one"))[0].used_at)
        self.now(self.store.note_use("two", 20.0))
        self.assertEqual(["one"], self.ids(None))

    def test_deleted_account(self) -> None:
        """The tokens of an account and of its robots end with it, also when there is another of that name later."""
        self.add(self.another("robot", account="anna+ci"))
        self.add(self.another("hers", account="berta"))
        self.now(self.accounts.delete("anna", 50.0))
        self.now(self.accounts.create("anna", "hash", "", admin=False, now=60.0, again=True))
        self.now(self.accounts.create_robot("anna+ci", "anna", 61.0))
        for token_id in ("one", "robot"):
            self.fails(AccessTokenUnknown, self.store.get(token_id))
        self.assertEqual(["hers"], self.ids(None))


class InvitationStoreContract(ContractCase):
    """What every IInvitationStore promises."""

    def make_stores(self) -> tuple[IInvitationStore, IAccountStore]:
        """One without invitations, and the accounts that they are for."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Make a store with one invitation, and an account."""
        self.store, self.accounts = self.make_stores()
        self.now(self.accounts.create("anna", "hash", "anna@example", admin=False, now=1.0))
        self.invitation = Invitation("one", "berta", "berta@example", 10.5, 100.25)
        self.now(self.store.add(self.invitation, b"1" * 32))

    def ids(self) -> list[str]:
        """The ids of what is listed."""
        return [each.invitation_id for each in self.now(self.store.list_all())]

    def test_interface(self) -> None:
        """The provider has all that IInvitationStore declares."""
        verifyObject(IInvitationStore, self.store)

    def test_add(self) -> None:
        """An invitation is found by the digest of its code."""
        self.assertEqual(self.invitation, self.now(self.store.get(b"1" * 32)))
        anybody = Invitation("two", None, "", 10.0, 100.0)
        self.now(self.store.add(anybody, b"\x00" * 32))
        self.assertEqual(anybody, self.now(self.store.get(b"\x00" * 32)))
        self.assertEqual(["two", "one"], self.ids())

    def test_unknown(self) -> None:
        """Another digest finds nothing, and another id revokes nothing."""
        for digest in (b"", b"1" * 31, b"\x00" * 32):
            self.fails(InvitationInvalid, self.store.get(digest))
            self.fails(InvitationInvalid, self.store.redeem(digest, "berta", "hash", "", 20.0))
        for invitation_id in ("two", "", "One", "one\x00", "\ud800"):
            self.fails(InvitationUnknown, self.store.revoke(invitation_id))
        self.fails(AccountUnknown, self.accounts.get("berta"))

    def test_redeem(self) -> None:
        """An invitation makes one account, and says which."""
        account = self.now(self.store.redeem(b"1" * 32, "berta", "hash-b", "b@example", 20.5))
        self.assertEqual(account, self.now(self.accounts.get("berta")))
        expected = ("berta", "hash-b", "b@example", True, False, 20.5)
        members = (account.name, account.password_hash, account.email, account.active, account.admin)
        self.assertEqual(expected, (*members, account.created_at))
        self.assertEqual("berta", self.now(self.store.get(b"1" * 32)).used_by)
        self.fails(InvitationInvalid, self.store.redeem(b"1" * 32, "carla", "hash", "", 21.0))
        self.fails(AccountUnknown, self.accounts.get("carla"))

    def test_redeem_too_late(self) -> None:
        """An invitation that is over makes none."""
        self.fails(InvitationInvalid, self.store.redeem(b"1" * 32, "berta", "hash", "", 100.25))
        self.fails(AccountUnknown, self.accounts.get("berta"))

    def test_redeem_taken(self) -> None:
        """A name or an address that is taken makes none, and the invitation stays good."""
        for name, email in (("anna", ""), ("berta", "anna@example")):
            self.fails(AccountExists, self.store.redeem(b"1" * 32, name, "hash", email, 20.0))
        self.now(self.accounts.delete("anna", 30.0))
        self.fails(AccountExists, self.store.redeem(b"1" * 32, "anna", "hash", "", 40.0))
        self.assertEqual(self.invitation, self.now(self.store.get(b"1" * 32)))

    def test_revoke(self) -> None:
        """An invitation that was revoked is gone; an account that was made with one stays."""
        self.assertEqual(self.invitation, self.now(self.store.revoke("one")))
        self.fails(InvitationInvalid, self.store.get(b"1" * 32))
        self.now(self.store.add(self.invitation, b"2" * 32))
        self.now(self.store.redeem(b"2" * 32, "berta", "hash", "", 20.0))
        self.now(self.store.revoke("one"))
        self.assertEqual(([], "berta"), (self.ids(), self.now(self.accounts.get("berta")).name))

    def test_forgotten(self) -> None:
        """What expired a month before another one is made is forgotten, unless it was used."""
        self.now(self.store.add(evolve(self.invitation, invitation_id="used"), b"2" * 32))
        self.now(self.store.redeem(b"2" * 32, "berta", "hash", "", 20.0))
        for number, moment in enumerate((100.0, 100.5)):
            later = Invitation(f"later{number}", None, "", moment + 30 * _DAY, moment + 31 * _DAY)
            self.now(self.store.add(later, bytes([number]) * 32))
            left = ["one"] if number == 0 else []
            self.assertEqual([*left, "used", *(f"later{each}" for each in range(number + 1))], self.ids())
