"""``dockreg grant``: what somebody may do in some repositories, whoever owns these."""

from collections.abc import Sequence
from typing import Any

import click

from dockreg.cli.audited import Deed
from dockreg.cli.people import People, change, date, json_option, notice_unknown, show_json, show_rows
from dockreg.cli.settings import config_options, configured
from dockreg.model.access import EVERYTHING, Action, Scope
from dockreg.model.accesstokens import format_scope, parse_scope
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.rights import Grant, Subject


@click.group()
def grant() -> None:
    """Create, revoke and list grants."""


@grant.command()
@click.argument("who")
@click.argument("what", metavar="REPOSITORIES:ACTIONS")
@json_option
@config_options
def create(who: str, what: str, as_json: bool, **where: Any) -> None:
    """
    Let WHO do something in some repositories, such as 'team/**:pull,push'.

    WHO is an account (anna), a robot (anna+ci), a group (group:dev), authenticated (who has a name, but for robots) or
    anonymous (everybody). Actions are pull, push (what is new), overwrite (tags that are there), delete, admin, or '*' for
    all. What was granted before stays.
    """
    config = configured(**where)
    subject, scope = Subject.parse(who), parse_scope(what)

    async def act(people: People) -> Grant:
        made = await people.rights.grant(subject, scope.repositories, scope.actions)
        await notice_unknown(config, people, [subject])
        return made

    def show(made: Grant) -> None:
        if as_json:
            show_json(_members(made))
        else:
            click.echo(f"{made.subject}: {_scope(made)}")

    change(config, act, show, deed=Deed("grant.create", {"subject": str(subject), "scope": format_scope(scope)}))


@grant.command()
@click.argument("who")
@click.argument("what", metavar="REPOSITORIES[:ACTIONS]")
@json_option
@config_options
def revoke(who: str, what: str, as_json: bool, **where: Any) -> None:
    """
    Take back what was granted to WHO in REPOSITORIES, all of it or these actions.

    REPOSITORIES is what was written when it was granted; other grants stay.
    """
    config = configured(**where)
    subject, (repositories, actions) = Subject.parse(who), _taken_back(what)

    def show(left: Grant | None) -> None:
        if as_json:
            show_json({"subject": str(subject), "repositories": str(repositories), "left": _actions(left)})
        else:
            click.echo(f"{subject}: {'nothing is left in ' + str(repositories) if left is None else _scope(left)}")

    deed = Deed("grant.revoke", {"subject": str(subject), "scope": format_scope(Scope(repositories, actions))})
    change(config, lambda people: people.rights.revoke(subject, repositories, actions), show, deed=deed)


@grant.command("list")
@click.argument("who", required=False)
@json_option
@config_options
def list_grants(who: str | None, as_json: bool, **where: Any) -> None:
    """List all grants, or those of WHO, without those of its groups."""
    config = configured(**where)
    subject = None if who is None else Subject.parse(who)

    def show(found: Sequence[Grant]) -> None:
        if as_json:
            show_json([_members(each) for each in found])
        else:
            rows = [(str(each.subject), _scope(each), date(each.created_at)) for each in found]
            show_rows(("who", "what", "since"), rows)

    change(config, lambda people: people.rights.list_grants(subject), show)


def _taken_back(what: str) -> tuple[RepositoryPattern, frozenset[Action]]:
    if ":" not in what:
        return RepositoryPattern.parse(what), EVERYTHING
    scope = parse_scope(what)
    return scope.repositories, scope.actions


def _scope(made: Grant) -> str:
    return format_scope(Scope(made.repositories, made.actions))


def _actions(made: Grant | None) -> list[str]:
    return [] if made is None else [each.value for each in Action if each in made.actions]


def _members(made: Grant) -> dict[str, Any]:
    return {
        "subject": str(made.subject),
        "repositories": str(made.repositories),
        "actions": _actions(made),
        "created_at": made.created_at,
    }
