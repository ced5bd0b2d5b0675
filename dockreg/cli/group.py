"""``dockreg group``: accounts that are granted something together."""

from collections.abc import Sequence
from typing import Any

import click

from dockreg.cli.audited import Deed
from dockreg.cli.people import People, change, date, deletion, json_option, notice_unknown, show_json, show_rows
from dockreg.cli.settings import config_options, configured
from dockreg.model.rights import Group, Subject


@click.group()
def group() -> None:
    """Create, change and list groups of accounts."""


@group.command()
@click.argument("name")
@click.argument("accounts", nargs=-1)
@json_option
@config_options
def create(name: str, accounts: Sequence[str], as_json: bool, **where: Any) -> None:
    """
    Create the group NAME, with ACCOUNTS in it.

    Grants and namespaces call it group:NAME.
    """
    config = configured(**where)

    async def act(people: People) -> Group:
        made = await people.rights.create_group(name)
        for account in accounts:
            made = await people.rights.add_to_group(name, account)
        await notice_unknown(config, people, [Subject.account(each) for each in accounts])
        return made

    change(config, act, lambda made: _show(made, as_json, "created"), deed=_deed("create", name, accounts))


@group.command()
@click.argument("name")
@click.argument("accounts", nargs=-1, required=True)
@json_option
@config_options
def add(name: str, accounts: Sequence[str], as_json: bool, **where: Any) -> None:
    """Put ACCOUNTS into the group NAME."""
    config = configured(**where)

    async def act(people: People) -> Group:
        changed = await people.rights.get_group(name)
        for account in accounts:
            changed = await people.rights.add_to_group(name, account)
        await notice_unknown(config, people, [Subject.account(each) for each in accounts])
        return changed

    def show_added(changed: Group) -> None:
        _show(changed, as_json, f"has {', '.join(changed.members)}")

    change(config, act, show_added, deed=_deed("add", name, accounts))


@group.command()
@click.argument("name")
@click.argument("accounts", nargs=-1, required=True)
@json_option
@config_options
def remove(name: str, accounts: Sequence[str], as_json: bool, **where: Any) -> None:
    """Take ACCOUNTS out of the group NAME."""
    config = configured(**where)

    async def act(people: People) -> Group:
        changed = await people.rights.get_group(name)
        for account in accounts:
            changed = await people.rights.remove_from_group(name, account)
        return changed

    def show_left(changed: Group) -> None:
        _show(changed, as_json, f"has {', '.join(changed.members) or 'nobody'}")

    change(config, act, show_left, deed=_deed("remove", name, accounts))


@group.command()
@click.argument("name")
@json_option
@config_options
def delete(name: str, as_json: bool, **where: Any) -> None:
    """Delete the group NAME, and what was granted to it."""
    config = configured(**where)

    change(
        config,
        lambda people: people.rights.delete_group(name),
        deletion(name, as_json=as_json),
        deed=_deed("delete", name),
    )


@group.command()
@click.argument("name")
@json_option
@config_options
def show(name: str, as_json: bool, **where: Any) -> None:
    """Show the group NAME: its accounts, one a line."""
    config = configured(**where)
    change(config, lambda people: people.rights.get_group(name), lambda found: _show_members(found, as_json))


@group.command("list")
@json_option
@config_options
def list_groups(as_json: bool, **where: Any) -> None:
    """List all groups."""
    config = configured(**where)

    def show_groups(found: Sequence[Group]) -> None:
        if as_json:
            show_json([_members(each) for each in found])
        else:
            rows = [(each.name, date(each.created_at), " ".join(each.members)) for each in found]
            show_rows(("name", "created", "accounts"), rows)

    change(config, lambda people: people.rights.list_groups(), show_groups)


def _deed(verb: str, name: str, accounts: Sequence[str] = ()) -> Deed:
    target = {"group": name, "accounts": " ".join(accounts)} if accounts else {"group": name}
    return Deed(f"group.{verb}", target)


def _show(shown: Group, as_json: bool, done: str) -> None:
    if as_json:
        show_json(_members(shown))
    else:
        click.echo(f"{shown.name}: {done}")


def _show_members(shown: Group, as_json: bool) -> None:
    if as_json:
        show_json(_members(shown))
    else:
        show_rows(("account",), [(each,) for each in shown.members])


def _members(shown: Group) -> dict[str, Any]:
    return {"name": shown.name, "members": list(shown.members), "created_at": shown.created_at}
