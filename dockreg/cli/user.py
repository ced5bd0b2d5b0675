"""
``dockreg user``: accounts, straight in the metadata store of the configuration.

The daemon may run meanwhile: it reads an account whenever one is used, so what is changed here counts from its next
request on.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from dockreg.accounts import Accounts
from dockreg.cli.failures import CommandFailed
from dockreg.cli.passwords import read_password
from dockreg.cli.running import run, threads_of
from dockreg.cli.settings import config_options, configured
from dockreg.config import Config
from dockreg.identity import make_accounts, make_hasher
from dockreg.model.accounts import Account
from dockreg.providing import make_metadata_store

T = TypeVar("T")


@click.group()
def user() -> None:
    """Create, change and list accounts; the daemon may run meanwhile."""


_json_option = click.option("--json", "as_json", is_flag=True, help="Print the account as JSON.")
_stdin_option = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@user.command()
@click.argument("name")
@click.option("--email", default="", metavar="ADDRESS", help="An e-mail address.")
@click.option("--admin", is_flag=True, help="Let the account do everything.")
@_stdin_option
@_json_option
@config_options
def create(name: str, email: str, admin: bool, password_stdin: bool, as_json: bool, **where: Any) -> None:
    """
    Create the account NAME; its password is asked for.

    A name has 4 to 30 of a-z, 0-9 and _, a password at least 5 characters.
    """
    config = configured(**where)
    password = read_password(password_stdin, confirm=True)
    file = _database(config)
    done = "created" if file is None else f"created in {file}"
    _change(config, as_json, done, lambda accounts: accounts.create(name, password, email, admin=admin), may_make=True)


@user.command()
@click.argument("name")
@_stdin_option
@_json_option
@config_options
def passwd(name: str, password_stdin: bool, as_json: bool, **where: Any) -> None:
    """Give the account NAME another password."""
    config = configured(**where)
    password = read_password(password_stdin, confirm=True)
    _change(config, as_json, "has a new password", lambda accounts: accounts.change(name, password=password))


@user.command()
@click.argument("name")
@_json_option
@config_options
def disable(name: str, as_json: bool, **where: Any) -> None:
    """Refuse the account NAME and its tokens from now on."""
    config = configured(**where)
    _change(config, as_json, "disabled", lambda accounts: accounts.set_active(name, active=False))


@user.command()
@click.argument("name")
@_json_option
@config_options
def enable(name: str, as_json: bool, **where: Any) -> None:
    """Let the account NAME in again."""
    config = configured(**where)
    _change(config, as_json, "enabled", lambda accounts: accounts.set_active(name, active=True))


@user.command("list")
@_json_option
@config_options
def list_accounts(as_json: bool, **where: Any) -> None:
    """List all accounts."""
    config = configured(**where)

    async def work(reactor: Any) -> None:
        found = await with_accounts(config, reactor, lambda accounts: accounts.list_all())
        if as_json:
            click.echo(json.dumps([_members(account) for account in found]))
        else:
            _print_table(found)

    run(work)


async def with_accounts(
    config: Config, reactor: Any, act: Callable[[Accounts], Awaitable[T]], *, may_make: bool = False
) -> T:
    """
    Open the metadata store of ``config``, ``act`` on its accounts, and close it.

    :param may_make: whether a database that is not there is made.
    :raises RegistryError: what ``act`` raises, or the store can not be opened.
    """
    if config.role == "registry":
        raise CommandFailed("a registry with an index of its own has no accounts: change them at the index")
    in_thread = threads_of(reactor)
    file = _database(config)
    if file is not None and not may_make and not file.exists():
        raise CommandFailed(f"there is no registry here, {file} does not exist: name its --data-dir")
    metadata = make_metadata_store(config, in_thread, reactor)
    await metadata.open()
    try:
        return await act(make_accounts(config, metadata, make_hasher(config, in_thread), reactor))
    finally:
        await metadata.close()


def _database(config: Config) -> Path | None:
    """The file of the embedded default."""
    own = config.metadata.provider != "sql" or config.metadata.url
    return None if own else config.data_dir / "metadata.sqlite3"


def _change(
    config: Config,
    as_json: bool,
    done: str,
    act: Callable[[Accounts], Awaitable[Account]],
    *,
    may_make: bool = False,
) -> None:
    async def work(reactor: Any) -> None:
        account = await with_accounts(config, reactor, act, may_make=may_make)
        if as_json:
            click.echo(json.dumps(_members(account)))
        else:
            click.echo(f"{account.name}: {done}")

    run(work)


def _members(account: Account) -> dict[str, Any]:
    # Never the password hash.
    return {
        "name": account.name,
        "email": account.email,
        "active": account.active,
        "admin": account.admin,
        "created_at": account.created_at,
    }


def _print_table(found: Sequence[Account]) -> None:
    console = Console()
    if not console.is_terminal:
        # For other programs: one line each, nothing cut off.
        for account in found:
            click.echo("\t".join((account.name, _state(account), _role(account), account.email)))
        return
    table = Table("name", "state", "role", "e-mail", box=None)
    for account in found:
        table.add_row(account.name, _state(account), _role(account), account.email)
    console.print(table)


def _state(account: Account) -> str:
    return "active" if account.active else "disabled"


def _role(account: Account) -> str:
    return "admin" if account.admin else "user"
