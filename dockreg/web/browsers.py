"""What browsers are told. No client of a registry has a use for any of it."""

from collections.abc import Sequence
from urllib.parse import quote

from attrs import define, field
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress
from twisted.web.http_headers import Headers
from twisted.web.server import Request

from dockreg.model.names import is_host_port
from dockreg.model.networks import canonical_address, host_of
from dockreg.web.heads import ResponseHeaders

#: Nothing that is served here is a page: it is shown as what it says it is, in no frame, and runs nothing.
CONTENT_POLICY = (b"Content-Security-Policy", b"default-src 'none'; frame-ancestors 'none'; sandbox")
PLAIN_HEADERS = (
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"no-referrer"),
)
_READING = (b"GET", b"HEAD")
#: What a page of another origin may learn of an answer, and send with a request.
_EXPOSED = (
    b"Accept-Ranges, Content-Range, Docker-Content-Digest, Docker-Distribution-API-Version, ETag, Link, "
    b"OCI-Filters-Applied, Retry-After, WWW-Authenticate"
)
_ALLOWED = b"Accept, Authorization, If-Modified-Since, If-None-Match, If-Range, Range"
_PREFLIGHT_SECONDS = 600
#: The cookie of a browser that was sent on.
_SENT = b"dockreg-sent-on"
_BY_PROXY = (b"via", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto")
#: What of a URL stays as it is.
_URL = "!#$%&'()*+,/:;=?@[]~"


def lines_of(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Headers as they are sent."""
    return b"".join(b"%b: %b\r\n" % each for each in headers)


_PLAIN_LINES = lines_of(PLAIN_HEADERS)
_POLICY_LINES = lines_of([CONTENT_POLICY])
#: What an answer has that is written without headers of its own.
ALL_LINES = _PLAIN_LINES + _POLICY_LINES


def set_headers(request: Request) -> None:
    """The same on a site that is not ours, where nobody adds them to every answer."""
    for name, value in (*PLAIN_HEADERS, CONTENT_POLICY):
        request.setHeader(name, value)
    if request.requestHeaders.hasHeader(b"Authorization"):
        request.setHeader(b"Cache-Control", b"private")


@define(eq=False)
class BrowserHeaders:
    """
    The headers that every answer has.

    :param hsts_seconds: for how long browsers shall come by https only, 0 for not at all.
    """

    hsts_seconds: int = 0
    _own_policy: bytes = field(init=False)
    _no_policy: bytes = field(init=False)

    def __attrs_post_init__(self) -> None:
        hsts = b"Strict-Transport-Security: max-age=%d\r\n" % self.hsts_seconds if self.hsts_seconds else b""
        self._own_policy = _PLAIN_LINES + hsts
        self._no_policy = self._own_policy + _POLICY_LINES

    def lines(self, request: Request, answer: ResponseHeaders) -> bytes:
        """
        Those that are missing, as they are sent.

        :param answer: the headers of the answer; those that it has are left as they are.
        """
        lines = self._own_policy if CONTENT_POLICY[0] in answer.raw else self._no_policy
        if b"Cache-Control" not in answer.raw and request.requestHeaders.getRawHeaders(b"Authorization") is not None:
            # What is said to one is not for others; caches know that (RFC 9111 3.5), and some do not.
            lines += b"Cache-Control: private\r\n"
        return lines


@define(eq=False)
class CrossOrigin:
    """
    The origins whose pages may read here (https://fetch.spec.whatwg.org/#http-cors-protocol). They may never write.

    :param origins: exactly as browsers send them.
    """

    origins: frozenset[str] = frozenset()

    def header_lines(self, request: Request) -> bytes:
        """What an answer says about the origin that asks, as it is sent."""
        if request.method not in _READING:
            return b""
        origin = self._allowed(request)
        vary = b"Vary: Origin\r\n"
        if origin is None:
            return vary
        allow = b"Access-Control-Allow-Origin: %b\r\nAccess-Control-Expose-Headers: %b\r\n"
        return vary + allow % (origin, _EXPOSED)

    def preflight(self, request: Request) -> Sequence[tuple[bytes, bytes]] | None:
        """The headers of the answer to a browser that asks whether it may ask; None for anything else."""
        if not self.origins or request.method != b"OPTIONS":
            return None
        origin = self._allowed(request)
        wanted = request.requestHeaders.getRawHeaders(b"access-control-request-method", [])
        if origin is None or len(wanted) != 1 or wanted[0] not in _READING:
            return None
        return [
            (b"Access-Control-Allow-Origin", origin),
            (b"Access-Control-Allow-Methods", b"GET, HEAD"),
            (b"Access-Control-Allow-Headers", _ALLOWED),
            (b"Access-Control-Max-Age", b"%d" % _PREFLIGHT_SECONDS),
            (b"Vary", b"Origin"),
        ]

    def _allowed(self, request: Request) -> bytes | None:
        values = request.requestHeaders.getRawHeaders(b"origin", [])
        origin = values[0].decode("latin-1") if len(values) == 1 else ""
        return origin.encode("ascii") if origin in self.origins else None


@define(eq=False)
class Upgrade:
    """
    Where people who came by plain http find the same over TLS.

    Nobody is sent there twice in a minute: a proxy that speaks TLS with browsers, and plain http with us without saying
    so, would bring them back for ever.

    :param base_url: the URL of the registry for all clients, if that is known.
    """

    base_url: str = ""
    _addresses: list[IPv4Address | IPv6Address] = field(factory=list, init=False)

    def opened(self, address: IAddress) -> None:
        """A listener speaks TLS there."""
        if isinstance(address, IPv4Address | IPv6Address):
            self._addresses.append(address)

    def closed(self) -> None:
        """None does any more."""
        self._addresses.clear()

    def headers(self, request: Request, scheme: str | None) -> Sequence[tuple[bytes, bytes]] | None:
        """
        The headers that send a browser on; None for who is none, has come by TLS, or can not be sent anywhere.

        A browser is what asks to be upgraded when it opens a page (https://www.w3.org/TR/upgrade-insecure-requests/).

        :param scheme: by which it came, where a trusted proxy tells.
        """
        headers = request.requestHeaders
        if request.method not in _READING or not request.uri.startswith(b"/") or not _is_browser(headers):
            return None
        if request.isSecure() or scheme == "https" or request.getCookie(_SENT) is not None:
            return None
        if scheme is None and any(headers.hasHeader(name) for name in _BY_PROXY):
            # How it came to the proxy nobody knows who is believed.
            return None
        base = self._base(request)
        if base is None:
            return None
        return [
            (b"Location", (base + quote(request.uri, safe=_URL)).encode("ascii")),
            (b"Set-Cookie", _SENT + b"=1; Max-Age=60; Path=/; HttpOnly; SameSite=Lax"),
            (b"Vary", b"Accept, Cookie, Upgrade-Insecure-Requests"),
        ]

    def _base(self, request: Request) -> str | None:
        if self.base_url:
            return self.base_url if self.base_url.startswith("https://") else None
        return self._own_url(request)

    def _own_url(self, request: Request) -> str | None:
        hosts = [each.decode("latin-1").strip() for each in request.requestHeaders.getRawHeaders(b"host", [])]
        port = self._port(request.getHost())
        if port is None or len(hosts) != 1 or not is_host_port(hosts[0]):
            return None
        host = hosts[0] if hosts[0].endswith("]") else hosts[0].rpartition(":")[0] or hosts[0]
        return f"https://{host}" if port == 443 else f"https://{host}:{port}"

    def _port(self, asked: IAddress) -> int | None:
        # Only where the client can come to by the address that it has used.
        place = host_of(asked)
        for each in self._addresses:
            if each.host in ("0.0.0.0", "::") or (canonical_address(each.host) or each.host) == place:  # noqa: S104  # a look at where we are
                return each.port
        return None


def _is_browser(headers: Headers) -> bool:
    if headers.getRawHeaders(b"upgrade-insecure-requests") != [b"1"]:
        return False
    return any(b"text/html" in each.lower() for each in headers.getRawHeaders(b"accept", []))
