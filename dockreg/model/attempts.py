"""Failed attempts that are counted together, and how long the next one has to wait."""

from attrs import evolve, frozen


@frozen
class Limit:
    """
    How many failures are free, and what comes after; seconds.

    The wait after the last free failure is ``first_seconds``. Each further one doubles it, up to ``most_seconds``.
    Without failures for ``forget_seconds`` there were none.
    """

    free: int
    first_seconds: float
    most_seconds: float
    forget_seconds: float

    def delay(self, failures: int) -> float:
        """How long it is from one attempt to the next after so many failures."""
        if failures < self.free:
            return 0.0
        return min(self.first_seconds * 2.0 ** min(failures - self.free, 64), self.most_seconds)


@frozen
class Count:
    """
    Failures, the time of the last one, and when the next attempt may be made.

    ``trusted_at`` is when somebody logged in last, where it is known; it is noted now and then only.
    """

    failures: int = 0
    last: float = 0.0
    until: float = 0.0
    trusted_at: float | None = None

    def current(self, limit: Limit, now: float) -> "Count":
        """The same without failures that are to be forgotten."""
        # The clocks of several machines differ. One that was set back makes nobody wait longer than the limit.
        return self if -limit.most_seconds <= now - self.last < limit.forget_seconds else self.cleared()

    def wait(self, limit: Limit, now: float) -> float:
        """How long it is until the next attempt."""
        return max(0.0, min(self.current(limit, now).until - now, limit.most_seconds))

    def is_exhausted(self, limit: Limit, now: float) -> bool:
        """Whether no attempt is free any more."""
        return self.current(limit, now).failures >= limit.free

    def begun(self, limit: Limit, now: float) -> "Count":
        """After an attempt was let through: of several at once, one is enough when none is free."""
        count = self.current(limit, now)
        return evolve(count, until=now + limit.delay(count.failures)) if count.failures >= limit.free else count

    def failed(self, limit: Limit, now: float) -> "Count":
        """After an attempt failed."""
        count = self.current(limit, now)
        failures = count.failures + 1
        until = max(count.until, now + limit.delay(failures)) if failures >= limit.free else count.until
        return evolve(count, failures=failures, last=now, until=until)

    def cleared(self) -> "Count":
        """Without failures."""
        return Count(trusted_at=self.trusted_at)
