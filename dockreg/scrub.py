"""
The scrub: every blob is read again once in a while, slowly, so that damage is found before somebody needs the blob.

One process does it for all, in the order of digests. How far it is is in the database, so that a restart goes on from
there.
"""

from collections.abc import Callable

from attrs import define, evolve, field, frozen
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from dockreg.errors import StoreUnavailable
from dockreg.errors_blobs import BlobLost
from dockreg.interfaces import IBlobStore, IMetadataStore
from dockreg.model.blobs import StoredBlob
from dockreg.model.conditions import ScrubState
from dockreg.soundness import Soundness

log = Logger()

_PAGE = 50
#: A round takes so long at most, but for the blob that it is at.
_ROUND_SECONDS = 120.0
#: How far it is is noted so often; after a crash it goes on from there.
_NOTE_SECONDS = 30.0
#: Nobody else goes on before the process that does it has been silent for so long.
HOLD_SECONDS = 1800.0
#: How soon the end of the process is noticed.
_NAP_SECONDS = 0.5


@frozen
class ScrubLimits:
    """``bytes_per_second`` on average; ``every_seconds`` a blob is looked at again."""

    bytes_per_second: int = 4 * 2**20
    every_seconds: float = 30 * 86400.0


@define(eq=False)
class Scrub:
    """
    Looks at blobs, in one process of all that could.

    :param holder: what this process is called among those.
    :param stopping: whether the process is about to end.
    """

    _metadata: IMetadataStore
    _blobs: IBlobStore
    _soundness: Soundness
    _clock: IReactorTime
    _limits: ScrubLimits
    _holder: str
    _stopping: Callable[[], bool]
    #: Since the process began.
    blobs: int = field(default=0, init=False)
    bytes: int = field(default=0, init=False)
    lost: int = field(default=0, init=False)
    #: When all blobs had been looked at the last time, 0 when that has not been yet.
    finished_at: float = field(default=0.0, init=False)
    # How far it is, and when that was noted.
    _state: ScrubState = field(default=ScrubState("", None, 0.0), init=False)
    _noted_at: float = field(default=0.0, init=False)

    async def round(self) -> None:
        """Look at some blobs, if it is time to, and no other process does."""
        began = self._clock.seconds()
        # Asked before anything is written, so that what others remember of the database stays true.
        state = await self._metadata.conditions.scrub_state()
        self.finished_at = state.finished_at
        if state.begun_at is None and 0 <= began - state.finished_at < self._limits.every_seconds:
            return
        held = await self._metadata.conditions.hold_scrub(self._holder, began, HOLD_SECONDS)
        if held is None:
            return
        state = held if held.begun_at is not None else ScrubState("", began, held.finished_at)
        self._state, self._noted_at = state, began
        while not self._stopping():
            page = await self._metadata.conditions.list_objects(state.position, _PAGE)
            if not page:
                self.finished_at = self._clock.seconds()
                state = ScrubState("", None, self.finished_at)
                break
            for blob in page:
                if not await self._look_at(blob):
                    break
                self._state = state = evolve(state, position=str(blob.digest))
            if self._clock.seconds() - began > _ROUND_SECONDS:
                break
        await self._note(state)

    async def _note(self, state: ScrubState) -> None:
        # Who ends lets go, so that the next one need not wait.
        hold = 0.0 if self._stopping() else HOLD_SECONDS
        await self._metadata.conditions.note_scrub(self._holder, state, self._clock.seconds() + hold)

    async def _look_at(self, blob: StoredBlob) -> bool:
        """Look at one blob; False when the process ends."""
        try:
            await self._blobs.examine(blob, self._pass)
        except CancelledError:
            return False
        except BlobLost as problem:
            if await self._soundness.report(blob, problem.condition):
                self.lost += 1
        except StoreUnavailable as problem:
            # When it is not the whole store, one file must not keep the others from being looked at.
            await self._blobs.check()
            _tell_unread(blob, problem)
        else:
            if blob.lost is not None:
                await self._soundness.report(blob, None)
        self.blobs += 1
        return not self._stopping()

    async def _pass(self, size: int) -> None:
        """Wait as long as so many bytes may take."""
        self.bytes += size
        left = size / self._limits.bytes_per_second
        while left > 0:
            if self._stopping():
                raise CancelledError
            # A large blob takes longer than anybody else waits.
            if self._clock.seconds() - self._noted_at > _NOTE_SECONDS:
                self._noted_at = self._clock.seconds()
                await self._note(self._state)
            nap = min(left, _NAP_SECONDS)
            await deferLater(self._clock, nap)
            left -= nap


def _tell_unread(blob: StoredBlob, problem: StoreUnavailable) -> None:
    log.error("the scrub can not look at blob {digest}: {problem}", digest=blob.digest, problem=str(problem))
