"""
Where clients are sent: relative URLs, unless somebody needs absolute ones.

A relative ``Location`` is right behind every proxy (RFC 9110 10.2.2). Engines 1.6 and 1.7 put the header into their next
request as it is, and so get an absolute one always.
"""

import re
from urllib.parse import quote

from attrs import define, field
from twisted.web.server import Request

from dockreg.web.exchange import Exchange
from dockreg.web.proxies import NOTHING_TOLD, Origin, Proxies

_AS_THEY_ARE = "/:?&=%~"
#: What has nothing to be quoted in it.
_PLAIN = re.compile(rf"[A-Za-z0-9._{_AS_THEY_ARE}-]*", re.ASCII)


@define(eq=False)
class Locations:
    """
    Makes the values of ``Location``.

    :param base_url: the URL of the registry for all clients, without a slash at its end; empty: find out.
    :param proxies: those whose word on scheme and host is taken.
    """

    base_url: str = ""
    proxies: Proxies = field(factory=Proxies)
    _trusts: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._trusts = bool(self.proxies.trusted)

    def of(self, exchange: Exchange, path: str) -> str:
        """
        The URL of ``path``.

        :param path: begins with a slash; it is quoted here, and may have a query.
        """
        quoted = path if _PLAIN.fullmatch(path) else quote(path, safe=_AS_THEY_ARE)
        if self.base_url:
            return self.base_url + quoted
        told = self.proxies.of(exchange.request) if self._trusts else NOTHING_TOLD
        if told.scheme or told.host or exchange.agent.wants_absolute:
            return _origin(exchange.request, told) + quoted
        return quoted

    def origin(self, request: Request) -> str:
        """The scheme and host by which the client knows the registry, such as ``https://r.example``."""
        return self.base_url or _origin(request, self.proxies.of(request))


def _origin(request: Request, told: Origin) -> str:
    scheme = told.scheme or ("https" if request.isSecure() else "http")
    hosts = request.requestHeaders.getRawHeaders(b"host")
    return f"{scheme}://{told.host or (hosts[-1].decode('ascii', 'replace').strip() if hosts else '')}"
