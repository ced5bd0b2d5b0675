"""Compressed layers: which format it is, and the uncompressed bytes, in small pieces, as the compressed ones arrive."""

import bz2
import lzma
import zlib
from collections.abc import Iterator
from typing import Final, Literal, Protocol

Compression = Literal["none", "gzip", "bzip2", "xz", "zstd"]

#: No piece of output is longer, in bytes.
MAX_PIECE: Final = 256 * 1024
#: What a decompressor may use for its window, in bytes: ``xz -9`` needs 65 MiB, ``zstd -19`` 8.
MEMORY_LIMIT: Final = 80 * 1024 * 1024

# The engines' own tests (``DetectCompression``), and that of zstd, which may begin with a skippable frame (RFC 8878,
# section 3.1.2).
_MAGIC: tuple[tuple[bytes, Compression], ...] = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    *((bytes((first,)) + b"\x2a\x4d\x18", "zstd") for first in range(0x50, 0x60)),
)
_LONGEST_MAGIC = 6

# Input is given to a decompressor in slices: what is left over when an output piece is full, or a stream ends, is
# copied, and a stream of 20 bytes should not cost a copy of a megabyte.
_FIRST_SLICE = 4 * 1024
_LARGEST_SLICE = 64 * 1024
# python-zstandard has no limit for its output; 4 bytes of input can stand for 128 KiB.
_ZSTD_SLICE = 256


class CompressionInvalid(ValueError):
    """The compressed bytes are broken, cut short, or need too much memory."""


class _Stream(Protocol):
    """One gzip member, bzip2 or xz stream or zstd frame; several may follow each other."""

    def feed(self, data: memoryview) -> Iterator[bytes | memoryview]: ...

    @property
    def unused(self) -> int | None:
        """None within the stream; after its end how many of the bytes given last do not belong to it."""


def detect(start: bytes) -> Compression:
    """The compression of a layer that starts with these bytes; six of them decide."""
    return next((name for magic, name in _MAGIC if start.startswith(magic)), "none")


class Decompressor:
    """
    Uncompresses one layer as it arrives, whatever its format; anything that is not recognised passes unchanged.

    Several streams may follow each other. Zeros after a stream are padding, as Python and GNU gzip have it. Anything
    else after it is an error, as it is for Go's readers, which engines and containerd use: a layer that they cannot
    unpack has no uncompressed form.

    :param memory_limit: in bytes, for the window of xz and zstd.
    """

    def __init__(self, *, memory_limit: int = MEMORY_LIMIT) -> None:
        self._memory_limit = memory_limit
        self._start = b""
        self._compression: Compression | None = None
        self._stream: _Stream | None = None
        self._slice = _FIRST_SLICE

    @property
    def compression(self) -> Compression:
        """The format; what a shorter input than six bytes looks like so far."""
        return self._compression or detect(self._start)

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[bytes | memoryview]:
        """
        Take the next bytes, and yield what they uncompress to, in pieces of at most 256 KiB.

        The iterator has to be exhausted before the next call. Pieces may be views of ``data``.

        :raises CompressionInvalid: the bytes cannot be uncompressed. The decompressor is of no use afterwards.
        """
        if self._compression is None:
            data = self._start + bytes(data) if self._start else data
            self._start = bytes(data[:_LONGEST_MAGIC])
            if len(self._start) < _LONGEST_MAGIC:
                return
            self._compression = detect(self._start)
        yield from self._uncompressed(memoryview(data))

    def finish(self) -> Iterator[bytes | memoryview]:
        """
        There are no more bytes: yield what is left.

        :raises CompressionInvalid: the compressed bytes are cut short.
        """
        if self._compression is None:
            self._compression = detect(self._start)
            yield from self._uncompressed(memoryview(self._start))
        if self._stream is not None:
            raise CompressionInvalid(f"the {self._compression} stream is cut short")

    def _uncompressed(self, data: memoryview) -> Iterator[bytes | memoryview]:
        if self._compression == "none":
            for start in range(0, len(data), MAX_PIECE):
                yield data[start : start + MAX_PIECE]
            return
        try:
            yield from self._from_streams(data)
        except (zlib.error, lzma.LZMAError, OSError) as error:
            raise CompressionInvalid(f"the layer is no valid {self._compression}: {error}") from error

    def _from_streams(self, data: memoryview) -> Iterator[bytes | memoryview]:
        while data:
            if self._stream is None:
                data = _without_padding(data)
                if not data:
                    return
                self._stream = self._new_stream()
                self._slice = _FIRST_SLICE
            taken = data[: self._slice]
            yield from self._stream.feed(taken)
            unused = self._stream.unused
            if unused is None:
                self._slice = min(2 * self._slice, _LARGEST_SLICE)
                data = data[len(taken) :]
            else:
                self._stream = None
                data = data[len(taken) - unused :]

    def _new_stream(self) -> _Stream:
        if self._compression == "gzip":
            return _GzipStream()
        if self._compression == "zstd":
            return _ZstdStream(self._memory_limit)
        if self._compression == "bzip2":
            return _BufferingStream(bz2.BZ2Decompressor())
        return _BufferingStream(lzma.LZMADecompressor(lzma.FORMAT_XZ, self._memory_limit))


