"""
What everything promises that makes or redeems the tokens of v2.

Subclass a contract and say how to make the provider. Import this module, not the classes in it: trial would run an
imported contract as a test of its own.
"""

from zope.interface.verify import verifyObject

from dockreg.errors import Unauthorized
from dockreg.interfaces_access import IBearers, ITokenService
from dockreg.model.access import ANONYMOUS, EVERYTHING, Access, Action
from dockreg.model.names import RepositoryName
from dockreg.testing.contracts_auth import FOREIGN_TOKENS, REPOSITORY, ContractCase

ORIGIN = "https://r.example"
SERVICE = "r.example"


class BearersContract(ContractCase):
    """What every IBearers promises."""

    def make_bearers(self) -> IBearers:
        """One that has given no token to anybody."""
        raise NotImplementedError

    def test_bearers_interface(self) -> None:
        """The provider has all that IBearers declares."""
        verifyObject(IBearers, self.make_bearers())

    def test_foreign_bearers(self) -> None:
        """A text that is no token of v2 is refused, whatever it looks like, as an invalid token."""
        bearers = self.make_bearers()
        for token in FOREIGN_TOKENS:
            error = self.fails(Unauthorized, bearers.redeem(token, ORIGIN))
            assert isinstance(error, Unauthorized)
            self.assertEqual("invalid_token", error.fault)

    def test_challenge_form(self) -> None:
        """A challenge is one header value of ASCII that says where a token is, for whatever is wanted and wrong."""
        bearers = self.make_bearers()
        for wanted in ((), (Access(REPOSITORY, EVERYTHING), Access(RepositoryName("b"), frozenset({Action.PULL})))):
            for fault in ("", "invalid_token", "insufficient_scope"):
                value = bearers.challenge(ORIGIN, wanted, fault)
                self.assertTrue(value.isascii() and value.isprintable(), value)
                self.assertTrue(value.startswith('Bearer realm="http'), value)
                self.assertEqual(bool(wanted), "scope=" in value)
                self.assertEqual(bool(fault), f'error="{fault}"' in value)


class TokenServiceContract(ContractCase):
    """What every ITokenService promises."""

    def make_token_service(self) -> ITokenService:
        """One that knows nobody."""
        raise NotImplementedError

    def test_service_interface(self) -> None:
        """The provider has all that ITokenService declares."""
        verifyObject(ITokenService, self.make_token_service())

    def test_for_anonymous(self) -> None:
        """Anonymous gets a token that fits into a header, one after the other, whatever is wanted; nothing to renew."""
        service = self.make_token_service()
        many = [Access(RepositoryName(f"{'a' * 73}/b{number}"), EVERYTHING) for number in range(32)]
        for wanted in ([], [Access(None, frozenset({Action.PULL}))], many):
            tokens = [self.now(service.issue(ANONYMOUS, wanted, SERVICE)) for _ in range(2)]
            self.assertNotEqual(tokens[0].token, tokens[1].token)
            for each in tokens:
                self.assertTrue(each.token.isascii() and each.token.isprintable() and " " not in each.token)
                self.assertLessEqual(len(each.token), 14 * 1024)
                self.assertLess(each.issued_at, each.ends)
                self.assertEqual([one.repository for one in wanted], [one.repository for one in each.granted])
        self.assertIsNone(self.now(service.issue_refresh(ANONYMOUS, SERVICE)))

    def test_foreign_refresh_tokens(self) -> None:
        """A text that is no refresh token is refused, whatever it looks like."""
        service = self.make_token_service()
        for token in FOREIGN_TOKENS:
            self.fails(Unauthorized, service.refresh(token, SERVICE))

    def test_bearer_is_no_refresh_token(self) -> None:
        """A bearer token renews nothing."""
        service = self.make_token_service()
        token = self.now(service.issue(ANONYMOUS, [], SERVICE)).token
        self.fails(Unauthorized, service.refresh(token, SERVICE))

    def test_keys_that_verify(self) -> None:
        """Each key that is published has an id of its own, and nothing that signs."""
        keys = self.now(self.make_token_service().public_keys())
        self.assertNotEqual([], list(keys))
        self.assertEqual(len(keys), len({key["kid"] for key in keys}))
        for key in keys:
            self.assertEqual(set(), {"d", "p", "q", "dp", "dq", "qi", "k"} & set(key))
