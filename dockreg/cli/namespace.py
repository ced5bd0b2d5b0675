"""``dockreg namespace``: whose the repositories are that have the same first part in their names."""

from collections.abc import Sequence
from typing import Any

import attrs
import click
from attrs import frozen

from dockreg.cli.audited import Deed
from dockreg.cli.people import People, change, deletion, json_option, notice_unknown, show_json, show_rows
from dockreg.cli.settings import config_options, configured
from dockreg.model.quotas import Recounted, Usage, parse_size, shown_size
from dockreg.model.rights import Member, Namespace, Role, Subject

_NEW = {True: "private", False: "public", None: "default"}
_quota_option = click.option(
    "--quota", metavar="SIZE", help='How much its blobs may take up, such as 10GiB; "none" or "default".'
)


@click.group()
def namespace() -> None:
    """Create, change and list namespaces: what stands before the first '/' in names of repositories."""


@namespace.command()
@click.argument("name")
@click.option("--owner", "owners", multiple=True, required=True, metavar="WHO", help="An account, or group:NAME.")
@click.option("--private/--public", default=None, help="What new repositories in it are, else auth.new_repositories.")
@_quota_option
@json_option
@config_options
def create(
    name: str, owners: Sequence[str], private: bool | None, quota: str | None, as_json: bool, **where: Any
) -> None:
    """
    Give the namespace NAME to its owners.

    From then on only its members make repositories in it. Owners may do everything there.
    """
    config = configured(**where)
    subjects = [Subject.parse(each) for each in owners]
    size = _quota(quota)

    async def act(people: People) -> _Shown:
        made = await people.rights.create_namespace(name, subjects, private=private)
        await notice_unknown(config, people, subjects)
        if quota is not None:
            await people.quotas.set_quota(name, size)
        return await _shown(people, made)

    told = {} if quota is None else {"quota": quota}
    deed = _deed("create", name, owners=" ".join(map(str, subjects)), new=_NEW[private], **told)
    change(config, act, lambda made: _show(made, as_json, "created"), deed=deed)


@namespace.command("change")
@click.argument("name")
@click.option("--private", "new", flag_value="private", help="New repositories in it are private.")
@click.option("--public", "new", flag_value="public", help="New repositories in it are public.")
@click.option("--default", "new", flag_value="as auth.new_repositories says", help="They are what they are elsewhere.")
@_quota_option
@json_option
@config_options
def change_new(name: str, new: str | None, quota: str | None, as_json: bool, **where: Any) -> None:
    """
    Say what new repositories in the namespace NAME are, and how much it may have; what is there stays.

    A quota is a size such as 10GiB, "none" for any amount, or "default" for quotas.default_bytes.
    """
    if new is None and quota is None:
        raise click.UsageError("say what is to be changed: --private, --public, --default or --quota")
    config = configured(**where)
    private, size = {"private": True, "public": False}.get(new or ""), _quota(quota)
    done = [f"new repositories are {new}"] if new is not None else []
    told = {"new": _NEW[private]} if new is not None else {}
    if quota is not None:
        done.append(f"its quota is {quota if size in (None, 0) else shown_size(size or 0)}")
        told["quota"] = quota

    async def act(people: People) -> _Shown:
        found = await people.rights.get_namespace(name)
        if new is not None:
            found = await people.rights.set_new_private(name, private=private)
        if quota is not None:
            await people.quotas.set_quota(name, size)
        return await _shown(people, found)

    deed = _deed("change", name, **told)
    change(config, act, lambda changed: _show(changed, as_json, ", ".join(done)), deed=deed)


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

    async def act(people: People) -> _Shown:
        changed = await people.rights.set_member(name, subject, Role(role))
        await notice_unknown(config, people, [subject])
        return await _shown(people, changed)

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

    async def act(people: People) -> _Shown:
        return await _shown(people, await people.rights.remove_member(name, subject))

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
    """Show the namespace NAME: its members and their roles, and what it takes up while there are quotas."""
    config = configured(**where)

    async def act(people: People) -> _Shown:
        return await _shown(people, await people.rights.get_namespace(name))

    def show_members(found: _Shown) -> None:
        if as_json:
            show_json(_members(found))
            return
        show_rows(("member", "role"), [(str(each.subject), each.role.value) for each in found.namespace.members])
        if found.usage is not None:
            click.echo(_sentence(found.usage), err=True)

    change(config, act, show_members)


