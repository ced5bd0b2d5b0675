"""Tests of :mod:`dockreg.providers.auth.accesstokens`."""

from collections.abc import Sequence
from typing import Any

from attrs import define
from twisted.cred.checkers import AllowAnonymousAccess, ICredentialsChecker, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import Anonymous, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.task import Clock
from zope.interface import implementer

from dockreg.accesstokens import AccessTokens
from dockreg.errors import Unauthorized
from dockreg.interfaces_access import IAuthenticator, IDirectory
from dockreg.model.access import Action, Ceiling, Principal
from dockreg.model.accesstokens import AccessToken, parse_scope
from dockreg.model.names import RepositoryName
from dockreg.model.people import Person
from dockreg.providers.auth.accesstokens import AccessTokenAuthenticator
from dockreg.providers.auth.accounts import AccountsChecker
from dockreg.providers.auth.cred import CredAuthenticator
from dockreg.providers.auth.tokens import TokenSigner
from dockreg.testing import contracts_auth
from dockreg.testing.accountstores import MemoryAccessTokenStore, MemoryAccountStore, MemoryKeyStore
from tests.unit.providers.auth.support import cheap_hasher, counted_bytes, counter, memory_of

APP, OTHER = RepositoryName("team/app"), RepositoryName("other/app")
PULL, PUSH = Action.PULL, Action.PUSH
EVERYTHING = frozenset(Action)


@implementer(ICredentialsChecker, IDirectory)
@define(eq=False)
class Directory:
    """A checker that knows some people and their groups, and no password."""

    people: dict[str, frozenset[str]]
    credentialInterfaces: Sequence[Any] = ()

    def requestAvatarId(self, credentials: Any) -> Any:
        raise UnauthorizedLogin

    async def find(self, name: str) -> Person | None:
        return Person(name, self.people[name]) if name in self.people else None


