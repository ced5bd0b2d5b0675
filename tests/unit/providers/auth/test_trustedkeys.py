"""Tests of :mod:`dockreg.providers.auth.trustedkeys`."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from dockreg.errors import StoreUnavailable
from dockreg.providers.auth.trustedkeys import (
    KeysInvalid,
    TrustedKey,
    TrustedKeys,
    make_file_keys,
    make_url_keys,
    parse_keys,
    read_files,
)
from dockreg.testing.contracts_auth import ContractCase
from tests.unit.providers.auth.test_index import FakeIndex

P256, P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)
ED = ed25519.Ed25519PrivateKey.generate()


def public_pem(private: Any) -> bytes:
    """The public key in PEM."""
    content: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return content


def private_pem(private: Any) -> bytes:
    """The private key in PEM."""
    content: bytes = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return content


def certificate(private: Any) -> bytes:
    """A certificate of long ago that the key has signed for itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens")])
    begin = datetime(2010, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, private.public_key(), 1, begin, begin + timedelta(days=1))
    return builder.sign(private, SHA256()).public_bytes(Encoding.PEM)


def jwk(private: Any, **more: Any) -> dict[str, Any]:
    """The public key as a JWK."""
    kinds: Any = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    kind = next((kinds[each] for each in kinds if isinstance(private, each)), OKPAlgorithm)
    members = kind.to_jwk(private.public_key(), as_dict=True)
    members.pop("key_ops", None)
    return {**members, **more}


def jwk_set(*keys: dict[str, Any]) -> bytes:
    """A JWK set."""
    return json.dumps({"keys": keys}).encode()


def algorithms(content: bytes) -> list[set[str]]:
    """The algorithms of each key in it."""
    return [set(key.algorithms) for key in parse_keys(content)]


