"""
Header fields of requests that were seen before.

A client sends the same lines behind each of its request lines, but for the length of the body. So what the parser and the
checks of framing made of them is kept by their bytes, and a request line that has nothing odd in it is taken apart here.
Everything else, and everything the first time, goes through the parser; ``tests/unit/web/test_fields.py`` shows that both
ways do the same. Where to find it, and who asks, is looked at in both of them.

Fields hold credentials. They are in no log, and what is kept is bounded.
"""

import re
from collections import OrderedDict

from attrs import define, field
from twisted.web.http import parse_qs

from dockreg.web.heads import END, LONGEST_BYTES, KnownHeaders, headers_weight

_MOST_BYTES = 1024 * 1024
#: As many are known to have come once; see :meth:`KnownFields.keep`.
_MOST_ONCE = 1024
#: A line whose path needs no decoding.
_LINE = re.compile(rb"([A-Z]{1,16}) ((/[!-$&->@-~]*)(?:\?([!-~]*))?) HTTP/1\.1\r\n")
#: A length as all but all write it, in as many digits as one may have (:mod:`dockreg.web.framing`).
_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]{1,19})\r\n")
#: A query in which nothing is decoded, and every name has a value.
_PLAIN_QUERY = re.compile(
    rb"[A-Za-z0-9._~:/@!$'()*,?-]+=[A-Za-z0-9._~:/@!$'()*,?=-]*(?:&[A-Za-z0-9._~:/@!$'()*,?-]+=[A-Za-z0-9._~:/@!$'()*,?=-]*)*"
)
_PAIR = re.compile(rb"([^&=]+)=([^&]*)")

#: The bytes of fields: before and behind the digits of the length, or all of them.
Key = tuple[bytes, ...]


@define(eq=False, repr=False)
class Head:
    """A head, taken apart."""

    method: bytes
    uri: bytes
    path: bytes
    query: bytes | None
    key: Key
    #: The length of the body as it is written, if it is written in the usual way.
    digits: bytes | None
    #: Where it ends.
    end: int


@define(eq=False, repr=False)
class Fields:
    """What was made of fields. Nobody changes the headers and cookies in it."""

    headers: KnownHeaders
    cookies: dict[bytes, bytes]
    #: The user agent as the log has it.
    agent: str
    #: The length of the body, None for one in chunks; and how it was written, where it may be another one the next time.
    length: int | None
    digits: bytes | None

    def set_length(self, digits: bytes) -> None:
        """Be what was made of the same with another length."""
        self.headers = KnownHeaders(self.headers, {b"Content-Length": [digits]})
        self.length, self.digits = int(digits), digits


def take_apart(data: bytes, most: int) -> Head | None:
    """
    The head that ``data`` begins with; None for one that only the parser understands, and if it is not whole.

    :param most: the bytes that a head may have.
    """
    line = _LINE.match(data)
    if line is None:
        return None
    first = line.end()
    end = data.find(END, first - 2, most)
    if end < 0:
        return None
    length = _LENGTH.search(data, first - 2, end + 2)
    method, uri, path, query = line.groups()
    if length is None:
        return Head(method, uri, path, query, (data[first:end],), None, end + 4)
    start, stop = length.span(1)
    return Head(method, uri, path, query, (data[first:start], data[stop:end]), data[start:stop], end + 4)


def arguments_of(query: bytes | None) -> dict[bytes, list[bytes]]:
    """The parameters of a query, as Twisted has them."""
    if not query:
        return {}
    plain = query.replace(b"%3A", b":") if b"%3A" in query else query
    if _PLAIN_QUERY.fullmatch(plain):
        pairs = _PAIR.findall(plain)
        arguments = {name: [value] for name, value in pairs}
        if len(arguments) == len(pairs):
            return arguments
    return dict(parse_qs(query, 1))


@define(eq=False)
class KnownFields:
    """
    Those of one site; the ones that were not seen for the longest time go.

    :param header_bytes: what a head may have.
    :param most_bytes: what all of them may weigh.
    """

    _header_bytes: int
    _most_bytes: int = _MOST_BYTES
    #: The bytes that a head has at most which is taken apart.
    longest: int = field(init=False)
    _known: OrderedDict[Key, tuple[Fields, int]] = field(factory=OrderedDict, init=False, repr=False)
    _once: set[int] = field(factory=set, init=False, repr=False)
    #: What all of them weigh, in bytes.
    weight: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.longest = min(LONGEST_BYTES, self._header_bytes)

    def find(self, head: Head) -> Fields | None:
        """What was made of the fields of this head."""
        known = self._known.get(head.key)
        if known is None:
            return None
        self._known.move_to_end(head.key)
        fields = known[0]
        if head.digits != fields.digits and head.digits is not None:
            fields.set_length(head.digits)
        return fields

    def keep(self, head: Head, fields: Fields) -> None:
        """
        Remember what was made of the fields of this head, if it is the second time that they have come.

        Those of clients that number their requests come once.
        """
        mark = hash(head.key)
        if mark not in self._once:
            if len(self._once) >= _MOST_ONCE:
                self._once.clear()
            self._once.add(mark)
            return
        if head.key in self._known:
            return
        weight = headers_weight(sum(map(len, head.key)), fields.headers, fields.cookies, fields.agent)
        self._known[head.key] = fields, weight
        self.weight += weight
        while self.weight > self._most_bytes:
            _, (_, dropped) = self._known.popitem(last=False)
            self.weight -= dropped

    def __len__(self) -> int:
        return len(self._known)
