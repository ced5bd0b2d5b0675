"""
Export into archives of docker save.

They have the folders with v1 images that docker up to 1.9 loads, and ``manifest.json`` with the configs as they were
pushed, so that an image keeps its id in docker 1.10 and later. Layers are uncompressed, as docker save writes them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import define, field

from dockreg.bridge.schema2_to_v1 import DerivedImage, derived_chain
from dockreg.cli.failures import CommandFailed
from dockreg.cli.moving.exporting import Exported, copy, require_bytes
from dockreg.cli.moving.names import short_name
from dockreg.cli.moving.stores import Stores
from dockreg.cli.progress import Meter, Reporter
from dockreg.cli.savedarchive import VERSION, LayerWriter, compact
from dockreg.cli.tarwriting import TarFile
from dockreg.errors import BlobUnknown, ManifestUnknown, NameUnknown, RequestInvalid
from dockreg.errors_blobs import BlobLost
from dockreg.model.compression import CompressionInvalid
from dockreg.model.descriptors import Descriptor
from dockreg.model.manifest import Manifest, Role
from dockreg.model.mediatypes import MANIFEST_TYPES
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import RepositoryRecord, StoredManifest
from dockreg.model.v1 import ImageID
from dockreg.v1views import EMPTY_LAYER

_MAX_CONFIG = 8 * 1024 * 1024


@define(eq=False)
class SavedExport:
    """Into an archive of docker save; of an image for several platforms the one of the configuration."""

    _stores: Stores
    _path: Path
    _reporter: Reporter
    _host: str
    takes_untagged: bool = False
    done: Exported = field(factory=Exported, init=False)
    _tar: TarFile = field(init=False)
    _meter: Meter = field(init=False)
    _written: set[ImageID] = field(factory=set, init=False)
    # By the name of the config: the entries of manifest.json, in order.
    _entries: dict[str, dict[str, Any]] = field(factory=dict, init=False)
    _repositories: dict[str, dict[str, str]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._tar = TarFile(self._path)
        self._meter = self._reporter.meter("layers", None)

    async def repository(self, record: RepositoryRecord) -> None:
        """See :class:`.Export`."""
        self.done.repositories.setdefault(record.name.value, [])

    async def add(self, name: RepositoryName, tag: Tag | None, manifest: StoredManifest) -> None:
        """See :class:`.Export`."""
        named = f"{name}@{manifest.digest}" if tag is None else f"{name}:{tag}"
        try:
            config, chain = await self._image(name, manifest)
            self._reporter.say(named)
            for image, layer in chain:
                await self._layer(name, image, layer)
        except (RequestInvalid, BlobUnknown, ManifestUnknown, NameUnknown) as error:
            # Of what was deleted in this moment the blobs go, too.
            await self._stores.registry.metadata.manifests.get(name, manifest.digest)
            if isinstance(error, BlobLost):
                self.done.lose(name, manifest.digest if tag is None else tag, error)
            else:
                self.done.left_out.append(f"{named} is nothing that docker loads: {error}")
            return
        self._name(name, tag, config, [image for image, _ in chain])
        if tag is not None:
            self.done.repositories[name.value].append(tag.value)
        self.done.manifests += 1

    async def _image(
        self, name: RepositoryName, stored: StoredManifest
    ) -> tuple[bytes, Sequence[tuple[DerivedImage, Descriptor | None]]]:
        registry = self._stores.registry
        found = await self._stores.views.for_platform(name, stored)
        if found.media_type not in MANIFEST_TYPES:
            raise RequestInvalid(f"it has the type {found.media_type}")
        manifest: Manifest = await registry.read_manifest(found.content, found.media_type, found.digest.algorithm)
        digest = next(each.descriptor.digest for each in manifest.references if each.role is Role.CONFIG)
        config = await registry.read_blob(name, digest, _MAX_CONFIG)
        chain = await registry.in_thread(derived_chain, manifest, config)
        for _, layer in chain:
            if layer is not None:
                await require_bytes(self._stores, await registry.find_blob(name, layer.digest))
        return config, chain

    async def _layer(self, name: RepositoryName, image: DerivedImage, layer: Descriptor | None) -> None:
        if image.image_id in self._written:
            return
        registry = self._stores.registry
        reader = None
        if layer is not None:
            reader = await registry.open_blob(await registry.find_blob(name, layer.digest))
        writer = await registry.in_thread(self._begin, image)
        try:
            if layer is None or reader is None:
                await registry.in_thread(writer.write, [EMPTY_LAYER])
            else:
                self.done.bytes += await copy(
                    self._stores, reader, layer.digest, lambda data: writer.write([data]), self._meter
                )
            facts = await registry.in_thread(writer.finish)
        except CompressionInvalid as error:
            raise CommandFailed(f"{name}: layer {layer and layer.digest} can not be uncompressed: {error}") from None
        if layer is not None and facts.diff_id != image.diff_id:
            raise CommandFailed(f"{name}: layer {layer.digest} is not the one that the config of the image names")
        self._written.add(image.image_id)
        self.done.blobs += 1

    def _begin(self, image: DerivedImage) -> LayerWriter:
        folder = str(image.image_id)
        self._tar.folder(f"{folder}/")
        self._tar.add(f"{folder}/VERSION", VERSION)
        self._tar.add(f"{folder}/json", image.json)
        return LayerWriter(self._tar.file, f"{folder}/layer.tar")

    def _name(self, name: RepositoryName, tag: Tag | None, config: bytes, images: Sequence[DerivedImage]) -> None:
        # The id of the topmost image is the digest of the config.
        file = f"{images[-1].image_id}.json"
        if file not in self._entries:
            self._tar.add(file, config)
            layers = [f"{image.image_id}/layer.tar" for image in images if image.diff_id is not None]
            self._entries[file] = {"Config": file, "RepoTags": [], "Layers": layers}
        if tag is not None:
            self._entries[file]["RepoTags"].append(short_name(name, tag, self._host))
            repository = short_name(name, tag, self._host).rpartition(":")[0]
            self._repositories.setdefault(repository, {})[tag.value] = str(images[-1].image_id)

    async def publish(self) -> None:
        """See :class:`.Export`."""
        if not self._entries:
            raise CommandFailed("there is no image to export: " + ("; ".join(self.done.left_out) or "no tags"))
        await self._stores.registry.in_thread(self._publish)

    def _publish(self) -> None:
        self._tar.add("manifest.json", compact(list(self._entries.values())))
        self._tar.add("repositories", compact(self._repositories))
        self._tar.publish()

    async def discard(self) -> None:
        """See :class:`.Export`."""
        await self._stores.registry.in_thread(self._tar.discard)
