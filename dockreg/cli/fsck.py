"""``dockreg fsck``: whether all that a registry has is what it should be, and its repair, beside a daemon that serves."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import click
from attrs import asdict, define, field
from twisted.internet.task import deferLater

from dockreg.cli.audited import Deed, write_down
from dockreg.cli.failures import CommandFailed
from dockreg.cli.people import database_file, json_option, show_json
from dockreg.cli.progress import Reporter, reporting
from dockreg.cli.running import run, threads_of
from dockreg.cli.settings import config_options, configured
from dockreg.config import Config
from dockreg.fsck import Examination, Finding, Outcome, Tally
from dockreg.model.repositories import Sparse
from dockreg.providing import make_blob_store, make_metadata_store
from dockreg.soundness import Soundness

#: After a row is gone its object goes within this time.
_PAUSE_SECONDS = 2.0
_WORDS = {
    Outcome.REPAIRED: "repaired",
    Outcome.LOST: "put out of the way",
    Outcome.FOUND: "found",
}


@click.command()
@click.option("--repair", is_flag=True, help="Repair what can be repaired; what is damaged goes to the quarantine.")
@click.option("--quick", is_flag=True, help="Look at the sizes of blobs only, and do not read them.")
@json_option
@config_options
def fsck(repair: bool, quick: bool, as_json: bool, **where: Any) -> None:
    """
    See whether all that the registry has is what it should be.

    The daemon may run meanwhile. Blobs are read, and compared with their digests; manifests with theirs; tags, manifests and
    images with what they refer to. Nothing is changed without --repair, and nothing is ever deleted: what is damaged, and
    files that belong to nothing, go to the folder "quarantine" in the folder of blobs. A blob that is lost comes back with
    the next push of it.

    The exit status is 0 when all is as it should be, by now, and 1 otherwise.
    """
    config = configured(**where)
    if config.role == "index":
        raise CommandFailed("an index keeps no images: there is nothing to look at")
    run(partial(_work, config, repair=repair, quick=quick, as_json=as_json))


async def _work(config: Config, reactor: Any, *, repair: bool, quick: bool, as_json: bool) -> None:
    file = database_file(config)
    if file is not None and not file.exists():
        raise CommandFailed(f"there is no registry here, {file} does not exist: name its --data-dir")
    in_thread = threads_of(reactor)
    metadata = make_metadata_store(config, in_thread, reactor)
    await metadata.open()
    try:
        blobs = make_blob_store(config, metadata, in_thread, reactor)
        soundness = Soundness(metadata, lambda: blobs, reactor, in_thread)
        with reporting(as_json) as reporter:
            telling = _Telling(reporter)
            examination = Examination(
                metadata,
                blobs,
                soundness,
                in_thread,
                repair=repair,
                quick=quick,
                allows_gaps=Sparse(config.v2.sparse) is Sparse.ALL,
                progress=telling.progress,
                pause=lambda: deferLater(reactor, _PAUSE_SECONDS),
            )
            async for finding in examination.run():
                telling.found(finding)
    finally:
        await metadata.close()
    if repair and telling.findings:
        await write_down(config, reactor, Deed("fsck", {"findings": str(len(telling.findings))}), None)
    _conclude(telling.findings, examination.tally, as_json=as_json, repair=repair)


@define(eq=False)
class _Telling:
    """Shows what is looked at, and what is found."""

    _reporter: Reporter
    findings: list[Finding] = field(factory=list)
    _meter: Any = field(default=None, init=False)
    _shown: str = field(default="", init=False)

    def progress(self, what: str, size: int) -> None:
        if size and self._meter is None:
            self._meter = self._reporter.meter("reading blobs", None)
        if size:
            self._meter.advance(size)
        elif what != self._shown:
            self._shown = what

    def found(self, finding: Finding) -> None:
        self.findings.append(finding)
        self._reporter.say(f"{_WORDS[finding.outcome]}: {finding.sentence}")


def _conclude(findings: list[Finding], tally: Tally, *, as_json: bool, repair: bool) -> None:
    counted = Counter(each.outcome for each in findings)
    sound = counted[Outcome.REPAIRED] == len(findings)
    if as_json:
        members = [{**asdict(each), "outcome": each.outcome.value} for each in findings]
        document: Mapping[str, Any] = {"sound": sound, "looked_at": asdict(tally), "findings": members}
        show_json(document)
    else:
        click.echo(f"{tally.blobs} blobs ({tally.bytes} bytes) and {tally.manifests} manifests were looked at")
        for outcome, number in counted.items():
            click.echo(f"{number} {_WORDS[outcome]}")
        if sound:
            click.echo("all is as it should be" if not findings else "all is as it should be now")
        elif not repair:
            click.echo("run it with --repair to repair what can be repaired")
    if not sound:
        raise SystemExit(1)
