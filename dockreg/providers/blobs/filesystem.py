"""Blobs as files, named by digest and generation."""

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from attrs import evolve
from zope.interface import implementer

from dockreg.callables import ByteObserver, InThread
from dockreg.errors import BlobUnknown, RangeInvalid, StoreUnavailable
from dockreg.interfaces import IBlobReader, IBlobStore, IUpload
from dockreg.model.blobs import StoredBlob
from dockreg.model.digest import Digest
from dockreg.providers.blobs.disk import create_locked, disk_errors, flush_folder, lock_left_behind, remove
from dockreg.providers.blobs.handover import hand_over
from dockreg.providers.blobs.reading import FileBlobReader
from dockreg.providers.blobs.staging import FileUpload, Folders

P = ParamSpec("P")
T = TypeVar("T")

_NOTE_PARTS = 3


@implementer(IBlobStore)
class FilesystemBlobStore:
    """
    Objects are ``sha256/ab/<digest>.<generation>`` in a folder, what is unfinished is in ``staging/`` of that folder.

    Several processes may share the folder, on one file system that knows ``flock`` and an atomic rename.
    :mod:`dockreg.providers.blobs.staging` tells what a crash leaves and how it is settled.
    """

    def __init__(self, folder: Path, in_thread: InThread, new_id: Callable[[], str]) -> None:
        """
        :param folder: made with mode 0700 when it is first written to.
        :param new_id: makes unguessable names of ``A-Z``, ``a-z``, ``0-9``, ``_`` and ``-``.
        """
        self._folders = Folders(folder)
        self._in_thread = in_thread
        self._new_id = new_id

    async def start_upload(self, observers: Sequence[ByteObserver] = ()) -> IUpload:
        """See :class:`~dockreg.interfaces.IBlobStore`."""

        def start() -> FileUpload:
            with disk_errors():
                self._folders.ensure(self._folders.staging)
                return FileUpload(self._folders, self._new_id(), self._new_id, self._in_thread, observers)

        return await hand_over(self._in_thread, start, FileUpload.drop)

    async def confirm(self, blob: StoredBlob) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        await self._in_thread(_on_disk, self._folders.confirm, blob)

    async def open(self, blob: StoredBlob, start: int = 0) -> IBlobReader:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        return await hand_over(self._in_thread, lambda: self._open(blob, start), FileBlobReader.close)

    async def delete(self, blob: StoredBlob) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        await self._in_thread(_on_disk, self._folders.delete, blob)

    async def recover(self, is_recorded: Callable[[StoredBlob], Awaitable[bool]]) -> int:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        settled = 0
        for path in await self._in_thread(self._unfinished):
            descriptor = await hand_over(self._in_thread, partial(_on_disk, lock_left_behind, path), _unlock)
            if descriptor is not None:
                # The lock is held until all is done: another process that recovers passes over this name.
                try:
                    settled += await self._settle(path, is_recorded)
                finally:
                    os.close(descriptor)
        return settled

    async def check(self) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`: writes, reads and removes a small file."""
        await self._in_thread(self._check)

    def _open(self, blob: StoredBlob, start: int) -> FileBlobReader:
        with disk_errors():
            try:
                descriptor = os.open(self._folders.object_path(blob), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise BlobUnknown(str(blob.digest)) from None
            try:
                _examine(os.fstat(descriptor).st_size, blob, start)
            except BaseException:
                os.close(descriptor)
                raise
        return FileBlobReader(descriptor, blob.size, start, self._in_thread)

    def _unfinished(self) -> Sequence[Path]:
        with disk_errors():
            self._folders.ensure(self._folders.staging)
            return sorted(self._folders.staging.iterdir())

    async def _settle(self, path: Path, is_recorded: Callable[[StoredBlob], Awaitable[bool]]) -> int:
        blob = await self._in_thread(self._noted, path)
        if blob is None:
            await self._in_thread(_on_disk, remove, path)
            return 1
        if await is_recorded(blob):
            await self._in_thread(_on_disk, remove, path)
            return 0
        return await self._in_thread(self._remove_noted, path, blob)

    def _noted(self, path: Path) -> StoredBlob | None:
        """What a note is about; None when it is a staging file."""
        parts = path.name.split(".")
        if len(parts) != _NOTE_PARTS:
            return None
        blob = StoredBlob(Digest("sha256", parts[1]), parts[2], 0)
        with disk_errors(), suppress(FileNotFoundError):
            return evolve(blob, size=self._folders.object_path(blob).stat().st_size)
        return blob

    def _remove_noted(self, note: Path, blob: StoredBlob) -> int:
        with disk_errors():
            target = self._folders.object_path(blob)
            found = target.exists()
            if found:
                remove(target)
                flush_folder(target.parent)
            remove(note)
        return int(found)

    def _check(self) -> None:
        with disk_errors():
            self._folders.ensure(self._folders.staging)
            path = self._folders.staging / self._new_id()
            descriptor = create_locked(path)
            try:
                content = path.name.encode()
                os.write(descriptor, content)
                os.fsync(descriptor)
                if os.pread(descriptor, len(content) + 1, 0) != content:
                    raise StoreUnavailable("the blob store does not give back what was written")
            finally:
                try:
                    remove(path)
                finally:
                    os.close(descriptor)


def _on_disk(job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    with disk_errors():
        return job(*args, **kwargs)


def _examine(found: int, blob: StoredBlob, start: int) -> None:
    if found != blob.size:
        raise BlobUnknown(str(blob.digest))
    if not 0 <= start <= blob.size:
        raise RangeInvalid(blob.size)


def _unlock(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
