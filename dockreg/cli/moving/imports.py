"""``dockreg import``: archives of images, and the folders of old registries, into this registry."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from attrs import asdict, evolve

from dockreg.cli.archives import ArchivedChain, chains_of
from dockreg.cli.audited import Deed, write_down
from dockreg.cli.failures import CommandFailed
from dockreg.cli.members import Members, Stored, open_members
from dockreg.cli.moving.contents import is_layout, read_contents
from dockreg.cli.moving.importing import Choice, Import, Imported, plan, prepare
from dockreg.cli.moving.names import parse_reference, parse_repository
from dockreg.cli.moving.options import import_options
from dockreg.cli.moving.stores import Stores, with_stores
from dockreg.cli.moving.treecommand import v1_tree
from dockreg.cli.moving.v1chains import Broken, ChainImport, SourceImage
from dockreg.cli.people import json_option, show_json
from dockreg.cli.progress import Reporter, reporting
from dockreg.cli.running import run, threads_of
from dockreg.cli.settings import config_options, configured
from dockreg.config import Config
from dockreg.errors import RegistryError
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.v1 import TagClient, V1Image


class _Import(click.Group):
    """What follows is the path of an archive, unless it is the name of a command."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["archive", *args]
        return super().parse_args(context, args)


@click.group("import", cls=_Import)
def import_command() -> None:
    """
    Import images: dockreg import ARCHIVE [OPTIONS], or one of the commands below.

    ``dockreg import archive --help`` tells the options for archives.
    """


import_command.add_command(v1_tree)


@import_command.command()
@click.argument("path", metavar="ARCHIVE", type=click.Path(exists=True, path_type=Path))
@click.option("--into", metavar="REPOSITORY", help="The repository of all of it, whatever the archive says.")
@click.option("--only", multiple=True, metavar="NAME[:TAG]", help="Import these images of the archive.")
@import_options
@json_option
@config_options
def archive(
    path: Path,
    into: str | None,
    only: Sequence[str],
    owner: str | None,
    private: bool | None,
    quiet: bool,
    as_json: bool,
    **where: Any,
) -> None:
    """
    Import ARCHIVE: an OCI layout or what docker save wrote, as a tar, a compressed tar or a folder.

    It may be done while the registry serves. Tags are set when all the rest is there.
    """
    config = configured(**where)
    choice = Choice(None if into is None else parse_repository(into), frozenset(only), owner, private)
    deed = Deed("repository.import", {"archive": str(path), "repository": into or ""})

    async def work(reactor: Any) -> None:
        try:
            with reporting(quiet) as reporter:
                done = await import_archive(config, reactor, path, choice, reporter)
        except (RegistryError, CommandFailed) as problem:
            await write_down(config, reactor, deed, problem)
            raise
        said = {**deed.target, "repository": " ".join(done.repositories)}
        await write_down(config, reactor, evolve(deed, target=said), None)
        _show(done, path, as_json)

    run(work)


async def import_archive(config: Config, reactor: Any, path: Path, choice: Choice, reporter: Reporter) -> Imported:
    """
    Import an archive into the stores of ``config``, which are made if they are not there.

    :raises CommandFailed: something is wrong with the archive. :raises RegistryError: or with the stores.
    """
    in_thread = threads_of(reactor)
    members = await in_thread(open_members, path, strict=True)
    try:
        if not is_layout(members) and "manifest.json" not in members:
            chains = await in_thread(chains_of, members)

            async def act(stores: Stores) -> Imported:
                return await _SavedChains(stores, members, choice, reporter).run(chains)

        else:
            contents = await in_thread(read_contents, members, config.v2.max_manifest_bytes)
            planned = plan(contents, choice)

            async def act(stores: Stores) -> Imported:
                return await Import(stores, members, contents, choice, reporter).run(planned)

        return await with_stores(config, reactor, act, may_make=True)
    finally:
        members.close()


