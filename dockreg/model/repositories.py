"""What is known of a repository and its tags."""

from attrs import frozen

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
