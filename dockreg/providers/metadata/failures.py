"""What a database says when it fails, in the words of the registry."""

from types import TracebackType

from sqlalchemy import exc
from twisted.logger import Logger

from dockreg.errors import RegistryError, StorageFull, StoreUnavailable

_SQLITE_ERROR = 1
_SQLITE_FULL = 13
#: PostgreSQL.
_DISK_FULL = "53100"

log = Logger()


class _Reported:
    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _kind: type[BaseException] | None, problem: BaseException | None, _where: TracebackType | None
    ) -> None:
        if isinstance(problem, StorageFull | StoreUnavailable):
            report(problem)


_REPORTED = _Reported()


def reported() -> _Reported:
    """Tell the operator what the client is not told."""
    return _REPORTED


def report(problem: RegistryError) -> None:
    """Tell the operator of one failure."""
    log.warn("metadata store: {reason}: {cause}", reason=str(problem), cause=_cause(problem))


def translated(problem: exc.DBAPIError) -> Exception:
    """What to tell of a failure of a database; a mistake of ours stays what it is."""
    code = getattr(problem.orig, "sqlite_errorcode", 0) & 0xFF
    if code == _SQLITE_FULL or getattr(problem.orig, "sqlstate", None) == _DISK_FULL:
        return StorageFull()
    if code == _SQLITE_ERROR or isinstance(problem, exc.IntegrityError | exc.ProgrammingError | exc.DataError):
        return problem
    return StoreUnavailable("the metadata store does not answer now")


def _cause(problem: RegistryError) -> str:
    cause = problem.__cause__
    return str(cause.orig if isinstance(cause, exc.DBAPIError) else cause)
