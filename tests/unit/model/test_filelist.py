"""Tests of dockreg.model.filelist."""

import gzip
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import LayerTooLarge
from dockreg.model.compression import CompressionInvalid
from dockreg.model.filelist import LayerChanges, LayerFile, LayerFileLister, layer_file
from dockreg.model.tarheader import NotATar, TarEntry
from tests.unit.model.archives import Member, make_archive, plain_header


def listed(layer: bytes, step: int = 1000, **limits: int) -> list[list[object]]:
    """The rows of ``files`` for a layer that arrives in pieces."""
    lister = LayerFileLister(**limits)
    for start in range(0, len(layer), step):
        lister.update(layer[start : start + step])
    return [file.row() for file in lister.finish()]


def named(name: bytes, typeflag: bytes = b"0") -> LayerFile | None:
    """What is listed of an entry of this name."""
    return layer_file(TarEntry(name, 0o644, 1, 2, 3, 4, typeflag))


def file(path: str, *, deleted: bool = False, size: int = 0) -> LayerFile:
    """A file of a layer."""
    return LayerFile(path, "f", deleted, size, 1_400_000_000, 420, 0, 0)


class LayerFileListerTests(SynchronousTestCase):
    """The answer to ``files``."""

    def test_rows(self) -> None:
        """Each entry is a list of path, type, deleted, size, mtime, mode, uid and gid, in archive order."""
        tar = make_archive(
            Member("./", type=tarfile.DIRTYPE, mode=0o755, mtime=1_400_000_000),
            Member("./etc/x", b"hello world\n", mtime=1_400_000_001.75, uid=7, gid=8),
            Member("./.wh.gone", mtime=1_400_000_002),
            Member("./.wh..wh.plnk/1.2", type=tarfile.LNKTYPE, linkname="etc/x"),
            archive_format=tarfile.PAX_FORMAT,
        )
        expected = [
            ["/", "d", False, 0, 1_400_000_000, 0o755, 0, 0],
            ["/etc/x", "f", False, 12, 1_400_000_001, 0o644, 7, 8],
            ["/gone", "f", True, 0, 1_400_000_002, 0o644, 0, 0],
        ]
        for layer in (tar, gzip.compress(tar)):
            self.assertEqual(expected, listed(layer))

    def test_globals(self) -> None:
        """A global pax header is no file; its records hold for the files after it."""
        content = b"22 mtime=1400000009.5\n"
        tar = plain_header(b"pax_global_header", len(content), b"g") + content + bytes(512 - len(content))
        ((path, *_, mtime, _, _, _),) = listed(tar + plain_header(b"a", 0))
        self.assertEqual(("/a", 1_400_000_009), (path, mtime))

    def test_empty(self) -> None:
        """A layer without entries, or without bytes, has no files."""
        self.assertEqual([], listed(b""))
        self.assertEqual([], listed(gzip.compress(bytes(1024))))

    def test_bad_layers(self) -> None:
        """A layer that is no tar, or cannot be uncompressed, is an error."""
        tar = make_archive(Member("a", b"x" * 600))
        for layer, error in (
            (b"hello" * 500, NotATar),
            (tar[:900], NotATar),
            (gzip.compress(tar)[:-1], CompressionInvalid),
        ):
            with self.assertRaises(error):
                listed(layer)

    def test_limits(self) -> None:
        """Too many files, too long names and too many bytes are refused."""
        tar = make_archive(Member("abc"), Member("def", b"x"), Member(".wh..wh.aufs"))
        self.assertEqual(2, len(listed(tar, max_files=2, max_characters=18, max_uncompressed=len(tar))))
        for limits in ({"max_files": 1}, {"max_characters": 17}, {"max_uncompressed": len(tar) - 1}):
            with self.assertRaises(LayerTooLarge):
                listed(tar, **limits)


