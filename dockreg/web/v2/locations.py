"""
Where clients are sent: relative URLs, unless somebody needs absolute ones.

A relative ``Location`` is right behind every proxy (RFC 9110 10.2.2). Engines 1.6 and 1.7 put the header into their next
request as it is, and so get an absolute one always.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote

from attrs import define
from twisted.web.server import Request

from dockreg.model.names import is_host_port
from dockreg.model.networks import host_of
from dockreg.web.exchange import Exchange

_NEEDS_ABSOLUTE = re.compile(r"docker/1\.[67](?![0-9])", re.ASCII)
_FORWARDED = re.compile(
    r'(?:^|[;,])[ \t]*(proto|host)[ \t]*=[ \t]*(?:"([^"\\]*)"|([^;,"\s]*))', re.ASCII | re.IGNORECASE
)
_SCHEMES = frozenset({"http", "https"})


@define(eq=False)
class Locations:
    """
    Makes the values of ``Location``.

    :param base_url: the URL of the registry for all clients, without a slash at its end; empty: find out.
    :param trusted: addresses of proxies whose word on scheme and host is taken.
    """

    base_url: str = ""
    trusted: frozenset[str] = frozenset()

    def of(self, exchange: Exchange, path: str) -> str:
        """
        The URL of ``path``.

        :param path: begins with a slash; it is quoted here, and may have a query.
        """
        quoted = quote(path, safe="/:?&=%~")
        if self.base_url:
            return self.base_url + quoted
        told = self._told_by_proxy(exchange.request)
        if told or _NEEDS_ABSOLUTE.match(exchange.header("user-agent") or ""):
            return _origin(exchange.request, told) + quoted
        return quoted

    def origin(self, request: Request) -> str:
        """The scheme and host by which the client knows the registry, such as ``https://r.example``."""
        return self.base_url or _origin(request, self._told_by_proxy(request))

    def _told_by_proxy(self, request: Request) -> Mapping[str, str]:
        if not self.trusted or host_of(request.getClientAddress()) not in self.trusted:
            return {}
        forwarded = _header(request, b"forwarded")
        if forwarded is not None:
            # The first element is what the client has connected to (RFC 7239 4).
            found = _FORWARDED.findall(forwarded.partition(",")[0])
            told = {name.lower(): quoted or plain for name, quoted, plain in found}
        else:
            names = {"proto": b"x-forwarded-proto", "host": b"x-forwarded-host"}
            values = {name: _header(request, header) for name, header in names.items()}
            told = {name: value.partition(",")[0].strip() for name, value in values.items() if value}
        told = {name: value for name, value in told.items() if _is_sound(name, value)}
        return {name: value.lower() if name == "proto" else value for name, value in told.items()}


def _origin(request: Request, told: Mapping[str, str]) -> str:
    scheme = told.get("proto") or ("https" if request.isSecure() else "http")
    return f"{scheme}://{told.get('host') or _header(request, b'host') or ''}"


def _header(request: Request, name: bytes) -> str | None:
    values = request.requestHeaders.getRawHeaders(name)
    return values[-1].decode("ascii", "replace").strip() if values else None


def _is_sound(name: str, value: str) -> bool:
    return value.lower() in _SCHEMES if name == "proto" else is_host_port(value)
