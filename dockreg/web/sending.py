"""
A blob on its way to a client.

Every byte goes through one function: of whole blobs, of one part and of several, over plain and TLS connections, of our
site and of a foreign one. Where the kernel can send by itself (:mod:`dockreg.web.kernel`) it is asked to there, without
any caller noticing.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from twisted.web import server
from zope.interface import implementer

from dockreg.interfaces_blobs import IBlobReader
from dockreg.interfaces_readers import IBlobInMemory
from dockreg.web.kernel import BlobCutShort
from dockreg.web.multipart import ByteRanges
from dockreg.web.ranges import Selection, if_range_holds, matches_etag, select, select_several
from dockreg.web.requests import Request

#: What is read at once; two such chunks are in memory for each client. Larger ones are not faster.
CHUNK_BYTES = 512 * 1024

#: Opens the blob at a byte, as :meth:`dockreg.interfaces.IBlobStore.open` does.
OpenBlob = Callable[[int], Awaitable[IBlobReader]]


@implementer(IPushProducer)
class Pace:
    """Lets one coroutine write no faster than the client of ``request`` reads."""

    def __init__(self, request: server.Request) -> None:
        self._paused = False
        self._gone = False
        self._waiting: Deferred[None] | None = None
        self._finished = request.notifyFinish().addErrback(self._client_gone)

    def gone(self) -> bool:
        """Whether the client has left."""
        return self._gone

    async def ready(self) -> None:
        """
        Wait until there is room to write.

        :raises CancelledError: the client has gone.
        """
        if self._gone:
            raise CancelledError
        if self._paused:
            self._waiting = Deferred()
            await self._waiting

    def pauseProducing(self) -> None:
        """Enough is buffered."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The buffer has been sent."""
        self._paused = False
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)

    def stopProducing(self) -> None:
        """
        Nothing: the request's ``notifyFinish`` tells the same, after it has told Klein.

        Klein must learn first that the client has gone, or it takes the end of the coroutine for a failure to report.
        """

    def _client_gone(self, _: Failure) -> None:
        self._gone = True
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.errback(CancelledError())


async def send(request: server.Request, reader: IBlobReader, length: int) -> bytes | None:
    """
    Send the next ``length`` bytes of ``reader`` as the body of a response, and close the reader in every case.

    Returns them instead when they are in memory, for the caller to send: with the head, and at once.

    Sets ``Content-Length``; a HEAD request gets no more than that. The caller finishes the request, as Klein does.

    :raises CancelledError: the client has gone.
    :raises BlobCutShort: the blob ended too early. Like any error of the reader after the first byte was sent, it
        cuts the connection first: a response that ended in an orderly way would pass for the whole.
    """
    request.setHeader(b"Content-Length", b"%d" % length)
    if request.method == b"HEAD" or length == 0:
        reader.close()
        return None
    if IBlobInMemory.providedBy(reader):
        data: bytes = reader.take(length)
        reader.close()
        return data
    try:
        with _paced(request) as pace:
            kernel = request.kernel if isinstance(request, Request) else None
            if kernel is not None and kernel.takes(request, reader, length):
                await kernel.send(request, reader, length, pace.gone)
            else:
                await _write_all(request, reader, length, pace)
    finally:
        reader.close()
    return None


@contextmanager
def _paced(request: server.Request) -> Iterator[Pace]:
    """The pace of a response, while its body is sent. What is raised after the first byte cuts the connection."""
    pace = Pace(request)
    request.registerProducer(pace, True)
    try:
        yield pace
    except BaseException:
        if request.startedWriting:
            _abort(request)
        raise
    finally:
        # Once the client has gone the request has no channel, and so no producer.
        if not _has_left(request):
            request.unregisterProducer()


async def _write_all(request: server.Request, reader: IBlobReader, length: int, pace: Pace, head: bytes = b"") -> None:
    """Send ``head`` once the blob has given a byte, and ``length`` bytes of it."""
    left = length
    while left:
        # Reads ahead by one chunk while the connection is sending the one before.
        data = await reader.read(min(CHUNK_BYTES, left))
        if not data:
            raise BlobCutShort(f"{left} of {length} bytes are missing")
        await pace.ready()
        if head:
            request.write(head)
            head = b""
        request.write(data)
        left -= len(data)


