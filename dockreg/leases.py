"""
Leases: what a caller who may push was told exists stays, even if nothing refers to it yet.

An answer is given when the database has at least half of a lease for what it is about, durably. A lease is written only
when less than that is left, together with those that others wait for, so that reads stay reads.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from dockreg.interfaces import IMetadataStore
from dockreg.model.collection import Kind, LeaseWanted
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName
from dockreg.model.v1 import V1Image

#: Leases in one transaction.
_BATCH = 50
_MOST_KNOWN = 50_000


@define(eq=False)
class Leases:
    """The leases of one registry; ``seconds`` is how long one is."""

    metadata: IMetadataStore
    clock: IReactorTime
    seconds: float
    # Until when something has a lease at least, as this process has read or written it; the oldest go.
    _known: OrderedDict[LeaseWanted, float] = field(factory=OrderedDict, init=False)
    _waiting: dict[LeaseWanted, list["Deferred[bool]"]] = field(factory=dict, init=False)
    _writing: bool = field(default=False, init=False)

    def end(self) -> float:
        """When a lease ends that begins now."""
        return self.clock.seconds() + self.seconds

    async def keep_blob(self, name: RepositoryName, digest: Digest) -> bool:
        """Have a blob of a repository stay; whether it is there."""
        return await self._keep(LeaseWanted(Kind.BLOB, name, str(digest)))

    async def keep_manifest(self, name: RepositoryName, digest: Digest) -> bool:
        """Have a manifest of a repository stay, with all that it refers to; whether it is there."""
        return await self._keep(LeaseWanted(Kind.MANIFEST, name, str(digest)))

    async def keep_image(self, image: V1Image) -> bool:
        """Have a v1 image stay, with its layer and its ancestors; whether it is there."""
        return await self._keep(LeaseWanted(Kind.IMAGE, None, str(image.key)))

    async def _keep(self, wanted: LeaseWanted) -> bool:
        # One that was deleted and pushed again has none of its own; a blob has its lease whoever has removed it.
        if wanted.kind is not Kind.MANIFEST and self._is_enough(self._known.get(wanted)):
            return True
        until = await self.metadata.leases.leased_until(wanted)
        if until is None:
            return False
        if self._is_enough(until):
            self._remember(wanted, until)
            return True
        return await self._renewed(wanted)

    def _is_enough(self, until: float | None) -> bool:
        # One that is longer than it can be was given by a clock that was wrong; nobody knows what becomes of it.
        return until is not None and self.seconds / 2 <= until - self.clock.seconds() <= self.seconds

    def _renewed(self, wanted: LeaseWanted) -> "Deferred[bool]":
        done: Deferred[bool] = Deferred()
        self._waiting.setdefault(wanted, []).append(done)
        if not self._writing:
            self._writing = True
            # Who waits may go away; the lease is written all the same.
            _ = Deferred.fromCoroutine(self._write_all())
        return done

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                batch = [*self._waiting][:_BATCH]
                waiting = {wanted: self._waiting.pop(wanted) for wanted in batch}
                until = self.end()
                try:
                    found = await self.metadata.leases.lease(batch, until)
                except Exception:  # noqa: BLE001 - it goes to everybody who waits for it
                    _tell(waiting, [Failure()] * len(batch))
                    continue
                for wanted, there in zip(batch, found, strict=True):
                    if there:
                        self._remember(wanted, until)
                _tell(waiting, found)
        finally:
            self._writing = False

    def _remember(self, wanted: LeaseWanted, until: float) -> None:
        self._known[wanted] = until
        self._known.move_to_end(wanted)
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)


def _tell(waiting: Mapping[LeaseWanted, Sequence["Deferred[bool]"]], outcomes: Sequence[bool | Failure]) -> None:
    for each, outcome in zip(waiting.values(), outcomes, strict=True):
        for done in each:
            if not done.called:
                done.callback(outcome)  # a Failure starts the errbacks
