"""Objects in files that are looked at, and what is found of those that something has happened to."""

import errno
import os
from pathlib import Path
from typing import Any

from dockreg.errors import StoreUnavailable
from dockreg.errors_blobs import BlobLost
from dockreg.interfaces import IBlobStore
from dockreg.model.blobs import StoredBlob
from dockreg.model.conditions import Condition
from dockreg.testing import contracts, contracts_conditions
from tests.unit.providers.blobs.test_filesystem import files_in, filesystem, open_descriptors


class FilesystemExaminationTests(contracts_conditions.ExaminationContract):
    """The promises of every blob store, kept in files."""

    def make_blob_store(self) -> IBlobStore:
        self.folder = Path(self.mktemp())
        return filesystem(self.folder)

    def path(self, blob: StoredBlob) -> Path:
        """Where the object is."""
        (path,) = self.folder.glob(f"*/*/{blob.digest.encoded}.{blob.generation}")
        return path

    async def found(self, blobs: IBlobStore, blob: StoredBlob) -> Condition:
        """What is wrong with it."""
        problem = await self.raises(BlobLost, self.examined(blobs, blob))
        return problem.condition

    async def test_altered(self) -> None:
        """One bit that is not what it was is found, wherever it is."""
        blobs = self.make_blob_store()
        content = os.urandom(3 << 20)
        blob = await contracts.store(blobs, [content])
        for place in (0, 1 << 20, len(content) - 1):
            altered = bytearray(content)
            altered[place] ^= 1
            self.path(blob).write_bytes(altered)
            self.assertEqual(Condition.DAMAGED, await self.found(blobs, blob))
        self.path(blob).write_bytes(content)
        await self.examined(blobs, blob)

    async def test_shorter_and_longer(self) -> None:
        """So is a file that is shorter or longer, by whoever opens it."""
        blobs = self.make_blob_store()
        blob = await contracts.store(blobs)
        for content in (contracts.CONTENT[:-1], contracts.CONTENT + b"x", b""):
            self.path(blob).write_bytes(content)
            self.assertEqual(Condition.DAMAGED, await self.found(blobs, blob))
            problem = await self.raises(BlobLost, blobs.open(blob))
            self.assertEqual(Condition.DAMAGED, problem.condition)

    async def test_unreadable(self) -> None:
        """A file that the disk can not read is damaged; nothing stays open."""
        blobs = self.make_blob_store()
        blob = await contracts.store(blobs)
        before = open_descriptors()

        def broken(*_: Any) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        self.patch(os, "pread", broken)
        self.assertEqual(Condition.DAMAGED, await self.found(blobs, blob))
        self.assertEqual(before, open_descriptors())

    async def test_not_mounted(self) -> None:
        """Where the whole folder is gone, the store does not work; that says nothing of the objects."""
        blobs = self.make_blob_store()
        blob = await contracts.store(blobs)
        away = self.folder.with_name("away")
        self.folder.rename(away)
        for there in (False, True):
            if there:
                self.folder.mkdir()  # the mount point alone
            await self.raises(StoreUnavailable, blobs.open(blob))
            await self.raises(StoreUnavailable, self.examined(blobs, blob))
        self.folder.rmdir()
        away.rename(self.folder)
        await self.examined(blobs, blob)

    async def test_no_descriptors(self) -> None:
        """Without a descriptor to open it with, nothing is said of an object."""
        blobs = self.make_blob_store()
        blob = await contracts.store(blobs)

        def none_left(*_: Any, **__: Any) -> int:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        self.patch(os, "open", none_left)
        await self.raises(StoreUnavailable, self.examined(blobs, blob))
        await self.raises(StoreUnavailable, blobs.open(blob))

    async def test_quarantined(self) -> None:
        """An object in quarantine is in a folder of that name, under its own."""
        blobs = self.make_blob_store()
        blob = await contracts.store(blobs)
        await blobs.quarantine(blob)
        self.assertEqual({f"quarantine/{blob.digest.encoded}.{blob.generation}"}, files_in(self.folder))
        self.assertEqual(0, await blobs.recover(contracts.nothing_recorded, contracts.nothing_resumable))
        self.assertEqual(1, len(files_in(self.folder)))
