"""Stand-ins that the tests of authentication share."""

from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from dockreg.providers.auth.hashing import PasswordHasher
from dockreg.providers.auth.turns import Turns
from dockreg.providers.auth.verified import Verified
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.testing.contracts_auth import ContractCase
from tests.databases import write_database
from tests.passwords import CHEAP


@define(eq=False)
class Threads:
    """An ``in_thread`` whose functions run when the test says so; it knows how many were started."""

    started: int = 0
    _jobs: deque[tuple["Deferred[Any]", Callable[..., Any], tuple[Any, ...]]] = Factory(deque)

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Deferred[Any]":
        self.started += 1
        done: Deferred[Any] = Deferred()
        self._jobs.append((done, function, args))
        return done

    @property
    def running(self) -> int:
        return len(self._jobs)

    def finish_all(self) -> None:
        while self._jobs:
            self.finish_one()

    def finish_one(self) -> None:
        done, function, args = self._jobs.popleft()
        try:
            result = function(*args)
        except Exception:  # noqa: BLE001  # as a thread hands on whatever happens
            done.errback()
        else:
            done.callback(result)


def cheap_hasher() -> PasswordHasher:
    """A hasher that works at once."""
    return PasswordHasher(Turns(maybeDeferred), cost=CHEAP)


def memory_of(clock: Clock, seconds: float = 60) -> Verified[Any]:
    """A memory of verified passwords."""
    return Verified(clock, counted_bytes(), seconds)


def counter(prefix: str) -> Callable[[], str]:
    """Ids that are easy to read."""
    numbers = count(1)
    return lambda: f"{prefix}-{next(numbers)}"


def counted_bytes() -> Callable[[int], bytes]:
    """Bytes that are different each time, and nothing else."""
    numbers = count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


def open_store(case: ContractCase) -> SQLMetadataStore:
    """A store in a file, closed after the test."""
    store = SQLMetadataStore(f"sqlite:///{write_database(case.mktemp())}", maybeDeferred)
    case.now(store.open())
    case.addCleanup(lambda: case.now(store.close()))
    return store
