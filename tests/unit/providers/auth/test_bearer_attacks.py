"""Tests of :mod:`dockreg.providers.auth.bearers`: every change to a token makes it worthless."""

import hmac
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from dockreg.model.access import EVERYTHING
from dockreg.model.accounts import SigningKey
from dockreg.providers.auth.bearers import BEARER_TYPE, REFRESH_TYPE
from dockreg.providers.auth.keys import BEARERS, REFRESHERS, RS256, V1_TOKENS, LoadedKey, public_members
from dockreg.providers.auth.tokens import AUDIENCE
from dockreg.providers.auth.tokens import TYPE as V1_TYPE
from dockreg.testing.contracts_tokens import SERVICE
from tests.unit.providers.auth.bearercase import ANNA, APP, NOW, PULL, BearerCase, signature, signed
from tests.unit.providers.auth.tokencase import encoded, signature_of


class AttackTests(BearerCase):
    """What a bearer token can not be changed to."""

    def setUp(self) -> None:
        super().setUp()
        self.key = self.signing(self.own_keys.bearers)

    def test_forge_is_exact(self) -> None:
        """What these tests sign is accepted as it is, so that each refusal below has one reason."""
        principal = self.redeem(self.forge())
        self.assertEqual(("anna", PULL), (principal.name, principal.within(APP)))

    def test_algorithms(self) -> None:
        """No algorithm but that of the key is accepted, signed or not."""
        _, claims, good = self.forge().split(".")
        for algorithm in ("none", "None", "nOnE", "", "es256", "ES384", "ES512", "RS256", "HS256", "EdDSA", None, 1, ["ES256"]):  # fmt: skip
            header = encoded({"alg": algorithm, "kid": self.key.key_id, "typ": BEARER_TYPE})
            signing = f"{header}.{claims}"
            right = encoded(signature(signing, self.key))
            for end in ("", "x", good, right):
                self.assert_refused(f"{signing}.{end}")

    def test_key_confusion(self) -> None:
        """The public key, which everybody has, is no secret to sign with, in any of its forms."""
        public, (_, claims, _) = self.key.public, self.forge().split(".")
        forms = [
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
            public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint),
            str(public_members(self.key)).encode(),
            self.key.key_id.encode(),
            b"",
        ]
        for algorithm, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512"), ("ES256", "sha256")):
            header = encoded({"alg": algorithm, "kid": self.key.key_id, "typ": BEARER_TYPE})
            for secret in forms:
                signing = f"{header}.{claims}"
                self.assert_refused(f"{signing}.{encoded(hmac.digest(secret, signing.encode(), digest))}")

    def test_algorithm_of_another_key(self) -> None:
        """Of two keys that verify, each does so by its own algorithm alone."""
        claims = self.claims(self.forge())
        self.now(self.store.add(BEARERS.name, BEARERS.make(RS256, self.new_id, self.random, NOW)))
        newer = self.signing(self.own_keys.bearers)
        for key, kid in ((self.key, newer.key_id), (newer, self.key.key_id)):
            header = {"kid": kid, "typ": BEARER_TYPE}
            self.assert_refused(jwt.encode(claims, key.private, algorithm=key.algorithm, headers=header))

    def test_other_keys(self) -> None:
        """The right key id with another key of the same kind is refused."""
        claims = self.claims(self.forge())
        header = {"kid": self.key.key_id, "typ": BEARER_TYPE}
        other: Any
        for other, algorithm in (
            (ec.generate_private_key(ec.SECP256R1()), "ES256"),
            (ec.generate_private_key(ec.SECP384R1()), "ES384"),
            (rsa.generate_private_key(public_exponent=65537, key_size=2048), "RS256"),
        ):
            self.assert_refused(jwt.encode(claims, other, algorithm=algorithm, headers=header))

    def test_empty_signatures(self) -> None:
        """Signatures of nothing but zeros, of the wrong length, or in the other encoding of ECDSA are refused."""
        header, claims, good = self.forge().split(".")
        raw = jwt.utils.base64url_decode(good)
        der = jwt.utils.raw_to_der_signature(raw, ec.SECP256R1())
        for bad in (b"", bytes(64), bytes(32) + raw[32:], raw[:32] + bytes(32), raw + b"\0", raw[:-1], der, raw[32:] + raw[:32]):  # fmt: skip
            self.assert_refused(f"{header}.{claims}.{encoded(bad)}")

    def test_embedded_keys(self) -> None:
        """A key that comes along, or a place to fetch one from, is not looked at: such a token is refused."""
        own = ec.generate_private_key(ec.SECP256R1())
        attacker = LoadedKey(self.key.key_id, "ES256", own, own.public_key())
        claims = self.claims(self.forge())
        usual = {"alg": "ES256", "kid": self.key.key_id, "typ": BEARER_TYPE}
        extras: dict[str, Any]
        for extras in (
            {"jwk": public_members(attacker)},
            {"jku": "https://attacker.example/jwks.json"},
            {"x5u": "https://attacker.example/chain.pem"},
            {"x5c": ["MIIB"]},
            {"x5t": "x"},
            {"crit": ["exp"]},
            {"crit": ["b64"], "b64": False},
            {"cty": "JWT"},
            {"zip": "DEF"},
        ):
            for kid in (self.key.key_id, "attacker"):
                for key in (attacker, self.key):
                    self.assert_refused(signed({**usual, **extras, "kid": kid}, claims, key))

    def test_key_ids(self) -> None:
        """A key id that is not ours is refused, whatever it may be."""
        kid: Any
        for kid in (
            None, "", "other", "../../../dev/null", "/dev/null", "' or '1'='1", "$(id)", "https://attacker.example/", 0, True,
            [], {}, self.key.key_id + "\x00", self.key.key_id + " ", self.key.key_id.upper(),
        ):  # fmt: skip
            self.assert_refused(self.forge({"kid": kid}))

    def test_types(self) -> None:
        """A JWT that was made for something else is no bearer token."""
        for kind in (
            None,
            "",
            "JWT",
            "at+jwt",
            REFRESH_TYPE,
            V1_TYPE,
            BEARER_TYPE.upper(),
            f"application/{BEARER_TYPE}",
            1,
        ):
            self.assert_refused(self.forge({"typ": kind}))

    def test_other_purposes(self) -> None:
        """Tokens of v1 and refresh tokens are no bearer tokens, nor is anything that their keys have signed."""
        v1 = self.now(self.signer.issue(ANNA, APP, EVERYTHING))
        for token in (v1, signature_of(v1), self.refresh_token()):
            self.assert_refused(token)
        claims = self.claims(self.forge())
        for purpose in (V1_TOKENS, REFRESHERS):
            stored = self.now(self.store.get(purpose.name, lambda: SigningKey("none", b"", 0.0)))[0]
            key = purpose.load(stored)
            self.assert_refused(signed({"alg": "HS256", "kid": key.key_id, "typ": BEARER_TYPE}, claims, key))

    def test_issuer_and_audience(self) -> None:
        """A token by or for somebody else is refused, also one for several."""
        claims: dict[str, Any]
        for claims in (
            {"iss": "other"}, {"iss": None}, {"iss": ["dockreg"]}, {"iss": ""},
            {"aud": "other"}, {"aud": AUDIENCE}, {"aud": []}, {"aud": [SERVICE]}, {"aud": [SERVICE, "other"]}, {"aud": None},
            {"aud": f"{SERVICE} "}, {"aud": SERVICE.upper()}, {"aud": {SERVICE: 1}}, {"aud": ""},
        ):  # fmt: skip
            self.assert_refused(self.forge(**claims))

    def test_times(self) -> None:
        """Expired, not yet valid, and times that are no whole numbers are refused."""
        claims: dict[str, Any]
        for claims in (
            {"exp": NOW}, {"exp": NOW - 1}, {"exp": 0}, {"exp": -1}, {"exp": NOW + 100.5}, {"exp": str(NOW + 100)}, {"exp": None},
            {"exp": True}, {"exp": float("inf")}, {"iat": NOW + 301}, {"iat": "yesterday"}, {"iat": None}, {"nbf": NOW + 1},
            {"nbf": "tomorrow"}, {"nbf": 0.5},
        ):  # fmt: skip
            self.assert_refused(self.forge(**claims))
        self.assertEqual("anna", self.redeem(self.forge(iat=NOW + 300)).name)

    def test_missing_claims(self) -> None:
        """A token that leaves something out is refused, except for the name of nobody."""
        for claim in ("iss", "aud", "access", "asked", "iat", "exp", "jti"):
            self.assert_refused(self.forge(without=claim))
        self.assertEqual(None, self.redeem(self.forge(without="sub")).name)

    def test_wrong_claims(self) -> None:
        """Claims of another kind than ours are refused."""
        claims: dict[str, Any]
        for claims in (
            {"asked": 1}, {"asked": None}, {"asked": ["repository:demo/app:pull"]}, {"sub": 1}, {"sub": ["anna"]},
            {"tid": 1}, {"tid": ["t"]},
        ):  # fmt: skip
            self.assert_refused(self.forge(**claims))

    def test_granted_is_not_believed(self) -> None:
        """What the claim ``access`` says gives nothing: neither wider than what was asked for, nor instead of it."""
        everything = [{"type": "repository", "name": "demo/app", "actions": ["*"]}]
        self.assertEqual(PULL, self.redeem(self.forge(access=everything)).within(APP))
        self.assertEqual(frozenset(), self.redeem(self.forge(access=everything, asked="")).within(APP))

    def test_truncated(self) -> None:
        """No beginning and no end of a token is one."""
        token = self.forge()
        for length in range(len(token)):
            self.assert_refused(token[:length])
            self.assert_refused(token[length + 1 :])

    def test_changed_letters(self) -> None:
        """No letter of what was signed can be changed."""
        token = self.forge()
        for position in range(token.rindex(".")):
            letter = "A" if token[position] != "A" else "B"
            self.assert_refused(f"{token[:position]}{letter}{token[position + 1 :]}")

    def test_swapped_parts(self) -> None:
        """The parts of two tokens do not make a third, and no token has more parts."""
        one, two = self.forge().split("."), self.forge(sub="root").split(".")
        self.assert_refused(".".join([one[0], two[1], one[2]]))
        self.assert_refused(".".join([*one, two[2]]))
        self.assert_refused(".".join(["", *one]))
        self.assert_refused(f"{'.'.join(one)},{'.'.join(two)}")

    def test_huge(self) -> None:
        """What is larger than a token can be is refused before it is decoded; what is nested deeply, after."""
        deep = encoded(b"[" * 3_000)
        for text in (
            f"{encoded(b'[' * 100_000)}.{deep}.{encoded(b'x')}",
            self.forge(jti="x" * 20_000),
            "a." * 8_000 + "a",
            f"{deep}.{deep}.{encoded(b'x')}",
            signed({"alg": "ES256", "kid": self.key.key_id, "typ": BEARER_TYPE}, {}, self.key).replace(
                ".e30.", f".{deep}."
            ),
        ):
            self.assert_refused(text)
        header = encoded({"alg": "ES256", "kid": self.key.key_id, "typ": BEARER_TYPE})
        self.assert_refused(f"{header}.{deep}.{encoded(signature(f'{header}.{deep}', self.key))}")

    @given(st.text(max_size=200))
    def test_any_text(self, text: str) -> None:
        """Any text is refused with one kind of error."""
        self.assert_refused(text)

    @given(st.binary(max_size=60), st.binary(max_size=60))
    def test_any_parts(self, header: bytes, claims: bytes) -> None:
        """Any bytes in the place of header and claims are refused with one kind of error, even signed by the key."""
        signing = f"{encoded(header)}.{encoded(claims)}"
        self.assert_refused(f"{signing}.{encoded(signature(signing, self.key))}")


