"""
What is stored of quotas of namespaces. :mod:`dockreg.interfaces` says what holds for every method.

Every method of the other stores that makes a blob part of a repository, or no longer part of one, counts it in the same
transaction while there are quotas. Where it would take up more than it may, that method raises
:class:`~dockreg.errors_quotas.QuotaExceeded`, and nothing is changed.
"""

from collections.abc import Sequence

from zope.interface import Attribute, Interface

from dockreg.model.quotas import Recounted, Usage


class IQuotaStore(Interface):
    """What namespaces take up, and how much they may. Without any quota nothing is counted."""

    refused: int = Attribute("How many changes this process has refused for lack of room.")

    async def is_counting() -> bool:
        """Whether blobs are counted now."""

    async def settle() -> bool:
        """
        Begin to count if there is a quota, or end it when there is none any more; whether blobs are counted now.

        To begin is to count all there is, while nobody pushes.
        """

    async def usage(namespace: str) -> Usage:
        """What a namespace takes up; nothing as long as nothing is counted."""

    async def list_usage() -> Sequence[Usage]:
        """Every namespace that takes up something or has a quota of its own, in the order of their names."""

    async def set_quota(namespace: str, quota: int | None) -> Usage:
        """
        Say how much a namespace may have: so many bytes, 0 for any amount, None for what others may have, too.

        What it has more than that stays.
        """

    async def recount(namespace: str | None) -> Sequence[Recounted]:
        """
        Count again what a namespace takes up, or all of them, and note it, while nobody pushes; what there was before,
        in the order of the names. Nothing is changed as long as nothing is counted.
        """
