"""One operation of an engine: which scheme it found, which credentials it sends, and each request it made."""

import gzip
import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from attrs import Factory, define, evolve, field, frozen
from twisted.internet import defer
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IStreamClientEndpoint,
)
from twisted.web.client import RequestTransmissionFailed, ResponseFailed

from dockreg.testing.engines import BARE_AGENT, EngineProfile, V2Probe
from dockreg.testing.wire import Answer, WireRequest, exchange

#: Seconds that a ping may take (up to 1.6; later engines give more).
PING_SECONDS = 10.0


class EngineFailed(Exception):
    """The engine gave up. The text is what it prints, ``status`` what it had been answered."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Unreachable(Exception):
    """Nothing that speaks HTTP answered."""


@frozen
class Account:
    """What ``docker login`` asks for."""

    username: str
    password: str = field(repr=False)
    email: str = "someone@example.org"

    @property
    def basic(self) -> str:
        """The value of an ``Authorization`` header."""
        return _basic(self.username, self.password)


@frozen
class Sent:
    """One request that an engine made, and the status of its answer (0 where none came)."""

    scheme: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    status: int

    @property
    def authorization(self) -> str:
        """The scheme word of the credentials, empty without any."""
        return dict(self.headers).get("Authorization", "").partition(" ")[0]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"


def _basic(username: str, password: str) -> str:
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode("ascii")


@define(eq=False)
class Session:
    """
    One operation (a login, a push ...) of one engine against one registry.

    :param registry: ``host:port``, as the user typed it.
    :param tls: makes https connections to ``registry``.
    :param schemes: those that are tried.
    :param sent: where each request is noted down.
    :param keeps_cookies: send back what ``Set-Cookie`` brought, to the index and to image calls alike.
    """

    profile: EngineProfile
    registry: str
    reactor: Any
    tls: IOpenSSLClientConnectionCreator
    account: Account | None
    sent: list[Sent]
    schemes: Sequence[str] = ("https", "http")
    keeps_cookies: bool = True
    scheme: str = "https"
    standalone: bool = True
    tokens: list[str] = Factory(list)
    endpoints: list[str] = Factory(list)
    cookies: dict[str, str] = Factory(dict)

    async def open(self, both_sides: bool = True, starts: bool = True) -> None:
        """
        Find the scheme as this engine does ("ping and scheme negotiation").

        :param both_sides: command line and daemon ping for themselves where the engine does so.
        :param starts: an operation follows that has its own ping over https.
        :raises EngineFailed: no registry was found.
        """
        if self.profile.probes_v2 is V2Probe.PER_ENDPOINT and both_sides:
            await self._try_candidates()
            return
        for _ in range(self.profile.pings if both_sides else 1):
            await self._negotiate()
        if self.scheme == "https" and starts and self.profile.pings_again_on_https:
            await self._ping("https")

    async def _negotiate(self) -> None:
        for scheme in self.schemes:
            try:
                if self.profile.probes_v2 is not V2Probe.NEVER:
                    await self._probe_v2(scheme)
                await self._ping(scheme)
            except Unreachable:
                continue
            self.scheme = scheme
            return
        raise EngineFailed(f"Invalid registry endpoint https://{self.registry}/v1/: no answer")

    async def _try_candidates(self) -> None:
        for scheme in self.schemes:
            with suppress(Unreachable):
                await self._probe_v2(scheme)
        self.scheme = "http"
        if "https" in self.schemes:
            with suppress(Unreachable):
                await self._probe_v2("https")
                await self._ping("https")
                self.scheme = "https"

    async def _probe_v2(self, scheme: str) -> None:
        answer = await self.send("ping", "GET", "/v2/", scheme=scheme)
        if "registry/2.0" in (answer.header("Docker-Distribution-API-Version") or ""):
            raise EngineFailed("the registry promises v2, and this engine would hold it to that", answer.status)

    async def _ping(self, scheme: str) -> None:
        answer = await self.send("ping", "GET", "/v1/_ping", scheme=scheme)
        if self.profile.needs_version_header and not answer.header("X-Docker-Registry-Version"):
            raise EngineFailed(
                "Invalid Registry endpoint: This does not look like a Registry server "
                '("X-Docker-Registry-Version" header not found in the response)',
                answer.status,
            )
        standalone = answer.header("X-Docker-Registry-Standalone")
        self.standalone = standalone is None or standalone.lower() in ("", "true", "1")

    @property
    def _basic_everywhere(self) -> bool:
        return self.scheme == "https" and self.profile.basic_when_standalone and self.standalone

    def index_credentials(self, writes: bool) -> dict[str, str]:
        """The credentials of a call to the index role ("which credential the engine uses where")."""
        if self.account is not None:
            return {"Authorization": self.account.basic}
        if self._basic_everywhere or (writes and self.profile.sends_empty_credentials):
            return {"Authorization": _basic("", "")}
        if self.tokens and self.profile.refreshes_token:
            return self._token(writes)
        return {}

    def image_credentials(self, writes: bool) -> dict[str, str]:
        """The credentials of an image or tag call."""
        if self._basic_everywhere:
            return {"Authorization": self.account.basic if self.account else _basic("", "")}
        return self._token(writes)

    def _token(self, writes: bool) -> dict[str, str]:
        if not self.tokens:
            return {"Authorization": "Token"} if self.profile.sends_empty_credentials else {}
        return {"Authorization": "Token " + ("," if writes else self.profile.joins_tokens_with).join(self.tokens)}

    async def index(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """A call to the index role, with its credentials; index PUTs follow redirects."""
        writes = method != "GET"
        headers = {**headers, **self.index_credentials(writes)}
        answer = await self.send("index", method, path, headers, body)
        while writes and answer.status in (301, 302, 303, 307, 308):
            scheme, _, rest = (answer.header("Location") or "").partition("://")
            host, slash, path = rest.partition("/")
            answer = await self.send("index", method, slash + path, headers, body, host=host, scheme=scheme)
        if answer.header_lines("X-Docker-Token"):
            self.tokens = answer.header_lines("X-Docker-Token")
        return answer

    async def image(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        *,
        host: str | None = None,
        limit: int | None = None,
    ) -> Answer:
        """A call for an image or tag, with its credentials."""
        headers = {**(headers or {}), **self.image_credentials(method == "PUT")}
        answer = await self.send("image", method, path, headers, body, host=host, limit=limit)
        if self.profile.refreshes_token and not self._basic_everywhere and answer.header_lines("X-Docker-Token"):
            self.tokens = answer.header_lines("X-Docker-Token")
        return answer

    async def send(
        self,
        kind: str,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        *,
        host: str | None = None,
        scheme: str | None = None,
        limit: int | None = None,
    ) -> Answer:
        """
        One request on its own connection, with the headers of this engine in their order.

        :param headers: a line end in a value makes one header line of each part.
        :param kind: ``ping``, ``register``, ``login``, ``index`` or ``image``.
        :raises Unreachable: there was no complete answer.
        """
        host, scheme = host or self.registry, scheme or self.scheme
        if self.cookies and kind in ("index", "image"):
            headers = {**(headers or {}), "Cookie": self._cookie()}
        lines = tuple(self._header_lines(kind, method, host, headers or {}, body))
        request = WireRequest(method, path, lines, body or b"")
        sending = defer.Deferred.fromCoroutine(exchange(self._endpoint(scheme, host), request, limit))
        if kind == "ping":
            sending = sending.addTimeout(PING_SECONDS, self.reactor)
        status = 0
        try:
            answer = await sending
            status = answer.status
        except (ConnectError, ConnectionClosed, ResponseFailed, RequestTransmissionFailed, defer.TimeoutError) as error:
            raise Unreachable(f"{method} {scheme}://{host}{path}: {error!r}") from error
        finally:
            self.sent.append(Sent(scheme, method, path, lines, status))
        if self.keeps_cookies:
            for cookie in answer.header_lines("Set-Cookie"):
                name, _, value = cookie.partition(";")[0].partition("=")
                self.cookies[name.strip()] = value.strip()
        if answer.header("Content-Encoding") == "gzip" and "Accept-Encoding" in dict(lines):
            return evolve(answer, body=gzip.decompress(answer.body))
        return answer

    def _cookie(self) -> str:
        pairs = [f"{name}={value}" for name, value in self.cookies.items()]
        return "; ".join(pairs * 2 if self.profile.doubles_cookies else pairs)

    def _header_lines(
        self, kind: str, method: str, host: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None
    ) -> Sequence[tuple[str, str]]:
        profile = self.profile
        lines = [("Host", host), ("User-Agent", BARE_AGENT if kind in profile.bare_agent else profile.user_agent)]
        if isinstance(body, bytes):
            lines.append(("Content-Length", str(len(body))))
        elif body is not None:
            lines.append(("Transfer-Encoding", "chunked"))
        lines += [(name, line) for name, value in sorted(headers.items()) for line in value.split("\n")]
        if method != "HEAD" and "Range" not in headers:
            lines.append(("Accept-Encoding", "gzip"))
        if kind not in profile.keeps_alive:
            lines.append(("Connection", "close"))
        return lines

    def _endpoint(self, scheme: str, host: str) -> IStreamClientEndpoint:
        name, _, port = host.rpartition(":") if ":" in host else (host, "", "443" if scheme == "https" else "80")
        endpoint = HostnameEndpoint(self.reactor, name, int(port))
        return wrapClientTLS(self.tls, endpoint) if scheme == "https" else endpoint


def decoded(answer: Answer, what: str) -> Any:
    """The JSON of an answer, as strictly as the decoder of engines: one document, UTF-8."""
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise EngineFailed(f"{what}: {error}", answer.status) from error
