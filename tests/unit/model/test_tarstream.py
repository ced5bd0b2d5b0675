"""Tests of dockreg.model.tarstream and tarheader."""

import io
import tarfile

from hypothesis import given, settings
from hypothesis import strategies as st

from dockreg.model.tarheader import NotATar, TruncatedTar
from dockreg.model.tarstream import MAX_EXTENSION, TarReader
from tests.unit.model.archives import (
    ArchiveTestCase,
    Member,
    Read,
    Recorder,
    make_archive,
    padded,
    pax_header,
    pax_record,
    plain_header,
    read,
    with_checksum,
)

_FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
_GNU = b"ustar  \0"

_names = st.text(st.sampled_from("abcdef/.äß "), min_size=1, max_size=300).filter(lambda name: name.strip("/") != "")
_plain_members = st.builds(
    Member,
    name=_names,
    content=st.binary(max_size=1500),
    mode=st.integers(0, 0o7777),
    mtime=st.integers(0, 2**40) | st.integers(0, 2**33).map(lambda quarters: quarters / 4),
    uid=st.integers(0, 2**30),
    gid=st.integers(0, 2**30),
    owner=st.sampled_from(("", "root", "größe")),
)
_link_members = st.builds(
    Member,
    name=_names,
    type=st.sampled_from((tarfile.SYMTYPE, tarfile.LNKTYPE)),
    linkname=_names,
    mode=st.just(0o777),
)
_device_members = st.builds(
    Member,
    name=_names,
    type=st.sampled_from((tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)),
    devices=st.tuples(st.integers(0, 2**20), st.integers(0, 2**20)),
)
_members = st.lists(_plain_members | _link_members | _device_members, max_size=6)


