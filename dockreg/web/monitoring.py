"""What those who watch over the service look at: alive, ready, figures."""

import json
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from attrs import define, field, frozen
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
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
from dockreg.web.records import RequestRecord

log = Logger()

_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})
_HUB = ("/v1/users", "/v1/search")
_WATCHING = frozenset({"/healthz", "/readyz", "/metrics"})
#: From the answer of a cache to the upload of a large layer on a slow line, in seconds.
_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 300.0)

#: The checks of ``/readyz`` write and read; what they found is good for this long, so that nobody can make them a load.
_CHECK_KEPT_SECONDS = 2.0
_CHECK_SECONDS = 10.0


def door_of(path: str) -> str:
    """Which door a path belongs to: ``v1``, ``hub``, ``v2``, ``monitoring`` or ``other``."""
    if path in _WATCHING:
        return "monitoring"
    if path.startswith(_HUB):
        return "hub"
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    if first in ("v1", "_ping", "_status"):
        return "v1"
    return "v2" if first == "v2" else "other"


class _Seconds(Histogram):
    """Takes several observations at once, which the library does one by one."""

    def add(self, counts: Sequence[int], total: float) -> None:
        """
        Add what was observed.

        :param counts: how many for each bucket, the one without a bound included.
        :param total: the sum of what was observed.
        """
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


@define(eq=False)
class _Children:
    """The figures of one door, method and status, and what is to be added to them."""

    requests: Counter
    seconds: _Seconds
    received: Counter
    sent: Counter
    _waiting: int = 0
    _counts: list[int] = field(factory=lambda: [0] * (len(_BUCKETS) + 1))
    _total: float = 0.0
    _bytes_received: int = 0
    _bytes_sent: int = 0

    def count(self, record: RequestRecord) -> None:
        """Take note of one request."""
        self._waiting += 1
        self._total += record.seconds
        self._counts[bisect_left(_BUCKETS, record.seconds)] += 1
        self._bytes_received += record.bytes_received
        self._bytes_sent += record.bytes_sent

    def add(self) -> None:
        """Add what was noted."""
        if not self._waiting:
            return
        self.requests.inc(self._waiting)
        self.seconds.add(self._counts, self._total)
        self.received.inc(self._bytes_received)
        self.sent.inc(self._bytes_sent)
        self._waiting, self._counts, self._total = 0, [0] * len(self._counts), 0.0
        self._bytes_received = self._bytes_sent = 0


@define(eq=False)
class _Noted(Collector):
    """Has the others tell what was noted: it is the first that is asked for its figures, and has none."""

    add: Callable[[], None]

    def collect(self) -> Iterable[Metric]:
        """See :class:`prometheus_client.registry.Collector`."""
        self.add()
        return ()


class Metrics:
    """The figures of one service, in a registry of their own: an application that embeds it has its own."""

    def __init__(
        self, *, process: bool = True, folder: str = "", soon: Callable[[Callable[[], None]], object] | None = None
    ) -> None:
        """
        :param process: whether to tell of the process as well.
        :param folder: where several processes put their figures (prometheus_client, "Multiprocess Mode"); what is shown
            is the sum then.
        :param soon: calls a function when what is at hand is done. Others see what was counted then, where there is a
            folder; by default at once.
        """
        self._folder = folder
        self._soon = soon
        self._waiting = False
        self._watched: list[tuple[Gauge, Callable[[], float]]] = []
        self.registry = CollectorRegistry()
        self.registry.register(_Noted(self._add))
        labels = ("door", "method", "status")
        self._requests = Counter("dockreg_requests", "Requests answered.", labels, registry=self.registry)
        self._seconds = _Seconds(
            "dockreg_request_seconds",
            "Time from the end of a request's headers to the end of its response.",
            ("door", "method"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._received = Counter(
            "dockreg_received_bytes", "Bytes of request bodies.", ("door",), registry=self.registry
        )
        self._sent = Counter("dockreg_sent_bytes", "Bytes of response bodies.", ("door",), registry=self.registry)
        self._cut = Counter(
            "dockreg_cut_responses", "Connections that ended before their response.", ("door",), registry=self.registry
        )
        self._children: dict[tuple[str, str, int], _Children] = {}
        if process and not folder:
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)

    def observe(self, record: RequestRecord) -> None:
        """Count one request."""
        door = door_of(record.path)
        method = record.method if record.method in _METHODS else "other"
        # To look a child up by its labels takes as long as the rest; there are few.
        children = self._children.get((door, method, record.status // 100))
        if children is None:
            children = self._children[door, method, record.status // 100] = _Children(
                self._requests.labels(door, method, record.status_class),
                self._seconds.labels(door, method),
                self._received.labels(door),
                self._sent.labels(door),
            )
        children.count(record)
        if self._folder and not self._waiting:
            self._waiting = True
            if self._soon is None:
                self._add()
            else:
                self._soon(self._add)
        if not record.complete:
            self._cut.labels(door).inc()

    def _add(self) -> None:
        self._waiting = False
        for each in self._children.values():
            each.add()

    def watch(self, name: str, documentation: str, read: Callable[[], float], *, least: bool = False) -> None:
        """
        Add a gauge whose value is asked for when somebody looks.

        :param least: of several processes the least value counts, rather than the sum.
        """
        if not self._folder:
            Gauge(f"dockreg_{name}", documentation, registry=self.registry).set_function(read)
            return
        mode: Literal["livemin", "livesum"] = "livemin" if least else "livesum"
        gauge = Gauge(f"dockreg_{name}", documentation, registry=self.registry, multiprocess_mode=mode)
        self._watched.append((gauge, read))

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
        for gauge, read in self._watched:
            gauge.set(read())

    def text(self) -> bytes:
        """All figures in the text format of Prometheus, version 0.0.4."""
        if not self._folder:
            return generate_latest(self.registry)
        self._add()
        for gauge, read in self._watched:
            gauge.set(read())
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody, self._folder)
        return generate_latest(everybody)


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
        set_nocache(exchange.request)
        exchange.respond(200, Content_Type=CONTENT_TYPE_PLAIN_0_0_4)
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
