"""Manifests: pushed, pulled, deleted."""

from collections.abc import Collection, Sequence
from functools import lru_cache

from attrs import define

from dockreg.bridge.negotiation import Accepted, parse_accept
from dockreg.errors import RequestInvalid
from dockreg.manifests import Manifests
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName, Tag
from dockreg.web.exchange import Exchange
from dockreg.web.ranges import matches_etag
from dockreg.web.v2.base import set_digest
from dockreg.web.v2.locations import Locations

#: Tags that one request may set; the whole URL has a limit, too.
_MOST_TAGS = 100
#: Accept headers with agents whose meaning is kept, and how long one is at most; docker sends some 700 bytes.
_MOST_KINDS = 128
_USUAL_BYTES = 2048


@define(eq=False)
class ManifestsDoor:
    """``/v2/(name)/manifests/(reference)``."""

    manifests: Manifests
    locations: Locations
    max_bytes: int

    async def get(self, exchange: Exchange, repository: RepositoryName, reference: Tag | Digest) -> bytes | None:
        """``GET`` and ``HEAD`` (end-3): the stored bytes, or a form of the image that the client can use."""
        found = await self.manifests.get(repository, reference, _accepted(exchange), exchange.parts["name"])
        request = exchange.request
        if request.method == b"HEAD":
            await self.manifests.keep(exchange.principal, repository, found.digest)
        set_digest(exchange, found.digest)
        etag = f'"{found.digest}"'
        request.setHeader(b"etag", etag.encode("ascii"))
        request.setHeader(b"vary", b"Accept, Authorization, User-Agent")
        request.setHeader(b"cache-control", b"no-cache")
        if _is_unchanged(exchange.header(b"if-none-match"), etag, str(found.digest)):
            exchange.respond(304)
            return None
        request.setHeader(b"content-type", found.media_type.encode("ascii"))
        return found.content

    async def put(self, exchange: Exchange, repository: RepositoryName, reference: Tag | Digest) -> bytes:
        """``PUT`` (end-7a, 7b): store a manifest, and point tags to it."""
        texts = exchange.queries(b"tag")
        tags = _tags(texts) if texts else ()
        content = await exchange.document(self.max_bytes)
        content_type, only_if = exchange.header(b"content-type"), _only_if(exchange)
        pushed = await self.manifests.put(
            exchange.caller.principal, repository, reference, content, content_type, tags, only_if
        )
        digest = str(pushed.digest)
        location = self.locations.of(exchange, f"/v2/{exchange.parts['name']}/manifests/{digest}")
        exchange.respond(201, Location=location, Docker_Content_Digest=digest)
        if pushed.subject is not None:
            exchange.respond(201, OCI_Subject=str(pushed.subject))
        if tags:
            exchange.add_headers("OCI-Tag", [str(tag) for tag in pushed.tags])
        return b""

    async def delete(self, exchange: Exchange, repository: RepositoryName, reference: Tag | Digest) -> bytes:
        """``DELETE`` (end-9): a tag, or a manifest with its tags."""
        await self.manifests.delete(repository, reference)
        exchange.respond(202)
        return b""


def _tags(texts: Sequence[str]) -> Sequence[Tag]:
    tags = [Tag.parse(text) for text in texts]
    if len(tags) > _MOST_TAGS:
        raise RequestInvalid(f"one request may set at most {_MOST_TAGS} tags")
    return tags


def _only_if(exchange: Exchange) -> Collection[str] | None:
    """
    What the tags may point to for the request to be carried out (RFC 9110 13.1.1 and 13.1.2).

    Clients that keep lists of referrers under a tag notice by this that somebody else has changed the list.
    """
    headers = exchange.request.requestHeaders
    if headers.getRawHeaders(b"if-match") is None and headers.getRawHeaders(b"if-none-match") is None:
        return None
    match = exchange.header(b"if-match")
    if match is not None:
        return {entry.strip().removeprefix("W/").strip('"') for entry in match.split(",")}
    return () if exchange.header(b"if-none-match") == "*" else None


def _accepted(exchange: Exchange) -> Accepted:
    headers = exchange.request.requestHeaders
    accept, agent = tuple(headers.getRawHeaders(b"accept") or ()), (headers.getRawHeaders(b"user-agent") or [b""])[-1]
    # There are few kinds of clients, and many of each. What none of them sends is not kept.
    is_usual = sum(map(len, accept)) + len(agent) <= _USUAL_BYTES
    return _remembered(accept, agent) if is_usual else _understood(accept, agent)


def _understood(accept: tuple[bytes, ...], agent: bytes) -> Accepted:
    return parse_accept([each.decode("ascii", "replace") for each in accept], agent.decode("ascii", "replace").strip())


_remembered = lru_cache(maxsize=_MOST_KINDS)(_understood)


def _is_unchanged(header: str | None, etag: str, digest: str) -> bool:
    # Some clients leave the quotation marks out.
    return matches_etag(header, etag) or (header is not None and header.strip() == digest)
