"""The command line of ``dockreg doctor``."""

import json
from pathlib import Path
from typing import Any

import click

from dockreg.cli.doctor.examination import Asked, examine
from dockreg.cli.doctor.findings import Report, Step, Verdict, as_document, lines_of, summary
from dockreg.cli.doctor.place import Place, parse_repository
from dockreg.cli.passwords import read_credentials
from dockreg.cli.running import run

_COLOURS = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "red"}


@click.command()
@click.argument("url")
@click.option("--user", metavar="NAME", help="Log in as NAME; the password is asked for.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--repository", metavar="NAME[:TAG]", help="Replay a pull from this repository.")
@click.option("--push", is_flag=True, help="Begin a push to it as well: an upload that is cancelled at once.")
@click.option(
    "--cafile",
    "--cacert",
    "cafile",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Trust these authorities (PEM) instead of the system's.",
)
@click.option("--insecure", is_flag=True, help="Accept any certificate, and send the password all the same.")
@click.option("--json", "as_json", is_flag=True, help="Print the steps as JSON.")
def doctor(
    url: str,
    user: str | None,
    password_stdin: bool,
    repository: str | None,
    push: bool,
    cafile: Path | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """
    Say what a client meets at the registry URL, http(s)://HOST[:PORT], and what to change there.

    Name, connection, TLS, login and pull are gone through one by one, at any registry. Nothing is changed there. The exit
    status is 1 when a step fails. Passwords and tokens are never shown.
    """
    place = Place.parse(url)
    if push and repository is None:
        raise click.UsageError("--push needs --repository NAME")
    name, tag = (None, None) if repository is None else parse_repository(repository)
    asked = Asked(
        place,
        read_credentials(user, password_stdin),
        None if name is None else str(name),
        None if tag is None else str(tag),
        push,
        cafile,
        insecure,
    )

    async def work(reactor: Any) -> None:
        report = Report((lambda _step: None) if as_json else _print)
        await examine(reactor, asked, report)
        click.echo(json.dumps(as_document(report, place.origin)) if as_json else summary(report))
        if report.failed:
            raise SystemExit(1)

    run(work)


def _print(step: Step) -> None:
    first, *rest = lines_of(step)
    click.secho(first, fg=_COLOURS[step.verdict])
    for line in rest:
        click.echo(line)
