"""Lists: tags of a repository, repositories, referrers of a manifest. Every page costs the same."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from attrs import define

from dockreg.errors import RequestInvalid
from dockreg.manifests import Manifests
from dockreg.model.digest import Digest
from dockreg.model.mediatypes import OCI_INDEX
from dockreg.model.names import RepositoryName
from dockreg.model.repositories import Referrer
from dockreg.registry import Registry
from dockreg.web.exchange import Exchange
from dockreg.web.v2.base import send_json

_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


@define(eq=False)
class ListsDoor:
    """``tags/list``, ``_catalog`` and ``referrers``. :attr:`max_entries` is what one page has at most."""

    registry: Registry
    manifests: Manifests
    max_entries: int
    max_referrers: int

    async def list_tags(self, exchange: Exchange, repository: RepositoryName) -> bytes:
        """``GET /v2/(name)/tags/list`` (end-8a, 8b)."""
        limit = _limit(exchange, self.max_entries)
        after = _text(exchange, "last")
        found = [tag.value for tag in await self.registry.tag_names(repository, after, limit + 1)]
        _link(exchange, found, limit)
        return send_json(exchange, {"name": exchange.parts["name"], "tags": found[:limit]})

    async def catalog(self, exchange: Exchange) -> bytes:
        """``GET /v2/_catalog`` (docker distribution, "Listing Repositories"): what the caller may pull from."""
        limit = _limit(exchange, self.max_entries)
        after = _text(exchange, "last")
        found = [str(name) for name in await self.registry.catalog(exchange.principal, after, limit + 1)]
        _link(exchange, found, limit)
        return send_json(exchange, {"repositories": found[:limit]})

    async def referrers(self, exchange: Exchange, repository: RepositoryName, digest: Digest) -> bytes:
        """``GET /v2/(name)/referrers/(digest)`` (end-12a, 12b): always a list, empty when there are none."""
        limit, wanted = self._page(exchange)
        after = _text(exchange, "last")
        found = await self.manifests.referrers(repository, digest, wanted, after, limit + 1)
        return _send_referrers(exchange, found, limit, wanted)

    async def no_referrers(self, exchange: Exchange, repository: RepositoryName, digest: Digest) -> bytes:
        """What :meth:`referrers` says where there is nothing."""
        limit, wanted = self._page(exchange)
        _text(exchange, "last")
        return _send_referrers(exchange, (), limit, wanted)

    def _page(self, exchange: Exchange) -> tuple[int, str | None]:
        return max(1, _limit(exchange, self.max_referrers)), _text(exchange, "artifactType") or None


def _send_referrers(exchange: Exchange, found: Sequence[Referrer], limit: int, wanted: str | None) -> bytes:
    if wanted is not None:
        exchange.respond(200, OCI_Filters_Applied="artifactType")
    kept = {} if wanted is None else {"artifactType": wanted}
    _link(exchange, [str(each.digest) for each in found], limit, kept)
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [_descriptor(each) for each in found[:limit]],
    }
    body = send_json(exchange, index)
    exchange.request.setHeader(b"content-type", OCI_INDEX.encode("ascii"))
    return body


def _text(exchange: Exchange, name: str) -> str:
    """A parameter that no database fails at. :raises RequestInvalid: it has a NUL, which no name has."""
    text = exchange.query(name.encode("ascii")) or ""
    if "\0" in text:
        raise RequestInvalid(f"the parameter {name!r} has a character that no name has")
    return text


def _limit(exchange: Exchange, most: int) -> int:
    """How many entries are wanted; a number over the limit is clamped, for clients fail when it is refused."""
    text = exchange.query(b"n")
    if not text:
        return most
    if not _NUMBER.fullmatch(text):
        raise RequestInvalid("the parameter 'n' is a number of entries")
    return min(int(text), most)


def _link(exchange: Exchange, found: Sequence[str], limit: int, kept: Mapping[str, str] | None = None) -> None:
    if not 0 < limit < len(found):
        return
    query = urlencode({**(kept or {}), "n": limit, "last": found[limit - 1]})
    path = exchange.request.path.decode("ascii").rstrip("/")
    exchange.respond(200, Link=f'<{path}?{query}>; rel="next"')


def _descriptor(referrer: Referrer) -> dict[str, Any]:
    document: dict[str, Any] = {
        "mediaType": referrer.media_type,
        "digest": str(referrer.digest),
        "size": referrer.size,
    }
    if referrer.artifact_type is not None:
        document["artifactType"] = referrer.artifact_type
    if referrer.annotations:
        document["annotations"] = dict(referrer.annotations)
    return document
