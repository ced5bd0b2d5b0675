"""``dockreg user invite``, ``invitations`` and ``uninvite``: who may make an account while that needs an invitation."""

from collections.abc import Sequence
from typing import Any

import click

from dockreg.cli.audited import Deed
from dockreg.cli.people import change, date, json_option, show_json, show_rows
from dockreg.cli.settings import config_options, configured
from dockreg.model.invitations import Invitation

_DAY_SECONDS = 86400.0


@click.command()
@click.option("--name", help="The only name that the account may have.")
@click.option("--email", default="", metavar="ADDRESS", help="The only e-mail address that it may have.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), default=7.0, help="How long it is good; 7.")
@json_option
@config_options
def invite(name: str | None, email: str, days: float, as_json: bool, **where: Any) -> None:
    """
    Invite somebody to make an account, and print the code.

    This is the only time that it is shown. It is given to "dockreg user register", or typed where "docker login" of old engines
    asks for the e-mail address.
    """
    config = configured(**where)

    def show(created: tuple[Invitation, str]) -> None:
        invitation, code = created
        if as_json:
            show_json({**_members(invitation), "code": code})
            return
        until = date(invitation.expires_at)
        click.echo(f"invitation {invitation.invitation_id} until {until}; its code is not shown again", err=True)
        click.echo(code)

    target = {kind: value for kind, value in (("account", name), ("email", email)) if value}
    deed = Deed("user.invite", target)
    change(config, lambda people: people.invitations.create(name, email, days * _DAY_SECONDS), show, deed=deed)


@click.command()
@json_option
@config_options
def invitations(as_json: bool, **where: Any) -> None:
    """List all invitations, and who has used them."""
    config = configured(**where)

    def show(found: Sequence[Invitation]) -> None:
        if as_json:
            show_json([_members(each) for each in found])
            return
        rows = [
            (each.invitation_id, each.name or "", each.email, date(each.expires_at), each.used_by or "")
            for each in found
        ]
        show_rows(("id", "name", "e-mail", "until", "used by"), rows)

    change(config, lambda people: people.invitations.list_all(), show)


@click.command()
@click.argument("invitation_id", metavar="ID")
@json_option
@config_options
def uninvite(invitation_id: str, as_json: bool, **where: Any) -> None:
    """End the invitation ID."""
    config = configured(**where)

    def show(revoked: Invitation) -> None:
        if as_json:
            show_json({**_members(revoked), "revoked": True})
        else:
            click.echo(f"invitation {revoked.invitation_id} revoked")

    deed = Deed("user.uninvite", {"invitation": invitation_id})
    change(config, lambda people: people.invitations.revoke(invitation_id), show, deed=deed)


def _members(invitation: Invitation) -> dict[str, Any]:
    return {
        "id": invitation.invitation_id,
        "name": invitation.name,
        "email": invitation.email,
        "created_at": invitation.created_at,
        "expires_at": invitation.expires_at,
        "used_by": invitation.used_by,
    }
