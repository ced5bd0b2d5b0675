"""Credentials that ``twisted.cred`` has no class for."""

from attrs import frozen
from cryptography.x509 import Certificate
from zope.interface import implementer

from dockreg.interfaces_access import IClientCertificate


@implementer(IClientCertificate)
@frozen
class ClientCertificate:
    """The verified certificate of a connection."""

    certificate: Certificate
