"""The Klein application made from the table of routes, and the resource that serves it."""

from typing import Any
from urllib.parse import unquote_to_bytes

from attrs import define
from klein import Klein, KleinRenderable
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request
from werkzeug.routing import BaseConverter
from zope.interface import implementer

from dockreg.errors import RequestInvalid
from dockreg.model.names import is_host_port
from dockreg.web.access import Gate
from dockreg.web.doors import Doors
from dockreg.web.errors import ErrorResponses
from dockreg.web.requests import Request as StreamedRequest
from dockreg.web.routes import Route, routes

#: The first segments of the paths that a registry claims in somebody else's site.
CLAIMED = (b"v1", b"v2", b"_ping", b"_status")


class RepositoryConverter(BaseConverter):
    """A repository name in a path: one or more segments. What it may look like is decided when it is parsed."""

    part_isolating = False
    # ``tags`` is never the last component of a v1 name; without this a tag ``images`` would be taken for a list.
    regex = r"[^/]+(?:/[^/]+)*?(?<!/tags)"


@define(eq=False)
class _Endpoint:
    """One route as Klein calls it: admitted, run, answered."""

    route: Route
    gate: Gate
    version: bytes

    async def run(self, request: Request, **parts: str) -> bytes | None:
        request.setHeader(b"x-docker-registry-version", self.version)
        exchange, parsed = await self.gate.admit(request, self.route, parts)
        if isinstance(request, StreamedRequest):
            request.principal = exchange.principal.name
        body = await self.route.to(exchange, **parsed)
        return None if body is None else _finish(request, body)


def make_app(doors: Doors, gate: Gate, responses: ErrorResponses, version: str) -> Klein:
    """The routes of ``doors`` behind ``gate``."""
    app = Klein()
    app.url_map.converters["repository"] = RepositoryConverter
    app.url_map.merge_slashes = False
    for route in routes(doors):
        run = _Endpoint(route, gate, version.encode("ascii")).run
        for suffix in _slash_forms(route):
            name = route.endpoint + suffix
            app.route(route.rule + suffix, methods=[route.method], endpoint=name, strict_slashes=False)(run)

    @app.route("/v2/", branch=True, endpoint="v2", strict_slashes=False)
    def refuse_v2(request: Request) -> bytes:
        # Engines that get this plain answer go on with v1 at once; any body or another status costs them time.
        request.setResponseCode(404)
        return _finish(request, b"")

    @app.handle_errors(Exception)
    def failed(request: IRequest, failure: Failure) -> KleinRenderable:
        assert isinstance(request, Request)
        if request.startedWriting:
            failure.raiseException()
        request.setHeader(b"x-docker-registry-version", version.encode("ascii"))
        return _finish(request, responses.respond(request, failure))

    return app


def _slash_forms(route: Route) -> tuple[str, ...]:
    # A repository's name would take the slash for its own, unless a rule has it. ``PUT …/images/`` means to create a
    # repository of that name (all engines), which is refused.
    own = route.rule.endswith("/") or (route.method == "PUT" and route.rule.endswith("/images"))
    return ("",) if own else ("", "/")


def _finish(request: Request, body: bytes) -> bytes:
    request.setHeader(b"content-length", str(len(body)).encode("ascii"))
    return body


@implementer(IResource)
class RegistryResource:
    """
    Serves the registry, as the root of a site or below one.

    Mounted with ``putChild`` under each of :data:`CLAIMED` it puts back the segment that the mounting took away.
    """

    isLeaf = True
    server = None

    def __init__(self, app: Klein, responses: ErrorResponses, version: str) -> None:
        self._resource: IResource = app.resource()
        self._version = version.encode("ascii")
        self._responses = responses

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        """Never asked: a leaf has no children."""
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        """:raises NotImplementedError: always; the routes are in a table."""
        raise NotImplementedError("the routes of a registry are in a table")

    def render(self, request: Request) -> Any:
        """Hand the request to Klein, unless Klein could not even look for its route."""
        problem = _unroutable(request)
        if problem is not None:
            request.setHeader(b"x-docker-registry-version", self._version)
            request.write(_finish(request, self._responses.respond(request, Failure(RequestInvalid(problem)))))
            request.finish()
            return NOT_DONE_YET
        if not request.requestHeaders.hasHeader(b"host"):
            request.requestHeaders.setRawHeaders(b"host", [_own_address(request)])
        if request.prepath and request.prepath[-1] in CLAIMED:
            request.postpath = [request.prepath.pop(), *(request.postpath or [])]
        result = self._resource.render(request)
        return result if result is not None else NOT_DONE_YET


def _own_address(request: Request) -> bytes:
    """What stands for the Host header that HTTP/1.0 may leave out: where the client has connected to."""
    address = request.getHost()
    if not isinstance(address, IPv4Address | IPv6Address):
        return b"localhost"
    host = f"[{address.host}]" if isinstance(address, IPv6Address) else address.host
    return f"{host}:{address.port}".encode("ascii")


def _unroutable(request: Request) -> str | None:
    if b"%2f" in request.path.lower():
        # Decoded before routing, it would make two paths name one thing.
        return "an encoded slash has no place in the paths of a registry"
    try:
        unquote_to_bytes(request.path).decode("utf-8")
    except UnicodeDecodeError:
        return "the path is not UTF-8"
    hosts = request.requestHeaders.getRawHeaders(b"host", [])
    if len(hosts) > 1 or not all(is_host_port(host.decode("latin-1").strip()) for host in hosts):
        return "the Host header is not a host name with an optional port"
    if not request.method.isascii():
        return "the method is not ASCII"
    return None
