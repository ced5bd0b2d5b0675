"""Who is let in: how many half-read requests there may be, so that slow clients cannot take every connection."""

import json
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus

from dockreg.model.networks import NO_ADDRESS
from dockreg.web.browsers import ALL_LINES
from dockreg.web.limits import Limits

_REASONS: Mapping[int, str] = {
    400: "the request is not valid HTTP, or could be read in more than one way",
    408: "the request took too long to arrive",
    414: "the URL of the request is too long",
    431: "the headers of the request are too long",
    503: "too many requests are arriving at once; try again in a second",
}


def flat_error(sentence: str) -> bytes:
    """The body of an error: one member, never nested, for engines decode it into a map of strings."""
    return json.dumps({"error": sentence}).encode("ascii")


def body_size(response: bytes) -> int:
    """How many bytes of a whole response are its body."""
    return len(response.partition(b"\r\n\r\n")[2])


def refusal(status: int, *, to_head: bool = False) -> bytes:
    """
    The whole response to what cannot be understood (400), took too long (408), is too long (414, 431) or too much (503).

    :param to_head: whether the method is known to be HEAD, whose response has no content (RFC 9110 9.3.2).
    """
    body = flat_error(_REASONS[status])
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        *(["Retry-After: 1"] if status == HTTPStatus.SERVICE_UNAVAILABLE else []),
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    head = "\r\n".join([*lines, ""]).encode("ascii") + ALL_LINES + b"\r\n"
    return head if to_head else head + body


class HalfRead:
    """Counts half-read requests, per address and in total. Who has no address has no limit of its own."""

    def __init__(self, limits: Limits) -> None:
        self._per_address = limits.connections_per_address
        self._most = limits.half_read_total
        self._counts: Counter[str] = Counter()
        self.total = 0

    def admit(self, address: str) -> bool:
        """Count one more from ``address`` (a :func:`neighbourhood`) and say True, unless that is one too many."""
        if self.total >= self._most:
            return False
        if self._counts[address] >= self._per_address and address != NO_ADDRESS:
            return False
        self._counts[address] += 1
        self.total += 1
        return True

    def release(self, address: str) -> None:
        """One that was admitted is no longer half-read."""
        self.total -= 1
        self._counts[address] -= 1
        if not self._counts[address]:
            del self._counts[address]
