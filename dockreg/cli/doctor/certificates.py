"""What there is to say about a TLS handshake and its certificates."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

from dockreg.cli.doctor.findings import Remark, Step, Verdict, fail, note, warn
from dockreg.cli.doctor.handshakes import Handshake, NoHandshake
from dockreg.cli.doctor.place import Place, address_of

_SOON = timedelta(days=14)
_OLD_PROTOCOLS = ("SSLv3", "TLSv1", "TLSv1.1")
_WEAKEST_RSA = 2048

# The error numbers of OpenSSL (X509_V_ERR_...).
_TIMES = (9, 10)
_SELF_SIGNED = 18
_UNKNOWN_AUTHORITY = (2, 19, 20, 21)
_STALLED_SECONDS = 2.0


def judge_handshake(
    place: Place, shaken: Handshake | NoHandshake, now: float, *, speaks_http: bool, insecure: bool
) -> Step:
    """
    The step of a client that wants https.

    :param now: seconds since 1970, by the clock here.
    :param speaks_http: whether the port answers plain http.
    :param insecure: the person said that any certificate will do.
    """
    if isinstance(shaken, NoHandshake):
        came = "no answer" if shaken.late else f"refused: {shaken.reason or 'the connection was closed'}"
        return Step("TLS", _asked(place), came, (_why_refused(place, shaken, speaks_http),))
    about_certificate = list(_certificate(place, shaken, now))
    if insecure:
        about_certificate = [warn(each.text) if each.verdict is Verdict.FAIL else each for each in about_certificate]
    return Step("TLS", _asked(place), _described(shaken), (*_protocol(shaken), *about_certificate))


def judge_plain(place: Place, shaken: Handshake | NoHandshake) -> Step:
    """The step of a client that tries https first where the registry is said to be plain http."""
    remarks: list[Remark] = []
    if isinstance(shaken, Handshake):
        came = f"TLS: {shaken.protocol}"
        remarks.append(fail(f"This port speaks TLS: use https://{place.authority}."))
    elif shaken.late or shaken.seconds > _STALLED_SECONDS:
        came = f"nothing for {shaken.seconds:.0f} s"
        remarks.append(
            warn(
                "A greeting in TLS gets no answer, and every client tries that first: it waits until it gives up. What "
                "serves plain http should close such a connection at once."
            )
        )
    else:
        came = "no TLS, as is right for http"
    if not place.is_local:
        remarks.append(
            warn(
                "Plain http: clients refuse it, save on their own machine, until this registry is among their insecure "
                'ones (docker: "insecure-registries" in /etc/docker/daemon.json; podman: insecure = true in '
                "registries.conf), and everybody between can read passwords and images. Better let it speak TLS."
            )
        )
    return Step("TLS", _asked(place), came, tuple(remarks))


def _asked(place: Place) -> str:
    return f"a TLS handshake for {place.host} on port {place.port}"


def _why_refused(place: Place, shaken: NoHandshake, speaks_http: bool) -> Remark:
    if speaks_http:
        return fail(
            f"This port speaks plain http. Let the registry, or a proxy in front, speak TLS there; or use "
            f"http://{place.authority} and name it among the insecure registries of each client."
        )
    reason = shaken.reason
    if shaken.late:
        return fail("Something listens and says nothing: it is no TLS server, or a firewall swallows the answer.")
    if "unrecognized name" in reason:
        return fail(f"The server, or the proxy in front, serves nothing by the name {place.host}: configure that name.")
    if "certificate required" in reason or "bad certificate" in reason:
        return fail(
            "The server wants a certificate of the client: put client.cert and client.key into "
            f"/etc/docker/certs.d/{place.authority}."
        )
    if "handshake failure" in reason or "protocol version" in reason or "no shared cipher" in reason:
        return fail(
            "Server and client have no protocol or cipher in common, or the server wants a certificate of the client: "
            "let it speak TLS 1.2 and 1.3 with usual ciphers."
        )
    return fail("The server ends the handshake: see what its log, or that of the proxy in front, says.")


def _protocol(shaken: Handshake) -> Iterator[Remark]:
    if shaken.protocol in _OLD_PROTOCOLS:
        yield fail(f"The best that the server speaks is {shaken.protocol}, and clients want 1.2 at least: raise it.")
    if shaken.asks_for_certificate:
        yield note("The server asks for a certificate of the client; docker looks for one in /etc/docker/certs.d.")


def _certificate(place: Place, shaken: Handshake, now: float) -> Iterator[Remark]:
    if not shaken.chain:
        yield fail("The server shows no certificate: give it one.")
        return
    own = shaken.chain[0]
    yield from _times(shaken.chain, datetime.fromtimestamp(now, UTC))
    if not _is_for(own, place.host):
        yield fail(
            f"The certificate is for {', '.join(names_of(own)) or 'no name at all'}, not for {place.host}: use a name "
            f"that it has, or have it issued with {place.host} among its subject alternative names (the common name "
            "does not count)."
        )
    yield from _trust(place, shaken)
    yield from _strength(own)


def _times(chain: Sequence[x509.Certificate], now: datetime) -> Iterator[Remark]:
    for depth, certificate in enumerate(chain):
        which = "certificate" if depth == 0 else f"certificate of the authority {_subject(certificate)}"
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if now < begin:
            yield fail(f"The {which} is valid from {begin:%Y-%m-%d %H:%M} UTC on: wait, or set the clock right.")
        elif now >= end:
            yield fail(f"The {which} has expired on {end:%Y-%m-%d %H:%M} UTC: renew it, and let the server load it.")
        elif end - now < _SOON:
            yield warn(f"The {which} expires on {end:%Y-%m-%d %H:%M} UTC: renew it.")


def _trust(place: Place, shaken: Handshake) -> Iterator[Remark]:
    errors = {error for error, _ in shaken.problems if error not in _TIMES}
    folder = f"/etc/docker/certs.d/{place.authority}"
    if _SELF_SIGNED in errors:
        yield fail(
            f"The certificate has signed itself, so nobody trusts it. Copy it to {folder}/ca.crt on each client (docker "
            f"and podman look there; containerd: /etc/containerd/certs.d/{place.authority}/hosts.toml), or use one that "
            "an authority has signed. Try it here with --cafile."
        )
    elif errors.intersection(_UNKNOWN_AUTHORITY):
        issuer = shaken.chain[-1].issuer.rfc4514_string()
        yield fail(
            f"The authority {issuer} is not trusted here. If it is one of your own, copy its certificate to "
            f"{folder}/ca.crt on each client (docker and podman look there), or among the authorities of the system; if "
            "it is a public one, let the server send the intermediate certificates too (the full chain)."
        )
    elif errors:
        yield fail(f"The certificate is not accepted (error {min(errors)} of OpenSSL): have it issued again.")


def _strength(own: x509.Certificate) -> Iterator[Remark]:
    if isinstance(own.signature_hash_algorithm, hashes.SHA1 | hashes.MD5):
        yield fail(
            f"The certificate is signed with {own.signature_hash_algorithm.name}, which clients refuse: renew it."
        )
    key = own.public_key()
    if isinstance(key, RSAPublicKey) and key.key_size < _WEAKEST_RSA:
        yield fail(f"The key has {key.key_size} bits, and clients want {_WEAKEST_RSA} at least: make another.")


def is_trusted(step: Step) -> bool:
    """Whether a client that verifies would go on, so that credentials may be sent."""
    return step.verdict is not Verdict.FAIL


def names_of(certificate: x509.Certificate) -> Sequence[str]:
    """The names and addresses that a certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return [
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    ]


def _is_for(certificate: x509.Certificate, host: str) -> bool:
    verify = verify_certificate_hostname if address_of(host) is None else verify_certificate_ip_address
    try:
        verify(certificate, host)
    except (VerificationError, CertificateError):
        return False
    return True


def _described(shaken: Handshake) -> str:
    came = f"{shaken.protocol}, {shaken.cipher}"
    if not shaken.chain:
        return came
    own = shaken.chain[0]
    return (
        f"{came}; certificate for {', '.join(names_of(own)) or 'no name'}, issued by {own.issuer.rfc4514_string()}, "
        f"until {own.not_valid_after_utc:%Y-%m-%d}"
    )


def _subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()