def _without_padding(data: memoryview) -> memoryview:
    while data and not data[0]:
        start = bytes(data[:_FIRST_SLICE])
        data = data[len(start) - len(start.lstrip(b"\0")) :]
    return data


class _GzipStream:
    def __init__(self) -> None:
        self._decompress = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def feed(self, data: memoryview) -> Iterator[bytes]:
        stream = self._decompress
        left: memoryview | bytes = data
        while left:
            if output := stream.decompress(left, MAX_PIECE):
                yield output
            left = stream.unconsumed_tail

    @property
    def unused(self) -> int | None:
        return len(self._decompress.unused_data) if self._decompress.eof else None


class _BufferingStream:
    """bzip2 and xz: what does not fit the output stays in the decompressor."""

    def __init__(self, stream: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self._stream = stream

    def feed(self, data: memoryview) -> Iterator[bytes]:
        stream = self._stream
        output = stream.decompress(data, MAX_PIECE)
        while output:
            yield output
            if stream.eof or stream.needs_input:
                return
            output = stream.decompress(b"", MAX_PIECE)

    @property
    def unused(self) -> int | None:
        return len(self._stream.unused_data) if self._stream.eof else None


class _ZstdStream:
    def __init__(self, memory_limit: int) -> None:
        # Imported here: no v1 client sends zstd, and a daemon that serves none need not load it.
        import zstandard  # noqa: PLC0415

        self._error = zstandard.ZstdError
        self._stream = zstandard.ZstdDecompressor(max_window_size=memory_limit).decompressobj()
        self._unused: int | None = None

    def feed(self, data: memoryview) -> Iterator[bytes | memoryview]:
        pending: list[bytes] = []
        size = 0
        for start in range(0, len(data), _ZSTD_SLICE):
            part = data[start : start + _ZSTD_SLICE]
            try:
                output = self._stream.decompress(part)
            except self._error as error:
                raise CompressionInvalid(f"the layer is no valid zstd: {error}") from error
            pending.append(output)
            size += len(output)
            if size >= MAX_PIECE // 2:
                yield from _pieces(pending)
                pending, size = [], 0
            if self._stream.eof:
                self._unused = len(self._stream.unused_data) + len(data) - start - len(part)
                break
        yield from _pieces(pending)

    @property
    def unused(self) -> int | None:
        return self._unused


def _pieces(parts: list[bytes]) -> Iterator[memoryview]:
    joined = memoryview(b"".join(parts))
    for start in range(0, len(joined), MAX_PIECE):
        yield joined[start : start + MAX_PIECE]
