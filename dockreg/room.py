"""
What blobs leave free on the disk.

Metadata needs little room, and without it nothing can be pushed, tagged or deleted. So blobs stop before the disk is
full, and what is announced to be larger than the room is refused before it is sent.
"""

from collections.abc import Awaitable, Callable
from math import nan

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dockreg.errors import StorageFull
from dockreg.interfaces import IBlobStore

log = Logger()

#: How long what the store said is used, less what was written since, where there is more room than others could take
#: meanwhile; and where there is less.
_KEPT_SECONDS = 1.0
_KEPT_SHORTLY_SECONDS = 0.05
_MUCH_BYTES = 8 * 2**30
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@define(eq=False)
class Room:
    """
    The room of a blob store for uploads.

    :param reserve: bytes that stay free; with 0 nothing is refused before the disk is full.
    :param free_for_rows: tells how many bytes are free where metadata is, if that is a disk that can be full.
    """

    _blobs: IBlobStore
    _clock: IReactorTime
    _reserve: int
    _free_for_rows: Callable[[], Awaitable[int]] | None = None
    #: What rows may take beside the reserve, None when nobody can tell.
    _left_for_rows: int | None = field(default=None, init=False)
    #: What uploads may take, None when the store can not tell; and when that was asked.
    _left: int | None = field(default=None, init=False)
    _asked_at: float | None = field(default=None, init=False)
    _is_short: bool = field(default=False, init=False)
    #: Bytes that are free, the reserve included, when that was asked the last time.
    free: float = field(default=nan, init=False)

    async def require(self, length: int = 1) -> None:
        """
        See that so many bytes that were announced fit.

        :raises StorageFull: they do not.
        """
        if self._reserve:
            await self._look(0.0, length)
            self._judge(length)

    async def take(self, length: int) -> None:
        """
        Use room for so many bytes that have come.

        :raises StorageFull: there is none.
        """
        if not self._reserve:
            return
        await self._look(_KEPT_SHORTLY_SECONDS, length)
        if self._left is None or self._left < length or self._is_short:
            self._judge(length)
        if self._left is not None:
            self._left -= length

    def is_plenty(self, length: int) -> bool:
        """Whether there is room for so many bytes, as far as is known."""
        return not self._reserve or self._left is None or self._left >= length

    def has_much(self) -> bool:
        """Whether :meth:`require` would find room for a byte without asking the store."""
        if not self._reserve:
            return True
        age = nan if self._asked_at is None else self._clock.seconds() - self._asked_at
        return 0 <= age < _KEPT_SECONDS and (self._left is None or self._left > _MUCH_BYTES + 1)

    def has_rows(self) -> bool:
        """Whether bytes may be kept in the metadata, as far as is known: its disk may be another one than that of blobs."""
        return self._left_for_rows is None or self._left_for_rows > 0

    def give_back(self, length: int) -> None:
        """So many of the bytes that room was taken for have not come."""
        if self._reserve and self._left is not None:
            self._left += length

    async def _look(self, kept_seconds: float, length: int) -> None:
        """Ask the store, unless it was asked so shortly before."""
        now = self._clock.seconds()
        if self._asked_at is not None:
            is_much = self._left is None or self._left - length > _MUCH_BYTES
            if 0 <= now - self._asked_at < (_KEPT_SECONDS if is_much else kept_seconds):
                return
        self._asked_at = now
        await self.look()

    async def look(self) -> None:
        """Ask the store."""
        free = await self._blobs.free()
        self.free = nan if free is None else free
        self._left = None if free is None else free - self._reserve
        if self._free_for_rows is not None:
            had_rows, left = self.has_rows(), await self._free_for_rows() - self._reserve
            self._left_for_rows = left
            # Where both are on one disk, all is refused.
            if self._reserve and had_rows and left <= 0 and (self._left is None or self._left > 0):
                log.warn(
                    "small blobs are kept with the others, and not in the database: less is free on its disk than the"
                    " {reserve} of blobs.reserve_bytes; make room there",
                    reserve=self._reserve,
                )

    def _judge(self, length: int) -> None:
        if self._left is None or self._left >= length:
            self._is_short = False
            return
        left = max(0, self._left)
        if not self._is_short:
            # Once, and not for each of the clients that try again and again.
            self._is_short = True
            log.warn(
                "uploads are refused: {left} bytes are left for blobs, beside the {reserve} that blobs.reserve_bytes keeps"
                " for metadata; make room, or lower blobs.reserve_bytes",
                left=left,
                reserve=self._reserve,
            )
        raise StorageFull(
            f"the registry has no room for {in_words(length)} more: {in_words(left)} are left for blobs, beside the "
            f"{in_words(self._reserve)} that it keeps free for metadata (blobs.reserve_bytes). Push again when its operator "
            "has made room; what it has can be pulled"
        )


def in_words(size: int) -> str:
    """A number of bytes for people, rounded down."""
    unit = 0
    while size >= 10 * 1024 and unit < len(_UNITS) - 1:
        size, unit = size // 1024, unit + 1
    return f"{size} {_UNITS[unit]}"
