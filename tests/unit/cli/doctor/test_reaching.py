"""Tests of names and connections."""

from typing import Any

from attrs import frozen
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from dockreg.cli.doctor.findings import Verdict
from dockreg.cli.doctor.place import Place
from dockreg.cli.doctor.reaching import Attempt, judge_attempts, judge_name, resolve
from tests.unit.cli.doctor.canned import HTTPS, texts


@implementer(IHostnameResolver)
class Resolver:
    """Knows one name."""

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        receiver, resolution = resolutionReceiver, Resolution(hostName)
        receiver.resolutionBegan(resolution)
        if hostName == "r.example":
            receiver.addressResolved(IPv6Address("TCP", "2001:db8::5", portNumber))
            receiver.addressResolved(IPv4Address("TCP", "203.0.113.5", portNumber))
        receiver.resolutionComplete()
        return resolution


@implementer(IHostResolution)
@frozen
class Resolution:
    name: str

    def cancel(self) -> None: ...


class ReachingTests(SynchronousTestCase):
    """What there is to say about addresses."""

    def test_resolve(self) -> None:
        """All addresses are found, with the port; none for a name that nobody knows."""
        found = self.successResultOf(Deferred.fromCoroutine(resolve(Resolver(), HTTPS)))
        self.assertEqual([("2001:db8::5", 443), ("203.0.113.5", 443)], [(each.host, each.port) for each in found])
        self.assertEqual(
            [], self.successResultOf(Deferred.fromCoroutine(resolve(Resolver(), Place("https", "x.example"))))
        )

    def test_name(self) -> None:
        """A name with addresses is fine, one without fails."""
        self.assertEqual(((), "203.0.113.5, 2001:db8::5"), (
            judge_name(HTTPS, ["203.0.113.5", "2001:db8::5"]).remarks, judge_name(HTTPS, ["203.0.113.5", "2001:db8::5"]).came,
        ))  # fmt: skip
        self.assertIn("no address", texts(judge_name(HTTPS, []), Verdict.FAIL))

    def test_short_name(self) -> None:
        """A name that docker takes for one of Docker Hub is warned of, unless a port tells it apart."""
        self.assertIn("Docker Hub", texts(judge_name(Place("https", "registry"), ["10.0.0.1"]), Verdict.WARN))
        for authority in ("registry:5000", "localhost", "[::1]", "127.0.0.1"):
            self.assertEqual((), judge_name(Place("https", authority), ["10.0.0.1"]).remarks, authority)

    def test_attempts(self) -> None:
        """All addresses closed fails, some is warned of."""
        good, bad = Attempt("127.0.0.1", 0.012), Attempt("::1", 0.0, "Connection refused")
        step = judge_attempts(HTTPS, [good])
        self.assertEqual(((), "127.0.0.1: open after 12 ms"), (step.remarks, step.came))
        self.assertIn("firewall", texts(judge_attempts(HTTPS, [bad]), Verdict.FAIL))
        step = judge_attempts(HTTPS, [bad, good])
        self.assertIs(Verdict.WARN, step.verdict)
        self.assertIn("::1: Connection refused", step.came)
