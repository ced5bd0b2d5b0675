"""
What is in an archive of images: manifests, the bytes that they refer to, and names.

OCI layouts (OCI Image specification, "Image Layout") are taken as they are, those in archives of docker save since 25
included. Of older archives with ``manifest.json`` the manifests are made: schema2, of the configs and layers as they lie.
All of it is read and checked before anything is imported, but for the bytes of blobs, which are checked as they pass.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from dockreg.cli.members import Members, Stored
from dockreg.cli.moving.layouts import blob_name
from dockreg.cli.moving.names import SIDECAR, VIEW_OF, Name, parse_reference, parse_repository, told_name
from dockreg.cli.savedarchive import compact
from dockreg.errors import ManifestInvalid, RegistryError
from dockreg.model.compression import detect
from dockreg.model.descriptors import Descriptor, parse_descriptor
from dockreg.model.digest import Digest, Hasher
from dockreg.model.documents import parse_object
from dockreg.model.layers import LayerInspector
from dockreg.model.manifest import Manifest, parse_manifest
from dockreg.model.mediatypes import (
    ALL_MANIFEST_TYPES,
    SCHEMA1_TYPES,
    SCHEMA2_CONFIG,
    SCHEMA2_LAYER,
    SCHEMA2_LAYER_GZIP,
    SCHEMA2_LAYER_ZSTD,
    SCHEMA2_MANIFEST,
)
from dockreg.model.names import RepositoryName

_PIECE = 1024 * 1024
_LAYER_TYPES = {"none": SCHEMA2_LAYER, "gzip": SCHEMA2_LAYER_GZIP, "zstd": SCHEMA2_LAYER_ZSTD}
_MOST_LISTED = 100_000


@frozen
class ArchivedManifest:
    """A manifest: where its bytes lie, or the bytes of one that was made; what it refers to, blobs and manifests."""

    digest: Digest
    media_type: str
    content: Stored | bytes = field(repr=False)
    blobs: Sequence[Digest]
    children: Sequence[Digest]
    subject: Digest | None = None


@frozen
class Entry:
    """What the archive names, by which name."""

    name: Name
    digest: Digest


@frozen
class Facts:
    """What the archive of a registry tells of a repository."""

    owner: str | None
    private: bool


@define
class Contents:
    """Of an archive. Every manifest comes after those that it refers to."""

    manifests: dict[Digest, ArchivedManifest] = field(factory=dict)
    blobs: dict[Digest, Stored] = field(factory=dict)
    entries: list[Entry] = field(factory=list)
    facts: dict[RepositoryName, Facts] = field(factory=dict)
    left_out: list[str] = field(factory=list)


def is_layout(members: Members) -> bool:
    """Whether there is an OCI layout in the archive."""
    return "index.json" in members


def read_contents(members: Members, max_manifest: int) -> Contents:
    """
    Read what is in an archive that is an OCI layout or has ``manifest.json``. Takes a while where layers are compressed.

    :param max_manifest: in bytes.
    :raises ArchiveInvalid: it is damaged; the sentence says where.
    """
    reader = _Reader(members, max_manifest)
    if is_layout(members):
        reader.layout()
    else:
        reader.saved()
    if not reader.contents.entries:
        raise members.invalid("holds no image")
    return reader.contents


class _Reader:
    def __init__(self, members: Members, max_manifest: int) -> None:
        self._members = members
        self._max_manifest = max_manifest
        self.contents = Contents()

    # OCI layouts

    def layout(self) -> None:
        """Read ``index.json`` and all that it leads to."""
        index = self._members.document("index.json", dict)
        listed = index.get("manifests")
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            raise self._members.invalid("has a broken index.json")
        if len(listed) > _MOST_LISTED:
            raise self._members.invalid(f"has more than {_MOST_LISTED:,} entries in index.json")
        names = dict(self._saved_names())
        for each in listed:
            self._entry(each, names)
        if SIDECAR in self._members:
            self.contents.facts = dict(self._facts(self._members.document(SIDECAR, dict)))

    def _entry(self, entry: Mapping[str, Any], names: Mapping[Digest, Sequence[Name]]) -> None:
        annotations = entry.get("annotations")
        descriptor = self._pushed(annotations) or self._descriptor(entry)
        if descriptor.media_type in SCHEMA1_TYPES or descriptor.media_type not in ALL_MANIFEST_TYPES:
            self.contents.left_out.append(f"{descriptor.digest} has the type {descriptor.media_type}")
            return
        manifest = self._tree(descriptor)
        try:
            name = told_name(annotations)
        except RegistryError as error:
            raise self._members.invalid(f"has a name in index.json that can not be: {error}") from None
        # What docker 25 and later name in manifest.json only.
        known = [] if name != Name() else [each for blob in manifest.blobs for each in names.get(blob, ())]
        self.contents.entries += [Entry(each, descriptor.digest) for each in known or [name]]

    def _pushed(self, annotations: object) -> Descriptor | None:
        """What the entry is another form of, if that is in the archive."""
        told = annotations.get(VIEW_OF) if isinstance(annotations, dict) else None
        if not isinstance(told, str):
            return None
        try:
            digest = Digest.parse(told)
        except RegistryError:
            raise self._members.invalid(f"has a broken {VIEW_OF} in index.json") from None
        stored = self._members.find(blob_name(digest))
        return None if stored is None else Descriptor(SCHEMA2_MANIFEST, digest, stored.size)

    def _descriptor(self, value: object) -> Descriptor:
        # The type may be left out of what other members tell.
        if isinstance(value, dict) and "mediaType" not in value:
            value = {**value, "mediaType": self._told_type(value)}
        try:
            return parse_descriptor(value)
        except ManifestInvalid as error:
            raise self._members.invalid(f"has a broken descriptor in index.json: {error.reason}") from None

    def _told_type(self, value: Mapping[str, Any]) -> str:
        try:
            name = blob_name(Digest.parse(str(value.get("digest"))))
        except RegistryError:
            return ""
        content = self._members.content(name, self._max_manifest)
        try:
            return parse_manifest(content, None).media_type
        except ManifestInvalid as error:
            raise self._members.invalid(f"has a broken {name}: {error.reason}") from None

    def _tree(self, top: Descriptor) -> ArchivedManifest:
        """Note a manifest after all that it refers to."""
        pending: list[tuple[Descriptor, Manifest | None]] = [(top, None)]
        while pending:
            descriptor, manifest = pending.pop()
            if descriptor.digest in self.contents.manifests:
                continue
            if manifest is not None:
                self._keep(descriptor, manifest)
                continue
            manifest = self._manifest(descriptor)
            pending.append((descriptor, manifest))
            pending += [
                (child.descriptor, None)
                for child in manifest.children
                if child.is_manifest and blob_name(child.descriptor.digest) in self._members
            ]
        return self.contents.manifests[top.digest]

    def _manifest(self, descriptor: Descriptor) -> Manifest:
        name = blob_name(descriptor.digest)
        content = self._members.content(name, self._max_manifest)
        if Digest.of(descriptor.digest.algorithm, content) != descriptor.digest or len(content) != descriptor.size:
            raise self._members.invalid(f"has other content in {name} than its name says")
        try:
            return parse_manifest(content, descriptor.media_type, descriptor.digest.algorithm)
        except ManifestInvalid as error:
            raise self._members.invalid(f"has a broken manifest in {name}: {error.reason}") from None

    def _keep(self, descriptor: Descriptor, manifest: Manifest) -> None:
        digest, children, blobs = descriptor.digest, [], []
        for child in manifest.children:
            if not child.is_manifest:
                blobs.append(self._blob(child.descriptor, digest))
            elif child.descriptor.digest in self.contents.manifests:
                children.append(child.descriptor.digest)
            else:
                self.contents.left_out.append(f"{child.descriptor.digest}, listed by index {digest}, is not in it")
        blobs += [
            self._blob(each.descriptor, digest)
            for each in manifest.references
            if each.required or blob_name(each.descriptor.digest) in self._members
        ]
        stored = self._members.member(blob_name(digest))
        subject = None if manifest.subject is None else manifest.subject.digest
        self.contents.manifests[digest] = ArchivedManifest(
            digest, manifest.media_type, stored, blobs, children, subject
        )

    def _blob(self, descriptor: Descriptor, manifest: Digest) -> Digest:
        stored = self._members.find(blob_name(descriptor.digest))
        if stored is None:
            raise self._members.invalid(f"misses {blob_name(descriptor.digest)}, which manifest {manifest} refers to")
        if stored.size != descriptor.size:
            raise self._members.invalid(
                f"has {stored.size} bytes in {stored.name}, which should have {descriptor.size}"
            )
        self.contents.blobs[descriptor.digest] = stored
        return descriptor.digest

    def _facts(self, document: Mapping[str, Any]) -> Iterator[tuple[RepositoryName, Facts]]:
        listed = document.get("repositories")
        for each in listed if isinstance(listed, list) else ():
            name = each.get("name") if isinstance(each, dict) else None
            owner = each.get("owner") if isinstance(each, dict) else None
            if not isinstance(name, str) or not isinstance(owner, str | None):
                raise self._members.invalid(f"has a broken {SIDECAR}")
            # Whatever is not plainly public is private.
            yield parse_repository(name), Facts(owner, each.get("private") is not False)

    # manifest.json

    def saved(self) -> None:
        """Make manifests of the images in ``manifest.json``."""
        for entry in self._saved_entries():
            manifest = self._made(entry)
            self.contents.manifests.setdefault(manifest.digest, manifest)
            names = [*self._names(entry)] or [Name()]
            self.contents.entries += [Entry(name, manifest.digest) for name in names]

    def _saved_entries(self) -> Sequence[Mapping[str, Any]]:
        entries: Sequence[Mapping[str, Any]] = self._members.document("manifest.json", list)
        if not all(isinstance(each, dict) and isinstance(each.get("Layers") or [], list) for each in entries):
            raise self._members.invalid("has a broken manifest.json")
        return entries

    def _saved_names(self) -> Iterator[tuple[Digest, Sequence[Name]]]:
        """By the digest of the config; none where that is not in a layout."""
        for entry in self._saved_entries() if "manifest.json" in self._members else ():
            parts = str(entry.get("Config")).split("/")
            if len(parts) == 3 and parts[0] == "blobs":
                yield Digest(parts[1], parts[2]), [*self._names(entry)]

    def _names(self, entry: Mapping[str, Any]) -> Iterator[Name]:
        tags = entry.get("RepoTags")
        for each in tags if isinstance(tags, list) else ():
            try:
                yield parse_reference(str(each))
            except RegistryError as error:
                raise self._members.invalid(f"has a name in manifest.json that can not be: {error}") from None

    def _made(self, entry: Mapping[str, Any]) -> ArchivedManifest:
        name = entry.get("Config")
        content = self._members.content(name)
        rootfs = parse_object(content, lambda reason: self._members.invalid(f"has a broken {name}: {reason}")).get(
            "rootfs"
        )
        diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        layers = entry.get("Layers") or []
        if not isinstance(diff_ids, list) or len(diff_ids) != len(layers):
            raise self._members.invalid(f"lists {len(layers)} layers where the config of the image has another number")
        config = Descriptor(SCHEMA2_CONFIG, Digest.sha256(content), len(content))
        self.contents.blobs[config.digest] = self._members.member(name)
        described = [self._layer(layer, diff_id) for layer, diff_id in zip(layers, diff_ids, strict=True)]
        made = compact(
            {
                "schemaVersion": 2,
                "mediaType": SCHEMA2_MANIFEST,
                "config": _document(config),
                "layers": [_document(each) for each in described],
            }
        )
        blobs = [config.digest, *(each.digest for each in described)]
        return ArchivedManifest(Digest.sha256(made), SCHEMA2_MANIFEST, made, blobs, ())

    def _layer(self, name: object, told: object) -> Descriptor:
        stored = self._members.member(name)
        try:
            diff_id = Digest.parse(str(told))
        except RegistryError as error:
            raise self._members.invalid(f"has a broken config: {error}") from None
        compression = detect(self._members.read(stored, 0, 8)) if stored.size else "none"
        if compression not in _LAYER_TYPES:
            raise self._members.invalid(f"has {stored.name} compressed with {compression}, which images can not have")
        # What is not compressed is its own proof, when it is read.
        digest = diff_id if compression == "none" else self._inspected(stored, diff_id)
        self.contents.blobs[digest] = stored
        return Descriptor(_LAYER_TYPES[compression], digest, stored.size)

    def _inspected(self, stored: Stored, diff_id: Digest) -> Digest:
        hasher, inspector, position = Hasher(), LayerInspector(max_entries=0), 0
        while data := self._members.read(stored, position, _PIECE):
            position += len(data)
            hasher.update(data)
            inspector.update(data)
        if inspector.finish().diff_id != diff_id:
            raise self._members.invalid(f"has another layer in {stored.name} than the config of the image names")
        return hasher.digest


def _document(descriptor: Descriptor) -> Mapping[str, Any]:
    return {"mediaType": descriptor.media_type, "size": descriptor.size, "digest": str(descriptor.digest)}
