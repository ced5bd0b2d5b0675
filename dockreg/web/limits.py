"""How long, how much and how many: what a connection may ask of the server."""

from attrs import field, frozen
from attrs.validators import ge, gt

from dockreg.model.networks import Networks


@frozen
class Limits:
    """
    Every number that bounds a connection or a client. Times are seconds, sizes bytes.

    There is no limit on the whole time of a request: a large layer on a slow line takes as long as it takes.
    """

    #: A request's headers must be complete this long after its first byte, or after the connection was made.
    header_seconds: float = field(default=30.0, validator=gt(0))
    #: Request line and headers together.
    header_bytes: int = field(default=16 * 1024, validator=gt(0))
    #: An open connection may wait this long for its next request.
    keep_alive_seconds: float = field(default=60.0, validator=gt(0))

    #: A body may stand still this long, counted only while we are reading.
    body_idle_seconds: float = field(default=60.0, validator=gt(0))
    #: Bytes per second that a body must bring on average over each window after the first; 0 for no such limit.
    minimum_rate: int = field(default=1024, validator=ge(0))
    #: The length of such a window, counted only while we are reading.
    rate_window_seconds: float = field(default=60.0, validator=gt(0))
    #: A body that the handler does not ask for, or does not go on to read, ends the connection after this long.
    unasked_seconds: float = field(default=300.0, validator=gt(0))
    #: Bytes of a body that wait for its handler before reading from the socket pauses; what one read takes at most.
    window_bytes: int = field(default=512 * 1024, validator=gt(0))
    #: The same before the handler has asked: enough for a small document, and to see a client leave.
    unasked_bytes: int = field(default=16 * 1024, validator=gt(0))

    #: A response that moves no byte for this long ends the connection.
    response_idle_seconds: float = field(default=300.0, validator=gt(0))

    #: What may be left of a body when its response is finished, to be read and dropped so that the connection lives on.
    drain_bytes: int = field(default=64 * 1024, validator=ge(0))
    #: A connection that is closed with a body under way drops what comes for at most this long...
    linger_seconds: float = field(default=30.0, validator=gt(0))
    #: ...and for at most this long when nothing comes.
    linger_idle_seconds: float = field(default=5.0, validator=gt(0))

    #: Half-read requests (headers or body incomplete) from one address, an IPv6 address being its /64.
    connections_per_address: int = field(default=256, validator=gt(0))
    #: The same from everywhere.
    half_read_total: int = field(default=2048, validator=gt(0))
    #: The URL of a request, its query included, which has to fit into ``header_bytes`` as well.
    url_bytes: int = field(default=8 * 1024, validator=gt(0))
    #: Requests a second that one address may send on end, an IPv6 address being its /64; 0 for no such limit.
    requests_per_second: float = field(default=500.0, validator=ge(0))
    #: The same at once.
    request_burst: int = field(default=10_000, validator=gt(0))
    #: Those to whom the limits per address do not apply.
    exempt_addresses: Networks = field(factory=Networks)

    #: How often connections are held against these limits, and so how exact the times are.
    sweep_seconds: float = field(default=1.0, validator=gt(0))
