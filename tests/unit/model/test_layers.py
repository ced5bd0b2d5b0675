"""Tests of dockreg.model.layers."""

import bz2
import gzip
import lzma
import tarfile
from typing import Any

import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import LayerTooLarge
from dockreg.model.digest import Digest
from dockreg.model.layers import LayerInspector, PayloadHasher
from dockreg.model.v1 import LayerFacts
from dockreg.testing.samples import gzip_layer, odd_layers
from dockreg.testing.tarsums import payload_checksum, tarsum
from tests.unit.model.archives import JSON, Member, make_archive, plain_header

_TAR = make_archive(Member("etc/", type=tarfile.DIRTYPE), Member("etc/a", b"hello" * 1000), Member("b", b"x"))
_RULES = ("all", "last", "order")


def inspected(layer: bytes, step: int = 1000, **limits: Any) -> tuple[LayerFacts, frozenset[str]]:
    """What is learned of a layer that arrives in pieces of ``step`` bytes."""
    inspector = LayerInspector(**limits)
    for start in range(0, len(layer), step):
        inspector.update(layer[start : start + step])
    return inspector.finish(), inspector.tarsums(JSON)


class PayloadHasherTests(SynchronousTestCase):
    """The payload checksum."""

    def test_known_value(self) -> None:
        """It is taken over json, newline and layer."""
        hasher = PayloadHasher(JSON)
        hasher.update(b"hel")
        hasher.update(b"lo")
        self.assertEqual("sha256:592499ce539524a3abe271ca057b2d181b38adab178ae673a8583d2c12080802", hasher.checksum)
        self.assertEqual(payload_checksum(JSON, b"hello"), hasher.checksum)


