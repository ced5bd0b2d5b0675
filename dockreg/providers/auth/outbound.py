"""What asks other servers: an index, or whoever publishes the keys of a token server."""

from typing import Any, cast

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

_CONNECT_SECONDS = 5.0
_CONNECTIONS = 8


@frozen
class TooLarge(Exception):
    """An answer has more bytes than are read."""

    limit: int

    def __str__(self) -> str:
        return f"the answer has more than {self.limit} bytes"


@implementer(IAgent)
class OutboundAgent:
    """Keeps a few connections to each server open; follows no redirect, so that no token goes elsewhere."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = _CONNECTIONS
        self._agent = Agent(reactor, connectTimeout=_CONNECT_SECONDS, pool=self._pool)

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """See :class:`twisted.web.iweb.IAgent`."""
        return self._agent.request(method, uri, headers, bodyProducer)

    def close(self) -> "Deferred[None]":
        """Close the connections that are not in use."""
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed


async def fetch(
    agent: IAgent, clock: IReactorTime, url: str, limit: int, timeout_seconds: float, headers: Headers | None = None
) -> tuple[int, bytes]:
    """
    The status of a GET and the whole body, whatever the status; redirects are answers like others.

    :param limit: of the body, in bytes.
    :param timeout_seconds: for the whole answer.
    :raises TooLarge: the body has more bytes; it was not read to its end.
    :raises Exception: whatever the network, TLS or HTTP fail with, a timeout included.
    """
    asking = Deferred.fromCoroutine(_get(agent, clock, url, limit, headers))
    return await asking.addTimeout(timeout_seconds, clock)


async def _get(agent: IAgent, clock: IReactorTime, url: str, limit: int, headers: Headers | None) -> tuple[int, bytes]:
    from treq.client import HTTPClient  # noqa: PLC0415  # few registries ask anybody

    sent = Headers() if headers is None else headers.copy()
    sent.setRawHeaders("User-Agent", ["dockreg"])
    # A client of its own for each request, for a client keeps cookies, and these belong to whose token it was.
    response = await HTTPClient(agent).request(
        "GET",
        url,
        headers=sent,
        allow_redirects=False,
        unbuffered=True,
        reactor=cast("Any", clock),  # not used without a timeout; else treq imports the global one
    )
    body = _BoundedBody(limit)
    response.deliverBody(body)
    return response.code, await body.complete


class _BoundedBody(Protocol):
    """Collects a response body. Cancelling :attr:`complete`, and too many bytes, end the connection."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: list[bytes] = []
        self._size = 0
        self.complete: Deferred[bytes] = Deferred(lambda _complete: self._disconnect())

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._limit:
            self._chunks.append(data)
        elif not self.complete.called:
            self._chunks.clear()
            self._disconnect()
            self.complete.errback(TooLarge(self._limit))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.complete.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.complete.callback(b"".join(self._chunks))
        else:
            self.complete.errback(reason)

    def _disconnect(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()
