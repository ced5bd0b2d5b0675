"""The resource that serves what the table of routes has."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from attrs import define
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from dockreg.errors import (
    NameInvalid,
    NameUnknown,
    RegistryError,
    RequestInvalid,
    StorageFull,
    StoreUnavailable,
    Unauthorized,
)
from dockreg.interfaces import IMetadataStore
from dockreg.interfaces_access import IStoredRights
from dockreg.web.access import Gate, Parts, challenged
from dockreg.web.agents import agent_of
from dockreg.web.dispatch import Dispatcher, is_plain
from dockreg.web.doors import Doors
from dockreg.web.errors import ErrorResponses, NoRoute
from dockreg.web.exchange import API, Exchange
from dockreg.web.headers import names_host
from dockreg.web.heads import canonical
from dockreg.web.requests import Request as StreamedRequest
from dockreg.web.routes import Handler, Route, routes
from dockreg.web.v2.base import API_VERSION, is_v2, set_api_version
from dockreg.web.waiting import Waiting

if TYPE_CHECKING:
    from klein import Klein

log = Logger()

V1_VERSION = b"x-docker-registry-version"
#: The first segments of the paths that a registry claims in somebody else's site.
CLAIMED = (b"v1", b"v2", b"_ping", b"_status")


@define(eq=False)
class _Endpoint:
    """One route as Klein calls it: admitted, run, answered."""

    route: Route
    gate: Gate
    #: The header that says which API this is, as it is sent.
    tells: tuple[bytes, bytes]
    name_characters: int
    #: Whether answers can be given again.
    repeats: bool = False

    async def run(self, request: Request, **parts: str) -> bytes | None:
        """As Klein calls it, with the parts of the path that vary."""
        body = await self.answer(request, parts)
        return None if body is None else _finish(request, body)

    async def answer(self, request: Request, parts: Mapping[str, str]) -> bytes | None:
        """The body, if it is not sent already; its length is not told yet."""
        ours = request if isinstance(request, StreamedRequest) else None
        if ours is None:
            request.setHeader(*self.tells)
        else:
            name, value = self.tells
            ours.responseHeaders.raw[name] = [value]
        audit = self.gate.audit
        witness = None if audit is None else audit.begin(request, self.route, parts)
        try:
            if len(request.path) > self.name_characters:
                self._check_name(parts)
            to = self.route.to
            try:
                exchange, parsed = await self.gate.admit(request, self.route, parts, witness)
            except NameUnknown as problem:
                exchange, parsed, to = self._kept_out(request, parts, problem)
            if ours is not None:
                ours.principal = exchange.caller.principal.name
            body = await to(exchange, **parsed)
        except Exception as problem:
            if witness is not None:
                witness.ended(problem)
            if isinstance(problem, Unauthorized):
                raise challenged(problem, request, self.route, parts) from None
            raise
        if witness is not None:
            witness.ended(None)
        elif self.repeats and ours is not None:
            self._note_repeats(ours, exchange)
        return body

    def _note_repeats(self, request: StreamedRequest, exchange: Exchange) -> None:
        """Whether the answer may be given again, and to whom."""
        told = not self.route.varies or request.varying is not None
        if told and self.gate.admits_alike(exchange):
            request.repeats, request.whose = True, self.gate.somebody(exchange)

    def _kept_out(
        self, request: Request, parts: Mapping[str, str], problem: NameUnknown
    ) -> tuple[Exchange, Mapping[str, Any], Handler]:
        """What is run for who may not know that there is something, if anything is."""
        if self.route.hidden is None:
            raise problem
        return (*self.gate.keep_out(request, parts), self.route.hidden)

    def _check_name(self, parts: Mapping[str, str]) -> None:
        name = parts.get("name") or parts.get("repository") or ""
        # What there is can be read and deleted, whatever its name.
        if len(name) > self.name_characters and self.route.method not in ("GET", "DELETE"):
            reason = f"a repository name has at most {self.name_characters} characters here"
            raise NameInvalid(name[: self.name_characters], reason)


@define(eq=False)
class Routing:
    """Klein's application, and the shorter way to most of its endpoints."""

    rules: Sequence[tuple[str, str, _Endpoint]]
    dispatcher: Dispatcher[_Endpoint]
    failed: Callable[[Request, Failure], bytes]
    metadata: IMetadataStore

    @cached_property
    def klein(self) -> "Klein":
        """The application, made for the first path that the shorter way leaves to it."""
        from dockreg.web.router import make_klein  # noqa: PLC0415  # see there

        rules = [(endpoint.route.endpoint, method, rule, endpoint.run) for method, rule, endpoint in self.rules]
        return make_klein(rules, self.failed)

    @cached_property
    def resource(self) -> IResource:
        """The resource that Klein makes of it."""
        resource: IResource = self.klein.resource()
        return resource

    async def answer(self, request: StreamedRequest, endpoint: _Endpoint, parts: Mapping[str, str]) -> None:
        """What Klein would do with an endpoint and what it returns or raises."""
        try:
            body = await endpoint.answer(request, parts)
        except Exception as problem:  # noqa: BLE001 - whatever it is, it is answered or logged
            failure = Failure()
            if request.has_ended:
                if isinstance(problem, RegistryError):
                    # Who would have been refused does not wait to be told so.
                    if not request.outlasts or isinstance(problem, StorageFull | StoreUnavailable):
                        path = request.path.decode("ascii", "replace")
                        log.warn("{path} was cut: {problem}", path=path, problem=str(problem))
                elif not isinstance(problem, CancelledError):
                    log.failure("a request failed after its end", failure)
                return
            if request.startedWriting:
                request.processingFailed(failure)
                return
            body = self.failed(request, failure)
        request.end_with(body)


