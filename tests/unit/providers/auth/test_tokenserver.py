"""Tests of :mod:`dockreg.providers.auth.tokenserver`: what another server's tokens are worth, and what is not one."""

import base64
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from dockreg.errors import Unauthorized
from dockreg.interfaces_access import IAuthorizer, IBearers
from dockreg.model.access import EVERYTHING, Access, Action, Ceiling, Principal
from dockreg.model.names import RepositoryName
from dockreg.providers.auth.bearers import REFRESH_TYPE
from dockreg.providers.auth.tokens import TYPE as V1_TYPE
from dockreg.providers.auth.tokenserver import Deciding, ServerTokens
from dockreg.providers.auth.trustedkeys import TrustedKey, TrustedKeys, parse_keys
from dockreg.testing import contracts_auth, contracts_tokens
from dockreg.testing.contracts_tokens import ORIGIN
from tests.unit.providers.auth.bearercase import Policy
from tests.unit.providers.auth.test_trustedkeys import ED, P256, P384, RSA, jwk, jwk_set, public_pem
from tests.unit.providers.auth.tokencase import encoded

NOW = 1_400_000_000
APP, OTHER = RepositoryName("demo/app"), RepositoryName("demo/other")
REALM, SERVICE, ISSUER = "https://auth.example/token", "registry.example", "auth.example"
PULL = frozenset({Action.PULL})
PUSH = frozenset({Action.PULL, Action.PUSH, Action.OVERWRITE})


