"""
Collection of what nobody needs, while the registry serves.

The metadata decides, item by item, in the transactions that remove rows (:class:`.ICollection`); this is the order of
things around them: who collects, how much at a time, and that objects go after their rows. A crash between the two
leaves objects that the metadata remembers; the next round removes them.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dockreg.errors import RegistryError
from dockreg.interfaces import IBlobStore
from dockreg.interfaces_collection import ICollection
from dockreg.model.blobs import StoredBlob
from dockreg.model.collection import (
    NOTHING_WAITS,
    Backlog,
    CollectionPolicy,
    Finding,
    Item,
    Kind,
    Outcome,
    Page,
    Queued,
    Sweep,
    Verdict,
)

log = Logger()

#: How often, in intervals, the process that collects says so; another one takes over when it has not.
_HOLD_INTERVALS = 6
_LEAST_HOLD_SECONDS = 3.0
#: Rows that one step of reconciliation looks at.
_SWEEP_ROWS = 500
_OBJECTS = 50
_FIRST = Item(Kind.BLOB, -1, "")


@frozen
class CollectorLimits:
    """``batch`` items in a transaction, ``tick`` in a round, which comes every ``interval_seconds``."""

    interval_seconds: float = 10.0
    batch: int = 50
    tick: int = 2000


@define(eq=False)
class CollectionFigures:
    """What was done since the process began, and what waits. Times in seconds."""

    removed: Counter[Kind] = field(factory=Counter)
    objects: int = 0
    bytes: int = 0
    orphans: int = 0
    failures: int = 0
    last_run: float = 0.0
    paused_until: float = 0.0
    backlog: Backlog = field(default=NOTHING_WAITS)
    sweeping: bool = False


@define(eq=False)
class Collector:
    """
    Collects in one process.

    :param holder: what this process is called among those that could.
    """

    collection: ICollection
    blobs: IBlobStore
    clock: IReactorTime
    policy: CollectionPolicy
    holder: str
    limits: CollectorLimits = CollectorLimits()
    figures: CollectionFigures = field(factory=CollectionFigures)

    async def tick(self) -> None:
        """
        One round of the daemon, unless another process does that: a bounded number of items, and a step of
        reconciliation if there is one.
        """
        hold = max(_HOLD_INTERVALS * self.limits.interval_seconds, _LEAST_HOLD_SECONDS)
        now, lease = self.clock.seconds(), self.policy.lease_seconds
        try:
            resume_at = await self.collection.lead(self.holder, now, hold, max(lease / 4, 2 * hold), lease)
            if resume_at is None:
                self.figures.backlog = NOTHING_WAITS
                return
            self._tell_pause(resume_at, now)
            if resume_at <= now:
                await self._round()
            self.figures.backlog = await self.collection.backlog(now)
            self.figures.last_run = now
        except RegistryError:
            self.figures.failures += 1
            raise

    async def _round(self) -> None:
        looked_at = 0
        while looked_at < self.limits.tick:
            verdicts = await self._review(None)
            looked_at += len(verdicts)
            if len(verdicts) < self.limits.batch:
                break
        await self._remove_objects()
        state = await self.collection.sweep_state(self.policy)
        self.figures.sweeping = bool(state.phase)
        if state.phase:
            await self.sweep_once(state)

    def _tell_pause(self, resume_at: float, now: float) -> None:
        if now < resume_at != self.figures.paused_until:
            log.warn(
                "nothing is collected for {seconds:.0f} seconds: the clock was set, or nobody has collected for long",
                seconds=resume_at - now,
            )
        self.figures.paused_until = resume_at if resume_at > now else 0.0

    # All that there is to do

    async def collect(self, *, grace: bool = True) -> AsyncIterator[Verdict]:
        """
        Review all that is due now, and what becomes due by that, whoever else collects.

        :param grace: False: what has lost its last reference just now, too. Leases count in any case.
        """
        if not grace:
            after = _FIRST
            while waiting := await self.collection.queued(after, self.limits.batch):
                for verdict in await self._review(after):
                    yield verdict
                after = waiting[-1].item
        while verdicts := await self._review(None):
            for verdict in verdicts:
                yield verdict
        await self._remove_objects()

    async def plan(self, *, grace: bool = True) -> AsyncIterator[Verdict]:
        """What :meth:`collect` would come to now. Nothing is changed."""
        now = self.clock.seconds()
        going: set[Item] = set()
        kept: dict[Item, Finding] = {}
        after: Item | None = None
        while page := await self.collection.queued(after, _SWEEP_ROWS):
            after = page[-1].item
            due = [each for each in page if not grace or 0 < each.due_at <= now or self.policy.grace_seconds == 0]
            for finding in await self.collection.examine(due, self.policy, now):
                async for gone in self._going(finding, going, kept, now):
                    yield gone
        for finding in kept.values():
            outcome = Outcome.KEPT if finding.until is None else Outcome.LATER
            yield Verdict(finding.item, outcome, finding.name, finding.reason or "it is in use")

    async def _going(
        self, first: Finding, going: set[Item], kept: dict[Item, Finding], now: float
    ) -> AsyncIterator[Verdict]:
        """What goes with an item, if it goes: what that frees may be held by others that go, too."""
        worklist = [first]
        while worklist:
            finding = worklist.pop()
            if finding.item in going:
                continue
            if finding.reason is not None or not going.issuperset(finding.holders):
                kept[finding.item] = finding
                continue
            going.add(finding.item)
            kept.pop(finding.item, None)
            yield Verdict(finding.item, Outcome.REMOVED, finding.name, "", finding.size)
            # What is freed has no time of its own to wait for.
            freed = [Queued(item, float("-inf"), 0.0) for item in finding.frees if item not in going]
            worklist += await self.collection.examine(freed, self.policy, now)

    # Reconciliation

    async def sweep_once(self, state: Sweep) -> Sweep:
        """One step of reconciliation; returns how far it is now."""
        if state.phase == "objects":
            page: Page = await self.blobs.stored(state.after, _SWEEP_ROWS)
            await self._remove_orphans(page)
            reached = Sweep("") if page.after is None else Sweep(state.phase, page.after)
            await self.collection.advance_sweep(reached)
            return reached
        reached, found = await self.collection.sweep(state, _SWEEP_ROWS)
        if found:
            log.info("reconciliation has found {count} items among {phase}", count=found, phase=state.phase)
        return reached

    async def sweep_all(self, progress: Callable[[Sweep], object] = lambda _: None) -> None:
        """Begin reconciliation, and do all of it."""
        await self.collection.begin_sweep()
        state = await self.collection.sweep_state(self.policy)
        while state.phase:
            progress(state)
            state = await self.sweep_once(state)

    # Steps

    async def _review(self, after: Item | None) -> Sequence[Verdict]:
        now = self.clock.seconds()
        verdicts = await self.collection.review(self.policy, now, self.limits.batch, after)
        for verdict in verdicts:
            if verdict.outcome is Outcome.REMOVED:
                self.figures.removed[verdict.item.kind] += 1
                log.debug("collected {kind} {name}", kind=verdict.item.kind.value, name=verdict.name)
        return verdicts

    async def _remove_objects(self) -> None:
        """Remove the objects whose rows are gone; one that can not be removed is tried again in the next round."""
        after: StoredBlob | None = None
        while found := await self.collection.removed_objects(after, _OBJECTS):
            after = found[-1]
            removed = [blob for blob in found if await self._remove_object(blob)]
            await self.collection.forget_objects(removed)
            self.figures.objects += len(removed)
            self.figures.bytes += sum(blob.size for blob in removed)

    async def _remove_object(self, blob: StoredBlob) -> bool:
        try:
            await self.blobs.delete(blob)
        except RegistryError as error:
            self.figures.failures += 1
            log.warn("blob {digest} could not be removed: {problem}", digest=blob.digest, problem=str(error))
            return False
        return True

    async def _remove_orphans(self, page: Page) -> None:
        for blob in await self.collection.orphans(list(page.objects)):
            log.warn("removed an object that nothing names: {digest}", digest=blob.digest, bytes=blob.size)
            await self.blobs.delete(blob)
            self.figures.orphans += 1
            self.figures.bytes += blob.size
