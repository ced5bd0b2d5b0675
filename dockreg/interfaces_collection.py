"""What providers promise of leases and of collection. :mod:`dockreg.interfaces` says what holds for every method."""

from collections.abc import Sequence

from zope.interface import Interface

from dockreg.model.blobs import StoredBlob
from dockreg.model.collection import Backlog, CollectionPolicy, Finding, Item, LeaseWanted, Queued, Sweep, Verdict


class ILeaseStore(Interface):
    """Until when things must not be collected although nothing refers to them."""

    async def leased_until(wanted: LeaseWanted) -> float | None:
        """When the lease of something ends; None when it is not there."""

    async def lease(wanted: Sequence[LeaseWanted], leased_until: float) -> Sequence[bool]:
        """
        Extend leases to ``leased_until``, all in one transaction; no lease gets shorter.

        :return: for each whether it is there. Where it is, nothing collects it before ``leased_until``.
        """


class ICollection(Interface):
    """
    What may be garbage, and its removal.

    Every method of the other stores that ends a use of something puts that into the queue, in its own transaction. An
    item leaves the queue in the transaction that removes it, or that has found why it stays.
    """

    async def lead(
        holder: str, now: float, hold_seconds: float, gap_seconds: float, pause_seconds: float
    ) -> float | None:
        """
        Become, or stay, the one process that collects by itself; to be asked again within ``hold_seconds``.

        When the clock has moved by more than ``gap_seconds`` since anybody was here, or backwards, it may be wrong, or
        have been: then nothing is to be removed for ``pause_seconds``.

        :return: when removal may begin, which may be past; None when another process leads.
        """

    async def review(policy: CollectionPolicy, now: float, limit: int, after: Item | None = None) -> Sequence[Verdict]:
        """
        Look at ``limit`` items at most that are due, and remove what nothing keeps: one transaction.

        What was not looked at before begins its grace time. What somebody is changing in this moment is put off.

        :param after: None: what is due, oldest first. An item: those behind it in the order of items, whether they are due
            or not, as if their grace time were over; none of them twice.
        """

    async def examine(items: Sequence[Queued], policy: CollectionPolicy, now: float) -> Sequence[Finding]:
        """What :meth:`review` would find, with all holders; what is not there is left out. Nothing is changed."""

    async def queued(after: Item | None, limit: int) -> Sequence[Queued]:
        """At most ``limit`` items behind ``after``, in the order of items."""

    async def removed_objects(after: StoredBlob | None, limit: int) -> Sequence[StoredBlob]:
        """At most ``limit`` objects behind ``after`` whose rows are gone; they are to be removed from the blob store."""

    async def forget_objects(blobs: Sequence[StoredBlob]) -> None:
        """They have been removed from the blob store."""

    async def orphans(blobs: Sequence[StoredBlob]) -> Sequence[StoredBlob]:
        """Those that no row names, whatever was under way when this was asked."""

    async def backlog(now: float) -> Backlog:
        """What waits."""

    # Reconciliation: what should have been queued and was not, by a mistake or before there was a queue

    async def sweep_state(policy: CollectionPolicy) -> Sweep:
        """How far reconciliation is. It begins again by itself when the rules about untagged manifests are others."""

    async def begin_sweep() -> None:
        """Begin it, or begin again."""

    async def sweep(state: Sweep, limit: int) -> tuple[Sweep, int]:
        """
        Look at the next ``limit`` rows, and queue those that nothing refers to. The phase ``objects`` is not the
        metadata's: for it, :meth:`advance_sweep` tells how far the caller has come.

        :param state: how far it is. When another process has moved it on, nothing is queued, and it stays where that is.
        :return: how far it is now, and how many were queued.
        """

    async def advance_sweep(state: Sweep) -> None:
        """Note how far it is."""
