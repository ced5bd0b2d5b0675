"""Tests of :mod:`dockreg.web.proxies`: who is believed, and how far."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.test.requesthelper import DummyRequest

from dockreg.model.networks import NO_ADDRESS, Networks
from dockreg.web.proxies import Origin, Proxies, client_address
from tests.unit.web.v2.exchanges import exchange_of

NEAR, FAR = "10.0.0.1", "10.0.0.2"
STRANGER, CLIENT = "198.51.100.66", "192.0.2.7"
TRUSTED = Networks.parse(["10.0.0.0/24", "2001:db8:1::/48"])


def headers_of(*lines: str) -> Headers:
    """Headers, one for each line."""
    headers = Headers()
    for line in lines:
        name, _, value = line.partition(":")
        headers.addRawHeader(name.encode(), value.strip().encode("latin-1"))
    return headers


class OriginCase(SynchronousTestCase):
    """Asks for the origin of requests that come from the near proxy."""

    def origin(self, *lines: str, peer: str = NEAR, headers: str = "auto") -> Origin:
        return Proxies(TRUSTED, headers).origin(peer, headers_of(*lines))

    def address(self, *lines: str, headers: str = "auto") -> str:
        return self.origin(*lines, headers=headers).address


class ChainTests(OriginCase):
    """How far a chain is followed."""

    def both(self, *addresses: str) -> set[str]:
        """The client by either header, with these addresses in it."""
        forwarded = ", ".join(f"for={each}" for each in addresses)
        return {
            self.address(f"X-Forwarded-For: {', '.join(addresses)}"),
            self.address(f"Forwarded: {forwarded}"),
            # Several lines are one list.
            self.address(*(f"X-Forwarded-For: {each}" for each in addresses)),
        }

    def test_one(self) -> None:
        """What the proxy says is the client."""
        self.assertEqual({CLIENT}, self.both(CLIENT))

    def test_pretender(self) -> None:
        """What a client has written before it is not looked at, whoever it pretends to be."""
        for pretended in (STRANGER, NEAR, "127.0.0.1", "unknown", "nonsense"):
            self.assertEqual({CLIENT}, self.both(pretended, CLIENT))

    def test_several_proxies(self) -> None:
        """A trusted proxy before a trusted proxy is believed too, and a stranger's word is not, however it goes on."""
        self.assertEqual({CLIENT}, self.both(STRANGER, CLIENT, FAR))
        self.assertEqual({STRANGER}, self.both(CLIENT, FAR, STRANGER))

    def test_only_proxies(self) -> None:
        """Where all are trusted, the first one asks for itself."""
        self.assertEqual({FAR}, self.both(FAR, NEAR))

    def test_nothing(self) -> None:
        """A proxy that tells nothing, or nothing that can be used, asks for itself."""
        self.assertEqual(Origin(NEAR), self.origin())
        for told in (
            "unknown",
            "_hidden",
            "",
            "999.0.2.7",
            "a b",
            "192.0.2.7:99:",
            "[2001:db8::7",
            NO_ADDRESS,
            "unix:",
        ):
            self.assertEqual(NEAR, self.address(f"X-Forwarded-For: {told}"), told)
            self.assertEqual(NEAR, self.address(f'Forwarded: for="{told}"'), told)

    def test_not_trusted(self) -> None:
        """A stranger who speaks for others is not believed."""
        lines = (f"X-Forwarded-For: {CLIENT}", "X-Forwarded-Proto: https", "X-Forwarded-Host: r.example")
        self.assertEqual(Origin(STRANGER), self.origin(*lines, peer=STRANGER))
        self.assertEqual(Origin(NEAR), Proxies().origin(NEAR, headers_of(*lines)))

    def test_unix(self) -> None:
        """A proxy behind a unix socket is believed where that is configured."""
        proxies = Proxies(Networks.parse(["unix"]))
        lines = headers_of(f"X-Forwarded-For: {CLIENT}")
        self.assertEqual(CLIENT, proxies.origin(NO_ADDRESS, lines).address)
        self.assertEqual(NO_ADDRESS, Proxies(TRUSTED).origin(NO_ADDRESS, lines).address)

    def test_forms(self) -> None:
        """An address may have a port and brackets, as proxies write it, and comes out in one form."""
        for told, expected in (
            (f"{CLIENT}:1024", CLIENT),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:1024", "2001:db8::7"),
            ("2001:DB8::7", "2001:db8::7"),
            (f"::ffff:{CLIENT}", CLIENT),
        ):
            self.assertEqual(expected, self.address(f"X-Forwarded-For: {told}"))
            self.assertEqual(expected, self.address(f'Forwarded: for="{told}"'))


