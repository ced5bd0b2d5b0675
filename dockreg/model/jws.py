"""
JSON that carries its own signatures, in the pretty format of docker's libtrust (``jsonsign.go``).

A signed document is the JSON that was signed, with one member more before its closing brace. What was signed is put
together again from the protected header of a signature: so many bytes of the document (``formatLength``), and then
``formatTail``. The signatures are those of JSON Web Signatures (RFC 7515) with algorithms of RFC 7518.
"""

import json
import re
from base64 import b32encode, b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)
from cryptography.x509 import InvalidVersion, load_der_x509_certificate

from dockreg.errors import ManifestInvalid
from dockreg.model.documents import parse_object

#: The member that holds the signatures.
SIGNATURES = "signatures"
#: Registries of 2015 kept the signature of each push; that many are verified in milliseconds.
MAX_SIGNATURES = 64
#: How many bytes may be digested for all signatures of a document.
MAX_DIGESTED = 16_000_000
MAX_RSA_BITS = 8192

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_CURVES: Mapping[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
_EC_HASHES: Mapping[str, tuple[str, hashes.HashAlgorithm]] = {
    "ES256": ("secp256r1", hashes.SHA256()),
    "ES384": ("secp384r1", hashes.SHA384()),
    "ES512": ("secp521r1", hashes.SHA512()),
}
_RSA_HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "RS256": hashes.SHA256(),
    "RS384": hashes.SHA384(),
    "RS512": hashes.SHA512(),
}
_URL_SAFE = re.compile(r"[A-Za-z0-9_-]*={0,2}", re.ASCII)
_LAST = re.compile(rb"([^ \t\r\n])[ \t\r\n]*\}[ \t\r\n]*\Z")
_INDENT = re.compile(rb'\{\n([ \t]+)"')


def signed_payload(content: bytes, signatures: Sequence[object]) -> bytes:
    """
    What was signed in ``content``, all of whose signatures hold.

    Certificates are taken for the keys in them; who the signers are is not looked at.

    :param signatures: the value of its member :data:`SIGNATURES`.
    :raises ManifestInvalid: a signature does not hold, or there are none.
    """
    if not 0 < len(signatures) <= MAX_SIGNATURES:
        raise ManifestInvalid(f"it does not have 1 to {MAX_SIGNATURES} signatures")
    if len(content) * len(signatures) > MAX_DIGESTED:
        raise ManifestInvalid("it has too many signatures for its size")
    payloads = set()
    for position, signature in enumerate(signatures):
        try:
            payloads.add(_verified_payload(content, signature))
        except ManifestInvalid as invalid:
            raise ManifestInvalid(f"signatures[{position}]: {invalid.reason}") from None
    if len(payloads) > 1:
        raise ManifestInvalid("its signatures are not all of the same payload")
    return payloads.pop()


def sign(payload: bytes, key: bytes) -> bytes:
    """
    A JSON object with a signature (ES256) in it.

    The time, which libtrust puts into the protected header and nobody reads, is left out.

    :param payload: ends in an object's closing brace, which a member comes before.
    :param key: a private key of the curve P-256: PKCS #8, as PEM or DER.
    """
    private = load_key(key)
    end = _LAST.search(payload)
    if end is None or end[1] in b"{,":
        raise ValueError("only a JSON object with members can be signed")
    length = end.end(1)
    header = {"formatLength": length, "formatTail": _encode(payload[length:])}
    protected = _encode(_compact(header))
    signature = private.sign(f"{protected}.{_encode(payload)}".encode(), ec.ECDSA(hashes.SHA256()))
    block = {
        "header": {"jwk": _jwk(private.public_key()), "alg": "ES256"},
        "signature": _encode(b"".join(each.to_bytes(32, "big") for each in decode_dss_signature(signature))),
        "protected": protected,
    }
    indent = _INDENT.match(payload)
    if indent is None:
        return payload[:length] + b',"signatures":' + _compact([block]) + b"}"
    spaces = indent[1].decode()
    lines = json.dumps([block], indent=spaces).replace("\n", f"\n{spaces}").encode()
    return payload[:length] + b",\n" + indent[1] + b'"signatures": ' + lines + b"\n}"


