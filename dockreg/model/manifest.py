"""
Manifests: the exact bytes, and what they refer to.

The rules of reading one are those of the OCI Image specification ("Image Manifest", "Image Index"), docker's "Image
Manifest V2 Schema 2", and the answer to CVE-2021-41190: a document that one client takes for an image and another one
for an index, or whose type is said twice in different words, is refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from attrs import Factory, field, frozen

from dockreg.errors import ManifestInvalid
from dockreg.model.descriptors import (
    Descriptor,
    folded,
    parse_descriptor,
    parse_media_type,
    require_spelling,
)
from dockreg.model.digest import Digest
from dockreg.model.documents import parse_object
from dockreg.model.mediatypes import (
    ALL_MANIFEST_TYPES,
    FOREIGN_LAYERS,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_ARTIFACT,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1_LAYER,
    SCHEMA1_TYPES,
    SCHEMA2_CONFIG,
    SCHEMA2_LAYER,
    SCHEMA2_LAYER_GZIP,
    SCHEMA2_LIST,
    SCHEMA2_MANIFEST,
)
from dockreg.model.platforms import Platform, parse_platform
from dockreg.model.schema1 import parse_schema1

__all__ = [
    "INDEX_TYPES",
    "MANIFEST_TYPES",
    "OCI_CONFIG",
    "OCI_INDEX",
    "OCI_MANIFEST",
    "SCHEMA1_TYPES",
    "SCHEMA2_CONFIG",
    "SCHEMA2_LAYER",
    "SCHEMA2_LAYER_GZIP",
    "SCHEMA2_LIST",
    "SCHEMA2_MANIFEST",
    "BlobReference",
    "Child",
    "Descriptor",
    "Manifest",
    "Platform",
    "Role",
    "parse_manifest",
]

#: What one manifest may list; images have up to some hundred layers, artifacts of many files some thousand.
MAX_LISTED = 10_000
#: Content types that say no more than that it is a manifest; engines before 1.10 sent none at all.
_NEUTRAL = frozenset({"", "application/json"})
#: And one that proxies put in their place, for they sent no other type.
_NEUTRAL_SCHEMA1 = _NEUTRAL | {"text/plain"}
_FOLDED = folded(
    frozenset(
        {"schemaVersion", "mediaType", "config", "layers", "manifests", "blobs", "fsLayers", "history", "signatures"}
        | {"subject", "artifactType", "annotations", "name", "tag", "architecture"}
    )
)
#: For each type what makes it another one.
_FOREIGN_MEMBERS = {
    **dict.fromkeys(MANIFEST_TYPES, ("manifests", "fsLayers")),
    **dict.fromkeys(INDEX_TYPES, ("config", "layers", "fsLayers")),
    OCI_ARTIFACT: ("config", "layers", "manifests", "fsLayers"),
}


class Role(Enum):
    """What a blob is for the manifest that refers to it."""

    CONFIG = "config"
    LAYER = "layer"


@frozen
class BlobReference:
    """
    A manifest's reference to a blob; the same blob may be referred to more than once.

    ``required`` is False when the registry need not have it: a layer that may not be given away, or that says where
    else it is. Layers of schema1 have a ``descriptor`` of size 0, for their size is not known.
    """

    role: Role
    descriptor: Descriptor
    required: bool = True


@frozen
class Child:
    """An entry of an index. ``annotations`` and ``artifact_type`` are what the index says of it."""

    descriptor: Descriptor
    platform: Platform | None = None
    artifact_type: str | None = None
    annotations: Mapping[str, str] = Factory(dict)

    @property
    def is_manifest(self) -> bool:
        """Whether it is a manifest rather than a blob: BuildKit wrote its cache as an index of layers."""
        return self.descriptor.media_type in ALL_MANIFEST_TYPES


@frozen
class Manifest:
    """
    A manifest as it is served, byte for byte.

    ``references`` are the config and the layers, ``children`` the entries of an index, both in the order of the
    document. ``artifact_type`` is what lists of referrers say: for an image without a type of its own that of its
    config (OCI Distribution specification, "Listing Referrers"). ``digest`` is that of the bytes, but for schema1, where
    it is that of the payload that was signed.
    """

    media_type: str
    content: bytes = field(repr=False)
    digest: Digest
    references: Sequence[BlobReference]
    children: Sequence[Child] = ()
    subject: Descriptor | None = None
    artifact_type: str | None = None
    annotations: Mapping[str, str] = Factory(dict)


def parse_manifest(content: bytes, content_type: str | None, algorithm: str = "sha256") -> Manifest:
    """
    The manifest that a client sends.

    :param content_type: the Content-Type that came with it, if any.
    :param algorithm: that of the digest under which it is stored.
    :raises ManifestInvalid: it can not be stored; the reason says what to change.
    """
    members = parse_object(content, ManifestInvalid)
    require_spelling(members, _FOLDED)
    claimed = (content_type or "").partition(";")[0].strip().lower()
    declared = members.get("mediaType") or ""
    if not isinstance(declared, str):
        raise ManifestInvalid("its member mediaType is not a string")
    if claimed not in _NEUTRAL and declared and claimed != declared and not _both_schema1(claimed, declared):
        raise ManifestInvalid(f"the Content-Type {claimed[:128]!r} contradicts its mediaType {declared[:128]!r}")
    version = members.get("schemaVersion")
    if type(version) is int and version == 1:
        return _schema1(content, claimed, declared, algorithm)
    media_type = (claimed if claimed not in _NEUTRAL else "") or declared or _type_by_shape(members)
    _require_shape(members, media_type)
    return _built(members, media_type, content, Digest.of(algorithm, content))


def _both_schema1(claimed: str, declared: str) -> bool:
    return (claimed in SCHEMA1_TYPES or claimed in _NEUTRAL_SCHEMA1) and declared in SCHEMA1_TYPES


def _schema1(content: bytes, claimed: str, declared: str, algorithm: str) -> Manifest:
    for told in (claimed, declared):
        if told not in SCHEMA1_TYPES and told not in _NEUTRAL_SCHEMA1:
            raise ManifestInvalid(f"its schemaVersion is 1, which contradicts its type {told[:128]!r}")
    parsed = parse_schema1(content, algorithm)
    references = [BlobReference(Role.LAYER, Descriptor(SCHEMA1_LAYER, digest, 0)) for digest in parsed.fs_layers]
    return Manifest(parsed.media_type, content, parsed.digest, references)


def _type_by_shape(members: Mapping[str, Any]) -> str:
    """Only documents of OCI may leave their type out."""
    if members.get("manifests") is not None:
        return OCI_INDEX
    if members.get("config") is not None or members.get("layers") is not None:
        return OCI_MANIFEST
    raise ManifestInvalid("it has no mediaType, and none of the members config, layers and manifests that would tell")


def _require_shape(members: Mapping[str, Any], media_type: str) -> None:
    if media_type in SCHEMA1_TYPES:
        raise ManifestInvalid(f"its type is {media_type!r}, but its schemaVersion is not the number 1")
    foreign = _FOREIGN_MEMBERS.get(media_type)
    if foreign is None:
        known = ", ".join(sorted(ALL_MANIFEST_TYPES))
        raise ManifestInvalid(f"its type {media_type[:128]!r} is not known here; these are: {known}")
    for name in foreign:
        if members.get(name) is not None:
            raise ManifestInvalid(f"its type is {media_type}, which has no member {name!r}")
    version = members.get("schemaVersion")
    # The artifact manifest was specified without one.
    if media_type != OCI_ARTIFACT and (type(version) is not int or version != 2):
        raise ManifestInvalid("its schemaVersion is not the number 2")


def _built(members: Mapping[str, Any], media_type: str, content: bytes, digest: Digest) -> Manifest:
    references: Sequence[BlobReference] = ()
    children: Sequence[Child] = ()
    if media_type in MANIFEST_TYPES:
        config = _descriptor(members.get("config"), "config")
        references = [BlobReference(Role.CONFIG, config), *_layers(members, "layers")]
    elif media_type == OCI_ARTIFACT:
        references = [*_layers(members, "blobs")] if "blobs" in members else ()
    else:
        children = [*_children(members)]
    if media_type in (SCHEMA2_MANIFEST, SCHEMA2_LIST):
        # Docker's own have neither subject nor artifactType.
        artifact_type, subject = None, None
    else:
        told = members.get("artifactType")
        artifact_type = None if told in (None, "") else parse_media_type(told, "artifactType")
        named = members.get("subject")
        subject = None if named is None else _descriptor(named, "subject")
    if artifact_type is None and media_type in MANIFEST_TYPES:
        artifact_type = references[0].descriptor.media_type
    annotations = _texts(members.get("annotations"))
    return Manifest(media_type, content, digest, references, children, subject, artifact_type, annotations)


def _layers(members: Mapping[str, Any], name: str) -> Iterator[BlobReference]:
    for position, value in enumerate(_listed(members, name)):
        descriptor = _descriptor(value, name, position)
        elsewhere = descriptor.media_type in FOREIGN_LAYERS or (isinstance(value.get("urls"), list) and value["urls"])
        yield BlobReference(Role.LAYER, descriptor, not elsewhere)


def _children(members: Mapping[str, Any]) -> Iterator[Child]:
    for position, value in enumerate(_listed(members, "manifests")):
        descriptor = _descriptor(value, "manifests", position)
        told = value.get("artifactType")
        artifact_type = told if isinstance(told, str) and told and _is_text(told) else None
        yield Child(descriptor, parse_platform(value.get("platform")), artifact_type, _texts(value.get("annotations")))


def _listed(members: Mapping[str, Any], name: str) -> Sequence[Any]:
    if name not in members:
        raise ManifestInvalid(f"it has no member {name!r}; write an empty list if there are none")
    listed = members[name]
    # The encoder of Go writes null for a list that was never filled.
    if not isinstance(listed, list | None):
        raise ManifestInvalid(f"its member {name!r} is not a list")
    if listed and len(listed) > MAX_LISTED:
        raise ManifestInvalid(f"its member {name!r} has more than {MAX_LISTED:,} entries")
    return listed or ()


def _descriptor(value: object, name: str, position: int | None = None) -> Descriptor:
    try:
        return parse_descriptor(value)
    except ManifestInvalid as invalid:
        where = name if position is None else f"{name}[{position}]"
        raise ManifestInvalid(f"{where}: {invalid.reason}") from None


def _texts(value: object) -> Mapping[str, str]:
    """Annotations, as far as they are texts; half of a surrogate pair makes none."""
    if not isinstance(value, dict):
        return {}
    return {name: text for name, text in value.items() if isinstance(text, str) and _is_text(name + text)}


def _is_text(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
