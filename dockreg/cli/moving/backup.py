"""
``dockreg backup``: everything, as it is at one moment, while the registry serves.

First the metadata are copied, in one transaction; then the blobs that they name. A blob is never changed, but one that
nothing refers to any more may be collected between the two. So when one is not there, the backup begins again with a new
copy of the metadata, which does not name it; what was copied of blobs stays, so the second time takes a moment.
"""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from attrs import asdict, define, field

from dockreg.cli.audited import Deed, write_down
from dockreg.cli.failures import CommandFailed
from dockreg.cli.moving.backupfolder import AUDIT, METADATA, BackupFolder, Kept, SourceDamaged
from dockreg.cli.moving.stores import Stores, with_stores
from dockreg.cli.people import json_option, show_json
from dockreg.cli.progress import Meter, Reporter, reporting
from dockreg.cli.running import run, threads_of
from dockreg.cli.settings import config_options, configured
from dockreg.config import Config
from dockreg.errors import BlobUnknown, RegistryError
from dockreg.model.blobs import StoredBlob
from dockreg.providers.blobs.staging import Folders
from dockreg.providers.metadata.copying import MetadataCopies, blobs_of
from dockreg.providers.metadata.tables import SCHEMA
from dockreg.providing import make_metadata_copies
from dockreg.version import VERSION

#: How often it is tried to have metadata and blobs that fit.
_ROUNDS = 10
_PIECE = 1024 * 1024


