"""What is known of a repository, its tags and its manifests."""

from collections.abc import Mapping
from enum import Enum

from attrs import field, frozen

from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.v1 import ImageID, TagClient


@frozen
class RepositoryRecord:
    """A repository. ``owner`` is the account that created it, None when that was anonymous."""

    name: RepositoryName
    owner: str | None
    private: bool
    description: str
    created_at: float


@frozen
class TagRecord:
    """
    Where a tag points.

    ``digest`` is its manifest, None when the image has no manifest view; ``image_id`` its v1 image, None when it has
    none.
    """

    tag: Tag
    digest: Digest | None
    image_id: ImageID | None
    client: TagClient


@frozen
class StoredManifest:
    """
    A manifest as a repository holds it.

    ``derived`` says that the registry made it, as another form of an image that was pushed through another protocol,
    ``imageless`` that it is known to have no form in v1.
    """

    media_type: str
    digest: Digest
    content: bytes = field(repr=False)
    derived: bool = False
    imageless: bool = False


@frozen
class Referrer:
    """A manifest that names another one as its subject, as lists of referrers show it (OCI Distribution, "Listing Referrers")."""

    media_type: str
    digest: Digest
    size: int
    artifact_type: str | None
    annotations: Mapping[str, str]


class Sparse(Enum):
    """What a manifest may name that its repository does not have; foreign layers and subjects it always may."""

    NONE = "none"
    INDEXES = "indexes"
    ALL = "all"
