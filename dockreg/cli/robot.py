"""``dockreg robot``: accounts for programs, which belong to somebody and log in with access tokens."""

from collections.abc import Sequence
from typing import Any

import click

from dockreg.cli.audited import Deed
from dockreg.cli.people import People, change, date, deletion, json_option, show_json, show_rows
from dockreg.cli.settings import config_options, configured
from dockreg.cli.user import account_members
from dockreg.errors import AccountInvalid
from dockreg.model.accounts import ROBOT_MARK, Account


@click.group()
def robot() -> None:
    """Create, delete and list robots: accounts for programs."""


@robot.command()
@click.argument("name")
@json_option
@config_options
def create(name: str, as_json: bool, **where: Any) -> None:
    """
    Create the robot NAME, which is OWNER+ROBOT, such as anna+ci.

    It has no password: give it access tokens with "dockreg token create". It is disabled and deleted with its owner, and may
    do what is granted to it and nothing else.
    """
    config = configured(**where)
    owner, own = _parts(name)

    def show(account: Account) -> None:
        if as_json:
            show_json(account_members(account))
        else:
            click.echo(f"{account.name}: created")

    change(
        config,
        lambda people: people.accounts.create_robot(owner, own),
        show,
        deed=Deed("robot.create", {"account": name}),
    )


@robot.command()
@click.argument("name")
@json_option
@config_options
def delete(name: str, as_json: bool, **where: Any) -> None:
    """Delete the robot NAME and its access tokens."""
    config = configured(**where)
    _parts(name)

    async def act(people: People) -> None:
        await people.accounts.delete(name)

    change(config, act, deletion(name, as_json=as_json), deed=Deed("robot.delete", {"account": name}))


@robot.command("list")
@click.argument("owner", required=False)
@json_option
@config_options
def list_robots(owner: str | None, as_json: bool, **where: Any) -> None:
    """List all robots, or those of OWNER."""
    config = configured(**where)

    async def act(people: People) -> Sequence[Account]:
        if owner is not None:
            return await people.accounts.list_robots(owner)
        return [each for each in await people.accounts.list_all() if each.owner is not None]

    def show(found: Sequence[Account]) -> None:
        if as_json:
            show_json([account_members(each) for each in found])
        else:
            rows = [(each.name, "active" if each.is_usable else "disabled", date(each.created_at)) for each in found]
            show_rows(("name", "state", "created"), rows)

    change(config, act, show)


def _parts(name: str) -> tuple[str, str]:
    owner, mark, own = name.partition(ROBOT_MARK)
    if not mark:
        raise AccountInvalid(f"write the name of a robot with that of its owner: OWNER{ROBOT_MARK}{name}")
    return owner, own
