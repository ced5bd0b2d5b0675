"""The command ``dockreg import v1-tree``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from attrs import asdict

from dockreg.cli.audited import Deed, write_down
from dockreg.cli.failures import CommandFailed
from dockreg.cli.moving.importing import Choice
from dockreg.cli.moving.names import parse_repository
from dockreg.cli.moving.options import import_options
from dockreg.cli.moving.stores import Stores, with_stores
from dockreg.cli.moving.treeimport import TreeChoice, TreeDone, TreeImport
from dockreg.cli.moving.v1tree import Tree
from dockreg.cli.people import database_file, json_option, show_json
from dockreg.cli.progress import Reporter, reporting
from dockreg.cli.running import run, threads_of
from dockreg.cli.settings import config_options, configured
from dockreg.config import Config
from dockreg.errors import RegistryError
from dockreg.model.names import RepositoryName


@click.command("v1-tree")
@click.argument("path", metavar="FOLDER", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Read everything, and tell what would be imported and what is broken.")
@click.option("--only", multiple=True, metavar="NAMESPACE/NAME", help="Import these repositories.")
@click.option("--rename", multiple=True, metavar="OLD=NEW", help="Give a repository another name.")
@click.option("--overwrite", is_flag=True, help="Move tags that are something else here; they are kept otherwise.")
@click.option(
    "--accept-unverified", is_flag=True, help="Take images that do not fit their checksum, if the layer is a whole tar."
)
@import_options
@json_option
@config_options
def v1_tree(
    path: Path,
    dry_run: bool,
    only: Sequence[str],
    rename: Sequence[str],
    overwrite: bool,
    accept_unverified: bool,
    owner: str | None,
    private: bool | None,
    quiet: bool,
    as_json: bool,
    **where: Any,
) -> None:
    """
    Import FOLDER, the storage_path of docker-registry, with the folders images and repositories in it.

    What is there already is passed over, so that an import goes on where it was interrupted, or takes what is new. What
    is broken is told, and does not keep the rest from being imported; the exit status is 1 then.
    """
    config = configured(**where)
    choice = Choice(owner=owner, private=private)
    asked = TreeChoice(choice, _renamed(rename), frozenset(only), overwrite, accept_unverified)
    deed = Deed("repository.import", {"archive": str(path), "repository": " ".join(only)})

    async def work(reactor: Any) -> None:
        try:
            with reporting(quiet) as reporter:
                done = await import_tree(config, reactor, path, asked, reporter, dry_run=dry_run)
        except (RegistryError, CommandFailed) as problem:
            if not dry_run:
                await write_down(config, reactor, deed, problem)
            raise
        if not dry_run:
            await write_down(config, reactor, deed, None)
        _show(done, path, as_json)
        if done.problems:
            raise CommandFailed(f"{len(done.problems)} things could not be taken")

    run(work)


async def import_tree(
    config: Config, reactor: Any, path: Path, asked: TreeChoice, reporter: Reporter, *, dry_run: bool
) -> TreeDone:
    """
    Import the folder of an old registry into the stores of ``config``.

    :raises CommandFailed: it is no such folder. :raises RegistryError: the stores do not work.
    """
    in_thread = threads_of(reactor)
    tree = await in_thread(Tree, path, config.v1.max_json_bytes)

    async def act(stores: Stores | None) -> TreeDone:
        return await TreeImport(tree, stores, in_thread, asked, reporter, TreeDone(dry_run)).run()

    file = database_file(config)
    if dry_run and file is not None and not file.exists():
        return await act(None)
    return await with_stores(config, reactor, act, may_make=not dry_run)


def _renamed(options: Sequence[str]) -> Mapping[str, RepositoryName]:
    renamed = {}
    for each in options:
        old, equals, new = each.partition("=")
        if not equals:
            raise click.UsageError(f"--rename {each}: write OLD=NEW")
        renamed[old] = parse_repository(new)
    return renamed


def _show(done: TreeDone, path: Path, as_json: bool) -> None:
    if as_json:
        show_json({"folder": str(path), **asdict(done)})
        return
    for problem in done.problems:
        click.echo(f"broken: {problem.what}: {problem.why}", err=True)
    for sentence in done.kept:
        click.echo(f"kept: {sentence}", err=True)
    tags = sum(map(len, done.repositories.values()))
    verb = "would be taken" if done.dry_run else "taken"
    click.echo(
        f"{path}: {tags} tags of {len(done.repositories)} repositories {verb}; {done.images} images are new ({done.bytes}"
        f" bytes), {done.present} were there; {done.untagged} images have no tag, {done.unfinished} of them unfinished"
    )
