"""Tags, and what the client that set one said of itself."""

import json
import re
from typing import Any

from attrs import define

from dockreg.errors import ImageUnknown, NameUnknown, RequestInvalid, TagUnknown
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.v1 import ImageID, TagClient
from dockreg.registry import Registry
from dockreg.v1images import V1Images
from dockreg.web.exchange import Exchange
from dockreg.web.headers import set_nocache

_TAG_BODY_BYTES = 4096
_USER_AGENT_PAIR = re.compile(r"(?:^|\s)([a-z]+)/(\S{1,64})", re.ASCII)
_LATEST = Tag("latest")


@define(eq=False)
class TagsDoor:
    """``/v1/repositories/(repo)/tags`` and below."""

    registry: Registry
    images: V1Images

    async def list_tags(self, exchange: Exchange, repository: RepositoryName) -> bytes:
        """``GET …/tags``: an object from tag to image id."""
        records = await self.images.list_tags(repository)
        set_nocache(exchange.request)
        return json.dumps({str(record.tag): str(record.image_id) for record in records if record.image_id}).encode()

    async def get_tag(self, exchange: Exchange, repository: RepositoryName, tag: Tag) -> bytes:
        """``GET …/tags/(tag)``: the image id as a JSON string."""
        record = await self.images.get_tag(repository, tag)
        if record.image_id is None:
            raise TagUnknown(repository.v1, str(tag))
        set_nocache(exchange.request)
        return json.dumps(str(record.image_id)).encode()

    async def put_tag(self, exchange: Exchange, repository: RepositoryName, tag: Tag) -> bytes:
        """
        ``PUT …/tags/(tag)``: move the tag, in any direction.

        Engines 0.6.2 to 0.7.6 move it over every image of the chain, base first.
        """
        value = await exchange.json(_TAG_BODY_BYTES)
        if not isinstance(value, str):
            raise RequestInvalid("send the image id as a JSON string")
        image_id = ImageID.parse(value)
        client = _client(exchange.header(b"user-agent") or "", int(self.registry.clock.seconds()))
        await self.images.put_tag(exchange.caller, repository, tag, image_id, client)
        set_nocache(exchange.request)
        return b"true"

    async def delete_tag(self, exchange: Exchange, repository: RepositoryName, tag: Tag) -> bytes:
        """``DELETE …/tags/(tag)``."""
        await self.registry.delete_tag(repository, tag)
        set_nocache(exchange.request)
        return b"true"

    async def get_tag_json(self, exchange: Exchange, repository: RepositoryName, tag: Tag) -> bytes:
        """``GET …/tags/(tag)/json``: always 200, with defaults for what is unknown (docker-registry 0.6.6)."""
        try:
            client = (await self.registry.get_tag(repository, tag)).client
        except (NameUnknown, TagUnknown, ImageUnknown):
            client = TagClient()
        set_nocache(exchange.request)
        return json.dumps(_properties(client)).encode()

    async def get_latest_json(self, exchange: Exchange, repository: RepositoryName) -> bytes:
        """``GET /v1/repositories/(repo)/json``: that of the tag ``latest``."""
        return await self.get_tag_json(exchange, repository, _LATEST)

    async def get_default_json(self, exchange: Exchange, repository: RepositoryName, tag: Tag = _LATEST) -> bytes:
        """What :meth:`get_tag_json` says where there is nothing."""
        set_nocache(exchange.request)
        return json.dumps(_properties(TagClient())).encode()


def _client(user_agent: str, now: int) -> TagClient:
    said = dict(_USER_AGENT_PAIR.findall(user_agent.lower()))
    known: dict[str, Any] = {"arch": said.get("arch"), "os": said.get("os")}
    return TagClient(
        last_update=now,
        docker_version=said.get("docker"),
        docker_go_version=said.get("go"),
        kernel=said.get("kernel"),
        **{name: value for name, value in known.items() if value},
    )


def _properties(client: TagClient) -> dict[str, str | int | None]:
    return {
        "last_update": client.last_update,
        "docker_version": client.docker_version,
        "docker_go_version": client.docker_go_version,
        "arch": client.arch,
        "os": client.os,
        "kernel": client.kernel,
    }
