"""Series of objects, by themselves; :mod:`tests.unit.providers.blobs.test_durability` has them in a store."""

import errno
import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import StoreUnavailable
from dockreg.model.blobs import StoredBlob
from dockreg.providers.blobs import series, staging
from dockreg.providers.blobs.disk import flush_folder
from dockreg.testing import contracts
from tests.unit.providers.blobs.recorder import DiskRecorder
from tests.unit.providers.blobs.test_filesystem import filesystem, notes_in


class SeriesTests(SynchronousTestCase):
    """The folder of a series."""

    def test_together(self) -> None:
        """Names that were made before a flush began need no other one; those made since do."""
        flushes: list[int] = []
        folder = Path(self.mktemp())
        folder.mkdir()
        one = series.Series("one", folder, folder / "note", -1)

        def flush(_folder: Path) -> None:
            flushes.append(one._made)
            if len(flushes) == 1:
                # Somebody else has made a name meanwhile, and waits.
                one._made += 1

        self.patch(series, "flush_folder", flush)
        mine, others = one.named(), (one.named(), one.named())
        one.flush_names(mine)
        self.assertEqual((3, 4, [3]), (one._flushed, one._made, flushes))
        for each in others:
            one.flush_names(each)
        self.assertEqual([3], flushes)
        one.flush_names(one.named())
        self.assertEqual((5, [3, 5]), (one._flushed, flushes))


class EndTests(contracts.Contract):
    """What is left of a series when it has come to its end."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.store, self.other = filesystem(self.folder), filesystem(self.folder)

    async def commit(self, content: bytes = b"content") -> StoredBlob:
        """An object that is not confirmed."""
        upload = await self.store.start_upload()
        await upload.write([content])
        return await upload.commit()

    def folders(self) -> list[Path]:
        """Those of objects."""
        return sorted((self.folder / "sha256").iterdir())

    async def test_closed(self) -> None:
        """With a store that is closed its note goes, when the last object is confirmed; another one begins a series."""
        first, second = await self.commit(), await self.commit()
        await self.store.confirm(first)
        await self.store.close()
        await self.store.close()
        self.assertEqual(1, len(notes_in(self.folder)))
        await self.store.confirm(second)
        self.assertEqual(set(), notes_in(self.folder))
        third = await self.commit()
        self.assertEqual((2, 1), (len(self.folders()), len(notes_in(self.folder))))
        self.assertNotEqual(series.series_of(first.generation), series.series_of(third.generation))

    async def test_emptied(self) -> None:
        """The folder goes with the last object, or with the end of a series that has none by then, whoever removes it."""
        for remover in (self.store, self.other):
            blob = await self.commit()
            await self.store.confirm(blob)
            if remover is self.store:
                await remover.delete(blob)
                self.assertEqual(1, len(self.folders()))
                await self.store.close()
            else:
                await self.store.close()
                await remover.delete(blob)
            self.assertEqual((set(), []), (notes_in(self.folder), self.folders()))

    async def test_quarantined(self) -> None:
        """So it is with an object that is put into quarantine."""
        blob = await self.commit()
        await self.store.confirm(blob)
        await self.store.close()
        await self.other.quarantine(blob)
        self.assertEqual([], self.folders())
        self.assertEqual(1, len(list((self.folder / "quarantine").iterdir())))

    async def test_order(self) -> None:
        """The empty folder goes first, durably, and then the note by which recovery would find it."""
        blob = await self.commit()
        await self.store.confirm(blob)
        await self.store.delete(blob)
        disk = DiskRecorder(self, self.folder)
        await self.store.close()
        note = f"remove series/sha256.{series.series_of(blob.generation)}"
        self.assertEqual(["flush sha256", note], disk.take())

    async def test_told_of(self) -> None:
        """
        Of what nothing names, a series tells another process when it is closed, and not before; its own process at once.

        An object of it may still be recorded, as far as others know.
        """
        blob = await self.commit()
        await self.store.confirm(blob)
        path = self.folder / "sha256" / str(series.series_of(blob.generation)) / f"{'0' * 64}.{blob.generation}0"
        path.write_bytes(b"put here by an operator")
        both = [blob.generation, f"{blob.generation}0"]
        told = [[each.generation for each in await contracts.pages_of(store, 10)] for store in (self.store, self.other)]
        self.assertEqual([both, []], [sorted(each) for each in told])
        await self.store.close()
        self.assertEqual(both, sorted(each.generation for each in await contracts.pages_of(self.other, 10)))


class FailureTests(contracts.Contract):
    """A disk that refuses again and again."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.store = filesystem(self.folder)

    async def commit(self, content: bytes) -> StoredBlob:
        """An object that is not confirmed."""
        upload = await self.store.start_upload()
        try:
            await upload.write([content])
            return await upload.commit()
        finally:
            await upload.abort()

    def notes_open(self) -> int:
        """How many notes of series this process has open."""
        paths = (path.resolve() for path in Path("/proc/self/fd").iterdir())
        return sum(path.parent == self.folder.resolve() / "series" for path in paths)

    def refuse(self, path: Path) -> None:
        """Flush no folder of objects."""
        if path.parent.name == "sha256":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        flush_folder(path)

    async def test_flushes(self) -> None:
        """However often a folder can not be flushed, not even after a removal, its note does not stay open; recovery finds it."""
        first = await self.commit(b"first")
        for parts in ([series], [series, staging]):
            for part in parts:
                self.patch(part, "flush_folder", self.refuse)
            for _ in range(5):
                await self.raises(StoreUnavailable, self.commit(b"refused"))
        for part in (series, staging):
            self.patch(part, "flush_folder", flush_folder)
        second = await self.commit(b"second")
        # Of the first series, whose object is not confirmed, and of the one that is added to.
        self.assertEqual(2, self.notes_open())
        await self.store.confirm(first)
        self.assertEqual(1, self.notes_open())

        async def is_recorded(blob: StoredBlob) -> bool:
            return blob in (first, second)

        self.assertEqual(0, await filesystem(self.folder).recover(is_recorded, contracts.nothing_resumable))
        self.assertEqual(1, len(notes_in(self.folder)))
        self.assertEqual(b"first", await contracts.content_of(self.store, first))

    async def test_folders(self) -> None:
        """A series that could not be begun leaves nothing, however often."""
        real = os.mkdir

        def refuse(path: Path, *args: int) -> None:
            if Path(path).parent.name == "sha256":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(path, *args)

        self.patch(os, "mkdir", refuse)
        for _ in range(3):
            await self.raises(Exception, self.commit(b"refused"))
        self.assertEqual((set(), 0), (notes_in(self.folder), self.notes_open()))
