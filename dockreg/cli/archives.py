"""
docker-save archives: which images they hold, and where the bytes of their layers lie.

Three forms are read, and what a later form adds to an older one:

- the first (docker 0.6 to 1.9): ``repositories`` and a folder per v1 image with ``json`` and ``layer.tar``;
- ``manifest.json`` with configs and layers (docker 1.10 to 24, podman, skopeo);
- an OCI layout, with a ``manifest.json`` (docker since 25) or on its own.

An archive is indexed once; layers are read where they lie. One that is compressed as a whole is first uncompressed to a
temporary file.
"""

import bz2
import gzip
import lzma
import os
import posixpath
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from attrs import define, field, frozen

from dockreg.bridge.schema2_to_v1 import v1_images_from_config
from dockreg.cli.failures import CommandFailed
from dockreg.errors import ImageJSONInvalid, RegistryError, RequestInvalid
from dockreg.model.digest import Digest
from dockreg.model.documents import parse_json
from dockreg.model.v1 import MAX_ANCESTRY, ImageID, ImageJSON

_OPENERS: Mapping[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_MAX_DOCUMENT = 16 * 1024 * 1024
_MAX_LINKS = 16
_COPY_PIECE = 1024 * 1024
_REFERENCE_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
#: The platform that is taken of an image for several.
_PLATFORM = ("linux", "amd64")


class ArchiveInvalid(CommandFailed):
    """The archive is none, or is damaged; the sentence says where."""


@frozen
class Stored:
    """Bytes in the archive file: from where, how many."""

    name: str
    offset: int
    size: int


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
    _file: IO[bytes]

    def read(self, stored: Stored, position: int, limit: int) -> bytes:
        """
        At most ``limit`` bytes of ``stored`` from ``position`` on; ``b""`` at its end. Any thread may call this.

        :raises ArchiveInvalid: the file became shorter.
        """
        wanted = min(limit, stored.size - position)
        data = os.pread(self._file.fileno(), wanted, stored.offset + position) if wanted > 0 else b""
        if wanted > 0 and not data:
            raise ArchiveInvalid(f"{self.path} ends in the middle of {stored.name}")
        return data

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def open_archive(path: Path) -> Archive:
    """
    Open and index a docker-save archive, plain or compressed.

    :raises ArchiveInvalid: it is none, or misses something.
    """
    try:
        file = _plain(path)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise ArchiveInvalid(f"{path} can not be read: {error}") from None
    try:
        return Archive(path, _Index(path, file).chains(), file)
    except BaseException:
        file.close()
        raise


def _plain(path: Path) -> IO[bytes]:
    file = path.open("rb")
    start = file.read(6)
    file.seek(0)
    opener = next((each for magic, each in _OPENERS.items() if start.startswith(magic)), None)
    if opener is None:
        return file
    # Layers are read in another order than they lie in, which a compressed file can not do.
    with file, opener(file, "rb") as unpacked:
        copy = tempfile.TemporaryFile()  # noqa: SIM115  # it outlives this function
        try:
            shutil.copyfileobj(unpacked, copy, _COPY_PIECE)
            copy.seek(0)
        except BaseException:
            copy.close()
            raise
    return copy


class _Index:
    """Names and places of an archive's members, and the images that they make up."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        # By name: where the bytes are, or for a link the name that it leads to. Of one name the last member counts.
        self._members: dict[str, Stored | str] = {}
        try:
            # The names of the members come from a stranger; nothing is ever unpacked.
            with tarfile.open(fileobj=file, mode="r:") as members:
                for member in members:
                    self._note(member)
        except (tarfile.TarError, OSError) as error:
            raise self._invalid(f"is no archive of docker save ({error})") from None
        end = os.fstat(file.fileno()).st_size
        if any(isinstance(each, Stored) and each.offset + each.size > end for each in self._members.values()):
            raise self._invalid("is cut short")

    def _note(self, member: tarfile.TarInfo) -> None:
        name = posixpath.normpath(member.name)
        if member.issym():
            self._members[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
        elif member.islnk():
            self._members[name] = posixpath.normpath(member.linkname)
        elif member.isreg() and not member.issparse():
            self._members[name] = Stored(name, member.offset_data, member.size)

    def _invalid(self, reason: str) -> ArchiveInvalid:
        return ArchiveInvalid(f"{self._path} {reason}")

    def chains(self) -> Sequence[ArchivedChain]:
        """Every image that the archive names, or, where it names none, every image that is no other's parent."""
        tagged = self._repositories()
        if tagged and all(f"{image_id}/json" in self for image_id in tagged):
            chains = [ArchivedChain(names, self._v1_chain(image_id)) for image_id, names in tagged.items()]
        elif "manifest.json" in self:
            chains = [self._listed_chain(entry) for entry in self._document("manifest.json", list)]
        elif "index.json" in self:
            chains = list(self._layout_chains(self._document("index.json", dict), ()))
        else:
            chains = [ArchivedChain((), self._v1_chain(image_id)) for image_id in self._tops()]
        if not chains:
            raise self._invalid("holds no image")
        return chains

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def _find(self, name: str) -> Stored | None:
        found = self._members.get(posixpath.normpath(name))
        for _ in range(_MAX_LINKS):
            if not isinstance(found, str):
                return found
            found = self._members.get(found)
        return None

    def _member(self, name: Any) -> Stored:
        stored = self._find(name) if isinstance(name, str) else None
        if stored is None:
            raise self._invalid(f"misses {name}")
        return stored

    def _content(self, name: Any) -> bytes:
        stored = self._member(name)
        if stored.size > _MAX_DOCUMENT:
            raise self._invalid(f"has {stored.size} bytes in {stored.name}, which should be a short document")
        return os.pread(self._file.fileno(), stored.size, stored.offset)

    def _document(self, name: Any, kind: type) -> Any:
        value = parse_json(self._content(name), lambda reason: self._invalid(f"has a broken {name}: {reason}"))
        if not isinstance(value, kind):
            raise self._invalid(f"has a broken {name}")
        return value

    # The first form

    def _repositories(self) -> Mapping[str, Sequence[str]]:
        """Image ids with their names, in the order of the names."""
        if "repositories" not in self:
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
