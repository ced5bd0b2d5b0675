"""
``dockreg user``: accounts, straight in the metadata store of the configuration.

The daemon may run meanwhile: it reads an account whenever one is used, so what is changed here counts from its next
request on.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import click

from dockreg.cli.audited import Deed
from dockreg.cli.invite import invitations, invite, uninvite
from dockreg.cli.passwords import read_password
from dockreg.cli.people import People, change, database_file, date, deletion, json_option, show_json, show_rows
from dockreg.cli.register import register
from dockreg.cli.settings import config_options, configured
from dockreg.config import Config
from dockreg.model.accounts import NO_HASH, Account


@click.group()
def user() -> None:
    """Create, change and list accounts; the daemon may run meanwhile."""


for _command in (invite, invitations, uninvite, register):
    user.add_command(_command)

_stdin_option = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@user.command()
@click.argument("name")
@click.option("--email", default="", metavar="ADDRESS", help="An e-mail address.")
@click.option("--admin", is_flag=True, help="Let the account do everything.")
@click.option("--no-password", is_flag=True, help="Let in with access tokens, or as other checkers say, only.")
@_stdin_option
@json_option
@config_options
def create(
    name: str, email: str, admin: bool, no_password: bool, password_stdin: bool, as_json: bool, **where: Any
) -> None:
    """
    Create the account NAME; its password is asked for.

    A name has 4 to 30 of a-z, 0-9 and _, a password at least 5 characters. The name of an account that was deleted can be
    given again: the new one has what still bears that name, such as repositories.
    """
    config = configured(**where)
    if no_password and password_stdin:
        raise click.UsageError("--no-password and --password-stdin exclude each other")
    password = None if no_password else read_password(password_stdin, confirm=True)
    file = database_file(config)
    done = "created" if file is None else f"created in {file}"

    async def act(people: People) -> Account:
        return await people.accounts.create(name, password, email, admin=admin)

    deed = Deed("user.create", {"account": name})
    change(config, act, _shower(as_json, done), deed=deed, may_make=True)


@user.command()
@click.argument("name")
@_stdin_option
@json_option
@config_options
def password(name: str, password_stdin: bool, as_json: bool, **where: Any) -> None:
    """Give the account NAME another password."""
    config = configured(**where)
    new = read_password(password_stdin, confirm=True)
    _change(
        config,
        as_json,
        "password",
        name,
        "has a new password",
        lambda people: people.accounts.change(name, password=new),
    )


@user.command()
@click.argument("name")
@click.argument("address")
@json_option
@config_options
def email(name: str, address: str, as_json: bool, **where: Any) -> None:
    """Give the account NAME another e-mail ADDRESS; '' for none."""
    config = configured(**where)
    _change(
        config,
        as_json,
        "email",
        name,
        "has a new e-mail address",
        lambda people: people.accounts.change(name, email=address),
    )


@user.command()
@click.argument("name")
@json_option
@config_options
def disable(name: str, as_json: bool, **where: Any) -> None:
    """Refuse the account NAME, its robots and all their tokens from now on."""
    config = configured(**where)
    _change(config, as_json, "disable", name, "disabled", lambda people: people.accounts.set_active(name, active=False))


@user.command()
@click.argument("name")
@json_option
@config_options
def enable(name: str, as_json: bool, **where: Any) -> None:
    """Let the account NAME in again."""
    config = configured(**where)
    _change(config, as_json, "enable", name, "enabled", lambda people: people.accounts.set_active(name, active=True))


@user.command()
@click.argument("name")
@click.option("--revoke", is_flag=True, help="Take the right away.")
@json_option
@config_options
def admin(name: str, revoke: bool, as_json: bool, **where: Any) -> None:
    """Let the account NAME do everything, or no longer."""
    config = configured(**where)
    done = "no longer an administrator" if revoke else "an administrator now"
    verb = "admin.revoke" if revoke else "admin"
    _change(config, as_json, verb, name, done, lambda people: people.accounts.set_admin(name, admin=not revoke))


@user.command()
@click.argument("name")
@click.option("--give-to", "heir", metavar="OTHER", help="Let the account OTHER own its repositories.")
@json_option
@config_options
def delete(name: str, heir: str | None, as_json: bool, **where: Any) -> None:
    """
    Delete the account NAME, its robots, and all their tokens, grants and memberships.

    Its repositories stay as they are; without --give-to only administrators, and who was granted something, reach them.
    No stranger can register the name; "dockreg user create" gives it again, with these repositories.
    """
    config = configured(**where)

    async def act(people: People) -> None:
        await people.accounts.delete(name, heir)

    change(
        config,
        act,
        deletion(name, as_json=as_json),
        deed=Deed("user.delete", {"account": name} if heir is None else {"account": name, "heir": heir}),
    )


@user.command()
@click.argument("name")
@json_option
@config_options
def show(name: str, as_json: bool, **where: Any) -> None:
    """Show the account NAME."""
    config = configured(**where)

    def print_account(account: Account) -> None:
        if as_json:
            show_json(account_members(account))
            return
        rows = {"name": account.name, "state": _state(account), "role": _role(account), "e-mail": account.email}
        rows["logs in with"] = "access tokens only" if account.password_hash == NO_HASH else "its password"
        show_rows(("", ""), [*rows.items(), ("created", date(account.created_at))])

    change(config, lambda people: people.accounts.get(name), print_account)


@user.command("list")
@json_option
@config_options
def list_accounts(as_json: bool, **where: Any) -> None:
    """List all accounts but robots."""
    config = configured(**where)

    async def act(people: People) -> list[Account]:
        return [each for each in await people.accounts.list_all() if each.owner is None]

    def print_accounts(found: list[Account]) -> None:
        if as_json:
            show_json([account_members(each) for each in found])
        else:
            rows = [(each.name, _state(each), _role(each), each.email) for each in found]
            show_rows(("name", "state", "role", "e-mail"), rows)

    change(config, act, print_accounts)


def account_members(account: Account) -> dict[str, Any]:
    """An account in JSON; never its password hash."""
    members = {
        "name": account.name,
        "email": account.email,
        "active": account.active,
        "admin": account.admin,
        "created_at": account.created_at,
    }
    return members if account.owner is None else {**members, "owner": account.owner}


def _change(
    config: Config, as_json: bool, verb: str, name: str, done: str, act: Callable[[People], Awaitable[Account]]
) -> None:
    change(config, act, _shower(as_json, done), deed=Deed(f"user.{verb}", {"account": name}))


def _shower(as_json: bool, done: str) -> Callable[[Account], None]:
    def show_account(account: Account) -> None:
        if as_json:
            show_json(account_members(account))
        else:
            click.echo(f"{account.name}: {done}")

    return show_account


def _state(account: Account) -> str:
    return "active" if account.active else "disabled"


def _role(account: Account) -> str:
    return "admin" if account.admin else "user"
