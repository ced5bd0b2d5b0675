"""The headers of tar archives: ustar, the format before it, GNU and pax. Pure parsing, one block or record at a time."""

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from attrs import field, frozen

#: Archives consist of blocks of this many bytes.
BLOCK: Final = 512

_FIELDS = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_SIGNED = struct.Struct(f"{BLOCK}b")
_MAX_NUMBER = (1 << 63) - 1
_GNU_MAGIC = b"ustar  \0"
_GNU_TIMES = re.compile(rb"(?:[0-7]{11}[ \0]|[\x80\xff].{11}|\0{12}){2}", re.DOTALL)
_DEVICES = frozenset((b"3", b"4"))
#: Links, devices, folders and fifos: a size in their header is not followed by content (Go and Python agree).
_WITHOUT_CONTENT = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))
_XATTR = b"SCHILY.xattr."
_NO_XATTRS: Mapping[bytes, bytes] = {}


class NotATar(ValueError):
    """The bytes are no tar archive, or a broken one."""


class TruncatedTar(NotATar):
    """The archive ends inside an entry."""


@frozen
class TarEntry:
    """
    One member of an archive, after pax and GNU extended headers were merged into it.

    Text is kept as the raw bytes of the archive. ``size`` is that of the file, also where holes are left out;
    ``mtime`` is in whole seconds since 1970; ``typeflag`` is the one raw byte. ``devmajor`` and ``devminor`` are 0
    unless the entry is a device. ``xattrs`` holds the extended attributes of pax, by name.
    """

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    typeflag: bytes
    linkname: bytes = b""
    uname: bytes = b""
    gname: bytes = b""
    devmajor: int = 0
    devminor: int = 0
    xattrs: Mapping[bytes, bytes] = field(default=_NO_XATTRS)

    @property
    def has_content(self) -> bool:
        """Whether :attr:`size` bytes of content belong to an entry of this type."""
        return self.typeflag not in _WITHOUT_CONTENT


def parse_header(block: bytes) -> TarEntry:
    """
    The entry that one header block describes.

    :raises NotATar: the checksum is wrong, or a number cannot be read.
    """
    (name, mode, uid, gid, size, mtime, checksum, typeflag, linkname, magic, uname, gname, major, minor, prefix) = (
        _FIELDS.unpack(block)
    )
    _verify_checksum(block, checksum)
    name = text(name)
    devmajor = devminor = 0
    if magic[:5] == b"ustar":
        uname, gname = text(uname), text(gname)
        if typeflag in _DEVICES:
            devmajor, devminor = number(major), number(minor)
        if prefix[0] and (prefix := _name_prefix(magic, block, prefix)):
            name = prefix + b"/" + name
    else:
        uname = gname = b""
    length = number(size)
    if length < 0:
        raise NotATar("an entry has a negative size")
    return TarEntry(
        name,
        _frequent_number(mode),
        _frequent_number(uid),
        _frequent_number(gid),
        length,
        number(mtime),
        typeflag,
        text(linkname),
        uname,
        gname,
        devmajor,
        devminor,
    )


def _verify_checksum(block: bytes, checksum: bytes) -> None:
    # The low half of an adler32 that starts at 0 is the sum of the bytes, modulo 65521, which 256 bytes cannot reach.
    # The sum counts the checksum's own eight bytes as blanks.
    total = (zlib.adler32(block[:256], 0) & 0xFFFF) + (zlib.adler32(block[256:], 0) & 0xFFFF)
    blanks = 8 * 32 - sum(checksum)
    stored = number(checksum)
    if total + blanks == stored:
        return
    # Some old programs added the bytes as signed numbers.
    signed = sum(_SIGNED.unpack(block)) + 8 * 32 - sum(struct.unpack("8b", checksum))
    if signed != stored:
        raise NotATar("the checksum of a header is wrong")


