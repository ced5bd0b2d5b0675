"""Tests of :mod:`dockreg.web.entrance` and :mod:`dockreg.web.browsers`, on a site in memory."""

import json
from typing import Any

from attrs import evolve
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.networks import Networks
from dockreg.web.browsers import BrowserHeaders, CrossOrigin, Upgrade
from dockreg.web.entrance import Entrance
from dockreg.web.limits import Limits
from dockreg.web.proxies import Proxies
from dockreg.web.rates import RateLimit
from dockreg.web.requests import Request
from tests.unit.web.wire import Server, Transport, head, statuses

PAGE = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
BROWSER = (PAGE, "Upgrade-Insecure-Requests: 1")
UI = "https://ui.example"


class Answer:
    """A response in its parts."""

    def __init__(self, raw: bytes) -> None:
        top, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = top.decode("latin-1").split("\r\n")
        _, status, self.reason = first.split(" ", 2)
        self.status = int(status)
        self.lines = [line.split(": ", 1) for line in lines]

    def __getitem__(self, name: str) -> str | None:
        """All values of a header."""
        values = [value for each, value in self.lines if each.lower() == name]
        return ", ".join(values) if values else None


class EntranceCase(SynchronousTestCase):
    """A site with an entrance."""

    proxies: Proxies | None = None
    limits = Limits()

    def setUp(self) -> None:
        self.reached: list[bytes] = []
        self.server = Server(self.serve, self.limits, self.proxies)
        self.own: list[tuple[bytes, bytes]] = []

    async def serve(self, request: Request) -> bytes:
        self.reached.append(request.uri)
        for name, value in self.own:
            request.setHeader(name, value)
        return b"served"

    def enter(self, **rules: Any) -> None:
        """Set the rules."""
        self.server.site.entrance = Entrance(**rules)

    def ask(self, line: str, *headers: str, host: str = "192.0.2.1") -> Answer:
        """The answer to one request."""
        channel, transport = self.server.connect(host)
        channel.dataReceived(head(line, *headers))
        return Answer(transport.value())


class HeaderTests(EntranceCase):
    """What every answer says to browsers."""

    def test_all(self) -> None:
        """An answer is no page, in no frame, is what it says it is, and does not tell where people came from."""
        answer = self.ask("GET /")
        self.assertEqual("nosniff", answer["x-content-type-options"])
        self.assertEqual("no-referrer", answer["referrer-policy"])
        policy = str(answer["content-security-policy"])
        for part in ("default-src 'none'", "frame-ancestors 'none'", "sandbox"):
            self.assertIn(part, policy)
        for name in ("strict-transport-security", "access-control-allow-origin", "cache-control", "vary"):
            self.assertIsNone(answer[name], name)

    def test_refusals(self) -> None:
        """So is one that nobody was asked for."""
        for sent in (b"nonsense\r\n\r\n", head("GET /", "X: " + "y" * 20_000)):
            channel, transport = self.server.connect()
            channel.dataReceived(sent)
            answer = Answer(transport.value())
            for name in ("x-content-type-options", "referrer-policy", "content-security-policy"):
                self.assertIsNotNone(answer[name], name)

    def test_own(self) -> None:
        """A handler that serves a page has its own policy, and its own rules for caches."""
        self.own = [(b"Content-Security-Policy", b"default-src 'self'"), (b"Cache-Control", b"no-store")]
        answer = self.ask("GET /", "Authorization: Basic YTpi")
        self.assertEqual(
            ("default-src 'self'", "no-store"), (answer["content-security-policy"], answer["cache-control"])
        )

    def test_credentials(self) -> None:
        """What is said to somebody who has shown credentials is for no cache that others use."""
        self.assertEqual("private", self.ask("GET /", "Authorization: Basic YTpi")["cache-control"])

    def test_hsts(self) -> None:
        """A site of TLS tells browsers to come back by TLS, and another one does not."""
        self.enter(browsers=BrowserHeaders(300))
        self.assertEqual("max-age=300", self.ask("GET /")["strict-transport-security"])


