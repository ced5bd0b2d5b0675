"""What those who watch over the service look at: alive, ready, figures."""

import json
from collections.abc import Callable, Coroutine, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from dockreg.collector import CollectionFigures
from dockreg.errors import RegistryError
from dockreg.interfaces import IBlobStore, IMetadataStore
from dockreg.model.access import ANONYMOUS, Caller
from dockreg.model.collection import Kind
from dockreg.web.admission import flat_error
from dockreg.web.exchange import DocumentRoom, Exchange
from dockreg.web.headers import set_nocache
from dockreg.web.records import Notes, RequestRecord

if TYPE_CHECKING:
    from dockreg.web.figures import Figures

log = Logger()

_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})
_HUB = ("/v1/users", "/v1/search")
_WATCHING = frozenset({"/healthz", "/readyz", "/metrics"})

#: The checks of ``/readyz`` write and read; what they found is good for this long, so that nobody can make them a load.
_CHECK_KEPT_SECONDS = 2.0
_CHECK_SECONDS = 10.0


def door_of(path: str) -> str:
    """Which door a path belongs to: ``v1``, ``hub``, ``v2``, ``monitoring`` or ``other``."""
    if path.startswith("/v2/"):
        return "v2"
    if path in _WATCHING:
        return "monitoring"
    if path.startswith(_HUB):
        return "hub"
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    if first in ("v1", "_ping", "_status"):
        return "v1"
    return "v2" if first == "v2" else "other"


