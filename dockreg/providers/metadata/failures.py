"""What a database says when it fails, in the words of the registry."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc
from twisted.logger import Logger

from dockreg.errors import RegistryError, StorageFull, StoreUnavailable

_SQLITE_ERROR = 1
_SQLITE_FULL = 13
#: PostgreSQL.
_DISK_FULL = "53100"

log = Logger()


@contextmanager
def reported() -> Iterator[None]:
    """Tell the operator what the client is not told."""
    try:
        yield
    except (StorageFull, StoreUnavailable) as problem:
        report(problem)
        raise


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