class _Layer:
    def __init__(self, members: Members, stored: Stored | None) -> None:
        self._members = members
        self._stored = stored
        self.size = 0 if stored is None else stored.size

    def read(self, position: int, limit: int) -> bytes:
        """See :class:`.LayerSource`."""
        return b"" if self._stored is None else self._members.read(self._stored, position, limit)


class _SavedChains:
    """Archives of docker up to 1.9 become v1 images, with the ids that they have there."""

    def __init__(self, stores: Stores, members: Members, choice: Choice, reporter: Reporter) -> None:
        self._stores = stores
        self._members = members
        self._choice = choice
        self._reporter = reporter
        self._done = Imported()

    async def run(self, chains: Sequence[ArchivedChain]) -> Imported:
        wanted = [(chain, self._targets(chain)) for chain in chains]
        chosen = [(chain, targets) for chain, targets in wanted if targets]
        if not chosen:
            raise CommandFailed(
                f"{self._members.path} names no image, or not this one: say what it shall be with --into"
            )
        seen: set[tuple[RepositoryName, Tag]] = set()
        for _, targets in chosen:
            if seen & set(targets):
                raise CommandFailed(f"two images of {self._members.path} would have one name: choose one with --only")
            seen |= set(targets)
        tops: list[tuple[V1Image, RepositoryName, Tag]] = []
        for chain, targets in chosen:
            for name, tag in targets:
                await prepare(self._stores, name, self._choice)
                tops.append((await self._chain(name, chain), name, tag))
        for image, name, tag in tops:
            await self._tag(name, tag, image)
        return self._done

    def _targets(self, chain: ArchivedChain) -> Sequence[tuple[RepositoryName, Tag]]:
        into, only = self._choice.into, self._choice.only
        if not chain.references:
            return [(into, Tag("latest"))] if into is not None and not only else []
        found = []
        for each in chain.references:
            name = parse_reference(each)
            if name.repository is not None and (not only or {str(name.repository), each} & only):
                found.append((into or name.repository, name.tag or Tag("latest")))
        return found

    async def _chain(self, name: RepositoryName, chain: ArchivedChain) -> V1Image:
        parent: V1Image | None = None
        for each in chain.images:
            meter = self._reporter.meter(each.image_id.value[:12], None if each.layer is None else each.layer.size)
            chains = ChainImport(self._stores, self._choice.owner, meter.advance)
            layer = _Layer(self._members, each.layer)
            try:
                parent, new = await chains.image(name, SourceImage(each.image_id, each.json, layer), parent)
            except Broken as error:
                raise CommandFailed(f"{self._members.path}: image {each.image_id}: {error}") from None
            self._done.blobs += new
            self._done.present += not new
            self._done.bytes += layer.size if new else 0
        assert parent is not None
        return parent

    async def _tag(self, name: RepositoryName, tag: Tag, image: V1Image) -> None:
        chains = ChainImport(self._stores, self._choice.owner, lambda _size: None)
        try:
            before = await chains.tag(name, tag, image, TagClient(), move=True)
        except Broken as error:
            raise CommandFailed(f"{self._members.path}: {name}:{tag}: {error}") from None
        if before not in ("", str(image.image_id)):
            self._done.moved.append(f"{name}:{tag} was {before}")
        self._done.repositories.setdefault(name.value, []).append(tag.value)
        self._reporter.say(f"{name}:{tag}: {image.image_id}")


def _show(done: Imported, path: Path, as_json: bool) -> None:
    if as_json:
        show_json({"archive": str(path), **asdict(done)})
        return
    for sentence in done.left_out:
        click.echo(f"left out: {sentence}", err=True)
    for sentence in done.moved:
        click.echo(f"moved: {sentence}", err=True)
    tags = sum(map(len, done.repositories.values()))
    click.echo(
        f"{path}: {tags} tags of {len(done.repositories)} repositories; {done.blobs} blobs are new ({done.bytes} bytes),"
        f" {done.present} were there"
    )