class SeenTests(OriginCase):
    """Scheme and host."""

    def test_of_the_client(self) -> None:
        """They are those that the client has asked, as the proxy next to it has seen."""
        expected = Origin(CLIENT, "https", "r.example")
        for lines in (
            (f"X-Forwarded-For: {CLIENT}", "X-Forwarded-Proto: https", "X-Forwarded-Host: r.example"),
            (f"X-Forwarded-For: {CLIENT}, {FAR}", "X-Forwarded-Proto: https", "X-Forwarded-Host: r.example"),
            (
                f"X-Forwarded-For: {STRANGER}, {CLIENT}, {FAR}",
                "X-Forwarded-Proto: ftp, https, http",
                "X-Forwarded-Host: evil.example, r.example, inner",
            ),
            (f"Forwarded: for={CLIENT};proto=https;host=r.example",),
            (f"Forwarded: for=1.1.1.1;host=evil, for={CLIENT};Host=r.example ; PROTO=HTTPS, For={FAR};proto=http",),
            (f"Forwarded: for={CLIENT};proto=https;host=r.example", f"Forwarded: for={FAR}"),
        ):
            self.assertEqual(expected, self.origin(*lines), lines)

    def test_unsound(self) -> None:
        """What is no scheme, or no host, was not told."""
        for scheme, host in (("ftp", "a b"), ("", ""), ("https://", "user@host"), ("javascript", "host/path")):
            lines = (f"X-Forwarded-For: {CLIENT}", f"X-Forwarded-Proto: {scheme}", f"X-Forwarded-Host: {host}")
            self.assertEqual(Origin(CLIENT), self.origin(*lines))


class BothTests(OriginCase):
    """Which header counts."""

    LINES = (f"Forwarded: for={STRANGER};proto=http", f"X-Forwarded-For: {CLIENT}")

    def test_auto(self) -> None:
        """Of both, those count that most proxies set: the other one may have come from the client."""
        self.assertEqual(CLIENT, self.address(*self.LINES))

    def test_configured(self) -> None:
        """What is configured counts, and the other does not even when it is alone."""
        self.assertEqual(STRANGER, self.address(*self.LINES, headers="forwarded"))
        self.assertEqual(CLIENT, self.address(*self.LINES, headers="x-forwarded"))
        self.assertEqual(NEAR, self.address(self.LINES[0], headers="x-forwarded"))
        self.assertEqual(NEAR, self.address(self.LINES[1], headers="forwarded"))


class AttackTests(OriginCase):
    """Headers that are made to be read in another way than they were written."""

    def test_quotation_marks(self) -> None:
        """What a client did not close does not swallow what the proxy has added."""
        for begun in ('for="', 'for="1.1.1.1', 'for="\\', '"', 'for=1.1.1.1;host="x,y', '"",,"'):
            for added in (f"for={CLIENT}", f'for="{CLIENT}:80"', f'for="{CLIENT}";proto=https'):
                self.assertEqual(CLIENT, self.address(f"Forwarded: {begun}, {added}"), (begun, added))
                self.assertEqual(CLIENT, self.address(f"Forwarded: {begun}", f"Forwarded: {added}"), (begun, added))

    def test_nonsense(self) -> None:
        """An element that does not follow the grammar says nothing."""
        for element in (f"for={CLIENT} proto=https", f"for {CLIENT}", f"for={CLIENT};;=", "=", f'for="{CLIENT}"x'):
            self.assertEqual(Origin(NEAR), self.origin(f"Forwarded: {element}"), element)

    @given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60), st.booleans())
    def test_anything(self, text: str, by_x: bool) -> None:
        """Whatever stands before it, the proxy's own element counts."""
        line = f"X-Forwarded-For: {text}, {CLIENT}" if by_x else f'Forwarded: {text}, for="{CLIENT}"'
        self.assertEqual(CLIENT, self.address(line))

    def test_long(self) -> None:
        """A header of nothing but separators is read in no time."""
        for text in ("," * 16000, '",' * 8000, ";" * 16000, "a=b;" * 4000, " " * 16000, "a" * 16000):
            self.address(f"Forwarded: {text}")
            self.address(f"X-Forwarded-For: {text}")


class ClientAddressTests(SynchronousTestCase):
    """:func:`dockreg.web.proxies.client_address`."""

    def test_our_site(self) -> None:
        """On a site of ours, it is what its proxies tell."""
        for proxies, expected in ((None, NEAR), (Proxies(TRUSTED), CLIENT)):
            exchange = exchange_of("GET /", f"X-Forwarded-For: {CLIENT}", client=NEAR, proxies=proxies)
            self.assertEqual(expected, client_address(exchange.request))

    def test_foreign_site(self) -> None:
        """On another, it is the peer."""
        request: Any = DummyRequest([])
        request.client = IPv4Address("TCP", NEAR, 1)
        request.getClientAddress = lambda: request.client
        self.assertEqual(NEAR, client_address(request))
