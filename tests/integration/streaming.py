"""A small application on our site, and a client that writes what it is told to a real socket."""

import hashlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from select import select
from typing import Any, TypeVar

from attrs import field, frozen
from klein import Klein
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.server import Request

from dockreg.providers.prompt import send_at_once
from dockreg.web.bodies import BodyCut, IRequestBody
from dockreg.web.limits import Limits
from dockreg.web.records import RequestRecord
from dockreg.web.sending import send_blob
from dockreg.web.site import Site

T = TypeVar("T")

reactor: Any = global_reactor

#: No peer in these tests takes longer, unless something hangs.
PATIENCE_SECONDS = 30.0

_CYCLE = bytes(range(251)) * 4200


def content(start: int, count: int) -> bytes:
    """The bytes of a blob from ``start`` on; no two blocks of it begin alike."""
    parts = []
    while count > 0:
        offset = start % 251
        part = _CYCLE[offset : offset + min(count, 1_000_000)]
        parts.append(part)
        start += len(part)
        count -= len(part)
    return b"".join(parts)


class ContentReader:
    """Reads :func:`content`; with ``breaks_at`` it ends there, too early."""

    def __init__(self, size: int, start: int = 0, breaks_at: int | None = None) -> None:
        self.size = size
        self.closed = False
        self.at = start
        self._end = size if breaks_at is None else breaks_at

    async def read(self, limit: int) -> bytes:
        data = content(self.at, min(limit, self._end - self.at))
        self.at += len(data)
        return data

    def close(self) -> None:
        self.closed = True


