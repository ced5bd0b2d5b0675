"""
What manifests are in v1, and in schema1: made when a client of that age first asks, and kept.

A v1 image is made for each layer of an image that was pushed through v2 (:mod:`dockreg.bridge.schema2_to_v1`). Signed
schema1 manifests are made of v1 images, so an engine sees the same ids through both protocols.
"""

from collections.abc import Sequence

from attrs import define, evolve

from dockreg.bridge.platforms import choose_platform
from dockreg.bridge.schema1_to_v1 import v1_images_from_schema1
from dockreg.bridge.schema2_to_v1 import DerivedImage, derived_chain
from dockreg.bridge.v1_to_schema1 import Schema1Entry, schema1_payload
from dockreg.bridge.v1_to_schema2 import Schema2View, schema2_view
from dockreg.derived import inspect_layer
from dockreg.errors import BlobUnknown, ManifestUnknown, RequestInvalid
from dockreg.model.access import Principal
from dockreg.model.accounts import SigningKey
from dockreg.model.blobs import StoredBlob
from dockreg.model.descriptors import Descriptor
from dockreg.model.digest import Digest
from dockreg.model.manifest import Manifest, Role, parse_manifest
from dockreg.model.mediatypes import INDEX_TYPES, SCHEMA1_SIGNED, SCHEMA1_TYPES
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.platforms import Platform
from dockreg.model.repositories import StoredManifest
from dockreg.model.schema1 import key_id_of, new_schema1_key, parse_schema1, sign_schema1
from dockreg.model.v1 import ImageID, LayerFacts, MadeImage, V1Image
from dockreg.registry import Registry