class ServerCase(contracts_auth.ContractCase):
    """A token server, and a registry that trusts it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW + 0.5)
        self.content = jwk_set(jwk(P256, kid="a"), jwk(RSA, kid="b"))
        self.asked = 0
        self.tokens = ServerTokens(TrustedKeys(self.read, self.clock, 3600, 60), self.clock, REALM, SERVICE, ISSUER)

    async def read(self) -> Sequence[TrustedKey]:
        self.asked += 1
        return parse_keys(self.content)

    def sign(
        self,
        private: Any = P256,
        algorithm: str = "ES256",
        header: Mapping[str, Any] | None = None,
        without: str = "",
        **claims: Any,
    ) -> str:
        """A token of the server, or what somebody makes of one."""
        wanted = {
            "iss": ISSUER,
            "aud": SERVICE,
            "sub": "anna",
            "access": [{"type": "repository", "name": "demo/app", "actions": ["pull", "push"]}],
            "iat": NOW,
            "nbf": NOW,
            "exp": NOW + 300,
            "jti": "1",
        }
        wanted |= claims
        wanted.pop(without, None)
        return jwt.encode(wanted, private, algorithm, {"kid": "a", **(header or {})})

    def redeem(self, token: str) -> Principal:
        return self.now(self.tokens.redeem(token, ORIGIN))

    def assert_refused(self, token: str) -> str:
        error = self.fails(Unauthorized, self.tokens.redeem(token, ORIGIN))
        assert isinstance(error, Unauthorized)
        self.assertEqual("invalid_token", error.fault)
        return error.reason


class ContractTests(ServerCase, contracts_tokens.BearersContract):
    def make_bearers(self) -> IBearers:
        return self.tokens


class DecidingTests(contracts_auth.AuthorizerContract):
    """Who decides."""

    def make_authorizer(self) -> IAuthorizer:
        return Deciding(Policy())

    def test_decided(self) -> None:
        """What the server has granted is granted, whatever the rules say; others are asked about all others."""
        policy = Policy()
        policy.allow("anna", "demo/other", PULL)
        deciding = Deciding(policy)
        bearer = Principal("anna", ceiling=Ceiling.of(APP, PUSH), decided=True)
        everything = [Access(each, EVERYTHING) for each in (APP, OTHER)]
        self.assertEqual([PUSH, frozenset()], [self.now(deciding.granted(bearer, each)) for each in everything])
        anna = Principal("anna")
        self.assertEqual([frozenset(), PULL], [self.now(deciding.granted(anna, each)) for each in everything])


class RedeemTests(ServerCase):
    """Whose a token is, and what it grants."""

    def test_granted(self) -> None:
        """The bearer has what the server has granted, and may ask it for more."""
        principal = self.redeem(self.sign())
        self.assertEqual(("anna", True, True), (principal.name, principal.decided, principal.renewable))
        self.assertEqual((PUSH, frozenset()), (principal.within(APP), principal.within(OTHER)))
        self.assertFalse(principal.admin)
        self.assertTrue(principal.asks_too_little(Action.DELETE, APP))

    def test_words(self) -> None:
        """Actions are docker's words, also for the catalog; entries of one repository add up."""
        access = [
            {"type": "repository", "name": "demo/app", "actions": ["pull"]},
            {"type": "repository", "class": "image", "name": "demo/app", "actions": ["delete", "fly"]},
            {"type": "repository(plugin)", "name": "demo/other", "actions": ["*"]},
            {"type": "registry", "name": "catalog", "actions": ["*"]},
            {"type": "user", "name": "anna", "actions": ["*"]},
            {"type": "repository", "name": "none", "actions": None},
            {"type": "repository", "name": "none2"},
        ]
        principal = self.redeem(self.sign(access=access))
        self.assertEqual(PULL | {Action.DELETE}, principal.within(APP))
        self.assertEqual((EVERYTHING, PULL), (principal.within(OTHER), principal.within(None)))
        self.assertEqual(frozenset(), principal.within(RepositoryName("none")))

    def test_nothing(self) -> None:
        """A token for a login grants nothing, with or without an empty list; one of nobody names nobody."""
        for token in (self.sign(access=[]), self.sign(access=None), self.sign(without="access")):
            self.assertEqual(frozenset(), self.redeem(token).within(APP))
        for token in (self.sign(sub=""), self.sign(without="sub")):
            self.assertEqual(None, self.redeem(token).name)

    def test_names_are_one_name(self) -> None:
        """What stands in the place of a name opens one repository, or nothing."""
        for name in (
            "demo/x:pull repository:demo/app",
            "demo/app demo/x",
            "demo/*",
            "**",
            "",
            "demo/app\n",
            "Demo/app",
        ):
            access = [{"type": "repository", "name": name, "actions": ["pull"]}]
            self.assertEqual(frozenset(), self.redeem(self.sign(access=access)).within(APP), name)
        access = [{"type": "repository:demo/app:pull x", "name": "y", "actions": ["pull"]}]
        self.assertEqual(frozenset(), self.redeem(self.sign(access=access)).within(APP))

    def test_algorithms_of_keys(self) -> None:
        """Every usual algorithm is accepted, from a key that is good for it."""
        self.content = public_pem(P256) + public_pem(P384) + public_pem(RSA) + public_pem(ED)
        for private, algorithm in (
            (P256, "ES256"), (P384, "ES384"), (ED, "EdDSA"), (RSA, "RS256"), (RSA, "RS512"), (RSA, "PS256"),
        ):  # fmt: skip
            self.assertEqual("anna", self.redeem(self.sign(private, algorithm)).name)

    def test_names_of_keys(self) -> None:
        """A key in PEM has no name, so that tokens may name it; one of a set is meant by its own."""
        self.assertEqual("anna", self.redeem(self.sign(RSA, "RS256", {"kid": "b"})).name)
        self.assert_refused(self.sign(RSA, "RS256", {"kid": "a"}))
        self.assert_refused(self.sign(header={"kid": "c"}))
        self.content = public_pem(P256)
        self.clock.advance(3600)
        now = int(self.clock.seconds())
        times: Any = {"iat": now, "nbf": now, "exp": now + 300}
        self.assertEqual("anna", self.redeem(self.sign(header={"kid": "ABCD:EFGH"}, **times)).name)

    def test_new_key(self) -> None:
        """A token that is signed with a key that came later is good once the keys were read again."""
        self.redeem(self.sign())
        self.content = jwk_set(jwk(P384, kid="c"), jwk(P256, kid="a"))
        newer = self.sign(P384, "ES384", {"kid": "c"})
        self.assert_refused(newer)
        self.clock.advance(60)
        self.assertEqual("anna", self.redeem(newer).name)
        self.assertEqual(2, self.asked)

    def test_types(self) -> None:
        """Tokens for registries are accepted under each name that they have, and no other tokens."""
        for kind in ("JWT", "jwt", "at+jwt", "application/at+jwt", "dockreg-v2+jwt"):
            self.assertEqual("anna", self.redeem(self.sign(header={"typ": kind})).name)
        other: Any
        for other in (REFRESH_TYPE, V1_TYPE, "secevent+jwt", "", 1, None, []):
            header = json.loads(base64.urlsafe_b64decode(self.sign().partition(".")[0] + "=="))
            signing = f"{encoded({**header, 'typ': other})}.{self.sign().split('.')[1]}"
            signature = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(signing.encode(), P256)
            self.assert_refused(f"{signing}.{encoded(signature)}")

    def test_audiences(self) -> None:
        """A token for several registries is one for this, too."""
        self.assertEqual("anna", self.redeem(self.sign(aud=["other", SERVICE])).name)