@namespace.command("list")
@json_option
@config_options
def list_namespaces(as_json: bool, **where: Any) -> None:
    """
    List all namespaces that are somebody's.

    While there are quotas, the last three columns are what it uses, what is reserved for uploads, and its quota.
    """
    config = configured(**where)

    async def act(people: People) -> Sequence[_Shown]:
        found, counting = await people.rights.list_namespaces(), await people.quotas.is_counting()
        usage = {each.namespace: each for each in await people.quotas.list_usage()} if counting else {}
        nothing = [await people.quotas.usage(each.name) for each in found if counting and each.name not in usage]
        usage |= {each.namespace: each for each in nothing}
        return [_Shown(each, usage.get(each.name)) for each in found]

    def show_namespaces(found: Sequence[_Shown]) -> None:
        if as_json:
            show_json([_members(each) for each in found])
            return
        headers = ["name", "new repositories", "members"]
        if any(each.usage is not None for each in found):
            headers += ["used", "reserved", "quota"]
        rows = [
            (each.namespace.name, _NEW[each.namespace.private], _listed(each.namespace.members), *_sizes(each.usage))
            for each in found
        ]
        show_rows(headers, rows)

    change(config, act, show_namespaces)


@namespace.command()
@click.argument("name", required=False)
@json_option
@config_options
def recount(name: str | None, as_json: bool, **where: Any) -> None:
    """
    Count again what the namespace NAME takes up, or all of them, and put right what was noted.

    What is noted is exact, whoever pushes; this is for who has changed the database by hand. Pushes wait meanwhile. The
    exit status is 0 also when something had to be put right.
    """
    config = configured(**where)

    def show_recounted(found: Sequence[Recounted]) -> None:
        if as_json:
            show_json([{**attrs.asdict(each), "is_right": each.is_right} for each in found])
            return
        rows = [
            (each.namespace, shown_size(each.real_used), shown_size(each.real_reserved), _change(each))
            for each in found
        ]
        show_rows(("name", "used", "reserved", "noted before"), rows)

    deed = Deed("namespace.recount", {} if name is None else {"namespace": name})
    change(config, lambda people: people.quotas.recount(name), show_recounted, deed=deed)


def _deed(verb: str, name: str, **further: str) -> Deed:
    return Deed(f"namespace.{verb}", {"namespace": name, **further})


def _change(counted: Recounted) -> str:
    return (
        "the same" if counted.is_right else f"{shown_size(counted.used)} used, {shown_size(counted.reserved)} reserved"
    )


def _quota(text: str | None) -> int | None:
    """What a quota is stored as; None for the default."""
    if text in (None, "default"):
        return None
    size = 0 if text == "none" else parse_size(text or "")
    if not size and text != "none":
        raise click.UsageError('a quota is at least a byte; "none" is any amount')
    return size


@frozen
class _Shown:
    """A namespace, and what it takes up if that is counted."""

    namespace: Namespace
    usage: Usage | None


async def _shown(people: People, found: Namespace) -> _Shown:
    counting = await people.quotas.is_counting()
    return _Shown(found, await people.quotas.usage(found.name) if counting else None)


def _show(shown: _Shown, as_json: bool, done: str) -> None:
    if as_json:
        show_json(_members(shown))
    else:
        click.echo(f"{shown.namespace.name}: {done}")


def _sizes(usage: Usage | None) -> Sequence[str]:
    if usage is None:
        return ()
    limit = shown_size(usage.limit) if usage.limit else "none"
    return (
        shown_size(usage.used),
        shown_size(usage.reserved),
        limit if usage.own is not None else f"{limit} (default)",
    )


def _sentence(usage: Usage) -> str:
    used, reserved, limit = _sizes(usage)
    return f"{used} used, {reserved} reserved for uploads, quota {limit}"


def _listed(members: Sequence[Member]) -> str:
    return " ".join(f"{each.subject}={each.role.value}" for each in members)


def _members(shown: _Shown) -> dict[str, Any]:
    found, usage = shown.namespace, shown.usage
    members = [{"subject": str(each.subject), "role": each.role.value} for each in found.members]
    told = {"name": found.name, "private": found.private, "members": members, "created_at": found.created_at}
    if usage is not None:
        told |= {"used": usage.used, "reserved": usage.reserved, "quota": usage.limit, "own_quota": usage.own}
    return told
