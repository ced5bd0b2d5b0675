"""What a registry that was put together does by itself; its ports, and the order of its start."""

from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from dockreg.config import read_config
from dockreg.lifecycle import RegistryService
from dockreg.model.v1 import ImageID, ImageJSON, PushScope
from dockreg.providers.auth.keys import BEARERS
from dockreg.service import make_registry_service, open_registry
from dockreg.tokens import make_keyring
from tests.unit.others import OtherBlobs

T = TypeVar("T")


class LifeTests(SynchronousTestCase):
    """What a registry that was put together does by itself."""

    def setUp(self) -> None:
        """A folder, and a reactor of which nothing runs by itself."""
        self.reactor = MemoryReactorClock()
        self.top = f"data_dir = '{Path(self.mktemp()).absolute()}'\n"

    def result(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of what waits for nothing: before its reactor runs, a registry works without threads."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def start(self, service: RegistryService) -> None:
        """Start, and stop after the test."""
        service.startService()
        self.addCleanup(service.stopService)
        self.successResultOf(service.when_started())

    def staged(self, opened: Any, image_id: ImageID) -> Sequence[object]:
        """What is staged of an image that somebody began to push."""
        found: Sequence[object] = self.result(
            opened.core.registry.metadata.images.staged(PushScope(None, "anna"), image_id)
        )
        return found

    def test_expiry(self) -> None:
        """An image that was begun and not finished is dropped once its time is over, and one begun later is not."""
        opened = open_registry(read_config(f"{self.top}v1.staging_seconds = 5000"), self.reactor)
        service = RegistryService(opened.plan(set_closed=lambda _: None), self.reactor, self.reactor)
        for child in opened.threads.all():
            child.setServiceParent(service)
        self.start(service)
        early, late = ImageID("a" * 64), ImageID("b" * 64)
        images = opened.core.registry.metadata.images
        for image_id, seconds in ((early, 4800), (late, 0)):
            document = ImageJSON.parse(b'{"id": "%s"}' % str(image_id).encode())
            self.result(images.stage_json(PushScope(None, "anna"), document, None, self.reactor.seconds()))
            self.reactor.pump([600.0] * (seconds // 600))
        self.assertEqual((1, 1), (len(self.staged(opened, early)), len(self.staged(opened, late))))
        self.reactor.advance(600.0)
        self.assertEqual((0, 1), (len(self.staged(opened, early)), len(self.staged(opened, late))))

    def test_keys(self) -> None:
        """A key of tokens that was replaced is dropped once its last token has expired; none is made without need."""
        opened = open_registry(read_config(f"{self.top}auth.bearer_seconds = 300"), self.reactor)
        service = RegistryService(opened.plan(set_closed=lambda _: None), self.reactor, self.reactor)
        for child in opened.threads.all():
            child.setServiceParent(service)
        self.start(service)
        metadata: Any = opened.core.registry.metadata
        tokens: Any = opened.core.token_service
        self.assertEqual({}, self.result(metadata.keys.list_all()))
        self.result(tokens.public_keys())
        new = self.result(make_keyring(metadata, self.reactor).rotate(BEARERS))
        # A token lives for 300 seconds, clocks may differ by as many, and every 600 it is looked at.
        for seconds, left in ((599, 2), (1, 1), (6000, 1)):
            self.reactor.advance(seconds)
            keys = self.result(metadata.keys.list_all())[BEARERS.name]
            self.assertEqual((new, left), (keys[0], len(keys)))

    def test_ports_last(self) -> None:
        """Ports are opened once the metadata answers and what a crash left among the blobs is settled."""
        config = read_config(
            f"{self.top}blobs.provider = '{OtherBlobs.__module__}.OtherBlobs'\nmetrics.listen = ['tcp:5001']"
        )
        # The reactor of the test is not that exact about addresses.
        config = attrs.evolve(config, allow_unauthenticated=True)
        service = make_registry_service(config, self.reactor)
        self.start(service)
        plan: Any = service._plan
        self.assertEqual([{"recorded": False, "ports": 0}], plan.blobs._store.events)
        self.assertEqual([5000, 5001], [port for port, *_ in self.reactor.tcpServers])
