"""Who a client is by its certificate."""

from typing import Any, cast

from cryptography import x509
from twisted.internet.interfaces import ISSLTransport
from twisted.web.server import Request


def client_certificate(request: Request) -> x509.Certificate | None:
    """
    The certificate that the client of ``request`` has proved to own; None without TLS or without a certificate.

    It was issued by an authority that the listener names (``tls.client_ca``), for clients, and was good when the
    connection was made: a client that brings another one gets no connection. It is not looked up again how it stands
    with the certificate, so a connection that is kept open outlives it.
    """
    if not ISSLTransport.providedBy(request.transport):
        return None
    # None once the connection is gone.
    connection = cast("Any", request.transport).getHandle()
    # Not the certificate that was sent but the one that was verified: they differ where nobody was asked to verify.
    chain = None if connection is None else connection.get_verified_chain(as_cryptography=True)
    return chain[0] if chain else None
