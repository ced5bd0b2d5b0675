"""
docker-save archives: which images they hold, and where the bytes of their layers lie.

Three forms are read, and what a later form adds to an older one:

- the first (docker 0.6 to 1.9): ``repositories`` and a folder per v1 image with ``json`` and ``layer.tar``;
- ``manifest.json`` with configs and layers (docker 1.10 to 24, podman, skopeo);
- an OCI layout, with a ``manifest.json`` (docker since 25) or on its own.

Layers are read where they lie (:mod:`dockreg.cli.members`).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from dockreg.bridge.schema2_to_v1 import v1_images_from_config
from dockreg.cli.members import Members, Stored, open_members
from dockreg.errors import ImageJSONInvalid, RegistryError, RequestInvalid
from dockreg.model.digest import Digest
from dockreg.model.v1 import MAX_ANCESTRY, ImageID, ImageJSON

_REFERENCE_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
#: The platform that is taken of an image for several.
_PLATFORM = ("linux", "amd64")


@frozen
class ArchivedImage:
    """
    A v1 image of an archive.

    ``layer`` is None for an empty layer that the archive does not hold. ``diff_id``, where the archive says it, is what the
    uncompressed layer must hash to.
    """

    image_id: ImageID
    json: bytes = field(repr=False)
    layer: Stored | None
    diff_id: Digest | None


@frozen
class ArchivedChain:
    """An image to push with all below it, base first, and what the archive calls it (``name:tag``)."""

    references: Sequence[str]
    images: Sequence[ArchivedImage]


@define(eq=False)
class Archive:
    """An archive that was opened. Close it."""

    path: Path
    chains: Sequence[ArchivedChain]
    _members: Members

    def read(self, stored: Stored, position: int, limit: int) -> bytes:
        """See :meth:`.Members.read`."""
        return self._members.read(stored, position, limit)

    def close(self) -> None:
        """Release the file."""
        self._members.close()


def open_archive(path: Path) -> Archive:
    """
    Open and index a docker-save archive, plain or compressed, or a folder with the same files.

    :raises ArchiveInvalid: it is none, or misses something.
    """
    members = open_members(path)
    try:
        return Archive(path, chains_of(members), members)
    except BaseException:
        members.close()
        raise


def chains_of(members: Members) -> Sequence[ArchivedChain]:
    """
    Every image that the archive names, or, where it names none, every image that is no other's parent.

    :raises ArchiveInvalid: there is none, or something is missing or broken.
    """
    return _Chains(members).chains()


class _Chains:
    """The images that the members of an archive make up."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._invalid = members.invalid
        self._member = members.member
        self._content = members.content
        self._document = members.document

    def chains(self) -> Sequence[ArchivedChain]:
        """See :func:`chains_of`."""
        tagged = self._repositories()
        if tagged and all(f"{image_id}/json" in self._members for image_id in tagged):
            chains = [ArchivedChain(names, self._v1_chain(image_id)) for image_id, names in tagged.items()]
        elif "manifest.json" in self._members:
            chains = [self._listed_chain(entry) for entry in self._document("manifest.json", list)]
        elif "index.json" in self._members:
            chains = list(self._layout_chains(self._document("index.json", dict), ()))
        else:
            chains = [ArchivedChain((), self._v1_chain(image_id)) for image_id in self._tops()]
        if not chains:
            raise self._invalid("holds no image")
        return chains

    # The first form

    def _repositories(self) -> Mapping[str, Sequence[str]]:
        """Image ids with their names, in the order of the names."""
        if "repositories" not in self._members:
            return {}
        named: dict[str, list[str]] = {}
        for name, tags in sorted(self._document("repositories", dict).items()):
            for tag, image_id in sorted(tags.items()) if isinstance(tags, dict) else ():
                if not isinstance(image_id, str):
                    raise self._invalid("has a broken repositories file")
                named.setdefault(image_id, []).append(f"{name}:{tag}")
        return named

    def _tops(self) -> Sequence[str]:
        names = sorted(name.removesuffix("/json") for name in self._members if name.endswith("/json"))
        images = {name: self._image_json(name) for name in names if "/" not in name}
        parents = {str(image.parent) for image in images.values()}
        return [name for name in images if name not in parents]

    def _image_json(self, image_id: str) -> ImageJSON:
        try:
            image = ImageJSON.parse(self._content(f"{image_id}/json"))
        except ImageJSONInvalid as error:
            raise self._invalid(f"has a broken {image_id}/json: {error}") from None
        if image.image_id.value != image_id:
            raise self._invalid(f"has the json of image {image.image_id} in the folder {image_id}")
        return image

    def _v1_chain(self, image_id: str) -> Sequence[ArchivedImage]:
        images: list[ArchivedImage] = []
        wanted: str | None = image_id
        while wanted is not None:
            image = self._image_json(wanted)
            layer = self._member(f"{wanted}/layer.tar")
            images.append(ArchivedImage(image.image_id, image.content, layer, None))
            wanted = image.parent.value if image.parent is not None else None
            if len(images) > MAX_ANCESTRY:
                raise self._invalid(f"has more than {MAX_ANCESTRY} images below {image_id}, or a circle of them")
        return images[::-1]

    # manifest.json

    def _listed_chain(self, entry: Any) -> ArchivedChain:
        if not isinstance(entry, dict) or not isinstance(entry.get("Layers") or [], list):
            raise self._invalid("has a broken manifest.json")
        tags = entry.get("RepoTags")
        names = [name for name in tags if isinstance(name, str)] if isinstance(tags, list) else []
        layers = [self._member(name) for name in entry.get("Layers") or ()]
        return ArchivedChain(names, self._derived(self._content(entry.get("Config")), layers))

    def _derived(self, config: bytes, layers: Sequence[Stored]) -> Sequence[ArchivedImage]:
        try:
            derived = v1_images_from_config(config)
        except RequestInvalid as error:
            raise self._invalid(f"holds something else than container images: {error}") from None
        if sum(image.diff_id is not None for image in derived) != len(layers):
            raise self._invalid(f"lists {len(layers)} layers where the config of the image has another number")
        places: Iterator[Stored] = iter(layers)
        return [
            ArchivedImage(image.image_id, image.json, next(places) if image.diff_id else None, image.diff_id)
            for image in derived
        ]

    # OCI image layout

    def _layout_chains(self, index: Mapping[str, Any], names: Sequence[str]) -> Iterator[ArchivedChain]:
        manifests = index.get("manifests")
        if not isinstance(manifests, list) or not all(isinstance(each, dict) for each in manifests):
            raise self._invalid("has a broken index")
        for descriptor in manifests:
            document = self._document(self._blob_path(descriptor), dict)
            known = names or self._names_of(descriptor)
            if "manifests" in document:
                yield from self._layout_chains({"manifests": _one_platform(document)}, known)
            else:
                config = self._content(self._blob_path(document.get("config")))
                layers = [self._member(self._blob_path(layer)) for layer in document.get("layers") or ()]
                yield ArchivedChain(known, self._derived(config, layers))

    def _blob_path(self, descriptor: Any) -> str:
        try:
            digest = Digest.parse(descriptor["digest"])
        except (RegistryError, LookupError, TypeError, AttributeError):
            raise self._invalid("has a broken descriptor in its OCI layout") from None
        return f"blobs/{digest.algorithm}/{digest.encoded}"

    def _names_of(self, descriptor: Mapping[str, Any]) -> Sequence[str]:
        annotations = descriptor.get("annotations")
        values = [annotations.get(key) for key in _REFERENCE_NAMES] if isinstance(annotations, dict) else []
        return [value for value in values if isinstance(value, str) and ":" in value][:1]


def _one_platform(index: Mapping[str, Any]) -> Sequence[Any]:
    """The manifest for the default platform, else the first."""
    manifests = [each for each in index["manifests"] if isinstance(each, dict)]

    def is_default(descriptor: Mapping[str, Any]) -> bool:
        platform = descriptor.get("platform")
        return isinstance(platform, dict) and (platform.get("os"), platform.get("architecture")) == _PLATFORM

    return [each for each in manifests if is_default(each)][:1] or manifests[:1]
