"""Daemons as processes of their own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Timer
from typing import Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from twisted.trial.unittest import SynchronousTestCase

from tests.commands import PipedFork

#: The checkout, where the examples and the documentation are.
ROOT = Path(__file__).resolve().parents[2]

#: A process that takes longer than this is killed, so that its test fails rather than hangs.
_PATIENCE_SECONDS = 60.0
_LISTENS = re.compile(r"dockreg listens on (?P<place>\S+)")

#: Puts descriptor ``argv[1]`` where systemd puts the first one that it passes, under the name ``argv[2]``.
_PASS_DESCRIPTOR = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES=sys.argv[2], LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[3], sys.argv[3:])
"""


def program(name: str) -> str:
    """A script that belongs to the interpreter of the tests."""
    return str(Path(sys.executable).with_name(name))


class Process:
    """
    A running program; its output is read line by line.

    :param fork: see :class:`tests.commands.Fork`.
    """

    def __init__(
        self,
        test: SynchronousTestCase,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        descriptor: int | None = None,
        *,
        fork: bool = False,
    ) -> None:
        self.lines: list[str] = []
        self._log = Path(test.mktemp()).absolute().with_name("daemon.log")
        self.running: PipedFork | subprocess.Popen[str]
        if fork:
            self.running = PipedFork(command, env, [] if descriptor is None else [descriptor])
            self.running.stdin.close()
        else:
            self.running = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(env or {})},
                pass_fds=[] if descriptor is None else [descriptor],
                text=True,
            )
        impatience = Timer(_PATIENCE_SECONDS, self.running.kill)
        impatience.start()
        test.addCleanup(self._end, impatience)

    def wait_for(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """The first match in a line to come."""
        assert self.running.stdout is not None
        for line in self.running.stdout:
            self._keep(line)
            if match := pattern.search(line):
                return match
        raise AssertionError(f"the program ended before it said {pattern.pattern}:\n{''.join(self.lines)}")

    def rest(self) -> tuple[int, str]:
        """Exit status and all that it said, once it has ended."""
        assert self.running.stdout is not None
        for line in self.running.stdout:
            self._keep(line)
        return self.running.wait(), "".join(self.lines)

    def _keep(self, line: str) -> None:
        self.lines.append(line)
        with self._log.open("a") as log:
            log.write(line)

    def terminate(self) -> tuple[int, str]:
        """Ask it to end."""
        self.running.send_signal(signal.SIGTERM)
        return self.rest()

    def _end(self, impatience: Timer) -> None:
        impatience.cancel()
        self.running.kill()
        self.running.wait()
        assert self.running.stdout is not None
        self.running.stdout.close()


class DaemonProcess(Process):
    """``twistd dockreg`` as a process."""

    @classmethod
    def start(
        cls,
        test: SynchronousTestCase,
        data_dir: Path,
        *options: str,
        listen: str = "tcp:0:interface=127.0.0.1",
        passed: tuple[int, str] | None = None,
        env: Mapping[str, str] | None = None,
        itself: bool = False,
    ) -> Self:
        """
        Start one, as a fork of a process that has imported what it needs.

        :param itself: start the program ``twistd``.
        :param passed: a listening socket's descriptor and its name, handed over as systemd does.
        """
        command = [program("twistd"), "--nodaemon", "--pidfile=", "dockreg", f"--data-dir={data_dir}"]
        command += [f"--listen={listen}", *options]
        if passed is None:
            return cls(test, command, env, fork=not itself)
        if not itself:
            return cls(test, command, {"LISTEN_FDNAMES": passed[1], **(env or {})}, passed[0], fork=True)
        launcher = [sys.executable, "-c", _PASS_DESCRIPTOR, str(passed[0]), passed[1]]
        return cls(test, [*launcher, sys.executable, *command], env, descriptor=passed[0])

    def url(self) -> str:
        """Where it listens, once it does."""
        return f"http://{self.wait_for(_LISTENS)['place']}"


def ask(
    url: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body of an answer."""
    request = Request(url, body, {name.replace("_", "-"): value for name, value in headers.items()}, method=method)
    try:
        with urlopen(request, timeout=_PATIENCE_SECONDS) as response:
            return response.status, dict(response.headers), response.read()
    except HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()
