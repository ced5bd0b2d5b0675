"""v1 images on their way into repositories: through the rules of a push, from files instead of requests."""

from collections.abc import Callable, Collection
from typing import Protocol

from attrs import define, frozen

from dockreg.cli.moving.stores import Stores
from dockreg.errors import BodyTooLarge, ImageConflict, ImageJSONInvalid, LayerTooLarge, NameUnknown, TagUnknown
from dockreg.errors_quotas import QuotaExceeded
from dockreg.layerupload import StagedLayerUpload
from dockreg.model.access import Principal
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.v1 import Checksums, ClaimedChecksums, ImageID, ImageJSON, PushScope, TagClient, V1Image

_PIECE = 1024 * 1024


class LayerSource(Protocol):
    """The bytes of a layer."""

    @property
    def size(self) -> int:
        """How many there are."""

    def read(self, position: int, limit: int) -> bytes:
        """Some of them; ``b""`` at the end. Blocks."""


class Broken(Exception):
    """An image that can not be taken; the text says why."""


class Conflict(Broken):
    """One that this repository can not take."""


@frozen
class SourceImage:
    """A v1 image somewhere else: its json byte for byte, its layer, the checksums that were noted of it, if any were."""

    image_id: ImageID
    json: bytes
    layer: LayerSource
    noted: Collection[str] = ()


@define(eq=False)
class ChainImport:
    """
    Brings chains of images into repositories.

    :param advance: told of bytes that were read.
    """

    _stores: Stores
    _owner: str | None
    _advance: Callable[[int], object]
    _unverified: bool = False

    async def image(self, name: RepositoryName, source: SourceImage, parent: V1Image | None) -> tuple[V1Image, bool]:
        """
        The image, for ``name``, and whether it is new. One that any repository has is not read again.

        :raises Broken: it is not what was noted of it, or the repository holds something else under its id.
        """
        found = await self.present(name, source, parent)
        if found is not None:
            return found, False
        try:
            return await self._push(name, source, parent), True
        except QuotaExceeded as error:
            # Another repository may have room.
            raise Conflict(str(error)) from None
        except (BodyTooLarge, LayerTooLarge, ImageConflict, ImageJSONInvalid) as error:
            raise Broken(str(error)) from None

    async def present(self, name: RepositoryName, source: SourceImage, parent: V1Image | None) -> V1Image | None:
        """
        The same image, as far as json, parent and size tell, in this or in some repository; its layer is not read.

        :raises Conflict: the repository holds something else under its id.
        """
        images = self._stores.registry.metadata.images
        held = await images.find_in(name, source.image_id)
        if held is not None:
            if not _is_same(held, source, parent):
                raise Conflict(f"{name} holds another image under this id")
            return held
        for other in await images.holders(source.image_id):
            held = await images.find_in(other, source.image_id)
            if held is not None and _is_same(held, source, parent):
                return held
        return None

    async def _push(self, name: RepositoryName, source: SourceImage, parent: V1Image | None) -> V1Image:
        registry, images = self._stores.registry, self._stores.registry.metadata.images
        scope, now = PushScope(name, self._owner), registry.clock.seconds()
        await images.stage_json(scope, ImageJSON.parse(source.json), parent, now)
        staged = [each for each in await images.staged(scope, source.image_id) if each.json == source.json]
        upload = await StagedLayerUpload.start(registry, staged, self._stores.images.limits)
        try:
            position = 0
            while data := await registry.in_thread(source.layer.read, position, _PIECE):
                await upload.write([data])
                position += len(data)
                self._advance(len(data))
            await upload.finish()
        finally:
            await upload.abort()
        keys = {each.key for each in staged}
        for layer in await images.staged_layers(scope, source.image_id):
            if layer.image_key in keys:
                facts = await registry.metadata.blobs.facts(layer.blob.digest)
                check(
                    source,
                    layer.checksums,
                    is_tar=facts is not None and facts.diff_id is not None,
                    unverified=self._unverified,
                )
                return await images.complete(layer, source.image_id, scope, [name], registry.clock.seconds())
        raise Broken("its layer was dropped by somebody else meanwhile: try again")

    async def tag(self, name: RepositoryName, tag: Tag, image: V1Image, client: TagClient, *, move: bool) -> str:
        """
        Point a tag to an image; return what it was before, empty for nothing.

        :param move: whether a tag that is something else is moved.
        :raises Broken: the repository holds something else under the id of the image or of an ancestor, or has no room.
        """
        before = await self.tagged(name, tag)
        if not before or (move and before != str(image.image_id)):
            try:
                await self._stores.images.tag_image(Principal(self._owner), name, tag, image, client)
            except (ImageConflict, QuotaExceeded) as error:
                raise Conflict(str(error)) from None
        return before

    async def tagged(self, name: RepositoryName, tag: Tag) -> str:
        """What a tag is now, an image id or else a digest; empty for nothing."""
        try:
            record = await self._stores.registry.get_tag(name, tag)
        except (TagUnknown, NameUnknown):
            return ""
        return str(record.image_id or record.digest)


def check(source: SourceImage, found: Checksums, *, is_tar: bool, unverified: bool = False) -> None:
    """
    Compare what was noted of an image with what it is: one value that fits is enough, for engines differ in them.

    :param unverified: nothing need fit, if the layer is a whole tar.
    :raises Broken: none fits; or nothing was noted, and the layer is no whole tar.
    """
    if not source.noted or (unverified and is_tar):
        if not is_tar:
            raise Broken("no checksum was noted of it, and its layer is no whole tar: it may be cut short")
        return
    if not any(found.matches(ClaimedChecksums(each, each)) for each in source.noted):
        noted = ", ".join(sorted(source.noted))
        raise Broken(f"its bytes are not those that its checksum was noted of: {noted}, and now {found.payload}")


def _is_same(held: V1Image, source: SourceImage, parent: V1Image | None) -> bool:
    parent_key = None if parent is None else parent.key
    return held.json == source.json and held.layer.size == source.layer.size and held.parent_key == parent_key
