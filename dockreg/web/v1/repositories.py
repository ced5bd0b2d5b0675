"""Repositories and their image lists: mostly the Hub (Index) API."""

import json
from collections.abc import Sequence
from typing import Any

from attrs import define

from dockreg.errors import ImageUnknown, RequestInvalid
from dockreg.interfaces_v1 import IImageList
from dockreg.model.names import RepositoryName
from dockreg.model.v1 import AnnouncedImage, ImageID
from dockreg.registry import Registry
from dockreg.v1images import V1Images
from dockreg.web.exchange import Exchange, Role
from dockreg.web.headers import set_nocache
from dockreg.web.v1.index import DELETE, READ, WRITE, IndexHeaders

_CHECKSUM_LENGTH = 255


@define(eq=False)
class RepositoriesDoor:
    """Create, list, update and delete repositories."""

    role: Role
    registry: Registry
    images: V1Images
    image_list: IImageList
    index: IndexHeaders
    max_list_bytes: int
    max_list_entries: int

    async def create(self, exchange: Exchange, repository: RepositoryName) -> bytes:
        """``PUT /v1/repositories/(repo)/``: announce the images of a push (engines: 200 or 201, body ignored)."""
        images = await self._announced(exchange)
        await self.registry.create_repository(exchange.principal, repository, images)
        set_nocache(exchange.request)
        await self.index.add(exchange, repository, WRITE)
        return b'""'

    async def put_images(self, exchange: Exchange, repository: RepositoryName) -> None:
        """``PUT /v1/repositories/(repo)/images``: the end of a push. Engines take nothing but 204."""
        images = await self._announced(exchange)
        await self.registry.create_repository(exchange.principal, repository, images)
        await self.index.add(exchange, repository, WRITE)
        exchange.respond(204)

    async def list_images(self, exchange: Exchange, repository: RepositoryName) -> bytes:
        """
        ``GET /v1/repositories/(repo)/images``.

        Without tags: engines would download every image that ever carried the wanted one.
        """
        images = await self.images.list_images(repository)
        set_nocache(exchange.request)
        await self.index.add(exchange, repository, READ)
        return json.dumps([_entry(image) for image in images]).encode()

    async def delete(self, exchange: Exchange, repository: RepositoryName) -> bytes:
        """
        ``DELETE /v1/repositories/(repo)/``.

        The index of a separate registry first hands out a token for the deletion there (202), and is asked again, with
        the endpoints, once that took place (Hub documentation, "Delete").
        """
        set_nocache(exchange.request)
        first_of_two = self.role is Role.INDEX and exchange.header(b"x-docker-endpoints") is None
        if first_of_two:
            await self.registry.get_repository(repository)
        else:
            await self.registry.delete_repository(repository)
        if self.role.is_index:
            await self.index.add(exchange, repository, DELETE)
        if first_of_two:
            exchange.respond(202)
        return b"true"

    async def delete_images(self, exchange: Exchange, repository: RepositoryName) -> None:
        """``DELETE /v1/repositories/(repo)/images``: changes nothing, as in docker-registry; hands out a token."""
        await self.registry.get_repository(repository)
        await self.index.add(exchange, repository, DELETE)
        exchange.respond(204)

    async def check_token(self, exchange: Exchange, repository: RepositoryName) -> bytes:
        """``PUT /v1/repositories/(repo)/auth``: the caller's credentials were found good for this repository."""
        await self.registry.get_repository(repository)
        set_nocache(exchange.request)
        return b'"OK"'

    async def layer_access(self, exchange: Exchange, repository: RepositoryName, image_id: ImageID) -> bytes:
        """``GET …/layer/(image id)/access``: whether the caller may read the image through this repository."""
        access = await self.image_list.allows(exchange.principal, repository, image_id)
        set_nocache(exchange.request)
        return json.dumps({"access": access}).encode()

    async def no_access(self, exchange: Exchange, repository: RepositoryName, image_id: ImageID) -> bytes:
        """What :meth:`layer_access` says where there is nothing."""
        set_nocache(exchange.request)
        return json.dumps({"access": False}).encode()

    async def get_properties(self, exchange: Exchange, repository: RepositoryName) -> bytes:
        """``GET …/properties``."""
        record = await self.registry.get_repository(repository)
        set_nocache(exchange.request)
        return json.dumps({"access": "private" if record.private else "public"}).encode()

    async def put_properties(self, exchange: Exchange, repository: RepositoryName) -> bytes:
        """``PUT …/properties`` with ``{"access": "private" | "public"}``."""
        document = await exchange.json(self.max_list_bytes)
        access = document.get("access") if isinstance(document, dict) else None
        if access not in ("private", "public"):
            raise RequestInvalid('send {"access": "private"} or {"access": "public"}')
        await self.registry.set_private(repository, access == "private")
        set_nocache(exchange.request)
        return b"true"

    async def _announced(self, exchange: Exchange) -> Sequence[AnnouncedImage]:
        document = await exchange.json(self.max_list_bytes)
        if not isinstance(document, list):
            raise RequestInvalid("send a JSON list of images")
        if len(document) > self.max_list_entries:
            raise RequestInvalid(f"the list has more than {self.max_list_entries} images")
        return [_announced_image(entry) for entry in document]


def _announced_image(entry: Any) -> AnnouncedImage:
    image_id = entry.get("id") if isinstance(entry, dict) else None
    checksum = entry.get("checksum") if isinstance(entry, dict) else None
    if not isinstance(image_id, str):
        raise RequestInvalid('each entry of the list is an object with a member "id"')
    if checksum is not None and not (isinstance(checksum, str) and len(checksum) <= _CHECKSUM_LENGTH):
        raise RequestInvalid(f'"checksum" is a string of at most {_CHECKSUM_LENGTH} characters')
    try:
        return AnnouncedImage(ImageID.parse(image_id), checksum or None)
    except ImageUnknown:
        raise RequestInvalid("an id in the list is not an image id of 64 lowercase hexadecimal digits") from None


def _entry(image: AnnouncedImage) -> dict[str, str]:
    entry = {"id": str(image.image_id)}
    if image.checksum is not None:
        entry["checksum"] = image.checksum
    return entry