class TarReaderTests(ArchiveTestCase):
    """Archives that are in order."""

    @settings(deadline=None, max_examples=150)
    @given(members=_members, archive_format=st.sampled_from(_FORMATS), sizes=st.lists(st.integers(0, 2000), max_size=8))
    def test_agrees_with_tarfile(self, members: list[Member], archive_format: int, sizes: list[int]) -> None:
        """Names, numbers and content are those that Python's own reader finds, whatever the pieces."""
        try:
            archive = make_archive(*members, archive_format=archive_format)
        except ValueError:
            return  # more than this format can express
        found = read(archive, sizes)
        with tarfile.open(fileobj=io.BytesIO(archive)) as expected:
            infos = expected.getmembers()
            self.assertEqual(len(infos), len(found))
            for info, got in zip(infos, found, strict=True):
                entry = got.entry
                # tarfile takes away the slash of folders, and in some formats of everything.
                self.assertEqual(info.name.rstrip("/"), entry.name.decode().rstrip("/"))
                self.assertEqual(info.linkname, entry.linkname.decode())
                self.assertEqual((info.mode, info.uid, info.gid), (entry.mode, entry.uid, entry.gid))
                self.assertEqual((info.size, int(info.mtime)), (entry.size, entry.mtime))
                self.assertEqual((info.uname, info.gname), (entry.uname.decode(), entry.gname.decode()))
                self.assertEqual(info.type, entry.typeflag)
                if info.isdev() and not info.isfifo():
                    self.assertEqual((info.devmajor, info.devminor), (entry.devmajor, entry.devminor))
                file = expected.extractfile(info) if info.isreg() else None
                self.assertEqual(file.read() if file else b"", got.content)

    def test_any_boundary(self) -> None:
        """An archive cut in two at any byte reads like the whole."""
        archive = make_archive(
            Member("d" * 150, b"long"),
            Member("x", b"1" * 513, pax=(("SCHILY.xattr.user.a", "b"),)),
            Member("empty"),
            archive_format=tarfile.PAX_FORMAT,
        )
        whole = read(archive)
        self.assertEqual([b"d" * 150, b"x", b"empty"], [got.entry.name for got in whole])
        for cut in range(len(archive)):
            self.assertEqual(whole, read(archive, [cut]))
        self.assertEqual(whole, read(archive, [1] * len(archive)))

    def test_empty(self) -> None:
        """No bytes at all, and a trailer alone, are archives without entries."""
        self.assertEqual([], read(b""))
        self.assertEqual([], read(bytes(1024)))

    def test_missing_trailer(self) -> None:
        """The zero blocks at the end, a part of them, and the padding of the last entry may be missing."""
        archive = make_archive(Member("a", b"hello"))
        whole = read(archive)
        for length in (517, 600, 1023, 1024, 1025, 1536, 1600):
            self.assertEqual(whole, read(archive[:length]))

    def test_after_the_trailer(self) -> None:
        """What follows the zero blocks is ignored."""
        archive = make_archive(Member("a", b"hello"))
        self.assertEqual(read(archive), read(archive + b"garbage" * 1000, [1536, 3]))

    def test_truncated(self) -> None:
        """An archive that ends in a header or in content is truncated."""
        archive = make_archive(Member("a", b"hello"), Member("d" * 150, b"x" * 600), archive_format=tarfile.GNU_FORMAT)
        for length in (1, 511, 512, 516, 1025, 1536, 1600, 1686, 2048, 2560, 2561, 3159):
            with self.assertRaises(TruncatedTar):
                read(archive[:length])
        with self.assertRaises(TruncatedTar):
            read(archive[:2048] + bytes(1024))

    def test_prefix(self) -> None:
        """The ustar prefix comes before the name, with a slash; text ends at the first NUL."""
        block = bytearray(plain_header(b"name\0junk", 0))
        block[345:352] = b"pre/fix"
        (got,) = read(with_checksum(bytes(block)))
        self.assertEqual(b"pre/fix/name", got.entry.name)

    def test_star_prefix(self) -> None:
        """Schilling's tar keeps times in the end of the prefix; they are no part of the name."""
        block = bytearray(plain_header(b"name", 0))
        block[345:476], block[476:487], block[508:512] = b"p" * 131, b"12345670123", b"tar\0"
        (got,) = read(with_checksum(bytes(block)))
        self.assertEqual(b"p" * 131 + b"/name", got.entry.name)

    def test_gnu_times(self) -> None:
        """The times that GNU tar keeps in place of the prefix are no part of the name."""
        block = bytearray(plain_header(b"name", 0, magic=_GNU))
        for times in (
            b"12345670123\0" * 2,
            b"12345670123\0" + bytes(12),
            b"\x80" + bytes(11) + b"\xff" * 12,
            b"\xc3\xa4",
        ):
            block[345:500] = times + bytes(155 - len(times))
            (got,) = read(with_checksum(bytes(block)))
            self.assertEqual(b"name", got.entry.name)

    def test_prefix_of_engines(self) -> None:
        """A prefix under the GNU magic, as engines write it beside a base-256 number, is part of the name."""
        block = bytearray(plain_header(b"name", 0, magic=_GNU))
        block[345:349] = b"home"
        block[108:116] = b"\x80" + (3_000_000).to_bytes(7, "big")
        (got,) = read(with_checksum(bytes(block)))
        self.assertEqual((b"home/name", 3_000_000), (got.entry.name, got.entry.uid))

    def test_old_format(self) -> None:
        """Without a magic there are no owner names, and the type is the raw NUL."""
        block = bytearray(plain_header(b"name", 3, b"\0", bytes(8)))
        block[265:269] = b"user"
        (got,) = read(with_checksum(bytes(block)) + padded(b"abc"))
        self.assertEqual((b"", b"\0", b"abc"), (got.entry.uname, got.entry.typeflag, got.content))

    def test_numbers(self) -> None:
        """Numbers may be octal between blanks or NULs, or base-256, also negative."""
        block = bytearray(plain_header(b"a", 0))
        block[100:108], block[108:116], block[116:124] = b"   644 \0", b"12\x00\x00junk", b"\x80\0\0\0\1\0\0\0"
        block[136:148] = (-5).to_bytes(12, "big", signed=True)
        (got,) = read(with_checksum(bytes(block)))
        self.assertEqual((0o644, 0o12, 2**24, -5), (got.entry.mode, got.entry.uid, got.entry.gid, got.entry.mtime))

    def test_signed_checksum(self) -> None:
        """A checksum over signed bytes, as some old programs wrote it, is right too."""
        block = bytearray(plain_header("ä".encode(), 0))
        blank = bytes(block[:148] + b" " * 8 + block[156:])
        block[148:156] = b"%06o\0 " % sum(byte - 256 if byte > 127 else byte for byte in blank)
        (got,) = read(bytes(block))
        self.assertEqual("ä".encode(), got.entry.name)

    def test_links_have_no_content(self) -> None:
        """A size in the header of a hardlink is kept, and no content is expected."""
        archive = plain_header(b"link", 700, b"1") + plain_header(b"file", 3) + padded(b"abc")
        link, file = read(archive)
        self.assertEqual((700, b""), (link.entry.size, link.content))
        self.assertEqual((b"file", b"abc"), (file.entry.name, file.content))

    def test_unknown_types(self) -> None:
        """An entry of an unknown type has content like a file."""
        first, second = read(plain_header(b"?", 3, b"Z") + padded(b"abc") + plain_header(b"file", 0))
        self.assertEqual((b"Z", b"abc"), (first.entry.typeflag, first.content))
        self.assertEqual(b"file", second.entry.name)


