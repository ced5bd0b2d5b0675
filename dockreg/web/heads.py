"""
Heads of requests that were seen before.

Clients that keep a connection, pools of them, and fleets of machines send the same bytes again and again. What the parser,
the checks of its framing and the search for the route make of the whole head of a request without a body depends on its
bytes alone, so it is kept and taken again. Nothing else is: who asks is looked at anew, and what he may.

Heads hold credentials. They are in no log, and what is kept is bounded.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from sys import getsizeof
from typing import Any, cast

from attrs import frozen
from twisted.web.http_headers import Headers

from dockreg.web.agents import Agent
from dockreg.web.kept import Kept

#: The longest head that is kept, and all of them, in bytes.
LONGEST_BYTES = 4096
_MOST_BYTES = 4 * 1024 * 1024
#: What one weighs: its bytes, which what was made of it repeats, some objects, and more of them for each of its parts.
_TIMES = 3
_ENTRY_BYTES = 1536
_PART_BYTES = 96
#: Where one ends.
END = b"\r\n\r\n"
_METHODS = (b"GET ", b"HEAD ")
_BEGINNING = b"POST "


@frozen(eq=False, repr=False)
class KnownHead:
    """What was made of one head. Nobody changes what is in it."""

    data: bytes
    method: bytes
    uri: bytes
    path: bytes
    args: dict[bytes, list[bytes]]
    headers: Headers
    cookies: dict[bytes, bytes]
    #: The program that sends it, if anybody wanted to know.
    sent_by: Agent | None
    #: Begins the answer to a request with this head, as a resource does.
    render: Callable[[Any], Any]
    #: Method, path and user agent as the log has them.
    texts: tuple[str, str, str]


def may_be_kept(data: bytes) -> bool:
    """
    Whether what one read brought looks like one whole head; whether it is, the parser says.

    Beside reads this is what begins an upload session, always at the same URL. What has a query comes once.
    """
    return (
        len(data) <= LONGEST_BYTES
        and (data.startswith(_METHODS) or (data.startswith(_BEGINNING) and b"?" not in data[: data.find(b"\r\n")]))
        and data.endswith(END)
        and data.find(END) == len(data) - len(END)
    )


class KnownHeads(Kept[bytes, KnownHead]):
    """Those of one site, by their bytes."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        super().__init__(most_bytes)

    def keep(self, data: bytes, head: KnownHead) -> None:
        """Remember what was made of these bytes."""
        if data not in self:
            self.add(data, head, _weight(data, head))


def _weight(data: bytes, head: KnownHead) -> int:
    """
    About how many bytes of memory it takes, rather more than less: who sends it chooses what it is made of.

    Hundreds of headers, cookies or arguments of a few characters take forty times what their bytes do.
    """
    named = len(head.args) + sum(map(len, head.args.values()))
    return headers_weight(len(data), head.headers, head.cookies, *head.texts) + named * _PART_BYTES


def headers_weight(size: int, headers: Headers, cookies: Mapping[bytes, bytes], *texts: str) -> int:
    """
    The same of headers and cookies.

    :param size: how many bytes they were made of.
    """
    values = [values for _, values in headers.getAllRawHeaders()]
    parts = len(values) + sum(map(len, values)) + 2 * len(cookies)
    return _ENTRY_BYTES + _TIMES * size + parts * _PART_BYTES + sum(map(getsizeof, texts))


@lru_cache(maxsize=512)
def canonical(name: Any) -> bytes:
    """The name of a header as it is sent."""
    ((canonical, _),) = Headers({name: [b""]}).getAllRawHeaders()
    return canonical


@lru_cache(maxsize=64)
def written(name: str) -> bytes:
    """The name of a header, as it is sent, that a function has as the name of a parameter."""
    return canonical(name.replace("_", "-").encode("ascii"))


class KnownHeaders(Headers):
    """
    The headers of requests, which nobody changes, so that each is looked up once for all of them.

    :param changed: values that are others than in ``headers``, by names that are written as they are sent.
    """

    __slots__ = ("_found",)

    def __init__(self, headers: Headers, changed: Mapping[bytes, list[bytes]] | None = None) -> None:
        raw = cast("Iterator[tuple[bytes, list[bytes]]]", headers.getAllRawHeaders())
        self._rawHeaders = {**dict(raw), **(changed or {})}
        self._found: dict[Any, Any] = {}

    def getRawHeaders(self, name: Any, default: Any = None) -> Any:
        """All values of a header."""
        try:
            values = self._found[name]
        except KeyError:
            values = self._found[name] = super().getRawHeaders(name)
        return default if values is None else values

    def hasHeader(self, name: Any) -> bool:
        """Whether there is such a header."""
        return self.getRawHeaders(name) is not None


class ResponseHeaders(Headers):
    """The headers of a response, with a shorter way for the values that need no care."""

    __slots__ = ("raw",)

    def __init__(self, headers: Mapping[Any, Sequence[Any]] | None = None) -> None:
        #: All of them, by names that are written as they are sent; to be looked at.
        self.raw: dict[bytes, list[bytes]] = {}
        self._rawHeaders = self.raw
        if headers is not None:
            for name, values in headers.items():
                self.setRawHeaders(name, values)

    def set(self, name: str | bytes, value: str | bytes) -> None:
        """As :meth:`setRawHeaders` with one value."""
        if isinstance(value, bytes) and b"\n" not in value and b"\r" not in value:
            self._rawHeaders[canonical(name)] = [value]
        else:
            self.setRawHeaders(name, [value])

    def put(self, name: bytes, value: bytes) -> None:
        """Set a header whose name is written as it is sent."""
        if b"\n" in value or b"\r" in value:
            self.setRawHeaders(name, [value])
        else:
            self._rawHeaders[name] = [value]

    def put_all(self, headers: Mapping[str, str]) -> None:
        """The same for several, with names as :func:`written` takes them."""
        for name, value in headers.items():
            if "\n" in value or "\r" in value:
                self.setRawHeaders(written(name), [value.encode("utf-8")])
            else:
                self._rawHeaders[written(name)] = [value.encode("utf-8")]

    def lines(self) -> list[bytes]:
        """All of them, as they are sent."""
        return [b"%b: %b\r\n" % (name, value) for name, values in self.raw.items() for value in values]