class LayerInspectorTests(SynchronousTestCase):
    """Facts and checksums of layers."""

    def test_every_compression(self) -> None:
        """The facts are those of the uncompressed tar, whatever it was compressed with."""
        for name, layer in (
            ("none", _TAR),
            ("gzip", gzip.compress(_TAR)),
            ("bzip2", bz2.compress(_TAR)),
            ("xz", lzma.compress(_TAR)),
            ("zstd", zstandard.compress(_TAR)),
        ):
            facts, sums = inspected(layer)
            self.assertEqual(LayerFacts(name, Digest.sha256(_TAR), len(_TAR), 3), facts)
            self.assertEqual(frozenset((tarsum(JSON, _TAR, "all"),)), sums)

    def test_odd_layers(self) -> None:
        """Layers with the oddities of engines have all facts, and the checksums that engines announce."""
        for name, tar in odd_layers().items():
            for layer in (tar, gzip_layer(tar)):
                facts, sums = inspected(layer)
                self.assertEqual((Digest.sha256(tar), len(tar)), (facts.diff_id, facts.uncompressed_size), name)
                self.assertEqual(frozenset(tarsum(JSON, tar, rule) for rule in _RULES), sums, name)

    def test_empty(self) -> None:
        """No bytes, an empty gzip stream and a trailer alone are tars without entries."""
        for layer in (b"", gzip_layer(b""), gzip_layer(bytes(1024)), bytes(1024)):
            facts, sums = inspected(layer)
            self.assertEqual(0, facts.entries)
            self.assertEqual(frozenset((tarsum(JSON, b"", "all"),)), sums)

    def test_after_the_trailer(self) -> None:
        """Bytes after the trailer count for digest and size: clients hash them too."""
        layer = _TAR + b"more"
        facts, _ = inspected(gzip.compress(layer))
        self.assertEqual((Digest.sha256(layer), len(layer), 3), (facts.diff_id, facts.uncompressed_size, facts.entries))

    def test_no_tar(self) -> None:
        """Nothing is known of bytes that are no tar, of a cut stream, or of a cut tar; that is no error."""
        packed = gzip.compress(_TAR)
        for name, layer in (
            ("none", b"hello"),
            ("none", b"hello" * 1000),
            ("none", _TAR[:1600]),
            ("gzip", gzip.compress(b"hello" * 1000)),
            ("gzip", packed[:-1]),
            ("gzip", packed[:20]),
            ("gzip", packed + b"garbage"),
            ("gzip", packed[:-8] + bytes(8)),
            ("bzip2", b"BZh" + bytes(1000)),
            ("xz", lzma.compress(_TAR)[:-1]),
            ("zstd", zstandard.compress(_TAR)[:-1]),
        ):
            for step in (1, 1000, 1 << 20):
                self.assertEqual((LayerFacts(name), frozenset()), inspected(layer, step))

    def test_too_large(self) -> None:
        """A layer that unpacks to more than allowed is refused as soon as that is seen."""
        layer = gzip.compress(_TAR + bytes(1_000_000))
        self.assertEqual(3, inspected(layer, max_uncompressed=len(_TAR) + 1_000_000)[0].entries)
        inspector = LayerInspector(max_uncompressed=len(_TAR) + 999_999)
        with self.assertRaises(LayerTooLarge):
            inspector.update(layer)

    def test_too_large_at_the_end(self) -> None:
        """The limit also holds for what only the end brings out."""
        inspector = LayerInspector(max_uncompressed=2)
        inspector.update(b"abc")
        with self.assertRaises(LayerTooLarge):
            inspector.finish()

    def test_many_entries(self) -> None:
        """A tar with more entries than are summed has no tarsums, and all other facts."""
        facts, sums = inspected(gzip.compress(_TAR), max_entries=2)
        self.assertEqual(LayerFacts("gzip", Digest.sha256(_TAR), len(_TAR), 3), facts)
        self.assertEqual(frozenset(), sums)

    def test_huge_hole(self) -> None:
        """A sparse file that stands for more zeros than are hashed costs no time, and leaves the other facts."""
        block = bytearray(plain_header(b"a", 0, b"S", b"ustar  \0"))
        block[483:495] = b"77777777777\0"
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        layer = bytes(block) + bytes(1024)
        facts, sums = inspected(layer, len(layer))
        self.assertEqual((LayerFacts("none", Digest.sha256(layer), 1536, 1), frozenset()), (facts, sums))

    def test_plain_is_its_own(self) -> None:
        """A tar that is not compressed need not be digested as its own uncompressed form; one that is compressed must."""
        for layer, name in ((_TAR, "none"), (gzip.compress(_TAR), "gzip"), (b"no tar", "none")):
            inspector = LayerInspector(digested="compressed")
            inspector.update(layer)
            facts = inspector.finish()
            expected, _ = inspected(layer)
            self.assertEqual(None if name == "none" else Digest.sha256(_TAR), facts.diff_id)
            self.assertEqual(expected, facts.of_blob(Digest.sha256(layer)))
            self.assertEqual(facts, facts.of_blob(Digest.of("sha512", layer)))

    def test_several_jsons(self) -> None:
        """One layer can be checked against several jsons."""
        inspector = LayerInspector()
        inspector.update(_TAR)
        inspector.finish()
        for json in (b"", JSON, b"{}"):
            self.assertEqual(frozenset((tarsum(json, _TAR, "all"),)), inspector.tarsums(json))

    @settings(deadline=None, max_examples=150)
    @given(st.sampled_from((_TAR, gzip.compress(_TAR), bz2.compress(_TAR), zstandard.compress(_TAR))), st.data())
    def test_hostile(self, layer: bytes, data: st.DataObject) -> None:
        """Whatever the bytes, the facts are either complete or absent."""
        content = bytearray(layer)
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(content) - 1))
            content[place : place + 4] = data.draw(st.binary(max_size=8))
        facts, sums = inspected(bytes(content), data.draw(st.integers(50, 5000)))
        known = facts.diff_id is not None
        self.assertEqual((known, known), (facts.uncompressed_size is not None, facts.entries is not None))
        self.assertEqual(known, bool(sums))
