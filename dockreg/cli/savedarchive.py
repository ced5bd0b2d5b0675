"""
Writes a docker-save archive that ``docker load`` of any age accepts.

It has the first form (``repositories``, a folder per v1 image) and ``manifest.json`` with configs, which docker since
1.10, podman and skopeo read. The same images give the same bytes: times are 0, and members come in the order in which
they are written, which depends on the images and tags only.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from attrs import frozen

from dockreg.bridge.v1_to_schema2 import schema2_view
from dockreg.cli.tarwriting import BLOCK, TarFile, header
from dockreg.model.blobs import StoredBlob
from dockreg.model.compression import Compression, Decompressor
from dockreg.model.digest import Digest, Hasher
from dockreg.model.tarheader import NotATar, TarEntry
from dockreg.model.tarstream import TarReader
from dockreg.model.v1 import Checksums, ImageID, ImageJSON, LayerFacts, V1Image

VERSION = b"1.0"


@frozen
class WrittenImage:
    """An image that is in the archive."""

    document: ImageJSON
    facts: LayerFacts
    size: int


class ArchiveWriter:
    """
    An archive in the making, under a temporary name beside its own. Its methods block.

    :raises CommandFailed: the folder can not be written to.
    """

    def __init__(self, path: Path) -> None:
        self._tar = TarFile(path)
        self._images: dict[ImageID, WrittenImage] = {}

    def __contains__(self, image_id: ImageID) -> bool:
        return image_id in self._images

    def image(self, document: ImageJSON) -> "LayerWriter":
        """Begin an image: what is ahead of its layer is written, the layer follows."""
        folder = str(document.image_id)
        self._tar.folder(f"{folder}/")
        self._tar.add(f"{folder}/VERSION", VERSION)
        self._tar.add(f"{folder}/json", document.content)
        return LayerWriter(self._tar.file, f"{folder}/layer.tar")

    def keep(self, document: ImageJSON, layer: "LayerWriter", size: int) -> None:
        """
        The layer is complete; ``size`` is its length as it came.

        :raises CompressionInvalid: it is not.
        """
        facts = layer.finish()
        self._images[document.image_id] = WrittenImage(document, facts, size)

    def publish(self, name: str, tags: Mapping[str, ImageID]) -> Sequence[str]:
        """
        Write what names the images, and give the archive its name.

        :param name: what the images shall be called when they are loaded.
        :param tags: their tags, each with its topmost image.
        :return: the tags that only docker up to 1.9 can load, for a layer of their image is no tar.
        """
        entries = []
        unseen = []
        for image_id in sorted(set(tags.values())):
            named = sorted(tag for tag, target in tags.items() if target == image_id)
            entry = self._manifest_entry(image_id, [f"{name}:{tag}" for tag in named])
            if entry is None:
                unseen += named
            else:
                entries.append(entry)
        if entries:
            self._tar.add("manifest.json", compact(entries))
        self._tar.add("repositories", compact({name: {tag: str(tags[tag]) for tag in sorted(tags)}}))
        self._tar.publish()
        return unseen

    def discard(self) -> None:
        """Remove what is not published. Harmless afterwards."""
        self._tar.discard()

    def _manifest_entry(self, image_id: ImageID, references: Sequence[str]) -> Mapping[str, object] | None:
        chain = self._chain(image_id)
        view = schema2_view(chain)
        if view is None:
            return None
        config = f"{Digest.sha256(view.config).encoded}.json"
        self._tar.add(config, view.config)
        # A layer without files is in the config's history only.
        layers = [f"{image.image_id}/layer.tar" for image in reversed(chain) if image.facts.entries != 0]
        return {"Config": config, "RepoTags": references, "Layers": layers}

    def _chain(self, image_id: ImageID | None) -> Sequence[V1Image]:
        chain: list[V1Image] = []
        while image_id is not None:
            written = self._images[image_id]
            document, facts = written.document, written.facts
            # How the layer was compressed does not enter the config.
            layer = StoredBlob(facts.diff_id or Digest.sha256(b""), "", written.size)
            key = len(chain)
            chain.append(
                V1Image(key, image_id, document.content, None, document.parent, layer, facts, Checksums(""), None)
            )
            image_id = document.parent
        return chain


class LayerWriter:
    """
    A layer on its way into the archive: uncompressed, measured and hashed as it comes.

    Its header is written last, when the length is known.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self._header_at = file.tell()
        self.restart()

    def restart(self) -> None:
        """Forget what came: it comes again from the first byte."""
        self._file.seek(self._header_at)
        self._file.truncate()
        self._file.write(bytes(BLOCK))
        self._size = 0
        self._decompressor = Decompressor()
        self._hasher = Hasher()
        self._counter = _EntryCounter()
        self._reader: TarReader | None = TarReader(self._counter)

    def write(self, pieces: Sequence[bytes]) -> None:
        """
        Take the next bytes as they were sent.

        :raises CompressionInvalid: they can not be uncompressed.
        """
        for piece in pieces:
            for plain in self._decompressor.feed(piece):
                self._take(plain)

    def finish(self) -> LayerFacts:
        """
        There are no more: write the header, and tell what the layer is.

        :raises CompressionInvalid: the layer is cut short.
        """
        for plain in self._decompressor.finish():
            self._take(plain)
        compression: Compression = self._decompressor.compression
        self._file.write(bytes(-self._size % BLOCK))
        end = self._file.tell()
        self._file.seek(self._header_at)
        self._file.write(header(self._name, self._size))
        self._file.seek(end)
        try:
            if self._reader is not None:
                self._reader.finish()
                return LayerFacts(compression, self._hasher.digest, self._size, self._counter.entries)
        except NotATar:
            pass
        return LayerFacts(compression)

    def _take(self, plain: bytes | memoryview) -> None:
        self._file.write(plain)
        self._size += len(plain)
        self._hasher.update(plain)
        if self._reader is not None:
            try:
                self._reader.feed(plain)
            except NotATar:
                self._reader = None


class _EntryCounter:
    """Counts the entries of a tar, as the registry does to find layers without files."""

    def __init__(self) -> None:
        self.entries = 0

    def entry_started(self, entry: TarEntry) -> None:
        self.entries += 1

    def content_received(self, data: memoryview) -> None: ...

    def hole_received(self, length: int) -> None: ...

    def entry_ended(self) -> None: ...


def compact(document: object) -> bytes:
    """JSON without blanks."""
    return json.dumps(document, separators=(",", ":")).encode("ascii")
