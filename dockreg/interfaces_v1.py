"""What providers promise of v1 images. :mod:`dockreg.interfaces` says what holds for every method."""

from collections.abc import Collection, Sequence

from zope.interface import Interface

from dockreg.model.access import Principal
from dockreg.model.blobs import StoredBlob
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.v1 import (
    AnnouncedImage,
    Checksums,
    ImageID,
    ImageJSON,
    LayerFacts,
    MadeImage,
    PushScope,
    StagedImage,
    StagedLayer,
    V1Image,
)


class IV1ImageStore(Interface):
    """v1 images: announced, staged, complete."""

    async def announce(
        name: RepositoryName, principal: str | None, images: Sequence[AnnouncedImage], now: float
    ) -> None:
        """
        Add to the image list of a repository; entries are never removed, and a checksum is not replaced by None.

        :raises NameUnknown: there is no such repository.
        """

    async def list_images(name: RepositoryName) -> Sequence[AnnouncedImage]:
        """
        What was announced to or is held by a repository, in the order in which it came; of a complete image the checksum is
        a tarsum where there is one, else the payload checksum.

        :raises NameUnknown: there is no such repository.
        """

    async def announced_by(principal: str | None, image_id: ImageID, since: float) -> Sequence[RepositoryName]:
        """The repositories to which ``principal`` announced ``image_id`` at ``since`` or later, newest first."""

    async def is_listed(name: RepositoryName, image_id: ImageID) -> bool:
        """Whether :meth:`list_images` has ``image_id``. False when there is no such repository."""

    async def holders(image_id: ImageID) -> Sequence[RepositoryName]:
        """The repositories that hold a complete image under this id; those of the oldest image first, by their names."""

    async def find_own(image_id: ImageID, owner: str | None) -> V1Image | None:
        """The complete image of this id that ``owner`` (None: anonymous) pushed without announcing it."""

    async def find_in(name: RepositoryName, image_id: ImageID) -> V1Image | None:
        """The complete image that the repository holds under this id."""

    async def chain(image: V1Image) -> Sequence[V1Image]:
        """The image and its ancestors, base last."""

    async def ancestry(image: V1Image) -> Sequence[ImageID]:
        """Their ids alone, in the same order."""

    async def stage_json(scope: PushScope, document: ImageJSON, parent: V1Image | None, now: float) -> None:
        """Keep an image json for its layer. One with the same bytes in the same scope is the same one."""

    async def staged(scope: PushScope, image_id: ImageID, limit: int = 8) -> Sequence[StagedImage]:
        """The distinct jsons that are staged in ``scope`` under this id, newest first."""

    async def is_staged(name: RepositoryName | None, principal: str | None, image_id: ImageID) -> bool:
        """Whether the image is being pushed to the repository by anybody, or (None) by ``principal`` anywhere."""

    async def stage_layer(
        blob: StoredBlob,
        facts: LayerFacts,
        checksums: Sequence[tuple[StagedImage, Checksums]],
        now: float,
        leased_until: float,
    ) -> StoredBlob:
        """
        Record a received layer for each json that it was checked against; as :meth:`IBlobIndex.record`, in the same transaction.

        A json that is no longer staged is passed over.
        """

    async def staged_layers(scope: PushScope, image_id: ImageID) -> Sequence[StagedLayer]:
        """What could be completed now, newest first."""

    async def keep_tarsums(of: StagedLayer | V1Image, tarsums: frozenset[str]) -> None:
        """Keep what was found out of a layer under its json; harmless when the staged layer is gone, or is an image by now."""

    async def complete(
        layer: StagedLayer,
        image_id: ImageID,
        scope: PushScope,
        repositories: Collection[RepositoryName],
        now: float,
    ) -> V1Image:
        """
        Make a staged image complete and part of ``repositories`` (of none: its pusher's own), with its ancestors, and drop
        all that is staged in ``scope`` under this id: all or nothing.

        When one of the repositories (or, of none, the pusher) holds an image of this id meanwhile, that one is returned and
        nothing but the staging changes; the caller compares.

        :raises NameUnknown: one of the repositories is not there. :raises LayerMissing: the layer is no longer staged.
        :raises ImageConflict: a repository holds other content under the id of an ancestor.
        """

    async def expire_staged(before: float) -> int:
        """Drop what was staged before ``before`` and not completed; return how many images."""

    async def without_image(name: RepositoryName) -> Sequence[tuple[Tag, Digest]]:
        """
        The tags of manifests of which nobody knows yet what they are in v1, and the digests of those.

        :raises NameUnknown: there is no such repository.
        """

    async def with_config(config: Digest) -> Sequence[tuple[RepositoryName, Digest]]:
        """The repositories that hold a manifest with this config, and the digest of that manifest."""

    async def image_of(name: RepositoryName, digest: Digest) -> V1Image | None:
        """The v1 image that a manifest of the repository is, if it was made already."""

    async def add_images(
        name: RepositoryName, digest: Digest, images: Sequence[MadeImage], pushed_by: str | None, now: float
    ) -> V1Image:
        """
        Make v1 images, base first, part of the repository as what its manifest ``digest`` is in v1: all or nothing. The
        tags of the manifest get the topmost image.

        An id that the repository holds already stays as it is, if it has the same parent and the same layer, in whatever
        compression; of an image whose json is to be kept (:attr:`.MadeImage.exact`), also the same json.

        :raises ImageConflict: the repository holds other content under one of the ids.
        :raises ManifestUnknown: the manifest is gone. :raises BlobUnknown: the repository lacks a layer.
        """

    async def set_image(name: RepositoryName, tag: Tag, digest: Digest, image: V1Image) -> None:
        """What a tag is in v1, unless it points to another manifest than ``digest`` by now."""

    async def set_imageless(name: RepositoryName, digest: Digest) -> None:
        """Remember that a manifest has no form in v1; harmless when it is gone."""


class IImageList(Interface):
    """Which image ids a push may bring, when an index of its own holds the lists."""

    async def allows(principal: Principal, repository: RepositoryName, image_id: ImageID) -> bool:
        """Whether the list of ``repository`` has ``image_id``."""
