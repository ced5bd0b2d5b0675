"""Search."""

import json
import re
from collections.abc import Mapping

from attrs import define

from dockreg.errors import RequestInvalid, Unauthorized
from dockreg.model.access import Action
from dockreg.model.repositories import RepositoryRecord
from dockreg.registry import Registry
from dockreg.web.exchange import Exchange
from dockreg.web.headers import set_nocache

_DEFAULT_SIZE = 25
_MAX_SIZE = 100
_MAX_TERM = 255
_TEXT_ONLY = re.compile(r"docker/0\.6\.[0-5](?:\s|$|-)", re.ASCII)


@define(eq=False)
class SearchDoor:
    """``GET /v1/search``."""

    registry: Registry
    anonymous: str = "auto"

    async def search(self, exchange: Exchange) -> bytes:
        """
        The repositories that the caller may pull from, by a part of their name; all of them without a term.

        :raises Unauthorized: the caller has no name, and has to have one.
        """
        if exchange.principal.name is None and not await self._is_open(exchange):
            raise Unauthorized("log in to search")
        term = exchange.query(b"q") or ""
        if len(term) > _MAX_TERM:
            raise RequestInvalid(f"a search term has at most {_MAX_TERM} characters")
        page = max(1, _number(exchange, "page", 1))
        size = min(max(1, _number(exchange, "n", _DEFAULT_SIZE)), _MAX_SIZE)
        found = await self.registry.search(exchange.principal, term, page, size)
        text_only = _TEXT_ONLY.match(exchange.header(b"user-agent") or "") is not None
        set_nocache(exchange.request)
        return json.dumps(
            {
                "query": term,
                "num_results": found.total,
                "num_pages": -(-found.total // size),
                "page": page,
                "page_size": size,
                "results": [_result(record, text_only=text_only) for record in found.results],
            }
        ).encode()

    async def _is_open(self, exchange: Exchange) -> bool:
        # Clients of today ask without credentials first, and are content with what they get: whoever has something
        # private would never find it. Where everybody may push nobody is asked for a name at all (podman, "search").
        if self.anonymous == "auto":
            return await self.registry.may(exchange.principal, Action.PUSH, None)
        return self.anonymous == "on"


def _number(exchange: Exchange, name: str, default: int) -> int:
    text = exchange.query(name.encode("ascii"))
    if not text:
        return default
    if not re.fullmatch(r"-?[0-9]{1,9}", text, re.ASCII):
        raise RequestInvalid(f"{name} is a number")
    return int(text)


def _result(record: RepositoryRecord, *, text_only: bool) -> Mapping[str, str | int | bool]:
    texts = {"name": record.name.v1, "description": record.description}
    if text_only:  # Engines 0.6.0 to 0.6.5 decode each result into strings.
        return texts
    return {**texts, "star_count": 0, "is_official": False, "is_trusted": False, "is_automated": False}
