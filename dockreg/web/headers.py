"""The sets of response headers that v1 documents use, and what every request has to have."""

from functools import lru_cache

from twisted.internet.interfaces import IReactorTime
from twisted.web.http import datetimeToString
from twisted.web.http_headers import Headers
from twisted.web.server import Request

from dockreg.model.names import is_host_port

#: Tells which repository an image request of a client with Basic credentials belongs to. Never needed, and no credential.
HINT_COOKIE = b"dockreg-repository"

_YEAR = 31_536_000
#: Far more than a name of 255 characters and a port have, with blanks around them.
_LONGEST_HOST = 512


def names_host(headers: Headers) -> bool:
    """Whether a request has one Host header, which can be one."""
    hosts = headers.getRawHeaders(b"host")
    return hosts is not None and len(hosts) == 1 and len(hosts[0]) <= _LONGEST_HOST and _is_host(hosts[0])


@lru_cache(maxsize=256)
def _is_host(host: bytes) -> bool:
    """Whether this can be the value of a Host header; a registry has few names."""
    return is_host_port(host.decode("latin-1").strip())


def set_nocache(request: Request) -> None:
    """The headers of everything that may change."""
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-cache")
    request.setHeader(b"pragma", b"no-cache")
    request.setHeader(b"expires", b"-1")


def set_forever(request: Request, clock: IReactorTime, *, public: bool) -> None:
    """
    The headers of what never changes: image json, ancestry, layers.

    :param public: whether caches between us and the client may keep it; only what everybody may read.
    """
    scope = b"public" if public else b"private"
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", scope + b", max-age=%d" % _YEAR)
    request.setHeader(b"expires", datetimeToString(int(clock.seconds()) + _YEAR))
    request.setHeader(b"last-modified", b"Thu, 01 Jan 1970 00:00:00 GMT")
    request.setHeader(b"vary", b"Authorization, Cookie")