def _name_prefix(magic: bytes, block: bytes, prefix: bytes) -> bytes:
    if magic != _GNU_MAGIC:
        # Schilling's tar ends the block with a mark and has times in the last 24 bytes of the prefix.
        return text(prefix[:131] if block[508:] == b"tar\0" else prefix)
    # GNU tar keeps two times where ustar has the prefix. But engines of all v1 versions were built with a Go whose
    # writer used this magic together with a prefix as soon as a number did not fit its octal field.
    if _GNU_TIMES.match(prefix):
        return b""
    path = text(prefix)
    return path if path.isascii() else b""


def text(raw: bytes) -> bytes:
    """The bytes of a field up to its first NUL."""
    return raw.partition(b"\0")[0]


def number(raw: bytes) -> int:
    """
    The value of a numeric field: octal digits between blanks and NULs, or base-256 (GNU, star).

    :raises NotATar: it is neither, or needs more than 63 bits.
    """
    if raw[0] & 0x80:
        return _binary(raw)
    digits = raw.strip(b" \0")
    if not digits:
        return 0
    if b"\0" in digits:
        digits = digits.partition(b"\0")[0].rstrip(b" ")
    if digits.isdigit():
        try:
            return int(digits, 8)
        except ValueError:
            pass
    raise NotATar("a header has a number that is not octal")


# Modes and owners repeat from entry to entry.
_frequent_number = lru_cache(maxsize=1024)(number)


def _binary(raw: bytes) -> int:
    # Two's complement whose first bit only marks the format: the second bit is the sign.
    bits = 8 * len(raw) - 1
    value = int.from_bytes(raw, "big") & ((1 << bits) - 1)
    if raw[0] & 0x40:
        value -= 1 << bits
    if abs(value) > _MAX_NUMBER:
        raise NotATar("a header has a number of more than 63 bits")
    return value


def pax_records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """
    The ``length key=value`` records of a pax header, in their order (POSIX.1-2001, pax, "Extended Header").

    :raises NotATar: a record is malformed.
    """
    position = 0
    while position < len(content):
        blank = content.find(b" ", position, position + 12)
        digits = content[position:blank]
        if blank < 0 or not digits.isdigit():
            raise NotATar("a pax record has no length")
        end = position + int(digits)
        equals = content.find(b"=", blank, end)
        if equals <= blank + 1 or content[end - 1 : end] != b"\n":
            raise NotATar("a pax record is malformed")
        yield content[blank + 1 : equals], content[equals + 1 : end - 1]
        position = end


def decimal(value: bytes) -> int:
    """:raises NotATar: not a decimal number of at most 63 bits."""
    digits = value.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 19 or int(digits) > _MAX_NUMBER:
        raise NotATar("a pax record has a value that is not a number")
    return int(value)


def merge_pax(entry: TarEntry, records: Mapping[bytes, bytes]) -> TarEntry:
    """
    The entry with the values of pax records in place of its own.

    An empty value leaves the header's own in force. The fraction of ``mtime`` is cut off, also before 1970.

    :raises NotATar: a number cannot be read.
    """
    xattrs = {key[len(_XATTR) :]: value for key, value in records.items() if key.startswith(_XATTR)}
    seconds, _, fraction = records.get(b"mtime", b"").partition(b".")
    if fraction and not fraction.isdigit():
        raise NotATar("a pax record has a time that is not a number")
    size = decimal(records.get(b"size") or b"%d" % entry.size)
    if size < 0:
        raise NotATar("an entry has a negative size")
    return TarEntry(
        text(records.get(b"path") or entry.name),
        entry.mode,
        decimal(uid) if (uid := records.get(b"uid")) else entry.uid,
        decimal(gid) if (gid := records.get(b"gid")) else entry.gid,
        size,
        decimal(seconds) if seconds else entry.mtime,
        entry.typeflag,
        text(records.get(b"linkpath") or entry.linkname),
        text(records.get(b"uname") or entry.uname),
        text(records.get(b"gname") or entry.gname),
        entry.devmajor,
        entry.devminor,
        xattrs or _NO_XATTRS,
    )
