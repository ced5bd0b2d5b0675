"""``dockreg token``: what programs log in with instead of a password."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from dockreg.cli.audited import Deed
from dockreg.cli.people import People, change, date, json_option, show_json, show_rows
from dockreg.cli.settings import config_options, configured
from dockreg.model.accesstokens import AccessToken, format_scope, format_scopes, parse_scope

_DAY_SECONDS = 86400.0
_DEFAULT_DAYS = 90.0


@click.group()
def token() -> None:
    """Create, revoke and list access tokens of accounts and robots."""


@token.command()
@click.argument("account")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    metavar="REPOSITORIES:ACTIONS",
    help="What it reaches at most, such as 'team/**:pull,push,overwrite'; may be repeated.",
)
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help=f"How long it lives; {_DEFAULT_DAYS:.0f}.")
@click.option("--forever", is_flag=True, help="Let it live until it is revoked.")
@json_option
@config_options
def create(
    account: str,
    scopes: Sequence[str],
    description: str,
    days: float | None,
    forever: bool,
    as_json: bool,
    **where: Any,
) -> None:
    """
    Create an access token for ACCOUNT, and print it.

    This is the only time that it is shown. It is used in the place of the password, with the name of the account. A scope is a
    pattern of repositories ('*' for a part of a component, '**' for any number of components) and actions: pull, push
    (what is new), overwrite (tags that are there), delete, admin, or '*' for all. What of it the account may do is decided
    each time.
    """
    config = configured(**where)
    if forever and days is not None:
        raise click.UsageError("--days and --forever exclude each other")
    lifetime = None if forever else (days or _DEFAULT_DAYS) * _DAY_SECONDS
    parsed = [parse_scope(each) for each in scopes]

    def show(created: tuple[AccessToken, str]) -> None:
        made, text = created
        if as_json:
            show_json({**_members(made), "token": text})
            return
        click.echo(
            f"{made.account}: token {made.token_id} until {date(made.expires_at)}; it is not shown again", err=True
        )
        click.echo(text)

    deed = Deed("token.create", {"account": account, "scopes": format_scopes(parsed)})
    change(config, lambda people: people.access_tokens.create(account, parsed, description, lifetime), show, deed=deed)


@token.command()
@click.argument("token_id", metavar="ID")
@json_option
@config_options
def revoke(token_id: str, as_json: bool, **where: Any) -> None:
    """End the access token ID, and what was had for it, now."""
    config = configured(**where)

    def show(revoked: AccessToken) -> None:
        if as_json:
            show_json({**_members(revoked), "revoked": True})
        else:
            click.echo(f"{revoked.account}: token {revoked.token_id} revoked")

    deed = Deed("token.revoke", {"token": token_id})
    change(config, lambda people: people.access_tokens.revoke(token_id), show, deed=deed)


@token.command("list")
@click.argument("account", required=False)
@json_option
@config_options
def list_tokens(account: str | None, as_json: bool, **where: Any) -> None:
    """List the access tokens of all accounts, or of ACCOUNT."""
    config = configured(**where)

    async def act(people: People) -> Sequence[AccessToken]:
        if account is not None:
            await people.accounts.get(account)
        return await people.access_tokens.list_all(account)

    def show(found: Sequence[AccessToken]) -> None:
        if as_json:
            show_json([_members(each) for each in found])
        else:
            headers = ("id", "account", "scopes", "expires", "last used", "description")
            show_rows(headers, [_row(each) for each in found])

    change(config, act, show)


def _row(found: AccessToken) -> Sequence[str]:
    expires = date(found.expires_at)
    used = "no" if found.used_at is None else f"{datetime.fromtimestamp(found.used_at, UTC):%Y-%m-%d}"
    return (found.token_id, found.account, format_scopes(found.scopes), expires, used, found.description)


def _members(found: AccessToken) -> dict[str, Any]:
    return {
        "id": found.token_id,
        "account": found.account,
        "description": found.description,
        "scopes": [format_scope(each) for each in found.scopes],
        "created_at": found.created_at,
        "expires_at": found.expires_at,
        "used_at": found.used_at,
    }
