"""Archives for the tests of the tar reader and of what is built on it."""

import io
import tarfile
from collections.abc import Iterable, Sequence

from attrs import field, frozen
from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.tarheader import NotATar, TarEntry
from dockreg.model.tarstream import TarReader

#: The image json of the known checksums.
JSON = b'{"id":"' + b"a" * 64 + b'"}'


@frozen
class Read:
    """What a consumer was told of one entry; holes are written out as zeros."""

    entry: TarEntry
    content: bytes


class ArchiveTestCase(SynchronousTestCase):
    """Tests that feed bad archives."""

    def assert_no_tar(self, archive: bytes, message: object = None) -> None:
        """The archive is found to be broken before its end is seen."""
        with self.assertRaises(NotATar, msg=repr(message)) as raised:
            read(archive)
        self.assertEqual(NotATar, type(raised.exception), repr(message))


class Recorder:
    """A consumer that keeps everything, and insists on the order of what it is told."""

    def __init__(self) -> None:
        self.entries: list[Read] = []
        self.holes = 0
        self._open: TarEntry | None = None
        self._content = bytearray()

    def entry_started(self, entry: TarEntry) -> None:
        assert self._open is None
        self._open = entry
        self._content.clear()

    def content_received(self, data: memoryview) -> None:
        assert self._open is not None
        assert len(data) > 0
        self._content += data

    def hole_received(self, length: int) -> None:
        assert self._open is not None
        assert length > 0
        self.holes += length
        if length < 10_000_000:
            self._content += bytes(length)

    def entry_ended(self) -> None:
        assert self._open is not None
        self.entries.append(Read(self._open, bytes(self._content)))
        self._open = None


def pieces_of(data: bytes, sizes: Iterable[int]) -> Iterable[bytes]:
    """``data`` in pieces of these sizes, the rest at once."""
    position = 0
    for size in sizes:
        yield data[position : position + size]
        position += size
    yield data[position:]


def read(archive: bytes, sizes: Iterable[int] = (), *, merge_globals: bool = False) -> Sequence[Read]:
    """The entries of an archive that arrives in pieces of these sizes."""
    recorder = Recorder()
    reader = TarReader(recorder, merge_globals=merge_globals)
    for piece in pieces_of(archive, sizes):
        reader.feed(piece)
    reader.finish()
    return recorder.entries


@frozen
class Member:
    """One member to be archived."""

    name: str
    content: bytes = field(default=b"", repr=False)
    type: bytes = tarfile.REGTYPE
    mode: int = 0o644
    mtime: float = 1_400_000_000
    uid: int = 0
    gid: int = 0
    linkname: str = ""
    owner: str = ""
    devices: tuple[int, int] = (0, 0)
    pax: tuple[tuple[str, str], ...] = ()

    def info(self) -> tarfile.TarInfo:
        """The member as :mod:`tarfile` has it."""
        info = tarfile.TarInfo(self.name)
        info.size, info.type, info.mode, info.mtime = len(self.content), self.type, self.mode, self.mtime
        info.uid, info.gid, info.uname, info.gname = self.uid, self.gid, self.owner, self.owner
        info.linkname, (info.devmajor, info.devminor) = self.linkname, self.devices
        info.pax_headers = dict(self.pax)
        return info


def make_archive(*members: Member, archive_format: int = tarfile.USTAR_FORMAT) -> bytes:
    """An uncompressed archive with its trailer, cut to two zero blocks."""
    parts = []
    for member in members:
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w", format=archive_format) as archive:
            archive.addfile(member.info(), io.BytesIO(member.content))
            parts.append(target.getvalue()[: archive.offset])
    return b"".join(parts) + bytes(1024)


def with_checksum(block: bytes) -> bytes:
    """A header block with the checksum that its other bytes demand."""
    blank = block[:148] + b" " * 8 + block[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def plain_header(name: bytes, size: int, typeflag: bytes = b"0", magic: bytes = b"ustar\x0000") -> bytes:
    """A header block made by hand."""
    block = bytearray(512)
    block[: len(name)] = name
    block[100:108], block[108:116], block[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    block[124:136], block[136:148] = b"%011o\0" % size, b"%011o\0" % 1_400_000_000
    block[156:157], block[257:265] = typeflag, magic
    return with_checksum(bytes(block))


def padded(content: bytes) -> bytes:
    """Content filled up to whole blocks."""
    return content + bytes(-len(content) % 512)


def pax_header(**records: str) -> bytes:
    """A pax extended header with these records, ``__`` standing for a dot."""
    content = b""
    for key, value in records.items():
        content += pax_record(key.replace("__", ".").encode(), value.encode())
    return plain_header(b"PaxHeaders/x", len(content), b"x") + padded(content)


def pax_record(key: bytes, value: bytes) -> bytes:
    """One record with its length."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest
