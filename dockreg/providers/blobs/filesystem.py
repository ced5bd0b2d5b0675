"""Blobs as files, named by digest and generation."""

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from zope.interface import implementer

from dockreg.callables import ByteObserver, InThread
from dockreg.errors import RangeInvalid, RegistryError, StoreUnavailable, UploadBusy, UploadUnknown
from dockreg.errors_blobs import BlobLost
from dockreg.interfaces import IBlobStore
from dockreg.interfaces_blobs import IBlobReader, IUpload
from dockreg.model.blobs import Received, StoredBlob
from dockreg.model.collection import Page
from dockreg.model.conditions import Condition
from dockreg.model.digest import Hasher
from dockreg.providers.blobs.digesting import KeptHashers
from dockreg.providers.blobs.direct import DirectIO
from dockreg.providers.blobs.disk import (
    create_locked,
    disk_errors,
    flush_folder,
    lock_left_behind,
    lock_named,
    remove,
    told_free_bytes,
)
from dockreg.providers.blobs.fileupload import FileUpload
from dockreg.providers.blobs.handover import hand_over
from dockreg.providers.blobs.listing import noted_before, objects_behind, objects_in
from dockreg.providers.blobs.names import is_upload_id
from dockreg.providers.blobs.observing import Beside, Helpers
from dockreg.providers.blobs.reading import Examination, FileBlobReader
from dockreg.providers.blobs.series import drop_empty, noted_series
from dockreg.providers.blobs.small import SmallObjects
from dockreg.providers.blobs.staging import Begin, Folders
from dockreg.providers.blobs.workshop import Beginning, Workshop

P = ParamSpec("P")
T = TypeVar("T")


