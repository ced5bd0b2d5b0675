"""What is remembered of a request once its response has ended."""

from attrs import frozen


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

    @property
    def status_class(self) -> str:
        """The status as metrics group it, such as ``2xx``."""
        return f"{self.status // 100}xx"
