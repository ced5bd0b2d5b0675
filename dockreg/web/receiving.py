"""
A connection on which a body arrives: when bytes are read, and by whom.

What reads is the reactor; or a thread for a turn (:mod:`dockreg.web.inflow`), while the reactor does not.
"""

import os
from collections.abc import Sequence

from dockreg.callables import Piece
from dockreg.interfaces_transports import ISealedTransport
from dockreg.web.bodies import StreamedBody
from dockreg.web.framing import FramedChannel
from dockreg.web.inflow import LEAST_BYTES, SHORT_BYTES, Inflow, most_of, receive_plain
from dockreg.web.sockets import duplicate, plain_descriptor, unsent_bytes
from dockreg.web.watch import Phase, Watch


class ReceivingChannel(FramedChannel):
    """A connection that is read from while there is somebody who wants the bytes; see :class:`.BodyWire`."""

    _watch: Watch
    # The body that is arriving, if one is; None again as soon as its last byte has come.
    _body: StreamedBody | None = None
    # The client waits for 100 Continue before it sends its body.
    _expects = False
    # Whether the transport reads for the body; None when Twisted may have changed it.
    _reading: bool | None = None
    # Whether reads are larger, for the sake of a body; and whether they become so when one is read for the first time.
    _reads_much = False
    _may_read_much = False
    # The thread that reads, if one does; and whether so much comes at a time that one should.
    _inflow: Inflow | None = None
    _flows = False

    def abort(self) -> None:
        """Cut the connection at once; what was not sent is lost."""
        raise NotImplementedError

    def read_little(self) -> None:
        """Take as much at once as from any connection."""
        if self._reads_much:
            self._reads_much = False
            self.site.read_sizes.end(self.transport)

    def _now(self) -> float:
        return self.site.clock.seconds()

    def body_asked(self) -> None:
        """The handler wants the body: let a client send that waits for that."""
        body = self._body
        if body is None:
            return
        if self._expects:
            self._expects = False
            # Once bytes come or the response has begun, the client waits no more (RFC 9110 10.1.1).
            if not body.received and not self.requests[0].startedWriting:
                super()._send100Continue()
        if self._reading is not None:
            # Otherwise the request is just beginning; that ends with this.
            self._update_reading()

    def body_taken(self) -> None:
        """The handler has made room."""
        self._update_reading()

    def _update_reading(self) -> None:
        """The one place that pauses and resumes reading while a body is arriving."""
        body = self._body
        if body is None or self._watch.phase not in (Phase.BODY, Phase.CUT, Phase.DRAINING):
            return
        reading = self._inflow is None and (self._watch.phase is Phase.DRAINING or body.wants_bytes)
        if reading == self._reading:
            return
        self._reading = reading
        self._watch.reading(reading, self._now())
        if reading:
            if self._may_read_much and self._watch.phase is Phase.BODY:
                self._may_read_much = False
                self._reads_much = self.site.read_sizes.begin(self.transport, body.length)
            self._networkProducer.resumeProducing()
        else:
            self._networkProducer.pauseProducing()

    def _send100Continue(self) -> None:
        """Only note that the client waits; :meth:`body_asked` answers."""
        self._expects = True

    # Turns of threads

    def begin_turn(self, first: Sequence[Piece], most: int) -> Inflow | None:
        """
        Let a thread read, until :meth:`settle_turn`; None where bytes come in the ordinary way only.

        :param first: what the reactor has read, and nobody has taken.
        :param most: bytes that the thread may give, ``first`` included.
        """
        body, inflows = self._body, self.site.inflows
        if inflows is None or body is None or not self._flows or self._inflow is not None:
            return None
        # Whatever is in the parser has to be in the body, at its end.
        if self._watch.phase is not Phase.BODY or self.line_mode or self._buffer or self._expects:
            return None
        rest, most = body.rest, most - sum(map(len, first))
        if rest is not None and 0 < rest <= min(most, SHORT_BYTES):
            taken, short = rest, True
        else:
            taken, short = most_of(rest, min(most, inflows.most_bytes)), False
        if not (short or taken >= LEAST_BYTES) or unsent_bytes(self.transport):
            return None
        sealed = self._is_sealed()
        descriptor = self.transport.receiving_descriptor() if sealed else plain_descriptor(self.transport)
        own = None if descriptor is None else duplicate(descriptor)
        if own is None:
            return None
        begun = self.begin_turn_of_decoder()
        if begun is None:
            os.close(own)
            return None
        self._may_read_much = False
        self.read_little()
        receive = self.transport.lend_receiving() if sealed else receive_plain
        joined = b"".join(first)
        self._inflow = Inflow(inflows, own, receive, self.chunks, begun, joined, taken, short=short)
        self._update_reading()
        return self._inflow

    def settle_turn(self, inflow: Inflow, *, resting: bool) -> None:
        """
        Read in the ordinary way again.

        :param resting: the thread has come to its end. Otherwise it may still be reading, and nobody knows what; that happens
            only when the client has gone, so the connection is cut.
        """
        inflow.end(resting=resting)
        if self._inflow is not inflow:
            return
        if not resting:
            self._inflow = None
            self.abort()
            return
        self._take_up(inflow)

    def look_at_turn(self) -> None:
        """A thread that has all of the body may take its time with what is to be done then: nobody else is waited for."""
        inflow = self._inflow
        if inflow is not None and inflow.is_whole:
            self._take_up(inflow)

    def _take_up(self, inflow: Inflow) -> None:
        """Go on where a thread has stopped to read."""
        self._inflow = None
        body = self._body
        if body is None:
            # Somebody has answered without waiting for the turn, which no handler of ours does: see IRequestBody.pour.
            self.abort()
            return
        if self.chunks is None:
            self.pass_over(inflow.taken)
        body.received += inflow.carried
        self._watch.arrived(inflow.taken, self._now())
        self._flows = not inflow.dry
        if self._is_sealed():
            self.transport.take_back(inflow.rest)
        elif inflow.rest:
            self.dataReceived(inflow.rest)
        if self._body is body and body.rest == 0:
            # The parser is told that it has come to the end.
            self.rawDataReceived(b"")
        self._update_reading()

    def _is_sealed(self) -> bool:
        # Of the class: what Twisted wraps around a connection provides all that the connection does.
        return bool(ISealedTransport.implementedBy(type(self.transport)))

    def end_turn(self, body: StreamedBody | None) -> None:
        """The connection has ended, or is cut: no thread shall go on reading."""
        inflow, self._inflow = self._inflow, None
        if inflow is not None:
            inflow.end(resting=False)
            if body is not None:
                # For the log. What the thread is taking in this moment, if anything, is not known.
                body.received += inflow.carried

    def require_turn(self) -> None:
        """
        Nobody else may read now. What comes out of turn could stand before or behind what the thread has.

        Twisted does not read from a transport that is paused; so this never happens, unless that changes.
        """
        if self._inflow is not None:
            self.abort()