def new_key() -> bytes:
    """A new private key of the curve P-256: PKCS #8, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_key(key: bytes) -> ec.EllipticCurvePrivateKey:
    """
    The private key that is stored as ``key``: PKCS #8, as PEM or DER.

    :raises ValueError: it is not one of the curve P-256.
    """
    load = load_pem_private_key if key.startswith(b"-----") else load_der_private_key
    private = load(key, None)
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise ValueError("it is not a private key of the curve P-256")
    return private


def key_id(key: PublicKey) -> str:
    """The name that libtrust has for a key: twelve groups of four letters and digits."""
    digest = sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    letters = b32encode(digest[:30]).decode()
    return ":".join(letters[start : start + 4] for start in range(0, len(letters), 4))


def _verified_payload(content: bytes, signature: object) -> bytes:
    header = signature.get("header") if isinstance(signature, dict) else None
    if not isinstance(signature, dict) or not isinstance(header, dict):
        raise ManifestInvalid("it is not an object with a header")
    protected = signature.get("protected")
    payload = _payload(content, parse_object(_decode(protected, "protected"), ManifestInvalid))
    message = f"{protected}.{_encode(payload)}".encode()
    key = _certified_key(header["x5c"]) if header.get("x5c") else _named_key(header.get("jwk"))
    try:
        _verify(key, header.get("alg"), _decode(signature.get("signature"), "signature"), message)
    except InvalidSignature:
        raise ManifestInvalid("it does not match what was signed") from None
    return payload


def _payload(content: bytes, protected: Mapping[str, Any]) -> bytes:
    length = protected.get("formatLength")
    if type(length) is not int or not 0 < length <= len(content):
        raise ManifestInvalid("its formatLength is not a number of bytes of the manifest")
    tail = _decode(protected.get("formatTail"), "formatTail")
    if tail.strip(b" \t\r\n") != b"}":
        raise ManifestInvalid("its formatTail is not the end of an object")
    return content[:length] + tail


def _verify(key: PublicKey, algorithm: object, signature: bytes, message: bytes) -> None:
    if isinstance(key, rsa.RSAPublicKey):
        digest = _RSA_HASHES.get(algorithm) if isinstance(algorithm, str) else None
        if digest is None:
            raise ManifestInvalid("its algorithm is not RS256, RS384 or RS512, as its RSA key has it")
        key.verify(signature, message, padding.PKCS1v15(), digest)
        return
    curve, hashed = _EC_HASHES.get(algorithm if isinstance(algorithm, str) else "", ("", hashes.SHA256()))
    if curve != key.curve.name:
        raise ManifestInvalid("its algorithm is not the one of the curve of its key")
    width = (key.key_size + 7) // 8
    if len(signature) != 2 * width:
        raise InvalidSignature
    halves = (int.from_bytes(signature[:width], "big"), int.from_bytes(signature[width:], "big"))
    key.verify(encode_dss_signature(*halves), message, ec.ECDSA(hashed))


def _certified_key(chain: object) -> PublicKey:
    if not isinstance(chain, list) or not isinstance(chain[0], str):
        raise ManifestInvalid("its x5c is not a list of certificates")
    try:
        key = load_der_x509_certificate(b64decode(chain[0], validate=True)).public_key()
    except (ValueError, InvalidVersion, UnsupportedAlgorithm):
        raise ManifestInvalid("the first certificate of its x5c can not be read") from None
    return _usable(key)


def _named_key(jwk: object) -> PublicKey:
    if not isinstance(jwk, dict):
        raise ManifestInvalid("its header has neither a jwk nor an x5c")
    try:
        key = _usable(_numbers(jwk).public_key())
    except (ValueError, UnsupportedAlgorithm):
        raise ManifestInvalid("the numbers of its jwk make no key") from None
    if "kid" in jwk and jwk["kid"] != key_id(key):
        raise ManifestInvalid("the kid of its jwk is that of another key")
    return key


def _numbers(jwk: Mapping[str, Any]) -> ec.EllipticCurvePublicNumbers | rsa.RSAPublicNumbers:
    kind, name = jwk.get("kty"), jwk.get("crv")
    if kind == "RSA":
        exponent, modulus = _decode(jwk.get("e"), "e"), _decode(jwk.get("n"), "n")
        if len(modulus) > MAX_RSA_BITS // 8 or len(exponent) > 4:
            raise ManifestInvalid("its RSA key is too large")
        return rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big"))
    curve = _CURVES.get(name) if kind == "EC" and isinstance(name, str) else None
    if curve is None:
        raise ManifestInvalid("its key is neither RSA nor of the curves P-256, P-384 and P-521")
    point = [_decode(jwk.get(member), member) for member in ("x", "y")]
    if any(len(each) != (curve.key_size + 7) // 8 for each in point):
        raise ManifestInvalid("the coordinates of its key do not have the length that its curve asks for")
    x, y = (int.from_bytes(each, "big") for each in point)
    return ec.EllipticCurvePublicNumbers(x, y, curve)


def _usable(key: object) -> PublicKey:
    if isinstance(key, rsa.RSAPublicKey) and key.key_size > MAX_RSA_BITS:
        raise ManifestInvalid("its RSA key is too large")
    if not isinstance(key, PublicKey):
        raise ManifestInvalid("its key is neither RSA nor of an elliptic curve")
    return key


def _jwk(key: ec.EllipticCurvePublicKey) -> Mapping[str, str]:
    numbers = key.public_numbers()
    point = {name: _encode(value.to_bytes(32, "big")) for name, value in (("x", numbers.x), ("y", numbers.y))}
    return {"crv": "P-256", "kid": key_id(key), "kty": "EC", **point}


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _encode(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(text: object, member: str) -> bytes:
    """As libtrust reads it: line ends and spaces are skipped, padding may be there or not."""
    letters = re.sub("[ \n]", "", text) if isinstance(text, str) else None
    if letters is None or not _URL_SAFE.fullmatch(letters) or len(letters.rstrip("=")) % 4 == 1:
        raise ManifestInvalid(f"its {member} is not a text in base64url")
    bare = letters.rstrip("=")
    return urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
