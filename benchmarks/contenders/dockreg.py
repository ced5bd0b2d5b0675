"""dockreg, as its users start it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contenders.base import ACCOUNT, PASSWORD, Ability, Command, Contender, Place
from benchmarks.filling import fill_database
from dockreg.version import VERSION

_COMMAND_SECONDS = 60


class Dockreg(Contender):
    """The ``twistd`` of this environment."""

    name = "dockreg"
    abilities = frozenset(Ability)
    speaks_v1 = True

    def __init__(self, workers: str | None = None, settings: str = "") -> None:
        """
        :param workers: the value of the setting of this name, as it stands in the file; None leaves it out.
        :param settings: further lines of the configuration file; top-level keys first, then tables.
        """
        super().__init__(str(Path(sys.executable).with_name("twistd")))
        self._workers = workers
        self._settings = settings

    def absence(self) -> str | None:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        return None if Path(self.program).exists() else f"no {self.program}: install dockreg into this environment"

    def version(self) -> str:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        workers = "" if self._workers is None else f", workers = {self._workers}"
        return f"dockreg {VERSION}, Python {sys.version.split()[0]}{workers}"

    def configuration(self, place: Place) -> str:
        """The configuration file."""
        endpoint = f"tcp:{place.port}:interface=127.0.0.1"
        if place.situation.tls:
            endpoint = f"ssl:{place.port}:interface=127.0.0.1:privateKey={place.key}:certKey={place.certificate}"
        lines = [f'data_dir = "{place.data}"', f'listen = ["{endpoint}"]']
        if self._workers is not None:
            lines.append(f"workers = {self._workers}")
        lines.append(self._settings)
        if place.situation.accounts:
            lines += ["[auth]", 'anonymous = "none"', 'registration = "closed"']
        return "\n".join([*lines, ""])

    def prepare(self, place: Place) -> Command:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        file = place.folder / "dockreg.toml"
        file.write_text(self.configuration(place))
        if place.situation.accounts:
            _create_account(file)
        return Command([self.program, "--nodaemon", "--pidfile=", "dockreg", f"--config={file}"])

    def fill(self, place: Place, repository: str, tags: Sequence[str]) -> None:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        fill_database(place.data, {repository: tags})


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
