"""Tests of :mod:`dockreg.providers.auth.bearers`."""

from attrs import define, evolve

from dockreg.errors import Unauthorized
from dockreg.interfaces_access import IAuthenticator, IBearers, ITokenService
from dockreg.model.access import ANONYMOUS, Access, Action, Ceiling, Principal, Reach, Scope
from dockreg.model.accounts import NO_HASH
from dockreg.model.names import RepositoryName
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.scopes import MAX_SCOPES, parse_scopes
from dockreg.providers.auth.keys import BEARERS, RS256
from dockreg.testing import contracts_tokens
from dockreg.testing.contracts_tokens import ORIGIN, SERVICE
from tests.unit.providers.auth.bearercase import ANNA, APP, NOW, OTHER, PULL, PUSH, BearerCase, header_of

#: How far an access token reaches, and who came with it.
_DEMO = Reach((Scope(RepositoryPattern.parse("demo/*"), PULL),), PULL)
_LIMITED = Ceiling((_DEMO,))
_WITH_TOKEN = Principal("anna", ceiling=_LIMITED, token_id="t1")


@define(eq=False)
class AccessTokens:
    """Knows accounts as the others do, and one access token, which can be revoked."""

    others: IAuthenticator
    reach: Reach | None = _DEMO

    async def current(self, principal: Principal, issued_at: float | None = None) -> Principal:
        found = await self.others.current(principal, issued_at)
        if principal.token_id is None:
            return found
        if self.reach is None:
            raise Unauthorized("the access token was revoked")
        ceiling = Ceiling((self.reach,))
        return evolve(found, ceiling=ceiling if found.ceiling is None else found.ceiling.below(ceiling))


class ContractTests(BearerCase, contracts_tokens.BearersContract, contracts_tokens.TokenServiceContract):
    def make_bearers(self) -> IBearers:
        return self.service

    def make_token_service(self) -> ITokenService:
        return self.service


