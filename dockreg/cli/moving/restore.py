"""``dockreg restore``: a backup into an empty registry, or only a look at whether it is good."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from attrs import asdict, define, field

from dockreg.cli.audited import Deed, write_down
from dockreg.cli.failures import CommandFailed
from dockreg.cli.moving.backupfolder import AUDIT, METADATA, BackupFolder, Damaged, Kept
from dockreg.cli.moving.stores import Stores, require_owner, with_stores
from dockreg.cli.people import json_option, show_json
from dockreg.cli.progress import Meter, Reporter, reporting
from dockreg.cli.running import run, threads_of
from dockreg.cli.settings import config_options, configured
from dockreg.config import Config
from dockreg.errors import DigestInvalid
from dockreg.model.blobs import StoredBlob
from dockreg.providers.metadata.copying import CopiedBlob, blobs_of, bring_up_to_date
from dockreg.providing import make_metadata_copies
from dockreg.shield import shielded

_PIECE = 1024 * 1024


@define
class Restored:
    """What was done: from which snapshot, how many blobs and bytes, how many were there, which are in no backup."""

    snapshot: str
    blobs: int = 0
    bytes: int = 0
    present: int = 0
    lost: list[str] = field(factory=list)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--snapshot", metavar="NAME", help="Which of the backups in FOLDER, instead of the latest.")
@click.option("--verify", is_flag=True, help="Read all of the backup, and restore nothing.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@json_option
@config_options
def restore(folder: Path, snapshot: str | None, verify: bool, quiet: bool, as_json: bool, **where: Any) -> None:
    """
    Restore a backup that dockreg backup made in FOLDER, into a registry with nothing in it.

    No daemon may run on it. The registry is empty until everything is there; run it again after an interruption. The
    database may be another one than the one that was backed up.
    """
    config = configured(**where)

    async def work(reactor: Any) -> None:
        with reporting(quiet) as reporter:
            if verify:
                done = await check_backup(reactor, folder, snapshot, reporter)
            else:
                done = await restore_from(config, reactor, folder, snapshot, reporter)
        if not verify:
            await write_down(config, reactor, Deed("registry.restore", {"folder": str(folder)}), None)
        if as_json:
            show_json(asdict(done))
        else:
            verb = "is good" if verify else "is restored"
            click.echo(f"{folder}: {done.snapshot} {verb}; {done.blobs} blobs, {done.bytes} bytes")
            for digest in done.lost:
                click.echo(f"blob {digest} had been lost when the backup was made", err=True)

    run(work)


async def check_backup(reactor: Any, path: Path, snapshot: str | None, reporter: Reporter) -> Restored:
    """
    Read all of a backup.

    :raises Damaged: something of it is not what it was; the sentence says what.
    """
    in_thread = threads_of(reactor)
    folder = BackupFolder(path)
    place = folder.snapshot(snapshot)
    summary = await in_thread(folder.summary, place)
    meter, done = reporter.meter("blobs", None), Restored(place.name, lost=list(summary["lost"]))
    damaged = []
    for kept in await in_thread(lambda: [*folder.listed(place)]):
        if not await in_thread(lambda kept=kept: folder.holds(kept, read=True)):
            damaged.append(str(kept.digest))
        meter.advance(kept.size)
        done.blobs += 1
        done.bytes += kept.size
    if damaged:
        raise Damaged(
            f"{len(damaged)} blobs of {place} are missing or damaged, {damaged[0]} first; dockreg backup --verify copies"
            " them again where the registry has them"
        )
    return done


async def restore_from(config: Config, reactor: Any, path: Path, snapshot: str | None, reporter: Reporter) -> Restored:
    """
    Restore into the stores of ``config``.

    :raises CommandFailed: the backup is damaged, or the registry is not empty; it is as empty as it was then.
    """
    in_thread = threads_of(reactor)
    folder = BackupFolder(path)
    place = folder.snapshot(snapshot)
    summary = await in_thread(folder.summary, place)
    require_owner(config.data_dir)
    await in_thread(config.data_dir.mkdir, 0o700, parents=True, exist_ok=True)
    work = Path(await in_thread(tempfile.mkdtemp, prefix=".restoring-", dir=config.data_dir))
    try:
        metadata = work / METADATA
        await in_thread(shutil.copyfile, place / METADATA, metadata)
        await in_thread(bring_up_to_date, metadata)
        done = Restored(place.name, lost=list(summary["lost"]))

        async def act(stores: Stores) -> Restored:
            copies = make_metadata_copies(config, in_thread)
            await copies.open()
            try:
                if not await copies.is_empty():
                    raise CommandFailed("there is something in this registry: name a --data-dir with nothing in it")
                await _Restore(stores, folder, reporter.meter("blobs", None), done).blobs(
                    await in_thread(lambda: [*blobs_of(metadata)])
                )
                await copies.load(metadata)
            finally:
                await copies.close()
            return done

        result = await with_stores(config, reactor, act, may_make=True)
        await in_thread(_restore_audit, config, place)
        return result
    finally:
        await in_thread(lambda: shutil.rmtree(work, ignore_errors=True))


def _restore_audit(config: Config, place: Path) -> None:
    target = config.log.audit
    if (place / AUDIT).exists() and target not in ("", "-") and not Path(target).exists():
        shutil.copyfile(place / AUDIT, target)
        Path(target).chmod(0o600)


@define(eq=False)
class _Restore:
    _stores: Stores
    _folder: BackupFolder
    _meter: Meter
    _done: Restored

    async def blobs(self, wanted: Sequence[CopiedBlob]) -> None:
        """Store each blob that is not there, and record it, with a lease until everything refers to it."""
        registry, lost = self._stores.registry, frozenset(self._done.lost)
        for each in wanted:
            if str(each.blob.digest) in lost:
                # The registry that was backed up had lost it: what it was part of is as broken as it was.
                await registry.metadata.blobs.record(each.blob, each.facts, registry.lease_end())
                continue
            self._done.blobs += 1
            self._done.bytes += each.blob.size
            found = await registry.metadata.blobs.find(each.blob.digest)
            if found is None:
                await shielded(self._blob(each))
            else:
                self._done.present += 1
                await registry.metadata.blobs.record(found, each.facts, registry.lease_end())

    async def _blob(self, wanted: CopiedBlob) -> None:
        registry, digest = self._stores.registry, wanted.blob.digest
        kept = Kept(digest, wanted.blob.size)
        if not self._folder.holds(kept, read=False):
            raise Damaged(f"{self._folder.blob(digest)} is missing or has another size than it should")
        upload = await registry.blobs.start_upload((), digest.algorithm)
        try:
            with self._folder.blob(digest).open("rb") as file:
                while data := await registry.in_thread(file.read, _PIECE):
                    await upload.write([data])
                    self._meter.advance(len(data))
            committed = await upload.commit(digest)
        except DigestInvalid:
            raise Damaged(f"{self._folder.blob(digest)} is damaged: its bytes have another digest") from None
        finally:
            await upload.abort()

        async def record(blob: StoredBlob) -> StoredBlob:
            return await registry.metadata.blobs.record(blob, wanted.facts, registry.lease_end())

        await registry.keep_blob(committed, record)
