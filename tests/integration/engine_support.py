"""What the scenarios of engines share."""

import json
from collections.abc import Coroutine, Mapping
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.trial.unittest import TestCase

from dockreg.testing.client import Engine
from dockreg.testing.engines import EngineProfile
from dockreg.testing.pulling import Pulled
from dockreg.testing.samples import V1Image, gzip_layer
from dockreg.testing.sessions import Account, EngineFailed
from dockreg.testing.tarsums import without_trailer
from dockreg.testing.wire import Answer, WireRequest, exchange
from tests.integration.daemon import RunningRegistry, start_registry

JOEY = Account("joey", "secret", "joey@example.org")

#: Settings under which nobody does anything without an account.
CLOSED = '[auth]\nanonymous = "none"\n'


class EngineScenarios(TestCase):
    """A registry and engines of one version; subclasses hold the tests, ``test_engines`` makes them for each version."""

    profile: EngineProfile
    tls = False
    keeps_cookies = True
    timeout = 120
    registry: RunningRegistry

    async def start(self, settings: str = "") -> None:
        """Start the registry of this test."""
        self.registry = await start_registry(self, tls=self.tls, settings=settings, only_v1=True)
        self.pauses: list[float] = []

    def engine(self, account: Account | None = None, **changes: Any) -> Engine:
        """A new engine of this version, or of one with ``changes``; it does not really wait between tries."""
        from twisted.internet import reactor

        async def pause(seconds: float) -> None:
            self.pauses.append(seconds)

        profile = evolve(self.profile, **changes)
        return Engine(
            profile,
            self.registry.host,
            reactor,
            self.registry.tls,
            account,
            pause=pause,
            keeps_cookies=self.keeps_cookies,
        )

    async def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        """One request that no engine makes, or not in this way."""
        from twisted.internet import reactor

        endpoint = HostnameEndpoint(reactor, "127.0.0.1", self.registry.port)
        lines = [("Host", self.registry.host), ("Content-Length", str(len(body))), ("Connection", "close")]
        request = WireRequest(method, path, [*lines, *(headers or {}).items()], body)
        return await exchange(wrapClientTLS(self.registry.tls, endpoint) if self.tls else endpoint, request)

    async def fails(self, doing: Coroutine[Any, Any, object]) -> EngineFailed:
        """Await what an engine does, which has to fail."""
        failed = await self.assertFailure(Deferred.fromCoroutine(doing), EngineFailed)
        assert isinstance(failed, EngineFailed)
        return failed

    def sent_layer(self, image: V1Image, profile: EngineProfile | None = None) -> bytes:
        """The bytes that an engine uploads as the layer of ``image``."""
        trailer = (profile or self.profile).writes_trailer
        return gzip_layer(image.layer if trailer else without_trailer(image.layer))

    def assert_same(self, images: list[V1Image], pulled: Pulled) -> None:
        """Each byte of ``images`` came back, and nothing else."""
        wanted = {image.id: (image.json, self.sent_layer(image)) for image in images}
        got = {image.id: (image.json, image.layer) for image in pulled.images.values()}
        self.assertEqual(sorted(wanted), sorted(got))
        for image_id, (document, layer) in wanted.items():
            self.assertEqual(document, got[image_id][0])
            self.assertTrue(layer == got[image_id][1], f"the layer of {image_id} came back changed")

    def assert_flat_error(self, answer: Answer, *statuses: int) -> None:
        """An error as v1 wants it: one member ``error``, a text."""
        self.assertIn(answer.status, statuses, answer.body)
        document = json.loads(answer.body)
        self.assertEqual(["error"], list(document))
        self.assertIsInstance(document["error"], str)
