"""The ``dockreg`` command: its nouns, each in a module that is imported when it is used."""

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any

import click

from dockreg.cli.failures import CommandFailed
from dockreg.config import ConfigError
from dockreg.errors import RegistryError
from dockreg.starting import loading
from dockreg.version import VERSION

_COMMANDS: Mapping[str, str] = {
    "backup": "dockreg.cli.moving.backup:backup",
    "check-config": "dockreg.cli.checkconfig:check_config",
    "doctor": "dockreg.cli.doctor.command:doctor",
    "export": "dockreg.cli.moving.export:export_command",
    "fsck": "dockreg.cli.fsck:fsck",
    "gc": "dockreg.cli.gc:gc",
    "grant": "dockreg.cli.grant:grant",
    "group": "dockreg.cli.group:group",
    "import": "dockreg.cli.moving.imports:import_command",
    "key": "dockreg.cli.key:key",
    "namespace": "dockreg.cli.namespace:namespace",
    "restore": "dockreg.cli.moving.restore:restore",
    "retention": "dockreg.cli.retention:retention",
    "robot": "dockreg.cli.robot:robot",
    "token": "dockreg.cli.token:token",
    "user": "dockreg.cli.user:user",
    "v1": "dockreg.cli.v1:v1",
}


class _Commands(click.Group):
    """Imports a command when it is asked for, and tells in a sentence what is wrong with a configuration."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        with loading():
            found = resolve_name(_COMMANDS[name]) if name in _COMMANDS else None
        assert found is None or isinstance(found, click.Command)
        return found

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (ConfigError, RegistryError) as error:
            raise CommandFailed(str(error)) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="dockreg")
def main() -> None:
    """Administer a dockreg registry, and push and pull archives."""
