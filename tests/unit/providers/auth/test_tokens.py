"""Tests of :mod:`dockreg.providers.auth.tokens`."""

from typing import Any

import jwt
from attrs import evolve

from dockreg.errors import Unauthorized
from dockreg.interfaces_access import ITokenIssuer
from dockreg.model.access import ANONYMOUS, Action, Ceiling, Principal
from dockreg.model.accounts import SigningKey
from dockreg.model.names import RepositoryName
from dockreg.providers.auth.keys import V1_TOKENS
from dockreg.testing import contracts_auth
from tests.unit.providers.auth.tokencase import APP, NOW, PULL, PUSH, TokenCase, signature_of


class IssuerTests(TokenCase, contracts_auth.TokenIssuerContract):
    def make_token_issuer(self) -> ITokenIssuer:
        return self.signer

    def test_text(self) -> None:
        """The text names the repository as v1 prints it, and the widest access."""
        for repository, actions, ending in (
            (APP, PUSH, ',repository="demo/app",access=write'),
            (RepositoryName("app"), PULL, ',repository="library/app",access=read'),
            (APP, frozenset({Action.DELETE}), ',repository="demo/app",access=delete'),
        ):
            token = self.issue(repository=repository, actions=actions)
            self.assertEqual(ending, token[token.index(",") :])
            self.assertTrue(token.startswith("signature=ey"), token)

    def test_claims(self) -> None:
        """The JWT says by whom, for what, for whom, which key signed it, and until when, in whole seconds."""
        signature = signature_of(self.issue())
        self.assertEqual(
            {"alg": "HS256", "kid": self.key.key_id, "typ": "dockreg-v1+jwt"}, jwt.get_unverified_header(signature)
        )
        claims = jwt.decode(signature, options={"verify_signature": False})
        self.assertNotEqual("", claims.pop("jti"))
        self.assertEqual(
            {
                "iss": "dockreg",
                "aud": "dockreg-v1",
                "sub": "anna",
                "repo": "demo/app",
                "actions": ["overwrite", "pull", "push"],
                "iat": NOW,
                "exp": NOW + 100,
            },
            claims,
        )

    def test_anonymous(self) -> None:
        """A token for nobody names nobody."""
        self.assertNotIn("sub", jwt.decode(signature_of(self.issue(None)), options={"verify_signature": False}))

    def test_key(self) -> None:
        """The key is made once, of 32 random bytes."""
        self.issue()
        self.issue()
        self.assertEqual(1, len(self.now(self.keys.get(V1_TOKENS.name, lambda: SigningKey("x", b"", 0)))))
        self.assertEqual(32, len(self.key.secret))

    def test_no_wider_than_the_token_before(self) -> None:
        """Who came with a token is given no wider one, and one for nobody elsewhere."""
        bearer = Principal("anna", ceiling=Ceiling.of(APP, PULL))
        same = self.redeem(self.now(self.signer.issue(bearer, APP, PUSH)))
        self.assertEqual(Principal("anna", ceiling=Ceiling.of(APP, PULL)), same)
        other = self.redeem(self.now(self.signer.issue(bearer, RepositoryName("demo/other"), PUSH)))
        self.assertEqual(Principal(None, ceiling=Ceiling.of(RepositoryName("demo/other"), PUSH)), other)

    def test_for_an_access_token(self) -> None:
        """A token that was had for an access token says which, and reaches no further."""
        bearer = Principal("anna", ceiling=Ceiling.of(APP, PULL), token_id="t1")
        found = self.redeem(self.now(self.signer.issue(bearer, APP, PUSH)))
        self.assertEqual(bearer, found)

    def test_for_tokens_of_v2(self) -> None:
        """Who came with a token of v2 gets one of nobody: that of v2 ends in minutes."""
        for bearer in (
            Principal("anna", ceiling=Ceiling.of(APP, PUSH), renewable=True),
            Principal("anna", ceiling=Ceiling.of(APP, PUSH), decided=True),
        ):
            found = self.redeem(self.now(self.signer.issue(bearer, APP, PUSH)))
            self.assertEqual(Principal(None, ceiling=Ceiling.of(APP, PUSH)), found)


