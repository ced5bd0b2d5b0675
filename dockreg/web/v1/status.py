"""Ping, status and the root: what needs no authorization, ever."""

import json

from attrs import define

from dockreg.web.exchange import Exchange, Monitor, Role
from dockreg.web.headers import set_nocache


@define(eq=False)
class StatusDoor:
    """Who we are, and whether we work."""

    role: Role
    version: str
    monitoring: Monitor

    async def ping(self, exchange: Exchange) -> bytes:
        """
        ``GET /v1/_ping``, ``GET /_ping``.

        Engines up to 0.10 want the version header (it is on every v1 answer), engines since 0.7.4 look at the
        standalone header, engines since 0.11 read the body too.
        """
        standalone = self.role is Role.STANDALONE
        set_nocache(exchange.request)
        exchange.respond(200, X_Docker_Registry_Standalone="true" if standalone else "false")
        return b"true"

    async def root(self, exchange: Exchange) -> bytes:
        """``GET /``: a sentence for people, as a JSON string."""
        set_nocache(exchange.request)
        return json.dumps(f"dockreg {self.version}: a container registry").encode()

    async def status(self, exchange: Exchange) -> bytes:
        """``GET /_status``, ``GET /v1/_status``: 200 when all checks pass, else 503 (docker-registry 0.6.3)."""
        failures = await self.monitoring.failures()
        set_nocache(exchange.request)
        exchange.respond(503 if failures else 200)
        host = exchange.request.getRequestHostname().decode("ascii", "replace")
        return json.dumps({"services": ["metadata", "blobs"], "failures": dict(failures), "host": host}).encode()
