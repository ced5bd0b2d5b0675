"""Requests whose headers have arrived, for functions that look at no more than that."""

import re

from twisted.internet.defer import Deferred

from dockreg.model.access import ANONYMOUS, Caller, Principal
from dockreg.web.exchange import DocumentRoom, Exchange
from dockreg.web.proxies import Proxies
from dockreg.web.requests import Request
from tests.unit.web.wire import Server, head

#: A line about a repository, and its name.
_NAME = re.compile(r"[A-Z]+ /v2/([a-z0-9/]+)/(?:blobs|manifests|tags|referrers)/")


def exchange_of(
    line: str = "GET /v2/",
    *headers: str,
    principal: Principal = ANONYMOUS,
    client: str = "192.0.2.1",
    secure: bool = False,
    proxies: Proxies | None = None,
) -> Exchange:
    """A request that nobody has answered yet; it is for ``registry``, unless a header says another host."""
    arrived: list[Request] = []

    async def wait(request: Request) -> bytes:
        arrived.append(request)
        return await Deferred[bytes]()

    channel, _ = Server(wait, proxies=proxies).connect(client)
    channel.dataReceived(head(line, *headers))
    (request,) = arrived
    if secure:
        request.setHost(b"registry", 443, ssl=True)
    name = _NAME.match(line)
    return Exchange(request, Caller(principal), DocumentRoom(), parts={} if name is None else {"name": name[1]})


def response_header(exchange: Exchange, name: str) -> str | None:
    """What a header of the response is now."""
    values = exchange.request.responseHeaders.getRawHeaders(name)
    return None if values is None else ", ".join(values)
