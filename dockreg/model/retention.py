"""
What repositories keep: the rules, what a repository holds as far as they are concerned, and what is seen of time.

:mod:`dockreg.model.expiry` applies the former to the latter.
"""

from collections.abc import Sequence
from enum import Enum

from attrs import field, frozen

from dockreg.model.names import RepositoryName, Tag
from dockreg.model.patterns import RepositoryPattern, TagPattern
from dockreg.model.v1 import ImageID


@frozen
class RetentionRule:
    """
    What goes in some repositories, and what stays. Times in seconds; None says that nothing goes for this reason.

    A tag goes when ``keep_last`` or ``expire_unpulled_seconds`` is set and there is no reason to keep it: it matches none
    of ``keep``, is not one of the ``keep_last`` latest of the others, and was not pulled for ``expire_unpulled_seconds``.
    A manifest without tags goes after ``expire_untagged_seconds``.
    """

    number: int
    repositories: tuple[RepositoryPattern, ...]
    keep: tuple[TagPattern, ...] = ()
    keep_last: int | None = None
    expire_unpulled_seconds: float | None = None
    expire_untagged_seconds: float | None = None

    @property
    def limits_tags(self) -> bool:
        """Whether tags go at all."""
        return self.keep_last is not None or self.expire_unpulled_seconds is not None

    def covers(self, name: RepositoryName) -> bool:
        """Whether the rule is about the repository."""
        return any(pattern.matches(name) for pattern in self.repositories)


def rule_for(rules: Sequence[RetentionRule], name: RepositoryName) -> RetentionRule | None:
    """The first rule that is about a repository: it alone counts there."""
    return next((rule for rule in rules if rule.covers(name)), None)


@frozen
class Gap:
    """A time that the registry has not seen pass: nobody was there, or the clock jumped. Seconds since 1970."""

    began_at: float
    ended_at: float


@frozen
class SeenTime:
    """
    Ages in time that the registry has seen pass.

    While it was stopped nobody could pull, and a clock that is put forward makes nothing older; so neither counts.

    :param since: when it was begun to note pulls and lost tags: nothing is known to be older.
    """

    now: float
    since: float
    gaps: Sequence[Gap] = ()

    def age(self, moment: float) -> float:
        """How many seconds ago that was, at least; below 0 when it lies ahead."""
        first = max(moment, self.since)
        unseen = sum(max(0.0, min(gap.ended_at, self.now) - max(gap.began_at, first)) for gap in self.gaps)
        return self.now - first - unseen


@frozen
class TagState:
    """
    A tag as it was found. ``targets`` is what it points to, for its store; ``digests`` are the manifests among that.

    ``pulled_at`` is when it was last pulled, by its name or as one of its manifests; None when that was never noted.
    """

    tag: Tag
    digests: tuple[str, ...]
    updated_at: float
    pulled_at: float | None = None
    targets: tuple[int | None, ...] = ()


@frozen
class ManifestState:
    """
    A manifest as it was found.

    :param children: digests of the manifests that it lists. :param kin: digests of other forms of the same image, which
        go together with it.
    :param untagged_at: when it was last found that a tag left it. :param pulled_at: when it was last pulled by its digest.
    """

    digest: str
    created_at: float
    untagged_at: float | None = None
    pulled_at: float | None = None
    subject: str | None = None
    children: frozenset[str] = frozenset()
    kin: frozenset[str] = frozenset()

    @property
    def last_used(self) -> float:
        """The last moment of which it is known that somebody wanted it."""
        return max(self.created_at, self.untagged_at or self.created_at, self.pulled_at or self.created_at)


@frozen
class RepositoryContents:
    """What a repository holds. :param latest: what was pushed later than this is not in it; for its store."""

    tags: Sequence[TagState] = ()
    manifests: Sequence[ManifestState] = ()
    latest: int = 0


@frozen
class BlobUse:
    """A blob that a manifest holds once, its size in bytes, and how often manifests hold it, in all repositories."""

    digest: str
    size: int
    uses: int


class Kind(Enum):
    """What a :class:`Decision` is about."""

    TAG = "tag"
    MANIFEST = "manifest"


@frozen
class Decision:
    """
    What becomes of a tag, or of a manifest without tags, and why.

    ``bytes`` is what only it needs, of all that the registry keeps. ``for_others`` says that it stays for the sake of others.
    """

    kind: Kind
    reference: str
    goes: bool
    why: str
    state: TagState | ManifestState = field(repr=False)
    bytes: int = 0
    for_others: bool = False


@frozen
class Pull:
    """Somebody pulled a tag, a manifest by its digest (as text) or a v1 image of a repository."""

    repository: RepositoryName
    reference: Tag | ImageID | str
    at: float
