"""``dockreg namespace``: whose the repositories are that have the same first part in their names."""

from collections.abc import Sequence
from typing import Any

import click

from dockreg.cli.audited import Deed
from dockreg.cli.people import People, change, deletion, json_option, notice_unknown, show_json, show_rows
from dockreg.cli.settings import config_options, configured
from dockreg.model.rights import Member, Namespace, Role, Subject

_NEW = {True: "private", False: "public", None: "default"}


@click.group()
def namespace() -> None:
    """Create, change and list namespaces: what stands before the first '/' in names of repositories."""


@namespace.command()
@click.argument("name")
@click.option("--owner", "owners", multiple=True, required=True, metavar="WHO", help="An account, or group:NAME.")
@click.option("--private/--public", default=None, help="What new repositories in it are, else auth.new_repositories.")
@json_option
@config_options
def create(name: str, owners: Sequence[str], private: bool | None, as_json: bool, **where: Any) -> None:
    """
    Give the namespace NAME to its owners.

    From then on only its members make repositories in it. Owners may do everything there.
    """
    config = configured(**where)
    subjects = [Subject.parse(each) for each in owners]

    async def act(people: People) -> Namespace:
        made = await people.rights.create_namespace(name, subjects, private=private)
        await notice_unknown(config, people, subjects)
        return made

    deed = _deed("create", name, owners=" ".join(map(str, subjects)), new=_NEW[private])
    change(config, act, lambda made: _show(made, as_json, "created"), deed=deed)


@namespace.command("change")
@click.argument("name")
@click.option("--private", "new", flag_value="private", help="New repositories in it are private.")
@click.option("--public", "new", flag_value="public", help="New repositories in it are public.")
@click.option("--default", "new", flag_value="as auth.new_repositories says", help="They are what they are elsewhere.")
@json_option
@config_options
def change_new(name: str, new: str | None, as_json: bool, **where: Any) -> None:
    """Say what new repositories in the namespace NAME are; those that are there stay."""
    if new is None:
        raise click.UsageError("say what they are: --private, --public or --default")
    config = configured(**where)
    private = {"private": True, "public": False}.get(new)
    done = f"new repositories are {new}"

    async def act(people: People) -> Namespace:
        return await people.rights.set_new_private(name, private=private)

    change(config, act, lambda changed: _show(changed, as_json, done), deed=_deed("change", name, new=_NEW[private]))


@namespace.command()
@click.argument("name")
@click.argument("who")
@click.argument("role", type=click.Choice([each.value for each in Role]))
@json_option
@config_options
def member(name: str, who: str, role: str, as_json: bool, **where: Any) -> None:
    """
    Put WHO (an account, or group:NAME) into the namespace NAME, or change the role.

    An owner may do everything in its repositories, a writer push and delete, a reader pull.
    """
    config = configured(**where)
    subject = Subject.parse(who)

    async def act(people: People) -> Namespace:
        changed = await people.rights.set_member(name, subject, Role(role))
        await notice_unknown(config, people, [subject])
        return changed

    deed = _deed("member", name, subject=str(subject), role=role)
    change(config, act, lambda changed: _show(changed, as_json, f"{subject} is a {role}"), deed=deed)


@namespace.command()
@click.argument("name")
@click.argument("who")
@json_option
@config_options
def remove(name: str, who: str, as_json: bool, **where: Any) -> None:
    """Take WHO out of the namespace NAME. One without owners is in the hands of administrators."""
    config = configured(**where)
    subject = Subject.parse(who)
    done = f"{subject} is no member"

    async def act(people: People) -> Namespace:
        return await people.rights.remove_member(name, subject)

    change(config, act, lambda left: _show(left, as_json, done), deed=_deed("remove", name, subject=str(subject)))


@namespace.command()
@click.argument("name")
@json_option
@config_options
def delete(name: str, as_json: bool, **where: Any) -> None:
    """Forget whose the namespace NAME is; its repositories stay as they are."""
    config = configured(**where)

    change(
        config,
        lambda people: people.rights.delete_namespace(name),
        deletion(name, as_json=as_json),
        deed=_deed("delete", name),
    )


@namespace.command()
@click.argument("name")
@json_option
@config_options
def show(name: str, as_json: bool, **where: Any) -> None:
    """Show the namespace NAME: its members and their roles."""
    config = configured(**where)

    def show_members(found: Namespace) -> None:
        if as_json:
            show_json(_members(found))
        else:
            show_rows(("member", "role"), [(str(each.subject), each.role.value) for each in found.members])

    change(config, lambda people: people.rights.get_namespace(name), show_members)


@namespace.command("list")
@json_option
@config_options
def list_namespaces(as_json: bool, **where: Any) -> None:
    """List all namespaces that are somebody's."""
    config = configured(**where)

    def show_namespaces(found: Sequence[Namespace]) -> None:
        if as_json:
            show_json([_members(each) for each in found])
            return
        rows = [(each.name, _NEW[each.private], _listed(each.members)) for each in found]
        show_rows(("name", "new repositories", "members"), rows)

    change(config, lambda people: people.rights.list_namespaces(), show_namespaces)


def _deed(verb: str, name: str, **further: str) -> Deed:
    return Deed(f"namespace.{verb}", {"namespace": name, **further})


def _show(shown: Namespace, as_json: bool, done: str) -> None:
    if as_json:
        show_json(_members(shown))
    else:
        click.echo(f"{shown.name}: {done}")


def _listed(members: Sequence[Member]) -> str:
    return " ".join(f"{each.subject}={each.role.value}" for each in members)


def _members(shown: Namespace) -> dict[str, Any]:
    members = [{"subject": str(each.subject), "role": each.role.value} for each in shown.members]
    return {"name": shown.name, "private": shown.private, "members": members, "created_at": shown.created_at}
