"""
Retention: what goes by the rules, decided and carried out.

Decisions are made on what a repository held at one moment. Each is carried out in a transaction of its own, which looks
again: what was pushed, moved or pulled meanwhile stays.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence

import attrs
from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dockreg.errors import NameUnknown
from dockreg.interfaces_people import IAuditLog
from dockreg.interfaces_retention import IRetentionStore
from dockreg.model.audit import AuditEvent, Result
from dockreg.model.expiry import decide, freed, with_parts
from dockreg.model.names import RepositoryName
from dockreg.model.retention import (
    Decision,
    Kind,
    ManifestState,
    RepositoryContents,
    RetentionRule,
    SeenTime,
    TagState,
    rule_for,
)

log = Logger()

_NAMES = 200
#: Who removes by rules; no account can be called so.
RETENTION = "retention rules"


@frozen
class Verdict:
    """
    What becomes of a repository. ``rule`` is None where no rule is about it: everything stays.

    ``bytes`` is the size of the blobs that nothing else needs than what goes.
    """

    name: RepositoryName
    rule: RetentionRule | None
    decisions: Sequence[Decision] = ()
    bytes: int = 0
    contents: RepositoryContents = field(default=RepositoryContents(), repr=False)

    @property
    def going(self) -> Sequence[Decision]:
        """What goes."""
        return [each for each in self.decisions if each.goes]


@frozen
class Outcome:
    """What was done about a decision: ``removed`` is False where somebody has pushed, moved or pulled it meanwhile."""

    decision: Decision
    removed: bool


@define(eq=False)
class Retention:
    """
    The rules of one registry.

    :param interval_seconds: between two runs. :param most_per_run: what one run removes at most.
    :param told: is told of what was removed by which rule.
    """

    _store: IRetentionStore
    _clock: IReactorTime
    rules: Sequence[RetentionRule]
    interval_seconds: float = 3600.0
    most_per_run: int = 1000
    told: Callable[[Verdict, Decision], None] | None = None
    #: Since this process was started.
    removed_tags: int = field(default=0, init=False)
    removed_manifests: int = field(default=0, init=False)
    spared: int = field(default=0, init=False)
    #: When the last run of this process came to its end, 0 for never.
    last_run: float = field(default=0.0, init=False)

    async def judge(self, names: Sequence[RepositoryName] = ()) -> AsyncIterator[Verdict]:
        """
        What would become of these repositories, or of all. Nothing is changed.

        :raises NameUnknown: there is no such repository.
        """
        time = await self._store.look_at_clock(self._clock.seconds())
        for name in names:
            yield await self._verdict(name, time)
        async for name in self._all("" if not names else None):
            try:
                yield await self._verdict(name, time)
            except NameUnknown:
                continue  # It was deleted in this very moment.

    async def apply(self, verdict: Verdict) -> AsyncIterator[Outcome]:
        """Carry out what was decided."""
        for decision in verdict.going:
            yield Outcome(decision, await self._remove(verdict, decision))

    async def run(self) -> None:
        """One run, unless another process has begun one. It removes no more than it may, and the next one goes on there."""
        claimed = await self._store.begin_run(self._clock.seconds(), self.interval_seconds)
        if claimed is None:
            return
        time, after = claimed
        left = self.most_per_run
        async for name in self._all(after):
            try:
                verdict = await self._verdict(name, time)
            except NameUnknown:
                continue
            for decision in verdict.going[:left]:
                left -= await self._remove(verdict, decision)
            if left <= 0:
                # The rest of this repository is for the next run.
                await self._store.end_run(after)
                break
            after = name.value
        else:
            await self._store.end_run("")
        self.last_run = self._clock.seconds()

    async def _all(self, after: str | None) -> AsyncIterator[RepositoryName]:
        while after is not None:
            names = await self._store.names(after, _NAMES)
            for name in names:
                yield name
            after = names[-1].value if len(names) == _NAMES else None

    async def _verdict(self, name: RepositoryName, time: SeenTime) -> Verdict:
        rule = rule_for(self.rules, name)
        if rule is None:
            return Verdict(name, None)
        contents = await self._store.contents(name)
        decisions = decide(rule, contents, time)
        needed = [_needed_by(contents, each) for each in decisions]
        needers = Counter(digest for each in needed for digest in each)
        staying = {
            digest for each, digests in zip(decisions, needed, strict=True) if not each.goes for digest in digests
        }
        going = set(needers) - staying
        uses = await self._store.blob_uses(name, going) if going else {}
        counted = [
            attrs.evolve(each, bytes=freed(uses, {digest for digest in digests & going if needers[digest] == 1}))
            for each, digests in zip(decisions, needed, strict=True)
        ]
        return Verdict(name, rule, counted, freed(uses, going), contents)

    async def _remove(self, verdict: Verdict, decision: Decision) -> bool:
        name, state = verdict.name, decision.state
        if isinstance(state, TagState):
            removed = await self._store.remove_tag(name, state, self._clock.seconds())
            self.removed_tags += removed
        else:
            assert isinstance(state, ManifestState)
            removed = await self._store.remove_manifest(name, state, verdict.contents.latest, self._clock.seconds())
            self.removed_manifests += removed
        if not removed:
            self.spared += 1
            return False
        log.info(
            "{kind} {reference} of {repository} is removed by a retention rule: {why}",
            kind=decision.kind.value,
            reference=decision.reference,
            repository=name,
            why=decision.why,
        )
        if self.told is not None:
            self.told(verdict, decision)
        return True


def _needed_by(contents: RepositoryContents, decision: Decision) -> frozenset[str]:
    """The manifests that are there for the sake of what was decided about."""
    state = decision.state
    if decision.for_others:
        return frozenset()
    if isinstance(state, ManifestState) and decision.goes:
        return frozenset({state.digest})  # There is a decision for each of its parts.
    return with_parts(contents, state.digests if isinstance(state, TagState) else (state.digest,))


def audited(audit: IAuditLog) -> Callable[[Verdict, Decision], None]:
    """Writes down what was removed."""

    def tell(verdict: Verdict, decision: Decision) -> None:
        audit.record(event_of(verdict, decision))

    return tell


def event_of(verdict: Verdict, decision: Decision) -> AuditEvent:
    """What the audit log says of something that was removed."""
    number = 0 if verdict.rule is None else verdict.rule.number
    kind = "tag" if decision.kind is Kind.TAG else "digest"
    target = {"repository": str(verdict.name), kind: decision.reference}
    return AuditEvent(RETENTION, f"rule {number}", f"{decision.kind.value}.expire", target, Result.ALLOWED)
