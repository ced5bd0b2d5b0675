"""dockreg, as its users start it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contenders.base import ACCOUNT, PASSWORD, Ability, Command, Contender, Place
from benchmarks.filling import fill_database
from dockreg.version import VERSION

_COMMAND_SECONDS = 60


class Dockreg(Contender):
    """The ``twistd`` of this environment."""

    name = "dockreg"
    abilities = frozenset(Ability)
    speaks_v1 = True

    def __init__(self, workers: int | str | None = None, settings: Mapping[str, Any] | None = None) -> None:
        """
        :param workers: the value of the setting of this name; None leaves it out.
        :param settings: further settings, as they are read from a configuration file.
        """
        super().__init__(str(Path(sys.executable).with_name("twistd")))
        self._workers = workers
        self._settings = settings or {}

    def absence(self) -> str | None:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        return None if Path(self.program).exists() else f"no {self.program}: install dockreg into this environment"

    def version(self) -> str:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        workers = "" if self._workers is None else f", {self._workers} workers"
        return f"dockreg {VERSION}, Python {sys.version.split()[0]}{workers}"

    def configuration(self, place: Place) -> Mapping[str, Any]:
        """What the configuration file says."""
        situation, endpoint = place.situation, [f"tcp:{place.port}:interface=127.0.0.1"]
        settings: dict[str, Any] = {
            "data_dir": str(place.data),
            "listen": [] if situation.tls else endpoint,
            # All clients come from one address, which may send so many requests only.
            "http": {"exempt_addresses": ["127.0.0.1"]},
        }
        if self._workers is not None:
            settings["workers"] = self._workers
        if situation.tls:
            settings["tls"] = {"listen": endpoint, "certificate": str(place.certificate), "key": str(place.key)}
        if situation.accounts:
            settings["auth"] = {"anonymous": "none", "registration": "closed"}
        return merged(settings, self._settings)

    def prepare(self, place: Place) -> Command:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        file = place.folder / "dockreg.toml"
        file.write_text(toml(self.configuration(place)))
        if place.situation.accounts:
            _create_account(file)
        return Command([self.program, "--nodaemon", "--pidfile=", "dockreg", f"--config={file}"])

    def fill(self, place: Place, repository: str, tags: Sequence[str]) -> None:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        fill_database(place.data, {repository: tags})


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of both; where they differ, the second ones."""
    both = {**first, **second}
    for key, value in second.items():
        if isinstance(value, Mapping) and isinstance(first.get(key), Mapping):
            both[key] = merged(first[key], value)
    return both


def toml(settings: Mapping[str, Any], prefix: str = "") -> str:
    """A configuration file; its texts, numbers and lists are written as JSON has them, which TOML reads."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items() if not isinstance(value, Mapping)]
    for key, value in settings.items():
        if isinstance(value, Mapping):
            lines += [f"[{prefix}{key}]", toml(value, f"{prefix}{key}.")]
    return "\n".join(lines)


def _create_account(file: Path) -> None:
    program = [sys.executable, "-c", "from dockreg.cli.command import main; main()"]
    done = subprocess.run(
        [*program, "user", "create", ACCOUNT, "--password-stdin", f"--config={file}"],
        input=PASSWORD.encode(),
        capture_output=True,
        timeout=_COMMAND_SECONDS,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    if done.returncode:
        raise RuntimeError(f"dockreg user create: {(done.stdout + done.stderr).decode(errors='replace')}")