class TimeTests(ServerCase):
    """How long a token counts."""

    def test_end(self) -> None:
        """It ends at its time."""
        token = self.sign()
        self.clock.advance(299)
        self.redeem(token)
        self.clock.advance(1)
        self.assertIn("expired", self.assert_refused(token))

    def test_longest(self) -> None:
        """It ends ten minutes after it was made, whatever end it names."""
        tokens = [self.sign(exp=NOW + 86400), self.sign(exp=NOW + 86400, without="iat"), self.sign(exp=1e12)]
        self.clock.advance(599)
        for token in tokens:
            self.redeem(token)
        self.clock.advance(1)
        for token in tokens:
            self.assertIn("expired", self.assert_refused(token))

    def test_no_beginning(self) -> None:
        """Of a token that does not say when it was made it can not be known how long it counts."""
        claims = {"iss": ISSUER, "aud": SERVICE, "exp": NOW + 300, "access": []}
        self.assert_refused(jwt.encode(claims, P256, "ES256", {"kid": "a"}))

    def test_beginning(self) -> None:
        """The clock of the server may be a little ahead, and no more."""
        self.redeem(self.sign(iat=NOW + 60, nbf=NOW + 60))
        claims: Any
        for claims in ({"iat": NOW + 62}, {"nbf": NOW + 62}):
            self.assertIn("not valid yet", self.assert_refused(self.sign(**claims)))

    def test_fractions(self) -> None:
        """Times may have fractions."""
        self.redeem(self.sign(iat=NOW + 0.25, nbf=NOW + 0.25, exp=NOW + 0.75))

    def test_no_times(self) -> None:
        """What is no time is refused."""
        value: Any
        for name in ("iat", "nbf", "exp"):
            for value in ("1400000000", True, [], {}, float("inf"), float("nan"), -1e400):
                self.assert_refused(self.sign(without="", **{name: value}))
        self.assert_refused(self.sign(exp=None))
        self.assert_refused(self.sign(without="exp"))


