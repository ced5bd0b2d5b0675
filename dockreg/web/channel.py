"""
An HTTP/1.1 connection that hands over a request when its headers are complete.

Parsing and framing stay Twisted's. What is added: the body reaches its handler while it arrives, reading pauses with
the handler, ``100 Continue`` waits until the body is wanted, and a response that is finished before its body has ended
never lets the rest be taken for a request (RFC 9112 6 and 9.3).

Only this module, :mod:`dockreg.web.framing`, :mod:`dockreg.web.receiving`, :mod:`dockreg.web.knowing` and
:mod:`dockreg.web.requests` name private things of twisted.web's server side.
"""

from typing import Any, cast

from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from dockreg.model.networks import NO_ADDRESS, host_of
from dockreg.web.admission import body_size, refusal
from dockreg.web.bodies import CutReason
from dockreg.web.chunks import ChunksMalformed
from dockreg.web.inflow import FLOWING_BYTES
from dockreg.web.knowing import KnowingChannel
from dockreg.web.requests import Request
from dockreg.web.sockets import unacknowledged_bytes, unsent_bytes
from dockreg.web.watch import HALF_READ, Expiry, Phase, Watch

log = Logger()

#: The first byte of a TLS handshake record (RFC 8446 5.1).
TLS_HANDSHAKE = b"\x16"


