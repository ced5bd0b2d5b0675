"""
What manifests are in v1, and in schema1: made when a client of that age first asks, and kept.

A v1 image is made for each layer of an image that was pushed through v2 (:mod:`dockreg.bridge.schema2_to_v1`). Signed
schema1 manifests are made of v1 images, so an engine sees the same ids through both protocols.
"""

from collections.abc import Sequence

from attrs import define, evolve

from dockreg.bridge.platforms import choose_platform
from dockreg.bridge.schema1_to_v1 import PushedImage, v1_images_from_schema1
from dockreg.bridge.schema2_to_v1 import DerivedImage, derived_chain
from dockreg.bridge.v1_to_schema1 import Schema1Entry, schema1_payload
from dockreg.bridge.v1_to_schema2 import Schema2View, schema2_view
from dockreg.derived import inspect_layer
from dockreg.errors import BlobUnknown, ImageConflict, LayerTooLarge, ManifestUnknown, RequestInvalid
from dockreg.model.access import Principal
from dockreg.model.accounts import SigningKey
from dockreg.model.blobs import StoredBlob
from dockreg.model.compression import detect
from dockreg.model.descriptors import Descriptor
from dockreg.model.digest import Digest
from dockreg.model.manifest import Manifest, Role, parse_manifest
from dockreg.model.mediatypes import INDEX_TYPES, SCHEMA1, SCHEMA1_SIGNED, SCHEMA1_TYPES
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.platforms import Platform
from dockreg.model.repositories import StoredManifest
from dockreg.model.schema1 import key_id_of, new_schema1_key, parse_schema1, sign_schema1
from dockreg.model.v1 import ImageID, LayerFacts, MadeImage, V1Image
from dockreg.registry import Registry
from dockreg.shield import shielded

#: What the key store calls the key of signed manifests.
PURPOSE = "schema1"
_MAX_CONFIG_BYTES = 8 * 1024 * 1024
_MAX_NESTING = 8
#: Engines of that time take no image of more layers ("max depth exceeded", moby ``layer/layer_store.go``, ``image/graph``).
_MAX_LAYERS = 127
_ZSTD = "zstd"
#: Layers that schema2 has media types for, and that every client can read.
_SCHEMA2_COMPRESSIONS = ("none", "gzip")
_NO_FACTS = LayerFacts("none")
#: A gzip stream of an empty tar, byte for byte the one that engines 1.6 to 1.9 push for layers without files.
EMPTY_LAYER = bytes.fromhex("1f8b080000096e8800ff621805a360148c5800080000ffff2eafb5ef00040000")


