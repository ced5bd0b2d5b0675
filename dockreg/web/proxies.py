"""
Where a request comes from, by the word of proxies that are trusted, and of nobody else.

``Forwarded`` (RFC 7239) and the ``X-Forwarded-`` headers are lists to which each proxy adds what it has seen. They are
read from the end, where the proxy that we talk to has written: as long as an element names another trusted proxy, the
one before it was written by that one. What stands before the first stranger was written by strangers.
"""

import re
from collections.abc import Iterator, Sequence

from attrs import define, field, frozen
from twisted.web.http_headers import Headers
from twisted.web.server import Request

from dockreg.model.names import is_host_port
from dockreg.model.networks import NO_ADDRESS, Networks, canonical_address, host_of

_PARAMETER = r'[ \t]*([a-z]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^;,"\s]*))[ \t]*'
_ELEMENT = re.compile(rf"(?:{_PARAMETER})?(?:;(?:{_PARAMETER})?)*", re.ASCII | re.IGNORECASE)
_PARAMETERS = re.compile(_PARAMETER, re.ASCII | re.IGNORECASE)
_PORT = re.compile(r":[0-9]{1,5}", re.ASCII)
_SCHEMES = frozenset({"http", "https"})
_X_FORWARDED = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")


@frozen
class Origin:
    """The client of a request, and the scheme and host that it has asked, where a proxy tells."""

    #: An address, or :data:`~dockreg.model.networks.NO_ADDRESS`.
    address: str
    scheme: str | None = None
    host: str | None = None


#: By nobody, of a client whose address does not matter.
NOTHING_TOLD = Origin(NO_ADDRESS)


@frozen
class _Hop:
    """What one proxy has seen: who came to it, and how."""

    address: str | None = None
    scheme: str | None = None
    host: str | None = None


@define(eq=False)
class Proxies:
    """
    The proxies that are believed.

    :param trusted: their addresses.
    :param headers: which headers they set: ``forwarded``, ``x-forwarded``, or ``auto`` for whichever there are. Where
        there are both, those that begin with ``X-`` count, for most proxies set them and pass the other one on.
    """

    trusted: Networks = field(factory=Networks)
    headers: str = "auto"

    def origin(self, peer: str, headers: Headers) -> Origin:
        """Where a request with these headers comes from; ``peer`` is who we talk to."""
        address, seen = peer, _Hop()
        if peer in self.trusted:
            for seen in self._hops(headers):
                if seen.address is None:
                    # Not told, or hidden on purpose: all that is known is who did not tell.
                    break
                address = seen.address
                if address not in self.trusted:
                    break
        return Origin(address, seen.scheme, seen.host)

    def of(self, request: Request) -> Origin:
        """The same for a request of any site."""
        return self.origin(host_of(request.getClientAddress()), request.requestHeaders)

    def _hops(self, headers: Headers) -> Iterator[_Hop]:
        """What was told, the last first."""
        by_x = self.headers == "x-forwarded" or (
            self.headers == "auto" and any(headers.hasHeader(name) for name in _X_FORWARDED)
        )
        return _x_forwarded(headers) if by_x else _forwarded(_joined(headers, b"forwarded"))


def client_address(request: Request) -> str:
    """
    The address of the client of ``request``, by the word of trusted proxies.

    On a foreign site it is the peer: whom to believe there is for the site to say.
    """
    origin = getattr(request, "origin", None)
    return origin.address if isinstance(origin, Origin) else host_of(request.getClientAddress())


def came_by_tls(request: Request) -> bool:
    """Whether the client of ``request`` speaks TLS, with us or with a trusted proxy."""
    origin = getattr(request, "origin", None)
    return request.isSecure() or (isinstance(origin, Origin) and origin.scheme == "https")


def _joined(headers: Headers, name: bytes) -> str:
    # Several lines are one list (RFC 9110 5.3).
    return ",".join(value.decode("latin-1") for value in headers.getRawHeaders(name, []))


def _x_forwarded(headers: Headers) -> Iterator[_Hop]:
    fors, protos, hosts = ([each.strip() for each in _joined(headers, name).split(",")] for name in _X_FORWARDED)
    for number, told in enumerate(reversed(fors), start=1):
        yield _Hop(_node(told), _scheme(_from_end(protos, number)), _host(_from_end(hosts, number)))


def _from_end(values: Sequence[str], number: int) -> str:
    # A proxy may set one value for all, or add its own: the lists can have different lengths.
    return values[-number] if number <= len(values) else values[0]


def _forwarded(text: str) -> Iterator[_Hop]:
    for element in _elements(text):
        if not _ELEMENT.fullmatch(element):
            yield _Hop()
            continue
        told = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETERS.findall(element)}
        yield _Hop(_node(told.get("for", "")), _scheme(told.get("proto", "")), _host(told.get("host", "")))


def _elements(text: str) -> Iterator[str]:
    """
    The elements between the commas outside quotation marks, the last first.

    Read from the end, so that a quotation mark that a stranger did not close takes in nothing that others wrote.
    """
    end = at = len(text)
    quotes = 0
    while end >= 0:
        comma = text.rfind(",", 0, at)
        quotes += text.count('"', comma + 1, at)
        if comma < 0 or quotes % 2 == 0:
            yield text[comma + 1 : end]
            end, quotes = comma, 0
        at = max(comma, 0)


def _node(text: str) -> str | None:
    """An address out of the forms that proxies write it in, with a port or without; None for anything else."""
    if text.startswith("["):
        text, closed, port = text[1:].partition("]")
        return canonical_address(text) if closed and (not port or _PORT.fullmatch(port)) else None
    host, colon, port = text.partition(":")
    return canonical_address(host if colon and _PORT.fullmatch(f":{port}") else text)


def _scheme(text: str) -> str | None:
    return text.lower() if text.lower() in _SCHEMES else None


def _host(text: str) -> str | None:
    return text if is_host_port(text) else None
