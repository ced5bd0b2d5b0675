"""
One of several processes of a registry: ``python -m dockreg.worker``, started by :class:`dockreg.workers.Supervisor`.

Its order comes over standard input, which stays open as long as the parent lives. Events go to standard error, as JSON.
"""

import json
import os
import pickle
import signal
import sys
from contextlib import suppress
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import FileLogObserver, LogEvent, eventAsText, globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import implementer

from dockreg.config import ConfigError
from dockreg.lifecycle import StartStopped
from dockreg.starting import forget_sources, loading, settle, share_arena
from dockreg.workers import EVENTS, FAILED, NEWS, ORDER, READY, Order


def _read_order() -> Order:
    with os.fdopen(os.dup(ORDER), "rb") as pipe:
        size = int.from_bytes(pipe.read(8), "big")
        order: Order = pickle.loads(pipe.read(size))  # noqa: S301 - our parent wrote it
    return order


@implementer(IReadDescriptor)
class _Parent:
    """The pipe to the parent; it ends when the parent does."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def fileno(self) -> int:
        return ORDER

    def logPrefix(self) -> str:
        return "dockreg"

    def doRead(self) -> None:
        if not os.read(ORDER, 1024):
            self.connectionLost(None)

    def connectionLost(self, _reason: object) -> None:
        self._reactor.removeReader(self)
        _end(self._reactor)


def _end(reactor: Any) -> None:
    """Stop in an orderly way; harmless where that was begun: it may be told by its parent, and by systemd as well."""
    with suppress(ReactorNotRunning):
        reactor.stop()


def _tell(news: bytes) -> None:
    os.write(NEWS, news)


def _as_line(event: LogEvent) -> str:
    level = event.get("log_level")
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    return json.dumps({"level": getattr(level, "name", "info"), "text": text}) + "\n"


def main() -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    globalLogBeginner.beginLoggingTo(
        [FileLogObserver(os.fdopen(EVENTS, "w", buffering=1), _as_line)], redirectStandardIO=False, discardBuffer=True
    )
    share_arena()
    order = _read_order()
    from twisted.internet import reactor

    running: Any = reactor
    try:
        with loading():
            from dockreg.service import make_worker_service

            forget_sources()
            service = make_worker_service(order, running)
    except ConfigError as error:
        _tell(FAILED + str(error).encode())
        sys.exit(1)

    def failed(failure: Failure) -> None:
        if failure.check(StartStopped) is not None:
            return  # it ends already
        _tell(FAILED + failure.getErrorMessage().encode("utf-8", "replace"))
        running.callWhenRunning(_end, running)

    def ready(_started: object) -> None:
        settle()
        _tell(READY)

    def reload(_number: int, _frame: object) -> None:
        running.callFromThread(service.reload)

    def end(_number: int, _frame: object) -> None:
        running.callFromThread(_end, running)

    def begin() -> None:
        running.addReader(_Parent(running))
        signal.signal(signal.SIGHUP, reload)
        # In place of the handlers of Twisted, which log a failure when they are called twice.
        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        service.startService()
        _ = service.when_started().addCallbacks(ready, failed)

    running.callWhenRunning(begin)
    running.addSystemEventTrigger("before", "shutdown", service.stopService)
    running.run()


if __name__ == "__main__":
    main()
