"""What a route function is given: the request, and who is asking."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, evolve, field
from twisted.web.http import RESPONSES
from twisted.web.server import Request

from dockreg.errors import Busy, RequestInvalid
from dockreg.model.access import Caller, Principal
from dockreg.model.audit import MAX_TEXT
from dockreg.model.documents import parse_json
from dockreg.web.agents import Agent, agent_of
from dockreg.web.bodies import IRequestBody
from dockreg.web.heads import written
from dockreg.web.repeats import Varying
from dockreg.web.requests import Request as StreamedRequest

if TYPE_CHECKING:
    from dockreg.web.audit import Witness

_BUSY_SECONDS = 2


class Role(Enum):
    """Which of the two servers of v1 this one is; ``standalone`` is both."""

    STANDALONE = "standalone"
    INDEX = "index"
    REGISTRY = "registry"

    @property
    def is_index(self) -> bool:
        """Whether it keeps accounts, image lists and search, and issues tokens."""
        return self is not Role.REGISTRY

    @property
    def is_registry(self) -> bool:
        """Whether it keeps images and tags."""
        return self is not Role.INDEX


class API(Enum):
    """What a listener speaks; v2 includes OCI Distribution."""

    V1 = "v1"
    V2 = "v2"


@define(eq=False)
class DocumentRoom:
    """How many bytes of documents may be in memory at once, of all requests together, while they are received."""

    left: int = 64 * 1024 * 1024

    def hold(self) -> "HeldRoom":
        """A part of the room, empty at first."""
        return HeldRoom(self)


@define(eq=False)
class HeldRoom:
    """What one document takes of the room."""

    _room: DocumentRoom
    _size: int = field(default=0, init=False)

    def add(self, size: int) -> None:
        """Take so many bytes more. :raises Busy: they are not there."""
        if size > self._room.left:
            raise Busy("too many documents are being received at once; try again", _BUSY_SECONDS)
        self._room.left -= size
        self._size += size

    def release(self) -> None:
        """Give all of it back."""
        self._room.left += self._size
        self._size = 0


@define(eq=False)
class Exchange:
    """One request, and the caller that it comes from."""

    request: Request
    caller: Caller
    room: DocumentRoom
    witness: "Witness | None" = None
    #: The parts of the path that vary, as the client wrote them.
    parts: Mapping[str, str] = field(factory=dict)

    @property
    def principal(self) -> Principal:
        """Who is asking."""
        return self.caller.principal

    @property
    def body(self) -> IRequestBody:
        """The body of the request as a stream."""
        # The adapter is the same for each of ours; to find it takes longer than to ask.
        return self.request.body if isinstance(self.request, StreamedRequest) else IRequestBody(self.request)

    @property
    def agent(self) -> Agent:
        """The program that asks."""
        known = self.request.sent_by if isinstance(self.request, StreamedRequest) else None
        return agent_of(self.request) if known is None else known

    def identify(self, principal: Principal) -> None:
        """It was found out who is asking; the access log tells."""
        self.caller = evolve(self.caller, principal=principal)
        if self.witness is not None:
            self.witness.caller = self.caller
        if isinstance(self.request, StreamedRequest):
            self.request.principal = principal.name

    def header(self, name: bytes) -> str | None:
        """
        The value of a request header, the last one when there are several; None when it is absent.

        Bytes outside ASCII are replaced: no header that we read has a use for them.
        """
        values = self.request.requestHeaders.getRawHeaders(name)
        return values[-1].decode("ascii", "replace").strip() if values else None

    def query(self, name: bytes) -> str | None:
        """The first value of a parameter of the query string."""
        arguments = self.request.args
        values = arguments.get(name) if arguments else None
        return values[0].decode("utf-8", "replace") if values else None

    def queries(self, name: bytes) -> Sequence[str]:
        """All values of a parameter of the query string."""
        arguments = self.request.args
        values = arguments.get(name) if arguments else None
        return [value.decode("utf-8", "replace") for value in values] if values else ()

    async def document(self, limit: int) -> bytes:
        """
        The whole body.

        :raises BodyTooLarge: it has more than ``limit`` bytes.
        :raises Busy: the documents that are being received take all the room that there is for them.
        """
        body = self.body
        if (
            body.whole is not None
            and body.length is not None
            and body.length <= limit
            and body.length <= self.room.left
        ):
            # It would give back what it takes before anybody else comes.
            return body.whole
        held = self.room.hold()
        try:
            return await body.collect(limit, held.add)
        finally:
            held.release()

    async def json(self, limit: int) -> Any:
        """The JSON value in the body. :raises RequestInvalid: it has none."""
        return parse_json(await self.document(limit), _body_invalid)

    def concerns(self, kind: str, name: str) -> None:
        """Tell the audit log what the request is about, which only its body says."""
        if self.witness is not None:
            self.witness.target[kind] = name[:MAX_TEXT]

    def varies(self, text: str, again: Callable[[], str | None]) -> None:
        """
        The answer has ``text`` in it, which is to be another one for the next who asks the same.

        :param again: makes that, in ASCII and as long; None when the next one has to ask for himself. It is called only while
            nothing has changed that lasts, see :mod:`dockreg.web.repeats`.
        """

        def made() -> bytes | None:
            another = again()
            return None if another is None else another.encode("ascii")

        if isinstance(self.request, StreamedRequest):
            self.request.varying = Varying(text.encode("ascii"), made)

    def respond(self, status: int, **headers: str) -> None:
        """Set the status, and headers whose names are given with ``_`` for ``-``."""
        request = self.request
        if isinstance(request, StreamedRequest):
            request.code, request.code_message = status, RESPONSES.get(status, b"Unknown Status")
            request.responseHeaders.put_all(headers)
            return
        request.setResponseCode(status)
        for name, value in headers.items():
            request.setHeader(written(name), value.encode("utf-8"))

    def add_headers(self, name: str, values: Sequence[str]) -> None:
        """Add one header line for each value."""
        for value in values:
            self.request.responseHeaders.addRawHeader(name, value)


def _body_invalid(reason: str) -> RequestInvalid:
    return RequestInvalid(f"the request body can not be used: {reason}")


class Monitor(Protocol):
    """The door for those who watch over the service."""

    def failures(self) -> Awaitable[Mapping[str, str]]:
        """The parts that do not work now, and why; asked again after two seconds at the earliest."""

    def healthz(self, exchange: Exchange) -> Awaitable[bytes]:
        """Whether the process is alive."""

    def readyz(self, exchange: Exchange) -> Awaitable[bytes]:
        """Whether it can serve."""

    def metrics(self, exchange: Exchange) -> Awaitable[bytes]:
        """Figures for Prometheus."""
