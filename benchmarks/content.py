"""
What is pushed: layers that are all different and cost next to nothing to make.

A blob is a tar archive of one file. All blobs of one size have the same bytes but for 64 of them near the end, so its
digest is known without reading it again, and the kernel can send nearly all of it from one file.
"""

import hashlib
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from benchmarks.messages import FilePart, MappedFile, Part, framed_head

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"

_BLOCK = 512
_MARK_BYTES = 64
_END = bytes(2 * _BLOCK)
#: What docker reads of a layer before it writes a chunk.
_CHUNK_BYTES = 32 * KIB
_PATTERN_BYTES = 8 * MIB
#: Up to this size a blob is made in memory.
_SMALL_BYTES = 256 * KIB


@frozen
class Blob:
    """Some bytes, and their digest. ``framed`` is the same as a chunked body."""

    digest: str
    size: int
    parts: Sequence[Part]
    framed: Sequence[Part]

    @classmethod
    def of(cls, content: bytes) -> "Blob":
        """A blob of these bytes."""
        return cls(f"sha256:{hashlib.sha256(content).hexdigest()}", len(content), [content], framed(content))

    def descriptor(self, media_type: str) -> Mapping[str, Any]:
        """What a manifest says of it."""
        return {"mediaType": media_type, "digest": self.digest, "size": self.size}


def framed(content: bytes) -> Sequence[bytes]:
    """A chunked body, in chunks of 32 KiB."""
    pieces = []
    for start in range(0, len(content), _CHUNK_BYTES):
        piece = content[start : start + _CHUNK_BYTES]
        pieces += [framed_head(len(piece)), piece, b"\r\n"]
    return [b"".join([*pieces, b"0\r\n\r\n"])]


def tar_entry(size: int) -> tarfile.TarInfo:
    """The one file of an archive of ``size`` bytes."""
    entry = tarfile.TarInfo("file")
    entry.size = size - _BLOCK - len(_END)
    return entry


@define(eq=False)
class Source:
    """Makes blobs of one size, a multiple of 512 bytes."""

    folder: Path
    size: int
    _first: bytes = field(init=False, default=b"")
    _plain: MappedFile | None = field(init=False, default=None)
    _framed: MappedFile | None = field(init=False, default=None)
    _hashed: Any = field(init=False, default=None)

    def blob(self) -> Blob:
        """Another one."""
        if self._hashed is None:
            self._make()
        mark = os.urandom(_MARK_BYTES // 2).hex().encode() + _END
        hasher = self._hashed.copy()
        hasher.update(mark)
        digest = f"sha256:{hasher.hexdigest()}"
        if self._plain is None or self._framed is None:
            content = self._first + mark
            return Blob(digest, self.size, [content], framed(content))
        plain, chunks = self._plain, self._framed
        last = [framed_head(len(mark)), mark, b"\r\n0\r\n\r\n"]
        return Blob(
            digest,
            self.size,
            [FilePart(plain, len(plain.view)), mark],
            [FilePart(chunks, len(chunks.view)), b"".join(last)],
        )

    def hash_into(self, hasher: Any, blob: Blob) -> None:
        """Feed ``hasher`` with the bytes of ``blob``, one of this source."""
        for part in blob.parts:
            hasher.update(part.file.view[: part.size] if isinstance(part, FilePart) else part)

    def file_sum(self, blob: Blob) -> str:
        """What a tarsum is made of (docker, pkg/tarsum): the sum of the one file in ``blob``, one of this source."""
        entry = tar_entry(self.size)
        head = "".join(
            f"{key}{value}"
            for key, value in (
                ("name", entry.name), ("mode", entry.mode), ("uid", 0), ("gid", 0), ("size", entry.size), ("mtime", 0),
                ("typeflag", "0"), ("linkname", ""), ("uname", ""), ("gname", ""), ("devmajor", 0), ("devminor", 0),
            )
        )  # fmt: skip
        hasher = hashlib.sha256(head.encode())
        left, skipped = entry.size, _BLOCK
        for part in blob.parts:
            view = part.file.view[: part.size] if isinstance(part, FilePart) else memoryview(part)
            content = view[skipped : skipped + left]
            hasher.update(content)
            left, skipped = left - len(content), 0
        return hasher.hexdigest()

    def close(self) -> None:
        """Close the files, after which no blob of this source can be sent."""
        for each in (self._plain, self._framed):
            if each is not None:
                each.close()

    def _make(self) -> None:
        shared = self.size - _MARK_BYTES - len(_END)
        self._hashed = hashlib.sha256()
        if self.size <= _SMALL_BYTES:
            self._first = tar_entry(self.size).tobuf(tarfile.USTAR_FORMAT) + os.urandom(shared - _BLOCK)
            self._hashed.update(self._first)
            return
        plain, chunks = self.folder / f"source-{self.size}", self.folder / f"source-{self.size}-framed"
        pattern = os.urandom(min(_PATTERN_BYTES, shared))
        first, left = tar_entry(self.size).tobuf(tarfile.USTAR_FORMAT), shared
        with plain.open("wb") as file:
            while left:
                piece = (first + pattern)[: min(left, _PATTERN_BYTES)]
                first = b""
                file.write(piece)
                self._hashed.update(piece)
                left -= len(piece)
        with plain.open("rb") as file, chunks.open("wb") as target:
            while piece := file.read(_CHUNK_BYTES):
                target.writelines([framed_head(len(piece)), piece, b"\r\n"])
        self._plain, self._framed = MappedFile.of(plain), MappedFile.of(chunks)


@define(eq=False)
class Content:
    """All sources of a run, in one folder."""

    folder: Path
    _sources: dict[int, Source] = field(factory=dict, init=False)

    def source(self, size: int) -> Source:
        """What makes blobs of about ``size`` bytes."""
        whole = max(4, size // _BLOCK) * _BLOCK
        if whole not in self._sources:
            self._sources[whole] = Source(self.folder, whole)
        return self._sources[whole]

    def close(self) -> None:
        """Close all files."""
        for source in self._sources.values():
            source.close()


@frozen
class Image:
    """An image: its manifest and what belongs to it."""

    manifest: bytes
    config: Blob
    layers: Sequence[Blob]

    @property
    def digest(self) -> str:
        """The digest of the manifest."""
        return f"sha256:{hashlib.sha256(self.manifest).hexdigest()}"

    @classmethod
    def of(cls, layers: Sequence[Blob]) -> "Image":
        """An image of these layers, with a configuration that nothing else has."""
        document = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Labels": {"unique": os.urandom(16).hex()}},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        }
        config = Blob.of(json.dumps(document).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(CONFIG),
            "layers": [layer.descriptor(LAYER) for layer in layers],
        }
        return cls(json.dumps(manifest, indent=2).encode(), config, layers)
