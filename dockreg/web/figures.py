"""
Figures as Prometheus has them.

The library for them takes 1 MiB of memory, so this is imported when somebody wants to see figures; see :class:`.Metrics`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from attrs import define, frozen
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from dockreg.web.records import BUCKETS, Notes

#: The type of what :meth:`Figures.text` gives.
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


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


@frozen
class _Children:
    """The figures of one door, method and class of status."""

    requests: Counter
    seconds: _Seconds
    received: Counter
    sent: Counter


@define(eq=False)
class _Noted(Collector):
    """Has the others tell what was noted: it is the first that is asked for its figures, and has none."""

    add: Callable[[], None]

    def collect(self) -> Iterable[Metric]:
        """See :class:`prometheus_client.registry.Collector`."""
        self.add()
        return ()


class Figures:
    """The figures of one service, in a registry of their own: an application that embeds it has its own."""

    def __init__(self, noted: Callable[[], None], *, process: bool, folder: str) -> None:
        """
        :param noted: adds what was noted until now.
        :param process: whether to tell of the process as well.
        :param folder: where several processes put their figures (prometheus_client, "Multiprocess Mode"); what is shown
            is the sum then.
        """
        self._folder = folder
        self._watched: list[tuple[Gauge, Callable[[], float]]] = []
        self.registry = CollectorRegistry()
        self.registry.register(_Noted(noted))
        labels = ("door", "method", "status")
        self._requests = Counter("dockreg_requests", "Requests answered.", labels, registry=self.registry)
        self._seconds = _Seconds(
            "dockreg_request_seconds",
            "Time from the end of a request's headers to the end of its response.",
            ("door", "method"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._received = Counter(
            "dockreg_received_bytes", "Bytes of request bodies.", ("door",), registry=self.registry
        )
        self._sent = Counter("dockreg_sent_bytes", "Bytes of response bodies.", ("door",), registry=self.registry)
        self._cut = Counter(
            "dockreg_cut_responses", "Connections that ended before their response.", ("door",), registry=self.registry
        )
        self._children: dict[tuple[str, str, str], _Children] = {}
        if process and not folder:
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)

    def add(self, door: str, method: str, status: str, notes: Notes) -> None:
        """Add what some requests had."""
        # To look a child up by its labels takes a while; there are few.
        children = self._children.get((door, method, status))
        if children is None:
            children = self._children[door, method, status] = _Children(
                self._requests.labels(door, method, status),
                self._seconds.labels(door, method),
                self._received.labels(door),
                self._sent.labels(door),
            )
        children.requests.inc(notes.requests)
        children.seconds.add(notes.counts, notes.seconds)
        children.received.inc(notes.bytes_received)
        children.sent.inc(notes.bytes_sent)
        if notes.cut:
            self._cut.labels(door).inc(notes.cut)

    def watch(self, name: str, documentation: str, read: Callable[[], float], *, least: bool) -> None:
        """See :meth:`.Metrics.watch`."""
        if not self._folder:
            Gauge(f"dockreg_{name}", documentation, registry=self.registry).set_function(read)
            return
        mode: Literal["livemin", "livesum"] = "livemin" if least else "livesum"
        gauge = Gauge(f"dockreg_{name}", documentation, registry=self.registry, multiprocess_mode=mode)
        self._watched.append((gauge, read))

    def share(self) -> None:
        """Let the other processes see the gauges of this one, where there are others."""
        for gauge, read in self._watched:
            gauge.set(read())

    def text(self) -> bytes:
        """All figures in the text format of Prometheus, version 0.0.4. What was noted is added by whoever asks."""
        if not self._folder:
            return generate_latest(self.registry)
        self.share()
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody, self._folder)
        return generate_latest(everybody)
