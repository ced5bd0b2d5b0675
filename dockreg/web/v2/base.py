"""What every answer of the v2 door has in common."""

import json

from attrs import define
from twisted.web.server import Request

from dockreg.errors import Unauthorized
from dockreg.model.access import Action
from dockreg.model.digest import Digest
from dockreg.registry import Registry
from dockreg.web.exchange import Exchange

#: Engines 1.6 to 17.x decide by this header whether a registry speaks v2 (reference: engine 1.6, ping).
API_VERSION = (b"docker-distribution-api-version", b"registry/2.0")
JSON = b"application/json"


def is_v2(path: str) -> bool:
    """Whether a path, or the rule of a route, belongs to v2."""
    return path == "/v2" or path.startswith("/v2/")


def set_digest(exchange: Exchange, digest: Digest) -> None:
    """Tell the digest of the content that the answer is about."""
    exchange.request.setHeader(b"docker-content-digest", str(digest).encode("ascii"))


def set_api_version(request: Request) -> None:
    """Say that this is the v2 API."""
    request.setHeader(*API_VERSION)


def send_json(exchange: Exchange, document: object) -> bytes:
    """A document that may change."""
    exchange.request.setHeader(b"content-type", JSON)
    return json.dumps(document, separators=(",", ":")).encode("utf-8")


@define(eq=False)
class BaseDoor:
    """``/v2/``."""

    registry: Registry

    async def check(self, exchange: Exchange) -> bytes:
        """
        ``GET /v2/`` (end-1): the registry speaks v2, and the caller's credentials are good.

        Clients learn here whether there are credentials to send at all, so whoever would have to log in for a push is
        told so now (docker, podman and skopeo ask at no other place).

        :raises Unauthorized: the caller has neither a name nor a token, and could not push without one.
        """
        principal = exchange.principal
        if (
            principal.name is None
            and not principal.renewable
            and not await self.registry.may(principal, Action.PUSH, None)
        ):
            raise Unauthorized("log in to push; what is public can be pulled without")
        exchange.request.setHeader(b"content-type", JSON)
        return b"{}"
