"""Options that several commands have."""

from collections.abc import Callable

import click


def import_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that all imports have."""
    options = (
        click.option("--owner", metavar="ACCOUNT", help="Whose new repositories are."),
        click.option("--private/--public", "private", default=None, help="What new repositories are."),
        click.option("--quiet", "-q", is_flag=True, help="Show no progress."),
    )
    for option in reversed(options):
        command = option(command)
    return command
