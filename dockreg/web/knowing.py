"""
A connection that begins a request without the parser where it has seen its like before.

What is kept is in :mod:`dockreg.web.repeats`, :mod:`dockreg.web.heads` and :mod:`dockreg.web.fields`. A request that is begun
here leaves the parser as it is at the end of a head, or between two requests.
"""

from typing import Any, cast

from twisted.web.http import _IdentityTransferDecoder

from dockreg.web.agents import agent_of
from dockreg.web.bodies import StreamedBody, WholeBody
from dockreg.web.chunks import ChunkedDecoder
from dockreg.web.fields import Fields, Head, take_apart
from dockreg.web.headers import names_host
from dockreg.web.heads import END, KnownHead, KnownHeaders, may_be_kept
from dockreg.web.inflow import FLOWING_BYTES
from dockreg.web.receiving import ReceivingChannel
from dockreg.web.requests import Request
from dockreg.web.watch import Phase

#: Requests with these begin in a way of their own.
_NOT_KEPT = (b"Expect", b"Upgrade")


class KnowingChannel(ReceivingChannel):
    """Knows what was made of what came before, on any connection of the site."""

    requestFactory: Any
    # What came in one read and may be a whole head, and the head that it begins with; until it is parsed.
    _whole: bytes | None = None
    _head: Head | None = None
    # Bytes that came after the response was finished.
    _drained = 0

    def enter(self, phase: Phase, now: float | None = None) -> None:
        """Do something else from now on, if that is known the clock's ``seconds()``."""
        raise NotImplementedError

    def admit(self, request: Request | None = None) -> bool:
        """Count the request that is arriving, or refuse it."""
        raise NotImplementedError

    def take(self, data: bytes) -> bytes | None:
        """
        Take a request that is begun without the parser.

        :param data: begins with a request.
        :return: what came behind its end, which the parser has already if its body has not ended; None if it is for the parser.
        """
        if data.endswith(END):
            if self._answer_again(data):
                self.enter(Phase.IDLE)
                return b""
            known = self.site.heads.find(data)
            if known is not None:
                self._expects, self._drained = False, 0
                now = self.site.clock.seconds()
                self.enter(Phase.HANDLING, now)
                self._take_head(known, now)
                return b""
            self._whole = data if may_be_kept(data) else None
        head = self._head = take_apart(data, self.site.fields.longest)
        fields = None if head is None else self.site.fields.find(head.key)
        if head is None or fields is None:
            return None
        if head.digits is not None and head.digits != fields.digits:
            fields.set_length(head.digits)
        whole, self._whole, self._head = self._whole, None, None
        self._expects, self._drained = False, 0
        request = self._take_fields(head, fields)
        length = fields.length
        if length is None or len(data) - head.end < length or length > self.site.limits.unasked_bytes:
            # Nobody else reads while something of it waits here.
            self._buffer = data[head.end :]
            self._await_body(head, length)
            if self.admit(request):
                self.begin_body(request)
                self.begin_taking()
                request.begin(self._now())
                self._update_reading()
            return b""
        end = head.end + length
        if length:
            request.body = WholeBody(data[head.end : end])
        else:
            request.head = whole
        now = self.site.clock.seconds()
        self.enter(Phase.HANDLING, now)
        self._end_input()
        request.begin(now)
        return data[end:]

    def begin_body(self, request: Request) -> None:
        """Give the request a body that arrives while it is handled."""
        limits = self.site.limits
        self._body = StreamedBody(self.length, self, limits.window_bytes, limits.unasked_bytes)
        self._reading = None
        request.body = self._body
        self.enter(Phase.BODY)
        self._may_read_much = True

    def begin_taking(self) -> None:
        """Give what has come of a body of known length to whoever will ask for it, so that he need not wait."""
        part, body = self._buffer, self._body
        if part and body is not None and body.length is not None and len(part) < body.length:
            self._buffer = b""
            self.pass_over(len(part))
            body.add(part)
            self._flows = len(part) >= FLOWING_BYTES
            self._watch.arrived(len(part), self._now())

    def take_whole_body(self) -> bool:
        """Take a body that is small, and has come together with its head, from a client that did not wait to send it."""
        length = self.length
        if length is None or length > len(self._buffer) or length > self.site.limits.unasked_bytes or self._expects:
            return False
        self.requests[-1].body = WholeBody(self._buffer[:length])
        self._buffer = self._buffer[length:]
        self.length = 0
        return True

    def keep(self) -> None:
        """Keep what the parser has made of the head that it has just come to the end of, if it alone has seen what that said."""
        whole, head = self._whole, self._head
        self._whole = self._head = None
        request = self.requests[-1]
        headers = request.requestHeaders
        if (head is None and whole is None) or not self.persistent or any(map(headers.hasHeader, _NOT_KEPT)):
            return
        if self.length == 0:
            request.head = whole
        if head is not None and names_host(headers) and getattr(self.site.resource, "answers_all", False):
            # Others may change the headers of a request.
            known, cookies, program = KnownHeaders(headers), request.received_cookies, agent_of(request)
            fields = Fields(known, cookies, request.agent, program, self.length, head.digits)
            self.site.fields.keep(head, fields)

    def _answer_again(self, head: bytes) -> bool:
        """Answer a request as one with the same head was answered, if that may be; whether it was."""
        site = self.site
        began = site.clock.seconds()
        answer = site.repeats.find(head)
        if answer is None or site.draining or self.trusts_peer or answer.sealed is not self.sealed:
            return False
        if answer.whose is not None and not answer.whose.may_be(self.peer):
            return False
        data = answer.data if answer.varying is None else answer.next()
        if data is None:
            return False
        rates = site.entrance.rates
        if rates is not None and rates.take(self.rated_as):
            # It counts nothing, and is asked again by who answers.
            return False
        self.transport.write(data)
        self._expect_line()
        site.request_repeated(self.peer, answer, site.clock.seconds() - began)
        return True

    def _take_head(self, known: KnownHead, now: float) -> None:
        """Begin a request whose head was seen before: what the parser does with one that begins and ends in one read."""
        request: Request = self.requestFactory(self, headers=known.headers)
        self.requests.append(request)
        self.persistent = True
        self._end_input()
        request.begin_known(known, now)

    def _take_fields(self, head: Head, fields: Fields) -> "Request":
        """The request that begins with this head, whose fields were seen before; its handler is not called."""
        request: Request = self.requestFactory(self, headers=fields.headers)
        self.requests.append(request)
        self.persistent = True
        request.take_fields(head, fields)
        return request

    def _await_body(self, head: Head, length: int | None) -> None:
        """Be where the parser is at the end of a head with a body."""
        self._command, self._path, self._version = head.method, head.uri, b"HTTP/1.1"
        self.length = length
        take, end = self.requests[-1].handleContentChunk, self._finishRequestBody
        self._transferDecoder = (
            ChunkedDecoder(take, end) if length is None else cast("Any", _IdentityTransferDecoder(length, take, end))
        )
        self.setRawMode()

    def _end_input(self) -> None:
        """Be where the parser is at the end of a request: what comes now is kept until the response is finished."""
        self._handlingRequest = True
        self._HTTPChannel__first_line = 1  # as in _expect_line
        self.line_mode = 0

    def _expect_line(self) -> None:
        """Let an empty line come before the next request, again."""
        self._HTTPChannel__first_line = 1
