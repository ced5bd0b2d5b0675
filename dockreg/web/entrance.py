"""
What every request comes through before anybody looks at what it wants.

Nothing here knows the registry: it costs next to nothing, and is the same for all who ask.
"""

from collections.abc import Sequence
from http import HTTPStatus
from math import ceil
from typing import TYPE_CHECKING

from attrs import define, field, frozen
from twisted.web.resource import IResource
from twisted.web.server import Request as AnyRequest
from zope.interface import implementer

from dockreg.web.admission import flat_error
from dockreg.web.browsers import BrowserHeaders, CrossOrigin, Upgrade
from dockreg.web.headers import set_nocache
from dockreg.web.rates import RateLimit
from dockreg.web.v2.base import is_v2, set_api_version
from dockreg.web.v2.errors import UNSUPPORTED, error_list

if TYPE_CHECKING:
    from dockreg.web.requests import Request


@implementer(IResource)
@frozen(eq=False)
class Answer:
    """An answer that needs no look at the registry."""

    status: HTTPStatus
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes = b""
    isLeaf = True
    server = None

    def getChildWithDefault(self, name: bytes, request: AnyRequest) -> IResource:
        """Never asked: a leaf has no children."""
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        """:raises NotImplementedError: always."""
        raise NotImplementedError("an answer has nothing below it")

    def render(self, request: AnyRequest) -> bytes:
        """Answer."""
        # Twisted knows no words for some statuses that are younger than HTTP/1.1.
        request.setResponseCode(self.status, self.status.phrase.encode("ascii"))
        if self.status is not HTTPStatus.NO_CONTENT:
            set_nocache(request)
        for name, value in self.headers:
            request.setHeader(name, value)
        if request.method == b"HEAD":
            request.setHeader(b"Content-Length", b"%d" % len(self.body))
            return b""
        return self.body


def _error(request: AnyRequest, status: HTTPStatus, code: str, sentence: str, *headers: tuple[bytes, bytes]) -> Answer:
    """An error in the form of the door that the path belongs to."""
    if not is_v2(request.path.decode("ascii", "replace")):
        return Answer(status, headers, flat_error(sentence))
    set_api_version(request)
    return Answer(status, headers, error_list(code, sentence))


@define(eq=False)
class Entrance:
    """
    The rules of one site.

    :param url_bytes: what a URL may have, its query included; 0 for no other limit than that of all headers.
    :param rates: how many requests a client may send.
    :param upgrade: on a plain site, where browsers should rather go.
    :param browsers: what every answer says to browsers.
    """

    url_bytes: int = 0
    rates: RateLimit | None = None
    cross_origin: CrossOrigin = field(factory=CrossOrigin)
    upgrade: Upgrade | None = None
    browsers: BrowserHeaders = field(factory=BrowserHeaders)

    def answer(self, request: "Request") -> Answer | None:
        """The answer to a request that gets no further; None when it may come in."""
        if self.rates is not None:
            wait = self.rates.take(request.rated_as)
            if wait:
                # In whole seconds, never 0.
                after = (b"Retry-After", b"%d" % ceil(wait))
                sentence = "too many requests from this address; come again a little later"
                return _error(request, HTTPStatus.TOO_MANY_REQUESTS, "TOOMANYREQUESTS", sentence, after)
        if self.url_bytes and len(request.uri) > self.url_bytes:
            sentence = f"the URL is longer than {self.url_bytes} bytes"
            return _error(request, HTTPStatus.REQUEST_URI_TOO_LONG, UNSUPPORTED, sentence)
        if self.cross_origin.origins:
            allowed = self.cross_origin.preflight(request)
            if allowed is not None:
                return Answer(HTTPStatus.NO_CONTENT, allowed)
        sent_on = None if self.upgrade is None else self.upgrade.headers(request, request.origin.scheme)
        if sent_on is not None:
            return Answer(HTTPStatus.TEMPORARY_REDIRECT, sent_on, flat_error("visit this registry by https"))
        return None
