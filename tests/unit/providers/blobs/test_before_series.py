"""What a program from before there were series has left, or is doing in this moment."""

import os
from pathlib import Path

from dockreg.model.blobs import StoredBlob
from dockreg.model.digest import Digest
from dockreg.providers.blobs.disk import lock_named
from dockreg.testing import contracts
from tests.unit.providers.blobs.test_filesystem import all_files_in, filesystem

CONTENTS = {"sha256": b"one", "sha512": b"another"}


class NoteTests(contracts.Contract):
    """A note in ``staging`` says that an object may not be recorded."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.blobs = [self.commit(algorithm, content) for algorithm, content in CONTENTS.items()]

    def commit(self, algorithm: str, content: bytes) -> StoredBlob:
        """An object, and the note that it had until somebody had recorded it."""
        blob = StoredBlob(Digest.of(algorithm, content), f"generation-of-{algorithm}", len(content))
        encoded = blob.digest.encoded
        path = self.folder / algorithm / encoded[:2] / f"{encoded}.{blob.generation}"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        (self.folder / "staging").mkdir(exist_ok=True)
        self.note(blob).touch()
        return blob

    def note(self, blob: StoredBlob) -> Path:
        return self.folder / "staging" / f"an-upload-0123456789.{blob.digest.encoded}.{blob.generation}"

    async def test_recovery(self) -> None:
        """Recovery removes what is not recorded, with its note; of what is recorded the note."""
        one, other = self.blobs
        asked: list[str] = []

        async def is_recorded(blob: StoredBlob) -> bool:
            asked.append(blob.generation)
            return blob.generation == other.generation

        self.assertEqual(1, await filesystem(self.folder).recover(is_recorded, contracts.nothing_resumable))
        kept = f"sha512/{other.digest.encoded[:2]}/{other.digest.encoded}.{other.generation}"
        self.assertEqual({kept}, all_files_in(self.folder))
        self.assertEqual({each.generation for each in (one, other)}, set(asked))

    async def test_gone(self) -> None:
        """A note whose object was never made goes, too."""
        one, other = self.blobs
        store = filesystem(self.folder)
        for blob in (one, other):
            store._folders.object_path(blob).unlink()
        self.assertEqual(0, await store.recover(contracts.nothing_recorded, contracts.nothing_resumable))
        self.assertEqual(set(), all_files_in(self.folder))

    async def test_living(self) -> None:
        """While its process lives the object is not for the collector: it is about to be recorded."""
        store, before = filesystem(self.folder), all_files_in(self.folder)
        locks = [lock_named(self.note(blob), os.O_RDONLY) for blob in self.blobs]
        self.assertEqual([], (await store.stored("", 10)).objects)
        self.assertEqual(0, await store.recover(contracts.nothing_recorded, contracts.nothing_resumable))
        self.assertEqual(before, all_files_in(self.folder))
        for lock, blob in zip(locks, self.blobs, strict=True):
            self.note(blob).unlink()
            os.close(lock)
        self.assertEqual(self.blobs, (await store.stored("", 10)).objects)
