"""``dockreg v1 push`` and ``dockreg v1 pull``: docker-save archives to and from v1 registries."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from attrs import asdict, frozen

from dockreg.cli.archives import Archive, ArchivedChain, open_archive
from dockreg.cli.failures import CommandFailed
from dockreg.cli.passwords import read_credentials
from dockreg.cli.progress import Reporter, reporting
from dockreg.cli.running import run, threads_of
from dockreg.cli.savedarchive import ArchiveWriter
from dockreg.cli.tls import make_tls
from dockreg.cli.transport import Transport
from dockreg.cli.v1pull import Pull, Pulled
from dockreg.cli.v1push import Push, Pushed
from dockreg.cli.v1session import Credentials, Session, Target
from dockreg.errors import TagInvalid
from dockreg.model.names import Tag

_LATEST = Tag("latest")


@frozen
class Asked:
    """What the command line says, whichever way the image goes."""

    archive: Path
    target: Target
    credentials: Credentials | None
    authorities: Path | None
    insecure: bool
    quiet: bool
    all_tags: bool
    as_json: bool


@click.group()
def v1() -> None:
    """Push and pull docker-save archives through the v1 protocol."""


def _common(command: Callable[..., None]) -> Callable[..., None]:
    options = (
        click.option("--user", "user", metavar="NAME", help="Log in as NAME; the password is asked for."),
        click.option("--password-stdin", is_flag=True, help="Read the password from standard input."),
        click.option(
            "--cacert",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Trust these authorities (PEM) instead of the system's.",
        ),
        click.option("--insecure", is_flag=True, help="Accept any certificate."),
        click.option("--quiet", "-q", is_flag=True, help="Show no progress."),
        click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@v1.command()
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("url")
@click.option("--image", metavar="NAME:TAG", help="Push this image of an archive that holds several.")
@click.option("--all-tags", is_flag=True, help="Push each image of the archive under its own tag.")
@_common
def push(archive: Path, url: str, image: str | None, all_tags: bool, **options: Any) -> None:
    """
    Push the image in ARCHIVE to URL, http(s)://HOST[:PORT]/NAME[:TAG].

    Without a tag in the URL the image is called latest.
    """
    asked = _asked(archive, url, all_tags, **options)
    if image is not None and all_tags:
        raise click.UsageError("--image and --all-tags exclude each other")

    async def work(reactor: Any) -> None:
        with reporting(asked.quiet) as reporter:
            done = await push_archive(reactor, asked, image, reporter)
        _print_result(
            asked,
            asdict(done),
            f"{done.repository}: {', '.join(done.tags)} pushed; {len(done.pushed)} images sent ({done.sent} bytes), "
            f"{len(done.present)} were there",
        )

    run(work)


@v1.command()
@click.argument("url")
@click.argument("archive", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--all-tags", is_flag=True, help="Pull every tag of the repository.")
@click.option(
    "--name", metavar="NAME", help="Call the images NAME in the archive, instead of HOST/NAME as docker does."
)
@_common
def pull(url: str, archive: Path, all_tags: bool, name: str | None, **options: Any) -> None:
    """
    Pull URL, http(s)://HOST[:PORT]/NAME[:TAG], into ARCHIVE, for docker load, podman load and skopeo.

    Without a tag in the URL the tag latest is pulled.
    """
    asked = _asked(archive, url, all_tags, **options)

    async def work(reactor: Any) -> None:
        with reporting(asked.quiet) as reporter:
            done = await pull_archive(reactor, asked, name or asked.target.local_name, reporter)
        _print_result(
            asked,
            asdict(done),
            f"{done.repository}: {', '.join(done.tags)} pulled into {asked.archive}; {len(done.images)} images, "
            f"{done.received} bytes received",
        )

    run(work)


async def push_archive(
    reactor: Any, asked: Asked, image: str | None, reporter: Reporter, pause_seconds: float = 1.0
) -> Pushed:
    """
    Push an archive.

    :param image: which image of several, as the archive calls it.
    :raises CommandFailed: the archive or the registry does not allow it.
    """
    in_thread = threads_of(reactor)
    archive = await in_thread(open_archive, asked.archive)
    try:
        tagged = choose(archive, asked.target.tag, image, all_tags=asked.all_tags)
        transport = Transport(reactor, make_tls(asked.authorities, asked.insecure))
        try:
            session = Session(transport, asked.target, asked.credentials)
            return await Push(session, archive, reporter, reactor, in_thread, pause_seconds).run(tagged)
        finally:
            await transport.close()
    finally:
        archive.close()


async def pull_archive(reactor: Any, asked: Asked, name: str, reporter: Reporter, pause_seconds: float = 1.0) -> Pulled:
    """
    Pull into an archive.

    :param name: what the images shall be called when the archive is loaded.
    :raises CommandFailed: the registry does not allow it; there is no new archive then.
    """
    in_thread = threads_of(reactor)
    writer = ArchiveWriter(asked.archive)
    try:
        transport = Transport(reactor, make_tls(asked.authorities, asked.insecure))
        try:
            session = Session(transport, asked.target, asked.credentials)
            return await Pull(session, writer, reporter, reactor, in_thread, pause_seconds).run(
                name, all_tags=asked.all_tags
            )
        finally:
            await transport.close()
    finally:
        writer.discard()


def choose(archive: Archive, tag: Tag | None, image: str | None, *, all_tags: bool) -> Mapping[Tag, ArchivedChain]:
    """
    Which images of an archive to push, and under which tags.

    :param tag: the tag of the URL.
    :raises CommandFailed: that is not clear, or there is none such; the sentence says how to choose.
    """
    if all_tags:
        if tag is not None:
            raise CommandFailed("with --all-tags the tags are those of the archive: leave the tag out of the URL")
        return _all_tags(archive)
    tops = {chain.images[-1].image_id: chain for chain in archive.chains}
    names = [name for chain in archive.chains for name in chain.references]
    if image is not None:
        found = [chain for chain in archive.chains if image in chain.references]
        if not found:
            raise CommandFailed(f"{archive.path} holds no image {image}; it has: {', '.join(names) or 'no names'}")
        return {tag or _LATEST: found[0]}
    if len(tops) > 1:
        raise CommandFailed(
            f"{archive.path} holds several images: choose one with --image, or push all with --all-tags "
            f"({', '.join(names)})"
        )
    return {tag or _LATEST: archive.chains[0]}


def _all_tags(archive: Archive) -> Mapping[Tag, ArchivedChain]:
    tagged: dict[Tag, ArchivedChain] = {}
    for chain in archive.chains:
        for name in chain.references:
            try:
                tag = Tag.parse(name.rpartition(":")[2])
            except TagInvalid as error:
                raise CommandFailed(f"{archive.path}: {error}") from None
            other = tagged.setdefault(tag, chain)
            if other.images[-1].image_id != chain.images[-1].image_id:
                raise CommandFailed(f"{archive.path} holds two images with the tag {tag}: choose one with --image")
    if not tagged:
        raise CommandFailed(f"{archive.path} holds no tags: leave --all-tags out")
    return tagged


def _asked(
    archive: Path,
    url: str,
    all_tags: bool,
    *,
    user: str | None,
    password_stdin: bool,
    cacert: Path | None,
    insecure: bool,
    quiet: bool,
    as_json: bool,
) -> Asked:
    target = Target.parse(url)
    credentials = read_credentials(user, password_stdin)
    return Asked(archive, target, credentials, cacert, insecure, quiet, all_tags, as_json)


def _print_result(asked: Asked, members: Mapping[str, Any], sentence: str) -> None:
    if asked.as_json:
        json.dump(members, sys.stdout)
        sys.stdout.write("\n")
    elif not asked.quiet:
        click.echo(sentence)
