"""
What a backup looks like on disk.

``blobs/sha256/ab/<digest>`` are the bytes of blobs, shared by all backups in a folder; ``snapshots/<time>/`` is one backup:
``metadata.sqlite3``, ``blobs.txt`` (a line with digest and size for each blob), ``audit.log``, and ``backup.json``, which
says of what size and digest the other files are. A snapshot is written under a name that ends in ``.partial`` and renamed
when all of it, and every blob that it names, is durable: what has its name is whole.
"""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import define, frozen

from dockreg.cli.failures import CommandFailed
from dockreg.errors import RegistryError
from dockreg.model.digest import Digest, Hasher
from dockreg.providers.blobs.disk import flush_folder, make_folder

METADATA = "metadata.sqlite3"
AUDIT = "audit.log"
_BLOBS = "blobs.txt"
_SUMMARY = "backup.json"
_PARTIAL = ".partial"
_FORMAT = 1
_PIECE = 1024 * 1024


@frozen
class Kept:
    """A blob in the folder."""

    digest: Digest
    size: int


class Damaged(CommandFailed):
    """A backup that is not what it was."""


class SourceDamaged(Exception):
    """The bytes of a blob in the registry are not those of its digest."""


@define(eq=False)
class BackupFolder:
    """A folder with backups. Its methods block."""

    path: Path

    @property
    def snapshots(self) -> list[str]:
        """The names of those that are whole, oldest first."""
        folder = self.path / "snapshots"
        return sorted(each.name for each in folder.glob("*") if not each.name.endswith(_PARTIAL) and each.is_dir())

    def snapshot(self, name: str | None) -> Path:
        """The folder of one, or (None) of the latest. :raises CommandFailed: there is none."""
        names = self.snapshots
        if not names:
            raise CommandFailed(f"{self.path} holds no backup that is whole")
        if name is not None and name not in names:
            raise CommandFailed(f"{self.path} holds no backup {name}; there are {', '.join(names)}")
        return self.path / "snapshots" / (name or names[-1])

    def blob(self, digest: Digest) -> Path:
        """Where the bytes of a blob are."""
        return self.path / "blobs" / digest.algorithm / digest.encoded[:2] / digest.encoded

    def holds(self, kept: Kept, *, read: bool) -> bool:
        """
        Whether a blob is there, by its size or (``read``) by its bytes; what the disk can not read is not.

        :raises CommandFailed: it may not be read.
        """
        path = self.blob(kept.digest)
        try:
            if path.stat().st_size != kept.size:
                return False
            return not read or digest_of(path, kept.digest.algorithm) == kept.digest
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EIO):
                return False
            raise CommandFailed(f"{path} can not be read: {error.strerror or error}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one who writes here. :raises CommandFailed: somebody else does."""
        make_folder(self.path)
        descriptor = os.open(self.path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._clean_up()
            yield
        except BlockingIOError:
            raise CommandFailed(f"another backup is being written into {self.path}") from None
        finally:
            os.close(descriptor)

    def _clean_up(self) -> None:
        """Remove what backups that were interrupted have left."""
        for each in (self.path / "snapshots").glob(f"*{_PARTIAL}"):
            shutil.rmtree(each)
        for each in (self.path / "blobs").rglob(f".*{_PARTIAL}"):
            each.unlink()

    def begin(self, name: str) -> Path:
        """The folder of a new snapshot, empty."""
        make_folder(self.path / "snapshots")
        partial = self.path / "snapshots" / (name + _PARTIAL)
        with suppress(FileNotFoundError):
            shutil.rmtree(partial)
        partial.mkdir(mode=0o700)
        return partial

    def finish(self, partial: Path, blobs: Iterator[Kept], summary: Mapping[str, Any]) -> int:
        """
        Complete a snapshot whose blobs are all there: it has its name when this returns.

        :return: how many bytes its blobs have.
        """
        total = 0
        with (partial / _BLOBS).open("x") as file:
            for kept in blobs:
                file.write(f"{kept.digest} {kept.size}\n")
                total += kept.size
        files = {each.name: _described(each) for each in sorted(partial.iterdir())}
        document = {"format": _FORMAT, **summary, "files": files}
        (partial / _SUMMARY).write_text(json.dumps(document, indent=1) + "\n")
        for each in partial.iterdir():
            each.chmod(0o600)
            _flush(each)
        flush_folder(partial)
        for folder, _, _ in os.walk(self.path / "blobs"):
            flush_folder(Path(folder))
        partial.rename(partial.with_name(partial.name.removesuffix(_PARTIAL)))
        flush_folder(partial.parent)
        return total

    def receive(self, kept: Kept) -> "Receiving":
        """Where the bytes of a blob go."""
        return Receiving(self.blob(kept.digest), kept)

    def link(self, kept: Kept, source: Path) -> None:
        """Give the file of a blob a second name here. :raises FileNotFoundError: it is gone."""
        target = self.blob(kept.digest)
        make_folder(target.parent)
        with suppress(FileNotFoundError):
            target.unlink()
        try:
            os.link(source, target)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise CommandFailed(
                f"{target} can not be a link to {source}: {error.strerror}; without --link it is a copy"
            ) from None

    def prune(self, keep: int, newest: str) -> int:
        """Remove all but the latest ``keep`` snapshots, and the blobs that none of those has; return how many blobs."""
        # By a clock that was ahead another one may have a later name.
        order = [*(name for name in self.snapshots if name != newest), newest]
        for name in order[:-keep]:
            # Not whole any more from here on, whatever happens.
            doomed = self.path / "snapshots" / (name + _PARTIAL)
            (self.path / "snapshots" / name).rename(doomed)
            flush_folder(doomed.parent)
            shutil.rmtree(doomed)
        wanted = {str(kept.digest) for name in self.snapshots for kept in self.listed(self.path / "snapshots" / name)}
        removed = 0
        for path in (self.path / "blobs").glob("*/??/*"):
            if f"{path.parent.parent.name}:{path.name}" not in wanted:
                path.unlink()
                removed += 1
        return removed

    def summary(self, snapshot: Path) -> Mapping[str, Any]:
        """
        What a snapshot says of itself.

        :raises Damaged: it can not be read, or one of its files is not what it was.
        """
        try:
            document = json.loads((snapshot / _SUMMARY).read_text())
            form, files = document["format"], document["files"]
            found = {name: _described(snapshot / name) for name in files}
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise Damaged(f"{snapshot} is no backup, or is damaged: {error}") from None
        if form != _FORMAT:
            raise CommandFailed(f"{snapshot} has format {form}, which this program does not know")
        for name, described in files.items():
            if described != found[name]:
                raise Damaged(f"{snapshot / name} is damaged: it is not what {_SUMMARY} says")
        if METADATA not in files or _BLOBS not in files:
            raise Damaged(f"{snapshot} is damaged: it lacks files")
        return dict(document)

    def listed(self, snapshot: Path) -> Iterator[Kept]:
        """The blobs of a snapshot. :raises Damaged: the list can not be read."""
        try:
            with (snapshot / _BLOBS).open() as file:
                for line in file:
                    digest, _, size = line.rstrip("\n").partition(" ")
                    yield Kept(Digest.parse(digest), int(size))
        except (OSError, ValueError, RegistryError) as error:
            raise Damaged(f"{snapshot / _BLOBS} is damaged: {error}") from None


class Receiving:
    """A blob on its way into the folder; it has its name once :meth:`finish` returns."""

    def __init__(self, target: Path, kept: Kept) -> None:
        self._target = target
        self._kept = kept
        make_folder(target.parent)
        self._temporary = target.with_name(f".{target.name}{_PARTIAL}")
        self._descriptor = os.open(self._temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        self._hasher = Hasher(kept.digest.algorithm)

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._hasher.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def finish(self) -> None:
        """:raises SourceDamaged: the bytes are not those of the digest."""
        if self._hasher.digest != self._kept.digest:
            raise SourceDamaged
        os.fsync(self._descriptor)
        self._temporary.rename(self._target)

    def close(self) -> None:
        """Release it, and drop what is not finished."""
        os.close(self._descriptor)
        self._temporary.unlink(missing_ok=True)


def digest_of(path: Path, algorithm: str = "sha256") -> Digest:
    """The digest of a file."""
    hasher = Hasher(algorithm)
    with path.open("rb") as file:
        while data := file.read(_PIECE):
            hasher.update(data)
    return hasher.digest


def _described(path: Path) -> Mapping[str, Any]:
    return {"digest": str(digest_of(path)), "size": path.stat().st_size}


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