class IssueTests(BearerCase):
    """What a token says."""

    def test_claims(self) -> None:
        """By whom, for whom, who it is, what was asked for, what is granted now, and until when."""
        bearer = self.issue("repository:demo/app:pull,push,delete repository:demo/other:pull registry:catalog:*")
        self.assertEqual((NOW, NOW + 300), (bearer.issued_at, bearer.ends))
        header = header_of(bearer.token)
        self.assertEqual({"alg": "ES256", "typ": "dockreg-v2+jwt"}, {k: v for k, v in header.items() if k != "kid"})
        claims = self.claims(bearer.token)
        self.assertNotEqual("", claims.pop("jti"))
        self.assertEqual(
            {
                "iss": "dockreg",
                "aud": "r.example",
                "sub": "anna",
                "access": [
                    {"type": "repository", "name": "demo/app", "actions": ["pull", "push"]},
                    {"type": "repository", "name": "demo/other", "actions": []},
                    {"type": "registry", "name": "catalog", "actions": []},
                ],
                "asked": "repository:demo/app:pull,push,delete repository:demo/other:pull registry:catalog:*",
                "iat": NOW,
                "nbf": NOW,
                "exp": NOW + 300,
            },
            claims,
        )
        self.assertEqual([Access(APP, PUSH), Access(OTHER, frozenset()), Access(None, frozenset())], bearer.granted)

    def test_nobody(self) -> None:
        """A token for nobody names nobody."""
        self.policy.allow(None, "demo/app", PULL)
        bearer = self.issue(principal=ANONYMOUS)
        self.assertNotIn("sub", self.claims(bearer.token))
        self.assertEqual([Access(APP, PULL)], bearer.granted)

    def test_tells_nothing(self) -> None:
        """What is granted tells nothing of a repository that the repository itself does not tell."""
        absent = "repository:demo/absent:pull,push,delete"
        closed = "repository:demo/closed:pull,push,delete"
        self.policy.present.add("demo/closed")
        # Nobody could create it: it looks like one that is there, and closed.
        self.policy.allow("anna", "demo/absent", PULL)
        self.policy.allow("anna", "demo/closed", frozenset())
        for scope in (absent, closed):
            self.assertEqual(frozenset(), self.issue(scope).granted[0].actions, scope)
        # Who may create it is told so.
        self.policy.allow("anna", "demo/absent", PUSH)
        self.assertEqual(PUSH, self.issue(absent).granted[0].actions)
        # And who may read one that is there.
        self.policy.allow("anna", "demo/closed", PULL)
        self.assertEqual(PULL, self.issue(closed).granted[0].actions)

    def test_only_what_was_asked(self) -> None:
        """What was not asked for is not granted, though it would be."""
        self.assertEqual([Access(APP, PULL)], self.issue("repository:demo/app:pull").granted)
        self.assertEqual([], self.issue("").granted)

    def test_times(self) -> None:
        """How long a token is good is a setting."""
        self.service = self.make_service(bearer=60)
        self.assertEqual(NOW + 60, self.issue().ends)

    def test_largest(self) -> None:
        """As much as can be asked for fits into a token, whatever the name and the algorithm."""
        self.now(self.store.add(BEARERS.name, BEARERS.make(RS256, self.new_id, self.random, NOW)))
        name = "\N{PILE OF POO}" * 128
        scopes = [f"repository:{'x' * 68}{number}:pull,push" for number in range(MAX_SCOPES + 1)]
        for number in range(MAX_SCOPES):
            repository = f"{'x' * 68}{number}"
            self.policy.allow(name, repository, PUSH)
        wanted = parse_scopes(scopes)
        self.assertEqual(MAX_SCOPES, len(wanted))
        bearer = self.now(self.service.issue(Principal(name, token_id="t" * 40), wanted, "s" * 255))
        self.assertEqual([PUSH] * MAX_SCOPES, [each.actions for each in bearer.granted])
        self.assertLess(len(bearer.token), 14 * 1024)

    def test_for_no_other_tokens(self) -> None:
        """Who came with a token that can not be looked up again is given none."""
        self.fails(Unauthorized, self.service.issue(Principal("anna", ceiling=_LIMITED), [], SERVICE))


