"""What commands write into the audit log: who is at the command line, and what was changed there."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from attrs import frozen

from dockreg.cli.failures import CommandFailed
from dockreg.cli.running import threads_of
from dockreg.config import Config
from dockreg.model.audit import MAX_TEXT, AuditEvent, Result
from dockreg.providers.audit import audit_line
from dockreg.providers.logs import append

#: Who does what commands do; no account can be called so.
COMMAND_LINE = "command line"


@frozen
class Deed:
    """What a command changes: ``user.create``, ``{"account": "anna"}``."""

    action: str
    target: Mapping[str, str]


async def write_down(config: Config, reactor: Any, deed: Deed, problem: Exception | None) -> None:
    """
    Write down what was done, or could not be, if there is an audit log.

    Where the daemon writes it to its standard output, a command writes to its standard error.

    :raises CommandFailed: it was done, and can not be written down.
    """
    path = config.log.audit
    if not path:
        return
    event = AuditEvent(
        who=COMMAND_LINE,
        how=f"uid {os.getuid()}",
        action=deed.action,
        target={kind: name[:MAX_TEXT] for kind, name in deed.target.items()},
        result=Result.ALLOWED if problem is None else Result.FAILED,
        reason="" if problem is None else type(problem).__name__,
    )
    line = audit_line(event, reactor.seconds())
    if path == "-":
        click.echo(line, err=True)
        return
    try:
        await threads_of(reactor)(_append, path, line, config.data_dir)
    except OSError as error:
        if problem is None:
            raise CommandFailed(f"it was done, but {path} can not be written: {error.strerror or error}") from None


def _append(path: str, line: str, folder: Path) -> None:
    is_new = not Path(path).exists()
    append(path, f"{line}\n")
    if is_new and os.geteuid() == 0:
        # The daemon has to write to it, too.
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
