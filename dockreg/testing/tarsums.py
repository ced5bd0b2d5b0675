"""
Checksums as engines compute them, written from the protocol alone.

Nothing here is shared with the registry's own checksums, so that one can judge the other.
Whole archives in memory: this is for samples, not for a server.
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cmp_to_key

from attrs import field, frozen

_BLOCK = 512
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"
_DEVICES = (b"3", b"4")


@frozen
class TarEntry:
    """One archive member after extended headers were merged into it."""

    name: str
    header: bytes
    content: bytes
    end: int = field(repr=False)


def tar_entries(tar: bytes) -> Iterator[TarEntry]:
    """The members of an uncompressed archive in their order; a missing trailer is fine (engines up to 1.2)."""
    overrides: dict[str, bytes] = {}
    position = 0
    while position + _BLOCK <= len(tar):
        block = tar[position : position + _BLOCK]
        if not any(block):
            return
        kind = block[156:157]
        extended = kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL)
        size = _number(block[124:136])
        if not extended and "size" in overrides:
            size = int(overrides["size"])
        content = tar[position + _BLOCK : position + _BLOCK + size]
        position += _BLOCK + -(-size // _BLOCK) * _BLOCK
        if kind == _PAX:
            overrides.update(_pax_records(content))
        elif kind in (_LONG_NAME, _LONG_LINK):
            overrides["path" if kind == _LONG_NAME else "linkpath"] = content.rstrip(b"\0")
        elif not extended:
            name, header = _summed_header(block, size, overrides)
            yield TarEntry(name, header, content, position)
            overrides = {}


def without_trailer(tar: bytes) -> bytes:
    """The archive without the zero blocks at its end, as engines up to 1.2 write it."""
    end = 0
    for entry in tar_entries(tar):
        end = entry.end
    return tar[:end]


def payload_checksum(json: bytes, layer: bytes) -> str:
    """``sha256:`` of json, one newline, and the layer as sent (engines from 0.10)."""
    return "sha256:" + hashlib.sha256(json + b"\n" + layer).hexdigest()


def tarsum(json: bytes, tar: bytes, rule: str) -> str:
    """
    ``tarsum+sha256:`` over the json and the uncompressed archive.

    :param rule: what happens to a path that comes twice: ``all`` (0.6.0 to 0.7.2), ``last`` (0.7.3 to 1.2) or
        ``order`` (1.3 to 1.9).
    """
    sums = [(_path(entry.name), _file_sum(entry)) for entry in tar_entries(tar)]
    digest = hashlib.sha256(json)
    for value in _sorted_sums(sums, rule):
        digest.update(value.encode("ascii"))
    return "tarsum+sha256:" + digest.hexdigest()


def _sorted_sums(sums: Sequence[tuple[str, str]], rule: str) -> list[str]:
    if rule == "last":
        return sorted(dict(sums).values())
    if rule == "all":
        return sorted(value for _, value in sums)
    places = list(enumerate(sums))

    def compare(left: tuple[int, tuple[str, str]], right: tuple[int, tuple[str, str]]) -> int:
        if left[1][0] == right[1][0]:
            return left[0] - right[0]
        return -1 if left[1][1] < right[1][1] else 1

    return [value for _, (_, value) in sorted(places, key=cmp_to_key(compare))]


def _file_sum(entry: TarEntry) -> str:
    return hashlib.sha256(entry.header + entry.content).hexdigest()


def _path(name: str) -> str:
    return name.removeprefix("./").removesuffix("/")


def _summed_header(block: bytes, size: int, overrides: dict[str, bytes]) -> tuple[str, bytes]:
    kind = block[156:157]
    ustar = block[257:262] == b"ustar"
    name = _text(block[0:100])
    if block[257:263] == b"ustar\0" and _text(block[345:500]):
        name = _text(block[345:500]) + b"/" + name
    name = overrides.get("path", name)
    mtime = overrides.get("mtime", b"").partition(b".")[0]
    device = kind in _DEVICES
    fields = (
        ("name", name),
        ("mode", b"%d" % _number(block[100:108])),
        ("uid", overrides.get("uid", b"%d" % _number(block[108:116]))),
        ("gid", overrides.get("gid", b"%d" % _number(block[116:124]))),
        ("size", b"%d" % size),
        ("mtime", mtime or b"%d" % _number(block[136:148])),
        ("typeflag", kind),
        ("linkname", overrides.get("linkpath", _text(block[157:257]))),
        ("uname", overrides.get("uname", _text(block[265:297]) if ustar else b"")),
        ("gname", overrides.get("gname", _text(block[297:329]) if ustar else b"")),
        ("devmajor", b"%d" % _number(block[329:337]) if device else b"0"),
        ("devminor", b"%d" % _number(block[337:345]) if device else b"0"),
    )
    return name.decode("utf-8", "surrogateescape"), b"".join(key.encode("ascii") + value for key, value in fields)


def _pax_records(content: bytes) -> dict[str, bytes]:
    records = {}
    while content:
        length, _, rest = content.partition(b" ")
        key, _, value = rest[: int(length) - len(length) - 2].partition(b"=")
        records[key.decode("utf-8")] = value
        content = content[int(length) :]
    return records


def _text(raw: bytes) -> bytes:
    return raw.partition(b"\0")[0]


def _number(raw: bytes) -> int:
    if raw[0] & 0x80:
        return int.from_bytes(bytes([raw[0] & 0x7F]) + raw[1:], "big")
    return int(raw.strip(b" \0") or b"0", 8)
