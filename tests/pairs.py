"""Certificates with their keys, for servers and clients."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.certificates import Authority, named
from tests.certificates import pem as pem_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BEGIN, _END = 18_262 * 86400.0, 54_786 * 86400.0
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@frozen
class Pair:
    """Somebody with a key, and a certificate for it."""

    owner: Authority
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return pem_of(self.certificate)

    def key_pem(self, passphrase: bytes | None = None) -> bytes:
        """The key."""
        if passphrase is None:
            return pem_of(self.owner.key)
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
        return self.owner.key.private_bytes(*form, serialization.BestAvailableEncryption(passphrase))

    def write(self, folder: Path, name: str, *further: bytes) -> Path:
        """A file with the certificate, what comes behind it, and the key, for the owner alone."""
        path = folder / f"{name}.pem"
        path.write_bytes(b"".join([self.pem, *further, self.key_pem()]))
        path.chmod(0o600)
        return path


def authority(name: str = "test authority", issuer: Pair | None = None) -> Pair:
    """An authority, that certifies itself unless another one does."""
    owner = Authority(named(cn=name))
    may_issue = x509.BasicConstraints(ca=True, path_length=None)
    return Pair(owner, (owner if issuer is None else issuer.owner).issue(owner.name, may_issue, key=owner.key))


def issued(
    issuer: Pair, name: str, *, begin: float = _BEGIN, end: float = _END, usage: x509.ObjectIdentifier = SERVER
) -> Pair:
    """
    A certificate for ``name``, and for 127.0.0.1.

    :param begin: when it begins to be good, in seconds since the epoch.
    :param end: when it ends.
    """
    owner = Authority(named(cn=name))
    certificate = issuer.owner.issue(
        owner.name,
        x509.BasicConstraints(ca=False, path_length=None),
        x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
        x509.ExtendedKeyUsage([usage]),
        key=owner.key,
        begin=_EPOCH + timedelta(seconds=begin),
        days=(end - begin) / 86400,
    )
    return Pair(owner, certificate)