#: What the key store calls the key of signed manifests.
PURPOSE = "schema1"
_MAX_CONFIG_BYTES = 8 * 1024 * 1024
_MAX_NESTING = 8
_ZSTD = "zstd"
#: Layers that schema2 has media types for, and that every client can read.
_SCHEMA2_COMPRESSIONS = ("none", "gzip")
_NO_FACTS = LayerFacts("none")
_ZSTD_MAGICS = (b"\x28\xb5\x2f\xfd", *(bytes((0x50 + each,)) + b"\x2a\x4d\x18" for each in range(16)))
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
        images = self.registry.metadata.images
        for tag, digest in await images.without_image(name):
            try:
                image = await self.image_of(name, digest)
            except (BlobUnknown, ManifestUnknown):
                # Something is missing now that may be pushed yet.
                continue
            await images.set_image(name, tag, digest, image)

    async def make(self, image_id: ImageID) -> None:
        """Make the images of the manifests whose topmost image has this id, if there are any."""
        if len(image_id.value) != 64:
            return
        for name, digest in await self.registry.metadata.images.with_config(Digest("sha256", image_id.value)):
            try:
                await self.image_of(name, digest)
            except (BlobUnknown, ManifestUnknown):
                continue

    async def image_of(self, name: RepositoryName, digest: Digest) -> V1Image | None:
        """
        The topmost v1 image of a manifest, or of the image for :attr:`platform` in an index; None when it is no image.

        :raises ManifestUnknown: the manifest, or the one for the platform, is not there.
        :raises BlobUnknown: its config or one of its layers is not there.
        """
        manifest = await self.for_platform(name, await self.registry.metadata.manifests.get(name, digest))
        known = await self.registry.metadata.images.image_of(name, manifest.digest)
        if known is not None or manifest.media_type in SCHEMA1_TYPES | INDEX_TYPES:
            return known
        made = await self._made_of(name, parse_manifest(manifest.content, manifest.media_type))
        if made is None:
            return None
        now = self.registry.clock.seconds()
        return await self.registry.metadata.images.add_images(name, manifest.digest, made, None, now)

    async def for_platform(self, name: RepositoryName, manifest: StoredManifest) -> StoredManifest:
        """
        Of an index the manifest for :attr:`platform`, through indexes in indexes; the index itself when it has none.

        :raises ManifestUnknown: the index has one, but the repository does not.
        """
        found = manifest
        for _ in range(_MAX_NESTING):
            if found.media_type not in INDEX_TYPES:
                return found
            child = choose_platform(parse_manifest(found.content, found.media_type).children, self.platform)
            if child is None:
                return manifest
            found = await self.registry.metadata.manifests.get(name, child.descriptor.digest)
        return manifest

    async def _made_of(self, name: RepositoryName, manifest: Manifest) -> Sequence[MadeImage] | None:
        config = next((each.descriptor for each in manifest.references if each.role is Role.CONFIG), None)
        if config is None or config.size > _MAX_CONFIG_BYTES:
            return None
        content = await self.registry.read_blob(name, config.digest, _MAX_CONFIG_BYTES)
        try:
            chain = await self.registry.in_thread(derived_chain, manifest, content)
        except RequestInvalid:
            return None
        return [await self._made(name, image, layer) for image, layer in chain]

    async def _made(self, name: RepositoryName, image: DerivedImage, layer: Descriptor | None) -> MadeImage:
        if layer is None:
            blob = await self.registry.store_blob(EMPTY_LAYER, name)
            return MadeImage(image.image_id, image.json, blob.digest)
        found = await self.registry.metadata.blobs.find_in(name, layer.digest)
        if found is None:
            raise BlobUnknown(str(layer.digest))
        made = MadeImage(image.image_id, image.json, layer.digest)
        if not isinstance(found, StoredBlob) or not await self._is_zstd(found):
            return made
        facts = await self.facts(found)
        if facts.diff_id is None or facts.uncompressed_size is None:
            return made
        return evolve(made, unpacked=Descriptor("", facts.diff_id, facts.uncompressed_size))

    async def _is_zstd(self, blob: StoredBlob) -> bool:
        known = await self.registry.metadata.blobs.facts(blob.digest)
        if known is not None:
            return known.compression == _ZSTD
        reader = await self.registry.blobs.open(blob)
        try:
            return blob.size > 0 and (await reader.read(4)).startswith(_ZSTD_MAGICS)
        finally:
            reader.close()

    async def facts(self, blob: StoredBlob) -> LayerFacts:
        """What is in a layer; it is read once for that if nobody has looked while it arrived."""
        known = await self.registry.metadata.blobs.facts(blob.digest)
        if known is not None:
            return known
        facts = await inspect_layer(self.registry.blobs, self.registry.in_thread, blob, self.max_uncompressed)
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
        pushed = v1_images_from_schema1(parse_schema1(manifest.content))
        unpacked: dict[Digest, Descriptor | None] = {}
        for digest in {image.layer for image in pushed}:
            found = await self.registry.metadata.blobs.find_in(name, digest)
            facts = await self.facts(found) if isinstance(found, StoredBlob) else _NO_FACTS
            if facts.diff_id is None or facts.uncompressed_size is None:
                return None
            readable = facts.compression in _SCHEMA2_COMPRESSIONS
            unpacked[digest] = None if readable else Descriptor("", facts.diff_id, facts.uncompressed_size)
        made = [MadeImage(image.image_id, image.json, image.layer, unpacked[image.layer]) for image in pushed]
        now = self.registry.clock.seconds()
        images = self.registry.metadata.images
        top = await images.add_images(name, manifest.digest, made, principal.name, now)
        chain = await images.chain(top)
        if [(each.json, each.layer.digest) for each in reversed(chain)] != [(each.json, each.served) for each in made]:
            return None
        view = await self.registry.in_thread(schema2_view, chain)
        return None if view is None else (top, view)

    async def schema1_of(
        self, name: RepositoryName, requested: str, tag: Tag, manifest: StoredManifest
    ) -> StoredManifest | None:
        """
        The signed schema1 form of a manifest, for engines that know nothing newer; None when it has none.

        :param requested: the repository's name as the client wrote it, for the manifest tells it.
        """
        manifests = self.registry.metadata.manifests
        forms = await manifests.views(name, manifest.digest, SCHEMA1_SIGNED)
        pushed = next((form for form in forms if not form.derived), None)
        if pushed is not None:
            return pushed
        image = await self.image_of(name, manifest.digest)
        if image is None:
            return None
        chain = await self.registry.metadata.images.chain(image)
        entries = [Schema1Entry(each.json, each.layer.digest) for each in chain]
        payload = schema1_payload(requested, str(tag), entries)
        digest = Digest.sha256(payload)
        known = next((form for form in forms if form.digest == digest), None)
        return known or await self._sign(name, manifest.digest, payload)

    async def _sign(self, name: RepositoryName, of: Digest, payload: bytes) -> StoredManifest:
        keys = await self.registry.metadata.keys.get(PURPOSE, self._make_key)
        content = await self.registry.in_thread(sign_schema1, payload, keys[0].secret)
        view = parse_manifest(content, SCHEMA1_SIGNED)
        await self.registry.metadata.manifests.add_view(name, of, view, self.registry.clock.seconds())
        # Another request may have signed the same payload first: theirs is what is kept.
        return await self.registry.metadata.manifests.get(name, view.digest)

    def _make_key(self) -> SigningKey:
        secret = new_schema1_key()
        return SigningKey(key_id_of(secret), secret, self.registry.clock.seconds())
