"""Blobs that are uncompressed while they are read."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from functools import partial
from typing import Any

import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dockreg import derived
from dockreg.derived import inspect_layer, open_blob
from dockreg.errors import BlobUnknown, LayerTooLarge, RangeInvalid
from dockreg.errors_blobs import BlobLost
from dockreg.interfaces_blobs import IBlobReader
from dockreg.model.blobs import Blob, DerivedBlob, StoredBlob
from dockreg.model.digest import Digest
from dockreg.model.v1 import LayerFacts
from dockreg.providers.blobs.memory import MemoryBlobStore
from dockreg.testing import contracts
from tests.unit.providers.blobs.threads import Threads, at_once

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": partial(gzip.compress, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
CONTENT = b"".join(b"%d, " % number for number in range(60_000))
ZEROS = bytes(8 << 20)


def make_tar(*contents: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for number, content in enumerate(contents):
            member = tarfile.TarInfo(f"file-{number}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


class DerivedCase(contracts.Contract):
    """A store, and blobs derived from what is in it."""

    def setUp(self) -> None:
        self.blobs = MemoryBlobStore()

    async def derive(self, stored: bytes, content: bytes, size: int | None = None) -> DerivedBlob:
        """The blob ``content``, or one of ``size`` bytes, whose source holds ``stored``."""
        source = await contracts.store(self.blobs, [stored])
        return DerivedBlob(Digest.sha256(content), len(content) if size is None else size, source)

    async def read(self, blob: Blob, start: int = 0, *limits: int) -> bytes:
        """All bytes from ``start``, read in pieces of ``limits``, the last of which is repeated."""
        reader = await open_blob(self.blobs, at_once, blob, start)
        pieces = []
        try:
            for limit in limits[:-1]:
                pieces.append(await reader.read(limit))
                self.assertTrue(len(pieces[-1]) <= limit)
            while piece := await reader.read(limits[-1] if limits else 1 << 16):
                pieces.append(piece)
        finally:
            reader.close()
        return b"".join(pieces)


class OpenTests(DerivedCase):
    """A derived blob is read like any other."""

    async def test_interface(self) -> None:
        """A reader has all that its interface declares."""
        reader = await open_blob(self.blobs, at_once, await self.derive(b"abc", b"abc"))
        verifyObject(IBlobReader, reader)
        self.assertEqual(3, reader.size)
        reader.close()

    async def test_stored(self) -> None:
        """A blob with bytes of its own is opened as it is."""
        stored = await contracts.store(self.blobs, [gzip.compress(b"abc")])
        self.assertEqual(gzip.compress(b"abc")[5:], await self.read(stored, 5))

    async def test_compressions(self) -> None:
        """It is the uncompressed bytes of its source, however that was compressed."""
        for name, compress in COMPRESSIONS.items():
            blob = await self.derive(compress(CONTENT), CONTENT)
            self.assertTrue(await self.read(blob) == CONTENT, name)

    async def test_every_start(self) -> None:
        """It can be read from any byte on, and from its end."""
        content = CONTENT[:100]
        for compress in COMPRESSIONS.values():
            blob = await self.derive(compress(content), content)
            for start in range(len(content) + 1):
                self.assertEqual(content[start:], await self.read(blob, start))

    async def test_far_start(self) -> None:
        """What lies before the start is passed over, however much it is."""
        content = ZEROS + CONTENT
        blob = await self.derive(gzip.compress(content), content)
        self.assertTrue(await self.read(blob, len(ZEROS) - 3) == content[len(ZEROS) - 3 :])

    async def test_start_beyond(self) -> None:
        """A start outside is a RangeInvalid that tells the size."""
        blob = await self.derive(gzip.compress(CONTENT), CONTENT)
        for start in (-1, len(CONTENT) + 1):
            problem = await self.raises(RangeInvalid, open_blob(self.blobs, at_once, blob, start))
            self.assertEqual(len(CONTENT), problem.size)

    async def test_empty(self) -> None:
        """It may be empty, whatever its source is."""
        for compress in COMPRESSIONS.values():
            self.assertEqual(b"", await self.read(await self.derive(compress(b""), b"")))

    async def test_closed(self) -> None:
        """A reader that is closed, once or twice, gives no more, and has closed its source."""
        reader: Any = await open_blob(self.blobs, at_once, await self.derive(gzip.compress(CONTENT), CONTENT))
        self.assertEqual(CONTENT[:7], await reader.read(7))
        reader.close()
        reader.close()
        await self.raises(ValueError, reader.read(1))
        await self.raises(ValueError, reader._source.read(1))

    async def test_bounded(self) -> None:
        """However small the source and large the limit, a read gives no more than a step at once."""
        for compress in COMPRESSIONS.values():
            blob = await self.derive(compress(ZEROS), ZEROS)
            reader = await open_blob(self.blobs, at_once, blob)
            sizes = []
            while data := await reader.read(1 << 30):
                sizes.append(len(data))
            self.assertEqual((True, len(ZEROS)), (max(sizes) <= derived._STEP_BYTES, sum(sizes)))


class ReadingTests(SynchronousTestCase):
    """Reads of any size, from anywhere."""

    case: DerivedCase
    stored: dict[str, DerivedBlob]

    def setUp(self) -> None:
        self.case = DerivedCase()
        self.case.setUp()
        self.stored = {
            name: self.result(self.case.derive(compress(CONTENT), CONTENT)) for name, compress in COMPRESSIONS.items()
        }

    def result(self, work: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    @settings(deadline=None)
    @given(
        st.sampled_from(sorted(COMPRESSIONS)),
        st.integers(0, len(CONTENT)),
        st.lists(st.integers(1, 400_000), min_size=1, max_size=4).filter(lambda limits: limits[-1] > 5000),
    )
    def test_any(self, name: str, start: int, limits: list[int]) -> None:
        """Whatever the start and the limits, the bytes are those of the uncompressed content."""
        self.assertTrue(self.result(self.case.read(self.stored[name], start, *limits)) == CONTENT[start:])


class DamageTests(DerivedCase):
    """A source that is not what it was never passes for the blob."""

    async def refused(self, blob: DerivedBlob, start: int = 0) -> bytes:
        """What was given before it was said that the blob is lost."""
        reader = await open_blob(self.blobs, at_once, blob, start)
        given = b""
        try:
            while True:
                piece = await reader.read(50_000)
                self.assertTrue(piece, "the blob ended well")
                given += piece
        except BlobLost as problem:
            self.assertIn(str(blob.digest), str(problem))
        finally:
            reader.close()
        return given

    async def test_cut_short(self) -> None:
        """A source that is cut short gives less than the blob, if anything, and then an error."""
        for name, compress in COMPRESSIONS.items():
            whole = compress(CONTENT)
            for length in (0, 6, len(whole) // 2, len(whole) - 1):
                given = await self.refused(await self.derive(whole[:length], CONTENT))
                self.assertTrue(len(given) < len(CONTENT) and CONTENT.startswith(given), f"{name} {length}")

    async def test_broken(self) -> None:
        """A checksum at the end that is wrong is found before the last bytes are given."""
        whole = bytearray(gzip.compress(CONTENT))
        whole[-6] ^= 1
        for start in (0, len(CONTENT) - 1):
            blob = await self.derive(bytes(whole), CONTENT)
            self.assertTrue(len(await self.refused(blob, start)) < len(CONTENT) - start)

    async def test_other_size(self) -> None:
        """A source that uncompresses to fewer or more bytes than were recorded ends in an error."""
        for compress in COMPRESSIONS.values():
            for size in (len(CONTENT) - 1, len(CONTENT) + 1, len(CONTENT) - 100_000):
                blob = await self.derive(compress(CONTENT), CONTENT, size)
                self.assertTrue(len(await self.refused(blob)) < size + 1)

    async def test_part(self) -> None:
        """A part in the middle is given, whatever comes behind it."""
        blob = await self.derive(gzip.compress(CONTENT)[:-9], CONTENT)
        reader = await open_blob(self.blobs, at_once, blob, 10)
        self.assertEqual(CONTENT[10:20], await reader.read(10))

    async def test_gone(self) -> None:
        """Without its source the blob is unknown, by its own digest."""
        blob = await self.derive(gzip.compress(CONTENT), CONTENT)
        await self.blobs.delete(blob.source)
        problem = await self.raises(BlobUnknown, open_blob(self.blobs, at_once, blob))
        self.assertEqual(str(blob.digest), problem.digest)


class TurnTests(DerivedCase):
    """Few uncompress at once."""

    def setUp(self) -> None:
        super().setUp()
        self.threads = Threads()
        self.turn = DeferredSemaphore(1)

    async def open(self, start: int = 0) -> IBlobReader:
        blob = await self.derive(gzip.compress(ZEROS), ZEROS)
        return await open_blob(self.blobs, self.threads.in_thread, blob, start, turn=self.turn)

    async def test_one_after_the_other(self) -> None:
        """While one uncompresses another one waits; one that nobody reads from is in nobody's way."""
        readers = [await self.open() for _ in range(2)]
        reading = [Deferred.fromCoroutine(reader.read(10)) for reader in readers]
        deliver = self.threads.run()
        self.assertRaises(IndexError, self.threads.run)
        deliver()
        self.assertEqual(bytes(10), await reading[0])
        self.threads.run_all()
        self.assertEqual(bytes(10), await reading[1])
        self.assertEqual(1, self.turn.tokens)

    async def test_steps(self) -> None:
        """Passing over much is done in steps, between which others have their turn."""
        far, near = await self.open(len(ZEROS) - 10), await self.open()
        passing, reading = (Deferred.fromCoroutine(reader.read(10)) for reader in (far, near))
        self.threads.run()()
        self.threads.run()()
        self.assertEqual(bytes(10), await reading)
        self.assertFalse(passing.called)
        self.threads.run_all()
        self.assertEqual(bytes(10), await passing)

    async def test_cancelled(self) -> None:
        """Who goes away while it waits or uncompresses leaves its turn to others."""
        for _ in range(2):
            readers = [await self.open() for _ in range(2)]
            reading = [Deferred.fromCoroutine(reader.read(10)) for reader in readers]
            for each in reversed(reading):
                each.cancel()
                await self.raises(CancelledError, each)
            self.assertEqual(1, self.turn.tokens)
            self.threads.run_all()


