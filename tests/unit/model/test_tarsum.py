"""Tests of dockreg.model.tarsum."""

import hashlib
import tarfile

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.tarheader import TarEntry
from dockreg.model.tarstream import TarReader
from dockreg.model.tarsum import TarSum, TarSums, Version
from dockreg.testing.tarsums import tarsum as reference_tarsum
from tests.unit.model.archives import JSON, Member, make_archive, padded, plain_header, with_checksum

_A = make_archive(
    Member("etc/", type=tarfile.DIRTYPE, mode=0o755, mtime=1_400_000_000, owner="root"),
    Member("etc/motd", b"hello\n", mtime=1_400_000_001, owner="root"),
    Member("etc/motd.lnk", type=tarfile.SYMTYPE, linkname="motd", mode=0o777, mtime=1_400_000_002, owner="root"),
)
_B = make_archive(
    Member("bin/a", b"abc", mode=0o755, mtime=1_400_000_003, pax=(("SCHILY.xattr.user.demo", "1"),)),
    archive_format=tarfile.PAX_FORMAT,
)
_C = make_archive(Member("f", b"A"), Member("f", b"B"))
_D = make_archive(Member("f", b"B"), Member("f", b"A"))


def summed(archive: bytes, version: Version = "tarsum", **limits: int) -> TarSum:
    """The consumer after it was told of all the archive."""
    consumer = TarSum(version, **limits)
    reader = TarReader(consumer)
    for start in range(0, len(archive), 1000):
        reader.feed(archive[start : start + 1000])
    reader.finish()
    return consumer


def values(archive: bytes, json: bytes = JSON) -> TarSums:
    """The values of v0."""
    found = summed(archive).values_v0(json)
    assert found is not None
    return found


class KnownValueTests(SynchronousTestCase):
    """Checksums that engines computed."""

    def test_empty(self) -> None:
        """An archive without entries has the sum of its json alone."""
        expected = "tarsum+sha256:d561730190e99254d474d840d9013e14ceef3005414abfdb62dcbfb9f5e44823"
        self.assertEqual(TarSums(expected, expected, expected), values(b""))
        self.assertEqual(TarSums(expected, expected, expected), values(bytes(1024)))

    def test_file_sums(self) -> None:
        """Each entry is summed with its header fields and its content."""
        self.assertEqual(
            [
                "5047d2fe0895cf8d5f21ae78dc500dc772e5d94325bdca0e5b8dd39b660da8c8",
                "23b5ea8a68d99ddeef26f81f93b5f4f043e256f263af9b86e82874cf40531d5e",
                "d8f3bbced5083a94870ce1ae48a5317273fbc9519e466b91861510ee4210726d",
            ],
            summed(_A).file_sums(),
        )

    def test_ustar(self) -> None:
        """A folder, a file and a link, with and without a json."""
        expected = "tarsum+sha256:7889bd58227f61989ed06bac97a40d6380f05e497f7a3e03e2fb1fa19a8a89d2"
        self.assertEqual(TarSums(expected, expected, expected), values(_A))
        bare = "tarsum+sha256:5704bb9776a6baa754569a2a27379d932c6f6767e9d2e3a467d3ff26ae1a7940"
        self.assertEqual(bare, values(_A, b"").all_sorted)

    def test_ustar_v1(self) -> None:
        """Version 1 leaves out the time."""
        consumer = summed(_A, "tarsum.v1")
        self.assertEqual(
            "tarsum.v1+sha256:136f11e80f1afd9f11b25a6efc6003068ea050c1ec4cd9fdc033aac0a8377d22", consumer.value(JSON)
        )
        self.assertEqual(
            "tarsum.v1+sha256:6c619837280a0588c258d3b86630e46ba71ddbcbd96f21c420e83ff8ce825945", consumer.value(b"")
        )

    def test_dev(self) -> None:
        """The development version differs from version 1 in its label only."""
        expected = "tarsum.dev+sha256:136f11e80f1afd9f11b25a6efc6003068ea050c1ec4cd9fdc033aac0a8377d22"
        self.assertEqual(expected, summed(_A, "tarsum.dev").value(JSON))

    def test_pax(self) -> None:
        """Extended attributes enter version 1, not version 0."""
        expected = "tarsum+sha256:8a4067b42f4fa8c66c2c487c184eb1e01698560dffde30df181236066051e339"
        self.assertEqual(expected, values(_B).all_sorted)
        self.assertEqual(
            "tarsum.v1+sha256:3b5834d1ae59b5cbd01f7fe913f038b4a1b4bb83a1f35948b92152c59fc8f83a",
            summed(_B, "tarsum.v1").value(JSON),
        )

    def test_same_path_twice(self) -> None:
        """Engines of different ages disagree about a path that comes twice."""
        every = "tarsum+sha256:58088a9a6f255cbc09035a210b52403d74a98cd9b3708a7471106f18c4bf6658"
        self.assertEqual(
            TarSums(
                every,
                "tarsum+sha256:45dd63815cd0a5e31992623ec860ed10bac1993b5646bf87a8fe5c1e4c76017b",
                "tarsum+sha256:39907d04cef9771cde9c446343594386f46ea25b54c52076ed5b6f09134c6b32",
            ),
            values(_C),
        )
        last = "tarsum+sha256:bba1f2a0aef10a331c9e8b2d7f31fdd091412d439806ceb75bde0e39dc9b384f"
        self.assertEqual(TarSums(every, last, every), values(_D))
        self.assertEqual(frozenset((every, last)), values(_D).values)


