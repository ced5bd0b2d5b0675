"""
Clocks that are set while the registry runs.

What ends by the clock, such as an upload session, must not end because somebody set it forward by a week: those who have
it would not know. So after a jump nothing ends for one full lease.
"""

from attrs import define, field
from twisted.logger import Logger

log = Logger()


@define(eq=False)
class Jumps:
    """
    Judges whether things may end by the clock now, for work that is done again and again.

    :param what: of what it is said that it does not end, in the log.
    :param gap_seconds: longer than between two times that this is asked; more is a jump.
    :param pause_seconds: one full lease.
    """

    _what: str
    _gap_seconds: float
    _pause_seconds: float
    _asked_at: float | None = field(default=None, init=False)
    _paused_until: float | None = field(default=None, init=False)

    def allow(self, now: float) -> bool:
        """Whether the clock can be believed; to be asked each time."""
        before, self._asked_at = self._asked_at, now
        if before is not None and not 0 <= now - before <= self._gap_seconds:
            log.warn(
                "the clock was set from {before} to {now}, or the process stood still: {what} does not end for {pause:.0f}"
                " seconds",
                before=before,
                now=now,
                what=self._what,
                pause=self._pause_seconds,
            )
            self._paused_until = now + self._pause_seconds
        if self._paused_until is not None and now >= self._paused_until:
            self._paused_until = None
        return self._paused_until is None
