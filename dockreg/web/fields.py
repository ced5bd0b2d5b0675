"""
Header fields of requests that were seen before.

A client sends the same lines behind each of its request lines, but for the length of the body. So what the parser and the
checks of framing made of them is kept by their bytes, and a request line that has nothing odd in it is taken apart here.
Everything else, and everything the first time, goes through the parser; ``tests/unit/web/test_fields.py`` shows that both
ways do the same. Where to find it, and who asks, is looked at in both of them.

Fields hold credentials. They are in no log, and what is kept is bounded.
"""

import re

from attrs import define
from twisted.web.http import parse_qs

from dockreg.web.agents import Agent
from dockreg.web.heads import END, LONGEST_BYTES, KnownHeaders, headers_weight
from dockreg.web.kept import Kept

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
    #: The user agent as the log has it, and the program that this is.
    agent: str
    sent_by: Agent
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
    method, uri, path, query = line.groups()
    before, *behind = _LENGTH.split(data[first - 2 : end + 2], 1)
    if not behind:
        return Head(method, uri, path, query, (before,), None, end + 4)
    digits, rest = behind
    return Head(method, uri, path, query, (before, rest), digits, end + 4)


def arguments_of(query: bytes | None) -> dict[bytes, list[bytes]]:
    """The parameters of a query, as Twisted has them."""
    if not query:
        return {}
    plain = query.replace(b"%3A", b":") if b"%3A" in query else query
    if not _PLAIN_QUERY.fullmatch(plain):
        return dict(parse_qs(query, 1))
    arguments: dict[bytes, list[bytes]] = {}
    for name, value in _PAIR.findall(plain):
        if name in arguments:
            return dict(parse_qs(query, 1))
        arguments[name] = [value]
    return arguments


class KnownFields(Kept[Key, Fields]):
    """
    Those of one site, by their bytes.

    :param header_bytes: what a head may have.
    """

    def __init__(self, header_bytes: int, most_bytes: int = _MOST_BYTES) -> None:
        super().__init__(most_bytes)
        #: The bytes that a head has at most which is taken apart.
        self.longest = min(LONGEST_BYTES, header_bytes)
        self._once: set[int] = set()

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
        if head.key not in self:
            weight = headers_weight(sum(map(len, head.key)), fields.headers, fields.cookies, fields.agent)
            self.add(head.key, fields, weight)
