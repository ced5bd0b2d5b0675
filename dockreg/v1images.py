"""
The v1 image state machine: announce, json, layer, checksum, tag (ABSENT, META, DATA, COMPLETE).

What is unfinished is kept apart for each pusher and repository, and each received layer for itself, so two clients that
push one id at once can not mix: the checksum request names, by its value, the layer that it completes.
"""

from collections.abc import Sequence
from functools import partial

from attrs import define, field, frozen

from dockreg.bridge.v1_to_schema2 import schema2_view
from dockreg.errors import (
    ChecksumMismatch,
    ImageConflict,
    ImageExists,
    ImageIncomplete,
    ImageJSONInvalid,
    ImageUnknown,
    LayerMissing,
    RegistryError,
    RequestInvalid,
)
from dockreg.errors_blobs import BlobLost
from dockreg.interfaces_v1 import IImageList, IV1ImageStore
from dockreg.jumps import Jumps
from dockreg.layersums import LayerSums
from dockreg.layerupload import DiscardedLayer, LayerUpload, StagedLayerUpload
from dockreg.model.access import Action, Caller, Principal
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import TagRecord
from dockreg.model.v1 import (
    AnnouncedImage,
    ClaimedChecksums,
    ImageID,
    ImageJSON,
    PushScope,
    ReachableImage,
    StagedImage,
    StagedLayer,
    TagClient,
    V1Image,
)
from dockreg.registry import Registry
from dockreg.v1views import V1Views

#: Expiry is asked for every ten minutes.
_EXPIRY_GAP_SECONDS = 3600.0


@frozen
class ImageLimits:
    """What a push may bring. Sizes in bytes; ``max_layer`` 0 means no limit; times in seconds."""

    max_layer: int = 0
    max_uncompressed: int = 100 * 2**30
    max_entries: int = 250_000
    max_ancestry: int = 1024
    staging_seconds: float = 86400
    announcement_seconds: float = 86400


@frozen
class ReadableImage:
    """A complete image that the caller may read, through a repository or as its pusher; ``public`` says that everybody may."""

    image: V1Image
    public: bool
    repository: RepositoryName | None = None