class InspectTests(DerivedCase):
    """What is found out about a layer that is stored already."""

    async def inspect(self, layer: bytes, max_uncompressed: int = 1 << 30) -> LayerFacts:
        stored = await contracts.store(self.blobs, [layer])
        return await inspect_layer(self.blobs, at_once, stored, max_uncompressed)

    async def test_facts(self) -> None:
        """Its compression, and the digest, size and entries of its tar."""
        tar = make_tar(b"one", b"two" * 1_000_000)
        for name, compress in COMPRESSIONS.items():
            expected = LayerFacts(name, Digest.sha256(tar), len(tar), 2)
            self.assertEqual(expected, await self.inspect(compress(tar)))

    async def test_no_tar(self) -> None:
        """Of what is no tar only the compression is known."""
        self.assertEqual(LayerFacts("gzip"), await self.inspect(gzip.compress(b"x" * 600)))

    async def test_too_large(self) -> None:
        """A layer that unpacks to too much is given up."""
        await self.raises(LayerTooLarge, self.inspect(gzip.compress(make_tar(ZEROS)), 1 << 20))

    async def test_unknown(self) -> None:
        """A blob that is not there is unknown."""
        blob = StoredBlob(Digest.sha256(b""), "none", 0)
        await self.raises(BlobUnknown, inspect_layer(self.blobs, at_once, blob, 1))
