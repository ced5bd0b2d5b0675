"""Blobs whose bytes are lost: they are not there for anybody, and a push brings them back."""

import gzip
import json
from pathlib import Path
from typing import Any

from twisted.logger import capturedLogs

from dockreg.errors import BlobUnknown, ImageExists, ImageUnknown, StoreUnavailable
from dockreg.errors_blobs import BlobLost
from dockreg.interfaces_blobs import IBlobReader
from dockreg.model.blobs import DerivedBlob, StoredBlob
from dockreg.model.conditions import Condition
from dockreg.model.digest import Digest
from dockreg.providers.blobs.staging import Folders
from tests.unit.v1case import ONE, TWO, A, document, payload, tar_layer, token
from tests.unit.v2case import JOE, ThreadedTestCase

CONTENT = b"0123456789" * 100_000
DIGEST = Digest.sha256(CONTENT)


class LostCase(ThreadedTestCase):
    """A registry with a blob in two repositories, whose file the test gets at."""

    def setUp(self) -> None:
        super().setUp()
        self.result(self.bring(ONE, CONTENT))
        self.result(self.uploads.mount(JOE, TWO, DIGEST, ONE))

    def stored(self, digest: Digest = DIGEST) -> StoredBlob:
        found = self.result(self.metadata.blobs.find(digest))
        assert isinstance(found, StoredBlob)
        return found

    def path(self, digest: Digest = DIGEST) -> Path:
        return Folders(self.folder).object_path(self.stored(digest))

    def damage(self, digest: Digest = DIGEST, place: int = -1) -> None:
        """Change a byte."""
        content = bytearray(self.path(digest).read_bytes())
        content[place] ^= 1
        self.path(digest).write_bytes(content)

    def block(self, digest: Digest = DIGEST) -> None:
        """Put something in the place of the file that nobody can open, whoever he is: a link to itself."""
        path = self.path(digest)
        path.unlink()
        path.symlink_to(path.name)

    async def bytes_of(self, reader: IBlobReader, limit: int = 1 << 18) -> bytes:
        parts = []
        try:
            while part := await reader.read(limit):
                parts.append(part)
        finally:
            reader.close()
        return b"".join(parts)

    async def pulled(self, start: int = 0, *, whole: bool = True) -> bytes:
        """As a client that goes through the door."""
        blob = await self.registry.find_blob(ONE, DIGEST)
        return await self.bytes_of(await self.registry.open_blob(blob, start, whole=whole))

    def check_lost(self, condition: Condition) -> None:
        """Nobody has it, in any repository, and everybody knows why."""
        for name in (ONE, TWO):
            self.refused(BlobLost, self.registry.find_blob(name, DIGEST))
        self.assertEqual(condition, self.stored().lost)
        self.assertIsNone(self.result(self.uploads.mount(JOE, TWO, DIGEST, ONE)))
        self.assertIsNone(self.result(self.uploads.mount(JOE, TWO, DIGEST, None)))

    def check_repaired(self) -> None:
        """A push to one repository is good for both."""
        self.result(self.bring(TWO, CONTENT))
        self.assertIsNone(self.stored().lost)
        for name in (ONE, TWO):
            self.assertEqual(CONTENT, self.content(name, DIGEST))


