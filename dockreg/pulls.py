"""Notes of pulls, for retention rules: kept in memory and written together, so that a pull stays a read."""

from collections import OrderedDict
from itertools import islice

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from dockreg.interfaces_retention import IRetentionStore
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.retention import Pull
from dockreg.model.v1 import ImageID

#: What was pulled less than so many seconds ago is not noted again: rules count days.
_AGAIN_SECONDS = 3600.0
_MOST_REMEMBERED = 50_000
#: In one transaction; others have to wait for its end.
_BATCH = 500

_Key = tuple[str, Tag | ImageID | str]


@define(eq=False)
class Pulls:
    """The pulls that this process has served and not written down yet."""

    _store: IRetentionStore
    _clock: IReactorTime
    _waiting: dict[_Key, Pull] = field(factory=dict, init=False)
    _noted: OrderedDict[_Key, float] = field(factory=OrderedDict, init=False)

    def note(self, name: RepositoryName, reference: Tag | ImageID | str) -> None:
        """Somebody pulled a tag, a v1 image, or a manifest by its digest."""
        now = self._clock.seconds()
        key = (name.value, reference)
        noted = self._noted.get(key)
        if noted is not None and 0 <= now - noted < _AGAIN_SECONDS:
            return
        self._noted[key] = now
        self._noted.move_to_end(key)
        if len(self._noted) > _MOST_REMEMBERED:
            self._noted.popitem(last=False)
        self._waiting[key] = Pull(name, reference, now)

    async def write_down(self) -> None:
        """Write what was noted; what can not be written now is kept for the next time."""
        while batch := dict(islice(self._waiting.items(), _BATCH)):
            for key in batch:
                del self._waiting[key]
            try:
                await self._store.record_pulls(list(batch.values()))
            except Exception:
                self._waiting = {**batch, **self._waiting}
                raise
