"""Images: json, layer, checksum, ancestry, and the lists of files."""

import re
from functools import partial
from http import HTTPStatus

from attrs import define
from twisted.internet.interfaces import IReactorTime

from dockreg.errors import ImageUnknown, RequestInvalid
from dockreg.layerfiles import LayerFiles
from dockreg.layerupload import LayerUpload
from dockreg.model.v1 import ClaimedChecksums, ImageID, V1Image, ancestry_document
from dockreg.v1images import ReadableImage, V1Images
from dockreg.web.bodies import IRequestBody
from dockreg.web.exchange import Exchange
from dockreg.web.headers import set_forever, set_nocache
from dockreg.web.sending import send_blob

_CHECKSUM_LENGTH = 255
#: Engines of whose checksums only the tarsum means something here.
_SENDS_TARSUM = re.compile(r"docker/0\.[0-9](?![0-9])", re.ASCII).match


@define(eq=False)
class ImagesDoor:
    """``/v1/images/(id)`` and below."""

    images: V1Images
    layer_files: LayerFiles
    clock: IReactorTime
    max_json_bytes: int

    # Pushing

    async def put_json(self, exchange: Exchange, image_id: ImageID) -> bytes:
        """``PUT …/json``: begin, or begin again, the push of an image."""
        content = await exchange.document(self.max_json_bytes)
        await self.images.put_json(exchange.caller, image_id, content)
        return _done(exchange)

    async def put_layer(self, exchange: Exchange, image_id: ImageID) -> bytes:
        """``PUT …/layer``: what cannot be accepted is refused before the first byte of the body is read."""
        agent = exchange.header(b"user-agent")
        tarsums = agent is not None and _SENDS_TARSUM(agent) is not None
        upload = await self.images.start_layer(exchange.caller, image_id, tarsums=tarsums)
        try:
            body = exchange.body
            if body.length is not None:
                await upload.expect(body.length)
            await _receive(body, upload)
            await upload.finish()
        finally:
            await upload.abort()
        return _done(exchange)

    async def put_checksum(self, exchange: Exchange, image_id: ImageID) -> bytes:
        """
        ``PUT …/checksum``: complete the image. The values are in headers.

        Engines up to 0.8 send the tarsum only; what engine 0.9 sends as payload checksum can not be computed by
        anybody else. Later ones send both.
        """
        payload, tarsum = _checksum(exchange, "x-docker-checksum-payload"), _checksum(exchange, "x-docker-checksum")
        if payload is None and tarsum is None:
            raise RequestInvalid("send X-Docker-Checksum-Payload (sha256:…) or X-Docker-Checksum (tarsum+sha256:…)")
        await self.images.put_checksum(exchange.caller, image_id, ClaimedChecksums(payload, tarsum))
        return _done(exchange)

    # Pulling

    async def get_json(self, exchange: Exchange, image_id: ImageID) -> bytes | None:
        """
        ``GET …/json``: the bytes that were pushed, the size of the layer and the checksums in headers.

        By this engines find out what they need not push.
        """
        found = await self.images.told(exchange.caller, image_id)
        if self._is_unchanged(exchange, found):
            return None
        return _json(exchange, found.image)

    async def get_layer(self, exchange: Exchange, image_id: ImageID) -> bytes | None:
        """``GET …/layer``: the bytes that were pushed. Engines since 0.12 resume with ranges."""
        found = await self.images.get(exchange.caller, image_id)
        if self._is_unchanged(exchange, found):
            return None
        return await self._send_layer(exchange, found.image)

    async def get_ancestry(self, exchange: Exchange, image_id: ImageID) -> bytes | None:
        """``GET …/ancestry``: ids, this image first, base last."""
        found = await self.images.get(exchange.caller, image_id)
        if self._is_unchanged(exchange, found):
            return None
        return ancestry_document(await self.images.ancestry(found))

    async def get_files(self, exchange: Exchange, image_id: ImageID) -> bytes | None:
        """``GET …/files``: the files of the layer (docker-registry 0.6.3)."""
        found = await self.images.get(exchange.caller, image_id)
        if self._is_unchanged(exchange, found):
            return None
        return await self.layer_files.files(found.image)

    async def get_diff(self, exchange: Exchange, image_id: ImageID) -> bytes | None:
        """``GET …/diff``: what the layer creates, changes and deletes (docker-registry 0.6.3)."""
        found = await self.images.get(exchange.caller, image_id)
        if self._is_unchanged(exchange, found):
            return None
        chain = await self.images.chain(found.image)
        return await self.layer_files.diff(chain)

    # Private images (docker-registry 0.6.3 to 0.8.1): the same without cache headers

    async def get_private_json(self, exchange: Exchange, image_id: ImageID) -> bytes:
        """``GET /v1/private_images/(id)/json``."""
        image = await self._private(exchange, image_id)
        return _json(exchange, image)

    async def get_private_layer(self, exchange: Exchange, image_id: ImageID) -> bytes | None:
        """``GET /v1/private_images/(id)/layer``."""
        return await self._send_layer(exchange, await self._private(exchange, image_id))

    async def get_private_files(self, exchange: Exchange, image_id: ImageID) -> bytes:
        """``GET /v1/private_images/(id)/files``."""
        return await self.layer_files.files(await self._private(exchange, image_id))

    async def _private(self, exchange: Exchange, image_id: ImageID) -> V1Image:
        ceiling = exchange.principal.ceiling
        bound_to = None if ceiling is None else ceiling.repository
        if bound_to is None or not (await self.images.registry.get_repository(bound_to)).private:
            raise ImageUnknown(str(image_id))
        found = await self.images.get(exchange.caller, image_id)
        set_nocache(exchange.request)
        return found.image

    def _is_unchanged(self, exchange: Exchange, found: ReadableImage) -> bool:
        # docker-registry answered 304 to any If-Modified-Since: nothing here changes. We look first whether it exists.
        set_forever(exchange.request, self.clock, public=found.public)
        if exchange.header(b"if-modified-since") is None:
            return False
        exchange.respond(304)
        # A cache takes the headers of a 304 over (RFC 9111 3.2), and a layer is no JSON.
        exchange.request.responseHeaders.removeHeader(b"content-type")
        return True

    async def _send_layer(self, exchange: Exchange, image: V1Image) -> bytes | None:
        exchange.request.setHeader(b"content-type", b"application/octet-stream")
        whole = exchange.header(b"range") is None
        opened = partial(self.images.registry.open_blob, image.layer, whole=whole)
        body = await send_blob(exchange.request, opened, image.layer.size)
        if exchange.request.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            exchange.request.setHeader(b"cache-control", b"no-cache")
        return body


async def _receive(body: IRequestBody, upload: LayerUpload) -> None:
    left = body.length
    while True:
        most = upload.at_once() if left is None else min(upload.at_once(), left)
        received = await body.pour(partial(upload.receive, most=most), most)
        if not received:
            chunks = await body.read()
            if not chunks:
                return
            received = sum(map(len, chunks))
            await upload.write(chunks)
        if left is not None:
            left -= received


def _json(exchange: Exchange, image: V1Image) -> bytes:
    exchange.respond(200, X_Docker_Size=str(image.layer.size))
    if image.checksums.payload:  # An image that came through v2 has none.
        exchange.respond(200, X_Docker_Checksum_Payload=image.checksums.payload)
    if image.checksums.tarsums:
        exchange.respond(200, X_Docker_Checksum=min(image.checksums.tarsums))
    return image.json


def _checksum(exchange: Exchange, header: str) -> str | None:
    value = exchange.header(header.encode("ascii"))
    if value is not None and len(value) > _CHECKSUM_LENGTH:
        raise RequestInvalid(f"{header} is longer than {_CHECKSUM_LENGTH} characters")
    return value or None


def _done(exchange: Exchange) -> bytes:
    set_nocache(exchange.request)
    return b"true"
