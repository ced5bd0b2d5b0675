"""Tests of :mod:`dockreg.providers.auth.certificates`."""

import re
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dockreg.credentials import ClientCertificate
from dockreg.interfaces_access import IClientCertificate
from dockreg.model.people import Person
from dockreg.providers.auth.certificates import CertificatesChecker
from tests.certificates import Authority, named

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AUTHORITY = Authority()


def alternatives(*names: x509.GeneralName) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(names)


class CredentialsTests(SynchronousTestCase):
    def test_interface(self) -> None:
        """A certificate of a client is credentials of a kind of its own, which are no name and password."""
        credentials = ClientCertificate(AUTHORITY.issue(named(cn="anna")))
        verifyObject(IClientCertificate, credentials)
        self.assertTrue(ICredentials.providedBy(credentials))
        self.assertFalse(IUsernamePassword.providedBy(credentials))


class CertificatesCheckerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW.timestamp())

    def person(self, certificate: x509.Certificate, **settings: Any) -> object:
        """Who that is, or None."""
        checker = CertificatesChecker(self.clock, **settings)
        answer = checker.requestAvatarId(ClientCertificate(certificate))
        outcome: object = self.successResultOf(answer.addErrback(lambda failure: failure.trap(UnauthorizedLogin)))
        return None if outcome is UnauthorizedLogin else outcome

    def test_interface(self) -> None:
        """The checker plugs into twisted.cred, for certificates only."""
        checker = CertificatesChecker(self.clock)
        verifyObject(ICredentialsChecker, checker)
        self.assertEqual((IClientCertificate,), checker.credentialInterfaces)

    def test_common_name(self) -> None:
        """The common name is the person's, wherever it stands in the subject."""
        self.assertEqual(Person("anna"), self.person(AUTHORITY.issue(named(o="Example", cn="anna", ou="dev"))))
        self.assertEqual(Person("Jürgen K."), self.person(AUTHORITY.issue(named(cn="Jürgen K."))))

    def test_other_places(self) -> None:
        """So may be the e-mail address, the URI or the DNS name that it is issued for; the one in the subject is not."""
        certificate = AUTHORITY.issue(
            named(cn="somebody", email="other@example.com"),
            alternatives(
                x509.RFC822Name("anna@example.com"),
                x509.UniformResourceIdentifier("spiffe://example.com/anna"),
                x509.DNSName("anna.example.com"),
            ),
        )
        for names, value in (
            ("email", "anna@example.com"),
            ("uri", "spiffe://example.com/anna"),
            ("dns", "anna.example.com"),
        ):
            self.assertEqual(Person(value), self.person(certificate, names=names))
            self.assertIsNone(self.person(AUTHORITY.issue(named(cn="anna", email="a@b")), names=names))

    def test_none_or_two(self) -> None:
        """A certificate without such a name, or with two, is nobody's."""
        self.assertIsNone(self.person(AUTHORITY.issue(named(o="Example"))))
        self.assertIsNone(self.person(AUTHORITY.issue(named(cn=["anna", "berta"]))))
        two = alternatives(x509.DNSName("a.example.com"), x509.DNSName("b.example.com"))
        self.assertIsNone(self.person(AUTHORITY.issue(named(cn="anna"), two), names="dns"))

    def test_pattern(self) -> None:
        """A pattern has to match the whole value; it chooses among several, and may say which part is the name."""
        uris = [f"spiffe://example.com/{path}" for path in ("host/h1", "user/anna")]
        certificate = AUTHORITY.issue(
            named(cn="x"), alternatives(*map(x509.UniformResourceIdentifier, [*uris, "https://example.com/user/b"]))
        )

        def person(pattern: str) -> object:
            return self.person(certificate, names="uri", pattern=re.compile(pattern))

        self.assertEqual(Person("anna"), person("spiffe://example.com/user/(?P<name>[a-z]+)"))
        self.assertEqual(Person(uris[1]), person("spiffe://example.com/user/.*"))
        for pattern in (
            "spiffe://example.com/user/",
            "user/(?P<name>[a-z]+)",
            "spiffe://.*",
            "nothing",
            "(?P<name>)s.*anna",
        ):
            self.assertIsNone(person(pattern), pattern)

    def test_issuers(self) -> None:
        """Where issuers are named, a certificate of another one is nobody's, and the order of its parts counts."""
        certificate = AUTHORITY.issue(named(cn="anna"))
        for issuers, expected in (
            (["O=Example,CN=Authority"], Person("anna")),
            (["CN=Other", "O=Example,CN=Authority"], Person("anna")),
            (["CN=Authority,O=Example"], None),
            (["CN=Authority"], None),
        ):
            named_issuers = [x509.Name.from_rfc4514_string(each) for each in issuers]
            self.assertEqual(expected, self.person(certificate, issuers=named_issuers), issuers)

    def test_strange_names(self) -> None:
        """A name that could pass for another one on a screen or in a line of a log is nobody's."""
        for name in ("anna\x00root", "anna\n", " anna", "anna ", "\x1b[1manna", "\u202eanna"):
            self.assertIsNone(self.person(AUTHORITY.issue(named(cn=name))), ascii(name))

    def test_out_of_date(self) -> None:
        """A certificate that has run out, or is not good yet, is nobody's, however old its connection is."""
        certificate = AUTHORITY.issue(named(cn="anna"), begin=NOW, days=1)
        self.assertEqual(Person("anna"), self.person(certificate))
        self.clock.advance(86400)
        self.assertEqual(Person("anna"), self.person(certificate))
        self.clock.advance(1)
        self.assertIsNone(self.person(certificate))
        self.assertIsNone(self.person(AUTHORITY.issue(named(cn="anna"), begin=datetime(2027, 1, 1, tzinfo=UTC))))

    def test_usage(self) -> None:
        """A certificate that is said to be for servers only does not make a client somebody."""
        for usages, expected in (
            ([ExtendedKeyUsageOID.SERVER_AUTH], None),
            ([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH], Person("anna")),
            ([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], Person("anna")),
        ):
            certificate = AUTHORITY.issue(named(cn="anna"), x509.ExtendedKeyUsage(usages))
            self.assertEqual(expected, self.person(certificate))

    def test_groups(self) -> None:
        """Groups are taken from where they are said to stand, and called after where they come from."""
        certificate = AUTHORITY.issue(named(cn="anna", ou=["dev", "Domain Users", " odd"], o="Example"))
        self.assertEqual(Person("anna"), self.person(certificate))
        groups = frozenset({"cert:dev", "cert:Domain Users"})
        self.assertEqual(Person("anna", groups), self.person(certificate, groups="ou"))
        self.assertEqual(Person("anna", frozenset({"cert:Example"})), self.person(certificate, groups="o"))

    def test_unreadable(self) -> None:
        """A certificate with an extension that is nonsense is nobody's."""
        broken = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"nonsense")
        self.assertIsNone(self.person(AUTHORITY.issue(named(cn="anna"), broken), names="dns"))

    def test_told(self) -> None:
        """Why a certificate is nobody's is in the log, with its serial number and without what it says."""
        certificate = AUTHORITY.issue(named(cn=["anna", "berta"]))
        with capturedLogs() as events:
            self.person(certificate)
        (told,) = [formatEvent(event) for event in events]
        self.assertEqual(
            f"certificate {certificate.serial_number:x} is nobody's: it has 2 names of the kind 'cn'", told
        )