class Application:
    """Takes and gives bytes in every way that matters, and remembers what it saw."""

    def __init__(self) -> None:
        self.app = Klein()
        self.cuts: list[BodyCut] = []
        self.calls: list[str] = []
        self.readers: list[ContentReader] = []
        self.arguments: list[Any] = []
        self.gate: Deferred[None] = Deferred()
        self.reached: Deferred[None] = Deferred()
        self.app.route("/upload", methods=["PUT", "POST", "GET"])(self.upload)
        self.app.route("/gated", methods=["PUT"])(self.gated)
        self.app.route("/small", methods=["PUT", "POST"])(self.small)
        self.app.route("/answer/<int:status>", methods=["PUT", "GET", "HEAD"])(self.answer)
        self.app.route("/half", methods=["PUT"])(self.half)
        self.app.route("/blob/<int:size>", methods=["GET"])(self.blob)
        self.app.route("/broken/<int:size>", methods=["GET"])(self.broken)
        self.app.route("/raise", methods=["PUT"])(self.raise_)

    async def upload(self, request: Request) -> bytes:
        """Digest the whole body."""
        self.calls.append("upload")
        self.arguments.append(dict(request.args or {}))
        return await self.digest(IRequestBody(request))

    async def digest(self, body: IRequestBody, pour: Callable[[Any], Awaitable[int]] | None = None) -> bytes:
        """
        The size and the digest of the whole body.

        :param pour: feeds the hash with some of it, and returns how many bytes that was; what it leaves is read.
        """
        seen, size = hashlib.sha256(), 0
        try:
            while True:
                if pour is not None and (poured := await pour(seen)):
                    size += poured
                    continue
                chunks = await body.read()
                for chunk in chunks:
                    seen.update(chunk)
                    size += len(chunk)
                if not chunks:
                    return b"%d %s" % (size, seen.hexdigest().encode())
        except BodyCut as cut:
            self.cuts.append(cut)
            raise

    async def gated(self, request: Request) -> bytes:
        """As upload, once the test opens the gate."""
        if not self.reached.called:
            self.reached.callback(None)
        await self.gate
        return await self.upload(request)

    async def small(self, request: Request) -> bytes:
        """A document of at most 1000 bytes."""
        self.calls.append("small")
        return await IRequestBody(request).collect(1000)

    async def answer(self, request: Request, status: int) -> bytes:
        """Answer without a look at the body."""
        self.calls.append(f"answer {status}")
        request.setResponseCode(status)
        return b"answered %d" % status

    async def half(self, request: Request) -> bytes:
        """Take some of the body, and answer."""
        chunks = await IRequestBody(request).read()
        return b"%d" % sum(map(len, chunks))

    async def blob(self, request: Request, size: int) -> None:
        """Send :func:`content`."""

        async def open_blob(start: int) -> Any:
            self.readers.append(ContentReader(size, start))
            return self.readers[-1]

        await send_blob(request, open_blob, size, '"content"')

    async def broken(self, request: Request, size: int) -> None:
        """Send content that ends after a half."""

        async def open_blob(start: int) -> Any:
            self.readers.append(ContentReader(size, start, breaks_at=size // 2))
            return self.readers[-1]

        await send_blob(request, open_blob, size)

    async def raise_(self, request: Request) -> bytes:
        """Fail."""
        raise ZeroDivisionError


@frozen
class Answer:
    """A response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)


class Client:
    """A blocking connection, for use in a thread."""

    def __init__(self, port: int, wrap: Callable[[socket.socket], socket.socket] | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        if wrap is not None:
            self.socket = wrap(self.socket)
        self._buffer = b""

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def send_and_gather(self, data: bytes) -> None:
        """
        Send all of it, and keep for later whatever comes meanwhile.

        In one thread: two that use one connection of Python's ``ssl`` at the same time find an end that never came.
        """
        coming, left = [self._buffer], memoryview(data)
        self.socket.setblocking(False)
        while left:
            select([self.socket], [self.socket], [], PATIENCE_SECONDS)
            # What is there already, decrypted or not, and no more.
            with suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                while more := self.socket.recv(65536):
                    coming.append(more)
            with suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                left = left[self.socket.send(left[:65536]) :]
        self.socket.settimeout(PATIENCE_SECONDS)
        self._buffer = b"".join(coming)

    def ask(self, line: str, *headers: str, body: bytes = b"") -> Answer:
        """Send one request, all of it, and wait for its answer."""
        self.send(head(line, *headers) + body)
        return self.answer()

    def silent_for(self, seconds: float) -> bool:
        """Whether nothing comes for a time."""
        self.socket.settimeout(seconds)
        try:
            self._buffer += self.socket.recv(65536)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(PATIENCE_SECONDS)
        return False

    def line(self) -> bytes:
        """The next line, without its end."""
        while b"\r\n" not in self._buffer:
            self._more()
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line

    def answer(self) -> Answer:
        """The next response. :raises EOFError: it does not come, or not to its end."""
        status = int(self.line().split()[1])
        headers = {}
        while line := self.line():
            name, value = line.decode().split(":", 1)
            headers[name.lower()] = value.strip()
        if status == 100:
            return Answer(status, headers, b"")
        if "transfer-encoding" in headers:
            body = b""
            while size := int(self.line(), 16):
                body += self._exactly(size)
                self.line()
            self.line()
            return Answer(status, headers, body)
        return Answer(status, headers, self._exactly(int(headers.get("content-length", "0"))))

    def rest(self) -> bytes:
        """Whatever comes until the server closes."""
        data = self._buffer
        while more := self.socket.recv(65536):
            data += more
        return data

    def _exactly(self, count: int) -> bytes:
        parts = [self._buffer]
        have = len(self._buffer)
        while have < count:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError(f"{count - have} bytes are missing")
            parts.append(more)
            have += len(more)
        whole = b"".join(parts)
        self._buffer = whole[count:]
        return whole[:count]

    def _more(self) -> None:
        more = self.socket.recv(65536)
        if not more:
            raise EOFError("closed")
        self._buffer += more


def head(line: str, *headers: str) -> bytes:
    """A request's first line and headers."""
    return "\r\n".join((f"{line} HTTP/1.1", "Host: registry", *headers, "", "")).encode()


def chunked(*pieces: bytes) -> bytes:
    """Pieces as chunks, with the last one that ends them."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def digested(data: bytes) -> bytes:
    """What ``/upload`` answers to a body."""
    return b"%d %s" % (len(data), hashlib.sha256(data).hexdigest().encode())


class StreamingCase(TestCase):
    """Serves an :class:`Application`."""

    #: How a client's socket is wrapped, for TLS.
    wrap: Callable[[socket.socket], socket.socket] | None = None
    limits = Limits(linger_idle_seconds=1.0, sweep_seconds=0.05)
    timeout = 3 * PATIENCE_SECONDS

    def setUp(self) -> None:
        self.application = self.make_application()
        self.records: list[RequestRecord] = []
        self.port = self.listen()

    def make_application(self) -> Application:
        """What is served."""
        return Application()

    def make_site(self) -> Site:
        """The site under test."""
        return Site(self.application.app.resource(), reactor, self.limits, self.records.append)

    def listen(self) -> int:
        """Serve the site; the port."""
        self.site = self.make_site()
        return self.listen_with(self.site)

    def listen_with(self, factory: Factory[Any]) -> int:
        """Serve any factory; the port."""
        port: IListeningPort = reactor.listenTCP(0, factory, interface="127.0.0.1")
        send_at_once(port)
        self.addCleanup(self.stop, port)
        address: Any = port.getHost()
        return int(address.port)

    async def stop(self, port: IListeningPort) -> None:
        """Close the port, and whatever connections a test has left."""
        stopped = port.stopListening()
        if stopped is not None:
            await stopped
        await self.site.drain(0.1)

    async def talk(self, script: Callable[[Client], T]) -> T:
        """Run what a client does, in a thread."""

        def run() -> T:
            with closing(Client(self.port, self.wrap)) as client:
                return script(client)

        return await deferToThread(run)

    async def connect(self) -> Client:
        """A client whose methods are called with :func:`deferToThread`, one after the other."""
        client = await deferToThread(Client, self.port, self.wrap)
        self.addCleanup(client.close)
        return client

    @staticmethod
    def reactor_call(function: Callable[..., object], *args: Any) -> None:
        """Have the reactor call a function, from a client's thread."""
        reactor.callFromThread(function, *args)

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for the server to notice."""
        while not true():
            await deferLater(reactor, 0.01)