class AccessTokenAuthenticatorTests(contracts_auth.AuthenticatorContract):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_400_000_000)
        self.accounts = MemoryAccountStore()
        for name, admin in (("anna", False), ("root", True)):
            stored = self.now(cheap_hasher().hash(b"secret"))
            self.now(self.accounts.create(name, stored, "", admin=admin, now=0.0))
        self.now(self.accounts.create_robot("anna+ci", "anna", 0.0))
        self.tokens = AccessTokens(MemoryAccessTokenStore(self.accounts), self.clock, counted_bytes())
        self.signer = TokenSigner(MemoryKeyStore(), self.clock, counter("id"), counted_bytes())
        self.authenticator = self.make_authenticator()

    def make_authenticator(self) -> IAuthenticator:
        checkers = [
            AccountsChecker(self.accounts, cheap_hasher(), memory_of(self.clock)),
            InMemoryUsernamePasswordDatabaseDontUse(**{"anna+ci": b"hunter2", "anna+no": b"hunter2"}),
            AllowAnonymousAccess(),
        ]
        return AccessTokenAuthenticator(self.tokens, CredAuthenticator(checkers, self.accounts, self.signer))

    def create(self, account: str, *scopes: str) -> tuple[AccessToken, bytes]:
        token, text = self.now(self.tokens.create(account, list(map(parse_scope, scopes)), "", 100))
        return token, text.encode()

    def login(self, name: bytes, password: bytes) -> Principal:
        return self.now(self.authenticator.login(UsernamePassword(name, password)))

    def login_fails(self, name: bytes, password: bytes) -> None:
        self.fails(Unauthorized, self.authenticator.login(UsernamePassword(name, password)))

    def test_login(self) -> None:
        """The bearer of a token is its account, below the ceiling of the token."""
        token, text = self.create("anna", "team/**:pull,push")
        expected = Principal("anna", ceiling=Ceiling((token.reach,)), token_id=token.token_id)
        self.assertEqual(expected, self.login(b"anna", text))
        token, text = self.create("root", "**:*")
        self.assertTrue(self.login(b"root", text).admin)

    def test_password(self) -> None:
        """A password is checked as it was without tokens, and so are other credentials."""
        self.assertEqual(Principal("anna"), self.login(b"anna", b"secret"))
        self.login_fails(b"anna", b"wrong")
        self.assertIsNone(self.now(self.authenticator.login(Anonymous())).name)

    def test_robot(self) -> None:
        """A robot comes with a token, and never with a password, whoever may know one for its name."""
        token, text = self.create("anna+ci", "team/**:pull")
        self.assertEqual(token.token_id, self.login(b"anna+ci", text).token_id)
        for name in (b"anna+ci", b"anna+no"):
            for password in (b"hunter2", b"secret", b"!", b""):
                self.login_fails(name, password)

    def test_owner(self) -> None:
        """A robot is refused while its owner is disabled, and so is what was had for its token."""
        _token, text = self.create("anna+ci", "team/**:pull")
        principal = self.login(b"anna+ci", text)
        self.now(self.accounts.change("anna", active=False))
        self.login_fails(b"anna+ci", text)
        self.fails(Unauthorized, self.authenticator.current(principal))
        self.now(self.accounts.change("anna", active=True))
        self.assertEqual(principal, self.login(b"anna+ci", text))
        self.assertEqual(principal, self.now(self.authenticator.current(principal)))

    def test_v1_token(self) -> None:
        """A v1 token that was had for an access token reaches no further, and ends with it."""
        token, text = self.create("anna", "team/**:pull,push")
        issued = self.now(self.signer.issue(self.login(b"anna", text), APP, EVERYTHING))
        principal = self.now(self.authenticator.redeem(issued))
        self.assertEqual(("anna", token.token_id), (principal.name, principal.token_id))
        self.assertEqual({PULL, PUSH}, principal.within(APP))
        self.assertEqual((frozenset(), frozenset()), (principal.within(OTHER), principal.within(None)))
        self.now(self.tokens.revoke(token.token_id))
        self.fails(Unauthorized, self.authenticator.redeem(issued))

    def test_v1_token_elsewhere(self) -> None:
        """Where the access token does not reach, a v1 token that was had for it is anonymous."""
        _, text = self.create("anna", "team/**:pull,push")
        issued = self.now(self.signer.issue(self.login(b"anna", text), OTHER, EVERYTHING))
        self.assertIsNone(self.now(self.authenticator.redeem(issued)).name)

    def test_v1_token_lowered(self) -> None:
        """What is said of an access token's scopes now counts for what was had for it before."""
        token, text = self.create("anna", "team/**:pull,push")
        principal = self.login(b"anna", text)
        wider = Principal("anna", ceiling=Ceiling.of(APP, EVERYTHING), token_id=token.token_id, renewable=True)
        current = self.now(self.authenticator.current(wider))
        self.assertEqual({PULL, PUSH}, current.within(APP))
        self.assertFalse(current.asks_too_little(Action.DELETE, APP))
        self.assertEqual(principal, self.now(self.authenticator.current(principal)))

    def test_expiry(self) -> None:
        """An access token and what was had for it end when it expires."""
        _, text = self.create("anna", "team/**:pull")
        principal = self.login(b"anna", text)
        issued = self.now(self.signer.issue(principal, APP, EVERYTHING))
        self.clock.advance(99)
        self.now(self.authenticator.redeem(issued))
        self.clock.advance(1)
        self.fails(Unauthorized, self.authenticator.redeem(issued))
        self.fails(Unauthorized, self.authenticator.current(principal))
        self.login_fails(b"anna", text)

    def test_directory(self) -> None:
        """Where a directory says who there is, a token ends when it forgets the person, or a robot's owner."""
        directory = Directory({"anna": frozenset({"ldap:dev"})})
        self.authenticator = AccessTokenAuthenticator(
            self.tokens, CredAuthenticator([directory], self.accounts, self.signer)
        )
        (_, hers), (_, robot) = self.create("anna", "team/**:pull"), self.create("anna+ci", "team/**:pull")
        bearers = self.login(b"anna", hers), self.login(b"anna+ci", robot)
        self.assertEqual([{"ldap:dev"}, frozenset()], [each.groups for each in bearers])
        directory.people.clear()
        for name, text, bearer in ((b"anna", hers, bearers[0]), (b"anna+ci", robot, bearers[1])):
            self.login_fails(name, text)
            self.fails(Unauthorized, self.authenticator.current(bearer))

    def test_wrong_account(self) -> None:
        """A token is of no use under another name, nor is one that names another's."""
        token, text = self.create("anna", "team/**:pull")
        self.login_fails(b"root", text)
        forged = Principal("root", token_id=token.token_id)
        self.fails(Unauthorized, self.authenticator.current(forged))

    def test_deleted(self) -> None:
        """The tokens of an account end with it, v1 tokens too, and are none of another one of the same name."""
        _, text = self.create("anna", "team/**:pull")
        _, robot = self.create("anna+ci", "team/**:pull")
        principals = [self.login(b"anna", text), self.login(b"anna+ci", robot), Principal("anna")]
        issued = [self.now(self.signer.issue(each, APP, EVERYTHING)) for each in principals]
        self.clock.advance(10)
        self.now(self.accounts.delete("anna", self.clock.seconds()))

        def all_fail() -> None:
            for token in issued:
                self.fails(Unauthorized, self.authenticator.redeem(token))
            self.login_fails(b"anna", text)
            self.login_fails(b"anna+ci", robot)

        all_fail()
        self.clock.advance(70)
        self.now(self.accounts.create("anna", "hash", "", admin=False, now=self.clock.seconds(), again=True))
        all_fail()
        issued = [self.now(self.signer.issue(Principal("anna"), APP, EVERYTHING))]
        self.assertEqual("anna", self.now(self.authenticator.redeem(issued[0])).name)