class TarSumTests(SynchronousTestCase):
    """What enters a sum, and the limits."""

    def test_paths_compare(self) -> None:
        """A path is the same with ``./`` in front or a slash behind."""
        archive = make_archive(Member("./d/", type=tarfile.DIRTYPE), Member("d", b"x"), Member("e"))
        found = values(archive)
        kept = summed(archive).file_sums()[1:]
        expected = hashlib.sha256(JSON + "".join(sorted(kept)).encode()).hexdigest()
        self.assertEqual(f"tarsum+sha256:{expected}", found.last_of_path)
        self.assertNotEqual(found.all_sorted, found.last_of_path)

    def test_devices(self) -> None:
        """Device numbers count for devices alone."""
        block = bytearray(plain_header(b"a", 0))
        block[329:337], block[337:345] = b"0000007\0", b"0000011\0"
        file = summed(with_checksum(bytes(block))).file_sums()
        self.assertEqual(summed(plain_header(b"a", 0)).file_sums(), file)
        block[156:157] = b"3"
        device = summed(with_checksum(bytes(block))).file_sums()
        fields = b"nameamode420uid0gid0size0mtime1400000000typeflag3linknameunamegnamedevmajor7devminor9"
        self.assertEqual([hashlib.sha256(fields).hexdigest()], device)

    def test_attribute_order(self) -> None:
        """Extended attributes enter version 1 in the order of their keys."""
        entry = TarEntry(b"a", 0, 0, 0, 0, 0, b"0", xattrs={b"b": b"1", b"a": b"2", b"c": b"3"})
        consumer = TarSum("tarsum.v1")
        consumer.entry_started(entry)
        consumer.entry_ended()
        fields = b"nameamode0uid0gid0size0typeflag0linknameunamegnamedevmajor0devminor0a2b1c3"
        self.assertEqual([hashlib.sha256(fields).hexdigest()], consumer.file_sums())

    def test_raw_type(self) -> None:
        """The type of an old file is a NUL byte."""
        fields = b"nameamode420uid0gid0size3mtime1400000000typeflag\0linknameunamegnamedevmajor0devminor0abc"
        archive = plain_header(b"a", 3, b"\0", bytes(8)) + padded(b"abc")
        self.assertEqual([hashlib.sha256(fields).hexdigest()], summed(archive).file_sums())

    def test_holes(self) -> None:
        """A hole is summed as the zeros that it stands for."""
        holes, zeros = TarSum(), TarSum()
        for consumer in (holes, zeros):
            consumer.entry_started(TarEntry(b"a", 0, 0, 0, 1_000_003, 0, b"0"))
        holes.hole_received(1_000_003)
        zeros.content_received(memoryview(bytes(1_000_003)))
        for consumer in (holes, zeros):
            consumer.entry_ended()
        self.assertEqual(zeros.file_sums(), holes.file_sums())

    def test_too_many_holes(self) -> None:
        """Holes over the limit are not hashed; the archive has no sum."""
        consumer = TarSum(max_holes=1000)
        consumer.entry_started(TarEntry(b"a", 0, 0, 0, 2**62, 0, b"0"))
        consumer.hole_received(2**62)
        consumer.content_received(memoryview(b"x"))
        consumer.entry_ended()
        self.assertEqual((None, None, 1), (consumer.values_v0(b""), consumer.value(b""), consumer.entries))

    def test_too_many_entries(self) -> None:
        """An archive with more entries than allowed has no sum, but they are counted."""
        archive = make_archive(Member("a"), Member("b"), Member("c", b"x"))
        self.assertNotEqual(None, summed(archive, max_entries=3).values_v0(b""))
        consumer = summed(archive, max_entries=2)
        self.assertEqual((None, True, 3), (consumer.values_v0(b""), consumer.given_up, consumer.entries))

    def test_many_entries(self) -> None:
        """More entries than are sorted at once give the sum of all of them sorted, also with a path that comes twice."""
        consumer = TarSum()
        for place in range(20_001):
            consumer.entry_started(TarEntry(b"%d" % (place % 20_000), 0, 0, 0, place, 0, b"0"))
            consumer.entry_ended()
        sums = consumer.file_sums()
        found = consumer.values_v0(JSON)
        assert found is not None
        self.assertEqual(self._combined(sorted(sums)), found.all_sorted)
        self.assertEqual(self._combined(sorted(sums[1:])), found.last_of_path)
        in_order = sorted(sums)
        first, last = sorted((in_order.index(sums[0]), in_order.index(sums[-1])))
        in_order[first], in_order[last] = sums[0], sums[-1]
        self.assertEqual(self._combined(in_order), found.in_path_order)

    @settings(deadline=None, max_examples=60)
    @given(
        paths=st.lists(st.sampled_from("abcdefghijkl"), max_size=12, unique=True),
        repeated=st.booleans(),
        content=st.binary(max_size=600),
    )
    def test_independent(self, paths: list[str], repeated: bool, content: bytes) -> None:
        """The three values are those of a second implementation; of one path twice in a small archive too."""
        members = [Member(path, content + path.encode()) for path in paths]
        if repeated and members:
            members = [members[0], Member(members[0].name, b"again")]
        archive = make_archive(*members)
        expected = [reference_tarsum(JSON, archive, rule) for rule in ("all", "last", "order")]
        found = values(archive)
        self.assertEqual(expected, [found.all_sorted, found.last_of_path, found.in_path_order])

    def test_insertion(self) -> None:
        """In a small archive the sums are inserted one by one, as engines did, although the comparison is no order."""
        # Of these sums the first two belong to one path, and the third lies between them.
        members = [Member("f", b"%d" % place) for place in range(40)] + [
            Member("g", b"%d" % place) for place in range(40)
        ]
        sums = {(m.name, m.content): summed(make_archive(m)).file_sums()[0] for m in members}
        fs = sorted((value, key) for key, value in sums.items() if key[0] == "f")
        (high, first), (low, second) = fs[-1], fs[0]
        between, third = next((value, key) for key, value in sums.items() if key[0] == "g" and low < value < high)
        archive = make_archive(*(Member(name, content) for name, content in (first, second, third)))
        # high, low: one path, so they stay. between: is before low? No, so it goes to the end.
        self.assertEqual(self._combined([high, low, between]), values(archive).in_path_order)

    def _combined(self, sums: list[str]) -> str:
        return "tarsum+sha256:" + hashlib.sha256(JSON + "".join(sums).encode()).hexdigest()