class RedeemTests(BearerCase):
    """Whose a token is."""

    def test_there_and_back(self) -> None:
        """Its bearer may ask for what was asked for, granted or not, and another token helps where it was not."""
        principal = self.redeem(self.issue("repository:demo/app:pull,delete registry:catalog:*").token)
        self.assertEqual(("anna", True, False), (principal.name, principal.renewable, principal.decided))
        self.assertEqual(PULL | {Action.DELETE}, principal.within(APP))
        self.assertEqual(PULL, principal.within(None))
        self.assertEqual(frozenset(), principal.within(OTHER))
        self.assertFalse(principal.asks_too_little(Action.DELETE, APP))
        self.assertTrue(principal.asks_too_little(Action.PUSH, APP))
        self.assertTrue(principal.asks_too_little(Action.PULL, OTHER))

    def test_nobody(self) -> None:
        """The bearer of a token for nobody is nobody, and may renew it."""
        principal = self.redeem(self.issue(principal=ANONYMOUS).token)
        self.assertEqual((None, True), (principal.name, principal.renewable))
        self.assertEqual(PUSH, principal.within(APP))

    def test_current(self) -> None:
        """What is true of the bearer is looked up: an administrator is one for as long as he is, an account disabled."""
        token = self.issue(principal=Principal("root", admin=True)).token
        self.assertTrue(self.redeem(token).admin)
        self.now(self.accounts.change("root", admin=False))
        self.assertFalse(self.redeem(token).admin)
        self.now(self.accounts.change("root", active=False))
        self.assert_refused(token)

    def test_for_an_access_token(self) -> None:
        """A token that was had for an access token says which, and reaches no further than that does when it is used."""
        known = AccessTokens(self.authenticator)
        self.service = self.make_service(authenticator=known)
        bearer = self.issue("repository:demo/app:pull,push repository:else/app:pull", _WITH_TOKEN)
        self.assertEqual([Access(APP, PULL), Access(RepositoryName("else/app"), frozenset())], bearer.granted)
        found = self.redeem(bearer.token)
        self.assertEqual("t1", found.token_id)
        self.assertEqual(PULL, found.within(APP))
        self.assertEqual(frozenset(), found.within(RepositoryName("else/app")))
        # Asking for more would not help.
        self.assertFalse(found.asks_too_little(Action.PUSH, APP))
        known.reach = Reach(())
        self.assertEqual(frozenset(), self.redeem(bearer.token).within(APP))

    def test_renewed_account(self) -> None:
        """The token of an account that was deleted is not one of an account that has its name later."""
        token = self.issue().token
        self.clock.advance(100)
        self.now(self.accounts.delete("anna", self.clock.seconds()))
        self.now(self.accounts.create("anna", "x", "", admin=False, now=self.clock.seconds(), again=True))
        self.assert_refused(token)

    def test_lists(self) -> None:
        """A token for the catalog shows what its bearer may pull, as far as the access token behind it reaches."""
        principal = self.redeem(self.issue("registry:catalog:*").token).for_lists
        self.assertEqual((PULL, PULL), (principal.within(OTHER), principal.within(None)))
        self.service = self.make_service(authenticator=AccessTokens(self.authenticator))
        limited = self.redeem(self.issue("registry:catalog:*", _WITH_TOKEN).token).for_lists
        self.assertEqual((PULL, PULL), (limited.within(OTHER), limited.within(None)))
        self.assertEqual(frozenset(), limited.within(RepositoryName("else/app")))

    def test_lifetime(self) -> None:
        """A token is good to the last second of its life, and not in the one after."""
        token = self.issue().token
        self.clock.advance(299.2)
        self.assertEqual("anna", self.redeem(token).name)
        self.clock.advance(0.05)
        self.assertIn("expired", self.assert_refused(token))

    def test_service(self) -> None:
        """A token is for the host that it was asked at, in any spelling of it, and for no other."""
        token = self.issue().token
        for origin in ("https://r.example", "https://R.example", "https://r.example:443", "http://r.example:80"):
            self.assertEqual("anna", self.redeem(token, origin).name)
        for origin in ("https://r.example:5000", "https://other.example", "https://r.example.other", "https://", ""):
            self.assert_refused(token, origin)

    def test_rotation(self) -> None:
        """A token outlives the key's being replaced, by one of another algorithm too, and not its being removed."""
        token = self.issue().token
        self.now(self.store.add(BEARERS.name, BEARERS.make(RS256, self.new_id, self.random, NOW)))
        newer = self.issue().token
        self.assertEqual("RS256", header_of(newer)["alg"])
        self.assertEqual(["anna"] * 2, [self.redeem(each).name for each in (token, newer)])
        published = [key["alg"] for key in self.now(self.service.public_keys())]
        self.assertEqual(["RS256", "ES256"], published)
        self.now(self.store.remove(BEARERS.name, header_of(token)["kid"]))
        self.assert_refused(token)
        self.assertEqual("anna", self.redeem(newer).name)

    def test_restart(self) -> None:
        """A token is good after a restart, and in another process: the keys are in the store."""
        token, refresh_token = self.issue().token, self.refresh_token()
        self.service = self.make_service()
        self.assertEqual("anna", self.redeem(token).name)
        self.assertEqual(ANNA, self.now(self.service.refresh(refresh_token, SERVICE)).principal)


