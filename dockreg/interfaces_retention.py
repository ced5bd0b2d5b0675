"""
What is stored for retention rules: pulls, the time that was seen pass, and what repositories hold.

:mod:`dockreg.interfaces` says what holds for every method.
"""

from collections.abc import Collection, Mapping, Sequence

from zope.interface import Interface

from dockreg.model.names import RepositoryName
from dockreg.model.retention import BlobUse, ManifestState, Pull, RepositoryContents, SeenTime, TagState


class IRetentionStore(Interface):
    """When things were pulled, and what goes by the rules."""

    async def record_pulls(pulls: Collection[Pull]) -> None:
        """
        Note pulls; what is gone meanwhile is passed over. A pull of a v1 image is one of all tags that point to it.

        A failure of power may undo it, for as long as nothing else was written.
        """

    async def look_at_clock(now: float) -> SeenTime:
        """The time that was seen pass until now; nothing is changed."""

    async def begin_run(now: float, every: float) -> tuple[SeenTime, str] | None:
        """
        Note that the registry is there, and take the next run: the time that was seen pass, and the name behind which
        the last run stopped.

        When nobody did this for more than three times ``every`` seconds, the time since then was not seen. A clock that is
        behind that of the last time takes back what it had jumped.

        :return: None when another process began one less than half of ``every`` ago.
        """

    async def end_run(after: str) -> None:
        """Note behind which name a run stopped; empty when it came to the end."""

    async def names(after: str, limit: int) -> Sequence[RepositoryName]:
        """At most ``limit`` repositories with tags or manifests that come after the text ``after``, in ASCII order."""

    async def contents(name: RepositoryName) -> RepositoryContents:
        """What a repository holds at one moment. :raises NameUnknown: there is no such repository."""

    async def blob_uses(name: RepositoryName, digests: Collection[str]) -> Mapping[str, Sequence[BlobUse]]:
        """The blobs that these manifests of a repository hold; none when they are gone."""

    async def remove_tag(name: RepositoryName, seen: TagState, now: float) -> bool:
        """
        Remove a tag if it is still as it was seen: it was neither moved nor pushed nor pulled since.

        :return: whether it is gone by this.
        """

    async def remove_manifest(name: RepositoryName, seen: ManifestState, latest: int, now: float) -> bool:
        """
        Remove a manifest as :meth:`.IManifestStore.delete` does, if nobody needs it: it has no tag in any of its forms,
        was not pulled by its digest since it was seen, no manifest of the repository lists it, what it refers to is not
        there, no referrer of it has a tag or was pushed later than ``latest``, and nobody who may push was told lately that
        it is there: its lease is over.

        :return: whether it is gone by this.
        """
