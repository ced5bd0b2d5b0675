"""Tests of :mod:`dockreg.model.proxyheader`, with headers as the specification of HAProxy describes them."""

import struct
from ipaddress import ip_address

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.proxyheader import Endpoint, HeaderInvalid, ProxyHeader

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"


def block(command: int = 0x21, family: int = 0x11, body: bytes = b"", more: bytes = b"") -> bytes:
    """A header of version 2."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(body + more)) + body + more


def ends(client: str, server: str) -> bytes:
    """The two ends of a connection, from port 1000 to port 443."""
    return ip_address(client).packed + ip_address(server).packed + struct.pack("!HH", 1000, 443)


BLOCK = block(body=ends("192.0.2.7", "198.51.100.1"))
VALID = [LINE, BLOCK, b"PROXY UNKNOWN\r\n", block(0x20)]


class HeaderTests(SynchronousTestCase):
    """What is a header, and what it says."""

    def ends_of(self, data: bytes) -> tuple[Endpoint | None, Endpoint | None]:
        header = ProxyHeader.parse(data + b"GET / HTTP/1.1\r\n")
        assert header is not None
        self.assertEqual(len(data), header.length)
        return header.client, header.server

    def test_line(self) -> None:
        """A line of version 1 has the two ends of the client's connection."""
        expected = (Endpoint("192.0.2.7", 56324), Endpoint("198.51.100.1", 443))
        self.assertEqual(expected, self.ends_of(LINE))
        six = b"PROXY TCP6 2001:db8::7 2001:DB8:0::1 1 65535\r\n"
        self.assertEqual((Endpoint("2001:db8::7", 1), Endpoint("2001:db8::1", 65535)), self.ends_of(six))

    def test_block(self) -> None:
        """So does a block of version 2, whatever else a proxy has put into it."""
        expected = (Endpoint("192.0.2.7", 1000), Endpoint("198.51.100.1", 443))
        self.assertEqual(expected, self.ends_of(BLOCK))
        self.assertEqual(expected, self.ends_of(block(body=ends("192.0.2.7", "198.51.100.1"), more=bytes(99))))
        six = block(family=0x21, body=ends("2001:db8::7", "2001:db8::1"))
        self.assertEqual((Endpoint("2001:db8::7", 1000), Endpoint("2001:db8::1", 443)), self.ends_of(six))

    def test_own(self) -> None:
        """A connection that the proxy makes for itself, or knows nothing about, has its own ends."""
        for header in (
            b"PROXY UNKNOWN\r\n",
            b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
            block(0x20),
            block(0x20, 0x11, ends("192.0.2.7", "198.51.100.1")),
            block(0x21, 0x00),
            block(0x21, 0x31, bytes(216)),
        ):
            self.assertEqual((None, None), self.ends_of(header), header)

    def test_wrong(self) -> None:
        """Anything else is refused, as soon as it can be told."""
        for data in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01",
            b"PROXY\r\n",
            b"PROXX",
            b"proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n",
            b"PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 2\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 1 x\r\n",
            b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
            b"PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n",
            b'PROXY TCP4 evil" 198.51.100.1 1 2\r\n',
            b"PROXY TCP4 \xff 198.51.100.1 1 2\r\n",
            b"PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
            b"PROXY UNKNOWN " + b"x" * 100,
            b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n",
            block(0x11, 0x11, ends("192.0.2.7", "198.51.100.1")),
            block(0x22, 0x11, ends("192.0.2.7", "198.51.100.1")),
            block(0x21, 0x12, ends("192.0.2.7", "198.51.100.1")),
            block(0x21, 0x41, ends("192.0.2.7", "198.51.100.1")),
            block(0x21, 0x11, bytes(11)),
            block(0x21, 0x21, bytes(35)),
            block(0x20, 0x11, bytes(4097)),
        ):
            with self.assertRaises(HeaderInvalid, msg=data):
                ProxyHeader.parse(data)

    def test_pieces(self) -> None:
        """A header that has not come to its end is waited for, wherever it was cut."""
        for header in VALID:
            for cut in range(len(header)):
                self.assertIsNone(ProxyHeader.parse(header[:cut]), (header, cut))

    @given(st.binary(max_size=300))
    @example(SIGNATURE + b"\x21\x11\xff\xff")
    def test_anything(self, data: bytes) -> None:
        """Whatever comes is understood, waited for or refused, and nothing else happens."""
        for begin in (b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21"):
            try:
                ProxyHeader.parse(begin + data)
            except HeaderInvalid as error:
                self.assertIn(" ", str(error))
