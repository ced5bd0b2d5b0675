"""Tests of what is said about TLS."""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from twisted.trial.unittest import SynchronousTestCase

from dockreg.cli.doctor.certificates import judge_handshake, judge_plain
from dockreg.cli.doctor.findings import Step, Verdict
from dockreg.cli.doctor.handshakes import Handshake, NoHandshake
from dockreg.cli.doctor.place import Place
from tests.unit.cli.doctor.canned import HTTP, HTTPS, LOCAL, texts

NOW = 1_700_000_000.0
_DAY = dt.datetime(2023, 11, 14, tzinfo=dt.UTC)


def certificate(
    *names: str,
    begin: int = -30,
    end: int = 300,
    key: Any = None,
    subject: str = "server",
    issuer: str = "authority",
) -> x509.Certificate:
    """A certificate for names and addresses, good from and until so many days from now."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    alternatives: list[x509.GeneralName] = []
    for name in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            alternatives.append(x509.DNSName(name))
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(_DAY + dt.timedelta(days=begin))
        .not_valid_after(_DAY + dt.timedelta(days=end))
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(key, hashes.SHA256())


GOOD = certificate("r.example", "10.1.2.3")


def judged(
    chain: Sequence[x509.Certificate] = (GOOD,),
    problems: Sequence[tuple[int, int]] = (),
    place: Place = HTTPS,
    *,
    protocol: str = "TLSv1.3",
    insecure: bool = False,
    asks: bool = False,
) -> Step:
    """The step of a handshake that was completed."""
    shaken = Handshake(protocol, "AES", chain, problems, asks)
    return judge_handshake(place, shaken, NOW, speaks_http=False, insecure=insecure)


class CertificateTests(SynchronousTestCase):
    """A handshake that was completed."""

    def test_good(self) -> None:
        """A trusted certificate for the name, or the address, needs no remark."""
        step = judged()
        self.assertEqual((), step.remarks)
        self.assertIn("TLSv1.3, AES; certificate for r.example, 10.1.2.3, issued by CN=authority, until", step.came)
        self.assertEqual((), judged(place=Place("https", "10.1.2.3:5000")).remarks)
        self.assertEqual((), judged([certificate("*.a.example")], place=Place("https", "r.a.example")).remarks)

    def test_name(self) -> None:
        """Another name fails and is told; so does a common name alone."""
        told = texts(judged([certificate("other.example")]), Verdict.FAIL)
        self.assertIn("for other.example, not for r.example", told)
        self.assertIn("no name at all", texts(judged([certificate(subject="r.example")]), Verdict.FAIL))
        self.assertIn("not for 10.9.9.9", texts(judged(place=Place("https", "10.9.9.9")), Verdict.FAIL))

    def test_times(self) -> None:
        """What is not good yet or no more fails, of the authority too; what soon ends is warned of."""
        self.assertIn("has expired on 2023-11-13", texts(judged([certificate("r.example", end=-1)]), Verdict.FAIL))
        self.assertIn("from 2023-11-16", texts(judged([certificate("r.example", begin=2)]), Verdict.FAIL))
        self.assertIn("expires on", texts(judged([certificate("r.example", end=5)]), Verdict.WARN))
        authority = certificate(subject="authority", end=-1)
        self.assertIn("authority CN=authority has expired", texts(judged([GOOD, authority], [(10, 1)]), Verdict.FAIL))

    def test_trust(self) -> None:
        """Who is not trusted is told with the file to put on the clients."""
        place = Place("https", "r.example:5000")
        told = texts(judged(problems=[(18, 0)], place=place), Verdict.FAIL)
        self.assertIn("signed itself", told)
        self.assertIn("/etc/docker/certs.d/r.example:5000/ca.crt", told)
        for error in (2, 19, 20, 21):
            told = texts(judged(problems=[(error, 0)]), Verdict.FAIL)
            self.assertIn("CN=authority is not trusted", told)
            self.assertIn("/etc/docker/certs.d/r.example/ca.crt", told)
            self.assertIn("full chain", told)
        self.assertIn("error 24", texts(judged(problems=[(24, 1)]), Verdict.FAIL))

    def test_insecure(self) -> None:
        """With --insecure the same is warned of; a protocol that is too old fails all the same."""
        step = judged([certificate("other.example")], [(18, 0)], insecure=True)
        self.assertIs(Verdict.WARN, step.verdict)
        self.assertIn("signed itself", texts(step, Verdict.WARN))
        self.assertIn("1.2", texts(judged(protocol="TLSv1", insecure=True), Verdict.FAIL))

    def test_strength(self) -> None:
        """Old protocols and short keys fail; a wish for the client's certificate is noted."""
        for protocol in ("TLSv1", "TLSv1.1"):
            self.assertIn(protocol, texts(judged(protocol=protocol), Verdict.FAIL))
        short = certificate("r.example", key=rsa.generate_private_key(65537, 1024))
        self.assertIn("1024 bits", texts(judged([short]), Verdict.FAIL))
        self.assertIn("certs.d", texts(judged(asks=True), Verdict.OK))
        self.assertIn("no certificate", texts(judged([]), Verdict.FAIL))


class NoHandshakeTests(SynchronousTestCase):
    """A handshake that was refused."""

    def refused(self, reason: str, *, late: bool = False, speaks_http: bool = False) -> str:
        shaken = NoHandshake(reason, 0.1, late)
        return texts(judge_handshake(HTTPS, shaken, NOW, speaks_http=speaks_http, insecure=False), Verdict.FAIL)

    def test_reasons(self) -> None:
        """Each reason has its advice."""
        self.assertIn("http://r.example", self.refused("wrong version number", speaks_http=True))
        self.assertIn("by the name r.example", self.refused("tlsv1 unrecognized name"))
        self.assertIn("client.key", self.refused("tlsv13 alert certificate required"))
        self.assertIn("TLS 1.2", self.refused("sslv3 alert handshake failure"))
        self.assertIn("says nothing", self.refused("", late=True))
        self.assertIn("log", self.refused("Connection was closed cleanly"))


class PlainTests(SynchronousTestCase):
    """A greeting in TLS where http is expected."""

    def test_closed(self) -> None:
        """A port that closes at once does right; whether http will do depends on the host."""
        self.assertEqual((), judge_plain(LOCAL, NoHandshake("closed", 0.01)).remarks)
        self.assertIn("insecure-registries", texts(judge_plain(HTTP, NoHandshake("closed", 0.01)), Verdict.WARN))

    def test_stalled(self) -> None:
        """A port that says nothing holds up every client."""
        for shaken in (NoHandshake("", 8.0, late=True), NoHandshake("closed", 3.0)):
            self.assertIn("waits", texts(judge_plain(LOCAL, shaken), Verdict.WARN))

    def test_tls(self) -> None:
        """A port that speaks TLS after all fails, and the right URL is told."""
        step = judge_plain(HTTP, Handshake("TLSv1.3", "AES", (), ()))
        self.assertIn("https://r.example:5000", texts(step, Verdict.FAIL))
