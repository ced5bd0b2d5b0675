"""
The order in which a registry starts and stops.

Start: threads and log files; certificates; the metadata (with its migrations); what a crash left among the blobs; then the ports, and
who waits is told. Stop: the ports; requests under way are waited for; then timers, metadata, log files and threads.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol

from attrs import frozen
from twisted.application.internet import TimerService
from twisted.application.service import MultiService, Service
from twisted.internet.defer import CancelledError, Deferred, DeferredLock, maybeDeferred
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory, IReactorCore, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from dockreg.config import ConfigError
from dockreg.errors import RegistryError, explained
from dockreg.interfaces import IBlobStore, IMetadataStore
from dockreg.providers.listening import Judge, ListenFailed, Proxying, open_port, place_of
from dockreg.providers.threads import Workers

log = Logger()

_SETTLE_SECONDS = 5.0
_POLL_SECONDS = 0.02


class StartFailed(Exception):
    """The registry could not start; the text is a sentence for the operator."""


class StartStopped(StartFailed):
    """The registry was stopped before it was open, as somebody wished: nothing is wrong with it."""

    def __init__(self) -> None:
        super().__init__("dockreg was stopped while it started")


class Drainable(Protocol):
    """Something that has requests under way."""

    def drain(self, grace_seconds: float) -> "Deferred[None]":
        """Take no new requests; fires when those under way are done, or were cut off after the grace time."""


class Announcer(Protocol):
    """Somebody who wants to know how far we are."""

    def ready(self, status: str) -> None:
        """Everything is open."""

    def stopping(self, status: str) -> None:
        """No new requests are taken from now on."""


class Reloadable(Protocol):
    """Something that is read when the registry starts, and again when it is told to."""

    @property
    def name(self) -> str:
        """What it is."""

    async def load(self) -> None:
        """Read it. :raises ListenFailed: it can not be used; what was read before stays in use."""


@frozen
class Listener:
    """Where to listen, for what, and who says whether that is all right."""

    description: str
    factory: IProtocolFactory
    judge: Judge
    proxying: Proxying
    #: What is put around the factory, such as TLS.
    around: Callable[[IProtocolFactory], IProtocolFactory] | None = None
    #: Told where it listens, once it does.
    opened: Callable[[IAddress], None] | None = None

    async def open(self, reactor: IReactorCore) -> IListeningPort:
        """Listen. :raises ListenFailed: that can not be, or must not."""
        factory = self.factory if self.around is None else self.around(self.factory)
        port = await open_port(self.description, factory, reactor, self.judge, self.proxying)
        if self.opened is not None:
            self.opened(port.getHost())
        return port


@frozen
class Job:
    """Something that is done again and again."""

    name: str
    seconds: float
    run: Callable[[], Coroutine[Any, Any, object]]

    def once(self) -> "Deferred[None]":
        """Do it. A failure is logged, and does not keep it from being done the next time."""
        return Deferred.fromCoroutine(self._once())

    async def _once(self) -> None:
        try:
            await self.run()
        except RegistryError as error:
            log.warn("{job} did not work this time: {problem}", job=self.name, problem=str(error))
        except Exception:  # noqa: BLE001
            # A timer that has failed once would never run again.
            log.failure("{job} failed", job=self.name)


@frozen
class Plan:
    """What there is to open and to close, apart from the threads and log files, which are child services."""

    metadata: IMetadataStore
    blobs: IBlobStore
    #: What must be there before either is opened, such as the data folder.
    prepare: Callable[[], Awaitable[object]]
    #: Told None when requests may come, and else why they may not.
    set_closed: Callable[[str | None], None]
    grace_seconds: float
    jobs: Sequence[Job] = ()
    #: What is done a last time when there are no requests any more.
    lasts: Sequence[Job] = ()
    listeners: Sequence[Listener] = ()
    drains: Sequence[Drainable] = ()
    announcers: Sequence[Announcer] = ()
    #: What else is to be opened before requests may come, and closed.
    openers: Sequence[Callable[[], Awaitable[object]]] = ()
    closers: Sequence[Callable[[], Awaitable[object]]] = ()
    reloads: Sequence[Reloadable] = ()


class StartingService(MultiService):
    """A service whose start takes a while and may fail. What opens it is :meth:`_start`."""

    def __init__(self, reactor: IReactorCore) -> None:
        super().__init__()
        self._reactor = reactor
        self._ports: list[IListeningPort] = []
        self._starting: Deferred[None] | None = None
        self._waiting: list[Deferred[None]] = []
        self._failure: Exception | None = None
        self._is_open = False
        # Whether a start may be broken off: not while it closes what it has opened.
        self._opening = False
        self._one_stop = DeferredLock()

    @property
    def addresses(self) -> Sequence[IAddress]:
        """Where the registry listens now, in the order of the configuration."""
        return [port.getHost() for port in self._ports]

    def when_started(self) -> "Deferred[None]":
        """
        Fires once everything is open, or fails with :class:`StartFailed`; with :class:`StartStopped` if it was stopped before.

        Before :meth:`startService` was called, and after :meth:`stopService`, it waits for the next start.
        """
        waiting: Deferred[None] = Deferred()
        if self._is_open:
            waiting.callback(None)
        elif self._failure is not None:
            waiting.errback(self._failure)
        else:
            self._waiting.append(waiting)
        return waiting

    def startService(self) -> None:
        """
        Begin to open everything; :meth:`when_started` tells the outcome.

        :raises StartFailed: at once, when the reactor does not run yet. A daemon then ends before it began.
        """
        self._failure = None
        self._opening = True
        super().startService()
        self._starting = Deferred.fromCoroutine(self._start()).addCallback(self._tell)
        failure = self._failure
        if failure is not None and not self._reactor.running:
            raise failure

    async def _start(self) -> None:
        """Open everything and set :attr:`_is_open`, or close what was opened, no longer opening, and set :attr:`_failure`."""
        raise NotImplementedError

    def stopService(self) -> "Deferred[None]":
        """Take no new requests, wait for those under way as long as the grace time, and close everything."""
        return Deferred.fromCoroutine(self._stop_alone())

    async def _stop_alone(self) -> None:
        # Whoever says it again must not end the threads that the first one needs to close everything.
        async with self._one_stop:
            await self._stop()

    async def _stop(self) -> None:
        """Close everything; harmless where nothing is open."""
        raise NotImplementedError

    async def _end_start(self) -> None:
        """Break a start off, or wait for one that was broken off, or has failed, until it has closed what it opened."""
        if self._starting is not None:
            if self._opening:
                self._opening = False
                self._starting.cancel()
            await self._starting

    def _stopped(self) -> StartStopped:
        """What a start that was broken off ends with."""
        stopped = StartStopped()
        log.info("{outcome}", outcome=str(stopped))
        return stopped

    def _tell(self, _: None) -> None:
        # Not from within _start: who is told may stop the service, which waits for _start to end.
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if self._failure is None:
                each.callback(None)
            else:
                each.errback(self._failure)


class RegistryService(StartingService):
    """A whole registry as a service. Its children are started before anything is opened, and stopped last."""

    def __init__(self, plan: Plan, reactor: IReactorCore, clock: IReactorTime) -> None:
        super().__init__(reactor)
        self._plan = plan
        self._clock = clock
        self._timers: list[TimerService] = []

    def reload(self) -> "Deferred[None]":
        """
        Read again what can be read again while connections go on, such as certificates.

        What can not be used is logged, and what was read before stays in use. Without effect unless everything is open.
        """
        return Deferred.fromCoroutine(self._reload())

    async def _start(self) -> None:
        try:
            await self._open()
        except (ConfigError, RegistryError, ListenFailed, OSError) as error:
            self._failure = StartFailed(explained(error))
            if not self._opening:
                # It was broken off, and this came of it.
                self._failure = self._stopped()
            elif self._reactor.running:
                log.critical("dockreg can not start: {problem}", problem=explained(error))
        except CancelledError:
            self._failure = self._stopped()
        except Exception as error:  # noqa: BLE001
            # It must reach the operator, and whoever waits, by every way there is.
            self._failure = error
            log.failure("dockreg can not start")
        self._opening = False
        if self._failure is not None:
            await self._close()

    async def _open(self) -> None:
        plan = self._plan
        await plan.prepare()
        for each in plan.reloads:
            await each.load()
        await plan.metadata.open()
        settled = await plan.blobs.recover(plan.metadata.blobs.is_recorded, plan.metadata.uploads.is_known)
        if settled:
            log.info("dropped {objects} objects that a crash left unfinished", objects=settled)
        for opener in plan.openers:
            await opener()
        for job in plan.jobs:
            timer = TimerService(job.seconds, job.once)
            timer.clock = self._clock
            timer.startService()
            self._timers.append(timer)
        plan.set_closed(None)
        for listener in plan.listeners:
            port = await listener.open(self._reactor)
            self._ports.append(port)
            log.info("dockreg listens on {address}", address=place_of(port.getHost()), listener=listener.description)
        self._is_open = True
        for announcer in plan.announcers:
            announcer.ready("serving")

    async def _reload(self) -> None:
        if not self._is_open:
            return
        for each in self._plan.reloads:
            try:
                await each.load()
            except (RegistryError, ListenFailed, OSError) as error:
                log.warn("{what} stays as it was read before: {problem}", what=each.name, problem=explained(error))
            except Exception:  # noqa: BLE001
                # Whatever is wrong with one of them, the others are to be read.
                log.failure("{what} could not be read again", what=each.name)

    async def _stop(self) -> None:
        await self._end_start()
        if self._is_open:
            for announcer in self._plan.announcers:
                announcer.stopping("finishing the requests that are under way")
        await self._close()
        # One after the other, for the log files need the threads until they are complete.
        for child in reversed(list(self)):
            await self._step(child.stopService)
        Service.stopService(self)
        self._failure = None

    async def _close(self) -> None:
        plan = self._plan
        was_open, self._is_open = self._is_open, False
        ports, self._ports = self._ports, []
        for port in ports:
            await self._step(port.stopListening)
        plan.set_closed("the registry is stopping")
        for drained in [each.drain(plan.grace_seconds) for each in plan.drains]:
            await self._step(partial(_same, drained))
        timers, self._timers = self._timers, []
        for timer in timers:
            await self._step(timer.stopService)
        await self._settle()
        for job in plan.lasts if was_open else ():
            await self._step(job.once)
        if was_open:
            await self._step(lambda: Deferred.fromCoroutine(plan.blobs.close()))
        await self._step(lambda: Deferred.fromCoroutine(plan.metadata.close()))
        for close in plan.closers:
            await self._step(close)

    async def _settle(self) -> None:
        # Requests that were cut off clean up after themselves; given a moment they need not leave it to the next start.
        deadline = self._clock.seconds() + _SETTLE_SECONDS
        while any(isinstance(child, Workers) and child.busy for child in self) and self._clock.seconds() < deadline:
            await deferLater(self._clock, _POLL_SECONDS)

    async def _step(self, step: Callable[[], object]) -> None:
        try:
            await maybeDeferred(step)
        except Exception:  # noqa: BLE001
            # Whatever one part does, the others are to be closed.
            log.failure("a part of dockreg did not stop well")


def _same(result: "Deferred[None]") -> "Deferred[None]":
    return result
