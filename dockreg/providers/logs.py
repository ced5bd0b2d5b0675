"""Log files, written in batches beside the requests that they tell of."""

import json
import os
from datetime import UTC, datetime

from attrs import define, field
from twisted.application.internet import TimerService
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, LogPublisher, formatEvent
from zope.interface import implementer

from dockreg.callables import InThread

log = Logger()

_STANDARD_OUTPUT = 1
_BATCH_SECONDS = 1.0
#: Lines that may wait while the disk is slow or full; what comes beyond them is counted and dropped.
_MAX_WAITING = 50_000
_OLD_KEYS = frozenset({"format", "isError", "message", "system", "time", "why", "failure"})


def append(path: str, text: str) -> None:
    """
    Append to a log file, or to standard output (``-``).

    The file is opened for each batch, so that who rotates it has nobody to tell.

    :raises OSError: it can not be written.
    """
    data = memoryview(text.encode("utf-8", "backslashreplace"))
    descriptor = _STANDARD_OUTPUT
    if path != "-":
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        if descriptor != _STANDARD_OUTPUT:
            os.close(descriptor)


@define(eq=False)
class LineLog:
    """Lines on their way to a log file. A crash may lose those of the last second or so."""

    path: str
    in_thread: InThread
    _waiting: list[str] = field(factory=list, init=False)
    _dropped: int = field(default=0, init=False)
    _failing: bool = field(default=False, init=False)

    def write(self, line: str) -> None:
        """Take one line, without its end. Any thread may."""
        if len(self._waiting) < _MAX_WAITING:
            self._waiting.append(line)
        else:
            self._dropped += 1

    async def flush(self) -> None:
        """Write what waits. What can not be written is dropped; the log is told when that begins, and how much it was."""
        if not self._waiting:
            return
        batch, self._waiting = self._waiting, []
        dropped, self._dropped = self._dropped, 0
        try:
            await self.in_thread(append, self.path, "\n".join([*batch, ""]))
        except OSError as error:
            self._dropped += dropped + len(batch)
            # Once: what is said of a log may be meant for this very log.
            if not self._failing:
                self._failing = True
                log.warn("{path} can not be written: {error}", path=self.path, error=str(error))
            return
        self._failing = False
        if dropped:
            log.warn("lines missing in {path}: {dropped}", dropped=dropped, path=self.path)


class LogFile(MultiService):
    """A log file that belongs to a service: it is complete once the service has stopped."""

    def __init__(self, lines: LineLog, clock: IReactorTime) -> None:
        super().__init__()
        self.lines = lines
        timer = TimerService(_BATCH_SECONDS, self._flush)
        timer.clock = clock
        timer.setServiceParent(self)

    async def close(self) -> None:
        """Stop, and write what waits. Harmless when it was not started, as when the service could not be."""
        if self.running:
            await maybeDeferred(super().stopService)
        await self.lines.flush()

    def stopService(self) -> "Deferred[None]":
        """As :meth:`close`."""
        return Deferred.fromCoroutine(self.close())

    def _flush(self) -> "Deferred[None]":
        return Deferred.fromCoroutine(self.lines.flush())


@implementer(ILogObserver)
class JSONLog(LogFile):
    """The log with the fields of its events, a JSON object per line, from level info."""

    def __init__(self, lines: LineLog, clock: IReactorTime, publisher: LogPublisher) -> None:
        super().__init__(lines, clock)
        self._publisher = publisher

    def startService(self) -> None:
        """Begin to observe."""
        super().startService()
        self._publisher.addObserver(self)

    def stopService(self) -> "Deferred[None]":
        """Stop observing, and write what waits."""
        self._publisher.removeObserver(self)
        return super().stopService()

    def __call__(self, event: LogEvent) -> None:
        """Observe one event. Any thread may call this."""
        level = event.get("log_level")
        if level is None or level >= LogLevel.info:
            self.lines.write(as_json(event))


def as_json(event: LogEvent) -> str:
    """
    One event as a line of JSON: ``time`` (ISO 8601, UTC), ``level``, ``namespace``, ``message``, its own fields, and the
    ``traceback`` of a failure. What JSON has no type for becomes text.
    """
    level = event.get("log_level")
    line: dict[str, object] = {
        "time": datetime.fromtimestamp(event.get("log_time", 0), UTC).isoformat(),
        "level": level.name if level is not None else "info",
        "namespace": event.get("log_namespace", ""),
        "message": formatEvent(event),
    }
    if "log_failure" in event:
        line["traceback"] = event["log_failure"].getTraceback()
    # The old twisted.python.log adds keys of its own, which say nothing new.
    line |= {
        key: value for key, value in event.items() if not key.startswith("log_") and key not in _OLD_KEYS | line.keys()
    }
    return json.dumps(line, default=str)