class AttackTests(ServerCase):
    """Every change to a token makes it worthless."""

    def test_algorithms(self) -> None:
        """No algorithm but those of the key is accepted: not none, not a secret that everybody knows."""
        _, claims, good = self.sign().split(".")
        forms = [
            public_pem(P256),
            P256.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            P256.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
            json.dumps(jwk(P256, kid="a")).encode(),
            self.content,
            b"",
        ]
        for algorithm in ("none", "None", "", "HS256", "HS512", "es256", "ES384", "RS256", "EdDSA", None, 1, ["ES256"]):
            signing = f"{encoded({'alg': algorithm, 'kid': 'a', 'typ': 'JWT'})}.{claims}"
            signatures = [encoded(hmac.digest(secret, signing.encode(), "sha256")) for secret in forms]
            for signature in ("", "x", good, *signatures):
                self.assert_refused(f"{signing}.{signature}")

    def test_keys_of_attackers(self) -> None:
        """A key that comes along, or a place to fetch one from, is not looked at."""
        own = ec.generate_private_key(ec.SECP256R1())
        extra: dict[str, Any]
        for extra in (
            {"jwk": jwk(own)},
            {"jwk": jwk(own, kid="a")},
            {"jku": "https://attacker.example/keys"},
            {"x5u": "https://attacker.example/chain"},
            {"x5c": ["MIIB"]},
        ):
            for kid in ("a", "attacker"):
                self.assert_refused(self.sign(own, header={**extra, "kid": kid}))
            # The server may tell its own key there.
            self.assertEqual("anna", self.redeem(self.sign(header=extra)).name)
        self.assertEqual(1, self.asked)

    def test_not_understood(self) -> None:
        """A token that asks for what is not understood here is refused."""
        extra: dict[str, Any]
        for extra in ({"crit": ["exp"]}, {"crit": []}, {"zip": "DEF"}):
            self.assert_refused(self.sign(header=extra))
        signing = f"{encoded({'alg': 'ES256', 'kid': 'a', 'b64': False, 'crit': ['b64']})}.{self.sign().split('.')[1]}"
        signature = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(signing.encode(), P256)
        self.assert_refused(f"{signing}.{encoded(signature)}")

    def test_names_of_keys(self) -> None:
        """What is no name of a key finds none."""
        _, claims, good = self.sign().split(".")
        kid: Any
        for kid in ("", "../../dev/null", "a\x00", "A", 0, [], {}, True):
            self.assert_refused(f"{encoded({'alg': 'ES256', 'kid': kid})}.{claims}.{good}")

    def test_other_servers_and_registries(self) -> None:
        """A token by another server, or for another registry, is refused."""
        claims: dict[str, Any]
        for claims in (
            {"iss": "other"}, {"iss": ""}, {"iss": f"{ISSUER}."}, {"aud": "other"}, {"aud": []}, {"aud": [""]},
            {"aud": f"{SERVICE}:5000"}, {"aud": SERVICE.upper()}, {"aud": ""},
        ):  # fmt: skip
            self.assert_refused(self.sign(**claims))
        for claim in ("iss", "aud"):
            self.assert_refused(self.sign(without=claim))

    def test_wrong_claims(self) -> None:
        """Claims that are not what they should be are refused."""
        claims: dict[str, Any]
        entry = {"type": "repository", "name": "demo/app", "actions": ["pull"]}
        for claims in (
            {"access": "x"}, {"access": {}}, {"access": entry}, {"access": [1]}, {"access": ["x"]}, {"access": [entry] * 129},
            {"access": [{**entry, "name": 1}]}, {"access": [{**entry, "type": None}]}, {"access": [{**entry, "actions": "pull"}]},
            {"sub": "a\nb"}, {"sub": "x" * 129},
        ):  # fmt: skip
            self.assert_refused(self.sign(**claims))

    def test_truncated(self) -> None:
        """No beginning and no end of a token is one."""
        token = self.sign()
        for length in range(len(token)):
            self.assert_refused(token[:length])
            self.assert_refused(token[length + 1 :])

    def test_changed_letters(self) -> None:
        """No letter of what was signed can be changed."""
        token = self.sign()
        for position in range(token.rindex(".")):
            letter = "A" if token[position] != "A" else "B"
            self.assert_refused(f"{token[:position]}{letter}{token[position + 1 :]}")

    def test_huge(self) -> None:
        """What is larger than a token can be is refused before it is decoded; what is nested deeply, after."""
        deep = encoded(b"[" * 3_000)
        for text in (self.sign(jti="x" * 20_000), f"{deep}.{deep}.{deep}", "a." * 9_000 + "a"):
            self.assert_refused(text)
        header = encoded({"alg": "ES256", "kid": "a"})
        signature = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(
            f"{header}.{deep}".encode(), P256
        )
        self.assert_refused(f"{header}.{deep}.{encoded(signature)}")

    @given(st.text(max_size=200))
    def test_any_text(self, text: str) -> None:
        """Any text is refused with one kind of error."""
        self.assert_refused(text)

    @given(st.binary(max_size=60), st.binary(max_size=60))
    def test_any_parts(self, header: bytes, claims: bytes) -> None:
        """Any bytes in the place of header and claims are refused with one kind of error."""
        self.assert_refused(f"{encoded(header)}.{encoded(claims)}.{encoded(b'x')}")


class ChallengeTests(ServerCase):
    """Where clients are sent."""

    def test_value(self) -> None:
        """To the server, under the name that the registry has there, wherever the client found the registry."""
        for origin in (ORIGIN, "http://127.0.0.1:5000", ""):
            self.assertEqual(
                f'Bearer realm="{REALM}",service="{SERVICE}",scope="repository:demo/app:pull",error="invalid_token"',
                self.tokens.challenge(origin, [Access(APP, PULL)], "invalid_token"),
            )
