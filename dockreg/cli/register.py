"""``dockreg user register``: what ``docker login`` of old engines did, for people with newer ones."""

import json
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from dockreg.cli.failures import CommandFailed
from dockreg.cli.passwords import read_password, read_secret
from dockreg.cli.people import json_option, show_json
from dockreg.cli.running import run
from dockreg.model.names import is_host_port

if TYPE_CHECKING:
    from dockreg.cli.transport import Reply


@click.command()
@click.argument("url")
@click.argument("name")
@click.option("--email", default="", metavar="ADDRESS", help="An e-mail address.")
@click.option("--invited", is_flag=True, help="Ask for the code of an invitation, too.")
@click.option("--password-stdin", is_flag=True, help="Read password and code from lines of standard input.")
@click.option(
    "--cacert",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Trust these authorities (PEM) instead of the system's.",
)
@click.option("--insecure", is_flag=True, help="Accept any certificate.")
@json_option
def register(
    url: str,
    name: str,
    email: str,
    invited: bool,
    password_stdin: bool,
    cacert: Path | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """
    Make the account NAME for yourself at the registry URL, http(s)://HOST[:PORT].

    The password is asked for. The registry may be anybody's that lets strangers register, or has invited you.
    """
    origin = _origin(url)
    password = read_password(password_stdin, confirm=True)
    asked = {"username": name, "password": password, "email": email}
    if invited:
        asked["invitation"] = read_secret("Invitation", password_stdin)

    # Every command about accounts imports this module, and no other one needs the client of HTTP.
    from dockreg.cli.tls import make_tls  # noqa: PLC0415
    from dockreg.cli.transport import Transport  # noqa: PLC0415

    async def work(reactor: Any) -> None:
        transport = Transport(reactor, make_tls(cacert, insecure))
        try:
            headers = {"Content-Type": "application/json"}
            reply = await transport.request("POST", f"{origin}/v1/users/", headers, json.dumps(asked).encode())
        finally:
            await transport.close()
        _require_made(reply, name, origin, invited=invited)
        if as_json:
            show_json({"name": name, "registry": origin, "registered": True})
        else:
            click.echo(f"{name}: registered at {origin}")

    run(work)


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not is_host_port(parts.netloc) or parts.path.strip("/"):
        raise CommandFailed(f"{url!r} names no registry: write http(s)://HOST[:PORT]")
    return f"{parts.scheme}://{parts.netloc}"


def _require_made(reply: "Reply", name: str, origin: str, *, invited: bool) -> None:
    if reply.status == HTTPStatus.CREATED:
        return
    if reply.status == HTTPStatus.NOT_FOUND:
        raise CommandFailed(f"{origin} has no accounts to register: {reply.url} is not found")
    # What stands for a name that is taken is a bare JSON string, and the answer while registration is closed, too.
    if b"already exists" in reply.body:
        closed = "" if invited else "; or an invitation is needed, or accounts are made by the operator only"
        raise CommandFailed(f"{name} is taken, or the e-mail address is{closed}")
    raise CommandFailed(f"{origin} refused to register {name}: {reply.sentence} (HTTP {reply.status})")
