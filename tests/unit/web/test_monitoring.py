"""Tests of :mod:`dockreg.web.monitoring`."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from treq.client import HTTPClient
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import StorageFull, StoreUnavailable
from dockreg.web.monitoring import Metrics, Monitoring, MonitoringResource, door_of
from dockreg.web.records import BUCKETS
from tests.unit.web.test_accesslog import RECORD


class _Store:
    """Checks as it is told, and counts how often."""

    def __init__(self) -> None:
        self.checks = 0
        self.answer: Callable[[], Awaitable[None]] = lambda: succeed(None)

    async def check(self) -> None:
        self.checks += 1
        await self.answer()


def _fail(error: Exception) -> Callable[[], Awaitable[None]]:
    async def answer() -> None:
        raise error

    return answer


class MonitoringTests(SynchronousTestCase):
    """:class:`dockreg.web.monitoring.Monitoring` behind :class:`dockreg.web.monitoring.MonitoringResource`."""

    def setUp(self) -> None:
        """A service whose parts are well."""
        self.clock = Clock()
        self.metadata, self.blobs = _Store(), _Store()
        self.figures = Metrics(process=False)
        metadata: Any = self.metadata
        blobs: Any = self.blobs
        self.monitoring = Monitoring(metadata, blobs, self.figures, self.clock)
        self.agent = RequestTraversalAgent(MonitoringResource(self.monitoring))
        self.client = HTTPClient(self.agent)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        asked = self.client.get(f"http://localhost{path}")
        return self.answer(asked)

    def answer(self, asked: "Deferred[Any]") -> tuple[int, str]:
        """Status and body of what was asked."""
        self.agent.flush()
        response = self.successResultOf(asked)
        return response.code, self.successResultOf(response.text())

    def test_alive(self) -> None:
        """``/healthz`` answers, whatever the stores do."""
        self.metadata.answer = _fail(StoreUnavailable("gone"))
        self.assertEqual((200, '{"alive": true}'), self.get("/healthz"))
        self.assertEqual(0, self.metadata.checks)

    def test_ready(self) -> None:
        """``/readyz`` is 200 when both stores work."""
        self.assertEqual((200, '{"ready": true, "failures": []}'), self.get("/readyz"))

    def test_not_ready(self) -> None:
        """``/readyz`` is 503 and names the part that fails, not why; the log knows why."""
        self.metadata.answer = _fail(StoreUnavailable("db.internal refuses"))
        with capturedLogs() as events:
            code, body = self.get("/readyz")
        self.assertEqual((503, ["metadata"]), (code, json.loads(body)["failures"]))
        self.assertNotIn("db.internal", body)
        self.assertEqual(["db.internal refuses"], [event["problem"] for event in events if "problem" in event])

    def test_every_failure(self) -> None:
        """A full disk, and a provider that breaks its promise, are failures as well."""
        self.metadata.answer = _fail(KeyError("x"))
        self.blobs.answer = _fail(StorageFull())
        code, body = self.get("/readyz")
        self.assertEqual((503, ["blobs", "metadata"]), (code, json.loads(body)["failures"]))
        self.assertEqual(1, len(self.flushLoggedErrors(KeyError)))

    def test_hangs(self) -> None:
        """A store that does not answer within ten seconds is not ready."""
        self.blobs.answer = Deferred
        asked = self.client.get("http://localhost/readyz")
        self.assertNoResult(asked)
        self.clock.advance(10)
        code, body = self.answer(asked)
        self.assertEqual((503, ["blobs"]), (code, json.loads(body)["failures"]))

    def test_closed(self) -> None:
        """A service that is starting or stopping is not ready, and nothing is asked of its stores."""
        self.monitoring.closed = "the registry is stopping"
        code, body = self.get("/readyz")
        self.assertEqual((503, ["service"]), (code, json.loads(body)["failures"]))
        self.assertEqual(0, self.metadata.checks)

    def test_kept(self) -> None:
        """What was found is good for two seconds, so that asking often is no load."""
        self.get("/readyz")
        self.clock.advance(1.9)
        self.get("/readyz")
        self.assertEqual(1, self.blobs.checks)
        self.clock.advance(0.2)
        self.get("/readyz")
        self.assertEqual(2, self.blobs.checks)

    def test_shared(self) -> None:
        """Requests that come together share one check."""
        going: Deferred[None] = Deferred()
        self.metadata.answer = lambda: going
        asked = [self.client.get("http://localhost/readyz") for _ in range(3)]
        going.callback(None)
        self.assertEqual([200, 200, 200], [self.answer(each)[0] for each in asked])
        self.assertEqual(1, self.metadata.checks)

    def test_unknown(self) -> None:
        """A listener of its own serves nothing else."""
        self.assertEqual(404, self.get("/v1/_ping")[0])

    def test_figures(self) -> None:
        """``/metrics`` counts requests by door, method and class of status, bytes in and out, and what was cut."""
        self.figures.observe(attrs.evolve(RECORD, bytes_received=7))
        self.figures.observe(attrs.evolve(RECORD, status=404, complete=False))
        self.figures.observe(attrs.evolve(RECORD, method="BREW", path="/x"))
        text = self.get("/metrics")[1]
        for line in (
            'dockreg_requests_total{door="v1",method="GET",status="2xx"} 1.0',
            'dockreg_requests_total{door="v1",method="GET",status="4xx"} 1.0',
            'dockreg_requests_total{door="other",method="other",status="2xx"} 1.0',
            'dockreg_received_bytes_total{door="v1"} 7.0',
            'dockreg_sent_bytes_total{door="v1"} 8.0',
            'dockreg_cut_responses_total{door="v1"} 1.0',
            'dockreg_request_seconds_count{door="v1",method="GET"} 2.0',
        ):
            self.assertIn(line + "\n", text)

    def test_other_methods(self) -> None:
        """Only reading is served, and what is refused is not repeated on a page."""
        for method, path, status in (("POST", "/readyz", 405), ("BREW", "/metrics", 405), ("PUT", "/<b>", 404)):
            asked = self.client.request(method, f"http://localhost{path}", data=b"")
            self.agent.flush()
            response = self.successResultOf(asked)
            body = self.successResultOf(response.text())
            self.assertEqual((status, ["error"]), (response.code, list(json.loads(body))))
            self.assertEqual(["application/json"], response.headers.getRawHeaders("content-type"))
            self.assertNotIn("<b>", body)
        asked = self.client.head("http://localhost/nowhere")
        self.assertEqual((404, ""), self.answer(asked))

    def test_watched(self) -> None:
        """A gauge shows the value of the moment."""
        values = [1.0, 5.0]
        self.figures.watch("open_connections", "Connections.", values.pop)
        self.assertIn("dockreg_open_connections 5.0\n", self.get("/metrics")[1])
        self.assertIn("dockreg_open_connections 1.0\n", self.get("/metrics")[1])

    def test_watched_late(self) -> None:
        """A gauge that is added when somebody has looked already is shown like others."""
        self.figures.watch("early", "Before.", lambda: 1.0)
        self.assertIn("dockreg_early 1.0\n", self.get("/metrics")[1])
        self.figures.watch("late", "After.", lambda: 2.0)
        text = self.get("/metrics")[1]
        self.assertIn("dockreg_early 1.0\n", text)
        self.assertIn("dockreg_late 2.0\n", text)

    def test_own_registry(self) -> None:
        """Two services in one process do not share their figures."""
        other = Metrics()
        self.figures.observe(RECORD)
        self.assertNotIn(b"dockreg_requests_total{", other.text())
        self.assertIn(b"process_resident_memory_bytes", other.text())


class CountedTests(SynchronousTestCase):
    """Figures that are noted first, and added when somebody looks."""

    @given(st.lists(st.one_of(st.floats(0, 400), st.sampled_from([0.001, 0.005, 300.0, 0.0])), max_size=30))
    def test_same(self, seconds: list[float]) -> None:
        """They are those of the library, however often somebody looks."""
        figures, registry = Metrics(process=False), CollectorRegistry()
        plain = Histogram("dockreg_request_seconds", "x", buckets=BUCKETS, registry=registry)
        for number, each in enumerate(seconds):
            figures.observe(attrs.evolve(RECORD, seconds=each))
            plain.observe(each)
            if number % 7 == 3:
                figures.text()
        kinds = {"_bucket", "_count", "_sum"}
        expected = {(kind, le): value for kind, le, value in _samples(registry) if kind in kinds}
        found = {(kind, le): value for kind, le, value in _samples(figures.figures.registry) if kind in kinds}
        self.assertEqual(expected.keys() if seconds else set(), found.keys())
        for key, value in found.items():
            self.assertAlmostEqual(expected[key], value, places=6, msg=str(key))

    def test_soon(self) -> None:
        """Where several processes put their figures together, those of one turn are added in its end, once."""
        later: list[Callable[[], None]] = []
        figures = Metrics(folder=self.mktemp(), soon=later.append)
        for _ in range(3):
            figures.observe(RECORD)
        self.assertEqual(1, len(later))
        later.pop()()
        figures.observe(RECORD)
        self.assertEqual(1, len(later))
        later.pop()()
        self.assertIn(("_count", "", 4.0), _samples(figures.figures.registry))


def _samples(registry: CollectorRegistry) -> list[tuple[str, str, float]]:
    return [
        (sample.name.removeprefix(metric.name), sample.labels.get("le", ""), sample.value)
        for metric in registry.collect()
        if metric.name == "dockreg_request_seconds"
        for sample in metric.samples
    ]


class DoorTests(SynchronousTestCase):
    """:func:`dockreg.web.monitoring.door_of`."""

    def test_doors(self) -> None:
        """A path belongs to one of a few doors, whatever a client makes up."""
        for door, path in [
            ("v1", "/v1/_ping"),
            ("v1", "/_ping"),
            ("v1", "/v1/images/x/json"),
            ("hub", "/v1/users/"),
            ("hub", "/v1/search"),
            ("v2", "/v2/"),
            ("monitoring", "/readyz"),
            ("other", "/"),
            ("other", ""),
            ("other", "v1"),
            ("other", "/v3"),
        ]:
            self.assertEqual(door, door_of(path), path)