class ExtensionTests(ArchiveTestCase):
    """Pax headers and long names."""

    def test_pax(self) -> None:
        """Pax records replace what the header says; the fraction of a time is cut off."""
        archive = pax_header(
            path="new", linkpath="to", uid="7", gid="8", uname="u", gname="g", mtime="12.999", size="3", comment="x"
        )
        (got,) = read(archive + plain_header(b"old", 0) + padded(b"abc"))
        entry = got.entry
        self.assertEqual((b"new", b"to", 7, 8, b"u", b"g"), (entry.name, entry.linkname, *_owners(got)))
        self.assertEqual((12, 3, b"abc", {}), (entry.mtime, entry.size, got.content, entry.xattrs))

    def test_time_before_1970(self) -> None:
        """The fraction of a negative time is cut off too, not rounded down."""
        (got,) = read(pax_header(mtime="-1.5") + plain_header(b"a", 0))
        self.assertEqual(-1, got.entry.mtime)

    def test_empty_record(self) -> None:
        """An empty value leaves what the header says."""
        (got,) = read(pax_header(path="", mtime="", uid="") + plain_header(b"a", 0))
        self.assertEqual((b"a", 1_400_000_000, 0), (got.entry.name, got.entry.mtime, got.entry.uid))

    def test_xattrs(self) -> None:
        """Extended attributes are kept by name, their values as raw bytes."""
        content = pax_record(b"SCHILY.xattr.user.demo", b"\0=\n\xff")
        archive = plain_header(b"x", len(content), b"x") + padded(content) + plain_header(b"a", 0)
        (got,) = read(archive)
        self.assertEqual({b"user.demo": b"\0=\n\xff"}, got.entry.xattrs)

    def test_one_entry_only(self) -> None:
        """Pax records and long names are for the next entry only."""
        archive = pax_header(path="first") + plain_header(b"a", 0) + plain_header(b"second", 0)
        self.assertEqual([b"first", b"second"], [got.entry.name for got in read(archive)])
        long = plain_header(b"././@LongLink", 4, b"L") + padded(b"long") + plain_header(b"a", 0)
        for first, second in ((pax_header(path="long") + plain_header(b"a", 0), long), (long, long)):
            for between in (pax_header(mtime="1"), plain_header(b"././@LongLink", 1, b"K") + padded(b"b")):
                archive = first + between + plain_header(b"own", 0) + second
                self.assertEqual([b"long", b"own", b"long"], [got.entry.name for got in read(archive)])

    def test_gnu_long(self) -> None:
        """GNU long names and link targets are merged, also together."""
        name, link = "n" * 400, "l" * 300
        archive = make_archive(
            Member(name, type=tarfile.SYMTYPE, linkname=link), Member("next"), archive_format=tarfile.GNU_FORMAT
        )
        first, second = read(archive)
        self.assertEqual((name.encode(), link.encode()), (first.entry.name, first.entry.linkname))
        self.assertEqual((b"next", b""), (second.entry.name, second.entry.linkname))

    def test_empty_long_name(self) -> None:
        """A long name of no bytes makes the name empty."""
        (got,) = read(plain_header(b"././@LongLink", 0, b"L") + plain_header(b"a", 0))
        self.assertEqual(b"", got.entry.name)

    def test_globals(self) -> None:
        """A global pax header is an entry, as engines see it, or is merged when asked for."""
        content = pax_record(b"uname", b"someone") + pax_record(b"SCHILY.xattr.user.a", b"b")
        archive = plain_header(b"pax_global_header", len(content), b"g") + padded(content)
        archive += plain_header(b"a", 0) + pax_header(uname="other") + plain_header(b"b", 0)
        self.assertEqual(
            [(b"g", b"", content), (b"0", b"", b""), (b"0", b"other", b"")],
            [(got.entry.typeflag, got.entry.uname, got.content) for got in read(archive)],
        )
        merged = read(archive, merge_globals=True)
        self.assertEqual([(b"someone", {}), (b"other", {})], [(got.entry.uname, got.entry.xattrs) for got in merged])
        self.assertEqual([], read(archive[:1024], merge_globals=True))

    def test_extension_without_entry(self) -> None:
        """A pax header that no entry follows is truncated."""
        for end in (b"", bytes(512), bytes(1024)):
            with self.assertRaises(TruncatedTar):
                read(pax_header(path="x") + end)

    def test_bound(self) -> None:
        """A pax header or a long name of more than 1 MiB is refused before it is read."""
        for typeflag in (b"x", b"L", b"K"):
            with self.assertRaises(NotATar):
                TarReader(Recorder()).feed(plain_header(b"x", MAX_EXTENSION + 1, typeflag))
            TarReader(Recorder()).feed(plain_header(b"x", MAX_EXTENSION, typeflag))

    def test_bad_records(self) -> None:
        """Pax records that break their format, and values that are no numbers, are refused."""
        for content in (
            b"x",
            b"8 path=a\n",
            b"99 path=a\n",
            b"11 path=abc",
            b"7 path\n",
            b"5 =a\n",
            b"0 a=b\n",
            b"-9 path=a\n",
            b" path=a\n",
            b"10 size=x\n",
            b"11 size=-1\n",
            b"11 uid=1_0\n",
            pax_record(b"uid", b"9" * 19),
            pax_record(b"mtime", b"1e9"),
            pax_record(b"mtime", b"3.8e-10"),
        ):
            header = plain_header(b"x", len(content), b"x") + padded(content)
            self.assert_no_tar(header + plain_header(b"a", 0, b"5"), content)


