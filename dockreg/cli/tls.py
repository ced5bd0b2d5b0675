"""How https connections of the ``dockreg`` command are verified."""

import re
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, CertificateOptions, trustRootFromCertificates
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from dockreg.cli.failures import CommandFailed

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def make_tls(authorities: Path | None, insecure: bool) -> IPolicyForHTTPS:
    """
    The policy for https connections.

    :param authorities: a PEM file whose certificates are trusted in place of the system's.
    :param insecure: accept any certificate.
    :raises CommandFailed: the file can not be used.
    """
    if insecure:
        return AnyCertificate()
    if authorities is None:
        return BrowserLikePolicyForHTTPS()
    return BrowserLikePolicyForHTTPS(trustRootFromCertificates(read_authorities(authorities)))


def read_authorities(file: Path) -> Sequence[Certificate]:
    """
    The certificates in a PEM file.

    :raises CommandFailed: there are none, or the file can not be read.
    """
    try:
        certificates = [Certificate.loadPEM(each) for each in _CERTIFICATE.findall(file.read_bytes())]
    except (OSError, SSL.Error) as error:
        raise CommandFailed(f"{file} can not be used: {error}") from None
    if not certificates:
        raise CommandFailed(f"{file} holds no certificate in PEM form")
    return certificates


@implementer(IPolicyForHTTPS)
class AnyCertificate:
    """Encrypts, and believes everybody: for registries with a certificate of their own making."""

    def creatorForNetloc(self, hostname: bytes, _port: int) -> IOpenSSLClientConnectionCreator:
        """Connections to ``hostname`` that are not verified."""
        return _Unverified(hostname)


@implementer(IOpenSSLClientConnectionCreator)
class _Unverified:
    def __init__(self, hostname: bytes) -> None:
        self._hostname = hostname
        self._context = CertificateOptions(verify=False).getContext()

    def clientConnectionForTLS(self, _protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        try:
            ip_address(self._hostname.decode("ascii"))
        except ValueError:
            # Names only: RFC 6066 3 has no addresses in this extension.
            connection.set_tlsext_host_name(self._hostname)
        return connection