@define(eq=False)
class V1Images:
    """v1 images, as the doors see them. A :class:`Caller` reaches what its repository, or else its rights, reach."""

    registry: Registry
    image_list: IImageList
    views: V1Views
    limits: ImageLimits = ImageLimits()
    _jumps: Jumps = field(init=False)
    _sums: LayerSums = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._jumps = Jumps("an unfinished push of v1", _EXPIRY_GAP_SECONDS, self.limits.staging_seconds)
        self._sums = LayerSums(self.registry)

    @property
    def _store(self) -> IV1ImageStore:
        return self.registry.metadata.images

    # Reading

    async def get(self, caller: Caller, image_id: ImageID) -> ReadableImage:
        """
        The complete image.

        :raises ImageIncomplete: it is being pushed where the caller can reach it.
        :raises ImageUnknown: there is none that the caller can reach.
        """
        found = await self._find_or_make(caller, image_id)
        if found is not None:
            try:
                await self.registry.soundness.require(found.image.layer)
            except BlobLost:
                # Who pushes sends it again then.
                raise ImageUnknown(str(image_id)) from None
            public = found.repository is not None and caller.principal.is_anybody
            return ReadableImage(found.image, public, found.repository)
        if await self._store.is_staged(caller.repository, caller.principal.name, image_id):
            raise ImageIncomplete(str(image_id))
        raise ImageUnknown(str(image_id))

    async def told(self, caller: Caller, image_id: ImageID) -> ReadableImage:
        """
        The complete image, for who may only want to know whether it is there. If he may push, it gets a lease.

        Raises what :meth:`get` raises.
        """
        found = await self.get(caller, image_id)
        may_push = await self.registry.may(caller.principal, Action.PUSH, caller.repository)
        if may_push and not await self.registry.leases.keep_image(found.image):
            raise ImageUnknown(str(image_id))
        return found

    async def chain(self, image: V1Image) -> Sequence[V1Image]:
        """The image and its ancestors, base last."""
        return await self._store.chain(image)

    async def ancestry(self, found: ReadableImage) -> Sequence[ImageID]:
        """The ids of the image and its ancestors, base last. A pull of it begins so."""
        if found.repository is not None:
            self.registry.note_pull(found.repository, found.image.image_id)
        return await self._store.ancestry(found.image)

    async def _find_or_make(self, caller: Caller, image_id: ImageID) -> ReachableImage | None:
        found = await self._find(caller, image_id)
        if found is not None:
            return found
        # What was pushed through v2 becomes v1 images when it is first asked for, by who can read it.
        holders = await self.views.holders(image_id)
        if caller.repository is None:
            readable = frozenset(await self.registry.readable(caller.principal, [name for name, _ in holders]))
        else:
            readable = frozenset({caller.repository})
        await self.views.make([(name, digest) for name, digest in holders if name in readable])
        return await self._find(caller, image_id)

    async def _find(self, caller: Caller, image_id: ImageID) -> ReachableImage | None:
        if caller.repository is not None:
            return await self._find_in([caller.repository], image_id)
        # Who has just announced an image must not take somebody else's for it. Anonymous is nobody in particular.
        announced = await self._announced(caller, image_id) if caller.principal.name is not None else ()
        if announced:
            return await self._find_in(announced, image_id)
        own = await self._store.find_own(image_id, caller.principal.name)
        if own is not None:
            return ReachableImage(own, None)
        holders = await self._store.holders(image_id)
        return await self._find_in(await self.registry.readable(caller.principal, holders), image_id)

    async def _find_in(self, names: Sequence[RepositoryName], image_id: ImageID) -> ReachableImage | None:
        for name in names:
            image = await self._store.find_in(name, image_id)
            if image is not None:
                return ReachableImage(image, name)
        return None

    # Pushing

    async def put_json(self, caller: Caller, image_id: ImageID, content: bytes) -> None:
        """
        Accept an image json, and begin or restart the push of this image.

        :raises ImageExists: the image is complete where the caller pushes.
        :raises ImageJSONInvalid: not a json for this id, or its parent can not be reached or is not complete.
        :raises RequestInvalid: the token's repository does not list this image.
        """
        scope, targets = await self._scope(caller, image_id)
        document = ImageJSON.parse(content)
        if document.image_id != image_id:
            raise ImageJSONInvalid(f"its id is {document.image_id}, the path says {image_id}")
        await self._require_listed(caller, image_id)
        parent = None if document.parent is None else await self._parent(caller, document.parent, targets)
        if await self._completed(caller, targets, image_id) is not None:
            raise ImageExists(str(image_id))
        await self._store.stage_json(scope, document, parent, self.registry.clock.seconds())

    async def start_layer(self, caller: Caller, image_id: ImageID, *, tarsums: bool = False) -> LayerUpload:
        """
        Where the bytes of the layer go.

        When the image is complete already (another client was faster), they go nowhere: the checksum decides what
        that means for this client.

        :param tarsums: whether they are computed meanwhile, for who will claim nothing else; they are always found out when
            they are claimed.
        :raises ImageUnknown: its json was not sent.
        """
        scope, targets = await self._scope(caller, image_id)
        staged = await self._store.staged(scope, image_id)
        # Asked in this order: whoever completes the image unstages it in the same transaction.
        if await self._completed(caller, targets, image_id) is not None:
            return DiscardedLayer(self.limits.max_layer)
        if not staged:
            raise ImageUnknown(str(image_id))
        quotas, name = self.registry.quotas, next(iter(targets), None)
        reservation = None
        if quotas is not None and name is not None:
            reservation = await quotas.reservation_of_request(caller.principal, name, None)
        return await StagedLayerUpload.start(self.registry, staged, self.limits, reservation, tarsums=tarsums)

    async def put_checksum(self, caller: Caller, image_id: ImageID, claimed: ClaimedChecksums) -> None:
        """
        Complete the image whose received bytes have one of the claimed checksums.

        :raises ImageUnknown: its json was not sent.
        :raises LayerMissing: its layer was not sent.
        :raises ChecksumMismatch: no received layer has such a checksum.
        :raises ImageConflict: the image was completed by somebody else with other content.
        """
        scope, targets = await self._scope(caller, image_id)
        staged = await self._store.staged(scope, image_id)
        layers = await self._store.staged_layers(scope, image_id)
        # Asked in this order: whoever completes the image unstages it in the same transaction.
        complete = await self._completed(caller, targets, image_id)
        if complete is None:
            matching = await self._sums.matching(
                layers, claimed, self.limits, partial(self._staged_again, scope, image_id)
            )
            if matching is not None:
                await self._require_parent(caller, matching, targets)
                complete = await self._complete(matching, image_id, scope, targets)
            else:  # What was summed for a while may have been completed meanwhile.
                complete = await self._completed(caller, targets, image_id)
        if complete is None:
            raise _incomplete(image_id, staged, layers)
        if complete.checksums.may_match(claimed):
            complete = await self._sums.known(partial(self._again, complete), self.limits)
        # The same layer in other bytes does not bring back those that are lost.
        if not complete.checksums.matches(claimed) or complete.layer.lost is not None:
            raise ImageConflict(str(image_id))

    async def _staged_again(self, scope: PushScope, image_id: ImageID, key: int) -> StagedLayer | None:
        layers = await self._store.staged_layers(scope, image_id)
        return next((layer for layer in layers if layer.key == key), None)

    async def _again(self, image: V1Image) -> V1Image:
        return (await self._store.chain(image))[0]

    async def _complete(
        self, layer: StagedLayer, image_id: ImageID, scope: PushScope, targets: Sequence[RepositoryName]
    ) -> V1Image:
        held = {name: await self._store.find_in(name, image_id) for name in targets}
        # What a repository holds already stays, even if it is not what is pushed to another one now.
        lacking = [name for name, image in held.items() if image is None]
        if targets and not lacking:  # Somebody was faster, just now.
            return next(image for image in held.values() if image is not None)
        now = self.registry.clock.seconds()
        for name in lacking:
            await self.registry.metadata.repositories.create(name, scope.principal, now)
        return await self._store.complete(layer, image_id, scope, lacking, now)

    async def _scope(self, caller: Caller, image_id: ImageID) -> tuple[PushScope, Sequence[RepositoryName]]:
        """Whose push this is, and the repositories that the finished image becomes part of."""
        scope = PushScope(caller.repository, caller.principal.name)
        if caller.repository is not None:
            return scope, (caller.repository,)
        return scope, await self._announced(caller, image_id)

    async def _announced(self, caller: Caller, image_id: ImageID) -> Sequence[RepositoryName]:
        """The repositories that the caller has lately announced the image to, and may push to now."""
        principal = caller.principal
        since = self.registry.clock.seconds() - self.limits.announcement_seconds
        announced = await self._store.announced_by(principal.name, image_id, since)
        return [name for name in announced if await self.registry.may(principal, Action.PUSH, name)]

    async def _require_listed(self, caller: Caller, image_id: ImageID) -> None:
        ceiling = caller.principal.ceiling
        bound_to = None if ceiling is None else ceiling.repository
        if bound_to is None or await self.image_list.allows(caller.principal, bound_to, image_id):
            return
        raise RequestInvalid(
            f"image {image_id} is not in the image list of {bound_to.v1}: announce it with"
            f" PUT /v1/repositories/{bound_to.v1}/ first"
        )

    async def _parent(self, caller: Caller, parent: ImageID, targets: Sequence[RepositoryName]) -> V1Image:
        # A push builds upon what it has pushed; only one that names no repository may build upon what it can read.
        found = await self._find_in(targets, parent) if targets else await self._find(caller, parent)
        if found is None:
            raise ImageJSONInvalid(f"its parent {parent} is not in the registry; push it first")
        if len(await self._store.ancestry(found.image)) >= self.limits.max_ancestry:
            raise ImageJSONInvalid(f"it has more than {self.limits.max_ancestry - 1} ancestors")
        return found.image

    async def _require_parent(self, caller: Caller, layer: StagedLayer, targets: Sequence[RepositoryName]) -> None:
        """Rights may have changed since the json was accepted."""
        if layer.parent is None:
            return
        if (await self._parent(caller, layer.parent, targets)).key != layer.parent_key:
            raise ImageJSONInvalid(f"its parent {layer.parent} is another image now; push it again")

    async def _completed(self, caller: Caller, targets: Sequence[RepositoryName], image_id: ImageID) -> V1Image | None:
        """
        The complete image that a push of this id would meet; one whose layer is lost is to be pushed again.

        Who is told of it relies on it: it gets a lease.
        """
        if targets:
            held = [await self._store.find_in(name, image_id) for name in targets]
        else:
            reachable = await self._find(caller, image_id)
            held = [None if reachable is None else reachable.image]
        for image in held:
            if image is None or image.layer.lost is not None or not await self.registry.leases.keep_image(image):
                return None
        return held[0]

    # Tags

    async def list_tags(self, name: RepositoryName) -> Sequence[TagRecord]:
        """All tags, with their images. :raises NameUnknown: there is no such repository."""
        await self.views.complete(name)
        return await self.registry.list_tags(name)

    async def get_tag(self, name: RepositoryName, tag: Tag) -> TagRecord:
        """:raises NameUnknown: there is no such repository. :raises TagUnknown: it has no such tag."""
        record = await self.registry.get_tag(name, tag)
        self.registry.note_pull(name, tag)
        if record.image_id is not None or record.digest is None:
            return record
        await self.views.resolve(name, tag, record.digest)
        return await self.registry.get_tag(name, tag)

    async def list_images(self, name: RepositoryName) -> Sequence[AnnouncedImage]:
        """The image list of a repository. :raises NameUnknown: there is no such repository."""
        await self.views.complete(name)
        return await self.registry.list_images(name)

    async def put_tag(
        self, caller: Caller, name: RepositoryName, tag: Tag, image_id: ImageID, client: TagClient
    ) -> None:
        """
        Point a tag to a complete image that the caller can reach, which becomes part of the repository.

        :raises ImageUnknown: the caller can reach no such complete image.
        :raises ImageConflict: the repository holds other content under the id of the image or of an ancestor.
        :raises Denied: the tag is another image, and the caller may not move it.
        """
        image = await self._store.find_in(name, image_id)
        if image is None:
            reachable = await self._find_or_make(caller, image_id)
            if reachable is None:
                raise ImageUnknown(str(image_id))
            image = reachable.image
        await self.tag_image(caller.principal, name, tag, image, client)

    async def tag_image(
        self, principal: Principal, name: RepositoryName, tag: Tag, image: V1Image, client: TagClient
    ) -> None:
        """
        Make an image part of a repository, and point ``tag`` to it, whoever can reach the image.

        :raises ImageConflict: the repository holds other content under the id of the image or of an ancestor.
        :raises Denied: the tag is another image, and ``principal`` may not move it.
        """
        registry = self.registry
        overwrite = await registry.may(principal, Action.OVERWRITE, name)
        view = await registry.in_thread(schema2_view, await self._store.chain(image))
        if view is not None:
            await registry.store_blob(view.config, name, link=False)
        now = registry.clock.seconds()
        await registry.metadata.repositories.create(name, principal.name, now)
        manifest = None if view is None else view.manifest
        await registry.metadata.repositories.tag_image(name, tag, image, manifest, client, now, overwrite)

    # Housekeeping

    async def expire(self) -> int:
        """
        Drop pushes that were begun and not finished within the staging time, but not after a jump of the clock; return how
        many images.
        """
        if not self._jumps.allow(self.registry.clock.seconds()):
            return 0
        return await self._store.expire_staged(self.registry.clock.seconds() - self.limits.staging_seconds)


def _incomplete(image_id: ImageID, staged: Sequence[StagedImage], layers: Sequence[StagedLayer]) -> RegistryError:
    """Why an image can not be completed now: its json, its layer, or the right layer is not here."""
    if not staged:
        return ImageUnknown(str(image_id))
    return ChecksumMismatch(str(image_id)) if layers else LayerMissing(str(image_id))
