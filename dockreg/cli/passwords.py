"""Passwords come from a prompt or from standard input, never from the command line, which other users can read."""

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dockreg.cli.v1session import Credentials


def read_password(from_stdin: bool, *, confirm: bool) -> str:
    """
    The password.

    :param from_stdin: it is the first line of standard input; otherwise it is asked for, unseen.
    :param confirm: ask for it twice.
    :raises click.UsageError: there is none.
    """
    return read_secret("Password", from_stdin, confirm=confirm)


def read_secret(what: str, from_stdin: bool, *, confirm: bool = False) -> str:
    """As :func:`read_password`, of another kind: the next line of standard input, or asked for."""
    if from_stdin:
        secret = sys.stdin.readline().rstrip("\r\n")
        if not secret:
            raise click.UsageError(f"there is no {what.lower()} on standard input")
        return secret
    return str(click.prompt(what, hide_input=True, confirmation_prompt=confirm, err=True))


def read_credentials(user: str | None, from_stdin: bool) -> "Credentials | None":
    """
    The login of ``user``, None for nobody.

    :raises click.UsageError: there is no password, or no user for it.
    """
    if user is None:
        if from_stdin:
            raise click.UsageError("--password-stdin needs --user NAME")
        return None
    if ":" in user:
        raise click.UsageError("a user name can not hold ':'")
    # With it comes the client of HTTP, which most of those who ask for passwords have no use for.
    from dockreg.cli.v1session import Credentials  # noqa: PLC0415

    return Credentials(user, read_password(from_stdin, confirm=False))