def make_routing(doors: Doors, gate: Gate, responses: ErrorResponses, version: str, name_characters: int) -> Routing:
    """
    The routes of ``doors`` behind ``gate``.

    :param name_characters: how long the name of a repository may be that something is pushed to.
    """
    rules: list[tuple[str, str, _Endpoint]] = []
    can_repeat = (
        gate.audit is None and not gate.takes_certificates and IStoredRights.providedBy(gate.registry.authorizer)
    )
    for route in routes(doors):
        name, value = API_VERSION if is_v2(route.rule) else (V1_VERSION, version.encode("ascii"))
        endpoint = _Endpoint(route, gate, (canonical(name), value), name_characters, can_repeat and route.repeats)
        rules.extend((route.method, rule, endpoint) for rule in _slash_forms(route))

    def failed(request: Request, failure: Failure) -> bytes:
        _set_version(request, version.encode("ascii"))
        return _finish(request, responses.respond(request, failure))

    return Routing(rules, Dispatcher(rules), failed, gate.registry.metadata)


def _slash_forms(route: Route) -> tuple[str, ...]:
    # A repository's name would take the slash for its own, unless a rule has it. ``PUT …/images/`` means to create a
    # repository of that name (all engines), which is refused.
    if is_v2(route.rule):
        plain = route.rule.rstrip("/")
        return (plain, f"{plain}/")
    own = route.rule.endswith("/") or (route.method == "PUT" and route.rule.endswith("/images"))
    return (route.rule,) if own else (route.rule, f"{route.rule}/")


def _set_version(request: Request, version: bytes) -> None:
    if request.path.startswith(b"/v2/") or request.path == b"/v2":
        set_api_version(request)
    else:
        request.setHeader(V1_VERSION, version)


def _finish(request: Request, body: bytes) -> bytes:
    length = b"%d" % len(body)
    if isinstance(request, StreamedRequest):
        request.responseHeaders.put(b"Content-Length", length)
    else:
        request.setHeader(b"content-length", length)
    return body