@define(eq=False)
class V1Views:
    """The v1 and schema1 forms of manifests; :attr:`platform` is the one that old engines get of an index."""

    registry: Registry
    platform: Platform
    max_uncompressed: int = 100 * 2**30

    # v1 images

    async def complete(self, name: RepositoryName) -> None:
        """
        Find out what the tags of a repository are in v1.

        :raises NameUnknown: there is no such repository.
        """
        for tag, digest in await self.registry.metadata.images.without_image(name):
            await self.resolve(name, tag, digest)

    async def resolve(self, name: RepositoryName, tag: Tag, digest: Digest) -> None:
        """Find out what one tag, which points to the manifest ``digest``, is in v1."""
        try:
            image = await self.image_of(name, digest)
        except (BlobUnknown, ManifestUnknown):
            # Something is missing now that may be pushed yet.
            return
        if image is None:
            await self.registry.metadata.images.set_imageless(name, digest)
        else:
            await self.registry.metadata.images.set_image(name, tag, digest, image)

    async def holders(self, image_id: ImageID) -> Sequence[tuple[RepositoryName, Digest]]:
        """The manifests whose topmost image would have this id, and the repositories that hold them."""
        if len(image_id.value) != 64:
            return ()
        return await self.registry.metadata.images.with_config(Digest("sha256", image_id.value))

    async def make(self, manifests: Sequence[tuple[RepositoryName, Digest]]) -> None:
        """Make the images of some manifests of repositories."""
        for name, digest in manifests:
            try:
                await self.image_of(name, digest)
            except (BlobUnknown, ManifestUnknown):
                continue

    async def image_of(self, name: RepositoryName, digest: Digest) -> V1Image | None:
        """
        The topmost v1 image of a manifest, or of the image for :attr:`platform` in an index; None when it has none.

        That is so for whatever is no image, for images of more layers than engines take or of layers that unpack to too
        much, and where the repository has other content under one of the ids.

        :raises ManifestUnknown: the manifest, or the one for the platform, is not there.
        :raises BlobUnknown: its config or one of its layers is not there.
        """
        manifest = await self.for_platform(name, await self.registry.metadata.manifests.get(name, digest))
        known = await self.registry.metadata.images.image_of(name, manifest.digest)
        if known is not None or manifest.imageless or manifest.media_type in SCHEMA1_TYPES | INDEX_TYPES:
            return known
        try:
            made = await self._made_of(name, await self.registry.read_manifest(manifest.content, manifest.media_type))
            now = self.registry.clock.seconds()
            return await self.registry.metadata.images.add_images(name, manifest.digest, made, None, now)
        except (RequestInvalid, LayerTooLarge, ImageConflict):
            await self.registry.metadata.images.set_imageless(name, manifest.digest)
            return None

    async def for_platform(self, name: RepositoryName, manifest: StoredManifest) -> StoredManifest:
        """
        Of an index the manifest for :attr:`platform`, through indexes in indexes; the index itself when it has none.

        :raises ManifestUnknown: the index has one, but the repository does not.
        """
        found = manifest
        for _ in range(_MAX_NESTING):
            if found.media_type not in INDEX_TYPES:
                return found
            index = await self.registry.read_manifest(found.content, found.media_type)
            child = choose_platform(index.children, self.platform)
            if child is None:
                return manifest
            found = await self.registry.metadata.manifests.get(name, child.descriptor.digest)
        return manifest

    async def _made_of(self, name: RepositoryName, manifest: Manifest) -> Sequence[MadeImage]:
        """:raises RequestInvalid: it is no image, or none that engines can use."""
        config = next((each.descriptor for each in manifest.references if each.role is Role.CONFIG), None)
        if config is None or config.size > _MAX_CONFIG_BYTES or len(manifest.references) > _MAX_LAYERS + 1:
            raise RequestInvalid("the manifest is no image that engines can use")
        content = await self.registry.read_blob(name, config.digest, _MAX_CONFIG_BYTES)
        chain = await self.registry.in_thread(derived_chain, manifest, content)
        return [await self._made(name, image, layer) for image, layer in chain]

    async def _made(self, name: RepositoryName, image: DerivedImage, layer: Descriptor | None) -> MadeImage:
        if layer is None:
            blob = await self.registry.store_blob(EMPTY_LAYER, name)
            return MadeImage(image.image_id, image.json, blob.digest)
        found = await self.registry.metadata.blobs.find_in(name, layer.digest)
        if found is None:
            raise BlobUnknown(str(layer.digest))
        made = MadeImage(image.image_id, image.json, layer.digest)
        if isinstance(found, StoredBlob) and await self._is_zstd(found):
            facts = await self.facts(found)
            if facts.diff_id is not None and facts.uncompressed_size is not None:
                made = evolve(made, unpacked=Descriptor("", facts.diff_id, facts.uncompressed_size))
        await self._measure(name, made)
        return made

    async def _measure(self, name: RepositoryName, made: MadeImage) -> None:
        """Where the repository has the id with another layer: find out whether both unpack to the same."""
        held = await self.registry.metadata.images.find_in(name, made.image_id)
        if held is None or held.layer.digest == made.served:
            return
        for blob in (held.layer, await self.registry.metadata.blobs.find_in(name, made.layer)):
            if isinstance(blob, StoredBlob):
                await self.facts(blob)

    async def _is_zstd(self, blob: StoredBlob) -> bool:
        known = await self.registry.metadata.blobs.facts(blob.digest)
        if known is not None:
            return known.compression == _ZSTD
        reader = await self.registry.soundness.open(blob)
        try:
            return blob.size > 0 and detect(await reader.read(4)) == _ZSTD
        finally:
            reader.close()

    async def facts(self, blob: StoredBlob) -> LayerFacts:
        """
        What is in a layer; it is read once for that if nobody has looked while it arrived, whether who asks waits or not.

        :raises LayerTooLarge: it unpacks to more than is allowed.
        """
        known = await self.registry.metadata.blobs.facts(blob.digest)
        return known if known is not None else await shielded(self._inspect(blob))

    async def _inspect(self, blob: StoredBlob) -> LayerFacts:
        facts = await inspect_layer(self.registry.soundness, self.registry.in_thread, blob, self.max_uncompressed)
        await self.registry.metadata.blobs.learn(blob.digest, facts)
        return facts

    # schema1

    async def push_schema1(
        self, principal: Principal, name: RepositoryName, manifest: Manifest
    ) -> tuple[V1Image, Schema2View] | None:
        """
        Make a schema1 manifest that the repository holds usable through the other protocols.

        :return: its v1 image and its schema2 form; None when it can have none: a layer is no tar, or the repository has
            other content under one of its ids.
        """
        schema1 = await self.registry.in_thread(parse_schema1, manifest.content)
        try:
            made = [await self._pushed(name, image) for image in v1_images_from_schema1(schema1)]
            now = self.registry.clock.seconds()
            images = self.registry.metadata.images
            top = await images.add_images(name, manifest.digest, made, principal.name, now)
        except (RequestInvalid, LayerTooLarge, ImageConflict):
            return None
        view = await self.registry.in_thread(schema2_view, await images.chain(top))
        return None if view is None else (top, view)

    async def _pushed(self, name: RepositoryName, image: PushedImage) -> MadeImage:
        """:raises RequestInvalid: its layer is no tar. :raises LayerTooLarge: it unpacks to more than is allowed."""
        found = await self.registry.metadata.blobs.find_in(name, image.layer)
        facts = await self.facts(found) if isinstance(found, StoredBlob) else _NO_FACTS
        if facts.diff_id is None or facts.uncompressed_size is None:
            raise RequestInvalid(f"layer {image.layer} is no tar")
        readable = facts.compression in _SCHEMA2_COMPRESSIONS
        unpacked = None if readable else Descriptor("", facts.diff_id, facts.uncompressed_size)
        made = MadeImage(image.image_id, image.json, image.layer, unpacked, exact=True)
        await self._measure(name, made)
        return made

    async def schema1_of(
        self, name: RepositoryName, requested: str, tag: Tag, manifest: StoredManifest
    ) -> StoredManifest | None:
        """
        The signed schema1 form of a manifest, for engines that know nothing newer; None when it has none.

        :param requested: the repository's name as the client wrote it, for the manifest tells it.
        """
        pushed = await self.registry.metadata.manifests.signed_form(name, tag)
        if pushed is not None:
            return await self.signed(pushed)
        image = await self.image_of(name, manifest.digest)
        if image is None:
            return None
        chain = await self.registry.metadata.images.chain(image)
        entries = [Schema1Entry(each.json, each.layer.digest) for each in chain]
        payload = await self.registry.in_thread(schema1_payload, requested, str(tag), entries)
        try:
            return await self.signed(await self.registry.metadata.manifests.get(name, Digest.sha256(payload)))
        except ManifestUnknown:
            return await self._keep_signed(name, manifest.digest, payload)

    async def signed(self, manifest: StoredManifest) -> StoredManifest:
        """
        A schema1 manifest with a signature, which engines insist on (docker 1.6, ``graph/manifest.go``).

        One that was pushed without one is signed each time: it has the same digest with and without.
        """
        if manifest.media_type != SCHEMA1:
            return manifest
        return evolve(manifest, media_type=SCHEMA1_SIGNED, content=await self._sign(manifest.content))

    async def _sign(self, payload: bytes) -> bytes:
        keys = await self.registry.metadata.keys.get(PURPOSE, self._make_key)
        return await self.registry.in_thread(sign_schema1, payload, keys[0].secret)

    async def _keep_signed(self, name: RepositoryName, of: Digest, payload: bytes) -> StoredManifest:
        content = await self._sign(payload)
        view = await self.registry.in_thread(parse_manifest, content, SCHEMA1_SIGNED)
        await self.registry.metadata.manifests.add_view(name, of, view, self.registry.clock.seconds())
        # Another request may have signed the same payload first: theirs is what is kept.
        return await self.registry.metadata.manifests.get(name, view.digest)

    def _make_key(self) -> SigningKey:
        secret = new_schema1_key()
        return SigningKey(key_id_of(secret), secret, self.registry.clock.seconds())