class Channel(KnowingChannel):
    """One connection. Requests on it are answered one after the other."""

    # The address under which half-read requests are counted whose client is the one that we talk to.
    _counted_as = NO_ADDRESS
    # The address under which this connection is counted as half-read, while it is.
    _counted: str | None = None
    _parsing = False
    # Reading may be paused because the client takes no more, or does not wait for answers.
    _paused = False

    # Connection

    def connectionMade(self) -> None:
        """Begin to watch the connection, or refuse it when there are too many half-read requests."""
        limits = self.site.limits
        self.totalHeadersSize = self.MAX_LENGTH = limits.header_bytes
        super().connectionMade()
        self._watch = Watch(limits, self._now())
        self.peer = host_of(self.transport.getPeer())
        self.sealed = ISSLTransport.providedBy(self.transport)
        self.trusts_peer = self.peer in self.site.proxies.trusted
        self.rated_as = self.site.rated_as(self.peer)
        self._counted_as = self.site.counted_as(self.peer)
        self.site.channel_opened(self)
        self.admit()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The client has gone, or was cut off.

        The handler is told that the client has gone before it is told that its body was cut: in the other order it
        would answer, and Klein would log an error.
        """
        body, self._body = self._body, None
        if body is not None:
            body.cut(CutReason.DISCONNECTED)
        self.end_turn(body)
        self.enter(Phase.CLOSING)
        super().connectionLost(reason)
        if body is not None:
            body.wake()
        self.site.channel_closed(self)

    def abort(self) -> None:
        """Cut the connection at once; what was not sent is lost."""
        self.enter(Phase.CLOSING)
        self.transport.abortConnection()

    def loseConnection(self) -> None:
        """Close the connection once all is sent."""
        self.enter(Phase.CLOSING)
        super().loseConnection()

    def stop_taking_requests(self) -> None:
        """Let the request that is being handled be the last."""
        if self._watch.phase in (Phase.NEW, Phase.IDLE, Phase.HEADERS):
            self.loseConnection()
        self.persistent = False

    def check(self, now: float) -> None:
        """Act on whatever has taken too long; called every :attr:`Limits.sweep_seconds`."""
        self.look_at_turn()
        unsent = unsent_bytes(self.transport)
        handled = self.requests[0] if self.requests else None
        sending = unsent > 0 or (
            self._watch.phase is Phase.HANDLING and handled is not None and bool(handled.startedWriting)
        )
        sent = 0 if handled is None else handled.sentLength
        moved = (sent, unsent, unacknowledged_bytes(self.transport)) if sending else None
        expiry = self._watch.expired(now, sending=sending, moved=moved)
        if expiry is not None:
            self._too_long(expiry)

    def _too_long(self, expiry: Expiry) -> None:
        log.debug("{what} of {peer} took too long", what=expiry.value, peer=self.peer)
        if expiry is Expiry.HEADERS and self._watch.phase is Phase.HEADERS:
            self.refuse(408)
        elif expiry in (Expiry.HEADERS, Expiry.KEEP_ALIVE):
            self.loseConnection()
        elif expiry in (Expiry.BODY_IDLE, Expiry.BODY_RATE):
            self._cut_body(CutReason.TIMED_OUT)
        elif expiry is Expiry.DRAIN:
            self._linger()
        else:
            self.abort()

    def enter(self, phase: Phase, now: float | None = None) -> None:
        """Do something else from now on."""
        self._watch.enter(phase, self.site.clock.seconds() if now is None else now)
        if self._counted is not None and phase not in HALF_READ:
            self._release()
        if self._reads_much and phase is not Phase.BODY:
            self.read_little()

    def admit(self, request: Request | None = None) -> bool:
        """Count the request that is arriving, or refuse it. Once it is known, its client counts, not a proxy."""
        address = self._counted_as
        if request is not None and self.trusts_peer:
            address = self.site.counted_as(request.origin.address)
        if self._counted != address:
            self._release()
            if not self.site.half_read.admit(address):
                self.refuse(503)
                return False
            self._counted = address
        return True

    def _release(self) -> None:
        if self._counted is not None:
            self.site.half_read.release(self._counted)
            self._counted = None

    # Bytes in

    def dataReceived(self, data: bytes) -> None:
        """Take note of the time, then parse; or drop the bytes of a connection that is closed for writing."""
        phase = self._watch.phase
        if phase in (Phase.LINGERING, Phase.CLOSING):
            self._watch.arrived(len(data), self._now())
            return
        if self._parsing:  # Pipelined requests, handed back by a response that was finished while parsing.
            super().dataReceived(data)
            return
        if phase is Phase.NEW and data[:1] == TLS_HANDSHAKE and not ISSLTransport.providedBy(self.transport):
            # Engines of 2013 wait for an answer to their hello for minutes before they try plain HTTP. Clients of today
            # want to see that HTTP is spoken here before they try that (Go, tls.RecordHeaderError).
            self.refuse(400)
            return
        self._whole = self._head = None
        behind = False
        while phase is Phase.NEW or phase is Phase.IDLE:
            rest = self.take(data)
            if rest is None:
                if not behind:
                    self.enter(Phase.HEADERS)
                break
            behind = True
            data, phase = rest, self._watch.phase
            if not (data or self._buffer) or phase in (Phase.LINGERING, Phase.CLOSING):
                return
        self._parsing = True
        try:
            super().dataReceived(data)
        finally:
            self._parsing = False
        if self._watch.phase is Phase.IDLE and (self._buffer or self.requests):
            self.enter(Phase.HEADERS)
        if self._watch.phase is Phase.HEADERS:
            self.admit()

    def allHeadersReceived(self) -> None:
        """Start the handler, with the body still to come, unless it is small and is there."""
        self._expects = False
        self._drained = 0
        super().allHeadersReceived()
        self.keep()
        if self.length == 0 or self.take_whole_body():
            # Twisted goes on to allContentReceived, which starts the handler.
            self.enter(Phase.HANDLING)
            return
        request = self.requests[-1]
        if not self.admit(request):
            return
        self.begin_body(request)
        self.begin_taking()
        request.requestReceived(self._command, self._path, self._version)
        self._update_reading()

    def rawDataReceived(self, data: bytes) -> None:
        """A piece of a body; or of later requests, which the parent keeps."""
        self.require_turn()
        if self._watch.phase in (Phase.LINGERING, Phase.CLOSING, Phase.CUT):
            # Over TLS bytes still come that were decrypted before reading paused.
            return
        body = self._body
        if body is None:
            super().rawDataReceived(data)
            return
        self._watch.arrived(len(data), self._now())
        self._flows = len(data) >= FLOWING_BYTES
        request = self.requests[0]
        try:
            cast("Any", self._transferDecoder).dataReceived(data)
        except ChunksMalformed:
            # The parent would write a 400 of its own, in the middle of a response if need be.
            self._cut_body(CutReason.MALFORMED)
            return
        if self._watch.phase is Phase.DRAINING:
            if self._body is None:
                self._next_request(request)
                return
            self._drained += len(data)
            if self._drained > self.site.limits.drain_bytes:
                self._linger()
            return
        # Only now, with the decoder at rest, may the handler run: it may finish the response.
        body.wake()
        self._update_reading()

    def _finishRequestBody(self, data: bytes) -> None:
        """The last byte of the body has come; ``data`` is what followed it."""
        if not self.trailers_are_sound():
            raise ChunksMalformed("a line behind the last chunk is no header")
        body, self._body = self._body, None
        if body is None:
            return
        body.end()
        if self._reading is not True:
            self._networkProducer.resumeProducing()
        if self._watch.phase is not Phase.DRAINING:
            self.enter(Phase.HANDLING)
        if data:
            self._dataBuffer.append(data)
        # Resets the parser; the second requestReceived that it makes does nothing.
        self.allContentReceived()

    def _cut_body(self, reason: CutReason) -> None:
        """Give the body up. The handler may still answer; after that the connection ends."""
        assert self._body is not None
        if self._watch.phase is not Phase.BODY:
            self._linger()
            return
        self.persistent = False
        self._body.cut(reason)
        self.enter(Phase.CUT)
        self._update_reading()
        self._body.wake()

    # Bytes out

    def close_needed(self, code: int) -> bool:
        """Whether what is left of the body rules out another request on this connection."""
        body = self._body
        if body is None:
            return self.site.draining
        if self.site.draining or (self._expects and not body.received):
            # A client that was not told to continue may send the body, or not: what follows cannot be told apart.
            return True
        rest, limit = body.rest, self.site.limits.drain_bytes
        if body.asked and code < 400:
            return False
        if rest is None:
            # Nobody knows how much it is: likely much, of a body that was long already or did not find room.
            return code >= 500 or body.received > limit
        return rest > limit

    def pauseProducing(self) -> None:
        """The transport's send buffer is full. Unlike the parent, go on reading a body: it may be what is answered."""
        self._paused = True
        if self._body is None:
            super().pauseProducing()
            return
        self._waitingForTransport = True
        if self._requestProducer is not None:
            self._requestProducer.pauseProducing()

    def resumeProducing(self) -> None:
        """The transport's send buffer has emptied."""
        if self._body is None:
            super().resumeProducing()
            return
        self._waitingForTransport = False
        if self._requestProducer is not None:
            self._requestProducer.resumeProducing()

    def requestDone(self, request: Request) -> None:
        """The response is finished; its body may not have ended."""
        body = self._body
        if body is None:
            self._next_request(request)
            return
        limit = self.site.limits.drain_bytes
        rest = body.rest
        body.abandon()
        if not self.persistent or (rest is not None and rest > limit):
            self._linger()
            return
        self.enter(Phase.DRAINING)
        self._update_reading()

    def _next_request(self, request: Request) -> None:
        if self.persistent or not self._dataBuffer:
            self.enter(Phase.IDLE)
            if self.persistent and not self._dataBuffer and not self._paused and self.requests[0] is request:
                # What the parent does when nothing was paused, and nothing has come.
                del self.requests[0]
                self._handlingRequest = False
                self.line_mode = 1
                return
            self._paused = self._waitingForTransport
            super().requestDone(request)
        else:
            # Closing with bytes unread would make the kernel reset the connection, and the answer may be lost.
            self._linger()

    # Closing

    def _linger(self) -> None:
        """
        End the response for the client to see, and drop what it still sends for a while.

        Closing outright would reset the connection, and a client that is still sending would not see its answer.
        """
        if self._watch.phase is Phase.LINGERING:
            return
        self.enter(Phase.LINGERING)
        # Else the lines that have come already would still be parsed.
        self.setRawMode()
        self._body = None
        self.requests.clear()
        self._dataBuffer = []
        # The transport does not half-close while a producer is registered.
        cast("Any", self._networkProducer).unregisterProducer()
        if ISSLTransport.providedBy(self.transport):
            # Sends close_notify, and goes on reading until the client sends its own.
            self.transport.loseConnection()
        else:
            self.transport.loseWriteConnection()
        self._networkProducer.resumeProducing()

    def refuse(self, status: int) -> None:
        """Answer what is arriving, without a handler; nothing is being answered before it."""
        if self._watch.phase in (Phase.LINGERING, Phase.CLOSING):
            return
        # Twisted has the method from the first line of a request to the end of its body.
        answer = refusal(status, to_head=getattr(self, "_command", None) == b"HEAD")
        self.transport.write(answer)
        self.site.request_refused(self.peer, status, body_size(answer))
        self._linger()