class RateTests(EntranceCase):
    """How many requests there may be."""

    limits = Limits(exempt_addresses=Networks.parse(["198.51.100.0/24"]))
    proxies = Proxies(Networks.parse(["10.0.0.1"]))

    def setUp(self) -> None:
        super().setUp()
        self.enter(rates=RateLimit(2, 3, self.server.clock))

    def statuses(self, count: int, *headers: str, line: str = "GET /", host: str = "192.0.2.1") -> list[int]:
        return [self.ask(line, *headers, host=host).status for _ in range(count)]

    def test_refused(self) -> None:
        """A request too many is answered in the form of its door, with the time to wait, and reaches nobody."""
        self.assertEqual([200] * 3, self.statuses(3))
        for line, version in (("GET /v2/a/manifests/b", "registry/2.0"), ("GET /v1/_ping", None), ("GET /", None)):
            answer = self.ask(line)
            self.assertEqual(
                (429, "1", "application/json"), (answer.status, answer["retry-after"], answer["content-type"])
            )
            self.assertEqual("Too Many Requests", answer.reason)
            self.assertEqual(version, answer["docker-distribution-api-version"])
            document = json.loads(answer.body)
            if version:
                (error,) = document["errors"]
                self.assertEqual("TOOMANYREQUESTS", error["code"])
            else:
                self.assertIsInstance(document["error"], str)
        self.assertEqual(3, len(self.reached))

    def test_wait(self) -> None:
        """The time to wait is told in whole seconds, and after it one is served."""
        self.enter(rates=RateLimit(0.3, 1, self.server.clock))
        self.assertEqual([200, 429], self.statuses(2))
        self.assertEqual("4", self.ask("GET /")["retry-after"])
        self.server.pass_time(4)
        self.assertEqual([200, 429], self.statuses(2))

    def test_head(self) -> None:
        """A refusal of a HEAD request has no content."""
        self.statuses(3)
        answer = self.ask("HEAD /v2/a/manifests/b")
        self.assertEqual((429, b""), (answer.status, answer.body))
        self.assertGreater(int(str(answer["content-length"])), 10)

    def test_body(self) -> None:
        """A refused upload is answered before its body comes, and the connection closed if that is large."""
        self.statuses(3)
        answer = self.ask("PUT /", "Content-Length: 1000000")
        self.assertEqual((429, "close"), (answer.status, answer["connection"]))

    def test_connection(self) -> None:
        """A client may go on with its connection, and is counted on all that it has."""
        channel, transport = self.server.connect()
        channel.dataReceived(head("GET /a") * 5)
        self.assertEqual([200] * 3 + [429] * 2, statuses(transport))
        self.assertEqual([429], self.statuses(1))

    def test_exempt(self) -> None:
        """This machine, unix sockets and configured networks may send what they like."""
        for host in ("127.0.0.1", "::1", "198.51.100.7"):
            self.assertEqual([200] * 10, self.statuses(10, host=host), host)
        channel = self.server.site.buildProtocol(UNIXAddress(None))
        assert channel is not None
        transport = Transport()
        transport.peerAddr = UNIXAddress(None)
        channel.makeConnection(transport)
        channel.dataReceived(head("GET /a") * 10)
        self.assertEqual([200] * 10, statuses(transport))

    def test_networks(self) -> None:
        """Hosts of one network of 64 bits of IPv6 count as one."""
        self.statuses(3, host="2001:db8::1")
        self.assertEqual([429], self.statuses(1, host="2001:db8::2"))
        self.assertEqual([200], self.statuses(1, host="2001:db8:0:1::1"))

    def test_proxies(self) -> None:
        """Of a trusted proxy the clients count; who only pretends to be one counts itself."""
        for client in ("192.0.2.7", "192.0.2.8"):
            expected = [200] * 3 + [429]
            self.assertEqual(expected, self.statuses(4, f"X-Forwarded-For: {client}", host="10.0.0.1"), client)
        self.assertEqual([200] * 10, self.statuses(10, host="10.0.0.1"))
        answers = [self.ask("GET /", f"X-Forwarded-For: 127.0.0.{number}") for number in range(4)]
        self.assertEqual([200] * 3 + [429], [answer.status for answer in answers])


class LengthTests(EntranceCase):
    """How long a URL may be."""

    def test_too_long(self) -> None:
        """A longer one is refused in the form of its door, and not repeated; the connection goes on."""
        self.enter(url_bytes=600)
        for path in ("/v1/" + "x" * 600, "/v2/a?" + "x" * 600):
            answer = self.ask(f"GET {path}")
            self.assertEqual((414, None), (answer.status, answer["connection"]))
            self.assertIn(b"longer than 600 bytes", answer.body)
            self.assertNotIn(b"xxx", answer.body)
        self.assertEqual(200, self.ask("GET /" + "x" * 599).status)
        self.assertEqual(1, len(self.reached))


