"""Manifests: the exact bytes, and what they refer to."""

from collections.abc import Sequence
from enum import Enum

from attrs import frozen

from dockreg.model.digest import Digest

SCHEMA2_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
SCHEMA2_CONFIG = "application/vnd.docker.container.image.v1+json"
SCHEMA2_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
SCHEMA2_LAYER = "application/vnd.docker.image.rootfs.diff.tar"


@frozen
class Descriptor:
    """Media type, digest and size (in bytes) of content (OCI Image specification, "Descriptors")."""

    media_type: str
    digest: Digest
    size: int


class Role(Enum):
    """What a blob is for the manifest that refers to it."""

    CONFIG = "config"
    LAYER = "layer"


@frozen
class BlobReference:
    """A manifest's reference to a blob; the same blob may be referred to more than once."""

    role: Role
    descriptor: Descriptor


@frozen
class Manifest:
    """A manifest as it is served, byte for byte."""

    media_type: str
    content: bytes
    digest: Digest
    references: Sequence[BlobReference]
