"""The public keys of a token server that is trusted: from files, or from where it publishes them."""

import json
import os
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import jwt
from attrs import define, field, frozen
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate
from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.iweb import IAgent

from dockreg.callables import InThread
from dockreg.errors import StoreUnavailable
from dockreg.model.documents import parse_object
from dockreg.providers.auth.outbound import fetch
from dockreg.shield import shielded

log = Logger()

_OK = 200
_MAX_BYTES = 256 * 1024
_MAX_KEYS = 64
_MIN_RSA_BITS = 2048
_TIMEOUT_SECONDS = 10.0
#: How long published keys are believed without being fetched again.
_KEEP_SECONDS = 3600.0
_PEM = re.compile(rb"-----BEGIN ([A-Z ]+)-----\n.*?-----END \1-----", re.DOTALL)
_NOT_PUBLIC = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "alg"})
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class KeysInvalid(ValueError):
    """What should hold public keys does not; the text says why."""


@frozen
class TrustedKey:
    """A public key, and the algorithms that it verifies. Without ``key_ids`` a token may call it anything."""

    key_ids: frozenset[str]
    algorithms: frozenset[str]
    public: Any


def parse_keys(content: bytes) -> list[TrustedKey]:
    """
    The keys in a file: certificates and public keys in PEM, or a JWK set (RFC 7517).

    Of a set, keys that are not for signatures, or of kinds that are not known, are left out. A certificate stands for its
    key: its dates and issuer do not matter, for who names the file vouches for it.

    :raises KeysInvalid: there is none, there are too many, or one in PEM can not be used.
    """
    found = _from_set(content) if content.lstrip().startswith(b"{") else _from_pem(content)
    if not found:
        raise KeysInvalid("there is no public key in it: write certificates or public keys in PEM, or a JWK set")
    if len(found) > _MAX_KEYS:
        raise KeysInvalid(f"there are more than {_MAX_KEYS} keys in it")
    return found


@define(eq=False)
class TrustedKeys:
    """
    Keys that are read when they are needed, and again after a while.

    For a key that is not known they are read again as well, but not more often than every ``reread_seconds``: a flood of
    tokens with invented keys reads nothing. When reading fails the keys that were read before stay.

    :param read: reads them.
    :param keep_seconds: how long they are believed.
    """

    _read: Callable[[], Awaitable[Sequence[TrustedKey]]]
    _clock: IReactorTime
    _keep_seconds: float
    _reread_seconds: float
    _keys: Sequence[TrustedKey] | None = field(init=False, default=None)
    _read_at: float = field(init=False, default=0.0)
    _tried_at: float | None = field(init=False, default=None)
    _problem: str = field(init=False, default="")
    _reading: DeferredLock = field(init=False, factory=DeferredLock)

    async def open(self) -> None:
        """Read the keys. :raises StoreUnavailable: there are none, with the reason."""
        await shielded(self._read_again())
        if self._keys is None:
            raise StoreUnavailable(f"the keys of the token server can not be used: {self._problem}")

    async def find(self, key_id: str | None, algorithm: str) -> Sequence[TrustedKey]:
        """
        The keys that a token may have been signed with.

        :raises StoreUnavailable: no keys could be read so far.
        """
        if self._keys is None or self._is_older(self._read_at, self._keep_seconds):
            await shielded(self._read_again())
        found = self._matching(key_id, algorithm)
        if not found:
            await shielded(self._read_again())
            found = self._matching(key_id, algorithm)
        if self._keys is None:
            raise StoreUnavailable("the keys of the token server can not be read now; try again later")
        return found

    def _matching(self, key_id: str | None, algorithm: str) -> Sequence[TrustedKey]:
        return [
            key
            for key in self._keys or ()
            if algorithm in key.algorithms and (not key.key_ids or key_id is None or key_id in key.key_ids)
        ]

    def _is_older(self, moment: float, seconds: float) -> bool:
        # A clock that was set back must not lengthen a life.
        return not 0 <= self._clock.seconds() - moment < seconds

    async def _read_again(self) -> None:
        """Read the keys, unless that was tried just now; who comes meanwhile waits for the same reading."""
        await self._reading.acquire()
        try:
            if self._tried_at is not None and not self._is_older(self._tried_at, self._reread_seconds):
                return
            self._tried_at = self._clock.seconds()
            try:
                self._keys = await self._read()
                self._read_at = self._clock.seconds()
            except Exception as problem:  # noqa: BLE001  # however it fails, there are no newer keys
                self._problem = _reason(problem)
                log.warn("the keys of the token server can not be read: {problem}", problem=self._problem)
        finally:
            self._reading.release()


