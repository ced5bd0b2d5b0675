"""Tests for dockreg.web.v2.locations."""

from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.networks import Networks
from dockreg.web.proxies import Proxies
from dockreg.web.v2.locations import Locations
from tests.unit.web.v2.exchanges import exchange_of

PATH = "/v2/a/b/blobs/uploads/x"
PROXY = Proxies(Networks.parse(["192.0.2.1"]))


class LocationTests(SynchronousTestCase):
    """Where clients are sent."""

    def location(self, locations: Locations, *headers: str, secure: bool = False, client: str = "192.0.2.1") -> str:
        return locations.of(exchange_of("POST /", *headers, secure=secure, client=client), PATH)

    def test_relative(self) -> None:
        """A location is relative where nothing speaks against it."""
        for headers in ((), ("User-Agent: docker/20.10.24",), ("User-Agent: docker/1.8.3",), ("User-Agent: x",)):
            self.assertEqual(PATH, self.location(Locations(), *headers))

    def test_old_engines(self) -> None:
        """Engines 1.6 and 1.7 get the address that they have asked, and no others whose names begin alike."""
        for agent, absolute in (
            ("docker/1.6.0", True),
            ("docker/1.6", True),
            ("docker/1.7.1 go/go1.4.2 kernel/3.10", True),
            ("docker/1.60.0", False),
            ("docker/1.71.0", False),
            ("docker/11.6.0", False),
            ("notdocker/1.6.0", False),
        ):
            expected = f"http://registry{PATH}" if absolute else PATH
            self.assertEqual(expected, self.location(Locations(), f"User-Agent: {agent}"), agent)

    def test_old_engine_over_tls(self) -> None:
        """The address has the scheme of the connection."""
        location = self.location(Locations(), "User-Agent: docker/1.6.0", secure=True)
        self.assertEqual(f"https://registry{PATH}", location)

    def test_base_url(self) -> None:
        """A configured address is that of all clients, whatever they or proxies say."""
        locations = Locations("https://registry.example/sub", PROXY)
        for headers in ((), ("User-Agent: docker/1.6.0",), ("X-Forwarded-Proto: http", "X-Forwarded-Host: other")):
            self.assertEqual(f"https://registry.example/sub{PATH}", self.location(locations, *headers))

    def test_quoted(self) -> None:
        """What has no place in a URL is quoted; what is quoted already, and a query, stay."""
        quoted = Locations().of(exchange_of(), '/v2/a/blobs/\u00e4 "\r\n%2B?n=1&last=~a')
        self.assertEqual("/v2/a/blobs/%C3%A4%20%22%0D%0A%2B?n=1&last=~a", quoted)


class ProxyTests(SynchronousTestCase):
    """What proxies say of the address that a client has asked."""

    def told(self, *headers: str, client: str = "192.0.2.1") -> str:
        """What comes before the path."""
        location = Locations(proxies=PROXY).of(exchange_of("POST /", *headers, client=client), PATH)
        self.assertTrue(location.endswith(PATH))
        return location.removesuffix(PATH)

    def test_x_forwarded(self) -> None:
        """Scheme and host are told in headers of their own; what one of them does not say is as the request has it."""
        for headers, expected in (
            (("X-Forwarded-Proto: https", "X-Forwarded-Host: r.example:444"), "https://r.example:444"),
            (("X-Forwarded-Proto: HTTPS",), "https://registry"),
            (("X-Forwarded-Host: r.example",), "http://r.example"),
            (("X-Forwarded-Proto: http, https", "X-Forwarded-Host: a.example , b.example"), "https://b.example"),
            (("X-Forwarded-Host: [2001:db8::1]:5000",), "http://[2001:db8::1]:5000"),
            (("X-Forwarded-For: 198.51.100.1",), ""),
        ):
            self.assertEqual(expected, self.told(*headers), headers)

    def test_forwarded(self) -> None:
        """Of the standard header that element counts which the trusted proxy has written."""
        for header, expected in (
            ("proto=https;host=r.example", "https://r.example"),
            ("Proto=HTTPS; Host=r.example", "https://r.example"),
            ('for="[2001:db8::1]";host="r.example:444";proto=https', "https://r.example:444"),
            ("proto=http;host=other, for=198.51.100.1;proto=https", "https://registry"),
            ("host=other, for=198.51.100.1", ""),
            ('host="[2001:db8::1]"', "http://[2001:db8::1]"),
            ("by=proto;for=host", ""),
            ("", ""),
        ):
            self.assertEqual(expected, self.told(f"Forwarded: {header}"), header)

    def test_origin(self) -> None:
        """The scheme and host by which the client knows the registry are told for every request."""
        locations = Locations(proxies=PROXY)
        told = exchange_of("GET /", "X-Forwarded-Proto: https", "X-Forwarded-Host: r.example")
        self.assertEqual("https://r.example", locations.origin(told.request))
        self.assertEqual("http://registry", locations.origin(exchange_of().request))
        self.assertEqual("https://x/y", Locations("https://x/y", PROXY).origin(told.request))

    def test_unsound(self) -> None:
        """What is no scheme or no host is not repeated."""
        for header in (
            "X-Forwarded-Proto: javascript",
            "X-Forwarded-Proto: ",
            "X-Forwarded-Host: a b",
            "X-Forwarded-Host: user@host",
            "X-Forwarded-Host: host/path",
            "X-Forwarded-Host: host:99999",
            "X-Forwarded-Host: \u00e4",
            'Forwarded: host="a b"',
            'Forwarded: host="a\\"b";proto=ftp',
            "Forwarded: proto=https://x",
        ):
            self.assertEqual("", self.told(header), header)

    def test_others(self) -> None:
        """Nobody else is believed, whoever he pretends to be."""
        headers = ("X-Forwarded-Proto: https", "X-Forwarded-Host: r.example", "X-Forwarded-For: 192.0.2.1")
        self.assertEqual("", self.told(*headers, client="192.0.2.2"))
        self.assertEqual("", self.told("Forwarded: for=192.0.2.1;host=r.example", client="192.0.2.2"))
        untrusting = Locations().of(exchange_of("POST /", *headers), PATH)
        self.assertEqual(PATH, untrusting)

    def test_old_engine(self) -> None:
        """An old engine behind a proxy that says nothing gets the host that the proxy has passed on."""
        self.assertEqual("http://registry", self.told("User-Agent: docker/1.7.0"))
