"""Tests of :mod:`dockreg.providers.auth.keys`."""

import json

import jwt
from twisted.internet.task import Clock

from dockreg.model.accounts import SigningKey
from dockreg.providers.auth.keys import (
    BEARERS,
    ES256,
    HS256,
    PURPOSES,
    REFRESHERS,
    RS256,
    KeyPurpose,
    TokenKeys,
    public_members,
)
from dockreg.testing.accountstores import MemoryKeyStore
from dockreg.testing.contracts_auth import ContractCase
from tests.unit.providers.auth.support import counted_bytes, counter

NOW = 1_400_000_000.0
_SKEW = 300


class KeyCase(ContractCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.store = MemoryKeyStore()
        self.new_id, self.random = counter("key"), counted_bytes()

    def keys(self, purpose: KeyPurpose = REFRESHERS, lifetime: int = 1000) -> TokenKeys:
        return TokenKeys(self.store, purpose, self.clock, self.new_id, self.random, lifetime)

    def rotate(self, purpose: KeyPurpose = REFRESHERS, algorithm: str = HS256) -> str:
        key = purpose.make(algorithm, self.new_id, self.random, self.clock.seconds())
        return self.now(self.store.add(purpose.name, key)).key_id

    def verifying(self, keys: TokenKeys) -> list[str]:
        return list(self.now(keys.verifying()))


class PurposeTests(KeyCase):
    """Keys of each algorithm."""

    def test_made(self) -> None:
        """Each purpose makes keys of each of its algorithms, and reads them again; no two are the same."""
        for purpose in PURPOSES.values():
            for algorithm in purpose.algorithms:
                made = [purpose.make(algorithm, self.new_id, self.random, NOW) for _ in range(2)]
                self.assertNotEqual(made[0].secret, made[1].secret)
                loaded = purpose.load(made[0])
                self.assertEqual((made[0].key_id, algorithm), (loaded.key_id, loaded.algorithm))
                token = jwt.encode({"a": 1}, loaded.private, algorithm)
                self.assertEqual({"a": 1}, jwt.decode(token, loaded.public, [algorithm]))
                self.assertNotIn(made[0].secret.hex()[:16], repr(made[0]) + repr(loaded))

    def test_strange(self) -> None:
        """What is no key of these kinds is refused, in a sentence."""
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        for private in (ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())):
            secret = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
            self.assertRaises(ValueError, BEARERS.load, SigningKey("strange", secret, NOW))

    def test_public(self) -> None:
        """What is published verifies, names the key, and has nothing of what signs."""
        for algorithm, members in ((ES256, {"kty", "crv", "x", "y"}), (RS256, {"kty", "n", "e"})):
            loaded = BEARERS.load(BEARERS.make(algorithm, self.new_id, self.random, NOW))
            published = public_members(loaded)
            self.assertEqual(members | {"kid", "alg", "use"}, set(published))
            self.assertEqual(
                (loaded.key_id, algorithm, "sig"), tuple(published[name] for name in ("kid", "alg", "use"))
            )
            key = jwt.PyJWK.from_json(json.dumps(published))
            self.assertEqual({"a": 1}, jwt.decode(jwt.encode({"a": 1}, loaded.private, algorithm), key))


class RotationTests(KeyCase):
    """One key after another."""

    def test_first(self) -> None:
        """The first key is made when it is needed, of the usual algorithm, and is the same for all processes."""
        first = self.now(self.keys(BEARERS).signing())
        self.assertEqual(ES256, first.algorithm)
        self.assertEqual(first.key_id, self.now(self.keys(BEARERS).signing()).key_id)
        self.assertEqual([first.key_id], self.verifying(self.keys(BEARERS)))

    def test_newest_signs(self) -> None:
        """The newest key signs from the moment that it is there; the one before verifies."""
        keys = self.keys(BEARERS)
        old = self.now(keys.signing()).key_id
        new = self.rotate(BEARERS, RS256)
        self.assertEqual((new, RS256), (self.now(keys.signing()).key_id, self.now(keys.signing()).algorithm))
        self.assertEqual([new, old], self.verifying(keys))

    def test_last_token(self) -> None:
        """A key verifies until what it signed last has expired by every clock, and is dropped then, not before."""
        keys = self.keys(lifetime=1000)
        old = self.now(keys.signing()).key_id
        self.clock.advance(5000)
        new = self.rotate()
        for seconds, left in ((0, [new, old]), (999 + _SKEW, [new, old]), (1, [new])):
            self.clock.advance(seconds)
            self.assertEqual(left, self.verifying(keys))
            self.now(keys.drop_expired())
            stored = self.now(self.store.list_all())[REFRESHERS.name]
            self.assertEqual(left, [key.key_id for key in stored])

    def test_one_after_another(self) -> None:
        """Each key ends by the time at which it was replaced, however many there are."""
        keys = self.keys(lifetime=1000)
        ids = [self.now(keys.signing()).key_id]
        for _ in range(3):
            self.clock.advance(600)
            ids.insert(0, self.rotate())
        self.assertEqual(ids[:4], self.verifying(keys))
        self.clock.advance(200)
        self.assertEqual(ids[:3], self.verifying(keys))
        self.clock.advance(100_000)
        self.assertEqual(ids[:1], self.verifying(keys))

    def test_removed(self) -> None:
        """A key that is removed verifies nothing from that moment on."""
        keys = self.keys()
        old = self.now(keys.signing()).key_id
        new = self.rotate()
        self.assertEqual([new, old], self.verifying(keys))
        self.now(self.store.remove(REFRESHERS.name, old))
        self.assertEqual([new], self.verifying(keys))

    def test_replaced(self) -> None:
        """A key of the same id with another secret is another key."""
        keys = self.keys()
        old = self.now(keys.signing())
        self.now(self.store.remove(REFRESHERS.name, old.key_id))
        self.now(self.store.add(REFRESHERS.name, SigningKey(old.key_id, b"n" * 32, NOW)))
        self.assertEqual(b"n" * 32, self.now(keys.signing()).private)