class RefreshAttackTests(BearerCase):
    """What a refresh token can not be changed to."""

    def test_forge_is_exact(self) -> None:
        """What these tests sign is accepted as it is."""
        self.assertEqual(ANNA, self.now(self.service.refresh(self.forge_refresh(), SERVICE)).principal)

    def test_changed(self) -> None:
        """A refresh token is no other one's, ends when it was to end, and has all that it had."""
        claims: dict[str, Any]
        for claims in (
            {"sub": "root"}, {"sub": "stranger"}, {"bound": "password x"}, {"bound": "token t1"}, {"bound": None}, {"tid": "t1"}, {"tid": 1},
            {"exp": NOW}, {"exp": float("inf")}, {"aud": "other"}, {"aud": [SERVICE]}, {"iss": "other"}, {"iat": NOW + 301},
        ):  # fmt: skip
            self.assert_no_refresh(self.forge_refresh(**claims))
        for claim in ("iss", "aud", "sub", "bound", "iat", "exp", "jti"):
            self.assert_no_refresh(self.forge_refresh(without=claim))

    def test_headers(self) -> None:
        """Other algorithms, types, keys and headers are refused."""
        header: dict[str, Any]
        for header in (
            {"alg": "none"}, {"alg": "HS512"}, {"alg": "ES256"}, {"typ": BEARER_TYPE}, {"typ": "JWT"}, {"typ": None}, {"kid": "x"},
            {"kid": None}, {"jwk": {}}, {"jku": "https://attacker.example/"}, {"crit": ["x"]},
        ):  # fmt: skip
            self.assert_no_refresh(self.forge_refresh(header))

    def test_other_tokens(self) -> None:
        """Bearer tokens and tokens of v1 renew nothing, nor what their keys have signed."""
        claims = self.claims(self.forge_refresh())
        v1 = self.now(self.signer.issue(ANNA, APP, EVERYTHING))
        tokens = [self.issue().token, self.forge(), v1, signature_of(v1)]
        stored = self.now(self.store.get(V1_TOKENS.name, lambda: SigningKey("none", b"", 0.0)))[0]
        tokens.append(
            signed({"alg": "HS256", "kid": stored.key_id, "typ": REFRESH_TYPE}, claims, V1_TOKENS.load(stored))
        )
        for token in tokens:
            self.assert_no_refresh(token)

    def test_other_service(self) -> None:
        """It is good at the host that it was had from."""
        self.assert_no_refresh(self.refresh_token(), "other.example")

    def test_truncated(self) -> None:
        """No beginning and no end of one is one."""
        token = self.refresh_token()
        for length in range(len(token)):
            self.assert_no_refresh(token[:length])

    def test_refusals_are_alike(self) -> None:
        """A token that was changed is refused in the same words, whoever it is for."""
        refusals = [self.assert_no_refresh(self.forge_refresh({"kid": "x"}, sub=name)) for name in ("anna", "stranger")]
        self.assertEqual(1, len(set(refusals)))
        self.assertEqual(refusals[0], self.assert_no_refresh(""))
