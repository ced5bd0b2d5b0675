"""Requests of many clients at once, on connections that are used again."""

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.interfaces import IConsumer
from twisted.web._newclient import RequestNotSent
from twisted.web.client import (
    Agent,
    HTTPConnectionPool,
    PartialDownloadError,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
    readBody,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from dockreg.testing.wire import UploadCut, WireRequest, exchange
from tests.faults.customer import Answer, Lost

_ENDED = (
    ConnectError, ConnectionClosed, PartialDownloadError, RequestGenerationFailed, RequestNotSent, RequestTransmissionFailed,
    ResponseFailed, ResponseNeverReceived,
)  # fmt: skip
#: Shorter than the daemon keeps connections that nobody uses.
_KEPT_SECONDS = 5.0


@implementer(IBodyProducer)
class _Body:
    """Bytes that are there already."""

    def __init__(self, content: bytes) -> None:
        self.length = len(content)
        self._content = content

    def startProducing(self, consumer: IConsumer) -> "Deferred[None]":
        """Hand over all of it."""
        consumer.write(self._content)
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def pauseProducing(self) -> None:
        """Nothing is left to be paused."""

    def resumeProducing(self) -> None:
        """The same."""

    def stopProducing(self) -> None:
        """The same."""


class Connections:
    """Those to one registry on 127.0.0.1."""

    def __init__(self, reactor: Any, port: int, each: int) -> None:
        self._reactor = reactor
        self._port = port
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = each
        self._pool.cachedConnectionTimeout = _KEPT_SECONDS  # type: ignore[assignment]  # any number
        # What is lost is to be told.
        self._pool.retryAutomatically = False
        self._agent = Agent(reactor, pool=self._pool, connectTimeout=60)
        self.requests = 0
        self.bytes = 0

    async def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """:raises Lost: no whole answer came."""
        names = Headers({name: [value] for name, value in headers.items()})
        producer = None if body is None else _Body(body)
        self.requests += 1
        try:
            response = await self._agent.request(
                method.encode(), f"http://127.0.0.1:{self._port}{path}".encode(), names, producer
            )
            content = await readBody(response)
        except _ENDED as problem:
            raise Lost(f"{method} {path}") from problem
        self.bytes += len(content) + len(body or b"")
        found = {
            name.decode().lower(): b", ".join(values).decode("latin-1")
            for name, values in response.headers.getAllRawHeaders()
        }
        if response.length is not None and "content-length" not in found and isinstance(response.length, int):
            found["content-length"] = str(response.length)
        return response.code, content, found

    async def vanish(self, path: str, pieces: Sequence[bytes], size: int) -> None:
        """
        Begin a PATCH of ``size`` bytes in chunks, and be gone after some of them.

        It says where they belong: another worker may come to it when the client has sent them again already.
        """
        lines = [("Host", "127.0.0.1"), ("Transfer-Encoding", "chunked"), ("Content-Range", f"0-{size - 1}")]
        request = WireRequest("PATCH", path, lines, _and_gone(pieces))
        try:
            await exchange(TCP4ClientEndpoint(self._reactor, "127.0.0.1", self._port), request)
        except UploadCut:
            return
        except _ENDED as problem:
            raise Lost(f"PATCH {path}") from problem
        raise AssertionError("an answer came for a request that has no end")

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.closeCachedConnections()


def _and_gone(pieces: Sequence[bytes]) -> "Any":
    yield from pieces
    raise UploadCut
