"""
Writes OCI image layouts (OCI Image specification, "Image Layout"), as a folder or as a tar.

Blobs are written as they come, whatever their size; the file ``index.json``, without which it is no layout, comes last,
and the whole gets its name when it is complete and durable.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from dockreg.cli.failures import CommandFailed
from dockreg.cli.moving.names import SIDECAR
from dockreg.cli.savedarchive import compact
from dockreg.cli.tarwriting import TarFile
from dockreg.model.digest import Digest
from dockreg.providers.blobs.disk import flush_folder

_VERSION = compact({"imageLayoutVersion": "1.0.0"})
_FOLDER_MODE = 0o755


class Layout(Protocol):
    """A layout in the making. Its methods block."""

    def begin(self, digest: Digest, size: int, /) -> None:
        """A blob comes, of so many bytes."""

    def write(self, data: bytes) -> None:
        """Its next bytes."""

    def end(self) -> None:
        """It is complete."""

    def publish(self, documents: Mapping[str, Any]) -> None:
        """Write the documents that name everything, and give the layout its name."""

    def discard(self) -> None:
        """Remove what is not published. Harmless afterwards."""


class TarLayout:
    """A layout in a tar, written from its first byte to its last."""

    def __init__(self, path: Path) -> None:
        self._tar = TarFile(path)
        self._folders: set[str] = set()
        self._size = 0
        self._tar.add("oci-layout", _VERSION)
        self._tar.folder("blobs/")

    def begin(self, digest: Digest, size: int) -> None:
        """See :class:`Layout`."""
        if digest.algorithm not in self._folders:
            self._folders.add(digest.algorithm)
            self._tar.folder(f"blobs/{digest.algorithm}/")
        self._size = size
        self._tar.begin(blob_name(digest), size)

    def write(self, data: bytes) -> None:
        """See :class:`Layout`."""
        self._tar.file.write(data)

    def end(self) -> None:
        """See :class:`Layout`."""
        self._tar.end(self._size)

    def publish(self, documents: Mapping[str, Any]) -> None:
        """See :class:`Layout`."""
        for name, document in documents.items():
            self._tar.add(name, compact(document))
        self._tar.publish()

    def discard(self) -> None:
        """See :class:`Layout`."""
        self._tar.discard()


class FolderLayout:
    """
    A layout in a folder, made under a temporary name beside its own.

    :raises CommandFailed: there is something of this name, or the folder can not be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise CommandFailed(f"{path} is there already: name a folder that is not, or is empty")
        try:
            self._temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=self._path.parent))
        except OSError as error:
            raise CommandFailed(f"{path} can not be written: {error.strerror}") from None
        self._file: IO[bytes] | None = None
        self._write("oci-layout", _VERSION)

    def begin(self, digest: Digest, _size: int) -> None:
        """See :class:`Layout`."""
        self._file = self._open(blob_name(digest))

    def write(self, data: bytes) -> None:
        """See :class:`Layout`."""
        assert self._file is not None
        self._file.write(data)

    def end(self) -> None:
        """See :class:`Layout`."""
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def publish(self, documents: Mapping[str, Any]) -> None:
        """See :class:`Layout`."""
        for name, document in documents.items():
            self._write(name, compact(document))
        for folder, _, _ in os.walk(self._temporary):
            flush_folder(Path(folder))
        self._temporary.chmod(_FOLDER_MODE)
        self._temporary.replace(self._path)
        flush_folder(self._path.parent)

    def discard(self) -> None:
        """See :class:`Layout`."""
        if self._file is not None:
            self._file.close()
        shutil.rmtree(self._temporary, ignore_errors=True)

    def _write(self, name: str, content: bytes) -> None:
        self._file = self._open(name)
        self.write(content)
        self.end()

    def _open(self, name: str) -> IO[bytes]:
        path = self._temporary / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def blob_name(digest: Digest) -> str:
    """Where a layout keeps a blob."""
    return f"blobs/{digest.algorithm}/{digest.encoded}"


def documents(index: list[dict[str, Any]], repositories: list[dict[str, Any]]) -> Mapping[str, Any]:
    """What :meth:`Layout.publish` takes: the last of them is what makes it a layout."""
    return {
        SIDECAR: {"version": 1, "repositories": repositories},
        "index.json": {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": index,
        },
    }
