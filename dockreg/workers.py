"""
Worker processes: the parent opens the ports, the workers serve them.

Each worker is a whole registry on the same database and files, which is what two registries on one folder are anyway.
The first one does the periodic work. A worker that ends is started again; its share of a port waits for it meanwhile.
"""

import json
import pickle
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, cast

from attrs import field, frozen
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IReactorCore, IReactorProcess
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.logger import InvalidLogLevelError, Logger, LogLevel
from twisted.python.failure import Failure

from dockreg.lifecycle import Announcer, Listener, StartFailed, StartingService
from dockreg.providers.descriptors import HeldPort, HoldingReactor
from dockreg.providers.listening import ListenFailed, place_of

log = Logger()

#: What a worker writes once it serves, and before a sentence that says why it can not.
READY = b"ready"
FAILED = b"failed:"
#: Where a worker finds things: its order, the log of its events, and where it tells that it is ready.
ORDER, EVENTS, NEWS = 0, 2, 3
_FIRST_PORT = 4

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 10.0
#: A worker that has lived for so long is started again at once when it ends.
_LIFE_SECONDS = 60.0
#: How long workers may take to end after the time for their requests is over.
_MORE_SECONDS = 10.0
#: How much later than a worker this process may be told to stop.
_STOP_SECONDS = 0.2
_STOPS = (signal.SIGTERM, signal.SIGINT)
_MAX_LINE = 1024 * 1024


@frozen
class Order:
    """What a worker is told, over a pipe: the configuration has secrets."""

    config: Any = field(repr=False)
    descriptors: Sequence[int]
    number: int
    figures: str

    def dump(self) -> bytes:
        """The order as bytes. Who reads them is a child of who wrote them."""
        return pickle.dumps(self)


class Orders(Protocol):
    """What workers are told."""

    def begin(self) -> None:
        """Workers will be started."""

    def end(self) -> None:
        """They are gone."""

    def order(self, number: int, descriptors: Sequence[int]) -> Order:
        """The order for a worker, by its number and the descriptors of its ports."""

    def environ(self) -> Mapping[str, str]:
        """The environment of a worker."""

    def died(self, pid: int) -> None:
        """A worker has ended."""


class _Worker(ProcessProtocol):
    """One process."""

    def __init__(self, number: int, order: bytes, ended: Callable[["_Worker"], None]) -> None:
        self.number = number
        self.ready: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()
        self.began = 0.0
        self.process_id = 0
        self._order = order
        self._ended = ended
        self._events = b""
        self._news = b""
        self._reloads = False

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self.process_id = transport.pid
        # It stays open: a worker whose parent has gone sees its end.
        transport.writeToChild(ORDER, len(self._order).to_bytes(8, "big") + self._order)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if childFD == NEWS:
            self._news += data
            self._look()
            return
        self._events += data
        *lines, self._events = self._events.split(b"\n")
        self._events = self._events[-_MAX_LINE:]
        for line in lines:
            self._log(line)

    def _look(self) -> None:
        if self.ready.called:
            return
        if self._news.startswith(READY):
            if self._reloads:
                self.signal(signal.SIGHUP)
            self.ready.callback(None)

    def _log(self, line: bytes) -> None:
        level = LogLevel.info
        try:
            event = json.loads(line)
            level, text = LogLevel.levelWithName(event["level"]), str(event["text"])
        except (ValueError, LookupError, TypeError, InvalidLogLevelError):
            # Something that was printed.
            text = line.decode("utf-8", "backslashreplace")
        log.emit(level, "worker {worker}: {text}", worker=self.number, text=text)

    def reload(self) -> None:
        """Have it read again what can be read again; once it serves, as before that the signal would end it."""
        if self.ready.called:
            self.signal(signal.SIGHUP)
        else:
            self._reloads = True

    def signal(self, number: int) -> None:
        """Send a signal, if it lives."""
        transport: Any = self.transport
        with suppress(ProcessExitedAlready):
            transport.signalProcess(number)

    @property
    def was_stopped(self) -> bool:
        """Whether it has ended because it was told to, by a signal."""
        # By itself it ends with status 1, or serves.
        return getattr(self.why.value, "exitCode", None) == 0 or getattr(self.why.value, "signal", None) in _STOPS

    def processEnded(self, reason: Failure) -> None:
        self.why = reason
        if self._news.startswith(FAILED):
            text = self._news.removeprefix(FAILED).decode("utf-8", "replace")
            failure: Exception = StartFailed(text)
        else:
            failure = StartFailed(f"worker {self.number} ended before it served: {reason.getErrorMessage()}")
        if not self.ready.called:
            self.ready.errback(failure)
        self.gone.callback(None)
        self._ended(self)


