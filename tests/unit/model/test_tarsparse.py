"""Tests of dockreg.model.tarsparse, through the reader."""

import os
import subprocess
import tempfile
from pathlib import Path

from dockreg.model.tarheader import NotATar, TruncatedTar
from dockreg.model.tarsparse import MAX_SEGMENTS, SparseContent
from dockreg.model.tarstream import TarReader
from tests.support import require_program
from tests.unit.model.archives import (
    ArchiveTestCase,
    Recorder,
    padded,
    pax_header,
    pax_record,
    plain_header,
    read,
    with_checksum,
)

_GNU = b"ustar  \0"


class SparseTests(ArchiveTestCase):
    """Sparse files have the size and the content of the whole file."""

    _VERSION_1 = {"GNU__sparse__major": "1", "GNU__sparse__minor": "0"}
    _EXPANDED = bytes(600) + b"abc" + bytes(497) + b"de" + bytes(98)

    def test_pax_1_0(self) -> None:
        """In pax 1.0 the map precedes the content, in blocks of its own."""
        records = pax_header(**self._VERSION_1, GNU__sparse__name="real", GNU__sparse__realsize="1200")
        content = padded(b"2\n600\n3\n1100\n2\n") + b"abcde"
        archive = records + plain_header(b"GNUSparseFile.1/real", len(content)) + padded(content)
        self._assert_expanded(archive, b"real")

    def test_pax_1_0_at_the_boundary(self) -> None:
        """The map may end with any byte of a block, also if the last number is cut in two."""
        for length in range(500, 530):
            lines = [b"2", b"600", b"3", b"1100", b"2", b"1150", b"0", *[b"1200", b"0"] * 20]
            lines[0] = b"%d" % (len(lines) // 2)
            for place in range(len(lines)):
                missing = length - sum(len(line) + 1 for line in lines)
                lines[place] = lines[place].rjust(min(19, len(lines[place]) + missing), b"0")
            content = padded(b"\n".join(lines) + b"\n") + b"abcde"
            records = pax_header(**self._VERSION_1, GNU__sparse__name="real", GNU__sparse__realsize="1200")
            (got,) = read(records + plain_header(b"x", len(content)) + padded(content))
            self.assertEqual((1200, self._EXPANDED), (got.entry.size, got.content))

    def test_pax_0_1(self) -> None:
        """In pax 0.1 the map is one record."""
        records = pax_header(GNU__sparse__size="1200", GNU__sparse__name="real", GNU__sparse__map="600,3,1100,2,1200,0")
        self._assert_expanded(records + plain_header(b"other", 5) + padded(b"abcde"), b"real")

    def test_pax_0_0(self) -> None:
        """In pax 0.0 each number of the map is a record of its own."""
        content = pax_record(b"GNU.sparse.size", b"1200") + pax_record(b"GNU.sparse.numblocks", b"2")
        for offset, length in ((600, 3), (1100, 2)):
            content += pax_record(b"GNU.sparse.offset", b"%d" % offset) + pax_record(
                b"GNU.sparse.numbytes", b"%d" % length
            )
        archive = plain_header(b"x", len(content), b"x") + padded(content)
        self._assert_expanded(archive + plain_header(b"real", 5) + padded(b"abcde"), b"real")

    def test_gnu(self) -> None:
        """In the old GNU format the map is in the header."""
        block = self._gnu_header(5, 1200, [(600, 3), (700, 0), (1100, 2), (1200, 0)])
        self._assert_expanded(block + padded(b"abcde"), b"real")

    def test_gnu_extended(self) -> None:
        """A map that does not fit the header goes on in the next blocks."""
        pieces = [(place * 10, 1) for place in range(30)]
        extension = b"".join(b"%011o\0%011o\0" % piece for piece in pieces[4:25]) + b"\1" + bytes(7)
        last = padded(b"".join(b"%011o\0%011o\0" % piece for piece in pieces[25:]))
        archive = self._gnu_header(30, 300, pieces[:4], b"\1") + extension + last + padded(b"x" * 30)
        for sizes in ([], [1] * len(archive)):
            first, second = read(archive + plain_header(b"next", 0), sizes)
            self.assertEqual((300, (b"x" + bytes(9)) * 30), (first.entry.size, first.content))
            self.assertEqual(b"next", second.entry.name)

    def test_only_holes(self) -> None:
        """A file that is one hole costs nothing but its header."""
        recorder = Recorder()
        reader = TarReader(recorder)
        reader.feed(self._gnu_header(0, 8**11 - 1, []) + plain_header(b"next", 0))
        reader.finish()
        self.assertEqual(8**11 - 1, recorder.holes)
        self.assertEqual([b"real", b"next"], [got.entry.name for got in recorder.entries])

    def test_other_formats(self) -> None:
        """The type letter of GNU sparse files means nothing in another format."""
        (got,) = read(plain_header(b"a", 3, b"S") + padded(b"abc"))
        self.assertEqual((3, b"abc"), (got.entry.size, got.content))

    def test_contradictions(self) -> None:
        """A map that overlaps, leaves the file, or does not fit what is stored is refused."""
        for stored, size, pieces in (
            (5, 1200, [(600, 3), (601, 2)]),
            (5, 1200, [(600, 3), (1199, 2)]),
            (5, 1200, [(600, 3)]),
            (4, 1200, [(600, 3), (1100, 2)]),
            (0, 2, [(3, 0)]),
        ):
            self.assert_no_tar(self._gnu_header(stored, size, pieces) + padded(b"x" * stored), pieces)

    def test_negative_length(self) -> None:
        """A piece of negative length is refused, although the total is right."""
        recorder = Recorder()
        with self.assertRaises(NotATar):
            SparseContent([(5, -1), (4, 6)], 5, 100, recorder.content_received, recorder.hole_received)

    def test_links(self) -> None:
        """Records of a sparse file mean nothing for an entry without content."""
        archive = pax_header(GNU__sparse__size="1200", GNU__sparse__map="0,9") + plain_header(b"a", 0, b"2")
        (got,) = read(archive)
        self.assertEqual((0, b""), (got.entry.size, got.content))

    def test_long_name(self) -> None:
        """An old GNU sparse file may have a long name."""
        archive = plain_header(b"././@LongLink", 200, b"L") + padded(b"n" * 200)
        (got,) = read(archive + self._gnu_header(3, 9, [(6, 3)]) + padded(b"abc"))
        self.assertEqual((b"n" * 200, bytes(6) + b"abc"), (got.entry.name, got.content))

    def test_truncated(self) -> None:
        """An archive that ends in the map of a sparse file is truncated."""
        version_1 = pax_header(**self._VERSION_1, GNU__sparse__realsize="9") + plain_header(b"a", 2000)
        for archive in (self._gnu_header(0, 9, [], b"\1"), version_1, version_1 + padded(b"100\n")):
            with self.assertRaises(TruncatedTar):
                read(archive)

    def test_bad_maps(self) -> None:
        """Maps that are endless, too long or no numbers are refused, as is a file without a size."""
        one = self._VERSION_1
        sized = {**one, "GNU__sparse__realsize": "1200"}
        for records, content in (
            (one, padded(b"0\n")),
            (sized, padded(b"x\n")),
            (sized, padded(b"-1\n")),
            (sized, padded(b"99999999\n")),
            (sized, b"1" * 5000),
            (sized, b"1\n" + b"1" * (2 << 20)),
            (sized, padded(b"2\n0\n1\n")),
            (sized, padded(b"1\n0\nx\n")),
            (sized, b""),
            ({"GNU__sparse__size": "9", "GNU__sparse__map": "1,2,3"}, b"ab"),
            ({"GNU__sparse__size": "9", "GNU__sparse__map": "1,x"}, b"ab"),
            ({"GNU__sparse__map": "1,2"}, b"ab"),
            ({"GNU__sparse__size": "9", "GNU__sparse__map": ",".join(["0"] * 2 * (MAX_SEGMENTS + 1))}, b""),
            ({"GNU__sparse__size": "9", "GNU__sparse__numbytes": "1"}, b"a"),
            ({"GNU__sparse__size": "9", "GNU__sparse__numbytes": "1", "GNU__sparse__offset": "1"}, b"a"),
            ({"GNU__sparse__size": "-9", "GNU__sparse__map": ""}, b""),
        ):
            archive = pax_header(**records) + plain_header(b"a", len(content)) + padded(content) + plain_header(b"b", 0)
            self.assert_no_tar(archive, (records.keys(), content[:20]))

    def test_endless_gnu_map(self) -> None:
        """A map in the old GNU format cannot grow without end."""
        extension = b"%011o\0%011o\0" % (0, 0) * 21 + b"\1" + bytes(7)
        reader = TarReader(Recorder())
        reader.feed(self._gnu_header(0, 9, [], b"\1"))
        with self.assertRaises(NotATar):
            for _ in range(10_000):
                reader.feed(extension)

    def test_made_by_gnu_tar(self) -> None:
        """What GNU tar writes of a sparse file, in each of its formats, reads like the file."""
        program = require_program("tar")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "sparse")
            with path.open("wb") as file:
                for place in range(40):
                    file.seek(place * 300_000)
                    file.write(os.urandom(5000))
                file.truncate(13_000_000)
            for choice in (
                ("--format=gnu",),
                ("--format=pax", "--sparse-version=0.0"),
                ("--format=pax", "--sparse-version=0.1"),
                ("--format=pax", "--sparse-version=1.0"),
            ):
                command = [program, *choice, "--sparse", "-C", folder, "-cf", "-", "sparse"]
                archive = subprocess.run(command, check=True, capture_output=True).stdout
                self.assertLess(len(archive), 5_000_000)
                (got,) = read(archive, [1000] * 50)
                self.assertEqual((b"sparse", 13_000_000), (got.entry.name, got.entry.size))
                self.assertTrue(path.read_bytes() == got.content, choice)

    def _assert_expanded(self, archive: bytes, name: bytes) -> None:
        for sizes in ([], [1] * len(archive)):
            first, second = read(archive + plain_header(b"next", 0), sizes)
            self.assertEqual((name, 1200, self._EXPANDED), (first.entry.name, first.entry.size, first.content))
            self.assertEqual(b"next", second.entry.name)

    def _gnu_header(self, stored: int, size: int, pieces: list[tuple[int, int]], extended: bytes = b"\0") -> bytes:
        block = bytearray(plain_header(b"real", stored, b"S", _GNU))
        for place, piece in enumerate(pieces):
            start = 386 + 24 * place
            block[start : start + 24] = b"%011o\0%011o\0" % piece
        block[482:483], block[483:495] = extended, b"%011o\0" % size
        return with_checksum(bytes(block))
