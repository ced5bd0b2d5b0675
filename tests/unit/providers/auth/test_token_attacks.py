"""Tests of :mod:`dockreg.providers.auth.tokens`: every change to a token makes it worthless."""

import hashlib
import hmac
from typing import Any

import jwt
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from dockreg.model.access import Ceiling, Principal
from dockreg.model.accounts import SigningKey
from dockreg.model.names import RepositoryName
from dockreg.providers.auth.tokens import TYPE
from tests.unit.providers.auth.tokencase import APP, NOW, PULL, TokenCase, encoded, signature_of


class AttackTests(TokenCase):
    """Every change to a token makes it worthless."""

    def setUp(self) -> None:
        super().setUp()
        self.issue()

    def test_forge_is_exact(self) -> None:
        """What these tests sign is accepted as it is, so that each refusal below has one reason."""
        self.assertEqual(Principal("anna", ceiling=Ceiling.of(APP, PULL)), self.redeem(self.forge()))

    def test_algorithms(self) -> None:
        """No algorithm but HS256 is accepted, not even one that the key could be used with."""
        claims = encoded(jwt.decode(self.forge(), options={"verify_signature": False}))
        for algorithm in ("none", "None", "NONE", "", "hs256", "HS384", "HS512", "RS256", "ES256", None, 1, ["HS256"]):
            header = encoded({"alg": algorithm, "kid": self.key.key_id, "typ": TYPE})
            signing = f"{header}.{claims}"
            for digest in ("sha256", "sha384", "sha512"):
                self.assert_refused(f"{signing}.{encoded(hmac.digest(self.key.secret, signing.encode(), digest))}")
            self.assert_refused(f"{signing}.")
            self.assert_refused(f"{signing}.{encoded(b'x')}")

    def test_other_key(self) -> None:
        """The right key id with another key is refused, also with one that is known to the world."""
        stolen = evolve(self.key, secret=b"y" * 32)
        header, claims, _ = self.forge().split(".")
        for secret in (stolen.secret, b"", self.key.key_id.encode(), b"\x00" * 32):
            signature = encoded(hmac.digest(secret, f"{header}.{claims}".encode(), "sha256"))
            self.assert_refused(f"{header}.{claims}.{signature}")

    def test_key_ids(self) -> None:
        """A key id that is not in the store is refused, whatever it may be."""
        kid: Any
        for kid in (
            None,
            "",
            "other",
            "../../dev/null",
            "' or '1'='1",
            0,
            True,
            [],
            {},
            self.key.key_id + "\x00",
            "id-1 ",
        ):
            self.assert_refused(self.forge({"kid": kid}))

    def test_extra_headers(self) -> None:
        """A header that brings a key, points to one, or asks for more than we know is refused."""
        jwk = {"kty": "oct", "k": encoded(self.key.secret)}
        for extra in (
            {"jwk": jwk},
            {"jku": "http://127.0.0.1/"},
            {"x5u": "x"},
            {"crit": ["exp"]},
            {"b64": False},
            {"cty": "JWT"},
        ):
            self.assert_refused(self.forge(extra))

    def test_types(self) -> None:
        """A JWT that was made for something else is no v1 token."""
        for kind in (None, "JWT", "at+jwt", "dockreg-v2+jwt", TYPE.upper(), f"application/{TYPE}", 1):
            self.assert_refused(self.forge({"typ": kind}))

    def test_issuer_and_audience(self) -> None:
        """A token by or for somebody else is refused."""
        claims: dict[str, Any]
        for claims in ({"iss": "other"}, {"aud": "other"}, {"aud": []}, {"iss": None}, {"iss": ["dockreg"]}):
            self.assert_refused(self.forge(**claims))

    def test_times(self) -> None:
        """Expired, not yet valid, and times that are no whole numbers are refused."""
        claims: dict[str, Any]
        for claims in (
            {"exp": NOW},
            {"exp": NOW - 1},
            {"exp": 0},
            {"exp": NOW + 100.5},
            {"exp": str(NOW + 100)},
            {"exp": None},
            {"exp": True},
            {"exp": float("inf")},
            {"iat": NOW + 301},
            {"iat": "yesterday"},
            {"nbf": NOW + 1},
            {"nbf": "tomorrow"},
        ):
            self.assert_refused(self.forge(**claims))
        self.assertEqual("anna", self.redeem(self.forge(iat=NOW + 300, nbf=NOW)).name)

    def test_missing_claims(self) -> None:
        """A token that leaves something out is refused, except for the name of nobody."""
        for claim in ("iss", "aud", "repo", "actions", "iat", "exp", "jti"):
            self.assert_refused(self.forge(without=claim))
        self.assertEqual(None, self.redeem(self.forge(without="sub")).name)

    def test_wrong_claims(self) -> None:
        """Claims of another kind than ours are refused."""
        claims: dict[str, Any]
        for claims in ({"repo": 1}, {"repo": None}, {"actions": "pull"}, {"actions": 1}, {"actions": ["fly"]}, {"actions": [[]]}, {"sub": 1}, {"sub": ["anna"]}, {"tid": 1}):  # fmt: skip
            self.assert_refused(self.forge(**claims))

    def test_changed_text(self) -> None:
        """A text that names another repository or access than was signed is refused."""
        signature = signature_of(self.issue())
        for members in (
            'repository="demo/other"',
            'repository="app"',
            'repository=""',
            'repository="demo/app/x"',
            'repository="demo/app",access=read',
            'repository="demo/app",access=delete',
            "access=admin",
            "access=",
            'repository="demo/app",access=write,repository="demo/other"',
        ):
            self.assert_refused(f"signature={signature},{members}")
            self.assert_refused(f"{members},signature={signature}")

    def test_read_is_not_write(self) -> None:
        """A token for reading can not be relabelled: a registry with a separate index believes the label."""
        token = self.issue(actions=PULL)
        self.assert_refused(token.replace("access=read", "access=write"))

    def test_last_counts(self) -> None:
        """A good token before a bad one does not help, and the members of one do not lend themselves to another."""
        good, other = self.issue(), self.issue(repository=RepositoryName("demo/other"), actions=PULL)
        self.assert_refused(f"{good},signature=a.b.c")
        self.assert_refused(f"{good},signature={signature_of(other)}")
        self.assertEqual("demo/other", str(getattr(self.redeem(f"{good},{other}").ceiling, "repository", None)))

    def test_truncated(self) -> None:
        """No beginning and no end of a signature is one."""
        signature = signature_of(self.issue())
        for length in range(len(signature)):
            self.assert_refused(f"signature={signature[:length]}")
            self.assert_refused(f"signature={signature[length + 1 :]}")

    def test_changed_letters(self) -> None:
        """No letter of what was signed can be changed."""
        signature = signature_of(self.issue())
        for position in range(signature.rindex(".")):
            letter = "A" if signature[position] != "A" else "B"
            self.assert_refused(f"{signature[:position]}{letter}{signature[position + 1 :]}")

    def test_swapped_parts(self) -> None:
        """The parts of two tokens do not make a third."""
        one, two = (signature_of(self.issue(name)).split(".") for name in ("anna", "root"))
        self.assert_refused(".".join([one[0], two[1], one[2]]))
        self.assert_refused(".".join([*one, two[2]]))

    def test_huge(self) -> None:
        """What is larger than a token can be is refused before it is decoded; what is nested deeply, after."""
        nested, deep = b"[" * 100_000, encoded(b"[" * 1_400)
        for text in (
            f"{deep}.{deep}.{encoded(b'x')}",
            f"{encoded(nested)}.{encoded(nested)}.{encoded(b'x')}",
            self.forge(jti="x" * 5_000),
            "a." * 8_000 + "a",
            "signature=" * 1_600,
        ):
            self.assert_refused(text)

    def test_other_purpose(self) -> None:
        """A key that the registry keeps for something else verifies no token."""
        other = SigningKey("other", b"z" * 32, NOW)
        self.now(self.keys.add("v2-token", other))
        header, claims, _ = self.forge({"kid": "other"}).split(".")
        signing = f"{header}.{claims}"
        self.assert_refused(f"{signing}.{encoded(hmac.new(other.secret, signing.encode(), hashlib.sha256).digest())}")

    @given(st.text(max_size=200))
    def test_any_text(self, text: str) -> None:
        """Any text is refused with one kind of error."""
        self.assert_refused(text)

    @given(st.binary(max_size=60), st.binary(max_size=60))
    def test_any_parts(self, header: bytes, claims: bytes) -> None:
        """Any bytes in the place of header and claims are refused with one kind of error, even signed by the key."""
        signing = f"{encoded(header)}.{encoded(claims)}"
        self.assert_refused(f"{signing}.{encoded(hmac.digest(self.key.secret, signing.encode(), 'sha256'))}")
