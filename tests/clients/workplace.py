"""A folder where programs work without seeing, or changing, what the machine has for its users."""

import os
import shutil
import subprocess
import tempfile
import time  # noqa: TID251  # real processes start in real time
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

_COMMAND_SECONDS = 180
_START_SECONDS = 30.0


class CommandFailed(AssertionError):
    """A program ended with a status that was not expected."""


@define(eq=False)
class Workplace:
    """
    Files, and an environment for programs.

    :ivar folder: has a short path, for a socket's may not be long.
    """

    folder: Path
    environment: Mapping[str, str]
    _processes: list[subprocess.Popen[bytes]] = field(factory=list, init=False)

    @classmethod
    def make(cls, test: SynchronousTestCase) -> "Workplace":
        """Make one, which is removed when the test ends."""
        folder = Path(tempfile.mkdtemp(prefix="dr-"))
        environment = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
        environment["XDG_RUNTIME_DIR"] = str(folder / "run")
        (folder / "run").mkdir(mode=0o700)
        place = cls(folder, environment)
        test.addCleanup(place.remove)
        return place

    def with_variables(self, **variables: str) -> "Workplace":
        """The same folder, with more in the environment."""
        return attrs.evolve(self, environment={**self.environment, **variables})

    def path(self, name: str) -> Path:
        """A path of this name in the folder, which nothing has used before."""
        path = self.folder / name
        number = 0
        while path.exists():
            number += 1
            path = self.folder / f"{number}-{name}"
        return path

    def run(self, *command: str | Path, folder: Path | None = None, text: bytes = b"") -> bytes:
        """
        Run a program; return its output.

        :raises CommandFailed: its status was not 0.
        """
        done = self._run(command, folder, text)
        if done.returncode:
            raise CommandFailed(f"{_words(command)}: status {done.returncode}\n{_told(done)}")
        return done.stdout

    def fail(self, *command: str | Path) -> str:
        """
        Run a program that is to fail; return what it told.

        :raises CommandFailed: its status was 0.
        """
        done = self._run(command, None, b"")
        if not done.returncode:
            raise CommandFailed(f"{_words(command)} was to fail, and did not\n{_told(done)}")
        return _told(done)

    def _run(
        self, command: tuple[str | Path, ...], folder: Path | None, text: bytes
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command, cwd=folder or self.folder, env=dict(self.environment), input=text, capture_output=True,
            timeout=_COMMAND_SECONDS, check=False,
        )  # fmt: skip

    def start(self, ready: Callable[[], bool], *command: str | Path) -> None:
        """Start a program that runs until this place is removed, and wait until it is ready."""
        log = self.path("log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, env=dict(self.environment), stdout=output, stderr=output
            )
        self._processes.append(process)
        deadline = time.monotonic() + _START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise CommandFailed(f"{_words(command)} did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.05)

    def answers(self, *command: str | Path) -> bool:
        """Whether a program succeeds."""
        return not self._run(command, None, b"").returncode

    def remove(self) -> None:
        """End what was started, and remove the folder."""
        for process in self._processes:
            process.terminate()
            process.wait(timeout=60)
        shutil.rmtree(self.folder)


def _words(command: tuple[str | Path, ...]) -> str:
    return " ".join(str(word) for word in command)


def _told(done: subprocess.CompletedProcess[bytes]) -> str:
    return (done.stdout + done.stderr).decode(errors="replace")
