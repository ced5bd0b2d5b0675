"""The daemon as a process of its own, started the way its users start it."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time  # noqa: TID251  # a real process starts in real time
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import attrs

from dockreg.config import LogSettings
from dockreg.testing.ports import free_port
from tests.commands import BEGIN, Fork, Source, run_command
from tests.forkedworkers import BEGINS

_START_SECONDS = 90.0
#: The settings of ``[log]`` that are files.
LOGS = tuple(each.name for each in attrs.fields(LogSettings) if each.default == "")


class Process(Protocol):
    """What is used of :class:`subprocess.Popen`."""

    @property
    def pid(self) -> int:
        """Its id."""

    def poll(self) -> int | None:
        """The exit status; None while it runs."""

    def wait(self, timeout: float) -> int:
        """The exit status, once it has ended."""


class Daemon:
    """
    ``twistd dockreg`` on a free port of 127.0.0.1, with its data in ``folder``.

    Its logs are there too: ``daemon.log``, and unless the configuration says otherwise all others that there are.
    ``tests.logscan`` looks through them when the tests are over.
    """

    def __init__(self, folder: Path, *options: str, config: str = "") -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self._options = options
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "dockreg.toml"
        self.configure(config)
        #: What its environment has beside that of the tests, from the next start on.
        self.environ: dict[str, str] = {}
        self._process: Process | None = None

    def configure(self, config: str) -> None:
        """Replace the configuration file; it counts from the next start on."""
        logs = "".join(["[log]\n", *(f'{name} = "{self.folder}/{name}.log"\n' for name in LOGS)])
        self._config.write_text(config if "log" in tomllib.loads(config) else f"{config}\n{logs}")

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [
            str(Path(sys.executable).with_name("twistd")), "--nodaemon", "--pidfile=", "dockreg",
            f"--config={self._config}", f"--data-dir={self.data}",
            f"--listen=tcp:{self.port}:interface=127.0.0.1", *self._options,
        ]  # fmt: skip
        self._process = self._spawn(command)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("the daemon did not start:\n" + self.log())
            time.sleep(0.02)

    def _spawn(self, command: Sequence[str]) -> Process:
        with (self.folder / "daemon.log").open("ab") as log:
            environ = {**os.environ, **self.environ}
            return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, env=environ)

    def _answers(self) -> bool:
        try:
            return self.request("GET", "/v1/_ping")[0] == 200
        except OSError:
            return False

    def log(self) -> str:
        """What it has printed so far."""
        return (self.folder / "daemon.log").read_text(errors="replace")

    def kill(self) -> None:
        """``kill -9``; harmless when it is not running."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Stop in an orderly way; return the exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        if self._process.poll() is None:
            # It is not a child of this process, and may have ended this very moment.
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)
        status = self._process.wait(timeout=60)
        self._process = None
        return status

    def command(self, *arguments: str, text: str = "") -> int:
        """Run ``dockreg`` with the configuration of this daemon; return its exit status."""
        return self.run(*arguments, text=text).returncode

    def said(self, *arguments: str) -> tuple[int, str]:
        """The same; return what it writes to its standard error as well."""
        done = self.run(*arguments)
        return done.returncode, done.stderr.decode(errors="replace")

    def told(self, *arguments: str, text: str = "") -> Any:
        """The same of a command that has to succeed; return the JSON that it prints."""
        done = self.run(*arguments, "--json", text=text)
        assert not done.returncode, done.stderr.decode(errors="replace")
        return json.loads(done.stdout)

    def run(self, *arguments: str, text: str = "") -> "subprocess.CompletedProcess[bytes]":
        """The same of one that may fail; return how it ended, and what it printed."""
        return run_command([*arguments, f"--config={self._config}", f"--data-dir={self.data}"], text.encode())

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, dict[str, str]]:
        """One request on a connection of its own: status, body, headers with lowercase names."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            content = response.read()
            names = {name.lower() for name, _ in response.getheaders()}
            return response.status, content, {name: ", ".join(response.headers.get_all(name, [])) for name in names}
        finally:
            connection.close()


class PreparedDaemon(Daemon):
    """The same ``twistd``, as a fork of a process that has imported what it needs: it starts in a fifth of the time."""

    #: That process, if not the one of all.
    source: Source | None = None
    #: Whether workers are forks as well. The daemon has a child more then, beside them.
    forks_workers = False

    def _spawn(self, command: Sequence[str]) -> Process:
        with Path(os.devnull).open("rb") as nothing, (self.folder / "daemon.log").open("ab") as log:
            environ = {**self._forking(), **self.environ}
            return Fork(command, (nothing.fileno(), log.fileno(), log.fileno()), self.folder, environ, self.source)

    def _forking(self) -> dict[str, str]:
        several = self.forks_workers and tomllib.loads(self._config.read_text()).get("workers", 1) != 1
        return {BEGIN: BEGINS} if several else {}
