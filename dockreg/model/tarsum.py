"""
Tarsum: the checksum of v1 that does not depend on compression, as engines 0.6 to 1.9 compute it.

A file sum is taken of each entry as it passes; the image json enters at the end. Kept per entry: 32 bytes of its sum
and 8 of its path.
"""

import hashlib
import heapq
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, Literal

from attrs import frozen

from dockreg.model.tarheader import TarEntry

#: More entries than this in one layer are not summed, unless the caller says otherwise.
MAX_ENTRIES: Final = 250_000
#: Holes of sparse files are hashed up to this many bytes in a layer: a few bytes of archive can stand for any number.
MAX_HOLES: Final = 4 * 1024**3

Version = Literal["tarsum", "tarsum.v1", "tarsum.dev"]

_SUM = 32
_ZEROS = memoryview(bytes(256 * 1024))
# The sum of an archive is taken over hexadecimal sums, this many at a time. Sorting also goes by as many: one
# call that sorts them all would keep other threads waiting.
_BATCH = 8192
# Up to this many elements, sort.Sort of the Go that engines 1.3 to 1.9 were built with is an insertion sort.
_INSERTION = 7


@frozen
class TarSums:
    """
    The values of tarsum v0 that engines of different ages compute for one archive and one json.

    They differ only when the archive holds a path twice. ``all_sorted`` is what engines 0.6.0 to 0.7.2 send,
    ``last_of_path`` 0.7.3 to 1.2, ``in_path_order`` 1.3 to 1.9. The last comes from a comparison that is no order
    (same path: as in the archive; else: by sum) and depends on the engine's sort algorithm. For up to 7 entries that
    is an insertion sort, repeated here; above, the sums of one path keep among themselves the order of the archive.
    """

    all_sorted: str
    last_of_path: str
    in_path_order: str

    @property
    def values(self) -> frozenset[str]:
        """Every value that a push of this content may announce."""
        return frozenset((self.all_sorted, self.last_of_path, self.in_path_order))


class TarSum:
    """
    A consumer for :class:`~dockreg.model.tarstream.TarReader` that sums an archive.

    :param version: ``tarsum`` is v0, the only one that v1 requests carry; the others serve tools.
    :param max_entries: an archive with more is given up: it has no sum.
    :param max_holes: likewise, for the total of what sparse files left out, in bytes.
    """

    def __init__(
        self, version: Version = "tarsum", *, max_entries: int = MAX_ENTRIES, max_holes: int = MAX_HOLES
    ) -> None:
        self._version = version
        self._header = _header_v0 if version == "tarsum" else _header_v1
        self._max_entries = max_entries
        self._holes_left = max_holes
        self._sums = bytearray()
        # Interpreters choose the key of this hash at random, so nobody can make two paths collide.
        self._paths = array("q")
        self._hash = hashlib.sha256()
        self.entries = 0
        self.given_up = False
        """Whether the archive exceeded a limit."""

    def entry_started(self, entry: TarEntry) -> None:
        """Sum the header."""
        self.entries += 1
        if self.entries > self._max_entries:
            self._give_up()
        if self.given_up:
            return
        self._paths.append(hash(entry.name.removeprefix(b"./").removesuffix(b"/")))
        self._hash = hashlib.sha256(self._header(entry))

    def content_received(self, data: memoryview) -> None:
        """Sum the next bytes of the entry."""
        if not self.given_up:
            self._hash.update(data)

    def hole_received(self, length: int) -> None:
        """Sum as many zeros."""
        self._holes_left -= length
        if self._holes_left < 0:
            self._give_up()
        while length > 0 and not self.given_up:
            zeros = _ZEROS[:length]
            self._hash.update(zeros)
            length -= len(zeros)

    def entry_ended(self) -> None:
        """Keep the sum of the entry."""
        if not self.given_up:
            self._sums += self._hash.digest()

    def file_sums(self) -> list[str]:
        """The sums of the single entries, in archive order, as hexadecimal digits."""
        return [value.hex() for value in self._in_archive_order()]

    def value(self, json: bytes) -> str | None:
        """``version+sha256:…`` with all sums sorted; None when the archive was given up."""
        return None if self.given_up else self._combined(json, _sorted(self._in_archive_order()))

    def values_v0(self, json: bytes) -> TarSums | None:
        """
        The values of v0 for an image whose raw json is ``json``; None when the archive was given up.

        May be called for several jsons.
        """
        if self.given_up:
            return None
        plain = self._combined(json, _sorted(self._in_archive_order()))
        if len(set(self._paths)) == len(self._paths):
            return TarSums(plain, plain, plain)
        last = dict(zip(self._paths, self._in_archive_order(), strict=True))
        return TarSums(
            plain,
            self._combined(json, _sorted(last.values())),
            self._combined(json, _in_path_order(self._paths, self._in_archive_order)),
        )

    def _give_up(self) -> None:
        self.given_up = True
        self._sums.clear()
        self._paths = array("q")

    def _in_archive_order(self) -> Iterator[bytes]:
        return (bytes(self._sums[start : start + _SUM]) for start in range(0, len(self._sums), _SUM))

    def _combined(self, json: bytes, sums: Iterable[bytes]) -> str:
        total = hashlib.sha256(json)
        pending = iter(sums)
        while batch := b"".join(islice(pending, _BATCH)):
            total.update(batch.hex().encode("ascii"))
        return f"{self._version}+sha256:{total.hexdigest()}"