class Supervisor(StartingService):
    """
    All of dockreg in several processes.

    :param listeners: which ports to open; their factories are not used here.
    :param orders: what workers are told.
    :param announcers: told when the workers serve, and when they stop.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        workers: int,
        orders: Orders,
        reactor: Any,
        grace_seconds: float,
        announcers: Sequence[Announcer] = (),
    ) -> None:
        super().__init__(reactor)
        self._listeners = listeners
        self._count = workers
        self._orders = orders
        # It starts processes and calls later, too.
        self._reactor: Any = reactor
        self._grace_seconds = grace_seconds
        self._announcers = announcers
        self._held: list[HeldPort] = []
        self._workers: dict[int, _Worker] = {}
        self._pauses: dict[int, float] = {}
        self._restarts: dict[int, IDelayedCall] = {}
        self._stopping = False

    @property
    def process_ids(self) -> Sequence[int]:
        """Those of the workers that live."""
        return [worker.process_id for _, worker in sorted(self._workers.items())]

    def startService(self) -> None:
        """Open the ports, and have workers serve them. See :meth:`.StartingService.startService`."""
        self._stopping = False
        super().startService()

    def reload(self) -> "Deferred[None]":
        """Have the workers read again what can be read again."""
        for worker in self._workers.values():
            worker.reload()
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    async def _start(self) -> None:
        try:
            self._orders.begin()
            holding = HoldingReactor(self._reactor, self._count)
            for listener in self._listeners:
                port: Any = await listener.open(cast("IReactorCore", holding))
                self._ports.append(port)
                self._held.append(port)
                log.info(
                    "dockreg listens on {address}", address=place_of(port.getHost()), listener=listener.description
                )
            await self._running()
            # One first: it makes the folder and the database, where there are none.
            await self._serves(self._spawn(0))
            others = [self._spawn(number) for number in range(1, self._count)]
            await gatherResults([Deferred.fromCoroutine(self._serves(each)) for each in others], consumeErrors=True)
        except (ListenFailed, OSError) as error:
            self._failure = StartFailed(str(error))
        except Exception as error:  # noqa: BLE001 - it must reach whoever waits
            first = getattr(error, "subFailure", None)
            self._failure = first.value if first is not None else error
        if isinstance(self._failure, CancelledError):
            self._failure = self._stopped()
        elif self._failure is not None and self._reactor.running:
            log.critical("dockreg can not start: {problem}", problem=str(self._failure))
        self._opening = False
        if self._failure is not None:
            await self._close()
            return
        self._is_open = True
        for number in set(range(self._count)) - set(self._workers):
            # It served, and ended while others were starting.
            self._again(number)
        for announcer in self._announcers:
            announcer.ready("serving")

    async def _running(self) -> None:
        # Twisted sees that processes end once its reactor runs.
        running: Deferred[None] = Deferred()
        self._reactor.callWhenRunning(running.callback, None)
        await running

    async def _serves(self, worker: _Worker) -> None:
        try:
            await worker.ready
        except StartFailed:
            if worker.was_stopped:
                # Whoever stops all processes of a service, as systemd does, and Ctrl-C, stops this one as well.
                await deferLater(self._reactor, _STOP_SECONDS)
            raise

    def _spawn(self, number: int) -> _Worker:
        ports = {_FIRST_PORT + at: port.descriptor(number) for at, port in enumerate(self._held)}
        worker = _Worker(number, self._orders.order(number, list(ports)).dump(), self._ended)
        worker.began = self._reactor.seconds()
        self._workers[number] = worker
        reactor: IReactorProcess = self._reactor
        reactor.spawnProcess(
            worker,
            sys.executable,
            [sys.executable, "-m", "dockreg.worker"],
            env=self._orders.environ(),
            childFDs={ORDER: "w", 1: 1, EVENTS: "r", NEWS: "r", **ports},
        )
        return worker

    def _ended(self, worker: _Worker) -> None:
        if self._workers.get(worker.number) is worker:
            del self._workers[worker.number]
        self._orders.died(worker.process_id)
        if self._stopping or not self._is_open:
            return
        now = self._reactor.seconds()
        pause = self._pauses.get(worker.number, _FIRST_PAUSE)
        if now - worker.began > _LIFE_SECONDS:
            pause = _FIRST_PAUSE
        self._pauses[worker.number] = min(2 * pause, _LONGEST_PAUSE)
        log.warn(
            "worker {worker} ended ({reason}); another one starts in {seconds} seconds",
            worker=worker.number,
            reason=worker.why.getErrorMessage(),
            seconds=pause,
        )
        self._restarts[worker.number] = self._reactor.callLater(pause, self._again, worker.number)

    def _again(self, number: int) -> None:
        self._restarts.pop(number, None)
        _ = self._spawn(number).ready.addErrback(self._not_again, number)

    def _not_again(self, failure: Failure, number: int) -> None:
        log.warn("worker {worker} did not start: {problem}", worker=number, problem=failure.getErrorMessage())

    async def _stop(self) -> None:
        """Have the workers end in an orderly way, and close the ports."""
        self._stopping = True
        await self._end_start()
        if self._is_open:
            for announcer in self._announcers:
                announcer.stopping("finishing the requests that are under way")
        await self._close()
        for child in reversed(list(self)):
            await _maybe(child.stopService())
        self.running = 0
        self._failure = None

    async def _close(self) -> None:
        self._is_open = False
        for call in self._restarts.values():
            call.cancel()
        self._restarts.clear()
        ports, self._ports, self._held = self._ports, [], []
        for port in ports:
            await _maybe(port.stopListening())
        workers = list(self._workers.values())
        for worker in workers:
            worker.signal(signal.SIGTERM)
        cut = self._reactor.callLater(self._grace_seconds + _MORE_SECONDS, _kill, workers)
        for worker in workers:
            _ = worker.ready.addErrback(lambda _failure: None)
            await worker.gone
        if cut.active():
            cut.cancel()
        self._orders.end()


def _kill(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.signal(signal.SIGKILL)


async def _maybe(result: Any) -> None:
    if isinstance(result, Deferred):
        await result
