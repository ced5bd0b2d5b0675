"""``dockreg restore``: a backup into an empty registry, or only a look at whether it is good."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

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
from dockreg.model.conditions import Condition
from dockreg.providers.metadata.copying import CopiedBlob, blobs_of, bring_up_to_date
from dockreg.providing import make_metadata_copies
from dockreg.shield import shielded

_PIECE = 1024 * 1024
_WORK = ".restoring-"
_LOCK = "lock"


@define
class Restored:
    """
    What was done: from which snapshot, how many blobs and bytes, how many were there, which are in no backup; the blobs
    that were left out, and why; and why the audit log was not restored, if it was not.
    """

    snapshot: str
    blobs: int = 0
    bytes: int = 0
    present: int = 0
    lost: list[str] = field(factory=list)
    left_out: dict[str, str] = field(factory=dict)
    audit_problem: str = ""


class BlobDamaged(Damaged):
    """A blob of a backup that can not be restored; ``condition`` is what it would be in the registry."""

    def __init__(self, message: str, condition: Condition) -> None:
        super().__init__(message)
        self.condition = condition


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--snapshot", metavar="NAME", help="Which of the backups in FOLDER, instead of the latest.")
@click.option("--verify", is_flag=True, help="Read all of the backup, and restore nothing.")
@click.option(
    "--without-damaged", is_flag=True, help="Leave out the blobs that the backup has not got whole, and list them."
)
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@json_option
@config_options
def restore(
    folder: Path, snapshot: str | None, verify: bool, without_damaged: bool, quiet: bool, as_json: bool, **where: Any
) -> None:
    """
    Restore a backup that dockreg backup made in FOLDER, into a registry with nothing in it.

    No daemon may run on it. The registry is empty until everything is there; run it again after an interruption. The
    database may be another one than the one that was backed up.
    """
    if verify and without_damaged:
        raise click.UsageError("--verify restores nothing: --without-damaged has no meaning with it")
    config = configured(**where)

    async def work(reactor: Any) -> None:
        with reporting(quiet) as reporter:
            if verify:
                done = await check_backup(reactor, folder, snapshot, reporter)
            else:
                done = await restore_from(config, reactor, folder, snapshot, reporter, without_damaged=without_damaged)
        _tell(folder, done, "is good" if verify else "is restored", as_json=as_json)
        if done.audit_problem:
            # Where that could not be written, a line of this could not be, either.
            raise CommandFailed(done.audit_problem)
        if not verify:
            await write_down(config, reactor, Deed("registry.restore", {"folder": str(folder)}), None)
        if done.left_out:
            raise CommandFailed(
                f"{len(done.left_out)} blobs are damaged or missing in the backup and were left out: what they are part of"
                " is not whole until they are pushed again"
            )

    run(work)


def _tell(folder: Path, done: Restored, verb: str, *, as_json: bool) -> None:
    if as_json:
        show_json(asdict(done))
        return
    click.echo(f"{folder}: {done.snapshot} {verb}; {done.blobs} blobs, {done.bytes} bytes")
    for digest in done.lost:
        click.echo(f"blob {digest} had been lost when the backup was made", err=True)
    for digest, why in sorted(done.left_out.items()):
        click.echo(f"blob {digest} was left out: {why}", err=True)


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


async def restore_from(
    config: Config,
    reactor: Any,
    path: Path,
    snapshot: str | None,
    reporter: Reporter,
    *,
    without_damaged: bool = False,
) -> Restored:
    """
    Restore into the stores of ``config``.

    :param without_damaged: whether blobs that the backup has not got whole are left out and noted as lost.
    :raises CommandFailed: the backup is damaged, or the registry is not empty; it is as empty as it was then.
    """
    in_thread = threads_of(reactor)
    folder = BackupFolder(path)
    place = folder.snapshot(snapshot)
    summary = await in_thread(folder.summary, place)
    require_owner(config.data_dir)
    working = work_folder(config.data_dir)
    work = await in_thread(working.__enter__)
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
                await RestoredBlobs(stores, folder, reporter.meter("blobs", None), done, without_damaged).store(
                    await in_thread(lambda: [*blobs_of(metadata)])
                )
                await copies.load(metadata)
            finally:
                await copies.close()
            return done

        await with_stores(config, reactor, act, may_make=True)
        done.audit_problem = await in_thread(_restore_audit, config, place)
        return done
    finally:
        await in_thread(working.__exit__, None, None, None)


@contextmanager
def work_folder(data_dir: Path) -> Iterator[Path]:
    """
    A folder for what is needed meanwhile; those of restores that were killed are removed.

    :raises CommandFailed: another restore is under way.
    """
    data_dir.mkdir(0o700, parents=True, exist_ok=True)
    for left in data_dir.glob(f"{_WORK}*"):
        try:
            with suppress(FileNotFoundError), (left / _LOCK).open("rb+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandFailed(f"another restore into {data_dir} is under way") from None
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=_WORK, dir=data_dir))
    try:
        with (work / _LOCK).open("xb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _restore_audit(config: Config, place: Path) -> str:
    """Put the audit log where it was, unless there is one; return why that could not be done."""
    if not (place / AUDIT).exists() or config.log.audit in ("", "-"):
        return ""
    target = Path(config.log.audit)
    if target.exists():
        return ""
    try:
        descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file, (place / AUDIT).open("rb") as source:
                shutil.copyfileobj(source, file)
        except OSError:
            # Half of it is worse than none.
            target.unlink(missing_ok=True)
            raise
    except OSError as error:
        return (
            f"all is restored but the audit log: {target} can not be written: {error.strerror or error};"
            f" {place / AUDIT} is what it was"
        )
    return ""


@define(eq=False)
class RestoredBlobs:
    """Where blobs go; ``_done`` counts them, and lists those that are not restored."""

    _stores: Stores
    _folder: BackupFolder
    _meter: Meter
    _done: Restored
    _without_damaged: bool

    async def store(self, wanted: Sequence[CopiedBlob]) -> None:
        """Store each blob that is not there, and record it, with a lease until everything refers to it."""
        registry, lost = self._stores.registry, frozenset(self._done.lost)
        for each in wanted:
            digest = str(each.blob.digest)
            found = await registry.metadata.blobs.find(each.blob.digest)
            if found is not None and found.lost is None:
                self._done.present += 1
                await registry.metadata.blobs.record(found, each.facts, registry.lease_end())
            elif digest in lost:
                # The registry that was backed up had lost it: what it was part of is as broken as it was.
                await self._lose(each, Condition.MISSING)
                continue
            else:
                try:
                    await shielded(self._blob(each))
                except BlobDamaged as problem:
                    if not self._without_damaged:
                        raise Damaged(
                            f"{problem}; --without-damaged restores the rest, dockreg backup --verify copies it again"
                            " where the registry has it"
                        ) from None
                    await self._lose(each, problem.condition)
                    self._done.left_out[digest] = str(problem)
                    continue
            self._done.blobs += 1
            self._done.bytes += each.blob.size

    async def _lose(self, wanted: CopiedBlob, condition: Condition) -> None:
        """Record a blob as one that is lost: nobody is told that it is there, and its next push repairs it."""
        registry = self._stores.registry
        known = await registry.metadata.blobs.record(wanted.blob, wanted.facts, registry.lease_end())
        await registry.metadata.conditions.note(known, condition, registry.clock.seconds())

    async def _blob(self, wanted: CopiedBlob) -> None:
        registry, digest = self._stores.registry, wanted.blob.digest
        path = self._folder.blob(digest)
        if not path.exists():
            raise BlobDamaged(f"{path} is missing", Condition.MISSING)
        if not self._folder.holds(Kept(digest, wanted.blob.size), read=False):
            raise BlobDamaged(f"{path} has another size than it should", Condition.DAMAGED)
        upload = await registry.blobs.start_upload((), digest.algorithm)
        try:
            last: list[bytes] = []
            with path.open("rb") as file:
                while data := await registry.in_thread(_piece, file):
                    await upload.write(last)
                    self._meter.advance(len(data))
                    last = [data]
            committed = await upload.commit(digest, last, None, registry.most_in_rows())
        except DigestInvalid:
            raise BlobDamaged(f"{path} is damaged: its bytes have another digest", Condition.DAMAGED) from None
        finally:
            await upload.abort()

        async def record(blob: StoredBlob) -> StoredBlob:
            return await registry.metadata.blobs.record(blob, wanted.facts, registry.lease_end())

        await registry.keep_blob(committed, record)


def _piece(file: BinaryIO) -> bytes:
    try:
        return file.read(_PIECE)
    except OSError as error:
        raise BlobDamaged(f"{file.name} can not be read: {error.strerror or error}", Condition.DAMAGED) from None
