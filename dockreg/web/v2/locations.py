"""
Where clients are sent: relative URLs, unless somebody needs absolute ones.

A relative ``Location`` is right behind every proxy (RFC 9110 10.2.2). Engines 1.6 and 1.7 put the header into their next
request as it is, and so get an absolute one always.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote

from attrs import define

from dockreg.model.names import is_host_port
from dockreg.web.admission import host_of
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
        told = self._told_by_proxy(exchange)
        if told or _NEEDS_ABSOLUTE.match(exchange.header("user-agent") or ""):
            scheme = told.get("proto") or ("https" if exchange.request.isSecure() else "http")
            host = told.get("host") or exchange.header("host") or ""
            return f"{scheme}://{host}{quoted}"
        return quoted

    def _told_by_proxy(self, exchange: Exchange) -> Mapping[str, str]:
        if not self.trusted or host_of(exchange.request.getClientAddress()) not in self.trusted:
            return {}
        forwarded = exchange.header("forwarded")
        if forwarded is not None:
            # The first element is what the client has connected to (RFC 7239 4).
            found = _FORWARDED.findall(forwarded.partition(",")[0])
            told = {name.lower(): quoted or plain for name, quoted, plain in found}
        else:
            names = {"proto": "x-forwarded-proto", "host": "x-forwarded-host"}
            values = {name: exchange.header(header) for name, header in names.items()}
            told = {name: value.partition(",")[0].strip() for name, value in values.items() if value}
        told = {name: value for name, value in told.items() if _is_sound(name, value)}
        return {name: value.lower() if name == "proto" else value for name, value in told.items()}


def _is_sound(name: str, value: str) -> bool:
    return value.lower() in _SCHEMES if name == "proto" else is_host_port(value)