def read_files(files: Sequence[Path]) -> list[TrustedKey]:
    """
    The keys in some files. It blocks.

    :raises OSError: one can not be read.
    :raises KeysInvalid: as :func:`parse_keys`.
    """
    found = []
    for path in files:
        # Opening what is no file must not wait for somebody at its other end.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise KeysInvalid(f"{path} has more than {_MAX_BYTES} bytes")
        try:
            found += parse_keys(content)
        except KeysInvalid as problem:
            raise KeysInvalid(f"{path}: {problem}") from None
    return found


async def read_url(url: str, agent: IAgent, clock: IReactorTime) -> list[TrustedKey]:
    """
    The keys that are published at a URL. Redirects are not followed.

    :raises KeysInvalid: the answer has another status than 200, or no keys.
    """
    status, body = await fetch(agent, clock, url, _MAX_BYTES, _TIMEOUT_SECONDS)
    if status != _OK:
        raise KeysInvalid(f"the answer has the status {status}")
    return parse_keys(body)


def make_file_keys(
    files: Sequence[Path], in_thread: InThread, clock: IReactorTime, reread_seconds: float
) -> TrustedKeys:
    """The keys in files, which may change while we run."""
    return TrustedKeys(lambda: in_thread(read_files, files), clock, reread_seconds, reread_seconds)


def make_url_keys(url: str, agent: IAgent, clock: IReactorTime, reread_seconds: float) -> TrustedKeys:
    """The keys that are published at a URL."""
    return TrustedKeys(lambda: read_url(url, agent, clock), clock, max(_KEEP_SECONDS, reread_seconds), reread_seconds)


def _from_pem(content: bytes) -> list[TrustedKey]:
    found = []
    for match in _PEM.finditer(content.replace(b"\r\n", b"\n")):
        label = match[1].decode("ascii")
        if label != "CERTIFICATE" and not label.endswith("PUBLIC KEY"):
            raise KeysInvalid(f"{label} has no place in it: write certificates or public keys")
        try:
            certified = label == "CERTIFICATE"
            public: Any = (
                load_pem_x509_certificate(match[0]).public_key() if certified else load_pem_public_key(match[0])
            )
        except Exception as problem:  # whatever a library makes of it
            raise KeysInvalid(f"{label} can not be read") from problem
        algorithms = _algorithms(public)
        if not algorithms:
            raise KeysInvalid(f"{label}: use RSA of {_MIN_RSA_BITS} bits or more, P-256, P-384, P-521 or Ed25519")
        found.append(TrustedKey(frozenset(), algorithms, public))
    return found


def _from_set(content: bytes) -> list[TrustedKey]:
    document = parse_object(content, KeysInvalid)
    members = document.get("keys")
    if not isinstance(members, list):
        members = [document]
    return [key for each in members if isinstance(each, dict) for key in _from_jwk(each)]


def _from_jwk(members: dict[str, Any]) -> list[TrustedKey]:
    if members.get("use", "sig") != "sig" or members.get("kty") not in ("RSA", "EC", "OKP"):
        return []
    # Whoever published a private key by mistake did publish the public one with it. The algorithm is looked at below.
    kept = {name: value for name, value in members.items() if name not in _NOT_PUBLIC}
    try:
        key = jwt.PyJWK.from_json(json.dumps(kept))
    except Exception:  # noqa: BLE001  # whatever a library makes of it, it is no key for us
        return []
    algorithms, wanted = _algorithms(key.key), members.get("alg")
    if wanted is not None:
        algorithms &= {str(wanted)}
    if not algorithms:
        return []
    key_id = members.get("kid")
    key_ids = frozenset({key_id}) if isinstance(key_id, str) and key_id else frozenset[str]()
    return [TrustedKey(key_ids, algorithms, key.key)]


def _algorithms(public: Any) -> frozenset[str]:
    if isinstance(public, rsa.RSAPublicKey) and public.key_size >= _MIN_RSA_BITS:
        return frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
    if isinstance(public, ec.EllipticCurvePublicKey):
        return frozenset({_CURVES[public.curve.name]} if public.curve.name in _CURVES else ())
    return frozenset({"EdDSA"} if isinstance(public, ed25519.Ed25519PublicKey) else ())


def _reason(problem: Exception) -> str:
    return str(problem) if isinstance(problem, KeysInvalid | OSError) else type(problem).__name__
