"""The options ``--config`` and ``--data-dir``, with the meaning that they have for the daemon."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from dockreg.config import Config, load_config

F = TypeVar("F", bound=Callable[..., Any])


def config_options(command: F) -> F:
    """Give a command the two options, as ``config_file`` and ``data_dir``."""
    command = click.option("--data-dir", metavar="DIR", help="The data folder, instead of the configured one.")(command)
    return click.option("--config", "config_file", metavar="FILE", help="The configuration file of the daemon.")(
        command
    )


def configured(config_file: str | None, data_dir: str | None) -> Config:
    """
    The configuration that the daemon would use.

    :raises ConfigError: there is something wrong with it.
    """
    return load_config(config_file, data_dir, environ=os.environ)
