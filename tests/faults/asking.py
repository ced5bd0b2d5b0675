"""Requests of a customer to a daemon, one after the other."""

import http.client
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from tests.faults.customer import Answer, Ask, Lost
from tests.processes import Daemon

T = TypeVar("T")


def asking(daemon: Daemon) -> Ask:
    """Sends requests to a daemon, and blocks until the answer is there."""

    async def ask(method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        try:
            return daemon.request(method, path, body, dict(headers))
        except (OSError, http.client.HTTPException) as problem:
            raise Lost(f"{method} {path}") from problem

    return ask


def done(work: Coroutine[Any, Any, T]) -> T:
    """The result of work that never waits for anything but blocking requests."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits for something else")
