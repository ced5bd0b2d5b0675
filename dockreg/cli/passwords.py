"""Passwords come from a prompt or from standard input, never from the command line, which other users can read."""

import sys

import click


def read_password(from_stdin: bool, *, confirm: bool) -> str:
    """
    The password.

    :param from_stdin: it is the first line of standard input; otherwise it is asked for, unseen.
    :param confirm: ask for it twice.
    :raises click.UsageError: there is none.
    """
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise click.UsageError("there is no password on standard input")
        return password
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=confirm, err=True))
