"""What every answer of the index role carries: a token, and where the images are."""

import base64
from collections.abc import Sequence

from attrs import define

from dockreg.errors import RequestInvalid
from dockreg.interfaces_access import ITokenIssuer
from dockreg.model.access import Access, Action
from dockreg.model.names import RepositoryName, is_host_port
from dockreg.registry import Registry
from dockreg.web.exchange import Exchange
from dockreg.web.headers import HINT_COOKIE
from dockreg.web.proxies import came_by_tls

READ = frozenset({Action.PULL})
WRITE = frozenset({Action.PULL, Action.PUSH, Action.OVERWRITE})
DELETE = frozenset({Action.PULL, Action.DELETE})


@define(eq=False)
class IndexHeaders:
    """Adds ``X-Docker-Token``, ``X-Docker-Endpoints`` and the repository hint."""

    registry: Registry
    tokens: ITokenIssuer
    endpoints: Sequence[str]

    async def add(self, exchange: Exchange, repository: RepositoryName, actions: frozenset[Action]) -> None:
        """
        Hand out a token for ``repository``.

        All engines need the endpoints, engines up to 1.6 the token. The cookie names the repository again for
        engines that send Basic credentials over TLS, whose image requests name none.

        :raises RequestInvalid: no endpoints are configured, and the Host header is not a host and a port.
        """
        endpoints = self.endpoints or (_own_endpoint(exchange),)
        # No more than the caller may do now: a registry of its own knows but the token.
        granted = await self.registry.authorizer.granted(exchange.principal, Access(repository, actions))
        token = await self.tokens.issue(exchange.principal, repository, granted)
        exchange.respond(
            200,
            X_Docker_Token=token,
            WWW_Authenticate=f"Token {token}",
            Cache_Control="no-store",
        )
        exchange.add_headers("x-docker-endpoints", endpoints)
        hint = base64.urlsafe_b64encode(token.encode("ascii")).decode("ascii")
        secure = "; Secure" if came_by_tls(exchange.request) else ""
        cookie = f"{HINT_COOKIE.decode()}={hint}; Path=/v1/; HttpOnly; SameSite=Strict{secure}"
        exchange.add_headers("set-cookie", [cookie])


def _own_endpoint(exchange: Exchange) -> str:
    host = exchange.header(b"host")
    if host is None or not is_host_port(host):
        raise RequestInvalid("the Host header is not a host name with an optional port")
    return host