class LostTests(LostCase):
    """What is found when a blob is opened."""

    def test_missing(self) -> None:
        """A blob whose file is gone is known to be missing after the first read, and a push repairs it."""
        self.path().unlink()
        with capturedLogs() as events:
            self.refused(BlobLost, self.pulled())
        (event,) = [each for each in events if "condition" in each]
        self.assertEqual(
            (DIGEST, "demo/one, demo/two", "missing"),
            tuple(event[key] for key in ("digest", "repositories", "condition")),
        )
        self.check_lost(Condition.MISSING)
        self.check_repaired()

    def test_truncated(self) -> None:
        """The same of one that is shorter; when it is pushed again, what was left of it is in quarantine."""
        before = self.path()
        before.write_bytes(CONTENT[:-1])
        self.refused(BlobLost, self.pulled())
        self.check_lost(Condition.DAMAGED)
        self.check_repaired()
        self.assertFalse(before.exists())
        self.assertEqual(CONTENT[:-1], (self.folder / "quarantine" / before.name).read_bytes())

    def test_back(self) -> None:
        """A file that is there again is well again, without a push."""
        away = self.path().rename(self.folder / "away")
        self.refused(BlobLost, self.pulled())
        self.check_lost(Condition.MISSING)
        away.rename(self.path())
        self.assertEqual(CONTENT, self.result(self.pulled()))
        self.assertIsNone(self.stored().lost)

    def test_not_mounted(self) -> None:
        """While the folder of blobs is not there, nothing is noted of any of them."""
        away = self.folder.rename(self.folder.with_name(f"{self.folder.name}-away"))
        self.refused(StoreUnavailable, self.pulled())
        away.rename(self.folder)
        self.assertIsNone(self.stored().lost)
        self.assertEqual(CONTENT, self.result(self.pulled()))

    def test_small_documents(self) -> None:
        """What the registry makes itself is made again."""
        first = self.result(self.registry.store_blob(b"{}", ONE))
        self.path(first.digest).unlink()
        self.refused(BlobLost, self.registry.read_blob(ONE, first.digest, 100))
        second = self.result(self.registry.store_blob(b"{}", ONE))
        self.assertNotEqual(first, second)
        self.assertEqual(b"{}", self.content(ONE, first.digest))

    def test_two_repairs(self) -> None:
        """Of two who push it at the same time one repairs it, and nothing is left of the other."""
        self.path().unlink()
        self.refused(BlobLost, self.pulled())
        parts = [self.result(self.uploads.begin(JOE, name, DIGEST)) for name in (ONE, TWO)]
        for part in parts:
            self.result(part.write([CONTENT]))
        for part in parts:
            self.result(part.commit(DIGEST))
        self.check_repaired()
        objects = self.folder / DIGEST.algorithm
        self.assertEqual([self.path()], [path for path in objects.rglob("*") if path.is_file()])

    def test_broken_source(self) -> None:
        """A blob that can not be made of its source any more tells that the source is damaged."""
        packed = gzip.compress(CONTENT)
        self.result(self.bring(ONE, packed))
        source = self.stored(Digest.sha256(packed))
        self.damage(source.digest, len(packed) - 6)
        reader = self.result(self.registry.open_blob(DerivedBlob(DIGEST, len(CONTENT), source)))
        self.refused(BlobLost, self.bytes_of(reader))
        self.assertEqual(Condition.DAMAGED, self.stored(source.digest).lost)

    def test_derived(self) -> None:
        """A blob whose bytes are those of another one is lost with it."""
        packed = gzip.compress(CONTENT)
        self.result(self.bring(ONE, packed))
        source = self.stored(Digest.sha256(packed))
        blob = DerivedBlob(DIGEST, len(CONTENT), source)
        self.path(source.digest).unlink()
        self.refused(BlobLost, self.registry.open_blob(blob))
        self.assertEqual(Condition.MISSING, self.stored(source.digest).lost)


