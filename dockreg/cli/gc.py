"""``dockreg gc``: what would go and why, and to have it go, beside a registry that serves."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import click
from attrs import asdict, define, field
from twisted.internet.task import deferLater

from dockreg.cli.audited import Deed, write_down
from dockreg.cli.failures import CommandFailed
from dockreg.cli.people import database_file, json_option, show_json, show_rows
from dockreg.cli.running import run, threads_of
from dockreg.cli.settings import config_options, configured
from dockreg.collector import Collector
from dockreg.config import Config
from dockreg.errors import RegistryError
from dockreg.model.collection import Kind, Outcome, Sweep, Verdict
from dockreg.providing import make_blob_store, make_collector, make_metadata_store

_WATCH_SECONDS = 2.0
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
_WORDS = {
    Kind.BLOB: "blobs",
    Kind.LINK: "blobs of repositories",
    Kind.MANIFEST: "manifests",
    Kind.IMAGE: "v1 images",
    Kind.IMAGE_LINK: "v1 images of repositories",
    Kind.REPOSITORY: "deleted repositories",
}


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what would go and why the rest stays; change nothing.")
@click.option("--no-grace", is_flag=True, help="Do not wait for the grace time. What has a lease stays in any case.")
@click.option("--full", is_flag=True, help="Compare everything with everything first, rather than what was queued.")
@click.option("--watch", is_flag=True, help="Show what waits, again and again, until interrupted.")
@click.option("--verbose", "-v", is_flag=True, help="Name each thing.")
@json_option
@config_options
def gc(dry_run: bool, no_grace: bool, full: bool, watch: bool, verbose: bool, as_json: bool, **where: Any) -> None:
    """
    Remove what nobody needs, now.

    The daemon does this by itself, a little at a time (see [collection]). It may go on to serve meanwhile, and other
    processes may collect at the same time.
    """
    config = configured(**where)
    if watch and (dry_run or no_grace or full):
        raise CommandFailed("--watch only shows what waits")
    if dry_run and full:
        raise CommandFailed("--full puts what it finds into the queue: run it first, and then --dry-run")
    printing = _Printing(as_json, verbose)
    if watch:
        run(partial(_opened, config, partial(_watch, as_json)))
    if dry_run:
        run(partial(_opened, config, lambda collector, _: _plan(collector, printing, grace=not no_grace)))
    run(
        partial(
            _opened,
            config,
            lambda collector, _: _collect(collector, printing, full=full, grace=not no_grace),
            deed=Deed("gc", {}),
        )
    )


async def _opened(
    config: Config,
    act: Callable[[Collector, Any], Awaitable[None]],
    reactor: Any,
    deed: Deed | None = None,
) -> None:
    file = database_file(config)
    if file is not None and not file.exists():
        raise CommandFailed(f"there is no registry here, {file} does not exist: name its --data-dir")
    metadata = make_metadata_store(config, threads_of(reactor), reactor)
    blobs = make_blob_store(config, metadata, threads_of(reactor), reactor)
    problem: Exception | None = None
    await metadata.open()
    try:
        await act(make_collector(config, metadata, blobs, reactor), reactor)
    except RegistryError as error:
        problem = error
        raise
    finally:
        await metadata.close()
        if deed is not None:
            await write_down(config, reactor, deed, problem)


@define
class _Printing:
    """Counts what went, and prints it."""

    as_json: bool
    verbose: bool
    counts: Counter[Kind] = field(factory=Counter)
    reasons: Counter[str] = field(factory=Counter)
    size: int = 0
    things: list[Mapping[str, object]] = field(factory=list)

    def add(self, verdict: Verdict) -> None:
        """What became of one thing, or would."""
        if verdict.outcome is Outcome.REMOVED:
            self.counts[verdict.item.kind] += 1
            self.size += verdict.size
        elif verdict.outcome is Outcome.ABSENT:
            return
        else:
            self.reasons[verdict.reason] += 1
        if self.verbose and self.as_json:
            thing = {"kind": verdict.item.kind.value, "name": verdict.name, "bytes": verdict.size}
            self.things.append({**thing, "stays": verdict.reason} if verdict.reason else thing)
        elif self.verbose:
            tail = f" stays: {verdict.reason}" if verdict.reason else ""
            click.echo(f"{verdict.item.kind.value} {verdict.name}{tail}")

    def show(self, verb: str, **more: object) -> None:
        """The sum of it."""
        if self.as_json:
            counts = {kind.value: self.counts[kind] for kind in Kind}
            things = {"items": self.things} if self.verbose else {}
            show_json({"removed": counts, "bytes": self.size, "stays": dict(self.reasons), **more, **things})
            return
        show_rows(
            ("count", verb), [(str(self.counts[kind]), word) for kind, word in _WORDS.items() if self.counts[kind]]
        )
        click.echo(f"{verb}: {shown_size(self.size)}")
        for reason, count in sorted(self.reasons.items()):
            click.echo(f"stays: {count}, {reason}")


async def _plan(collector: Collector, printing: _Printing, *, grace: bool) -> None:
    async for verdict in collector.plan(grace=grace):
        printing.add(verdict)
    backlog = await collector.collection.backlog(collector.clock.seconds())
    printing.show("would be removed", dry_run=True, waiting=backlog.waiting)


async def _collect(collector: Collector, printing: _Printing, *, full: bool, grace: bool) -> None:
    if full:
        await collector.sweep_all(_tell_phase)
    async for verdict in collector.collect(grace=grace):
        printing.add(verdict)
    printing.size = collector.figures.bytes
    figures = collector.figures
    backlog = await collector.collection.backlog(collector.clock.seconds())
    printing.show(
        "removed", objects=figures.objects, orphans=figures.orphans, failures=figures.failures, waiting=backlog.waiting
    )
    if figures.failures:
        raise CommandFailed(f"{figures.failures} objects could not be removed; the next round tries again")


def _tell_phase(state: Sweep) -> None:
    if not state.after:
        click.echo(f"looking at {state.phase}", err=True)


async def _watch(as_json: bool, collector: Collector, reactor: Any) -> None:
    while True:
        backlog = await collector.collection.backlog(reactor.seconds())
        state = await collector.collection.sweep_state(collector.policy)
        if as_json:
            show_json({**asdict(backlog), "reconciling": state.phase})
        else:
            reconciling = f", reconciling {state.phase}" if state.phase else ""
            click.echo(
                f"{backlog.due} due (the oldest for {backlog.oldest_seconds:.0f} s), {backlog.waiting} waiting,"
                f" {backlog.objects} objects to remove{reconciling}"
            )
        await deferLater(reactor, _WATCH_SECONDS)


def shown_size(size: int) -> str:
    """Bytes as people read them."""
    shown, unit = float(size), 0
    while shown >= 1024 and unit < len(_UNITS) - 1:
        shown, unit = shown / 1024, unit + 1
    return f"{shown:.1f} {_UNITS[unit]}" if unit else f"{size} bytes"
