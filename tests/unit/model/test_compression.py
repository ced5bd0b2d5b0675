"""Tests of dockreg.model.compression."""

import bz2
import gzip
import lzma
import tracemalloc
import zlib
from collections.abc import Callable

import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.compression import MAX_PIECE, CompressionInvalid, Decompressor, detect
from dockreg.testing.samples import bytes_of, gzip_layer

_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
}
_SAMPLE = bytes_of("compression", 70_000) + bytes(1_500_000) + b"text " * 20_000


def uncompressed(data: bytes, step: int = 1 << 20, decompressor: Decompressor | None = None) -> bytes:
    """What ``data`` uncompresses to when it arrives in pieces of ``step`` bytes."""
    decompressor = decompressor or Decompressor()
    pieces = []
    for start in range(0, len(data), step):
        pieces += [bytes(piece) for piece in decompressor.feed(data[start : start + step])]
    pieces += [bytes(piece) for piece in decompressor.finish()]
    assert all(0 < len(piece) <= MAX_PIECE for piece in pieces)
    return b"".join(pieces)


class DetectTests(SynchronousTestCase):
    """The format by the first bytes."""

    def test_formats(self) -> None:
        """Each format is known by its first bytes; everything else is none."""
        for name, pack in _PACKERS.items():
            self.assertEqual(name, detect(pack(b"x")[:6]))
        for start in (b"", b"\x1f\x8b", b"hello", b"\x1f\x8b\x07abc"):
            self.assertEqual("none", detect(start))