async def _send_parts(request: server.Request, reader: IBlobReader, open_blob: OpenBlob, ranges: ByteRanges) -> None:
    """
    Send the parts of a blob, and close every reader in every case.

    :param reader: open at the first part. The blob is opened for each of the others when it is its turn.
    """
    request.setHeader(b"Content-Type", ranges.media_type)
    request.setHeader(b"Content-Length", b"%d" % ranges.length)
    open_readers = [reader]
    try:
        with _paced(request) as pace:
            for part in ranges.parts:
                if not open_readers:
                    open_readers.append(await open_blob(part.start))
                await _write_all(request, open_readers[0], part.length, pace, ranges.head(part))
                open_readers.pop().close()
            request.write(ranges.tail)
    finally:
        for each in open_readers:
            each.close()


def _has_left(request: server.Request) -> bool:
    channel: object | None = request.channel
    return channel is None


def _abort(request: server.Request) -> None:
    if isinstance(request, Request):
        request.abort()
    elif not _has_left(request):
        transport: Any = request.transport
        transport.abortConnection()


async def send_blob(
    request: server.Request,
    open_blob: OpenBlob,
    size: int,
    etag: str | None = None,
    *,
    several: bool = False,
    new_id: Callable[[], str] | None = None,
) -> bytes | None:
    """
    Answer a GET or HEAD for a blob: the whole, ranges of it, 304, or 416 with an empty body.

    Sets the status, ``Accept-Ranges``, ``Content-Range``, ``Content-Length``, ``ETag``, and for several parts the type;
    other headers are the caller's. The blob is opened only when some of it will be sent.

    :param open_blob: opens the blob at a byte.
    :param size: bytes of the whole blob.
    :param etag: its entity tag, quotes included.
    :param several: whether several ranges in one request are answered, in parts; else they are ignored.
    :param new_id: makes names of ``A-Z``, ``a-z``, ``0-9``, ``_`` and ``-`` that nobody can guess; needed for several.
    :return: the body, if it is left to the caller, as :func:`send` does.
    """
    if matches_etag(_header(request, b"if-none-match"), etag):
        request.setResponseCode(304)
        _set_etag(request, etag)
        return None
    selected = _selected(request, size, etag, several=several and new_id is not None)
    wanted = selected[0]
    # Before any header is set: what cannot be opened is answered by another response.
    reader = await open_blob(wanted.start) if request.method != b"HEAD" and wanted.length else None
    request.setResponseCode(wanted.status)
    request.setHeader(b"Accept-Ranges", b"bytes")
    _set_etag(request, etag)
    if wanted.content_range is not None and len(selected) == 1:
        request.setHeader(b"Content-Range", wanted.content_range.encode("ascii"))
    if reader is None:
        request.setHeader(b"Content-Length", b"%d" % wanted.length)
    elif new_id is not None and len(selected) > 1:
        await _send_parts(request, reader, open_blob, ByteRanges(selected, _content_type(request), new_id()))
    else:
        return await send(request, reader, wanted.length)
    return None


def _set_etag(request: server.Request, etag: str | None) -> None:
    if etag is not None:
        request.setHeader(b"ETag", etag.encode("ascii"))


def _content_type(request: server.Request) -> bytes | None:
    values = request.responseHeaders.getRawHeaders(b"content-type")
    return values[-1] if values else None


def _selected(request: server.Request, size: int, etag: str | None, *, several: bool) -> Sequence[Selection]:
    # Ranges mean something for GET alone (RFC 9110 14.2); two Range headers mean nothing.
    values = request.requestHeaders.getRawHeaders(b"range") or []
    usable = request.method == b"GET" and len(values) == 1 and if_range_holds(_header(request, b"if-range"), etag)
    ranges = _header(request, b"range") if usable else None
    return select_several(ranges, size) if several else [select(ranges, size)]


def _header(request: server.Request, name: bytes) -> str | None:
    # Any byte has a place in Latin-1; Twisted's own decoding fails for what is not UTF-8.
    value = request.getHeader(name)
    return None if value is None else value.decode("latin-1")