class ParseTests(ContractCase):
    """What a file may hold."""

    def test_pem(self) -> None:
        """Certificates and public keys, as many as there are, whatever stands around them; a certificate may be old."""
        rsa_algorithms = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
        content = b"# ours\n" + public_pem(P256) + b"\nnext\n" + certificate(RSA) + public_pem(P384) + public_pem(ED)
        for each in (content, content.replace(b"\n", b"\r\n")):
            self.assertEqual([{"ES256"}, rsa_algorithms, {"ES384"}, {"EdDSA"}], algorithms(each))
        # Tokens may call such a key what they like.
        self.assertEqual([frozenset()] * 4, [key.key_ids for key in parse_keys(content)])

    def test_set(self) -> None:
        """A JWK set, or one JWK; each key verifies by its algorithm alone if it says one."""
        content = jwk_set(jwk(P256, kid="a", use="sig"), jwk(RSA, kid="b", alg="RS256"), jwk(ED))
        self.assertEqual([{"ES256"}, {"RS256"}, {"EdDSA"}], algorithms(content))
        self.assertEqual([{"a"}, {"b"}, set()], [set(key.key_ids) for key in parse_keys(content)])
        self.assertEqual([{"ES256"}], algorithms(json.dumps(jwk(P256)).encode()))

    def test_left_out(self) -> None:
        """Keys of a set for something else, of kinds or curves not known, too weak, or broken are left out."""
        others: list[dict[str, Any]] = [
            jwk(P256, use="enc"),
            jwk(P256, alg="RS256"),
            jwk(P256, alg="HS256"),
            jwk(P256, alg="none"),
            jwk(P256, alg=["ES256"]),
            jwk(SMALL),
            {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kty": "EC", "crv": "P-999"},
            {"kty": "RSA", "n": 1, "e": "AQAB"},
            {"kty": "XYZ"},
            {},
        ]
        self.assertEqual([{"ES384"}], algorithms(jwk_set(*others, jwk(P384))))
        self.assertRaises(KeysInvalid, parse_keys, jwk_set(*others))

    def test_published_by_mistake(self) -> None:
        """Of a private key in a set only the public one is taken."""
        members: Any = RSAAlgorithm.to_jwk(RSA, as_dict=True)
        members.pop("key_ops", None)
        (key,) = parse_keys(jwk_set(members))
        self.assertEqual(RSA.public_key().public_numbers(), key.public.public_numbers())

    def test_private_pem(self) -> None:
        """A file with a private key is refused, which belongs elsewhere, and so is one with a secret."""
        for content in (private_pem(P256), public_pem(P256) + private_pem(P256)):
            error = self.assertRaises(KeysInvalid, parse_keys, content)
            self.assertIn("PRIVATE KEY", str(error))

    def test_invalid(self) -> None:
        """What holds no public keys is told so, in a sentence."""
        weak = dsa.generate_private_key(2048)
        for content in (
            b"",
            b"nonsense",
            b"{",
            b"{}",
            b'{"keys": []}',
            b'{"keys": [1, null]}',
            b"\xff" * 100,
            public_pem(P256)[:-30],
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            public_pem(SMALL),
            public_pem(weak),
            public_pem(P256) * 65,
        ):
            self.assertNotEqual("", str(self.assertRaises(KeysInvalid, parse_keys, content)))


class FileTests(ContractCase):
    """Keys in files."""

    def test_read(self) -> None:
        """The keys of all files; what is wrong with one is told with its name."""
        good, bad = (Path(self.mktemp()) for _ in range(2))
        good.write_bytes(public_pem(P256))
        self.assertEqual(2, len(read_files([good, good])))
        self.assertRaises(OSError, read_files, [good, bad])
        bad.write_bytes(b"nonsense")
        self.assertIn(str(bad), str(self.assertRaises(KeysInvalid, read_files, [good, bad])))
        bad.write_bytes(b"#" * 300_000 + public_pem(P256))
        self.assertIn("bytes", str(self.assertRaises(KeysInvalid, read_files, [bad])))

    def test_changes(self) -> None:
        """A file that has changed counts after a while; one that is gone changes nothing."""
        clock, path = Clock(), Path(self.mktemp())
        keys = make_file_keys([path], maybeDeferred, clock, 60)
        with capturedLogs():
            self.fails(StoreUnavailable, keys.open())
        path.write_bytes(public_pem(P256))
        clock.advance(60)
        self.now(keys.open())
        path.write_bytes(public_pem(P384))
        clock.advance(59)
        self.assertEqual(1, len(self.now(keys.find("x", "ES256"))))
        clock.advance(1)
        self.assertEqual((0, 1), (len(self.now(keys.find("x", "ES256"))), len(self.now(keys.find("x", "ES384")))))
        path.unlink()
        clock.advance(60)
        with capturedLogs() as events:
            self.assertEqual(1, len(self.now(keys.find("x", "ES384"))))
        self.assertEqual(1, len(events))


class Source:
    """Where keys come from: the test says which, and when."""

    def __init__(self, *keys: TrustedKey) -> None:
        self.keys: Sequence[TrustedKey] | Exception = keys
        self.asked = 0
        self.pending: Deferred[None] | None = None

    async def read(self) -> Sequence[TrustedKey]:
        self.asked += 1
        if self.pending is not None:
            await self.pending
        if isinstance(self.keys, Exception):
            raise self.keys
        return self.keys


def named(*names: str) -> TrustedKey:
    """A key for nothing but to be found."""
    return TrustedKey(frozenset(names), frozenset({"ES256"}), names)


class FindTests(ContractCase):
    """Which key, and how often they are read."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.source = Source(named("a"), named("b"), named())
        self.keys = TrustedKeys(self.source.read, self.clock, 3600, 60)

    def found(self, key_id: str | None, algorithm: str = "ES256") -> list[Any]:
        return [key.public for key in self.now(self.keys.find(key_id, algorithm))]

    def test_match(self) -> None:
        """A token is signed with the key that it names, or with one without a name; any if it names none."""
        self.assertEqual([("a",), ()], self.found("a"))
        self.assertEqual([()], self.found("c"))
        self.assertEqual([("a",), ("b",), ()], self.found(None))
        self.assertEqual([], self.found("a", "RS256"))
        self.assertEqual(1, self.source.asked)

    def test_unknown(self) -> None:
        """A key that is not known is looked for again, not more often than allowed, however many tokens name it."""
        self.source.keys = [named("a")]
        self.assertEqual([("a",)], self.found("a"))
        self.source.keys = [named("a"), named("b")]
        for number in range(50):
            self.assertEqual([], self.found(f"b{number}"))
        self.assertEqual(1, self.source.asked)
        self.clock.advance(60)
        self.assertEqual([("b",)], self.found("b"))
        for number in range(50):
            self.assertEqual([], self.found(f"x{number}"))
        self.assertEqual(2, self.source.asked)

    def test_old(self) -> None:
        """After a while they are read again without need; a key that is gone then counts no more."""
        self.found("a")
        self.source.keys = [named("b")]
        self.clock.advance(3599)
        self.assertEqual([("a",), ()], self.found("a"))
        self.clock.advance(1)
        self.assertEqual([], self.found("a"))
        self.assertEqual(2, self.source.asked)

    def test_failure(self) -> None:
        """When reading fails, the keys that were read stay, and it is logged; without any, the answer is to come back."""
        self.found("a")
        self.source.keys = OSError("no route")
        for _ in range(3):
            self.clock.advance(3600)
            with capturedLogs() as events:
                self.assertEqual([("a",), ()], self.found("a"))
            self.assertIn("no route", str(events))
        empty = TrustedKeys(self.source.read, self.clock, 3600, 60)
        with capturedLogs():
            self.fails(StoreUnavailable, empty.find("a", "ES256"))
            self.fails(StoreUnavailable, empty.find("a", "ES256"))
        self.assertEqual(5, self.source.asked)

    def test_together(self) -> None:
        """Who comes while they are being read waits for that; a client that goes away ends nothing for the others."""
        self.source.pending = Deferred()
        waiting = [Deferred.fromCoroutine(self.keys.find("a", "ES256")) for _ in range(5)]
        self.assertEqual(1, self.source.asked)
        for gone in waiting[:2]:
            gone.addErrback(lambda _: None).cancel()
        self.source.pending.callback(None)
        for each in waiting[2:]:
            self.assertEqual(2, len(self.successResultOf(each)))
        self.assertEqual(1, self.source.asked)

    def test_clock_set_back(self) -> None:
        """A clock that is set back lengthens no life."""
        self.clock.advance(10_000)
        self.found("a")
        self.source.keys = [named("b")]
        self.clock.rightNow -= 5_000
        self.assertEqual([("b",)], self.found("b"))


_PUBLISHED = jwk_set(jwk(P256, kid="a"))


class URLTests(ContractCase):
    """Keys that are published."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = FakeIndex()
        self.server.body = _PUBLISHED
        self.keys = make_url_keys("https://auth.example/keys", RequestTraversalAgent(self.server), self.clock, 60)

    def test_fetched(self) -> None:
        """They are fetched with a GET, and nothing of anybody is sent along."""
        self.assertEqual(1, len(self.now(self.keys.find("a", "ES256"))))
        self.assertEqual([(b"GET", b"/keys", [], [])], self.server.asked)

    def test_refused(self) -> None:
        """Another status, a redirect, too many bytes, or something else than keys is no answer."""
        good = _PUBLISHED
        for status, body, headers in (
            (404, good, {}),
            (500, good, {}),
            (302, good, {"Location": "https://auth.example/other"}),
            (307, good, {"Location": "http://169.254.169.254/latest"}),
            (200, b"<html>", {}),
            (200, good + b" " * 300_000, {}),
        ):
            self.setUp()
            self.server.status, self.server.body, self.server.headers = status, body, headers
            with capturedLogs() as events:
                self.fails(StoreUnavailable, self.keys.find("a", "ES256"))
            self.assertEqual((1, 1), (len(events), len(self.server.asked)), status)
