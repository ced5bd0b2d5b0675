"""The HTTP client that asks a remote index."""

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

_CONNECT_SECONDS = 5.0
_CONNECTIONS = 8


@implementer(IAgent)
class IndexAgent:
    """Keeps a few connections to the index open; follows no redirect, so that no token goes elsewhere."""

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
