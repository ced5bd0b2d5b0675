"""Certificates that are made on the spot."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)


def named(**parts: str | Sequence[str]) -> x509.Name:
    """A distinguished name, such as ``named(cn="anna", ou=["dev", "ops"])``."""
    kinds = {
        "cn": NameOID.COMMON_NAME,
        "ou": NameOID.ORGANIZATIONAL_UNIT_NAME,
        "o": NameOID.ORGANIZATION_NAME,
        "email": NameOID.EMAIL_ADDRESS,
    }
    return x509.Name(
        [
            x509.NameAttribute(kinds[part], value)
            for part, values in parts.items()
            for value in ([values] if isinstance(values, str) else values)
        ]
    )


@frozen
class Authority:
    """Somebody who issues certificates."""

    name: x509.Name = field(factory=lambda: named(cn="Authority", o="Example"))
    key: ec.EllipticCurvePrivateKey = field(factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False)

    def issue(
        self,
        subject: x509.Name,
        *extensions: x509.ExtensionType,
        key: ec.EllipticCurvePrivateKey | None = None,
        begin: datetime = _BEGIN,
        days: float = 30_000,
    ) -> x509.Certificate:
        """A certificate for ``subject``, and for the key of the authority when there is no other."""
        public = (key or self.key).public_key()
        end = begin + timedelta(days=days)
        builder = x509.CertificateBuilder(self.name, subject, public, x509.random_serial_number(), begin, end)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self.key, SHA256())

    def own(self) -> x509.Certificate:
        """Its own certificate."""
        return self.issue(self.name, x509.BasicConstraints(ca=True, path_length=None))


def pem(thing: x509.Certificate | ec.EllipticCurvePrivateKey) -> bytes:
    """As it stands in files."""
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM)
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return thing.private_bytes(serialization.Encoding.PEM, *form)