class Metrics:
    """
    What is counted, and what gauges there are.

    It is kept here until somebody looks: only then it is made what Prometheus wants, by a library that takes its memory.
    The times at which counters were made are of that moment, too.
    """

    def __init__(
        self,
        *,
        process: bool = True,
        folder: str = "",
        soon: Callable[[Callable[[], None]], object] | None = None,
        at_once: bool = False,
    ) -> None:
        """
        :param process: whether to tell of the process as well.
        :param folder: where several processes put their figures; see :class:`.Figures`.
        :param soon: calls a function when what is at hand is done. Others see what was counted then, where there is a
            folder; by default at once.
        :param at_once: whether somebody will look for sure, as where there is a folder.
        """
        self._process = process
        self._folder = folder
        self._soon = soon
        self._waiting = False
        self._notes: dict[tuple[str, str, int], Notes] = {}
        self._watched: list[tuple[str, str, Callable[[], float], bool]] = []
        if folder or at_once:
            _ = self.figures

    @cached_property
    def figures(self) -> "Figures":
        """The figures for Prometheus."""
        from dockreg.web.figures import Figures  # noqa: PLC0415  # see there

        figures = Figures(self._add, process=self._process, folder=self._folder)
        for name, documentation, read, least in self._watched:
            figures.watch(name, documentation, read, least=least)
        return figures

    def observe(self, record: RequestRecord) -> None:
        """Count one request."""
        method = record.method if record.method in _METHODS else "other"
        door = "v2" if record.path[:4] == "/v2/" else door_of(record.path)
        key = (door, method, record.status // 100)
        notes = self._notes.get(key)
        if notes is None:
            notes = self._notes[key] = Notes()
        notes.count(record)
        if self._folder and not self._waiting:
            self._waiting = True
            if self._soon is None:
                self._add()
            else:
                self._soon(self._add)

    def _add(self) -> None:
        self._waiting = False
        noted, self._notes = self._notes, {}
        for (door, method, hundreds), notes in noted.items():
            self.figures.add(door, method, f"{hundreds}xx", notes)

    def watch(self, name: str, documentation: str, read: Callable[[], float], *, least: bool = False) -> None:
        """
        Add a gauge whose value is asked for when somebody looks.

        :param least: of several processes the least value counts, rather than the sum.
        """
        self._watched.append((name, documentation, read, least))
        if "figures" in self.__dict__:
            self.figures.watch(name, documentation, read, least=least)

    def watch_collection(self, figures: CollectionFigures) -> None:
        """Add what the collector has done, and what waits for it. Of several processes one collects."""
        for kind in Kind:
            word = kind.value.replace("-", "_")
            self.watch(f"collected_{word}s", f"Collected: {kind.value}.", partial(_removed, figures, kind))
        self.watch("collected_objects", "Stored objects that were removed.", lambda: figures.objects)
        self.watch("collected_bytes", "Bytes of the objects that were removed.", lambda: figures.bytes)
        self.watch("collected_orphans", "Objects that no row named, and were removed.", lambda: figures.orphans)
        self.watch("collection_failures", "Rounds of collection that failed, and objects.", lambda: figures.failures)
        self.watch("collection_due", "Items whose review is due.", lambda: figures.backlog.due)
        self.watch("collection_waiting", "Items whose grace time or lease goes on.", lambda: figures.backlog.waiting)
        self.watch("collection_objects", "Objects that are to be removed.", lambda: figures.backlog.objects)
        self.watch(
            "collection_oldest_seconds", "How long the oldest item is due.", lambda: figures.backlog.oldest_seconds
        )
        self.watch("collection_last_run_seconds", "When the last round began, since 1970.", lambda: figures.last_run)
        self.watch(
            "collection_paused_until_seconds",
            "Until when nothing is removed, because the clock was set; else 0.",
            lambda: figures.paused_until,
        )
        self.watch("collection_sweeping", "Whether a reconciliation is under way.", lambda: figures.sweeping)

    async def share(self) -> None:
        """Let the other processes see the gauges of this one, where there are others."""
        if self._folder:
            self.figures.share()

    def text(self) -> bytes:
        """All figures in the text format of Prometheus, version 0.0.4."""
        self._add()
        return self.figures.text()


def _removed(figures: CollectionFigures, kind: Kind) -> int:
    return figures.removed[kind]


@frozen
class _Found:
    """What the last checks found, and when."""

    at: float
    failures: dict[str, str]


@define(eq=False)
class Monitoring:
    """The answers to ``/healthz``, ``/readyz`` and ``/metrics``."""

    metadata: IMetadataStore
    blobs: IBlobStore
    figures: Metrics
    clock: IReactorTime
    #: Why the service takes no requests now, though all its parts may be well: it is starting, or stopping.
    closed: str | None = None
    _found: _Found | None = field(default=None, init=False)
    _running: "Deferred[None] | None" = field(default=None, init=False)
    _waiting: list["Deferred[_Found]"] = field(factory=list, init=False)

    async def healthz(self, exchange: Exchange) -> bytes:
        """The process answers. Nothing else is looked at: what a restart does not mend must not cause one."""
        set_nocache(exchange.request)
        return b'{"alive": true}'

    async def readyz(self, exchange: Exchange) -> bytes:
        """200 when metadata and blobs can be read and written, else 503 and the names of the parts that fail."""
        set_nocache(exchange.request)
        failures = {"service": self.closed} if self.closed is not None else await self.failures()
        if failures:
            exchange.respond(503, Retry_After="5")
        # Why a part fails may name hosts and paths: that is in the log.
        return json.dumps({"ready": not failures, "failures": sorted(failures)}).encode("ascii")

    async def metrics(self, exchange: Exchange) -> bytes:
        """All figures, in the text format of Prometheus."""
        from dockreg.web.figures import CONTENT_TYPE  # noqa: PLC0415  # see there

        set_nocache(exchange.request)
        exchange.respond(200, Content_Type=CONTENT_TYPE)
        return self.figures.text()

    async def failures(self) -> Mapping[str, str]:
        """The parts that do not work now, and why."""
        return (await self._checked()).failures

    async def _checked(self) -> _Found:
        found = self._found
        if found is not None and 0 <= self.clock.seconds() - found.at < _CHECK_KEPT_SECONDS:
            return found
        # Requests that come together share one check; each may be cancelled without ending it.
        waiting: Deferred[_Found] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        if self._running is None or self._running.called:
            self._running = Deferred.fromCoroutine(self._check_all())
        return await waiting

    async def _check_all(self) -> None:
        failures: dict[str, str] = {}
        await self._check("metadata", self.metadata, failures)
        await self._check("blobs", self.blobs, failures)
        self._found = found = _Found(self.clock.seconds(), failures)
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            # What was cancelled before it was asked for has no place in the list any more.
            each.callback(found)

    async def _check(self, part: str, store: IMetadataStore | IBlobStore, failures: dict[str, str]) -> None:
        try:
            await Deferred.fromCoroutine(store.check()).addTimeout(_CHECK_SECONDS, self.clock)
        except RegistryError as error:
            failures[part] = str(error)
        except DeferredTimeout:
            failures[part] = f"no answer within {_CHECK_SECONDS:g} seconds"
        except Exception:  # noqa: BLE001
            # A provider that fails in a way of its own is not ready either.
            log.failure("the check of {part} failed", part=part)
            failures[part] = "the check failed"
        if part in failures:
            log.warn("{part} is not ready: {problem}", part=part, problem=failures[part])


class MonitoringResource(Resource):
    """The three URLs on a listener of their own, open to whoever reaches it."""

    isLeaf = True

    def __init__(self, monitoring: Monitoring) -> None:
        super().__init__()
        self._handlers: Mapping[bytes, Callable[[Exchange], Coroutine[Any, Any, bytes]]] = {
            b"/healthz": monitoring.healthz,
            b"/readyz": monitoring.readyz,
            b"/metrics": monitoring.metrics,
        }

    def render(self, request: Request) -> int | bytes:
        """Answer. Of another method Twisted would make a page that repeats it."""
        handler = self._handlers.get(request.path)
        if handler is None:
            return _refused(request, 404, "there is nothing at this URL")
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader(b"allow", b"GET, HEAD")
            return _refused(request, 405, "this URL does not take that method")
        answering = Deferred.fromCoroutine(self._answer(handler, request))
        _ = request.notifyFinish().addErrback(lambda _: answering.cancel())
        return NOT_DONE_YET

    async def _answer(self, handler: Callable[[Exchange], Coroutine[Any, Any, bytes]], request: Request) -> None:
        try:
            body = await handler(Exchange(request, Caller(ANONYMOUS), DocumentRoom(0)))
        except CancelledError:
            return
        except Exception:  # noqa: BLE001
            # The last place where it can be seen.
            log.failure("{path} failed", path=request.path.decode("ascii", "replace"))
            request.setResponseCode(500)
            body = b""
        request.write(body)
        request.finish()


def _refused(request: Request, status: int, sentence: str) -> bytes:
    request.setResponseCode(status)
    set_nocache(request)
    return b"" if request.method == b"HEAD" else flat_error(sentence)
