import errno
import os
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import StorageFull, StoreUnavailable
from dockreg.providers.blobs.disk import (
    _unwritten,
    create_locked,
    disk_errors,
    gathered,
    lock_left_behind,
    lock_named,
    make_folder,
    remove,
    write_all,
)


class DiskErrorsTests(SynchronousTestCase):
    """What the operating system says is told in our words."""

    def test_no_room(self) -> None:
        """A full disk, quota or file means that the storage is full."""
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            with self.assertRaises(StorageFull), disk_errors():
                raise OSError(number, os.strerror(number))

    def test_broken(self) -> None:
        """Any other trouble means that the store is unavailable, and why."""
        for number in (errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE):
            with self.assertRaises(StoreUnavailable) as caught, disk_errors():
                raise OSError(number, os.strerror(number))
            self.assertIn(os.strerror(number), str(caught.exception))

    def test_full_device(self) -> None:
        """A device that is full says so to a real write."""
        descriptor = os.open("/dev/full", os.O_WRONLY)
        try:
            with self.assertRaises(StorageFull), disk_errors():
                write_all(descriptor, [b"x"])
        finally:
            os.close(descriptor)


class WriteAllTests(SynchronousTestCase):
    """Everything is written."""

    def test_more_than_the_kernel_takes(self) -> None:
        """More buffers than one call of the kernel takes are written in order."""
        path = Path(self.mktemp())
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
        chunks = [b"%d " % number for number in range(3000)]
        self.assertEqual(sum(map(len, chunks)), write_all(descriptor, chunks))
        os.close(descriptor)
        self.assertEqual(b"".join(chunks), path.read_bytes())

    @given(st.lists(st.binary(max_size=4)), st.integers(min_value=0, max_value=50))
    def test_unwritten(self, chunks: list[bytes], written: int) -> None:
        """After a short write, what is left begins with the first byte that was not written."""
        left = _unwritten(chunks, written)
        self.assertEqual(b"".join(chunks)[written:], b"".join(left))


class GatheredTests(SynchronousTestCase):
    """Pieces that are joined before they are digested."""

    @given(st.lists(st.integers(0, 300_000), max_size=8))
    def test_same_bytes(self, sizes: list[int]) -> None:
        """The bytes stay the same, in order, and no two neighbours are small."""
        pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
        found = gathered(pieces)
        self.assertEqual(b"".join(pieces), b"".join(found))
        self.assertFalse([pair for pair in pairwise(map(len, found)) if sum(pair) < 256 * 1024])

    def test_large(self) -> None:
        """A large piece is not copied."""
        large = bytes(512 * 1024)
        found = gathered([large, b"small", large])
        self.assertIs(large, found[0])
        self.assertEqual(2, len(found))
        self.assertIs(large, gathered([large])[0])


class LockTests(SynchronousTestCase):
    """The lock of a file lives as long as its descriptor."""

    def test_living(self) -> None:
        """A file whose creator lives can not be locked by others, and can as soon as its creator is gone."""
        path = Path(self.mktemp())
        writer = create_locked(path)
        self.assertIsNone(lock_left_behind(path))
        os.close(writer)
        left = lock_left_behind(path)
        assert left is not None
        self.assertIsNone(lock_left_behind(path))
        os.close(left)

    def test_gone(self) -> None:
        """A file that is gone is not locked."""
        self.assertIsNone(lock_left_behind(Path(self.mktemp())))

    def test_named(self) -> None:
        """A file is locked by its name, without waiting, and made only when that is asked for."""
        path = Path(self.mktemp())
        self.assertRaises(FileNotFoundError, lock_named, path, os.O_RDWR)
        descriptor = lock_named(path, os.O_RDWR | os.O_CREAT)
        self.assertEqual(0o600, path.stat().st_mode & 0o777)
        for flags in (os.O_RDONLY, os.O_RDWR | os.O_CREAT):
            self.assertRaises(BlockingIOError, lock_named, path, flags)
        os.close(descriptor)
        os.close(lock_named(path, os.O_RDONLY))

    def test_mode(self) -> None:
        """A new file is for its owner alone, and must not be there before."""
        path = Path(self.mktemp())
        os.close(create_locked(path))
        self.assertEqual(0o600, path.stat().st_mode & 0o777)
        self.assertRaises(FileExistsError, create_locked, path)

    def test_remove_again(self) -> None:
        """Removing a file that is gone is harmless."""
        path = Path(self.mktemp())
        path.touch()
        remove(path)
        remove(path)

    def test_make_folder(self) -> None:
        """A folder is made with all that leads to it, for its owner alone; one that is there stays."""
        path = Path(self.mktemp()) / "deep" / "folder"
        make_folder(path)
        make_folder(path)
        self.assertEqual([0o700] * 3, [folder.stat().st_mode & 0o777 for folder in (path, *path.parents[:2])])
