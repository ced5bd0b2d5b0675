"""
Where a connection stands, and whether it has stood there too long.

Kept apart from the channel because time is all that matters here: nothing in this module touches a socket.
"""

from enum import Enum

from dockreg.web.limits import Limits


class Phase(Enum):
    """What a connection is doing."""

    NEW = "connected, no byte has come"
    HEADERS = "a request's headers are arriving"
    BODY = "a request's body is arriving, its handler runs"
    CUT = "the body was given up, its handler runs"
    HANDLING = "the whole request has arrived, its handler runs"
    DRAINING = "the response is finished, the rest of the body is dropped"
    IDLE = "between two requests"
    LINGERING = "closed for writing, whatever comes is dropped"
    CLOSING = "being closed"

    # Each is there once. That of Enum is a function of Python, and is called for each phase of each request.
    __hash__ = object.__hash__


#: The phases in which a connection holds part of a request.
HALF_READ = frozenset({Phase.NEW, Phase.HEADERS, Phase.BODY})


class Expiry(Enum):
    """What has taken too long."""

    HEADERS = "headers"
    KEEP_ALIVE = "keep-alive"
    BODY_IDLE = "body idle"
    BODY_RATE = "body rate"
    BODY_UNREAD = "body unread"
    RESPONSE = "response"
    DRAIN = "drain"
    LINGER = "linger"


class Watch:
    """The times of one connection. ``now`` is always the clock's ``seconds()``."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self.phase = Phase.NEW
        self._since = now
        self._arrived_at = now
        # Whether we are reading, and since when that is so.
        self._reading = True
        self._turned_at = now
        # The current window of the minimum rate: seconds of reading before the last turn, bytes, and which one it is.
        self._window_seconds = 0.0
        self._window_bytes = 0
        self._first_window = True
        # What the response had moved, and when that last changed.
        self._moved: object = None
        self._moved_at = now

    def enter(self, phase: Phase, now: float) -> None:
        """The connection does something else from now on; headers that follow the first byte keep their time."""
        if phase is Phase.BODY:
            self._window_seconds = 0.0
            self._window_bytes = 0
            self._first_window = True
            self._reading = True
            self._turned_at = now
        if self.phase is not Phase.NEW or phase is not Phase.HEADERS:
            self._since = now
        self._arrived_at = now
        self.phase = phase

    def arrived(self, count: int, now: float) -> None:
        """Bytes came."""
        self._arrived_at = now
        self._window_bytes += count

    def reading(self, reading: bool, now: float) -> None:
        """We began or ceased to read; only time spent reading is held against the client."""
        if reading == self._reading:
            return
        if reading:
            self._arrived_at = now
        else:
            self._window_seconds += now - self._turned_at
        self._reading = reading
        self._turned_at = now

    def expired(self, now: float, *, sending: bool, moved: object = None) -> Expiry | None:
        """
        What has taken too long, if anything has. To be asked often; a rate window ends when it is asked.

        :param sending: whether a response is under way, or bytes of one wait to be sent.
        :param moved: anything that changes whenever the response gets on.
        """
        if sending:
            if moved != self._moved:
                self._moved, self._moved_at = moved, now
            elif now - self._moved_at >= self._limits.response_idle_seconds:
                return Expiry.RESPONSE
            if self.phase in (Phase.IDLE, Phase.LINGERING, Phase.CLOSING):
                # Their time begins when the response is out.
                self._since = self._arrived_at = now
        else:
            self._moved, self._moved_at = None, now
        if self.phase is Phase.BODY:
            return self._body_expired(now)
        limit, expiry = self._phase_limit()
        if limit is not None and now - self._since >= limit:
            return expiry
        if self.phase is Phase.LINGERING and now - self._arrived_at >= self._limits.linger_idle_seconds:
            return Expiry.LINGER
        return None

    def _phase_limit(self) -> tuple[float | None, Expiry]:
        limits = self._limits
        if self.phase in (Phase.NEW, Phase.HEADERS):
            return limits.header_seconds, Expiry.HEADERS
        if self.phase is Phase.IDLE:
            return limits.keep_alive_seconds, Expiry.KEEP_ALIVE
        if self.phase is Phase.CUT:
            return limits.response_idle_seconds, Expiry.RESPONSE
        if self.phase is Phase.DRAINING:
            return limits.linger_seconds, Expiry.DRAIN
        if self.phase in (Phase.LINGERING, Phase.CLOSING):
            return limits.linger_seconds, Expiry.LINGER
        return None, Expiry.RESPONSE

    def _body_expired(self, now: float) -> Expiry | None:
        limits = self._limits
        if not self._reading:
            return Expiry.BODY_UNREAD if now - self._turned_at >= limits.unasked_seconds else None
        if now - self._arrived_at >= limits.body_idle_seconds:
            return Expiry.BODY_IDLE
        seconds = self._window_seconds + now - self._turned_at
        if seconds < limits.rate_window_seconds:
            return None
        too_slow = not self._first_window and self._window_bytes < limits.minimum_rate * seconds
        self._first_window = False
        self._window_bytes = 0
        self._window_seconds = 0.0
        self._turned_at = now
        return Expiry.BODY_RATE if too_slow else None
