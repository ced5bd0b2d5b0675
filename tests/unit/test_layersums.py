"""Tests of dockreg.layersums, and of pushes whose tarsum is claimed after the layer has come."""

import gzip
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

from dockreg.callables import Piece
from dockreg.errors import ChecksumMismatch, ImageConflict, LayerTooLarge
from dockreg.interfaces_blobs import IBlobReader
from dockreg.model.access import Caller
from dockreg.model.blobs import StoredBlob
from dockreg.model.v1 import Checksums, ClaimedChecksums, PushScope, V1Image
from dockreg.providers.blobs.memory import MemoryBlobStore
from dockreg.registry import AnnouncedImages, Registry
from dockreg.testing.tarsums import tarsum
from dockreg.v1images import ImageLimits, V1Images
from tests.unit.v1case import ONE, A, V1ImagesTestCase, document, here, payload, tar_layer, token

_WRONG = ClaimedChecksums(None, "tarsum+sha256:" + "0" * 64)


class _Watched(MemoryBlobStore):
    """Knows which blobs were opened, and how many readers were not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[StoredBlob] = []
        self.open_readers = 0

    async def open(self, blob: StoredBlob, start: int = 0) -> IBlobReader:
        """Watch the reader."""
        self.opened.append(blob)
        self.open_readers += 1
        return _WatchedReader(await super().open(blob, start), self)


@implementer(IBlobReader)
class _WatchedReader:
    def __init__(self, reader: IBlobReader, store: _Watched) -> None:
        self.size = reader.size
        self._reader = reader
        self._store = store

    async def read(self, limit: int) -> bytes:
        return await self._reader.read(limit)

    def close(self) -> None:
        self._store.open_readers -= 1
        self._reader.close()


class LayerSumsTestCase(V1ImagesTestCase):
    """One image is pushed, whose tarsum nobody has computed."""

    caller = token(ONE, "joe")
    content = document(A)
    layer = tar_layer("a")

    def setUp(self) -> None:
        super().setUp()
        self.blobs: Any = _Watched()
        self.registry.blobs = self.blobs
        self.announce(self.caller, ONE, A)
        self.right = ClaimedChecksums("sha256:" + "0" * 64, tarsum(self.content, gzip.decompress(self.layer), "order"))

    def send(
        self, caller: Caller | None = None, *, tarsums: bool = False, layer: Sequence[Piece] | None = None
    ) -> None:
        """Json and layer."""
        whose = caller or self.caller

        async def sent() -> None:
            await self.images.put_json(whose, A, self.content)
            upload = await self.images.start_layer(whose, A, tarsums=tarsums)
            await upload.write([self.layer] if layer is None else layer)
            await upload.finish()

        self.result(sent())

    def claim(self, claimed: ClaimedChecksums, caller: Caller | None = None) -> None:
        """The checksum."""
        self.result(self.images.put_checksum(caller or self.caller, A, claimed))

    def staged(self, caller: Caller | None = None) -> Sequence[Checksums]:
        """What is known of the layers that wait for their checksum."""
        whose = caller or self.caller
        scope = PushScope(whose.repository, whose.principal.name)
        return [layer.checksums for layer in self.result(self.metadata.images.staged_layers(scope, A))]

    def image(self) -> V1Image:
        """The complete image."""
        found = self.result(self.metadata.images.find_in(ONE, A))
        assert found is not None
        return found


class ClaimedTarsumTests(LayerSumsTestCase):
    """A tarsum is judged when it is claimed."""

    def test_payload_reads_nothing(self) -> None:
        """A payload checksum that fits is enough, whatever the tarsum beside it: the layer is not read again."""
        self.send()
        right = payload(self.content, self.layer)
        self.claim(ClaimedChecksums(right.payload, _WRONG.tarsum))
        self.assertIsNone(self.image().checksums.tarsums)
        self.assertEqual([], self.blobs.opened)

    def test_tarsum(self) -> None:
        """A tarsum that fits completes the image, which keeps it."""
        self.send()
        self.assertEqual([None], [sums.tarsums for sums in self.staged()])
        self.claim(self.right)
        self.assertEqual(frozenset((self.right.tarsum,)), self.image().checksums.tarsums)
        self.assertEqual((1, 0), (len(self.blobs.opened), self.blobs.open_readers))

    def test_while_it_arrives(self) -> None:
        """With a client that claims nothing else it is computed before, and the layer is not read again."""
        self.send(tarsums=True)
        self.assertEqual([frozenset((self.right.tarsum,))], [sums.tarsums for sums in self.staged()])
        self.claim(self.right)
        self.assertEqual([], self.blobs.opened)

    def test_wrong(self) -> None:
        """A tarsum that does not fit is refused however often it is claimed, and computed once; the right one still fits."""
        self.send()
        for claimed in (_WRONG, _WRONG, ClaimedChecksums("sha256:" + "0" * 64, _WRONG.tarsum)):
            self.refused(ChecksumMismatch, self.images.put_checksum(self.caller, A, claimed))
        self.assertEqual(1, len(self.blobs.opened))
        self.claim(self.right)
        self.assertEqual(1, len(self.blobs.opened))

    def test_no_tarsum_at_all(self) -> None:
        """What is no tarsum of this version is refused without a look at the layer."""
        self.send()
        for text in (
            "",
            "sha256:" + "0" * 64,
            "tarsum.v1+sha256:" + "0" * 64,
            "tarsum+sha256:0",
            "TARSUM+sha256:" + "0" * 64,
        ):
            self.refused(ChecksumMismatch, self.images.put_checksum(self.caller, A, ClaimedChecksums(None, text)))
        self.assertEqual([], self.blobs.opened)

    def test_has_none(self) -> None:
        """It is known at once that what is no tar, or has too many entries, has no tarsum."""
        self.images.limits = ImageLimits(max_entries=1)
        two = gzip.decompress(self.layer)[:512] + gzip.decompress(tar_layer("b"))
        for layer in (b"no tar", two, gzip.compress(two)):
            self.send(layer=[layer])
            self.assertEqual(frozenset(), self.staged()[0].tarsums)
        self.refused(ChecksumMismatch, self.images.put_checksum(self.caller, A, self.right))
        self.assertEqual([], self.blobs.opened)

    def test_empty(self) -> None:
        """No bytes at all are an archive without entries, whose tarsum costs nothing."""
        self.send(layer=[])
        self.assertEqual(frozenset((tarsum(self.content, b"", "order"),)), self.staged()[0].tarsums)

    def test_several_layers(self) -> None:
        """Of several layers the one that fits is found; what fits without is not summed."""
        self.send()
        self.send(layer=[tar_layer("b")])
        self.send(layer=[tar_layer("c")])
        self.claim(ClaimedChecksums(payload(self.content, tar_layer("b")).payload, self.right.tarsum))
        self.assertEqual([], self.blobs.opened)
        self.assertEqual((self.content, tar_layer("b")), self.read(self.caller, A))

    def test_among_several(self) -> None:
        """The newest is looked at first."""
        self.send()
        self.send(layer=[tar_layer("b")])
        self.claim(self.right)
        self.assertEqual((2, 0), (len(self.blobs.opened), self.blobs.open_readers))
        self.assertEqual((self.content, self.layer), self.read(self.caller, A))

    def test_another_worker(self) -> None:
        """Another process, which has not seen the layer, judges its tarsum, and what it has found out is there for all."""
        self.send()
        registry = Registry(self.metadata, self.blobs, self.policy, self.clock, here)
        other = V1Images(registry, AnnouncedImages(self.metadata), self.views, self.limits)
        self.refused(ChecksumMismatch, other.put_checksum(self.caller, A, _WRONG))
        self.assertEqual([frozenset((self.right.tarsum,))], [sums.tarsums for sums in self.staged()])
        self.result(other.put_checksum(self.caller, A, self.right))
        self.claim(self.right)
        self.assertEqual(1, len(self.blobs.opened))

    def test_limits_of_today(self) -> None:
        """A layer that is over a limit by now is refused, and may be sent again."""
        self.send()
        self.images.limits = ImageLimits(max_uncompressed=100)
        self.refused(LayerTooLarge, self.images.put_checksum(self.caller, A, self.right))
        self.images.limits = ImageLimits()
        self.assertEqual(0, self.blobs.open_readers)
        self.claim(self.right)

    def test_complete(self) -> None:
        """The tarsum of a complete image is computed when it is claimed, once: who sent the same is content, others are not."""
        self.send()
        self.claim(payload(self.content, self.layer))
        for _ in range(2):
            self.claim(self.right)
            self.refused(ImageConflict, self.images.put_checksum(self.caller, A, _WRONG))
        self.assertEqual(frozenset((self.right.tarsum,)), self.image().checksums.tarsums)
        self.assertEqual((1, 0), (len(self.blobs.opened), self.blobs.open_readers))


class SlowTests(LayerSumsTestCase):
    """What happens while a layer is summed, which takes long."""

    def setUp(self) -> None:
        super().setUp()
        self.send()
        self.waiting: list[Deferred[None]] = []

        async def later(function: Any, *args: Any) -> Any:
            self.waiting.append(Deferred())
            await self.waiting[-1]
            return function(*args)

        self.registry.in_thread = later

    def claiming(self, claimed: ClaimedChecksums) -> "Deferred[None]":
        """A claim that waits."""
        return Deferred.fromCoroutine(self.images.put_checksum(self.caller, A, claimed))

    def go_on(self) -> None:
        """Let all jobs end."""
        while self.waiting:
            self.waiting.pop(0).callback(None)

    def test_few_at_once(self) -> None:
        """Two at once read the layer, and who waits for them need not."""
        claims = [self.claiming(_WRONG) for _ in range(9)]
        self.assertEqual(2, len(self.waiting))
        self.go_on()
        for claim in claims:
            self.failureResultOf(claim, ChecksumMismatch)
        self.assertEqual((2, 0), (len(self.blobs.opened), self.blobs.open_readers))

    def test_nobody_waits(self) -> None:
        """When the client leaves, the computation ends, and another may begin."""
        for _ in range(5):
            claim = self.claiming(self.right)
            claim.cancel()
            self.failureResultOf(claim, CancelledError)
            self.assertEqual(0, self.blobs.open_readers)
            self.waiting.clear()
        claim = self.claiming(self.right)
        self.go_on()
        self.assertIsNone(self.successResultOf(claim))

    def test_completed_meanwhile(self) -> None:
        """Another request completes the image meanwhile: this one is judged by that image."""
        right, wrong = self.claiming(self.right), self.claiming(_WRONG)
        self.claim(payload(self.content, self.layer))
        self.go_on()
        self.assertIsNone(self.successResultOf(right))
        self.failureResultOf(wrong, ImageConflict)

    def test_sent_again_meanwhile(self) -> None:
        """The json and the layer come again meanwhile: both claims complete the same image."""
        claim = self.claiming(self.right)
        self.result(self.images.put_json(self.caller, A, self.content))
        self.go_on()
        self.assertIsNone(self.successResultOf(claim))
        self.assertEqual((self.content, self.layer), self.read(self.caller, A))
