"""What collection looks at, and what it finds."""

from collections.abc import Collection, Sequence
from enum import Enum

from attrs import field, frozen

from dockreg.model.blobs import StoredBlob
from dockreg.model.names import RepositoryName
from dockreg.model.patterns import RepositoryPattern

#: What waits is not counted any further.
MOST_COUNTED = 100_000


class Kind(Enum):
    """What can be collected."""

    #: The row of a blob, and then its object.
    BLOB = "blob"
    #: That a blob is part of a repository.
    LINK = "link"
    #: A manifest without a tag.
    MANIFEST = "manifest"
    #: A v1 image.
    IMAGE = "image"
    #: That a v1 image is part of a repository.
    IMAGE_LINK = "image-link"
    #: What a deleted repository has kept.
    REPOSITORY = "repository"


@frozen(order=True)
class Item:
    """
    One thing that may be garbage.

    ``repository`` is the key of a repository, 0 for what is in none; ``subject`` a digest, or the key of a manifest or
    image as text.
    """

    kind: Kind = field(order=lambda kind: kind.value)
    repository: int
    subject: str


@frozen
class Queued:
    """
    An item that waits for its review.

    ``since`` is when the grace time of the item began, None while nobody has looked at it; ``due_at`` when it ends.
    """

    item: Item
    since: float | None
    due_at: float


class Outcome(Enum):
    """What a review came to."""

    #: Nothing kept it, and it is gone.
    REMOVED = "removed"
    #: It is in use. Whatever ends that use queues it again.
    KEPT = "kept"
    #: Something keeps it for a time.
    LATER = "later"
    #: There is no such thing any more.
    ABSENT = "absent"


@frozen
class Finding:
    """
    What is to be said about an item.

    ``name`` is what people call it. ``reason`` is why it stays, whatever becomes of others; ``until`` when that ends, if
    it ends by itself. ``holders`` are items that keep it as long as they are there, ``frees`` those that may go when it
    goes. ``size`` counts the stored bytes that go with it.
    """

    item: Item
    name: str
    reason: str | None = None
    until: float | None = None
    holders: Sequence[Item] = ()
    frees: Sequence[Item] = ()
    size: int = 0


@frozen
class Verdict:
    """What a review did. ``reason`` tells why an item stays, and is empty for one that is gone."""

    item: Item
    outcome: Outcome
    name: str
    reason: str = ""
    size: int = 0


@frozen
class UntaggedRule:
    """What becomes of untagged manifests in some repositories: they go after so many seconds, or (None) stay."""

    repositories: tuple[RepositoryPattern, ...]
    expire_seconds: float | None


@frozen
class CollectionPolicy:
    """
    How long things stay that nothing refers to, in seconds.

    ``grace_seconds`` from when an item was queued; ``lease_seconds`` is the longest lease; ``repush_seconds`` is for what
    deleted repositories held and for v1 images that no repository holds. The first of ``untagged`` that matches a
    repository counts; where none does, untagged manifests and images stay.
    """

    grace_seconds: float = 3600.0
    lease_seconds: float = 86400.0
    repush_seconds: float = 604800.0
    untagged: tuple[UntaggedRule, ...] = ()

    def expiry(self, name: RepositoryName) -> float | None:
        """How long untagged manifests of a repository stay; None for ever."""
        for rule in self.untagged:
            if any(pattern.matches(name) for pattern in rule.repositories):
                return rule.expire_seconds
        return None

    @property
    def fingerprint(self) -> str:
        """The rules about untagged manifests as text: other rules, other text."""
        return " ".join(
            f"{','.join(pattern.value for pattern in rule.repositories)}={rule.expire_seconds}"
            for rule in self.untagged
        )


@frozen
class Backlog:
    """
    What waits: ``due`` items whose time has come, the oldest of them since ``oldest_seconds``; ``waiting`` others.

    ``objects`` are stored objects whose rows are gone. Each number is exact up to :data:`MOST_COUNTED`, and then that.
    """

    due: int
    waiting: int
    objects: int
    oldest_seconds: float


NOTHING_WAITS = Backlog(0, 0, 0, 0.0)


@frozen
class LeaseWanted:
    """
    What somebody is told exists, so that it must be there for the lease time: a blob, a manifest or an image.

    ``subject`` as in :class:`Item`, but for manifests their digest. ``repository`` is the name of the repository that
    has it, None for an image by its key.
    """

    kind: Kind
    repository: RepositoryName | None
    subject: str


@frozen
class Sweep:
    """How far reconciliation is: its phase and the last key that was looked at in it; ``phase`` is empty when it is over."""

    phase: str
    after: str = ""


@frozen
class Page:
    """A part of the objects of a blob store; ``after`` is where to go on, None at the end."""

    objects: Collection[StoredBlob]
    after: str | None
