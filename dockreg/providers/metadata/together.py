"""One transaction for several changes, each of which can fail by itself."""

from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy import Connection, exc
from twisted.python.failure import Failure

from dockreg.providers.metadata.batches import More, Outcomes, Wanted
from dockreg.providers.metadata.failures import translated
from dockreg.providers.metadata.kept import is_busy


class NotTogether(Exception):
    """The database failed at one of several changes; none was made."""


class Attempt(Protocol):
    """One transaction, which is committed when what is done in it returns."""

    #: Whether it was to be committed: when that fails, nobody knows whether it was.
    committing: bool

    def run(self, job: Callable[[Connection], Outcomes]) -> Outcomes:
        """Begin, do the job, and commit."""

    def may_be_repeated(self, problem: exc.DBAPIError) -> bool:
        """Whether nothing was changed, and another attempt may do better."""


class Together:
    """
    Makes changes in one transaction.

    :param batch: those that are there already; ``more`` adds to them once nobody else writes.
    :param durable: see :class:`.Wanted`; it holds for all of them.
    """

    def __init__(self, attempt: Attempt, batch: list[Wanted], more: More, durable: bool) -> None:
        self._attempt = attempt
        self._batch = batch
        self._more = more
        self._durable = durable

    def run(self) -> Outcomes:
        """
        What became of each.

        :raises NotTogether: see there.
        """
        attempt, batch = self._attempt, self._batch
        try:
            return attempt.run(self._make)
        except exc.DBAPIError as problem:
            is_final = len(batch) == 1 and not attempt.may_be_repeated(problem)
            if is_final or attempt.committing or is_busy(problem):
                # Whether it took place is not known, so nothing is tried again; or it has waited to begin, and each by itself
                # would wait as long again.
                raise translated(problem) from problem
            raise NotTogether from None
        except exc.TimeoutError:
            raise NotTogether from None

    def _make(self, connection: Connection) -> Outcomes:
        batch = self._batch
        self._more(batch, self._durable)
        if len(batch) == 1:
            return [batch[0].change(connection)]
        return [self._in_savepoint(connection, each.change) for each in batch]

    def _in_savepoint(self, connection: Connection, change: Callable[[Connection], Any]) -> Any:
        savepoint = connection.begin_nested()
        try:
            result = change(connection)
        except exc.DBAPIError:
            # SQLite may have rolled back all of it.
            raise
        except Exception:  # noqa: BLE001 - it is told to who wanted this change
            savepoint.rollback()
            return Failure()
        savepoint.commit()
        return result
