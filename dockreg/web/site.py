"""The site: what all connections share, and how it stops."""

from collections.abc import Callable
from typing import cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.web import server
from twisted.web.http import datetimeToString
from twisted.web.resource import IResource

from dockreg.model.networks import NO_ADDRESS, is_loopback, neighbourhood
from dockreg.web.admission import HalfRead
from dockreg.web.channel import Channel
from dockreg.web.entrance import Entrance
from dockreg.web.fields import KnownFields
from dockreg.web.heads import KnownHeads
from dockreg.web.inflow import Inflows
from dockreg.web.kernel import KernelSender
from dockreg.web.limits import Limits
from dockreg.web.proxies import Proxies
from dockreg.web.records import RequestRecord
from dockreg.web.repeats import Repeat, Repeats
from dockreg.web.requests import Request
from dockreg.web.sockets import ReadSizes

__all__ = ["AccessLog", "Limits", "RequestRecord", "Site"]

log = Logger()

AccessLog = Callable[[RequestRecord], None]


class Site(server.Site):
    """
    Serves a resource over HTTP/1.1, with bodies as streams.

    :param clock: measures every limit.
    :param access_log: told of each request once its response has ended.
    :param proxies: who is believed when it speaks for others.
    :param entrance: what all requests come through.
    """

    # The parent wraps each connection in something that only serves to switch to HTTP/2.
    protocol = Channel  # type: ignore[assignment]  # typed as that wrapper
    requestFactory = Request  # type: ignore[assignment]  # its constructor is another one
    # The parent's idle timer is replaced by the sweep.
    timeOut = None

    def __init__(
        self,
        resource: IResource,
        clock: IReactorTime,
        limits: Limits | None = None,
        access_log: AccessLog | None = None,
        proxies: Proxies | None = None,
        entrance: Entrance | None = None,
    ) -> None:
        super().__init__(resource, reactor=clock, timeout=None, parsePOSTFormSubmission=False)
        self.clock = clock
        self.limits = Limits() if limits is None else limits
        self.proxies = Proxies() if proxies is None else proxies
        self.entrance = Entrance() if entrance is None else entrance
        self.half_read = HalfRead(self.limits)
        self.read_sizes = ReadSizes(self.limits.window_bytes)
        self.heads = KnownHeads()
        self.fields = KnownFields(self.limits.header_bytes)
        self.repeats = Repeats(clock)
        #: Whether the site has begun to stop.
        self.draining = False
        #: The time to stop is over: nothing is begun any more but what keeps what is there.
        self.cutting = False
        #: Requests whose handler has begun and whose response has not ended.
        self.requests_in_flight = 0
        #: Sends files, where the kernel can.
        self.kernel: KernelSender | None = None
        #: Lets threads read bodies; without it the reactor reads them all.
        self.inflows: Inflows | None = None
        self._access_log = access_log
        # A connection that neither reads nor writes is known to nobody else, and would be collected as garbage.
        self._channels: set[Channel] = set()
        self._sweep_call: IDelayedCall | None = None
        self._drained: list[Deferred[None]] = []
        self._date = b""
        self._second = -1

    @property
    def open_connections(self) -> int:
        """Connections that have not ended, idle ones included."""
        return len(self._channels)

    def counted_as(self, host: str) -> str:
        """
        The address under which a client is held against the limits per address.

        Proxies have none: their clients are counted, once it is known who they are.
        """
        if host in self.limits.exempt_addresses or host in self.proxies.trusted:
            return NO_ADDRESS
        return neighbourhood(host)

    def rated_as(self, host: str) -> str:
        """The same for the requests that a client sends; programs on this machine may send what they like."""
        return NO_ADDRESS if is_loopback(host) else self.counted_as(host)

    def getResourceFor(self, request: server.Request) -> IResource:
        """What answers a request."""
        answer = self.entrance.answer(request) if isinstance(request, Request) else None
        return cast("IResource", super().getResourceFor(request)) if answer is None else answer

    def acceptableProtocols(self) -> list[bytes]:
        """Only HTTP/1.1, by ALPN: HTTP/2 would bypass :class:`~dockreg.web.channel.Channel`."""
        return [b"http/1.1"]

    def buildProtocol(self, addr: IAddress | None) -> Channel | None:  # type: ignore[override]  # HTTP/2 has a wrapper
        """A connection, unless the site is stopping."""
        return None if self.draining else super().buildProtocol(addr)

    def startFactory(self) -> None:
        """Open no log file, and keep no time for one: there is :class:`RequestRecord`."""
        self.cutting = False

    def stopFactory(self) -> None:
        """No port is left; connections live on until they end or :meth:`drain` ends them."""

    def drain(self, grace_seconds: float) -> Deferred[None]:
        """
        Stop in an orderly way. The ports should be closed by then.

        Idle connections are closed now, others once the request that they are handling has been answered.

        :param grace_seconds: how long to wait for them before they are cut off.
        :return: fires when no connection is left.
        """
        self.draining = True
        for channel in list(self._channels):
            channel.stop_taking_requests()
        if not self._channels:
            return succeed(None)
        cut = self.clock.callLater(grace_seconds, self._cut_rest)
        done: Deferred[None] = Deferred()

        def cancel_cut(_: None) -> None:
            if cut.active():
                cut.cancel()

        self._drained.append(done)
        return done.addCallback(cancel_cut)

    def _cut_rest(self) -> None:
        log.warn("cutting {connections} connections, for the time to stop is over", connections=len(self._channels))
        self.cutting = True
        for channel in list(self._channels):
            channel.abort()

    def date(self, now: float) -> bytes:
        """The time as headers have it; the same serves all of one second."""
        second = int(now)
        if second != self._second:
            self._second, self._date = second, datetimeToString(second)
        return self._date

    # What connections and requests tell

    def channel_opened(self, channel: Channel) -> None:
        """A connection was made."""
        self._channels.add(channel)
        if self._sweep_call is None:
            self._sweep_call = self.clock.callLater(self.limits.sweep_seconds, self._sweep)

    def channel_closed(self, channel: Channel) -> None:
        """A connection has ended."""
        self._channels.discard(channel)
        if self._channels:
            return
        if self._sweep_call is not None:
            self._sweep_call.cancel()
            self._sweep_call = None
        waiting, self._drained = self._drained, []
        for done in waiting:
            done.callback(None)

    def _sweep(self) -> None:
        self._sweep_call = self.clock.callLater(self.limits.sweep_seconds, self._sweep)
        now = self.clock.seconds()
        for channel in list(self._channels):
            try:
                channel.check(now)
            except Exception:  # noqa: BLE001 - whatever it was, it is logged
                # One connection must not keep the others from being looked at.
                log.failure("looking at a connection failed")

    def request_ended(self, record: RequestRecord) -> None:
        """The response of a request that began has ended, in one way or another."""
        self.requests_in_flight -= 1
        self._tell(record)

    def request_refused(self, address: str, status: int, sent: int) -> None:
        """A request was answered without a handler: malformed, too slow, or one too many."""
        self._tell(
            RequestRecord(
                address=address,
                method="",
                path="",
                status=status,
                bytes_sent=sent,
                bytes_received=0,
                seconds=0.0,
                user_agent="",
                principal=None,
                complete=True,
            )
        )

    def request_repeated(self, address: str, answer: Repeat, seconds: float) -> None:
        """A request was answered with what another one was answered before."""
        method, path, agent = answer.texts
        principal = None if answer.whose is None else answer.whose.name
        self._tell(
            RequestRecord(address, method, path, answer.status, answer.body_bytes, 0, seconds, agent, principal, True)
        )

    def log(self, request: server.Request) -> None:  # type: ignore[override]  # HTTPFactory serves other requests too
        """Twisted calls this when a response is finished."""
        if isinstance(request, Request):
            request.response_ended()

    def _tell(self, record: RequestRecord) -> None:
        if self._access_log is None:
            return
        try:
            self._access_log(record)
        except Exception:  # noqa: BLE001 - whatever it was, it is logged
            # A response has ended well, whatever the log makes of it.
            log.failure("the access log failed")
