"""A registry inside somebody else's site: open while its service runs, and quiet when that stops."""

from typing import Any, cast

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.logger import Logger
from twisted.web.resource import IResource
from twisted.web.server import Request
from zope.interface import implementer

from dockreg.web.admission import flat_error
from dockreg.web.browsers import set_headers
from dockreg.web.headers import set_nocache

log = Logger()


@implementer(IResource)
@define(eq=False)
class MountedResource:
    """
    Serves ``inner`` while the registry is open; before and after that, 503.

    The site is not ours, so it is here that requests are counted, and waited for.
    """

    inner: IResource
    clock: IReactorTime
    isLeaf: bool = field(default=True, init=False)
    server: None = field(default=None, init=False)
    _closed: str | None = field(default="the registry is starting", init=False)
    _under_way: set[Request] = field(factory=set, init=False)
    _drained: "Deferred[None] | None" = field(default=None, init=False)

    def set_closed(self, reason: str | None) -> None:
        """Take requests (None), or refuse them with ``reason``."""
        self._closed = reason

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        """Never asked: a leaf has no children."""
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        """:raises NotImplementedError: always; the routes are in a table."""
        raise NotImplementedError("the routes of a registry are in a table")

    def render(self, request: Request) -> Any:
        """Hand the request on."""
        set_headers(request)
        if self._closed is not None:
            request.setResponseCode(503)
            set_nocache(request)
            request.setHeader(b"retry-after", b"5")
            return b"" if request.method == b"HEAD" else flat_error(self._closed)
        self._under_way.add(request)
        _ = request.notifyFinish().addBoth(self._ended, request)
        return self.inner.render(request)

    def drain(self, grace_seconds: float) -> "Deferred[None]":
        """Fires when no request is under way; those that are after the grace time are cut off."""
        if not self._under_way:
            return succeed(None)
        drained: Deferred[None] = Deferred()
        self._drained = drained
        cut = self.clock.callLater(grace_seconds, self._cut)

        def cancel_cut(_: None) -> None:
            if cut.active():
                cut.cancel()

        return drained.addCallback(cancel_cut)

    def _ended(self, _: object, request: Request) -> None:
        self._under_way.discard(request)
        if not self._under_way and self._drained is not None:
            drained, self._drained = self._drained, None
            drained.callback(None)

    def _cut(self) -> None:
        log.warn("cutting {requests} requests, for the time to stop is over", requests=len(self._under_way))
        for request in list(self._under_way):
            cast("ITCPTransport", request.transport).abortConnection()
