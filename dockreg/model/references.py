"""What refers to what, as an examination of it finds it."""

from collections.abc import Sequence
from enum import Enum

from attrs import frozen

from dockreg.model.names import RepositoryName
from dockreg.model.repositories import StoredManifest


class Fault(Enum):
    """What is wrong with a reference."""

    #: A manifest holds a blob that is not part of its repository.
    BLOB_NOT_LINKED = "blob-not-linked"
    #: A manifest does not hold a blob that its repository has, so that it could be collected.
    BLOB_NOT_HELD = "blob-not-held"
    #: The layer of a v1 image of a repository is not part of that.
    LAYER_NOT_LINKED = "layer-not-linked"
    #: The parent of a v1 image of a repository is not part of that.
    PARENT_NOT_LINKED = "parent-not-linked"
    #: A tag points to a manifest of another repository.
    TAG_ASTRAY = "tag-astray"


@frozen
class BrokenReference:
    """A reference that is not as it should be: what in which repository refers to what."""

    fault: Fault
    repository: RepositoryName
    holder: str
    target: str


@frozen
class KeptManifest:
    """A manifest, and what its rows say that it refers to: digests of blobs and of manifests."""

    key: int
    repository: RepositoryName
    manifest: StoredManifest
    references: frozenset[str]


@frozen
class ManifestPage:
    """Some manifests in the order of their keys, and the broken references of them."""

    manifests: Sequence[KeptManifest]
    broken: Sequence[BrokenReference]


@frozen
class ImagePage:
    """The broken references of some v1 images; ``after`` is the last of those, None when there were none."""

    broken: Sequence[BrokenReference]
    after: int | None
