r"""
The files of a v1 layer, and what it changes in the layers below: the answers to ``files`` and ``diff``.

As docker-registry 0.6.3 to 0.9.1 answered, except that

- a whiteout is recognised in every folder, and names count the same with and without ``./`` or ``/`` in front;
- what aufs and engines keep for themselves (``.wh..wh.*``) is dropped in every folder;
- a modification time is in whole seconds, also for pax archives;
- bytes of a name that are not UTF-8 are written as ``\xff``, where it failed;
- a folder of the format before ustar, whose name ends in ``/``, is a folder.

As there, a marked folder (``.wh..wh..opq``) and a whiteout of a folder say nothing about the files in it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from attrs import frozen

from dockreg.errors import LayerTooLarge
from dockreg.model.compression import Decompressor
from dockreg.model.expansion import Expansion
from dockreg.model.layers import MAX_UNCOMPRESSED
from dockreg.model.tarheader import TarEntry
from dockreg.model.tarstream import TarReader

#: A list holds at most this many files, unless the caller says otherwise.
MAX_FILES: Final = 200_000
#: The paths in one list may have this many characters in total.
MAX_CHARACTERS: Final = 32 * 1024 * 1024

_WHITEOUT = ".wh."
_BOOKKEEPING = ".wh..wh."
_GLOBAL_HEADER = b"g"
_TYPES = {
    b"\0": "f",
    b"0": "f",
    b"1": "l",
    b"2": "s",
    b"3": "c",
    b"4": "b",
    b"5": "d",
    b"6": "i",
    b"7": "t",
    b"L": "L",
    b"K": "K",
    b"S": "S",
}
_UNKNOWN = "u"


@frozen
class LayerFile:
    """
    One entry of a layer.

    ``path`` begins with ``/``. ``type`` is one letter: ``f`` regular, ``l`` hardlink, ``s`` symlink, ``c`` and ``b``
    devices, ``d`` folder, ``i`` fifo, ``t`` contiguous, ``S`` sparse, ``u`` unknown. ``deleted`` is true for a whiteout,
    whose path is that of the file it removes. ``size`` is in bytes, ``mtime`` in whole seconds since 1970.
    """

    path: str
    type: str
    deleted: bool
    size: int
    mtime: int
    mode: int
    uid: int
    gid: int

    def row(self) -> list[object]:
        """The eight elements of ``files``."""
        return [self.path, *self.properties()]

    def properties(self) -> list[object]:
        """The seven elements of ``diff``: all but the path."""
        return [self.type, self.deleted, self.size, self.mtime, self.mode, self.uid, self.gid]


class LayerFileLister:
    """
    Lists the files of one layer from its stored bytes.

    :param max_files: a layer with more is refused.
    :param max_characters: likewise for the total length of the paths.
    :param max_uncompressed: likewise for its uncompressed size, in bytes.
    """

    def __init__(
        self,
        *,
        max_files: int = MAX_FILES,
        max_characters: int = MAX_CHARACTERS,
        max_uncompressed: int = MAX_UNCOMPRESSED,
    ) -> None:
        self._collector = _Collector(max_files, max_characters)
        self._reader = TarReader(self._collector, merge_globals=True)
        self._decompressor = Decompressor()
        self._expansion = Expansion(max_uncompressed)

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """
        Take the next bytes of the layer.

        :raises NotATar: the layer is no tar archive.
        :raises CompressionInvalid: it cannot be uncompressed.
        :raises LayerTooLarge: it exceeds a limit.
        """
        self._expansion.receive(len(data))
        self._take(self._decompressor.feed(data))

    def stop(self) -> None:
        """Read no further; called from another thread than the one that reads."""
        self._expansion.stop()

    def finish(self) -> Sequence[LayerFile]:
        """The layer is complete: its files, in archive order. Raises what :meth:`update` raises."""
        self._take(self._decompressor.finish())
        self._reader.finish()
        return tuple(self._collector.files)

    def _take(self, pieces: Iterable[bytes | memoryview]) -> None:
        for piece in pieces:
            self._expansion.unpack(len(piece))
            self._reader.feed(piece)


class _Collector:
    """Keeps what a list tells of each entry."""

    def __init__(self, max_files: int, max_characters: int) -> None:
        self.files: list[LayerFile] = []
        self._max_files = max_files
        self._characters_left = max_characters

    def entry_started(self, entry: TarEntry) -> None:
        self._characters_left -= len(entry.name)
        if self._characters_left < 0:
            raise LayerTooLarge("the names of the files in the layer are too long to be listed")
        if (file := layer_file(entry)) is None:
            return
        if len(self.files) >= self._max_files:
            raise LayerTooLarge(f"the layer has more than {self._max_files} files, too many to be listed")
        self.files.append(file)

    def content_received(self, data: memoryview) -> None:
        pass

    def hole_received(self, length: int) -> None:
        pass

    def entry_ended(self) -> None:
        pass


def layer_file(entry: TarEntry) -> LayerFile | None:
    """What a list says of an archive entry; None for what is not a file of the image."""
    if entry.typeflag == _GLOBAL_HEADER:
        return None
    name = entry.name.decode("utf-8", "backslashreplace")
    components = [component for component in name.split("/") if component not in ("", ".")]
    if any(component.startswith(_BOOKKEEPING) for component in components):
        return None
    deleted = bool(components) and components[-1].startswith(_WHITEOUT) and components[-1] != _WHITEOUT
    if deleted:
        components[-1] = components[-1].removeprefix(_WHITEOUT)
    type_letter = _TYPES.get(entry.typeflag, _UNKNOWN)
    if entry.typeflag == b"\0" and name.endswith("/"):
        type_letter = "d"
    return LayerFile(
        "/" + "/".join(components),
        type_letter,
        deleted,
        entry.size,
        entry.mtime,
        entry.mode,
        entry.uid,
        entry.gid,
    )


class LayerChanges:
    """
    What a layer does to the layers below it, found by looking at one ancestor after the other, nearest first.

    A whiteout of its own is ``deleted``. A path that is alive in the nearest ancestor that has it is ``changed``; one
    that is whited out there, or that no ancestor has, is ``created``. Of a path that comes twice the last entry counts.
    """

    def __init__(self, own: Sequence[LayerFile]) -> None:
        self._last = {file.path: file for file in own}
        self._kinds = {path: "deleted" for path, file in self._last.items() if file.deleted}
        self._undecided = self._last.keys() - self._kinds.keys()

    @property
    def decided(self) -> bool:
        """Whether further ancestors make no difference."""
        return not self._undecided

    def look_below(self, ancestor: Sequence[LayerFile]) -> None:
        """Take the files of the next ancestor into account."""
        found = {file.path: file.deleted for file in ancestor if file.path in self._undecided}
        self._kinds.update((path, "created" if deleted else "changed") for path, deleted in found.items())
        self._undecided -= found.keys()

    def document(self) -> Mapping[str, Mapping[str, Sequence[object]]]:
        """The document that ``diff`` answers."""
        document: dict[str, dict[str, Sequence[object]]] = {"deleted": {}, "changed": {}, "created": {}}
        for path, file in self._last.items():
            document[self._kinds.get(path, "created")][path] = file.properties()
        return document
