"""The ``twisted.cred`` checker for the certificates of clients."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import Factory, define, field
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from dockreg.interfaces_access import IClientCertificate
from dockreg.model.people import Person

log = Logger()

_MAX_VALUE = 256


class _Unusable(Exception):
    """A certificate that is nobody's here; the reason is for the log."""


def _subject(oid: x509.ObjectIdentifier) -> Callable[[x509.Certificate], Sequence[str]]:
    return lambda certificate: [str(each.value) for each in certificate.subject.get_attributes_for_oid(oid)]


def _alternatives(kind: type[x509.GeneralName]) -> Callable[[x509.Certificate], Sequence[str]]:
    def values(certificate: x509.Certificate) -> Sequence[str]:
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return []
        return [str(each.value) for each in names if isinstance(each, kind)]

    return values


#: Where the name of a person may stand, and the names of groups.
NAMES = {
    "cn": _subject(NameOID.COMMON_NAME),
    "email": _alternatives(x509.RFC822Name),
    "uri": _alternatives(x509.UniformResourceIdentifier),
    "dns": _alternatives(x509.DNSName),
}
GROUPS = {
    "none": lambda _certificate: [],
    "ou": _subject(NameOID.ORGANIZATIONAL_UNIT_NAME),
    "o": _subject(NameOID.ORGANIZATION_NAME),
}


@implementer(ICredentialsChecker)
@define(eq=False)
class CertificatesChecker:
    """
    Tells whose a certificate is that came with a connection.

    :param names: where its name stands, a key of :data:`NAMES`. There has to be one such value, and not two.
    :param pattern: what the whole of the value has to match; of several values it chooses one. Its group ``name``, if it
        has one, is the person's name.
    :param issuers: who may have issued it; nobody in particular when it is empty.
    :param groups: where groups stand, a key of :data:`GROUPS`. They are called ``cert:…``.
    """

    credentialInterfaces = (IClientCertificate,)

    _clock: IReactorTime
    _names: str = "cn"
    _pattern: re.Pattern[str] | None = None
    _issuers: Sequence[x509.Name] = field(default=Factory(list))
    _groups: str = "none"

    def requestAvatarId(self, credentials: IClientCertificate) -> Deferred[bytes | tuple[()]]:
        """
        The person, as ``twisted.cred`` asks for it.

        :raises UnauthorizedLogin: the certificate names nobody, or not as it should.
        """
        answer: Deferred[Any] = maybeDeferred(self._person, credentials.certificate)
        return answer

    def _person(self, certificate: x509.Certificate) -> Any:  # twisted.cred is annotated as if all ids were bytes
        try:
            self._check(certificate)
            return Person(self._name(certificate), self._groups_of(certificate))
        except _Unusable as reason:
            log.info(
                "certificate {serial:x} is nobody's: {reason}", serial=certificate.serial_number, reason=str(reason)
            )
        except ValueError:
            # What the library can not read, such as an extension that is no DER.
            log.info("certificate {serial:x} can not be read", serial=certificate.serial_number)
        raise UnauthorizedLogin

    def _check(self, certificate: x509.Certificate) -> None:
        # It was good when the connection began; connections may live long.
        now = datetime.fromtimestamp(self._clock.seconds(), UTC)
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise _Unusable("it is out of date")
        if self._issuers and certificate.issuer not in self._issuers:
            raise _Unusable("auth.certificates.issuers has not its issuer")
        try:
            usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except x509.ExtensionNotFound:
            return
        if not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}.intersection(usage):
            raise _Unusable("it is not for clients")

    def _name(self, certificate: x509.Certificate) -> str:
        values = {value for value in NAMES[self._names](certificate) if 0 < len(value) <= _MAX_VALUE}
        if self._pattern is None:
            names = values
        else:
            matches = [match for match in map(self._pattern.fullmatch, values) if match]
            names = {match["name"] if "name" in match.re.groupindex else match[0] for match in matches}
        if len(names) != 1:
            raise _Unusable(f"it has {len(names) or 'no'} names of the kind {self._names!r}")
        (name,) = names
        if not name or not name.isprintable() or name != name.strip():
            raise _Unusable("its name can not be used")
        return name

    def _groups_of(self, certificate: x509.Certificate) -> frozenset[str]:
        return Person.groups_from("cert", GROUPS[self._groups](certificate))