class DecompressorTests(SynchronousTestCase):
    """The uncompressed bytes of every format."""

    def test_every_format(self) -> None:
        """The content comes back whatever the size of the pieces that arrive."""
        for name, pack in _PACKERS.items():
            packed = pack(_SAMPLE)
            for step in (1, 7, 4096, 1 << 20):
                if step > 1 or len(packed) < 100_000:
                    decompressor = Decompressor()
                    self.assertTrue(uncompressed(packed, step, decompressor) == _SAMPLE, (name, step))
                    self.assertEqual(name, decompressor.compression)

    def test_none(self) -> None:
        """Bytes that are not compressed pass unchanged, as do very few bytes and none."""
        for content in (b"", b"x", b"\x1f\x8b", b"hello!", _SAMPLE):
            for step in (1, 1 << 20) if len(content) < 100 else (5000, 1 << 20):
                decompressor = Decompressor()
                self.assertTrue(content == uncompressed(content, step, decompressor))
                self.assertEqual("none", decompressor.compression)

    def test_views(self) -> None:
        """Memory views may be fed, and uncompressed bytes are not copied."""
        content = bytearray(b"no compression here")
        (piece,) = Decompressor().feed(memoryview(content))
        self.assertIsInstance(piece, memoryview)
        content[0:2] = b"NO"
        self.assertEqual(b"NO compression here", bytes(piece))

    def test_several_streams(self) -> None:
        """Streams that follow each other are one content, with zeros between and after them."""
        for name, pack in _PACKERS.items():
            packed = pack(b"one ") + pack(b"") + pack(b"two ") + bytes(8) + pack(b"three") + bytes(10_000)
            for step in (1, 11, 1 << 20):
                self.assertEqual(b"one two three", uncompressed(packed, step), (name, step))

    def test_many_small_streams(self) -> None:
        """Thousands of tiny streams in one piece take no copy of the piece each."""
        packed = (gzip.compress(b"x", mtime=0) + b"\0") * 20_000
        self.assertEqual(b"x" * 20_000, uncompressed(packed, len(packed)))

    def test_engine_gzip(self) -> None:
        """The flush points of an engine's gzip stream are harmless, and an empty stream is empty content."""
        self.assertTrue(uncompressed(gzip_layer(_SAMPLE)) == _SAMPLE)
        self.assertEqual(b"", uncompressed(gzip_layer(b"")))

    def test_skippable_frame(self) -> None:
        """A frame of zstd that only carries notes is skipped."""
        notes = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"notes"
        self.assertEqual(b"onetwo", uncompressed(zstandard.compress(b"one") + notes + zstandard.compress(b"two")))

    def test_cut(self) -> None:
        """A stream that ends early is an error at the end, at every length."""
        for pack in _PACKERS.values():
            packed = pack(b"hello hello hello")
            for length in range(6, len(packed)):
                with self.assertRaises(CompressionInvalid):
                    uncompressed(packed[:length])

    def test_cut_in_a_later_stream(self) -> None:
        """So is a second stream that ends early."""
        for pack in _PACKERS.values():
            with self.assertRaises(CompressionInvalid):
                uncompressed(pack(b"one") + pack(b"two")[:-1])

    def test_garbage(self) -> None:
        """Bytes after a stream that are no stream are an error, as they are for Go's readers."""
        for pack in _PACKERS.values():
            for garbage in (b"garbage", b"\0\0\0garbage", pack(b"x")[:3]):
                with self.assertRaises(CompressionInvalid):
                    uncompressed(pack(b"one") + garbage)

    def test_broken(self) -> None:
        """A wrong check sum, or content that was changed, is an error."""
        for name, pack in _PACKERS.items():
            packed = bytearray(pack(bytes_of("broken", 3000)) if name != "zstd" else _checked_zstd())
            packed[len(packed) // 2] ^= 0x55
            with self.assertRaises(CompressionInvalid, msg=name):
                uncompressed(bytes(packed))

    def test_memory_limit(self) -> None:
        """A window larger than allowed is an error."""
        parameters = zstandard.ZstdCompressionParameters(window_log=23, write_content_size=False)
        packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        large = packer.compress(_SAMPLE) + packer.flush()
        for data in (lzma.compress(b"x", preset=6), large):
            with self.assertRaises(CompressionInvalid):
                uncompressed(data, decompressor=Decompressor(memory_limit=1 << 20))
            self.assertNotEqual(b"", uncompressed(data))

    def test_bomb(self) -> None:
        """A small input that stands for very much comes out in small pieces, in little memory."""
        zeros = bytes(1 << 20)
        gzipper, squeezer = zlib.compressobj(9, zlib.DEFLATED, 31), zstandard.ZstdCompressor().compressobj()
        bombs = [b"", b""]
        for _ in range(64):
            bombs = [bombs[0] + gzipper.compress(zeros), bombs[1] + squeezer.compress(zeros)]
        bombs = [bombs[0] + gzipper.flush(), bombs[1] + squeezer.flush(), bz2.compress(zeros * 64)]
        for bomb in bombs:
            decompressor, size = Decompressor(), 0
            tracemalloc.start()
            try:
                for piece in decompressor.feed(bomb):
                    size += len(piece)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            self.assertEqual(64 << 20, size)
            self.assertLess(peak, 24 << 20)

    @settings(deadline=None, max_examples=200)
    @given(st.sampled_from(list(_PACKERS)), st.data())
    def test_hostile(self, name: str, data: st.DataObject) -> None:
        """Whatever the bytes, they are uncompressed or said to be invalid."""
        packed = bytearray(_PACKERS[name](b"hello " * 50) * 2)
        for _ in range(data.draw(st.integers(0, 4))):
            place = data.draw(st.integers(6, len(packed) - 1))
            change = data.draw(st.binary(min_size=1, max_size=8))
            packed[place : place + len(change)] = change
        try:
            uncompressed(bytes(packed), data.draw(st.integers(1, 100)))
        except CompressionInvalid as error:
            self.assertIn(name, str(error))


def _checked_zstd() -> bytes:
    parameters = zstandard.ZstdCompressionParameters(write_checksum=True)
    return zstandard.ZstdCompressor(compression_params=parameters).compress(bytes_of("broken", 3000))
