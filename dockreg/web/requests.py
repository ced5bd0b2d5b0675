"""
A request whose handler starts when the headers are complete.

The private names of :class:`twisted.web.http.Request` that dockreg relies on are in this module, those of the channel
in :mod:`dockreg.web.channel`; ``tests/unit/web/test_twisted.py`` fails when Twisted changes them.
"""

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.components import registerAdapter
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import NO_BODY_CODES
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource

from dockreg.web.admission import flat_error
from dockreg.web.agents import Agent
from dockreg.web.bodies import EMPTY_BODY, BodyCut, IRequestBody, StreamedBody
from dockreg.web.fields import Fields, Head, arguments_of
from dockreg.web.heads import KnownHead, KnownHeaders, ResponseHeaders
from dockreg.web.proxies import Origin
from dockreg.web.records import RequestRecord
from dockreg.web.repeats import Repeat, Somebody, Varying, Version

if TYPE_CHECKING:
    from dockreg.web.channel import Channel
    from dockreg.web.kernel import KernelSender
    from dockreg.web.site import Site

log = Logger()

#: The status on record for a client that left before it was answered, as nginx writes it; never sent.
NO_RESPONSE = 499


class Request(server.Request):
    """
    A request of a dockreg :class:`~dockreg.web.site.Site`.

    Klein needs nothing else: it starts from ``process()``, as ever.
    """

    # twisted.web would send text/html with whatever has no type of its own.
    defaultContentType = None
    channel: "Channel"
    responseHeaders: ResponseHeaders

    #: Who asks, for the access log; set by whatever authenticates the request.
    principal: str | None = None
    #: Whether the response was cut off; what a handler still writes is dropped.
    aborted = False

    #: Its body as a stream.
    body: IRequestBody = EMPTY_BODY
    #: Whether it is known that it has a Host header, and that this can be one.
    names_host = False
    #: The program that has sent it, once somebody wanted to know.
    sent_by: Agent | None = None
    #: Called when the client has gone before the response was finished.
    on_gone: Callable[[], object] | None = None
    #: Whether that is for the end of the server only: the handler goes on with what came of the body, and sees where it ends.
    outlasts = False

    _origin: Origin | None = None
    _received = False
    _recorded = False
    _began = 0.0
    #: The bytes of its head, if a request with the same may be begun without parsing it; and what was made of them then.
    head: bytes | None = None
    _known: KnownHead | None = None
    #: What was made of its fields before, if it is begun without parsing them.
    _fields: Fields | None = None
    #: Whether everybody who sends the same head is given the same answer, for now.
    repeats = False
    #: Who sends it, if he has a name and is given the same answer.
    whose: Somebody | None = None
    #: What of its answer is to be another one for each of them, if anything is.
    varying: Varying | None = None
    # The whole answer, if it was sent in one piece, and the connection stays open.
    _answer: bytes | None = None
    # Whether that was over TLS.
    _sealed = False
    #: While a thread sends the response: has what it has sent counted, and says whether that was all.
    note_sent: Callable[[], bool] | None = None

    def __init__(self, channel: "Channel", queued: object = False, headers: Headers | None = None) -> None:
        """
        Be what the parents' constructors make, with what they need not look for.

        :param headers: those of the request, where they are known.
        """
        self.channel, self.transport, self.queued = channel, channel.transport, queued
        self.client, self.host = channel.ends or channel.find_ends()
        self.requestHeaders = Headers() if headers is None else headers
        self.responseHeaders = ResponseHeaders()
        self.received_cookies, self.cookies = {}, []
        self.notifications = []
        self._parsePOSTFormSubmission, self._adapterCache = False, {}
        self._owner: Site = channel.site
        self._peer = channel.peer
        #: Whether it comes by a proxy that is believed.
        self.trusts_peer = channel.trusts_peer
        #: The address under which the requests of its client are counted, as :meth:`Site.rated_as` has it.
        self.rated_as = channel.rated_as

    @property
    def origin(self) -> Origin:
        """Where it comes from, by the word of trusted proxies. To be asked once the headers are complete."""
        if self._origin is None:
            told = self._owner.proxies.origin(self._peer, self.requestHeaders) if self.trusts_peer else None
            self._origin = told or Origin(self._peer)
        return self._origin

    @property
    def has_ended(self) -> bool:
        """Whether the response is finished or was cut off, or the client has gone."""
        return bool(self.finished or self.aborted or self._disconnected)

    @property
    def kernel(self) -> "KernelSender | None":
        """What sends files over this connection without the program, if anything does."""
        return self._owner.kernel

    def abort(self) -> None:
        """
        Cut the connection, so that the client cannot take what it got for the whole (RFC 9112 8).

        Whatever the handler writes from now on is dropped. Harmless once the response is finished.
        """
        if self.aborted or self.finished or self._disconnected:
            return
        self.aborted = True
        if self.producer is not None:
            self.unregisterProducer()
        self.channel.abort()

    # What the channel calls

    def gotLength(self, length: int | None) -> None:
        """Keep no body here: the parent would open a temporary file for a large one."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes | memoryview) -> None:
        """A piece of the body, decoded."""
        assert isinstance(self.body, StreamedBody)
        self.body.add(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """
        Begin handling.

        Called at the end of the headers, and by Twisted again at the end of the body, when there is nothing to do.
        """
        if self._received:
            return
        self._receive(self._owner.clock.seconds())
        super().requestReceived(command, path, version)

    def _receive(self, now: float) -> None:
        self._received = True
        self._began = now
        self._owner.requests_in_flight += 1
        if self.trusts_peer:
            self.rated_as = self._owner.rated_as(self.origin.address)

    def take_fields(self, head: Head, fields: Fields) -> None:
        """Have the headers that were made of the same fields before, and what a head says besides."""
        self._fields, self.sent_by, self.names_host = fields, fields.sent_by, True
        self.method, self.uri, self.path, self.clientproto = head.method, head.uri, head.path, b"HTTP/1.1"
        self.received_cookies = fields.cookies
        self.args = arguments_of(head.query)

    def begin(self, now: float) -> None:
        """Begin handling a request whose headers are there."""
        self._receive(now)
        self.process()

    def begin_known(self, known: KnownHead, now: float) -> None:
        """Begin handling a request whose head was seen before, in the way that was found for it then."""
        self._known, self.sent_by = known, known.sent_by
        self.method, self.uri, self.path, self.clientproto = known.method, known.uri, known.path, b"HTTP/1.1"
        self.received_cookies, self.args = known.cookies, known.args
        self.begin(now)

    def remember(self, resource: IResource, render: Callable[["Request"], Any]) -> None:
        """
        The answer is begun by ``render``, and depends on nothing before that but the bytes of the head.

        :param resource: whoever says so; it counts only for the root of the site, before which nobody decides.
        """
        if self.head is None or self._owner.resource is not resource:
            return
        texts = (*self._texts(), self.agent)
        args, cookies = cast("dict[bytes, list[bytes]]", self.args), self.received_cookies
        headers, agent = KnownHeaders(self.requestHeaders), self.sent_by
        known = KnownHead(self.head, self.method, self.uri, self.path, args, headers, cookies, agent, render, texts)
        self._owner.heads.keep(self.head, known)

    @property
    def is_known(self) -> bool:
        """Whether its head was seen before, and comes from the client itself."""
        return self._known is not None and not self.trusts_peer

    def keep_answer(self, version: object, ask: Version) -> None:
        """Have its answer, once that is sent, given to others who send the same; see :meth:`.Repeats.keep`."""
        if self._known is None or self._answer is None or not self.repeats:
            return
        texts, varying = self._known.texts, self.varying
        answer = Repeat(self._answer, self.code, self.sentLength, texts, varying, self._sealed, self.whose)
        self._owner.repeats.keep(self._known.data, answer, int(self._began), version, ask)

    def process(self) -> None:
        """Find who answers, and let him begin."""
        known, root = self._known, self._owner.resource
        if known is None and self._fields is None and not self._is_for(root):
            super().process()
            return
        self.site = self._owner
        self.prepath, self.postpath = [], [] if known else self.path[1:].split(b"/")
        headers = self.responseHeaders.raw
        headers[b"Server"], headers[b"Date"] = [server.version], [self._owner.date(self._began)]
        try:
            answer = self._owner.entrance.answer(self)
            if answer is not None or known is None:
                self.render(answer or root)
            else:
                known.render(self)
        except BaseException:  # noqa: BLE001 - as the parent does it
            self.processingFailed(Failure())

    def _is_for(self, root: IResource) -> bool:
        """Whether the root of the site answers, without a look at the path before."""
        return getattr(root, "answers_all", False) and self.path.startswith(b"/") and b"%" not in self.path

    def connectionLost(self, reason: Failure) -> None:
        """
        The client went away, or was cut off, before the response was finished.

        It may have had all of it: a client that wants nothing else closes before a thread could tell us of the last bytes.
        """
        all_sent = self.note_sent is not None and self.note_sent()
        super().connectionLost(reason)
        if self.on_gone is not None and (not self.outlasts or self._owner.cutting):
            self.on_gone()
        self._record(complete=all_sent and not self.aborted)

    # What handlers and Klein call

    def write(self, data: bytes) -> None:
        """Send some of the response, unless it was cut off."""
        if self.aborted:
            return
        if self.startedWriting or self._disconnected or self.finished:
            super().write(data)
            return
        channel = self.channel
        channel.hold()
        try:
            super().write(data)
        finally:
            channel.let_go()

    def setHeader(self, name: str | bytes, value: str | bytes) -> None:
        """Set a header of the response."""
        self.responseHeaders.set(name, value)

    def end_with(self, body: bytes | None) -> None:
        """
        Write the body, if there is one, and end the response, unless it has ended. Without a body nothing is said of its length.

        What :meth:`write` and :meth:`finish` do in the end is done at once where nothing was written before, and where the
        length is known and nothing was left to them to be put into the head.
        """
        if self.finished or self.aborted or self._disconnected:
            return
        bodyless = self.method == b"HEAD" or self.code in NO_BODY_CODES
        size = 0 if body is None else len(body)
        if body is not None:
            self.responseHeaders.raw[b"Content-Length"] = [b"%d" % size]
        if (
            self.startedWriting
            or self.clientproto != b"HTTP/1.1"
            or not (bodyless or b"Content-Length" in self.responseHeaders.raw)
            or self.cookies
            or self.etag is not None
            or self.lastModified is not None
            or self._encoder is not None
        ):
            if body is not None:
                self.write(body)
            self.finish()
            return
        self.startedWriting = 1
        answer = self.channel.head_of(self.clientproto, self.code, self.code_message, self.responseHeaders)
        if body and not bodyless:
            self.sentLength = size
            answer += body
        if self._known is not None and self.channel.persistent:
            self._answer, self._sealed = answer, self.channel.sealed
        self.channel.transport.write(answer)
        self._end()

    def _end(self) -> None:
        """What :meth:`finish` does for an answer that was sent as a whole."""
        if self.producer is not None or self.queued:
            super().finish()
            return
        self._record(complete=True)
        self.finished = 1
        channel = self.channel
        channel.requestDone(self)
        del self.channel
        if self.content is not None:
            self.content.close()
            del self.content
        notifications, self.notifications = self.notifications, []
        for each in notifications:
            each.callback(None)

    def finish(self) -> None:
        """End the response, unless it was cut off: a proper end would make it look whole."""
        if not self.aborted:
            super().finish()

    def processingFailed(self, reason: Failure) -> Failure:
        """Answer for a handler that failed: by its own status if the body was cut, with 500 if not begun, else cut."""
        if reason.check(CancelledError) is None:
            log.failure("{method} {path} failed", failure=reason, method=self.method, path=self.path)
        if self.startedWriting:
            self.abort()
            return reason
        status = 500
        sentence = "the server failed to answer; the failure is in its log"
        if isinstance(reason.value, BodyCut):
            status = reason.value.status or 400
            sentence = str(reason.value)
        body = flat_error(sentence)
        self.setResponseCode(status)
        self.setHeader(b"Content-Type", b"application/json")
        self.setHeader(b"Content-Length", b"%d" % len(body))
        self.write(body)
        self.finish()
        return reason

    # The access log

    def response_ended(self) -> None:
        """The response is complete; called once by the site, which Twisted asks to log it."""
        self._record(complete=True)

    def _record(self, *, complete: bool) -> None:
        if not self._received or self._recorded:
            return
        self._recorded = True
        if self._known is not None:
            method, path, agent = self._known.texts
        elif self._fields is not None:
            # All of it is ASCII, and the path begins with a slash.
            method, path, agent = self.method.decode(), self.path.decode(), self._fields.agent
        else:
            method, path, agent = (*self._texts(), self.agent)
        self._owner.request_ended(
            RequestRecord(
                address=self.origin.address if self.trusts_peer else self._peer,
                method=method,
                path=path,
                status=self.code if complete or self.startedWriting else NO_RESPONSE,
                bytes_sent=self.sentLength,
                bytes_received=self.body.received,
                seconds=self._owner.clock.seconds() - self._began,
                user_agent=agent,
                principal=self.principal,
                complete=complete,
            )
        )

    def _texts(self) -> tuple[str, str]:
        method = self.method.decode("ascii", "backslashreplace")
        # An absolute URI may name a user and a password.
        return method, self.path.decode("ascii", "backslashreplace") if self.path.startswith(b"/") else "*"

    @property
    def agent(self) -> str:
        """The user agent as the log has it."""
        if self._fields is not None:
            return self._fields.agent
        agent = self.requestHeaders.getRawHeaders(b"User-Agent") or [b""]
        return agent[0].decode("utf-8", "backslashreplace")


# More specific than what dockreg.web.bodies registers for every request of twisted.web.
registerAdapter(lambda request: request.body, Request, IRequestBody)
