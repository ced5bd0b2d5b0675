"""``dockreg retention``: what the rules of retention make of the repositories, and why."""

from collections.abc import Sequence
from typing import Any

import click
from attrs import define, field

from dockreg.cli.audited import Deed, write_down
from dockreg.cli.failures import CommandFailed
from dockreg.cli.people import database_file, json_option, show_json, show_rows
from dockreg.cli.running import run, threads_of
from dockreg.cli.settings import config_options, configured
from dockreg.config import Config
from dockreg.keeping import make_retention
from dockreg.model.names import RepositoryName
from dockreg.model.retention import Decision
from dockreg.providing import make_metadata_store
from dockreg.retention import Retention, Verdict, event_of


@click.command()
@click.argument("repositories", nargs=-1, metavar="[REPOSITORY]...")
@click.option("--dry-run", is_flag=True, help="Remove nothing.")
@json_option
@config_options
def retention(repositories: Sequence[str], dry_run: bool, as_json: bool, **where: Any) -> None:
    """
    Apply the [[retention.rules]] now, to these repositories or to all.

    For each tag, and each manifest without tags, it is told whether it stays, by which rule, and why. The daemon does the
    same by itself from time to time. A tag or manifest that is pushed, moved or pulled meanwhile stays.

    Bytes are those of blobs that nothing else in the registry refers to. They become free when the manifest has gone and
    the blobs are collected.
    """
    config = configured(**where)
    names = [RepositoryName.parse_v1(each) for each in repositories]

    async def work(reactor: Any) -> None:
        file = database_file(config)
        if file is not None and not file.exists():
            raise CommandFailed(f"there is no registry here, {file} does not exist: name its --data-dir")
        if not config.retention.rules:
            raise CommandFailed("there are no [[retention.rules]]: nothing goes; name the --config of the daemon")
        metadata = make_metadata_store(config, threads_of(reactor), reactor)
        await metadata.open()
        try:
            told = await _judged(config, reactor, make_retention(config, metadata, reactor), names, dry_run=dry_run)
        finally:
            await metadata.close()
        told.show(as_json=as_json, dry_run=dry_run)

    run(work)


@define
class _Told:
    """What is shown, and the sums of it."""

    rows: list[dict[str, Any]] = field(factory=list)
    counts: dict[str, int] = field(factory=lambda: dict.fromkeys(("kept", "going", "removed", "bytes"), 0))

    def add(self, verdict: Verdict, decision: Decision, outcome: str) -> None:
        """One tag or manifest."""
        self.rows.append(
            {
                "repository": str(verdict.name),
                "kind": decision.kind.value,
                "reference": decision.reference,
                "outcome": outcome,
                "rule": None if verdict.rule is None else verdict.rule.number,
                "why": decision.why,
                "bytes": decision.bytes,
            }
        )
        self.counts["removed"] += outcome == "removed"
        self.counts["going" if decision.goes else "kept"] += 1

    def show(self, *, as_json: bool, dry_run: bool) -> None:
        """Print it all."""
        if as_json:
            show_json({"dry_run": dry_run, **self.counts, "decisions": self.rows})
            return
        keys = ("repository", "kind", "reference", "outcome", "rule", "bytes", "why")
        show_rows(keys, [[str(row[key]) for key in keys] for row in self.rows])
        done = f"{self.counts['going']} would go" if dry_run else f"{self.counts['removed']} removed"
        click.echo(f"{self.counts['kept']} stay, {done}, {self.counts['bytes']} bytes", err=True)


async def _judged(
    config: Config, reactor: Any, rules: Retention, names: Sequence[RepositoryName], *, dry_run: bool
) -> _Told:
    told = _Told()
    async for verdict in rules.judge(names):
        if verdict.rule is None and names:
            click.echo(f"note: no rule is about {verdict.name}: everything stays", err=True)
        told.counts["bytes"] += verdict.bytes
        for decision in verdict.decisions:
            if dry_run or not decision.goes:
                told.add(verdict, decision, "would go" if decision.goes else "kept")
        if dry_run:
            continue
        async for outcome in rules.apply(verdict):
            told.add(verdict, outcome.decision, "removed" if outcome.removed else "spared")
            if outcome.removed:
                event = event_of(verdict, outcome.decision)
                await write_down(config, reactor, Deed(event.action, {**event.target, "rule": event.how}), None)
    return told