class CrossOriginTests(EntranceCase):
    """Pages of other origins."""

    def test_off(self) -> None:
        """By default nothing is said to them."""
        for line in ("GET /", "OPTIONS /"):
            answer = self.ask(line, f"Origin: {UI}", "Access-Control-Request-Method: GET")
            self.assertEqual([], [name for name, _ in answer.lines if name.lower().startswith("access-control")])

    def test_read(self) -> None:
        """A page of an origin that is listed may read, and what it needs; no other may."""
        self.enter(cross_origin=CrossOrigin(frozenset({UI})))
        for line in ("GET /", "HEAD /"):
            answer = self.ask(line, f"Origin: {UI}")
            self.assertEqual((UI, "Origin"), (answer["access-control-allow-origin"], answer["vary"]))
            self.assertIn("Docker-Content-Digest", str(answer["access-control-expose-headers"]))
            self.assertIsNone(answer["access-control-allow-credentials"])
        for origin in (
            "https://evil.example", f"{UI}.evil.example", "http://ui.example", f"{UI}:444", "null", "*", "", f"{UI}, {UI}",
            "https://UI.example",
        ):  # fmt: skip
            answer = self.ask("GET /", f"Origin: {origin}")
            # Caches must know that another origin would have got another answer.
            self.assertEqual((None, "Origin"), (answer["access-control-allow-origin"], answer["vary"]), origin)
        twice = self.ask("GET /", f"Origin: {UI}", f"Origin: {UI}")
        self.assertIsNone(twice["access-control-allow-origin"])

    def test_write(self) -> None:
        """Nobody may write: neither is a page told that it may, nor can it read the answer."""
        self.enter(cross_origin=CrossOrigin(frozenset({UI})))
        for method in ("PUT", "POST"):
            self.assertIsNone(self.ask(f"{method} /", f"Origin: {UI}")["access-control-allow-origin"])
        for method in ("PUT", "POST", "DELETE", "PATCH", "get", "GET, PUT", ""):
            answer = self.ask("OPTIONS /v2/a/manifests/b", f"Origin: {UI}", f"Access-Control-Request-Method: {method}")
            self.assertEqual((405, None), (answer.status, answer["access-control-allow-methods"]), method)

    def test_preflight(self) -> None:
        """A browser that asks first learns that it may read, with credentials of the page."""
        self.enter(cross_origin=CrossOrigin(frozenset({UI})))
        for method in ("GET", "HEAD"):
            answer = self.ask(
                "OPTIONS /v2/a/manifests/b",
                f"Origin: {UI}",
                f"Access-Control-Request-Method: {method}",
                "Access-Control-Request-Headers: authorization",
            )
            self.assertEqual((204, b""), (answer.status, answer.body))
            self.assertEqual(
                (UI, "GET, HEAD"), (answer["access-control-allow-origin"], answer["access-control-allow-methods"])
            )
            self.assertIn("Authorization", str(answer["access-control-allow-headers"]))
            self.assertNotIn("X-", str(answer["access-control-allow-headers"]))
        self.assertEqual([], self.reached)
        other = self.ask("OPTIONS /", "Origin: https://evil.example", "Access-Control-Request-Method: GET")
        self.assertEqual((405, None), (other.status, other["access-control-allow-origin"]))


