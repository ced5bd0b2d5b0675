"""What the commands about people share: the open store behind them, and how they print."""

import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from attrs import frozen

from dockreg.accesstokens import AccessTokens
from dockreg.accounts import Accounts
from dockreg.cli.audited import Deed, write_down
from dockreg.cli.failures import CommandFailed
from dockreg.cli.running import run, threads_of
from dockreg.config import Config
from dockreg.errors import AccountUnknown, RegistryError
from dockreg.identity import make_access_tokens, make_accounts, make_hasher, make_invitations
from dockreg.interfaces_quotas import IQuotaStore
from dockreg.invitations import Invitations
from dockreg.model.rights import Kind, Subject
from dockreg.providers.auth.keys import Keyring
from dockreg.providing import make_metadata_store
from dockreg.rights import Rights
from dockreg.tokens import make_keyring

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@frozen
class People:
    """What is stored about people, and the rules of changing it."""

    accounts: Accounts
    access_tokens: AccessTokens
    invitations: Invitations
    rights: Rights
    keys: Keyring
    quotas: IQuotaStore


async def with_people(
    config: Config, reactor: Any, act: Callable[[People], Awaitable[T]], *, may_make: bool = False
) -> T:
    """
    Open the metadata store of ``config``, ``act`` on its people, and close it.

    :param may_make: whether a database that is not there is made.
    :raises RegistryError: what ``act`` raises, or the store can not be opened.
    """
    if config.role == "registry":
        raise CommandFailed("a registry with an index of its own has no accounts: change them at the index")
    in_thread = threads_of(reactor)
    file = database_file(config)
    if file is not None and not may_make and not file.exists():
        raise CommandFailed(f"there is no registry here, {file} does not exist: name its --data-dir")
    metadata = make_metadata_store(config, in_thread, reactor)
    await metadata.open()
    try:
        accounts = make_accounts(config, metadata, make_hasher(config, in_thread), reactor)
        tokens, invitations = make_access_tokens(metadata, reactor), make_invitations(metadata, reactor)
        return await act(
            People(
                accounts,
                tokens,
                invitations,
                Rights(metadata.rights, reactor),
                make_keyring(metadata, reactor),
                metadata.quotas,
            )
        )
    finally:
        await metadata.close()


def database_file(config: Config) -> Path | None:
    """The file of the embedded default."""
    own = config.metadata.provider != "sql" or config.metadata.url
    return None if own else config.data_dir / "metadata.sqlite3"


def change(
    config: Config,
    act: Callable[[People], Awaitable[T]],
    show: Callable[[T], object],
    *,
    deed: Deed | None = None,
    may_make: bool = False,
) -> None:
    """
    Run ``act``, and ``show`` its result.

    :param deed: what the audit log calls it, None for what changes nothing.
    """

    async def work(reactor: Any) -> None:
        try:
            result = await with_people(config, reactor, act, may_make=may_make)
        except RegistryError as problem:
            if deed is not None:
                await write_down(config, reactor, deed, problem)
            raise
        try:
            if deed is not None:
                await write_down(config, reactor, deed, None)
        finally:
            # What is shown once has to be shown.
            show(result)

    run(work)


async def notice_unknown(config: Config, people: People, subjects: Iterable[Subject]) -> None:
    """Say on standard error which accounts are not there, for a name may have been mistyped."""
    if config.auth.checkers != ("accounts",):
        return  # others may know them
    for subject in subjects:
        if subject.kind is not Kind.ACCOUNT:
            continue
        try:
            await people.accounts.get(subject.name)
        except AccountUnknown:
            click.echo(f"note: there is no account {subject.name} now", err=True)


def show_json(document: object) -> None:
    """One line of JSON."""
    click.echo(json.dumps(document))


def deletion(name: str, *, as_json: bool) -> Callable[[object], None]:
    """What shows that ``name`` was deleted."""

    def show(_: object) -> None:
        if as_json:
            show_json({"name": name, "deleted": True})
        else:
            click.echo(f"{name}: deleted")

    return show


def show_rows(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table for who sits at a terminal; for other programs a line for each row, with tabs, and nothing cut off."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(row))
        return
    from rich.console import Console  # noqa: PLC0415  # only who sits there waits for it
    from rich.table import Table  # noqa: PLC0415

    console = Console()
    table = Table(*headers, box=None)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def date(seconds: float | None, never: str = "never") -> str:
    """A day and a time (UTC), as people read them."""
    return never if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