def _owners(got: Read) -> tuple[int, int, bytes, bytes]:
    entry = got.entry
    return entry.uid, entry.gid, entry.uname, entry.gname


class BadInputTests(ArchiveTestCase):
    """Bytes that are no archive."""

    def test_no_tar(self) -> None:
        """Text, a block without checksum, and a wrong checksum are no tar."""
        wrong = bytearray(plain_header(b"a", 0))
        wrong[0] += 1
        for content in (b"x" * 512, b"\1" + bytes(511), bytes(wrong)):
            self.assert_no_tar(content)
        with self.assertRaises(NotATar):
            read(b"hello")

    def test_bad_numbers(self) -> None:
        """Numbers that are not octal, too large, or a negative size are refused."""
        for place, value in (
            (124, b"0000000000x\0"),
            (124, b"0000000008\0\0"),
            (124, b"-0000000001\0"),
            (124, b"\xff" * 12),
            (124, b"\x80" + b"\xff" * 11),
            (136, b"0o1\0\0\0\0\0\0\0\0\0"),
            (136, b"1 2\0\0\0\0\0\0\0\0\0"),
            (100, b"1_0\0\0\0\0\0"),
        ):
            block = bytearray(plain_header(b"a", 0))
            block[place : place + len(value)] = value
            self.assert_no_tar(with_checksum(bytes(block)), value)

    @settings(deadline=None, max_examples=300)
    @given(
        data=st.data(),
        start=st.sampled_from(
            (
                make_archive(Member("d" * 150, b"x" * 600), Member("a", b"b"), archive_format=tarfile.PAX_FORMAT),
                make_archive(Member("d" * 150, b"x" * 600), Member("a", b"b"), archive_format=tarfile.GNU_FORMAT),
                pax_header(GNU__sparse__size="1200", GNU__sparse__map="600,3,1100,2")
                + plain_header(b"a", 5)
                + bytes(512),
                pax_header(GNU__sparse__major="1", GNU__sparse__minor="0", GNU__sparse__realsize="9")
                + plain_header(b"a", 513)
                + padded(b"1\n0\n1\n")
                + padded(b"x"),
                plain_header(b"a", 0, b"S", _GNU) + bytes(1024),
            )
        ),
    )
    def test_hostile(self, data: st.DataObject, start: bytes) -> None:
        """Whatever the bytes, the reader reads them or says that they are no tar."""
        content = bytearray(start)
        for _ in range(data.draw(st.integers(1, 6))):
            place = data.draw(st.integers(0, len(content) - 1))
            change = data.draw(st.binary(min_size=1, max_size=12))
            content[place : place + len(change)] = change
        if data.draw(st.booleans()):
            for at in range(0, len(content) - 511, 512):
                if content[at]:
                    content[at : at + 512] = with_checksum(bytes(content[at : at + 512]))
        self._assert_documented(bytes(content), [data.draw(st.integers(0, 3000))])

    @settings(deadline=None, max_examples=100)
    @given(st.binary(max_size=3000))
    def test_noise(self, content: bytes) -> None:
        """Random bytes raise nothing but the documented error."""
        self._assert_documented(content, [])

    def _assert_documented(self, content: bytes, sizes: list[int]) -> None:
        try:
            read(content, sizes)
        except NotATar as error:
            self.assertTrue(str(error))
