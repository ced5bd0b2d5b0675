"""The keys that tokens are signed with, and the time that is left to a key after another one has taken its place."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from attrs import define, field, frozen
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key
from twisted.internet.interfaces import IReactorTime

from dockreg.interfaces_access import IKeyStore
from dockreg.model.accounts import SigningKey

HS256, ES256, RS256 = "HS256", "ES256", "RS256"

_SECRET_BYTES = 32
_RSA_BITS = 2048
#: A process with a clock behind ours signs a little longer with a key that was replaced.
_CLOCK_SKEW_SECONDS = 300


@frozen
class LoadedKey:
    """A key, ready for use. ``private`` signs; ``public`` verifies, and is the same where there is one secret."""

    key_id: str
    algorithm: str
    private: Any = field(repr=False)
    public: Any = field(repr=False)


@frozen
class KeyPurpose:
    """What keys are for. ``name`` is what the key store calls that; the first of ``algorithms`` is the usual one."""

    name: str
    algorithms: tuple[str, ...]

    def make(
        self, algorithm: str, new_id: Callable[[], str], random_bytes: Callable[[int], bytes], now: float
    ) -> SigningKey:
        """A new key; an RSA key takes a part of a second."""
        if algorithm == HS256:
            return SigningKey(new_id(), random_bytes(_SECRET_BYTES), now)
        private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
        if algorithm == ES256:
            private = ec.generate_private_key(ec.SECP256R1())
        else:
            private = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
        secret = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return SigningKey(new_id(), secret, now)

    def load(self, key: SigningKey) -> LoadedKey:
        """The key as it was stored. :raises ValueError: it is none of these algorithms."""
        if self.algorithms == (HS256,):
            return LoadedKey(key.key_id, HS256, key.secret, key.secret)
        private = load_der_private_key(key.secret, None)
        if isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, ec.SECP256R1):
            return LoadedKey(key.key_id, ES256, private, private.public_key())
        if isinstance(private, rsa.RSAPrivateKey):
            return LoadedKey(key.key_id, RS256, private, private.public_key())
        raise ValueError(f"the key {key.key_id} is of an unknown kind")


V1_TOKENS = KeyPurpose("v1-token", (HS256,))
BEARERS = KeyPurpose("v2-bearer", (ES256, RS256))
REFRESHERS = KeyPurpose("v2-refresh", (HS256,))

#: By the words of the command line.
PURPOSES: Mapping[str, KeyPurpose] = MappingProxyType({"bearer": BEARERS, "refresh": REFRESHERS, "v1": V1_TOKENS})


def verifying_until(keys: Sequence[SigningKey], position: int, lifetime_seconds: float) -> float | None:
    """
    Until when a key of ``keys``, which are the newest first, verifies: as long as what it has signed is good.

    None for the newest, which signs.
    """
    if position == 0:
        return None
    return keys[position - 1].created_at + lifetime_seconds + _CLOCK_SKEW_SECONDS


@define(eq=False)
class TokenKeys:
    """
    The keys for one purpose: the newest signs, each other one verifies until the last token that it signed has expired.

    The store is read each time, so a key that another process adds or drops counts at once.

    :param new_id: makes unique text.
    :param random_bytes: as many random bytes as it is asked for (``os.urandom`` in production).
    :param lifetime_seconds: of the tokens.
    """

    _store: IKeyStore
    _purpose: KeyPurpose
    _clock: IReactorTime
    _new_id: Callable[[], str]
    _random_bytes: Callable[[int], bytes]
    _lifetime_seconds: int
    _loaded: dict[str, tuple[bytes, LoadedKey]] = field(init=False, factory=dict)

    async def signing(self) -> LoadedKey:
        """The key that signs now; it is made when there is none."""
        return self._load((await self._stored())[0])

    async def verifying(self) -> Mapping[str, LoadedKey]:
        """Each key that verifies now, by its id, the one that signs first."""
        stored = await self._stored()
        kept = [key for position, key in enumerate(stored) if not self._is_over(stored, position)]
        if len(self._loaded) > len(kept):
            self._loaded.clear()
        return {key.key_id: self._load(key) for key in kept}

    async def drop_expired(self) -> None:
        """Remove the keys that verify nothing any more; none is made."""
        stored = (await self._store.list_all()).get(self._purpose.name, ())
        for position, key in enumerate(stored):
            if self._is_over(stored, position):
                await self._store.remove(self._purpose.name, key.key_id)

    async def _stored(self) -> Sequence[SigningKey]:
        return await self._store.get(self._purpose.name, self._make)

    def _make(self) -> SigningKey:
        return self._purpose.make(self._purpose.algorithms[0], self._new_id, self._random_bytes, self._clock.seconds())

    def _is_over(self, keys: Sequence[SigningKey], position: int) -> bool:
        until = verifying_until(keys, position, self._lifetime_seconds)
        return until is not None and until <= self._clock.seconds()

    def _load(self, key: SigningKey) -> LoadedKey:
        known = self._loaded.get(key.key_id)
        if known is None or known[0] != key.secret:
            known = self._loaded[key.key_id] = (key.secret, self._purpose.load(key))
        return known[1]


@define(eq=False)
class Keyring:
    """All keys of tokens, for who administers them."""

    _store: IKeyStore
    _clock: IReactorTime
    _new_id: Callable[[], str]
    _random_bytes: Callable[[int], bytes]

    async def list_all(self) -> Mapping[KeyPurpose, Sequence[SigningKey]]:
        """The keys for each purpose, the newest first."""
        stored = await self._store.list_all()
        return {purpose: stored.get(purpose.name, ()) for purpose in PURPOSES.values()}

    async def rotate(self, purpose: KeyPurpose, algorithm: str | None = None, *, drop: bool = False) -> SigningKey:
        """
        Make a key, which signs from now on. An RSA key takes a part of a second, here and now.

        :param algorithm: that of the key before unless given.
        :param drop: forget the others at once, which ends what they have signed.
        """
        others = (await self.list_all())[purpose]
        if algorithm is None:
            algorithm = purpose.load(others[0]).algorithm if others else purpose.algorithms[0]
        key = purpose.make(algorithm, self._new_id, self._random_bytes, self._clock.seconds())
        kept = await self._store.add(purpose.name, key)
        for other in others if drop else ():
            await self._store.remove(purpose.name, other.key_id)
        return kept


def public_members(key: LoadedKey) -> dict[str, str]:
    """The public key as a JWK (RFC 7517)."""
    from jwt.algorithms import ECAlgorithm, RSAAlgorithm  # noqa: PLC0415  # few ask for it

    algorithm = ECAlgorithm if key.algorithm == ES256 else RSAAlgorithm
    members: dict[str, Any] = algorithm.to_jwk(key.public, as_dict=True)
    members.pop("key_ops", None)
    return {**members, "kid": key.key_id, "alg": key.algorithm, "use": "sig"}