class LayerFileTests(SynchronousTestCase):
    """What is said of one entry."""

    def _path(self, name: bytes) -> tuple[str, bool] | None:
        found = named(name)
        return None if found is None else (found.path, found.deleted)

    def test_paths(self) -> None:
        """A path begins with one slash, has none behind, and no dots in front."""
        for name, path in (
            (b"./x", "/x"),
            (b"x", "/x"),
            (b"/x", "/x"),
            (b"./a/b/", "/a/b"),
            (b".", "/"),
            (b"./", "/"),
            (b"a/..b", "/a/..b"),
            ("grüße".encode(), "/grüße"),
            (b"\xff", "/\\xff"),
        ):
            self.assertEqual((path, False), self._path(name))

    def test_whiteouts(self) -> None:
        """A whiteout in any folder is reported under the path that it deletes."""
        for name, path in (
            (b"./.wh.x", "/x"),
            (b".wh.x", "/x"),
            (b"./a/b/.wh.x", "/a/b/x"),
            (b"a/.wh.d/", "/a/d"),
        ):
            self.assertEqual((path, True), self._path(name))
        self.assertEqual(("/a/.wh.", False), self._path(b"a/.wh."))
        self.assertEqual(("/.wh.a/x", False), self._path(b".wh.a/x"))

    def test_bookkeeping(self) -> None:
        """What aufs keeps for itself is dropped, in any folder."""
        for name in (b"./.wh..wh.aufs", b".wh..wh.plnk/1.2", b"a/.wh..wh..opq", b"./.wh..wh.orph/"):
            self.assertEqual(None, self._path(name))

    def test_types(self) -> None:
        """Each type has its letter."""
        expected = {b"0": "f", b"\0": "f", b"1": "l", b"2": "s", b"3": "c", b"4": "b", b"5": "d", b"6": "i"}
        for typeflag, letter in (*expected.items(), (b"7", "t"), (b"S", "S"), (b"Z", "u")):
            found = named(b"a", typeflag)
            assert found is not None
            self.assertEqual(letter, found.type)
        folder = named(b"a/", b"\0")
        assert folder is not None
        self.assertEqual("d", folder.type)
        self.assertEqual(None, named(b"a", b"g"))


def diff(own: Sequence[LayerFile], ancestors: Iterable[Sequence[LayerFile]]) -> Mapping[str, Any]:
    """The changes, looking at no more ancestors than needed."""
    changes = LayerChanges(own)
    below = iter(ancestors)
    while not changes.decided and (ancestor := next(below, None)) is not None:
        changes.look_below(ancestor)
    return changes.document()


class DiffTests(SynchronousTestCase):
    """The answer to ``diff``."""

    def test_created(self) -> None:
        """A path that no ancestor has is created."""
        expected = {"deleted": {}, "changed": {}, "created": {"/etc/x": ["f", False, 12, 1_400_000_000, 420, 0, 0]}}
        for ancestors in ([], [[file("/etc/y")]]):
            self.assertEqual(expected, diff([file("/etc/x", size=12)], ancestors))

    def test_deleted(self) -> None:
        """A whiteout of its own deletes, whatever the ancestors have."""
        for ancestors in ([], [[file("/a")]], [[file("/a", deleted=True)]]):
            document = diff([file("/a", deleted=True)], ancestors)
            self.assertEqual({"/a": ["f", True, 0, 1_400_000_000, 420, 0, 0]}, document["deleted"])
            self.assertEqual(({}, {}), (document["changed"], document["created"]))

    def test_nearest_ancestor(self) -> None:
        """The nearest ancestor that has the path decides whether it was changed or created."""
        alive, gone = [file("/a")], [file("/a", deleted=True)]
        for ancestors, kind in (
            ([alive], "changed"),
            ([[], alive], "changed"),
            ([alive, gone], "changed"),
            ([gone, alive], "created"),
            ([[file("/b")], gone], "created"),
        ):
            document = diff([file("/a")], ancestors)
            self.assertEqual([kind], [name for name, files in document.items() if files])

    def test_last_entry_counts(self) -> None:
        """Of a path that comes twice the last entry counts, in the layer and in its ancestors."""
        document = diff([file("/a", deleted=True), file("/a", size=2)], [[file("/a"), file("/a", deleted=True)]])
        self.assertEqual({"/a": ["f", False, 2, 1_400_000_000, 420, 0, 0]}, document["created"])
        self.assertEqual(({}, {}), (document["changed"], document["deleted"]))

    def test_order(self) -> None:
        """Paths keep the order of the layer."""
        document = diff([file("/b"), file("/a"), file("/c")], [[file("/a"), file("/b"), file("/c")]])
        self.assertEqual(["/b", "/a", "/c"], list(document["changed"]))

    def test_no_further_than_needed(self) -> None:
        """Ancestors below the one that settles the last path are not read."""
        ancestors = iter([[file("/a")], [file("/b")]])
        diff([file("/a")], ancestors)
        self.assertEqual([[file("/b")]], list(ancestors))
