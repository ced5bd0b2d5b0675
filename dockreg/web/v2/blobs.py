"""Blobs: read and deleted."""

from functools import partial

from attrs import define

from dockreg.callables import IdentifierFactory
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName
from dockreg.registry import Registry
from dockreg.web.exchange import Exchange
from dockreg.web.sending import send_blob
from dockreg.web.v2.base import set_digest

_YEAR = 31_536_000
_FOR_ALL = b"public, max-age=%d, immutable" % _YEAR
_FOR_ONE = b"private, max-age=%d, immutable" % _YEAR


@define(eq=False)
class BlobsDoor:
    """``/v2/(name)/blobs/(digest)``."""

    registry: Registry
    new_id: IdentifierFactory

    async def get(self, exchange: Exchange, repository: RepositoryName, digest: Digest) -> bytes | None:
        """``GET`` and ``HEAD`` (end-2): the bytes, whole or in ranges."""
        told = exchange.request.method == b"HEAD"
        blob = await (
            self.registry.told_blob(exchange.principal, repository, digest)
            if told
            else self.registry.find_blob(repository, digest)
        )
        request = exchange.request
        request.setHeader(b"content-type", b"application/octet-stream")
        request.setHeader(b"cache-control", _FOR_ALL if exchange.principal.is_anybody else _FOR_ONE)
        request.setHeader(b"vary", b"Authorization")
        set_digest(exchange, digest)
        opened = partial(self.registry.open_blob, blob, whole=exchange.header(b"range") is None)
        return await send_blob(request, opened, blob.size, f'"{digest}"', several=True, new_id=self.new_id)

    async def delete(self, exchange: Exchange, repository: RepositoryName, digest: Digest) -> bytes:
        """``DELETE`` (end-10): the blob is no longer part of the repository. What a manifest refers to stays."""
        await self.registry.metadata.blobs.unlink(repository, digest)
        exchange.respond(202)
        return b""