@define
class BackedUp:
    """
    What was done: the snapshot, its blobs and their bytes, how many of them were new, how many were removed; the blobs
    that the registry has lost or that are damaged, and why.
    """

    snapshot: str = ""
    blobs: int = 0
    bytes: int = 0
    new_blobs: int = 0
    new_bytes: int = 0
    rounds: int = 0
    removed: int = 0
    lost: dict[str, str] = field(factory=dict)


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--link", is_flag=True, help="Make the blobs second names of the stored files, on the same file system.")
@click.option("--verify", is_flag=True, help="Read every blob in the backup again, and copy those that are damaged.")
@click.option("--keep", type=click.IntRange(1), metavar="N", help="Then remove all but the latest N backups in FOLDER.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@json_option
@config_options
def backup(folder: Path, link: bool, verify: bool, keep: int | None, quiet: bool, as_json: bool, **where: Any) -> None:
    """
    Back everything up into FOLDER: images, accounts, rights, keys and the audit log.

    It may be done while the registry serves. Blobs that FOLDER has from earlier backups are not copied again.
    """
    config = configured(**where)
    deed = Deed("registry.backup", {"folder": str(folder)})

    async def work(reactor: Any) -> None:
        try:
            with reporting(quiet) as reporter:
                done = await back_up(config, reactor, folder, reporter, link=link, verify=verify, keep=keep)
        except (RegistryError, CommandFailed) as problem:
            await write_down(config, reactor, deed, problem)
            raise
        await write_down(config, reactor, deed, None)
        if as_json:
            show_json(asdict(done))
        else:
            click.echo(
                f"{folder}: {done.snapshot}; {done.blobs} blobs, {done.bytes} bytes, of which {done.new_blobs} blobs and"
                f" {done.new_bytes} bytes are new"
            )
        if done.lost:
            told = ", ".join(f"{digest} {why}" for digest, why in sorted(done.lost.items()))
            raise CommandFailed(
                f"the backup is as whole as the registry, which has lost {len(done.lost)} blobs: {told}"
            )

    run(work)


async def back_up(
    config: Config,
    reactor: Any,
    path: Path,
    reporter: Reporter,
    *,
    link: bool = False,
    verify: bool = False,
    keep: int | None = None,
) -> BackedUp:
    """
    Back up the stores of ``config``.

    :raises CommandFailed: it could not be done; earlier backups are what they were.
    """
    if link and config.blobs.provider != "files":
        raise CommandFailed("--link needs blobs in files")

    async def act(stores: Stores) -> BackedUp:
        copies = make_metadata_copies(config, threads_of(reactor))
        await copies.open()
        try:
            linked = Folders(config.blob_folder) if link else None
            folder = BackupFolder(path)
            return await Backup(config, stores, copies, folder, linked, verify, reporter.meter("blobs", None)).run(keep)
        except OSError as error:
            raise CommandFailed(f"{path} can not be written: {error.strerror or error}") from None
        finally:
            await copies.close()

    return await with_stores(config, reactor, act)


@define(eq=False)
class Backup:
    """One backup. ``_linked`` is where the files of blobs are, if they are linked; what is in the metadata is copied."""

    _config: Config
    _stores: Stores
    _copies: MetadataCopies
    _folder: BackupFolder
    _linked: Folders | None
    _verify: bool
    _meter: Meter
    done: BackedUp = field(factory=BackedUp, init=False)

    async def run(self, keep: int | None) -> BackedUp:
        """Do it. :raises CommandFailed: it could not be done."""
        in_thread = self._stores.registry.in_thread
        lock = self._folder.locked()
        await in_thread(lock.__enter__)
        try:
            now = self._stores.registry.clock.seconds()
            name = await in_thread(self._new_name, now)
            partial = await self._snapshot(name)
            await in_thread(self._copy_audit, partial)
            summary = {"dockreg": VERSION, "schema": SCHEMA, "created_at": now, "lost": sorted(self.done.lost)}
            self.done.bytes = await in_thread(
                lambda: self._folder.finish(partial, iter(list(self._wanted(partial))), summary)
            )
            self.done.snapshot = name
            if keep is not None:
                self.done.removed = await in_thread(self._folder.prune, keep, name)
        finally:
            await in_thread(lock.__exit__, None, None, None)
        return self.done

    def _new_name(self, now: float) -> str:
        stamp = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}"
        taken = self._folder.snapshots
        number = 1
        while (name := stamp if number == 1 else f"{stamp}.{number}") in taken:
            number += 1
        return name

    async def _snapshot(self, name: str) -> Path:
        """A copy of the metadata all of whose blobs are in the folder."""
        for _ in range(_ROUNDS):
            self.done.rounds += 1
            partial = await self._stores.registry.in_thread(self._folder.begin, name)
            await self._copies.dump(partial / METADATA)
            if await self._copy_blobs(partial / METADATA):
                return partial
        raise CommandFailed(f"blobs were collected faster than they were copied, {_ROUNDS} times: try again later")

    async def _copy_blobs(self, metadata: Path) -> bool:
        """Copy what is not there. False when a blob was collected meanwhile."""
        in_thread = self._stores.registry.in_thread
        wanted: Sequence[StoredBlob] = await in_thread(lambda: [each.blob for each in blobs_of(metadata)])
        self.done.blobs = len(wanted)
        self.done.lost = {}
        complete = True
        for blob in wanted:
            kept = Kept(blob.digest, blob.size)
            if await in_thread(lambda kept=kept: self._folder.holds(kept, read=self._verify)):
                continue
            try:
                await self._copy(blob, kept)
            except SourceDamaged:
                # What the folder has of it is damaged, too, or it would not have been copied.
                await in_thread(lambda kept=kept: self._folder.blob(kept.digest).unlink(missing_ok=True))
                self.done.lost[str(blob.digest)] = "is damaged"
            except (BlobUnknown, FileNotFoundError):
                # The others are copied all the same: they are wanted the next time, too.
                if await self._stores.registry.metadata.blobs.is_recorded(blob):
                    self.done.lost[str(blob.digest)] = "is not there"
                else:
                    complete = False
            else:
                self.done.new_blobs += 1
                self.done.new_bytes += blob.size
        return complete

    async def _copy(self, blob: StoredBlob, kept: Kept) -> None:
        in_thread = self._stores.registry.in_thread
        if self._linked is not None and not blob.in_metadata:
            await in_thread(self._folder.link, kept, self._linked.object_path(blob))
            if self._verify and not await in_thread(lambda: self._folder.holds(kept, read=True)):
                raise SourceDamaged
            return
        reader = await self._stores.registry.blobs.open(blob)
        try:
            receiving = await in_thread(self._folder.receive, kept)
            try:
                while data := await reader.read(_PIECE):
                    await in_thread(receiving.write, data)
                    self._meter.advance(len(data))
                await in_thread(receiving.finish)
            finally:
                await in_thread(receiving.close)
        finally:
            reader.close()

    def _wanted(self, partial: Path) -> Sequence[Kept]:
        found = [Kept(each.blob.digest, each.blob.size) for each in blobs_of(partial / METADATA)]
        return [each for each in found if str(each.digest) not in self.done.lost]

    def _copy_audit(self, partial: Path) -> None:
        """The audit log as far as it goes, without the half of a line that is just being written."""
        source = Path(self._config.log.audit)
        if not self._config.log.audit or self._config.log.audit == "-" or not source.is_file():
            return
        target = partial / AUDIT
        shutil.copyfile(source, target)
        with target.open("r+b") as file:
            content_end = file.seek(0, 2)
            while content_end and (file.seek(content_end - 1), file.read(1))[1] != b"\n":
                content_end -= 1
            file.truncate(content_end)
