"""Tests of :mod:`dockreg.quotas`: uploads in a namespace that may not have all they bring."""

from typing import Any
from unittest.mock import patch

from dockreg.errors import DigestInvalid, StoreUnavailable, UploadUnknown
from dockreg.errors_quotas import QuotaExceeded
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName
from dockreg.quotas import Quotas
from tests.unit.v1case import ONE, TWO, A, document, payload, tar_layer, token
from tests.unit.v2case import JOE, V2TestCase

MIB = 2**20
ELSEWHERE = RepositoryName("other/app")


class _QuotaCase(V2TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.quotas = self.registry.quotas = Quotas(self.metadata, self.clock, lambda: f"own-{self.clock.seconds()}")

    def limit(self, quota: int) -> None:
        """Give the namespace of the tests a quota."""
        self.result(self.metadata.quotas.set_quota(ONE.namespace, quota))
        self.result(self.quotas.look())

    def used(self) -> tuple[int, int]:
        """What is used and reserved, which is what there is."""
        for each in self.result(self.metadata.quotas.recount(None)):
            self.assertTrue(each.is_right, each)
        usage = self.result(self.metadata.quotas.usage(ONE.namespace))
        return usage.used, usage.reserved

    async def expecting(self, upload_id: str, length: int) -> Any:
        """A request that says how long it is."""
        part = await self.uploads.resume(JOE, ONE, upload_id)
        try:
            await part.expect(length)
        finally:
            await part.release()


class SessionTests(_QuotaCase):
    """Uploads over several requests."""

    def test_life(self) -> None:
        """What arrives is reserved, in steps, and no more than has arrived between requests; then it is used."""
        self.limit(100 * MIB)
        upload_id = self.start()
        part = self.result(self.uploads.resume(JOE, ONE, upload_id))
        self.result(part.write([b"12345"]))
        self.assertEqual((0, 16 * MIB + 5), self.used())
        before = self.writes(part.write([b"x"] * 1000))
        self.assertEqual(0, before)
        self.result(part.pause())
        self.assertEqual((0, 1005), self.used())
        content = b"12345" + b"x" * 1000
        self.result(self.finish(ONE, upload_id, b"", Digest.sha256(content)))
        self.assertEqual((1005, 0), self.used())

    def test_announced(self) -> None:
        """What says how long it is is refused before a byte is read, and what fits is reserved exactly."""
        self.limit(1000)
        upload_id = self.start()
        self.result(self.expecting(upload_id, 1000))
        sentence = self.refused(QuotaExceeded, self.expecting(upload_id, 1001))
        self.assertIn("the quota of namespace demo is 1000 bytes", sentence)
        self.assertEqual((0, 0), self.used())
        self.result(self.append(ONE, upload_id, b"x" * 600))
        self.refused(QuotaExceeded, self.expecting(upload_id, 401))
        self.result(self.expecting(upload_id, 400))
        self.assertEqual((0, 600), self.used())

    def test_too_much(self) -> None:
        """What turns out to be too much is refused when it comes; what had fitted stays until the session ends."""
        self.limit(1000)
        upload_id = self.start()
        self.result(self.append(ONE, upload_id, b"x" * 1000))
        self.refused(QuotaExceeded, self.append(ONE, upload_id, b"x"))
        self.assertEqual((0, 1000), self.used())
        self.refused(QuotaExceeded, self.uploads.start(JOE, TWO))
        self.result(self.uploads.start(JOE, ELSEWHERE))
        self.result(self.uploads.cancel(JOE, ONE, upload_id))
        self.assertEqual((0, 0), self.used())

    def test_expired(self) -> None:
        """Nothing stays reserved for a session that expires, whether its process is still there or not."""
        self.limit(1000)
        upload_id = self.start()
        part = self.result(self.uploads.resume(JOE, ONE, upload_id))
        self.result(part.write([b"x" * 100]))
        self.clock.advance(self.uploads.limits.session_seconds + 1)
        self.assertEqual(1, self.result(self.uploads.expire()))
        self.assertEqual((0, 0), self.used())
        self.refused(UploadUnknown, part.pause())

    def test_wrong_digest(self) -> None:
        """Nothing stays reserved for bytes that have another digest."""
        self.limit(1000)
        upload_id = self.start()
        self.refused(DigestInvalid, self.finish(ONE, upload_id, b"x", Digest.sha256(b"y")))
        self.assertEqual((0, 0), self.used())

    def test_lowered(self) -> None:
        """When room is gone at the end the session ends, and nothing of it is kept."""
        upload_id = self.start()
        self.result(self.append(ONE, upload_id, b"x" * 10))
        self.result(self.metadata.quotas.set_quota(ONE.namespace, 5))
        digest = Digest.sha256(b"x" * 10)
        self.refused(QuotaExceeded, self.finish(ONE, upload_id, b"", digest))
        self.refused(UploadUnknown, self.uploads.size(JOE, ONE, upload_id))
        self.assertEqual((0, 0), self.used())
        self.assertIsNone(self.result(self.metadata.blobs.find(digest)))


class RequestTests(_QuotaCase):
    """Uploads that are one request."""

    def test_life(self) -> None:
        """It is reserved while it comes, and used in the end; what the namespace has already costs nothing."""
        self.limit(1000)
        content = b"x" * 900
        part = self.result(self.uploads.begin(JOE, ONE, Digest.sha256(content)))
        self.result(part.expect(900))
        self.assertEqual((0, 900), self.used())
        self.result(part.write([content]))
        self.result(part.commit(Digest.sha256(content)))
        self.assertEqual((900, 0), self.used())
        again = self.result(self.uploads.begin(JOE, TWO, Digest.sha256(content)))
        self.result(again.expect(900))
        self.result(again.write([content]))
        self.result(again.commit(Digest.sha256(content)))
        self.assertEqual((900, 0), self.used())
        self.refused(QuotaExceeded, self.bring(ONE, b"y" * 101))
        self.assertEqual((900, 0), self.used())

    def test_last(self) -> None:
        """The last bytes take what they are; where more may come, more is taken."""
        self.limit(2**30)
        for last, reserved in ((True, 900), (False, 900 + 16 * 2**20)):
            part = self.result(self.uploads.begin(JOE, ONE, Digest.sha256(b"x")))
            self.result(part.write([b"x" * 900], last=last))
            self.assertEqual((0, reserved), self.used())
            self.result(part.release())

    def test_hidden(self) -> None:
        """A blob that somebody else has costs, and is refused, as one that nobody has."""
        self.limit(10)
        self.result(self.bring(ELSEWHERE, b"x" * 11))
        for content in (b"x" * 11, b"y" * 11):
            part = self.result(self.uploads.begin(JOE, ONE, Digest.sha256(content)))
            sentence = self.refused(QuotaExceeded, part.expect(11))
            self.assertIn("no room for 11 more", sentence)
            self.result(part.release())
        self.assertEqual((0, 0), self.used())

    def test_gone(self) -> None:
        """Nothing stays reserved when the client goes away, or the process is killed and an hour has passed."""
        self.limit(1000)
        part = self.result(self.uploads.begin(JOE, ONE, Digest.sha256(b"x")))
        self.result(part.expect(500))
        self.result(part.release())
        self.assertEqual((0, 0), self.used())
        self.clock.advance(1)
        part = self.result(self.uploads.begin(JOE, ONE, Digest.sha256(b"x")))
        self.result(part.expect(500))
        self.clock.advance(3601)
        self.assertEqual((0, 500), self.used())
        self.result(self.uploads.expire())
        self.assertEqual((0, 0), self.used())
        self.result(part.write([b"x"] * 10))

    def test_mount(self) -> None:
        """A mount from another namespace needs room; within the namespace it costs nothing."""
        self.limit(10)
        self.result(self.bring(ELSEWHERE, b"x" * 11))
        self.result(self.bring(ONE, b"y" * 10))
        self.refused(QuotaExceeded, self.uploads.mount(JOE, ONE, Digest.sha256(b"x" * 11), ELSEWHERE))
        self.assertIsNotNone(self.result(self.uploads.mount(JOE, TWO, Digest.sha256(b"y" * 10), ONE)))
        self.assertEqual((10, 0), self.used())


class V1Tests(_QuotaCase):
    """Layers of v1 images."""

    def test_layers(self) -> None:
        """Room is reserved while a layer comes, and it is used once the image is complete."""
        caller, layer = token(ONE, "joe"), tar_layer("x")
        self.limit(len(layer) + 5)
        self.announce(caller, ONE, A)
        self.result(self.images.put_json(caller, A, document(A)))
        upload = self.result(self.images.start_layer(caller, A))
        self.refused(QuotaExceeded, upload.expect(len(layer) + 6))
        self.result(upload.expect(len(layer)))
        self.assertEqual((0, len(layer)), self.used())
        self.result(upload.abort())
        self.assertEqual((0, 0), self.used())
        self.clock.advance(1)
        self.result(self.put_layer(caller, A, layer))
        self.assertEqual((0, 0), self.used())
        self.result(self.images.put_checksum(caller, A, payload(document(A), layer)))
        self.assertEqual((len(layer), 0), self.used())

    def test_not_recorded(self) -> None:
        """What was reserved for a layer is given back when that could not be recorded."""
        self.limit(100 * MIB)
        caller = token(ONE, "joe")
        self.announce(caller, ONE, A)
        self.result(self.images.put_json(caller, A, document(A)))

        async def fail(*_args: object) -> None:
            raise StoreUnavailable("the database went away")

        with patch.object(self.metadata.images, "stage_layer", fail):
            self.refused(StoreUnavailable, self.put_layer(caller, A, tar_layer("a")))
        self.assertEqual((0, 0), self.used())
