"""``dockreg export``: images, repositories or all of a registry, into an archive."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from attrs import asdict

from dockreg.cli.audited import Deed, write_down
from dockreg.cli.failures import CommandFailed
from dockreg.cli.moving.exporting import Export, Exported, Wanted, export
from dockreg.cli.moving.layoutexport import LayoutExport
from dockreg.cli.moving.layouts import FolderLayout, TarLayout
from dockreg.cli.moving.saved import SavedExport
from dockreg.cli.moving.stores import Stores, with_stores
from dockreg.cli.people import json_option, show_json
from dockreg.cli.progress import Reporter, reporting
from dockreg.cli.running import run
from dockreg.cli.settings import config_options, configured
from dockreg.config import Config
from dockreg.errors import RegistryError


@click.command("export")
@click.argument("wanted", nargs=-1, metavar="[REPOSITORY[:TAG|@DIGEST]]...")
@click.option("--all", "all_of_it", is_flag=True, help="Export every repository.")
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The archive. A name that ends in .tar makes a tar, any other one a folder.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["oci", "docker"]),
    default="oci",
    show_default=True,
    help="An OCI image layout, or what docker save writes.",
)
@click.option("--host", default="", metavar="HOST[:PORT]", help="Put this before the names of images in the archive.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@json_option
@config_options
def export_command(
    wanted: Sequence[str], all_of_it: bool, output: Path, form: str, host: str, quiet: bool, as_json: bool, **where: Any
) -> None:
    """
    Export images with all that refers to them, whole repositories, or with --all everything.

    It may be done while the registry serves. The archive gets its name when it is complete.
    """
    if bool(wanted) == all_of_it:
        raise click.UsageError("name what to export, or say --all")
    config = configured(**where)
    chosen = None if all_of_it else [Wanted.parse(each) for each in wanted]
    said = "everything" if chosen is None else " ".join(wanted)
    deed = Deed("repository.export", {"exported": said, "archive": str(output)})

    async def work(reactor: Any) -> None:
        try:
            with reporting(quiet) as reporter:
                done = await export_to(config, reactor, chosen, output, form, host, reporter)
        except (RegistryError, CommandFailed) as problem:
            await write_down(config, reactor, deed, problem)
            raise
        await write_down(config, reactor, deed, None)
        _show(done, output, as_json)
        if done.lost:
            raise CommandFailed(f"the registry has lost blobs of {len(done.lost)} images: {', '.join(done.lost)}")

    run(work)


async def export_to(
    config: Config,
    reactor: Any,
    wanted: Sequence[Wanted] | None,
    output: Path,
    form: str,
    host: str,
    reporter: Reporter,
) -> Exported:
    """
    Export from the stores of ``config``.

    :param wanted: None for everything. :param form: ``oci`` or ``docker``.
    :raises RegistryError: something is not there. :raises CommandFailed: the archive can not be made.
    """

    async def act(stores: Stores) -> Exported:
        several = wanted is None or len({each.repository for each in wanted}) > 1
        into: Export
        if form == "docker":
            into = SavedExport(stores, output, reporter, host)
        else:
            layout = TarLayout(output) if output.suffix == ".tar" else FolderLayout(output)
            into = LayoutExport(stores, layout, reporter, host, several)
        try:
            return await export(stores, wanted, into)
        except OSError as error:
            raise CommandFailed(f"{output} can not be written: {error.strerror or error}") from None

    return await with_stores(config, reactor, act)


def _show(done: Exported, output: Path, as_json: bool) -> None:
    if as_json:
        show_json({"archive": str(output), **asdict(done)})
        return
    for sentence in done.left_out:
        click.echo(f"left out: {sentence}", err=True)
    tags = sum(map(len, done.repositories.values()))
    click.echo(
        f"{output}: {tags} tags of {len(done.repositories)} repositories; {done.manifests} manifests, {done.blobs} blobs,"
        f" {done.bytes} bytes"
    )
