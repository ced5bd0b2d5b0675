"""Tests of :mod:`dockreg.invitations`, and of how :mod:`dockreg.accounts` redeems them."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from dockreg.accounts import Accounts
from dockreg.attempts import AttemptLimits, Attempts
from dockreg.errors import AccountExists, AccountInvalid
from dockreg.errors_access import InvitationInvalid, TooManyAttempts
from dockreg.invitations import Invitations
from dockreg.model.accounts import Account
from dockreg.model.invitations import InvitationCode
from dockreg.providers.attempts import MemoryAttemptStore
from dockreg.testing.accountstores import MemoryAccountStore, MemoryInvitationStore
from dockreg.testing.contracts_auth import ContractCase
from tests.unit.providers.auth.support import cheap_hasher, counted_bytes, counter


class InvitationTests(ContractCase):
    """Accounts for who was invited."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_400_000_000)
        self.store = MemoryAccountStore()
        self.invitations = MemoryInvitationStore(self.store)
        self.inviting = Invitations(self.invitations, self.clock, counted_bytes(), counter("invitation"))
        self.accounts = self.make("invitation")

    def make(self, registration: str, email: str = "optional") -> Accounts:
        return Accounts(
            self.store,
            cheap_hasher(),
            self.clock,
            registration,
            Attempts(AttemptLimits(registrations=9), self.clock, MemoryAttemptStore()),
            self.invitations,
            email,
        )

    def invite(self, name: str | None = None, email: str = "") -> str:
        return self.now(self.inviting.create(name, email, 100))[1]

    def register(self, name: str, email: str = "", invitation: str = "") -> Account:
        return self.now(self.accounts.register(name, "secret", email, invitation))

    def refused(self, kind: type[Exception], name: str, email: str = "", invitation: str = "") -> str:
        return str(self.fails(kind, self.accounts.register(name, "secret", email, invitation)))

    def test_member(self) -> None:
        """Who sends a code has an account, with the e-mail address that is sent."""
        account = self.register("anna", "anna@example", self.invite())
        members = (account.name, account.email, account.active, account.admin)
        self.assertEqual(("anna", "anna@example", True, False), members)
        self.assertEqual(account, self.now(self.store.get("anna")))

    def test_in_place_of_the_address(self) -> None:
        """Old engines ask for an e-mail address, where the code is typed, however people write it."""
        for name, written in (("anna", str.upper), ("berta", lambda code: code.replace("-", " "))):
            self.assertEqual("", self.register(name, written(self.invite())).email)
        self.assertEqual("c@example", self.register("carla", self.invite(email="c@example")).email)

    def test_engines_offer_it_again(self) -> None:
        """An engine repeats at each login what was typed: its account exists, and nobody else's."""
        code = self.invite()
        self.register("anna", code)
        self.refused(AccountExists, "anna", code)
        self.refused(InvitationInvalid, "berta", code)

    def test_once(self) -> None:
        """A code makes one account, until it expires or is revoked."""
        codes = [self.invite() for _ in range(3)]
        self.register("anna", "", codes[0])
        self.refused(InvitationInvalid, "berta", "", codes[0])
        listed = self.now(self.inviting.list_all())
        self.assertEqual(["anna", None, None], [each.used_by for each in listed])
        self.now(self.inviting.revoke(listed[1].invitation_id))
        self.refused(InvitationInvalid, "berta", "", codes[1])
        self.clock.advance(100)
        self.refused(InvitationInvalid, "berta", "", codes[2])

    def test_for_somebody(self) -> None:
        """An invitation for a name or an address is good for that only."""
        named, addressed = self.invite("anna"), self.invite(email="b@example")
        self.assertIn("user name", self.refused(InvitationInvalid, "berta", "", named))
        self.register("anna", "", named)
        self.assertIn("e-mail", self.refused(InvitationInvalid, "berta", "x@example", addressed))
        self.assertEqual("b@example", self.register("berta", "b@example", addressed).email)

    def test_rules(self) -> None:
        """An invitation breaks no rule, and stays good when one is broken."""
        code = self.invite()
        self.now(self.accounts.create("anna", "secret"))
        self.refused(AccountInvalid, "A", "", code)
        self.refused(AccountInvalid, "berta", "x@y@z", code)
        self.refused(AccountExists, "anna", "", code)
        self.fails(AccountInvalid, self.accounts.register("berta", "x", "", code))
        self.register("berta", "", code)

    def test_without(self) -> None:
        """Without a code every name is told the same, and nothing is looked at."""
        self.now(self.accounts.create("anna", "secret"))
        texts = {self.refused(AccountExists, name, email) for name in ("anna", "berta") for email in ("", "b@example")}
        self.assertEqual({"Username or email already exists"}, texts)

    def test_wrong(self) -> None:
        """A code that is none is told so, whether the name is taken or not; who tries many has to wait."""
        self.now(self.accounts.create("anna", "secret"))
        texts = {
            self.refused(InvitationInvalid, name, "", code) for name in ("anna", "berta") for code in ("x", "0" * 25)
        }
        self.assertEqual(1, len(texts))
        for _ in range(9):
            self.fails(InvitationInvalid, self.accounts.register("berta", "secret", "", "x", "192.0.2.1"))
        self.fails(TooManyAttempts, self.accounts.register("berta", "secret", "", "x", "192.0.2.1"))

    def test_while_open(self) -> None:
        """Where nobody needs an invitation, one that is sent is used all the same."""
        self.accounts = self.make("open")
        self.register("anna", "", self.invite())
        self.assertEqual(["anna"], [each.used_by for each in self.now(self.inviting.list_all())])
        self.refused(AccountInvalid, "berta", self.invite())

    def test_while_closed(self) -> None:
        """Where registration is closed an invitation opens nothing."""
        self.accounts = self.make("closed")
        self.refused(AccountExists, "anna", "", self.invite())

    def test_create_refused(self) -> None:
        """Nobody is invited under a name or address that no account can have, or for no time."""
        for name, email, seconds in (("A", "", 1.0), (None, "x", 1.0), (None, "", 0.0)):
            self.fails(AccountInvalid, self.inviting.create(name, email, seconds))

    def test_email_required(self) -> None:
        """Where an address is needed, an account without one is refused, but who has one already logs in as before."""
        self.accounts = self.make("open", "required")
        self.refused(AccountInvalid, "anna")
        self.register("anna", "anna@example")
        self.refused(AccountExists, "anna")
        self.fails(AccountInvalid, self.accounts.change("anna", email=""))
        self.fails(AccountInvalid, self.accounts.create("berta", "secret"))
        self.refused(AccountInvalid, "berta", "", self.invite())
        self.assertEqual("b@example", self.register("berta", "", self.invite(email="b@example")).email)

    def test_no_email(self) -> None:
        """Where none is kept, what engines send is dropped, and who means to store one is told."""
        self.accounts = self.make("open", "none")
        self.assertEqual("", self.register("anna", "anna@example").email)
        self.fails(AccountInvalid, self.accounts.change("anna", email="anna@example"))
        self.fails(AccountInvalid, self.accounts.create("berta", "secret", "b@example"))


class InvitationCodeTests(ContractCase):
    """What is typed."""

    @given(st.binary(min_size=16, max_size=16))
    def test_round(self, data: bytes) -> None:
        """A code is read as it is written, in either case, with and without what separates its groups."""
        code = InvitationCode.make(lambda size: data[:size])
        self.assertRegex(str(code), r"\A([0-9a-hjkmnp-tv-z]{5}-){4}[0-9a-hjkmnp-tv-z]{5}\Z")
        for typed in (
            str(code),
            str(code).upper(),
            code.text,
            str(code).replace("-", " "),
            str(code).replace("0", "O"),
        ):
            self.assertEqual(code, InvitationCode.parse(typed))
        self.assertNotIn(code.text, repr(code))

    def test_others(self) -> None:
        """Anything else is none."""
        code = str(InvitationCode.make(lambda size: b"\x07" * size))
        for typed in ("", "x", code[1:], f"{code}0", f"{code}\n", code[:-1] + "u", "anna@example"):
            self.assertIsNone(InvitationCode.parse(typed), typed)
