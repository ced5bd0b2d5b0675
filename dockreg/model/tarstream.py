"""A reader for tar archives that arrive in pieces of any size. It keeps no content and unpacks nothing."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from attrs import evolve

from dockreg.model.tarheader import (
    BLOCK,
    NotATar,
    TarEntry,
    TruncatedTar,
    merge_pax,
    number,
    parse_header,
    pax_records,
    text,
)
from dockreg.model.tarsparse import MAX_SEGMENTS, Segment, SparseContent, gnu_segments, map_in_content, pax_sparse

#: Pax headers, long names and the maps of sparse files may be this long, in bytes.
MAX_EXTENSION: Final = 1024 * 1024

_ZEROS = bytes(BLOCK)
_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK, _GNU_SPARSE = b"x", b"g", b"L", b"K", b"S"
_EXTENSIONS = frozenset((_PAX, _LONG_NAME, _LONG_LINK))
_MERGED_KEYS = frozenset((b"path", b"linkpath", b"size", b"uid", b"gid", b"uname", b"gname", b"mtime"))
_KEPT_PREFIXES = (b"SCHILY.xattr.", b"GNU.sparse.")
_SPARSE_PAIR = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")


class TarConsumer(Protocol):
    """What is told of an archive. For each entry: started, its content and holes in order, ended."""

    def entry_started(self, entry: TarEntry) -> None:
        """An entry begins."""

    def content_received(self, data: memoryview) -> None:
        """The next bytes of the entry. They are valid during the call only."""

    def hole_received(self, length: int) -> None:
        """The next ``length`` bytes of the entry are zeros that a sparse file left out. There may be very many."""

    def entry_ended(self) -> None:
        """The entry is complete."""


class TarReader:
    """
    Reads one archive and tells a consumer of its entries.

    Understands ustar, the older format, GNU (long names, sparse files, base-256 numbers) and pax (sparse files too).
    The two zero blocks at the end may be missing (engines 0.6 to 1.2), as may the padding of the last entry; what
    follows a zero block is ignored. No bytes at all are an empty archive.

    :param merge_globals: engines take a pax ``g`` header for an entry like any other, and so does this reader unless
        told to merge its records into the entries that follow (POSIX.1-2001).
    """

    def __init__(self, consumer: TarConsumer, *, merge_globals: bool = False) -> None:
        self._consumer = consumer
        self._extensions = _EXTENSIONS | {_PAX_GLOBAL} if merge_globals else _EXTENSIONS
        self._globals: dict[bytes, bytes] = {}
        # What waits for the entry that it belongs to.
        self._records: dict[bytes, bytes] = {}
        self._long: dict[bytes, bytes] = {}
        self._extended = False
        # While _left is not 0 bytes go to _receive, and to _complete after the last; else blocks go to _on_block.
        self._left = 0
        self._receive: Callable[[memoryview], object] = _discard
        self._complete: Callable[[], None] = _nothing
        self._on_block: Callable[[bytes], None] = self._take_header
        self._partial = bytearray()
        self._gathered = bytearray()
        self._within_entry = False
        self._ended = False

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """
        Take the next bytes of the archive.

        :raises NotATar: the bytes cannot be read. The reader is of no use afterwards.
        """
        view = memoryview(data)
        position, end = 0, len(view)
        while position < end and not self._ended:
            if self._left:
                stop = min(end, position + self._left)
                self._left -= stop - position
                self._receive(view[position:stop])
                position = stop
                if not self._left:
                    self._complete()
            elif not self._partial and end - position >= BLOCK:
                position += BLOCK
                self._on_block(bytes(view[position - BLOCK : position]))
            else:
                stop = min(end, position + BLOCK - len(self._partial))
                self._partial += view[position:stop]
                position = stop
                if len(self._partial) == BLOCK:
                    block = bytes(self._partial)
                    self._partial.clear()
                    self._on_block(block)

    def finish(self) -> None:
        """
        The archive has no more bytes.

        :raises TruncatedTar: it ends within an entry.
        """
        if not self._ended and (self._within_entry or self._extended or any(self._partial)):
            raise TruncatedTar("the archive ends within an entry")

    def _take_header(self, block: bytes) -> None:
        if block == _ZEROS:
            if self._extended:
                raise TruncatedTar("the archive ends after an extended header")
            self._ended = True
            return
        entry = parse_header(block)
        if entry.typeflag in self._extensions:
            self._start_extension(entry)
        elif self._extended or self._globals:
            self._start_extended_entry(entry, block)
        elif entry.typeflag == _GNU_SPARSE and block[257:264] == b"ustar  ":
            self._start_gnu_sparse(entry, block)
        else:
            self._start_entry(entry)

    def _start_entry(self, entry: TarEntry) -> None:
        self._consumer.entry_started(entry)
        if entry.size and entry.has_content:
            self._expect_content(entry.size, self._consumer.content_received, self._end_entry, entry.size)
        else:
            self._consumer.entry_ended()

    def _expect_content(
        self, length: int, receive: Callable[[memoryview], object], complete: Callable[[], None], padded: int
    ) -> None:
        # ``padded`` is the length that decides about the padding: a map may precede the content proper.
        self._left = length
        self._receive = receive
        self._complete = complete
        self._padding = -padded % BLOCK
        self._within_entry = True

    def _end_entry(self) -> None:
        self._consumer.entry_ended()
        self._skip_padding()

    def _skip_padding(self) -> None:
        self._within_entry = False
        self._on_block = self._take_header
        self._left = self._padding
        self._receive = _discard
        self._complete = _nothing

    # Extended headers

    def _start_extension(self, entry: TarEntry) -> None:
        if entry.size > MAX_EXTENSION:
            raise NotATar("an extended header is too long")
        self._extended = self._extended or entry.typeflag != _PAX_GLOBAL
        self._gathered.clear()

        def complete() -> None:
            content = bytes(self._gathered)
            self._gathered.clear()
            self._extension_received(entry.typeflag, content)
            self._skip_padding()

        if entry.size:
            self._expect_content(entry.size, self._gathered.extend, complete, entry.size)
        else:
            self._extension_received(entry.typeflag, b"")

    def _extension_received(self, typeflag: bytes, content: bytes) -> None:
        if typeflag == _PAX:
            self._records = _kept_records(content)
        elif typeflag == _PAX_GLOBAL:
            merged = {key: value for key, value in pax_records(content) if key in _MERGED_KEYS}
            self._globals = {**self._globals, **merged}
        else:
            self._long[typeflag] = text(content)

    def _start_extended_entry(self, entry: TarEntry, block: bytes) -> None:
        records = {**self._globals, **self._records}
        long = self._long
        self._records, self._long, self._extended = {}, {}, False
        merged = merge_pax(entry, records)
        if long:
            merged = evolve(
                merged, name=long.get(_LONG_NAME, merged.name), linkname=long.get(_LONG_LINK, merged.linkname)
            )
        if merged.typeflag == _GNU_SPARSE and block[257:264] == b"ustar  ":
            self._start_gnu_sparse(merged, block)
            return
        sparse = pax_sparse(merged, records)
        if sparse is None:
            self._start_entry(merged)
        elif sparse.segments is None:
            self._start_map_in_content(sparse.entry, merged.size)
        else:
            self._start_sparse(sparse.entry, sparse.segments, merged.size, merged.size)

    # Sparse files

    def _start_sparse(self, entry: TarEntry, segments: Sequence[Segment], stored: int, padded: int) -> None:
        consumer = self._consumer
        content = SparseContent(segments, stored, entry.size, consumer.content_received, consumer.hole_received)

        def complete() -> None:
            content.finish()
            self._end_entry()

        consumer.entry_started(entry)
        self._expect_content(stored, content.receive, complete, padded)
        if not stored:
            complete()

    def _start_gnu_sparse(self, entry: TarEntry, block: bytes) -> None:
        stored = entry.size
        expanded = evolve(entry, size=number(block[483:495]))
        segments = gnu_segments(block[386:482])

        def take_extension(block: bytes) -> None:
            segments.extend(gnu_segments(block[:504]))
            if len(segments) > MAX_SEGMENTS:
                raise NotATar("a sparse file has too many pieces")
            if not block[504]:
                self._start_sparse(expanded, segments, stored, stored)

        if block[482]:
            self._within_entry = True
            self._on_block = take_extension
        else:
            self._start_sparse(expanded, segments, stored, stored)

    def _start_map_in_content(self, entry: TarEntry, stored: int) -> None:
        self._gathered.clear()
        self._within_entry = True

        def take_map(block: bytes) -> None:
            self._gathered.extend(block)
            segments = map_in_content(self._gathered)
            if len(self._gathered) > min(stored, MAX_EXTENSION):
                raise NotATar("the map of a sparse file is longer than its content")
            if segments is not None:
                content = stored - len(self._gathered)
                self._gathered.clear()
                self._start_sparse(entry, segments, content, stored)

        self._on_block = take_map


def _kept_records(content: bytes) -> dict[bytes, bytes]:
    """The records of a pax header that mean something here; the pairs of pax sparse 0.0 become a map as in 0.1."""
    records: dict[bytes, bytes] = {}
    pairs: list[bytes] = []
    for key, value in pax_records(content):
        if key in _SPARSE_PAIR:
            if key != _SPARSE_PAIR[len(pairs) % 2]:
                raise NotATar("the map of a sparse file is malformed")
            pairs.append(value)
        elif key in _MERGED_KEYS or key.startswith(_KEPT_PREFIXES):
            records[key] = value
    if pairs:
        records[b"GNU.sparse.map"] = b",".join(pairs)
    return records


def _discard(_: memoryview) -> None:
    pass


def _nothing() -> None:
    pass