class VerifiedTests(LostCase):
    """With verification, wrong bytes are never given out as a blob."""

    def setUp(self) -> None:
        super().setUp()
        self.registry.soundness.verify = True

    def given(self, work: Any) -> bytes:
        """What a client has got of a blob when its connection was cut."""
        got: list[bytes] = []

        async def pull() -> None:
            reader = await work
            try:
                while part := await reader.read(1 << 18):
                    got.append(part)
            finally:
                reader.close()

        self.refused(BlobLost, pull())
        return b"".join(got)

    async def opened(self, start: int = 0, *, whole: bool = True) -> IBlobReader:
        return await self.registry.open_blob(await self.registry.find_blob(ONE, DIGEST), start, whole=whole)

    def test_whole(self) -> None:
        """A blob that is whole is given."""
        self.assertEqual(CONTENT, self.result(self.pulled()))
        self.assertEqual(CONTENT[7:], self.result(self.pulled(7)))
        self.assertEqual(CONTENT, self.result(self.pulled(whole=False)))
        self.result(self.bring(ONE, b""))
        self.assertEqual(b"", self.content(ONE, Digest.sha256(b"")))

    def test_altered(self) -> None:
        """Of one that is not, the last bytes are not given, and everybody knows."""
        for place in (0, -1):
            self.damage(place=place)
            self.assertLess(len(self.given(self.opened())), len(CONTENT))
            self.check_lost(Condition.DAMAGED)
            self.check_repaired()

    def test_parts(self) -> None:
        """Nothing is given of a part, wherever the damage is; parts of a blob that was whole are given without another look."""
        self.damage()
        self.assertEqual(b"", self.given(self.opened(whole=False)))
        self.check_repaired()
        self.assertEqual(CONTENT[7:], self.result(self.pulled(7)))
        self.damage(place=0)
        self.assertEqual(CONTENT[7:], self.result(self.pulled(7, whole=False))[:-1] + CONTENT[-1:])
        self.clock.advance(601)
        self.assertEqual(b"", self.given(self.opened(7)))

    def test_derived(self) -> None:
        """What is uncompressed for the client is compared with its own digest."""
        packed = gzip.compress(b"other bytes, of which nobody has made this blob")
        self.result(self.bring(ONE, packed))
        source = self.stored(Digest.sha256(packed))
        blob = DerivedBlob(DIGEST, 47, source)
        self.assertEqual(b"", self.given(self.registry.open_blob(blob)))
        self.assertEqual(Condition.DAMAGED, self.stored(source.digest).lost)


class V1Tests(LostCase):
    """An image whose layer is lost is one that has to be pushed again."""

    def setUp(self) -> None:
        super().setUp()
        self.caller = token(ONE, "joe")
        self.content_of_a, self.layer = document(A), tar_layer("file")
        self.announce(self.caller, ONE, A)
        self.push_all()

    def push_all(self) -> None:
        self.result(self.images.put_json(self.caller, A, self.content_of_a))
        self.result(self.put_layer(self.caller, A, self.layer))
        self.result(self.images.put_checksum(self.caller, A, payload(self.content_of_a, self.layer)))

    def lose(self) -> None:
        digest = Digest.sha256(self.layer)
        self.path(digest).unlink()
        self.refused(BlobLost, self.registry.soundness.open(self.stored(digest)))

    def test_repair(self) -> None:
        """It is unknown to who asks for it, and a push makes it whole again."""
        self.refused(ImageExists, self.images.put_json(self.caller, A, self.content_of_a))
        self.lose()
        self.refused(ImageUnknown, self.images.get(self.caller, A))
        self.push_all()
        image = self.result(self.images.get(self.caller, A)).image
        self.assertEqual(self.layer, self.result(self.bytes_of(self.result(self.registry.open_blob(image.layer)))))
        self.refused(ImageExists, self.images.put_json(self.caller, A, self.content_of_a))
        self.assertEqual(0, self.result(self.metadata.conditions.count_lost()))

    def test_after_the_layer(self) -> None:
        """A push that was begun when the image was whole ends well all the same."""
        self.lose()
        self.result(self.images.put_json(self.caller, A, self.content_of_a))
        self.result(self.bring(ONE, self.layer))  # somebody else repairs it meanwhile
        self.result(self.images.put_checksum(self.caller, A, payload(self.content_of_a, self.layer)))
        self.result(self.images.get(self.caller, A))

    def test_unknown_elsewhere(self) -> None:
        """That a repository has lost a blob is not told to who asks for another one."""
        self.lose()
        problem = self.refused(BlobUnknown, self.registry.find_blob(TWO, Digest.sha256(self.layer)))
        self.assertNotIn("lost", problem)
        self.assertEqual({"id": str(A)}, json.loads(self.content_of_a))
