"""Tests of :mod:`dockreg.model.networks`."""

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.networks import NO_ADDRESS, Networks, canonical_address, host_of, is_loopback


class AddressTests(SynchronousTestCase):
    """One address, written in many ways."""

    def test_canonical(self) -> None:
        """An address has one form, and what is none has none."""
        for text, expected in (
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("192.0.2.01", None),
            ("192.0.2", None),
            ("registry", None),
            ("", None),
            (NO_ADDRESS, None),
        ):
            self.assertEqual(expected, canonical_address(text), text)

    def test_hosts(self) -> None:
        """A peer of TCP has its address, in one form; one of a unix socket has none."""
        peers: list[tuple[object, str]] = [
            (IPv4Address("TCP", "192.0.2.1", 1), "192.0.2.1"),
            (IPv6Address("TCP", "2001:db8::1", 1), "2001:db8::1"),
            (IPv6Address("TCP", "::ffff:192.0.2.1", 1), "192.0.2.1"),
            (UNIXAddress("/run/x"), NO_ADDRESS),
            (None, NO_ADDRESS),
        ]
        for peer, host in peers:
            self.assertEqual(host, host_of(peer))

    def test_loopback(self) -> None:
        """This machine is known by all its addresses for itself."""
        for host in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
            self.assertTrue(is_loopback(host), host)
        for host in ("192.0.2.1", "::2", NO_ADDRESS, "localhost"):
            self.assertFalse(is_loopback(host), host)


class NetworksTests(SynchronousTestCase):
    """Lists of addresses and networks."""

    def test_members(self) -> None:
        """What is listed, or lies in a network that is listed, is a member, however it is written."""
        networks = Networks.parse(["192.0.2.1", "10.0.0.0/8", "2001:db8::/32", "::ffff:198.51.100.0/120"])
        for host in ("192.0.2.1", "::ffff:192.0.2.1", "10.1.2.3", "::ffff:10.1.2.3", "2001:db8:9::1", "198.51.100.7"):
            self.assertIn(host, networks)
        for host in ("192.0.2.2", "11.0.0.1", "2001:db9::1", "198.51.101.1", NO_ADDRESS, "host", ""):
            self.assertNotIn(host, networks)
        self.assertNotIn(None, networks)

    def test_unix(self) -> None:
        """Peers of unix sockets are members where the list says so."""
        self.assertIn(NO_ADDRESS, Networks.parse(["unix"]))
        self.assertNotIn("127.0.0.1", Networks.parse(["unix"]))

    def test_empty(self) -> None:
        """An empty list has no members, and is false; any other is true."""
        self.assertNotIn("192.0.2.1", Networks())
        self.assertEqual([False, True, True], [bool(Networks.parse(each)) for each in ([], ["unix"], ["192.0.2.1"])])

    def test_wrong(self) -> None:
        """What is no network is named, with what is wrong about it."""
        for text, part in (
            ("registry.example", "no IP address and no network"),
            ("10.0.0.1/8", "bits behind the network"),
            ("10.0.0.0/33", "no IP address and no network"),
            ("", "no IP address"),
        ):
            with self.assertRaises(ValueError) as caught:
                Networks.parse(["192.0.2.1", text])
            self.assertIn(part, str(caught.exception))
            self.assertIn(repr(text), str(caught.exception))

    @given(st.ip_addresses(v=4), st.integers(0, 32), st.ip_addresses(v=4))
    def test_as_the_library(self, base: object, bits: int, host: object) -> None:
        """Whether an address is in a network is what the library says."""
        network = ip_network(f"{base}/{bits}", strict=False)
        self.assertEqual(ip_address(str(host)) in network, str(host) in Networks.parse([str(network)]))