class RefreshTests(BearerCase):
    """What stands for the credentials."""

    def renew(self, token: str) -> Principal:
        return self.now(self.service.refresh(token, SERVICE)).principal

    def test_there_and_back(self) -> None:
        """It is who it was made for, without a ceiling, until its end."""
        renewal = self.now(self.service.refresh(self.refresh_token(), SERVICE))
        self.assertEqual((ANNA, NOW + 5000), (renewal.principal, renewal.ends))

    def test_ends(self) -> None:
        """It ends at its time; one that was had for it ends no later."""
        token = self.refresh_token()
        self.clock.advance(4000)
        renewal = self.now(self.service.refresh(token, SERVICE))
        second = self.refresh_token(renewal.principal, renewal.ends)
        self.clock.advance(999)
        self.assertEqual([ANNA] * 2, [self.renew(each) for each in (token, second)])
        self.clock.advance(1)
        for each in (token, second):
            self.assertIn("expired", self.assert_no_refresh(each))

    def test_password(self) -> None:
        """It ends with the password that it was had for."""
        token = self.refresh_token()
        self.now(self.accounts.change("anna", password_hash="another hash"))
        self.assertIn("password", self.assert_no_refresh(token))
        self.assertEqual(ANNA, self.renew(self.refresh_token()))

    def test_disabled(self) -> None:
        """It is refused while the account is disabled."""
        token = self.refresh_token()
        self.now(self.accounts.change("anna", active=False))
        self.assert_no_refresh(token)

    def test_access_token(self) -> None:
        """One that was had for an access token does not depend on the password, and ends with the access token."""
        known = AccessTokens(self.authenticator)
        self.service = self.make_service(authenticator=known)
        token = self.refresh_token(_WITH_TOKEN)
        self.now(self.accounts.change("anna", password_hash="another hash"))
        self.assertEqual(_WITH_TOKEN, self.renew(token))
        bearer = self.issue(principal=_WITH_TOKEN).token
        known.reach = None
        self.assertIn("revoked", self.assert_no_refresh(token))
        self.assertIn("revoked", self.assert_refused(bearer))

    def test_for_whom(self) -> None:
        """There is none for anonymous, and none for people from elsewhere, whose password may change unseen."""
        self.now(self.accounts.create("nohash", NO_HASH, "", admin=False, now=1.0))
        for principal in (ANONYMOUS, Principal("ldap-user"), Principal("nohash")):
            self.assertIsNone(self.now(self.service.issue_refresh(principal, SERVICE)))

    def test_administrator(self) -> None:
        """That somebody administers is looked up when it is used."""
        token = self.refresh_token(Principal("root", admin=True))
        self.now(self.accounts.change("root", admin=False))
        self.assertEqual(evolve(ANNA, name="root"), self.renew(token))


class ChallengeTests(BearerCase):
    """Where clients are sent."""

    def test_value(self) -> None:
        """The realm is on the same host, the service is that host, and the scope what was wanted."""
        wanted = parse_scopes(["repository:demo/app:pull,push repository:demo/other:pull"])
        self.assertEqual(
            'Bearer realm="https://r.example/v2/token",service="r.example",'
            'scope="repository:demo/app:pull,push repository:demo/other:pull",error="insufficient_scope"',
            self.service.challenge(ORIGIN, wanted, "insufficient_scope"),
        )
        self.assertEqual(
            'Bearer realm="http://127.0.0.1:5000/v2/token",service="127.0.0.1:5000"',
            self.service.challenge("http://127.0.0.1:5000", [], ""),
        )

    def test_quoted(self) -> None:
        """Nothing in the origin ends the quotation or the line."""
        value = self.service.challenge('https://r.example/"x\\y\r\nSet-Cookie: aé', [], "")
        self.assertEqual('Bearer realm="https://r.example/\\"x\\\\ySet-Cookie: a/v2/token",service="r.example"', value)

    def test_catalog(self) -> None:
        """A list of the registry is asked for as the catalog."""
        self.assertIn('scope="registry:catalog:*"', self.service.challenge(ORIGIN, [Access(None, PULL)], ""))