@implementer(IBlobStore)
class FilesystemBlobStore:
    """
    Objects are ``<algorithm>/<series>/<digest>.<generation>`` in a folder; what is unfinished is in ``staging/`` of that folder.
    Those from before there were series are ``<algorithm>/ab/<digest>.<generation>``, by the first letters of the digest.

    Several processes may share the folder, on one file system that knows ``flock`` and an atomic rename.
    :mod:`dockreg.providers.blobs.staging` tells what a crash leaves and how it is settled.
    """

    def __init__(
        self,
        folder: Path,
        in_thread: InThread,
        new_id: Callable[[], str],
        beside: Beside | None = None,
        begin: Begin | None = None,
        direct: DirectIO | None = None,
    ) -> None:
        """
        :param folder: made with mode 0700 when it is first written to.
        :param new_id: makes unguessable names of 16 to 24 characters ``A-Z``, ``a-z``, ``0-9``, ``_`` and ``-``.
        :param beside: for digests beside that of a blob; without it, the store has threads of its own.
        :param begin: see :class:`.Folders`.
        :param direct: for large bodies, if they are to be written past the page cache.
        """
        self._folders = Folders(folder, new_id, begin)
        self._kept = KeptHashers()
        self._in_thread = in_thread
        self._new_id = new_id
        self._shop = Workshop(
            self._folders, self._kept, SmallObjects(new_id), in_thread, beside=beside or Helpers(), direct=direct
        )

    async def start_upload(self, observers: Sequence[ByteObserver] = (), algorithm: str = "sha256") -> IUpload:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        upload_id = self._new_id()

        def create() -> tuple[int, Beginning]:
            with disk_errors():
                self._folders.ensure(self._folders.staging)
                descriptor = create_locked(self._folders.staged(upload_id))
            return descriptor, Beginning(0, 0, Hasher(algorithm), None)

        upload = FileUpload(self._shop, upload_id, create, observers, algorithm)
        return await hand_over(self._in_thread, upload.open, FileUpload.drop)

    async def resume_upload(
        self,
        upload_id: str,
        received: Received,
        observers: Sequence[ByteObserver] = (),
        algorithm: str = "sha256",
        later: bool = False,
    ) -> IUpload:
        """See :class:`~dockreg.interfaces.IBlobStore`."""

        def resume() -> tuple[int, Beginning]:
            with disk_errors():
                descriptor = self._lock_upload(upload_id, received)
                try:
                    return descriptor, Beginning.of(self._shop, upload_id, descriptor, received, algorithm)
                except BaseException:
                    os.close(descriptor)
                    raise

        if not is_upload_id(upload_id):
            raise UploadUnknown(upload_id)
        upload = FileUpload(self._shop, upload_id, resume, observers, algorithm, received.size)
        if later:
            return upload
        return await hand_over(self._in_thread, upload.open, FileUpload.let_go)

    async def upload_size(self, upload_id: str) -> int:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        return await self._in_thread(_on_disk, self._size, upload_id) if is_upload_id(upload_id) else 0

    async def drop_upload(self, upload_id: str) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        if is_upload_id(upload_id):
            await self._in_thread(_on_disk, self._drop, upload_id)

    async def confirm(self, blob: StoredBlob) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        await self._in_thread(_on_disk, self._folders.confirm, blob)

    async def reopen(self, blob: StoredBlob, upload_id: str) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        await self._in_thread(_on_disk, self._reopen, blob, upload_id)

    async def free(self) -> int | None:
        """See :class:`~dockreg.interfaces.IBlobStore`: what the file system says."""
        return await self._in_thread(told_free_bytes, self._folders.root)

    async def open(self, blob: StoredBlob, start: int = 0) -> IBlobReader:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        return await hand_over(self._in_thread, lambda: self._open(blob, start), FileBlobReader.close)

    async def delete(self, blob: StoredBlob) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        await self._in_thread(_on_disk, self._folders.delete, blob)

    async def examine(self, blob: StoredBlob, passed: Callable[[int], Awaitable[object]]) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`; what the page cache has of it is dropped before and after."""
        reading = await hand_over(self._in_thread, lambda: Examination(self._open(blob, 0), blob), Examination.close)
        try:
            while size := await self._in_thread(reading.step):
                await passed(size)
        finally:
            reading.close()

    async def quarantine(self, blob: StoredBlob) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`: into the folder ``quarantine``, under the name that it has."""
        await self._in_thread(_on_disk, self._folders.quarantine, blob)

    async def stored(self, after: str, limit: int) -> Page:
        """See :class:`~dockreg.interfaces.IBlobStore`; a page is some whole folders."""
        return await self._in_thread(_on_disk, objects_behind, self._folders, after, limit)

    async def recover(
        self, is_recorded: Callable[[StoredBlob], Awaitable[bool]], is_resumable: Callable[[str], Awaitable[bool]]
    ) -> int:
        """
        See :class:`~dockreg.interfaces.IBlobStore`.

        The metadata is asked about a file again once that is locked: who makes the first row of a session holds the lock of
        its file until then, so what is not known then was never to be resumed, or is not any more.
        """
        settled = 0
        for path in await self._in_thread(self._unfinished):
            # Not locked for that: who resumes it now would be told that it is busy.
            if is_upload_id(path.name) and await is_resumable(path.name):
                continue
            descriptor = await hand_over(self._in_thread, partial(_on_disk, lock_left_behind, path), _unlock)
            if descriptor is not None:
                # The lock is held until all is done: another process that recovers passes over this name.
                try:
                    if is_upload_id(path.name) and await is_resumable(path.name):
                        continue
                    settled += await self._settle_unfinished(path, is_recorded)
                finally:
                    os.close(descriptor)
        for note, algorithm, name in await self._in_thread(self._notes):
            descriptor = await hand_over(self._in_thread, partial(_on_disk, lock_left_behind, note), _unlock)
            if descriptor is not None:
                try:
                    settled += await self._settle(note, f"{algorithm}/{name}", is_recorded)
                finally:
                    os.close(descriptor)
        return settled

    async def check(self) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`: writes, reads and removes a small file."""
        await self._in_thread(self._check)

    async def close(self) -> None:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        await self._in_thread(_on_disk, self._folders.end_series)

    def _lock_upload(self, upload_id: str, received: Received) -> int:
        flags = os.O_RDWR
        if received.size == 0:
            self._folders.ensure(self._folders.staging)
            flags |= os.O_CREAT
        try:
            return lock_named(self._folders.staged(upload_id), flags)
        except FileNotFoundError:
            raise UploadUnknown(upload_id) from None
        except BlockingIOError:
            raise UploadBusy(upload_id) from None

    def _size(self, upload_id: str) -> int:
        try:
            return os.stat(self._folders.staged(upload_id)).st_size  # noqa: PTH116 - it is text
        except FileNotFoundError:
            return 0

    def _drop(self, upload_id: str) -> None:
        if upload_id in self._shop.under_way:
            raise UploadBusy(upload_id)
        path = self._folders.staged(upload_id)
        try:
            descriptor = lock_named(path, os.O_RDONLY)
        except FileNotFoundError:
            return
        except BlockingIOError:
            raise UploadBusy(upload_id) from None
        try:
            remove(path)
            self._kept.forget(upload_id)
        finally:
            os.close(descriptor)

    def _reopen(self, blob: StoredBlob, upload_id: str) -> None:
        try:
            with suppress(OSError):
                self._folders.reopen(blob, upload_id)
        finally:
            self._folders.delete(blob)

    def _open(self, blob: StoredBlob, start: int) -> FileBlobReader:
        with disk_errors():
            try:
                descriptor = os.open(self._folders.object_path(blob), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise self._missing(blob) from None
            try:
                _examine(os.fstat(descriptor).st_size, blob, start)
            except BaseException:
                os.close(descriptor)
                raise
        return FileBlobReader(descriptor, blob.size, start, self._in_thread)

    def _missing(self, blob: StoredBlob) -> RegistryError:
        # A file system that is not mounted has none of them, and all of them are well.
        if self._folders.staging.is_dir():
            return BlobLost(str(blob.digest), Condition.MISSING)
        return StoreUnavailable("the folder of blobs is not there")

    def _unfinished(self) -> Sequence[Path]:
        with disk_errors():
            self._folders.ensure(self._folders.staging)
            return sorted(self._folders.staging.iterdir())

    def _notes(self) -> Sequence[tuple[Path, str, str]]:
        with disk_errors():
            return list(noted_series(self._folders.notes))

    async def _settle_unfinished(self, path: Path, is_recorded: Callable[[StoredBlob], Awaitable[bool]]) -> int:
        """Remove a file in ``staging``; where it is a note from before there were series, first what it says."""
        blob = noted_before(path.name)
        if blob is None:
            await self._in_thread(_on_disk, remove, path)
            self._kept.forget(path.name)
            return 1
        stray = None if await is_recorded(blob) else self._folders.object_path(blob)
        return await self._in_thread(_on_disk, _remove_noted, path, stray)

    async def _settle(self, note: Path, folder: str, is_recorded: Callable[[StoredBlob], Awaitable[bool]]) -> int:
        """Remove the objects of a series that are not recorded, and then its note; return how many they were."""
        found = await self._in_thread(_on_disk, lambda: list(objects_in(self._folders, folder)))
        stray = [blob for blob in found if not await is_recorded(blob)]
        await self._in_thread(_on_disk, self._remove_strays, note, self._folders.root / folder, stray)
        return len(stray)

    def _remove_strays(self, note: Path, folder: Path, stray: Sequence[StoredBlob]) -> None:
        for blob in stray:
            remove(self._folders.object_path(blob))
        if stray:
            flush_folder(folder)
        drop_empty(folder)
        remove(note)

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


def _remove_noted(note: Path, stray: Path | None) -> int:
    found = 0
    if stray is not None and stray.exists():
        remove(stray)
        flush_folder(stray.parent)
        found = 1
    remove(note)
    return found


def _examine(found: int, blob: StoredBlob, start: int) -> None:
    if found != blob.size:
        raise BlobLost(str(blob.digest), Condition.DAMAGED)
    if not 0 <= start <= blob.size:
        raise RangeInvalid(blob.size)


def _unlock(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