@implementer(IResource)
class RegistryResource:
    """
    Serves the registry, as the root of a site or below one.

    Mounted with ``putChild`` under each of :data:`CLAIMED` it puts back the segment that the mounting took away.
    """

    isLeaf = True
    server = None
    #: As the root of a site it is given every request, without a look at the path before.
    answers_all = True

    def __init__(
        self, routing: Routing, responses: ErrorResponses, version: str, apis: Collection[API] = frozenset(API)
    ) -> None:
        self._routing = routing
        self._version = version
        self._responses = responses
        self.apis = apis
        self._serves_v1, self._serves_v2 = API.V1 in apis, API.V2 in apis

    def limited_to(self, apis: Collection[API]) -> "RegistryResource":
        """The same registry, with the paths of these APIs only."""
        return RegistryResource(self._routing, self._responses, self._version, apis)

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        """Never asked: a leaf has no children."""
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        """:raises NotImplementedError: always; the routes are in a table."""
        raise NotImplementedError("the routes of a registry are in a table")

    def render(self, request: Request) -> Any:
        """Hand the request to Klein, unless Klein could not even look for its route."""
        ours = request if isinstance(request, StreamedRequest) else None
        v2 = request.path.startswith(b"/v2/") or request.path == b"/v2"
        if v2:
            agent = (None if ours is None else ours.sent_by) or agent_of(request)
            if agent.hides_v2 or not self._serves_v2:
                # Engines that get this plain answer go on with v1 at once; any body or another status costs them time.
                request.setResponseCode(404)
                return _finish(request, b"")
            if ours is not None:
                ours.sent_by = agent
        found = None if ours is None else self._routing.dispatcher.find(request.method, request.path)
        # Nothing is odd in the path and the method of what is found.
        problem = None if found is not None else _unroutable(request)
        if problem is None and (ours is None or not ours.names_host):
            problem = _without_host(request)
        if problem:
            return self._refuse(request, RequestInvalid(problem))
        if not v2 and not self._serves_v1 and _is_v1(request):
            return self._refuse(request, NoRoute(404))
        if found is not None and ours is not None:
            endpoint, parts = found[0], Parts(found[1])
            if ours.head is not None:
                ours.remember(self, partial(self._begin, endpoint, parts))
            return self._begin(endpoint, parts, ours)
        if request.prepath and request.prepath[-1] in CLAIMED:
            request.postpath = [request.prepath.pop(), *(request.postpath or [])]
        result = self._routing.resource.render(request)
        return result if result is not None else NOT_DONE_YET

    def _begin(self, endpoint: _Endpoint, parts: Mapping[str, str], request: StreamedRequest) -> Any:
        work = self._routing.answer(request, endpoint, parts)
        metadata = self._routing.metadata
        metadata.begin_moment()
        ask, version = metadata.version, None
        if endpoint.repeats and request.is_known:
            # A manifest of a digest lasts; where a tag points does not.
            if endpoint.route.lasts or ":" in parts.get("reference", ""):
                ask = metadata.lasting_version
            version = ask()
        try:
            waits_for = work.send(None)
        except StopIteration:
            # It has not waited. If it has written something, the version is another one.
            if version is not None and request.repeats and ask() is version:
                request.keep_answer(version, ask)
            return NOT_DONE_YET
        finally:
            metadata.end_moment()
        waiting = Waiting(work, waits_for)
        if not request.has_ended:
            request.on_gone = waiting.cancel
            request.outlasts = endpoint.route.outlasts
        return NOT_DONE_YET

    def _refuse(self, request: Request, problem: Exception) -> Any:
        _set_version(request, self._version.encode("ascii"))
        request.write(_finish(request, self._responses.respond(request, Failure(problem))))
        request.finish()
        return NOT_DONE_YET


def _is_v1(request: Request) -> bool:
    return request.path.split(b"/")[1] in (b"v1", b"_ping", b"_status")


def _own_address(request: Request) -> bytes:
    """What stands for the Host header that HTTP/1.0 may leave out: where the client has connected to."""
    address = request.getHost()
    if not isinstance(address, IPv4Address | IPv6Address):
        return b"localhost"
    host = f"[{address.host}]" if isinstance(address, IPv6Address) else address.host
    return f"{host}:{address.port}".encode("ascii")


def _unroutable(request: Request) -> str | None:
    """Why Klein could not even look for the route."""
    if not is_plain(request.path):
        if b"%2f" in request.path.lower():
            # Decoded before routing, it would make two paths name one thing.
            return "an encoded slash has no place in the paths of a registry"
        try:
            unquote_to_bytes(request.path).decode("utf-8")
        except UnicodeDecodeError:
            return "the path is not UTF-8"
    return None if request.method.isascii() else "the method is not ASCII"


def _without_host(request: Request) -> str | None:
    """What is wrong with the Host header; where there need not be one, it is added."""
    hosts = request.requestHeaders.getRawHeaders(b"host")
    if not hosts:
        if request.clientproto == b"HTTP/1.1":
            return "a request of HTTP/1.1 has a Host header"
        request.requestHeaders.setRawHeaders(b"host", [_own_address(request)])
    elif not names_host(request.requestHeaders):
        return "the Host header is not a host name with an optional port"
    return None
