"""What is remembered of a request once its response has ended."""

from bisect import bisect_left

from attrs import define, field, frozen

#: How long requests may take that are counted together, in seconds, beside those that take longer: from the answer of a cache
#: to the upload of a large layer on a slow line.
BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 300.0)


@frozen
class RequestRecord:
    """One request and its response, for the access log and for metrics. No query, no header that is a secret."""

    #: The client's address, as text; ``-`` for a unix socket.
    address: str
    #: Empty when the request was refused before its first line was understood.
    method: str
    #: The path as it was sent, without the query, which may hold credentials.
    path: str
    status: int
    #: Bytes of the response's body that were handed to the connection.
    bytes_sent: int
    #: Bytes of the request's body that arrived.
    bytes_received: int
    #: From the end of the request's headers to the end of the response.
    seconds: float
    user_agent: str
    #: Who asked, if a handler found out.
    principal: str | None
    #: False when the connection ended before the response did.
    complete: bool


@define(eq=False)
class Notes:
    """What some requests of one door, method and class of status had, all together."""

    requests: int = 0
    #: How many took how long: one number for each of :data:`BUCKETS`, and one for those that took longer.
    counts: list[int] = field(factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0
    bytes_received: int = 0
    bytes_sent: int = 0
    #: How many were cut off.
    cut: int = 0

    def count(self, record: RequestRecord) -> None:
        """Take note of one request."""
        self.requests += 1
        self.counts[bisect_left(BUCKETS, record.seconds)] += 1
        self.seconds += record.seconds
        self.bytes_received += record.bytes_received
        self.bytes_sent += record.bytes_sent
        if not record.complete:
            self.cut += 1