class UpgradeTests(EntranceCase):
    """Browsers that come by plain http."""

    proxies = Proxies(Networks.parse(["10.0.0.1"]))

    def setUp(self) -> None:
        super().setUp()
        self.upgrade = Upgrade()
        self.upgrade.opened(IPv4Address("TCP", "0.0.0.0", 5443))
        self.enter(upgrade=self.upgrade)

    def sent_to(self, *headers: str, line: str = "GET /v2/?a=b", host: str = "192.0.2.1") -> str | None:
        """Where a browser is sent."""
        return self.ask(line, *BROWSER, *headers, host=host)["location"]

    def test_browser(self) -> None:
        """A browser is sent to the same place over TLS, for this time only, and no cache shall remember."""
        answer = self.ask("GET /v2/?a=b", *BROWSER)
        self.assertEqual((307, "https://registry:5443/v2/?a=b"), (answer.status, answer["location"]))
        self.assertEqual(("no-cache", "application/json"), (answer["cache-control"], answer["content-type"]))
        self.assertIn("Upgrade-Insecure-Requests", str(answer["vary"]))
        self.assertEqual([], self.reached)

    def test_clients(self) -> None:
        """A client of a registry is never sent anywhere, whatever of a browser it has."""
        for headers in (
            (),
            ("User-Agent: docker/24.0.5 go/go1.20.6",),
            ("Accept: */*",),
            (PAGE,),
            ("Upgrade-Insecure-Requests: 1", "Accept: application/vnd.oci.image.manifest.v1+json"),
            ("Upgrade-Insecure-Requests: 0", PAGE),
        ):
            self.assertEqual(200, self.ask("GET /v2/", *headers).status, headers)
        for line in ("PUT /", "POST /"):
            self.assertEqual(200, self.ask(line, *BROWSER).status)

    def test_once(self) -> None:
        """A browser that was sent on and comes back is served: it would be sent on for ever."""
        cookie = str(self.ask("GET /", *BROWSER)["set-cookie"])
        self.assertIn("Max-Age=60", cookie)
        self.assertIsNone(self.sent_to(f"Cookie: {cookie.partition(';')[0]}"))

    def test_behind_proxy(self) -> None:
        """Who has come to a proxy by TLS stays there. What a proxy says that is not trusted is not clear enough."""
        self.assertIsNone(self.sent_to("X-Forwarded-Proto: https", host="10.0.0.1"))
        self.assertIsNotNone(self.sent_to("X-Forwarded-Proto: http", host="10.0.0.1"))
        for header in ("X-Forwarded-Proto: http", "X-Forwarded-For: 192.0.2.9", "Forwarded: for=x", "Via: 1.1 x"):
            self.assertIsNone(self.sent_to(header))

    def test_places(self) -> None:
        """Only a place that the browser can come to is named: that of all addresses, or of the one that it has used."""
        for address, expected in (
            (IPv4Address("TCP", "0.0.0.0", 443), "https://registry/v2/?a=b"),
            (IPv6Address("TCP", "::", 5443), "https://registry:5443/v2/?a=b"),
            # The address of this end of a connection in memory.
            (IPv4Address("TCP", "10.0.0.1", 5443), "https://registry:5443/v2/?a=b"),
            (IPv4Address("TCP", "10.0.0.2", 5443), None),
            (IPv4Address("TCP", "127.0.0.1", 5443), None),
            (UNIXAddress("/run/x"), None),
        ):
            self.upgrade.closed()
            self.upgrade.opened(address)
            self.assertEqual(expected, self.sent_to(), address)
        self.upgrade.closed()
        self.assertIsNone(self.sent_to())

    def test_hosts(self) -> None:
        """The host is the one that was asked for, without its port; what is no host is not repeated."""
        for host, expected in (
            ("r.example:5000", "https://r.example:5443/"),
            ("r.example", "https://r.example:5443/"),
            ("[2001:db8::1]:5000", "https://[2001:db8::1]:5443/"),
            ("[2001:db8::1]", "https://[2001:db8::1]:5443/"),
            ("evil/example", None),
            ("a b", None),
            ("a@b", None),
        ):
            channel, transport = self.server.connect()
            lines = "\r\n".join(["GET / HTTP/1.1", f"Host: {host}", *BROWSER, "", ""])
            channel.dataReceived(lines.encode())
            self.assertEqual(expected, Answer(transport.value())["location"], host)

    def test_url(self) -> None:
        """What has no place in a URL is quoted, and an absolute one, as for a proxy, is left alone."""
        channel, transport = self.server.connect()
        lines = "\r\n".join(["", "Host: r", *BROWSER, "", ""]).encode()
        channel.dataReceived(b'GET /a"<b>%2F?\x80 HTTP/1.1' + lines)
        self.assertEqual("https://r:5443/a%22%3Cb%3E%2F?%80", Answer(transport.value())["location"])
        self.assertIsNone(self.sent_to(line="GET http://evil.example/"))

    def test_configured(self) -> None:
        """A URL that is configured for all goes before, if it is one of TLS."""
        self.enter(upgrade=Upgrade("https://r.example/sub"))
        self.assertEqual("https://r.example/sub/v2/?a=b", self.sent_to())
        self.enter(upgrade=evolve(self.upgrade, base_url="http://r.example"))
        self.assertIsNone(self.sent_to())