def _sorted(sums: Iterable[bytes]) -> Iterable[bytes]:
    # Bytes sort like their hexadecimal digits.
    pending = iter(sums)
    runs = []
    while batch := sorted(islice(pending, _BATCH)):
        runs.append(batch)
    return runs[0] if len(runs) == 1 else heapq.merge(*runs)


def _in_path_order(paths: Sequence[int], in_archive_order: Callable[[], Iterator[bytes]]) -> Iterable[bytes]:
    if len(paths) <= _INSERTION:
        sums = list(in_archive_order())
        return [sums[place] for place in _insertion_sorted(paths, sums)]
    repeated = {path for path, count in Counter(paths).items() if count > 1}
    # The name is part of what is summed: a sum belongs to one path.
    path_of: dict[bytes, int] = {}
    waiting: defaultdict[int, list[bytes]] = defaultdict(list)
    for path, value in zip(paths, in_archive_order(), strict=True):
        if path in repeated:
            path_of[value] = path
            waiting[path].append(value)
    in_turn = {path: iter(values) for path, values in waiting.items()}
    by_sum = _sorted(in_archive_order())
    return (next(in_turn[path_of[value]]) if value in path_of else value for value in by_sum)


def _insertion_sorted(paths: Sequence[int], sums: Sequence[bytes]) -> list[int]:
    places: list[int] = []
    for place in range(len(sums)):
        at = len(places)
        while at and _precedes(place, places[at - 1], paths, sums):
            at -= 1
        places.insert(at, place)
    return places


def _precedes(left: int, right: int, paths: Sequence[int], sums: Sequence[bytes]) -> bool:
    return left < right if paths[left] == paths[right] else sums[left] < sums[right]


def _header_v0(entry: TarEntry) -> bytes:
    return b"name%bmode%duid%dgid%dsize%dmtime%dtypeflag%blinkname%buname%bgname%bdevmajor%ddevminor%d" % (
        entry.name,
        entry.mode,
        entry.uid,
        entry.gid,
        entry.size,
        entry.mtime,
        entry.typeflag,
        entry.linkname,
        entry.uname,
        entry.gname,
        entry.devmajor,
        entry.devminor,
    )


def _header_v1(entry: TarEntry) -> bytes:
    fields = b"name%bmode%duid%dgid%dsize%dtypeflag%blinkname%buname%bgname%bdevmajor%ddevminor%d" % (
        entry.name,
        entry.mode,
        entry.uid,
        entry.gid,
        entry.size,
        entry.typeflag,
        entry.linkname,
        entry.uname,
        entry.gname,
        entry.devmajor,
        entry.devminor,
    )
    return fields + b"".join(key + entry.xattrs[key] for key in sorted(entry.xattrs))