class RedeemTests(TokenCase):
    def test_there_and_back(self) -> None:
        """A token says who, where and what it was issued for; nobody is an administrator by token."""
        for name in (None, "anna", "jürgen"):
            for repository in (APP, RepositoryName("app"), RepositoryName("a/b/c")):
                for actions in (PULL, PUSH, PULL | {Action.DELETE}, frozenset(Action)):
                    principal = self.now(
                        self.signer.redeem(
                            self.now(self.signer.issue(Principal(name, admin=True), repository, actions))
                        )
                    )
                    self.assertEqual(Principal(name, ceiling=Ceiling.of(repository, actions)), principal)

    def test_every_action_brings_pull(self) -> None:
        """Each action implies pulling and nothing more; no action implies nothing."""
        for action in Action:
            ceiling = self.redeem(self.issue(actions=frozenset({action}))).ceiling
            self.assertEqual(Ceiling.of(APP, frozenset({action, Action.PULL})), ceiling)
        self.assertEqual(Ceiling.of(APP, frozenset()), self.redeem(self.issue(actions=frozenset())).ceiling)

    def test_spellings(self) -> None:
        """A token is accepted in each form in which engines repeat it."""
        token = self.issue()
        principal = self.redeem(token)
        signature = signature_of(token)
        older = self.issue(actions=PULL)
        for text in (
            f"Token {token}",
            f"Token Token {token}",
            token.replace('"', ""),
            token.replace("=", ":"),
            f'signature="{signature}"',
            f"signature={signature}",
            signature,
            f"Token {signature}",
            f"{older},{token}",
            f"{older}, {token}",
            f"Token {older}, Token {token}",
            f"{signature_of(older)},{signature}",
        ):
            self.assertEqual(principal, self.redeem(text), text)

    def test_library(self) -> None:
        """A repository without namespace is the one in library."""
        signature = signature_of(self.issue(repository=RepositoryName("app")))
        for name in ("app", "library/app"):
            self.assertEqual(
                RepositoryName("app"),
                getattr(self.redeem(f"signature={signature},repository={name}").ceiling, "repository", None),
            )

    def test_restart(self) -> None:
        """A token is good after a restart, and in another process: the keys are in the store."""
        token = self.issue()
        self.signer = self.make_signer()
        self.assertEqual("anna", self.redeem(token).name)

    def test_lifetime(self) -> None:
        """A token is good to the last second of its life, and not in the one after."""
        token = self.issue()
        self.clock.advance(99.2)
        self.assertEqual("anna", self.redeem(token).name)
        self.clock.advance(0.05)
        error = self.fails(Unauthorized, self.signer.redeem(token))
        self.assertIn("expired", str(error))

    def test_again(self) -> None:
        """A signature is verified once a minute; one that is another in any place is verified, and refused."""
        token, decoded = self.issue(), jwt.decode
        calls: list[str] = []

        def decode(text: str, *args: Any, **kwargs: Any) -> Any:
            calls.append(text)
            return decoded(text, *args, **kwargs)

        self.patch(jwt, "decode", decode)
        for _ in range(3):
            self.assertEqual("anna", self.redeem(token).name)
        self.assertEqual([signature_of(token)], calls)
        signature = signature_of(token)
        changed = signature[:-2] + ("A" if signature[-2] != "A" else "B") + signature[-1]
        self.assert_refused(changed)
        self.assertEqual(2, len(calls))
        self.clock.advance(60)
        self.assertEqual("anna", self.redeem(token).name)
        self.assertEqual(3, len(calls))

    def test_rotation(self) -> None:
        """The newest key signs, every key that is kept verifies, and one that was dropped does not."""
        token, old = self.issue(), self.key
        self.now(self.keys.add(V1_TOKENS.name, SigningKey("new", b"n" * 32, NOW)))
        self.assertEqual("anna", self.redeem(token).name)
        newer = self.issue()
        self.assertEqual("new", jwt.get_unverified_header(signature_of(newer))["kid"])
        self.now(self.keys.remove(V1_TOKENS.name, old.key_id))
        self.assert_refused(token)
        self.assertEqual("anna", self.redeem(newer).name)


class AnonymousTokenTests(TokenCase):
    def test_anonymous(self) -> None:
        """A token of nobody is anonymous with a ceiling."""
        self.assertEqual(evolve(ANONYMOUS, ceiling=Ceiling.of(APP, PULL)), self.redeem(self.issue(None, actions=PULL)))
